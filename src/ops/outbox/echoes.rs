//! Messages that a provider showed while one of ours may have been under way: what becomes of them.
//!
//! How they are kept aside is in `ingest`.
//!
//! Invariant: each becomes ours, or a message of its own, by one transaction, and so just once.

use super::{Fact, Which, conclude::adopt, note};
use crate::{
    error::Error,
    ops::{
        Context,
        changes::{Changes, commit},
        ingest::{Arrival, Source, contention, store_in},
        joins,
        transaction::again,
    },
    store::{
        echoes::{self, Echo},
        inboxes,
        messages::{self, Key},
        outbox,
    },
};
use channels::send::outcome::Taken;
use db::Session;
use std::sync::Arc;

/// How long an answer to our own request may take that says what an echo is, in seconds.
const PATIENCE: i64 = 60;
/// How many are looked at at once.
const MOST: i64 = 100;

/// Decides about what was kept aside for long enough.
pub async fn release(context: &Context) -> Result<(), Error> {
    let time = context.clock.now() - PATIENCE;
    let old = echoes::before(&mut context.db.read().await?, time, MOST).await?;
    for echo in old {
        match again(|| decide(context, &echo)).await {
            Ok(()) => {}
            Err(error @ Error::Unavailable(_)) => return Err(error),
            // The others do not wait for it.
            Err(error) => {
                let cause = error.cause();
                tracing::error!(cause, inbox = %echo.inbox, "a message kept aside cannot be read");
            }
        }
    }
    Ok(())
}

async fn decide(context: &Context, echo: &Echo) -> Result<(), Error> {
    let message: channels::Message = serde_json::from_str(&echo.message)
        .map_err(|error| Error::Internal(format!("a message kept aside is damaged: {error}")))?;
    let mut session = context.db.write().await?;
    let inbox = (&echo.account, &echo.inbox);
    let there = inboxes::lock(&mut session, &[inbox]).await?;
    let id = Key {
        account: &echo.account,
        inbox: &echo.inbox,
        provider_id: &echo.provider_id,
    };
    // Another node may have been faster, and a deleted inbox takes along what it holds.
    if !there.contains(&true) || !echoes::delete(&mut session, &id).await? {
        return Ok(());
    }
    let (kind, content) = (message.kind.as_str(), message.content.as_str());
    let (account, conversation) = (&echo.account, &echo.conversation);
    // One that was stored before is a message of its own already.
    let stored = messages::find_each_by_provider_id(&mut session, &[id]).await?;
    let ours = match stored.iter().any(Option::is_some) {
        true => None,
        false => outbox::unknown_like(&mut session, account, conversation, kind, content).await?,
    };
    let mut joins = Vec::new();
    let changes = match ours {
        Some(ours) => {
            let of = Which {
                account: echo.account.clone(),
                inbox: echo.inbox.clone(),
                conversation: echo.conversation.clone(),
                message: ours,
                number: 0,
            };
            settle(context, &mut session, &of, &echo.provider_id).await?
        }
        None => {
            let arrival = Arrival {
                source: Arc::new(Source {
                    is_released: true,
                    ..Source::default()
                }),
                account: echo.account.clone(),
                inbox: echo.inbox.clone(),
                channel: echo.channel,
                proved: true,
                items: vec![message.into()],
            };
            let arrivals = [arrival];
            let stored = store_in(context, &mut session, &[&arrivals]).await?;
            let stored = stored.ok_or_else(contention)?;
            joins = stored.joins;
            stored.changes
        }
    };
    commit(context, session, changes).await?;
    joins::carry_out(context, &joins).await;
    Ok(())
}

/// The echo shows that the provider has a message of ours.
async fn settle(
    context: &Context,
    session: &mut Session,
    of: &Which,
    provider_id: &str,
) -> Result<Changes, Error> {
    let taken = Taken {
        provider_id: provider_id.to_owned(),
        ..Taken::default()
    };
    adopt(session, &[(of, &taken)]).await?;
    outbox::close(session, &of.account, &of.message).await?;
    let fact = Fact {
        account: of.account.clone(),
        inbox: of.inbox.clone(),
        key: messages::own_key(&of.message),
        status: "sent",
        error: None,
    };
    Ok(Changes::of(note(context, session, &[fact]).await?))
}
