//! Messages that have waited for long while an inbox could not send: a person says whether they are still to be sent.

use super::by_hand::cancel;
use crate::{
    error::Error,
    id::{AccountId, InboxId, MessageId},
    input::{self, At, Content, Given, List, input},
    ops::{
        Context,
        changes::{Changes, commit},
        found,
        transaction::again,
    },
    store::{inboxes, outbox},
};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::{
    ToSchema,
    openapi::{OneOfBuilder, RefOr, schema::Schema},
};

/// How many are let go in one transaction.
const PIECE: i64 = 500;

/// Some messages, or all that are held.
#[derive(Debug)]
pub enum Selection {
    /// All of them.
    All,
    /// These.
    These(Vec<MessageId>),
}

impl Content for Selection {
    fn read(value: Value, at: &mut At<'_>) -> Option<Self> {
        match value {
            Value::String(word) if word == "all" => Some(Selection::All),
            Value::Array(_) => {
                let ids = <List<MessageId, 1000> as Content>::read(value, at)?;
                Some(Selection::These(ids.0))
            }
            _ => {
                at.wrong("must be \"all\", or a list of message ids");
                None
            }
        }
    }

    fn document() -> RefOr<Schema> {
        OneOfBuilder::new()
            .item(input::word(&["all"]))
            .item(<List<MessageId, 1000> as Content>::document())
            .into()
    }
}

input! {
    /// What is to be done with messages that are held: either `send` or `discard`.
    pub struct QueueChange {
        /// Send them: `all`, or their ids.
        pub send: Given<Selection>,
        /// Take them back: `all`, or their ids.
        pub discard: Given<Selection>,
    }
}

/// What was done with messages that were held.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct QueueChanged {
    /// Messages that are sent now.
    #[schema(minimum = 0)]
    pub released: usize,
    /// Messages that were taken back.
    #[schema(minimum = 0)]
    pub discarded: usize,
}

/// Sends or takes back what is held in an inbox.
///
/// # Errors
/// [`Error::Validation`] if the body does not say which; [`Error::Conflict`] if a message to be taken back does not wait.
pub async fn change_queue(
    context: &Context,
    account: &AccountId,
    inbox: &InboxId,
    body: Map<String, Value>,
) -> Result<QueueChanged, Error> {
    let mut session = context.db.read().await?;
    found(inboxes::find(&mut session, account, inbox).await?, "inbox")?;
    drop(session);
    let change = input::read(body, QueueChange::take)?;
    let (which, is_to_be_sent) = match (change.send.value(), change.discard.value()) {
        (Some(which), None) => (which, true),
        (None, Some(which)) => (which, false),
        _ => return Err(Error::field("send", "give either send or discard")),
    };
    let mut done = QueueChanged::default();
    loop {
        let (ids, is_all) = match &which {
            Selection::These(ids) => (ids.clone(), true),
            Selection::All => {
                let mut session = context.db.read().await?;
                let ids = outbox::held(&mut session, account, inbox, PIECE).await?;
                let is_all = (ids.len() as i64) < PIECE;
                (ids, is_all)
            }
        };
        if is_to_be_sent {
            done.released += again(|| let_go(context, account, inbox, &ids)).await?;
        } else {
            for id in &ids {
                cancel(context, account, Some(inbox), id, None).await?;
                done.discarded += 1;
            }
        }
        if is_all {
            return Ok(done);
        }
    }
}

async fn let_go(
    context: &Context,
    account: &AccountId,
    inbox: &InboxId,
    ids: &[MessageId],
) -> Result<usize, Error> {
    let mut session = context.db.write().await?;
    inboxes::lock(&mut session, &[(account, inbox)]).await?;
    let now = context.clock.millis();
    let mut released = 0;
    for id in ids {
        if outbox::let_go(&mut session, account, id, inbox, now).await? {
            released += 1;
        }
    }
    let mut changes = Changes::none();
    changes.queued = true;
    commit(context, session, changes).await?;
    Ok(released)
}
