//! Joins contacts that are the same person: the older one stays, and gets everything that the other one has.
//!
//! `ingest` finds such contacts, and stores a join together with the messages that have shown it. A small join is done
//! before the provider gets its answer, the rest of a large one in the background.
//!
//! Invariant: at every moment, each message is in one conversation and counted there, and the id of a contact or
//! conversation that is gone leads to the one that stays.

use super::{
    Context,
    changes::{Changes, commit},
    events::{Event, What},
    on_blocking_thread,
    pieces::{self, Progress},
};
use crate::{
    error::Error,
    id::{AccountId, ContactId, ConversationId, EventId, InboxId},
    store::{
        aliases, contacts, identities, inboxes,
        joins::{self as table, Join},
    },
};
use db::Session;
use tokio::sync::watch;

/// Messages that are moved in one transaction, and before a provider gets its answer.
const PIECE: i64 = 1000;
/// Conversations that are moved in one transaction.
const THREADS: usize = 100;

/// Does the part of these joins that takes little time, and leaves the rest to [`work`].
pub(super) async fn carry_out(context: &Context, joins: &[Join]) {
    let mut left = PIECE;
    for join in joins {
        match one_piece(context, join, left).await {
            Ok((moved, Progress::Done)) => left -= moved,
            Ok(_) => return context.joins_left.notify_one(),
            Err(error) => {
                let cause = error.cause();
                tracing::warn!(cause, "contacts that are one cannot be joined yet");
                return context.joins_left.notify_one();
            }
        }
        if left <= 0 {
            return context.joins_left.notify_one();
        }
    }
}

/// Does the pending joins of all accounts, until the server stops.
pub async fn work(context: Context, stopped: watch::Receiver<bool>) {
    let all = |stopped| join_all(context.clone(), stopped);
    pieces::work("joining contacts", &context.joins_left, stopped, all).await;
}

async fn join_all(context: Context, stopped: watch::Receiver<bool>) -> Result<Progress, Error> {
    let left = table::list(&mut context.db.read().await?).await?;
    for join in &left {
        let mut progress = Progress::More;
        while progress == Progress::More && !*stopped.borrow() {
            (_, progress) = one_piece(&context, join, PIECE).await?;
        }
    }
    Ok(Progress::Done)
}

async fn one_piece(context: &Context, join: &Join, most: i64) -> Result<(i64, Progress), Error> {
    let (context, join) = (context.clone(), join.clone());
    on_blocking_thread(async move {
        let mut session = context.db.write().await?;
        let mut step = Step {
            context: &context,
            session: &mut session,
            account: &join.account,
            left: most,
            threads: THREADS,
            events: Vec::new(),
        };
        let progress = step.take(&join).await?;
        let (moved, events) = (most - step.left, step.events);
        commit(&context, session, Changes::of(events)).await?;
        Ok((moved, progress))
    })
    .await
}

/// One transaction of a join.
struct Step<'a> {
    context: &'a Context,
    session: &'a mut Session,
    account: &'a AccountId,
    /// How many messages may still be moved.
    left: i64,
    /// How many conversations may.
    threads: usize,
    events: Vec<Event>,
}

impl Step<'_> {
    async fn take(&mut self, join: &Join) -> Result<Progress, Error> {
        let account = self.account;
        let channel = match contacts::find_channel(self.session, account, &join.contact).await? {
            Some(channel) => Some(channel),
            None => contacts::find_channel(self.session, account, &join.other).await?,
        };
        if let Some(channel) = channel {
            // Rows are locked in one order. Until this transaction ends, nobody else writes to these contacts.
            inboxes::lock_type(self.session, account, channel).await?;
        }
        let (one, other) = (
            self.living(&join.contact).await?,
            self.living(&join.other).await?,
        );
        let (Some(one), Some(other)) = (one, other) else {
            table::remove(self.session, join).await?;
            return Ok(Progress::Done);
        };
        let (survivor, lost) = (one.clone().min(other.clone()), one.max(other));
        if survivor != lost {
            identities::move_all(self.session, account, &lost, &survivor).await?;
            contacts::complete(self.session, account, &survivor, &lost).await?;
            let both = [(account, &survivor), (account, &lost)];
            contacts::show_identities(self.session, &both).await?;
            if !self.take_conversations(&lost, &survivor).await? {
                return Ok(Progress::More);
            }
            aliases::add(self.session, account, lost.as_str(), survivor.as_str()).await?;
            contacts::delete(self.session, account, &lost).await?;
            tracing::info!(%survivor, %lost, "two contacts are one");
        }
        table::remove(self.session, join).await?;
        Ok(Progress::Done)
    }

    /// The contact that is meant by an id, unless it is gone.
    async fn living(&mut self, id: &ContactId) -> Result<Option<ContactId>, Error> {
        let alias = aliases::find(self.session, self.account, id.as_str()).await?;
        let id = alias.map_or_else(|| id.clone(), ContactId::from_text);
        let found = contacts::find_channel(self.session, self.account, &id).await?;
        Ok(found.map(|_| id))
    }

    /// Gives the survivor what conversations it may in this transaction. Whether those are all.
    async fn take_conversations(
        &mut self,
        lost: &ContactId,
        survivor: &ContactId,
    ) -> Result<bool, Error> {
        while let Some(thread) = table::next(self.session, self.account, lost, survivor).await? {
            if self.threads == 0 {
                return Ok(false);
            }
            self.threads -= 1;
            let mut kept = thread.id.clone();
            if let Some(twin) = thread.twin {
                let gone = twin.clone().max(thread.id.clone());
                kept = twin.min(thread.id);
                if !self.merge(&gone, &kept).await? {
                    return Ok(false);
                }
            }
            self.give(&kept, survivor, thread.inbox).await?;
        }
        Ok(true)
    }

    /// Moves the messages of one conversation to another. Whether the one is gone.
    async fn merge(&mut self, gone: &ConversationId, kept: &ConversationId) -> Result<bool, Error> {
        let account = self.account;
        let most = self.left;
        let moved = table::move_messages(self.session, account, gone, kept, most).await?;
        self.left -= moved;
        // As many as were allowed may not be all.
        if moved == most {
            return Ok(false);
        }
        table::end(self.session, account, gone, kept).await?;
        aliases::add(self.session, account, gone.as_str(), kept.as_str()).await?;
        Ok(true)
    }

    async fn give(
        &mut self,
        conversation: &ConversationId,
        to: &ContactId,
        inbox: InboxId,
    ) -> Result<(), Error> {
        let id = EventId::new(&self.context.clock);
        table::give(self.session, self.account, conversation, to, &id).await?;
        self.events.push(Event {
            id,
            account: self.account.clone(),
            inbox,
            what: What::ConversationChanged {
                conversation: conversation.clone(),
            },
        });
        Ok(())
    }
}
