//! Creates an inbox.
//!
//! Invariant: an inbox, its address and its credentials are stored together, or not at all.

use super::{
    ChannelChange, NewInbox, Settings, claim_address, inbox_event, status, write_settings,
};
use crate::{
    domain::{Channel, Inbox},
    error::{Error, Reason},
    id::{AccountId, EventId, InboxId},
    ops::{
        Context,
        credentials::put_all,
        events::What,
        idempotency::{Request, commit_answer},
        transaction::again,
    },
    store::{
        accounts,
        inboxes::{self, Details},
    },
};
use serde_json::{Map, Value};

/// Creates an inbox from the body of `POST /inboxes`.
///
/// # Errors
/// [`Error::Validation`] with all that is wrong with the body; [`Error::Conflict`] if its address is taken.
pub async fn create(
    context: &Context,
    account: &AccountId,
    body: Map<String, Value>,
    request: Option<&Request>,
) -> Result<Inbox, Error> {
    let new = NewInbox::parse(body)?;
    let channel = new.channel();
    let (mut phone_number, mut instagram_account_id) = (None, None);
    let (name, read_receipts, given): (_, _, ChannelChange) = match new {
        NewInbox::Whatsapp(new) => {
            phone_number = Some(new.phone_number.0);
            (new.name, new.read_receipts, new.channel.into())
        }
        NewInbox::Instagram(new) => {
            instagram_account_id = Some(new.instagram_account_id.0);
            (new.name, new.read_receipts, new.channel.into())
        }
        NewInbox::Telegram(new) => (new.name, new.read_receipts, new.channel.into()),
        NewInbox::Livechat(new) => (
            new.name,
            new.read_receipts,
            new.channel.value().map(Into::into).unwrap_or_default(),
        ),
    };
    let mut settings = Settings {
        read_receipts,
        ..Settings::default()
    };
    let credentials = given.apply(&mut settings);

    let now = context.clock.now();
    let id = InboxId::new(&context.clock);
    // Live chat needs no provider's word: the widget's server is this one.
    let proved_at = (channel == Channel::Livechat).then_some(now);
    let details = Details {
        inbox: Inbox {
            id: id.clone(),
            name: name.0,
            channel,
            status: status(proved_at, None),
            phone_number,
            instagram_account_id,
            created_at: now,
            messages_count: 0,
        },
        settings: write_settings(&settings)?,
        proved_at,
    };
    again(|| async {
        let mut session = context.db.write().await?;
        // Made while the transaction is open, so that ids and commits have one order.
        let change = EventId::new(&context.clock);
        inboxes::insert(&mut session, account, &details, &change).await?;
        claim_address(&mut session, account, &details.inbox, &settings).await?;
        if let Some(number) = &details.inbox.phone_number {
            accounts::lock(&mut session, account).await?;
            let same = inboxes::of_number(&mut session, account, number, &id).await?;
            same.map_or(Ok(()), |other| Err(number_taken(number, &other)))?;
        }
        put_all(context, &mut session, account, &id, &credentials).await?;
        let changes = inbox_event(account, &id, change, What::InboxChanged);
        commit_answer(context, session, changes, request, &details.inbox).await
    })
    .await?;
    Ok(details.inbox)
}

fn number_taken(number: &str, other: &InboxId) -> Error {
    Error::Conflict(
        Reason::AddressTaken,
        format!("The number {number} belongs to inbox {other} of this account already"),
    )
}
