//! Records what a transaction changes, and announces it after the commit: to this process's cache and listeners, and to
//! the other processes on the same database.
//!
//! Invariant: [`commit`] commits every write of `ops`, so that every change is announced.

use super::{
    Context,
    events::{Event, What},
};
use crate::{
    cache::{Extent, Invalidation},
    error::Error,
    id::{AccountId, ConversationId},
};
use db::{Database, EngineKind, Listener, MAX_NOTICE, Received, Session};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, time::Duration};
use tokio::{
    sync::watch,
    time::{interval, sleep, timeout},
};

/// The PostgreSQL channel on which processes announce what they committed.
const CHANNEL: &str = "inboxd";
/// The PostgreSQL channel on which servers confirm that they have received the announcements.
const CONFIRMATIONS: &str = "inboxd_heard";
/// How long a command waits until all servers have confirmed its changes. After that time no server can still use an
/// older cache entry, because its lease ([`crate::cache::LEASE`]) is over.
const CONFIRMATION: Duration = Duration::from_secs(1);
/// How often a server checks whether another process has changed the SQLite database.
const FILE_CHECK: Duration = Duration::from_millis(250);
/// How long a server waits before it listens again, after its connection to PostgreSQL was lost.
const RETRY: Duration = Duration::from_secs(1);

/// What a transaction changes, as far as caches and listeners must know.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Changes {
    /// Accounts whose message counts change, in addition to those of the events.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub accounts: BTreeSet<AccountId>,
    /// Accounts with a changed or revoked API key.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    key_accounts: BTreeSet<AccountId>,
    /// True if any API key was changed. The previous version of inboxd sends and understands only this field, without
    /// the accounts.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    keys: bool,
    /// True if any message count may have changed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub everything: bool,
    /// True if something was put into the outbox.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub queued: bool,
    /// Conversations that were joined with others.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub gone_conversations: BTreeSet<ConversationId>,
    /// Sessions of live-chat visitors that ended.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    ended_sessions: BTreeSet<String>,
    /// Events, in the order in which they happened.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<Event>,
}

impl Changes {
    /// No changes that need to be announced.
    pub fn none() -> Self {
        Self::default()
    }

    /// A change of an API key of this account.
    pub fn of_keys(account: &AccountId) -> Self {
        Changes {
            key_accounts: [account.clone()].into(),
            keys: true,
            ..Self::default()
        }
    }

    /// Any message count may have changed.
    pub fn of_everything() -> Self {
        Changes {
            everything: true,
            ..Self::default()
        }
    }

    /// The end of a live-chat visitor's session.
    pub fn of_ended_session(session: &str) -> Self {
        Changes {
            ended_sessions: [session.to_owned()].into(),
            ..Self::default()
        }
    }

    /// These events, and what they change for the inboxes of their accounts.
    pub fn of(events: Vec<Event>) -> Self {
        Changes {
            events,
            ..Self::default()
        }
    }

    /// The cache entries that these changes make invalid.
    pub fn invalidation(&self) -> Invalidation {
        let mut invalidation = Invalidation {
            all: self.everything || self.keys && self.key_accounts.is_empty(),
            ..Invalidation::default()
        };
        let of_events = self.events.iter().filter_map(|event| {
            let extent = match event.what {
                What::MessageChanged { .. }
                | What::ConversationChanged { .. }
                | What::ContactChanged { .. } => return None,
                What::MessageCreated { .. } => Extent::Counts,
                What::InboxChanged | What::InboxDeleted => Extent::All,
            };
            Some((&event.account, extent))
        });
        let of_counts = self.accounts.iter().map(|id| (id, Extent::Counts));
        let of_keys = self.key_accounts.iter().map(|id| (id, Extent::All));
        for (id, extent) in of_events.chain(of_counts).chain(of_keys) {
            match invalidation.accounts.get_mut(id) {
                Some(known) => *known = extent.max(*known),
                None => {
                    invalidation.accounts.insert(id.clone(), extent);
                }
            }
        }
        invalidation
    }

    /// Adds other changes to these.
    pub fn add(&mut self, others: Changes) {
        self.accounts.extend(others.accounts);
        self.key_accounts.extend(others.key_accounts);
        self.keys |= others.keys;
        self.everything |= others.everything;
        self.queued |= others.queued;
        self.gone_conversations.extend(others.gone_conversations);
        self.ended_sessions.extend(others.ended_sessions);
        self.events.extend(others.events);
    }

    fn is_empty(&self) -> bool {
        let flags = self.keys || self.everything || self.queued;
        let hints = !self.gone_conversations.is_empty() || !self.ended_sessions.is_empty();
        self.accounts.is_empty() && !flags && !hints && self.events.is_empty()
    }
}

/// An announcement to the other processes.
#[derive(Serialize, Deserialize)]
enum Notice {
    /// These changes were committed.
    Changed(Changes),
    /// Asks every server to send this text on [`CONFIRMATIONS`] after it has handled everything before it.
    Confirm(String),
}

/// Commits a transaction, and announces what it changed.
///
/// After this returns, this process shows nobody an older state. Other servers know the changes within a second. If
/// this process is a command and no server, this waits until they know.
pub async fn commit(
    context: &Context,
    mut session: Session,
    changes: Changes,
) -> Result<(), Error> {
    // On SQLite nobody receives notifications: other processes see the commit in the file.
    if changes.is_empty() || context.db.engine() == EngineKind::Sqlite {
        return Ok(commit_and_publish(context, session, changes).await?);
    }
    let mut notices = notices(&changes)?;
    let confirmation = match context.command {
        true => Confirmation::prepare(context).await?,
        false => None,
    };
    if let Some(confirmation) = &confirmation {
        notices.push(encode(&Notice::Confirm(confirmation.reply.clone()))?);
    }
    session.notify(CHANNEL, &notices).await?;
    commit_and_publish(context, session, changes).await?;
    if let Some(confirmation) = confirmation {
        confirmation.wait(&context.db).await;
    }
    Ok(())
}

async fn commit_and_publish(
    context: &Context,
    session: Session,
    changes: Changes,
) -> Result<(), db::Error> {
    let guard = context.cache.guard(session.began(), changes.invalidation());
    session.commit_then(move || drop(guard)).await?;
    if changes.queued {
        context.outbox_filled.notify_one();
    }
    // On PostgreSQL this process receives its own notifications, in the order of all commits.
    if context.db.engine() == EngineKind::Sqlite {
        publish(context, changes);
    }
    Ok(())
}

/// Announces the changes to the listeners of this process.
fn publish(context: &Context, changes: Changes) {
    if changes.keys || changes.everything {
        context.events.keys_changed();
    }
    for conversation in changes.gone_conversations {
        context.events.conversation_gone(conversation);
    }
    for session in changes.ended_sessions {
        context.events.session_ended(session);
    }
    for event in changes.events {
        context.events.publish(event);
    }
}

/// Encodes the changes as texts, each of which is short enough for a notification.
fn notices(changes: &Changes) -> Result<Vec<String>, Error> {
    let bare = Changes {
        accounts: changes.accounts.clone(),
        key_accounts: changes.key_accounts.clone(),
        keys: changes.keys,
        everything: changes.everything,
        queued: changes.queued,
        gone_conversations: changes.gone_conversations.clone(),
        ended_sessions: changes.ended_sessions.clone(),
        events: Vec::new(),
    };
    let mut notices = Vec::new();
    if !bare.is_empty() {
        notices.push(encode(&Notice::Changed(bare))?);
    }
    // An event takes about 300 bytes.
    for events in changes.events.chunks(MAX_NOTICE / 400) {
        let part = Changes::of(events.to_vec());
        notices.push(encode(&Notice::Changed(part))?);
    }
    Ok(notices)
}

fn encode(notice: &Notice) -> Result<String, Error> {
    serde_json::to_string(notice).map_err(|error| Error::Internal(error.to_string()))
}

/// Waits until every server has handled what a command changed.
struct Confirmation {
    reply: String,
    listener: Listener,
}

impl Confirmation {
    async fn prepare(context: &Context) -> Result<Option<Self>, Error> {
        let reply = context.clock.uuid().simple().to_string();
        let listener = context.db.listen(CONFIRMATIONS).await?;
        Ok(listener.map(|listener| Confirmation { reply, listener }))
    }

    async fn wait(mut self, db: &Database) {
        let confirmed = async {
            let mut missing = db.listeners(CHANNEL).await?;
            while missing > 0 {
                match self.listener.next().await? {
                    Received::Notice(reply) if reply == self.reply => missing -= 1,
                    _ => {}
                }
            }
            Ok::<_, db::Error>(())
        };
        match timeout(CONFIRMATION, confirmed).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::debug!(%error, "servers cannot be asked to confirm a change");
                sleep(CONFIRMATION).await;
            }
            Err(_) => tracing::debug!("not every server has confirmed a change in time"),
        }
    }
}

/// Updates a server's cache and its listeners when other processes commit, until the server stops.
pub async fn follow(context: Context, mut stopped: watch::Receiver<bool>) {
    tokio::select! {
        _ = stopped.changed() => {}
        () = follow_others(&context) => {}
    }
}

async fn follow_others(context: &Context) {
    loop {
        match context.db.listen(CHANNEL).await {
            Ok(None) => return watch_file(context).await,
            Ok(Some(listener)) => {
                let Err(error) = receive_notices(context, listener).await;
                tracing::warn!(
                    cause = error.cause(),
                    "notifications of other nodes do not arrive, so answers come from the store"
                );
            }
            Err(error) => tracing::debug!(%error, "notifications of other nodes do not arrive yet"),
        }
        context.cache.end_lease();
        // Listeners of this process read from the store what they were not told.
        context.events.missed();
        sleep(RETRY).await;
    }
}

/// Handles the notifications of other processes. Returns when the connection fails.
async fn receive_notices(
    context: &Context,
    mut listener: Listener,
) -> Result<std::convert::Infallible, Error> {
    // Notifications that were sent before this moment will never arrive.
    context.cache.invalidate_all();
    context.events.missed();
    loop {
        let notice = match listener.next().await? {
            Received::Alive(at) => {
                context.cache.renew_lease(at);
                continue;
            }
            Received::Notice(text) => serde_json::from_str(&text),
        };
        match notice {
            Ok(Notice::Changed(changes)) => {
                context.cache.invalidate(&changes.invalidation());
                if changes.queued {
                    context.outbox_filled.notify_one();
                }
                publish(context, changes);
            }
            // This uses the listener's own connection, since handling notifications must not wait for a free one of the
            // pool.
            Ok(Notice::Confirm(reply)) => listener.notify(CONFIRMATIONS, &reply).await?,
            // Another version sent something unknown, so anything may have changed.
            Err(error) => {
                tracing::warn!(%error, "a notification of another node cannot be read");
                context.cache.invalidate_all();
                context.events.missed();
            }
        }
    }
}

/// Requests notice by themselves that another process has changed the file. Listeners must be told.
async fn watch_file(context: &Context) {
    let mut tick = interval(FILE_CHECK);
    let mut known = context.cache.refreshed_era();
    loop {
        tick.tick().await;
        let era = context.cache.refreshed_era();
        if era != known {
            known = era;
            context.events.missed();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock::Clock,
        id::{EventId, InboxId},
    };

    fn read(text: &str) -> Changes {
        match serde_json::from_str(text) {
            Ok(Notice::Changed(changes)) => changes,
            _ => panic!("{text}"),
        }
    }

    #[test]
    fn a_change_of_a_key_forgets_its_account_only() {
        let account = AccountId::from_text("acc_1");
        let notices = notices(&Changes::of_keys(&account)).expect("it can be written");
        assert_eq!(notices.len(), 1);
        let forget = read(&notices[0]).invalidation();
        assert!(!forget.all);
        assert_eq!(forget.accounts, [(account, Extent::All)].into());
    }

    #[test]
    fn the_version_before_this_one_is_understood_and_understands() {
        let forget = read(r#"{"Changed":{"keys":true}}"#).invalidation();
        assert!(forget.all, "it does not say whose key it is");
        let notices = notices(&Changes::of_keys(&AccountId::from_text("acc_1")));
        let notice = notices.expect("it can be written").remove(0);
        assert!(notice.contains(r#""keys":true"#), "{notice}");
    }

    #[test]
    fn the_greatest_extent_counts() {
        let clock = Clock::manual(1_700_000_000);
        let account = AccountId::new(&clock);
        let mut changes = Changes::of(vec![Event {
            id: EventId::new(&clock),
            account: account.clone(),
            inbox: InboxId::new(&clock),
            what: What::InboxChanged,
        }]);
        changes.accounts.insert(account.clone());
        let forget = changes.invalidation();
        assert_eq!(forget.accounts, [(account, Extent::All)].into());
    }
}
