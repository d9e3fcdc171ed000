//! Joins contacts that are the same person: one stays, and gets everything that the other one has. That is the older one, unless
//! a person says which.
//!
//! `ingest` finds such contacts, and stores a join together with the messages that have shown it; `contacts::merge` stores one
//! that a person asks for. A small join is done
//! before the provider gets its answer, the rest of a large one in the background.
//!
//! Invariant: at every moment, each message is in one conversation and counted there, and the id of a contact or
//! conversation that is gone leads to the one that stays.

use super::{
    Context,
    changes::{Changes, commit},
    contacts::{complete::complete, words},
    events::{Event, What},
    on_blocking_thread,
    pieces::{self, Progress},
    transaction::again,
};
use crate::{
    error::Error,
    id::{AccountId, ContactId, ConversationId, EventId, InboxId},
    store::{
        aliases, contacts, conversations, echoes, external_ids, identities, inboxes,
        joins::{self as table, Join},
        outbox,
    },
};
use db::Session;
use std::collections::BTreeSet;
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
    let mut all_done = Progress::Done;
    for join in &left {
        let mut progress = Progress::More;
        while progress == Progress::More && !*stopped.borrow() {
            progress = match one_piece(&context, join, PIECE).await {
                Ok((_, progress)) => progress,
                Err(error @ Error::Unavailable(_)) => return Err(error),
                // The others do not wait for it.
                Err(error) => {
                    let cause = error.cause();
                    tracing::error!(cause, account = %join.account, "two contacts cannot be joined");
                    Progress::Busy
                }
            };
        }
        if progress != Progress::Done {
            all_done = progress;
        }
    }
    Ok(all_done)
}

async fn one_piece(context: &Context, join: &Join, most: i64) -> Result<(i64, Progress), Error> {
    let (context, join) = (context.clone(), join.clone());
    on_blocking_thread(async move { again(|| step(&context, &join, most)).await }).await
}

async fn step(context: &Context, join: &Join, most: i64) -> Result<(i64, Progress), Error> {
    let mut session = context.db.write().await?;
    let mut step = Step {
        context,
        session: &mut session,
        account: &join.account,
        left: most,
        threads: THREADS,
        events: Vec::new(),
        gone: BTreeSet::new(),
    };
    let progress = step.take(join).await?;
    let moved = most - step.left;
    let mut changes = Changes::of(step.events);
    changes.gone_conversations = step.gone;
    // What was behind a message that moved may be due now.
    changes.queued = moved > 0;
    commit(context, session, changes).await?;
    Ok((moved, progress))
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
    /// The conversations that are gone.
    gone: BTreeSet<ConversationId>,
}

impl Step<'_> {
    async fn take(&mut self, join: &Join) -> Result<Progress, Error> {
        let account = self.account;
        // Rows are locked in one order. Until this transaction ends, no update writes to these contacts.
        inboxes::lock_all(self.session, account).await?;
        let Some([one, other]) = self.lock(join).await? else {
            table::remove(self.session, join).await?;
            return Ok(Progress::Done);
        };
        let (survivor, lost) = match join.directed || one < other {
            true => (one, other),
            false => (other, one),
        };
        if survivor != lost {
            self.take_what_is_known(&survivor, &lost).await?;
            let progress = self.take_conversations(&lost, &survivor).await?;
            if progress != Progress::Done {
                return Ok(progress);
            }
            aliases::add(self.session, account, lost.as_str(), survivor.as_str()).await?;
            words::remove(self.session, account, &lost).await?;
            contacts::delete(self.session, account, &lost).await?;
            tracing::info!(%survivor, %lost, "two contacts are one");
        }
        table::remove(self.session, join).await?;
        Ok(Progress::Done)
    }

    /// The two contacts that are meant now, locked. `None` if one of them is gone.
    async fn lock(&mut self, join: &Join) -> Result<Option<[ContactId; 2]>, Error> {
        let (session, account) = (&mut *self.session, self.account);
        loop {
            let one = contacts::living(session, account, &join.contact).await?;
            let other = contacts::living(session, account, &join.other).await?;
            let (Some(one), Some(other)) = (one, other) else {
                return Ok(None);
            };
            let mut both = vec![(account, &one), (account, &other)];
            both.sort_unstable();
            both.dedup();
            // An account without inboxes has nothing else that keeps two joins apart: one may have been joined meanwhile.
            if !contacts::lock(session, &both).await?.contains(&false) {
                return Ok(Some([one, other]));
            }
        }
    }

    /// Gives the survivor all by which the other one is known, and what is known of it.
    async fn take_what_is_known(
        &mut self,
        survivor: &ContactId,
        lost: &ContactId,
    ) -> Result<(), Error> {
        let (session, account) = (&mut *self.session, self.account);
        let both = [(account, survivor), (account, lost)];
        identities::move_all(session, account, lost, survivor).await?;
        external_ids::move_all(session, account, lost, survivor).await?;
        let of_survivor = contacts::find_to_change(session, account, survivor).await?;
        let of_lost = contacts::find_to_change(session, account, lost).await?;
        if let (Some(mut record), Some(lost)) = (of_survivor, of_lost) {
            complete(&mut record, lost)?;
            let event = EventId::new(&self.context.clock);
            contacts::save(session, account, &record, &event).await?;
            self.events
                .push(Event::of_contact(&event, account, survivor));
        }
        contacts::show_identities(session, &both).await?;
        words::index(session, &both).await
    }

    /// Gives the survivor what conversations it may in this transaction.
    async fn take_conversations(
        &mut self,
        lost: &ContactId,
        survivor: &ContactId,
    ) -> Result<Progress, Error> {
        while let Some(thread) = table::next(self.session, self.account, lost, survivor).await? {
            if self.threads == 0 {
                return Ok(Progress::More);
            }
            self.threads -= 1;
            let mut kept = thread.id.clone();
            if let Some(twin) = thread.twin {
                let gone = twin.clone().max(thread.id.clone());
                kept = twin.min(thread.id);
                let progress = self.merge(&thread.inbox, &gone, &kept).await?;
                if progress != Progress::Done {
                    return Ok(progress);
                }
            }
            self.give(&kept, survivor, thread.inbox).await?;
        }
        Ok(Progress::Done)
    }

    /// Moves the messages of one conversation to another, with what is still to be sent of them. When this is done, the one
    /// is gone.
    async fn merge(
        &mut self,
        inbox: &InboxId,
        gone: &ConversationId,
        kept: &ConversationId,
    ) -> Result<Progress, Error> {
        let account = self.account;
        let most = self.left;
        let is_sending = [
            outbox::lock_first(self.session, account, gone).await?,
            outbox::lock_first(self.session, account, kept).await?,
        ];
        // One conversation sends one message at a time.
        if is_sending == [true, true] {
            return Ok(Progress::Busy);
        }
        // Before anything is moved: what waits and what is unread must not be taken for what the team is done with.
        let (ours, theirs) = (
            conversations::marks(self.session, account, kept).await?,
            conversations::marks(self.session, account, gone).await?,
        );
        let waiting = [&ours.first_waiting, &theirs.first_waiting];
        let resolved = joint_mark(&ours.resolved, &theirs.resolved, waiting);
        let unread = [&ours.first_unread, &theirs.first_unread];
        let read = joint_mark(&ours.read, &theirs.read, unread);
        conversations::set_marks(self.session, account, kept, resolved, read).await?;
        let moved = table::move_messages(self.session, account, gone, kept, most).await?;
        self.left -= moved;
        let both = [(account, kept), (account, gone)];
        conversations::refresh(self.session, both.into_iter()).await?;
        let now = self.context.clock.millis();
        outbox::follow(self.session, account, gone, kept, now).await?;
        // As many as were allowed may not be all.
        if moved == most {
            return Ok(Progress::More);
        }
        echoes::follow(self.session, account, inbox, gone, kept).await?;
        table::end(self.session, account, gone, kept).await?;
        // While it did not know the contact's last message, it may have taken too much for answered.
        conversations::refresh(self.session, [(account, kept)].into_iter()).await?;
        aliases::add(self.session, account, gone.as_str(), kept.as_str()).await?;
        self.gone.insert(gone.clone());
        Ok(Progress::Done)
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

/// How far the team is in two conversations that become one: as far as in either, but not beyond what it is not done with.
fn joint_mark<'a>(one: &'a str, other: &'a str, open: [&Option<String>; 2]) -> &'a str {
    let further = one.max(other);
    let beyond = |first: &String| first.as_str() <= further;
    match open.into_iter().flatten().any(beyond) {
        true => one.min(other),
        false => further,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_open_in_one_conversation_stays_open_in_both() {
        let first = |id: &str| Some(id.to_owned());
        assert_eq!(joint_mark("b", "d", [&None, &None]), "d");
        assert_eq!(joint_mark("b", "d", [&first("e"), &None]), "d");
        assert_eq!(joint_mark("b", "d", [&first("c"), &first("e")]), "b");
        assert_eq!(joint_mark("", "d", [&None, &first("e")]), "d");
        assert_eq!(joint_mark("", "", [&first("a"), &None]), "");
    }
}
