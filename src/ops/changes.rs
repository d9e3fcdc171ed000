//! What transactions change, and how everybody who has to know hears of it: this process's cache and listeners, and
//! the other processes on the same database.
//!
//! Invariant: every write of `ops` is committed by [`commit`], so that nothing changes unannounced.

use super::{
    Context,
    events::{Event, What},
};
use crate::{
    cache::{Extent, Invalidation},
    error::Error,
    id::AccountId,
};
use db::{Database, EngineKind, Heard, Listener, NOTICE, Session};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, time::Duration};
use tokio::{
    sync::watch,
    time::{interval, sleep, timeout},
};

/// Where processes on one PostgreSQL tell each other what they committed.
const CHANNEL: &str = "inboxd";
/// Where they say that they have heard it.
const HEARD: &str = "inboxd_heard";
/// How long a command waits until all servers have heard what it did. After that none of them can still have it
/// otherwise in its cache: [`crate::cache::LEASE`] is over.
const CONFIRMATION: Duration = Duration::from_secs(1);
/// How often a server looks whether another process has changed the embedded database.
const PULSE: Duration = Duration::from_millis(250);
/// How long a server waits before it listens anew to a PostgreSQL that it lost.
const RETRY: Duration = Duration::from_secs(1);

/// What a transaction changes of what is cached or told to listeners.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Changes {
    /// Accounts whose counts change, beside those of the events.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub accounts: BTreeSet<AccountId>,
    /// Accounts of which a key is no longer what it was.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    key_accounts: BTreeSet<AccountId>,
    /// Whether a key is no longer what it was. That is all that the version before this one says and understands: it does not
    /// name the account.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    keys: bool,
    /// Whether any count may be another.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub everything: bool,
    /// What happens, by its own words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<Event>,
}

impl Changes {
    /// None that anybody has to hear of.
    pub fn none() -> Self {
        Self::default()
    }

    /// A key of this account is no longer what it was.
    pub fn of_keys(account: &AccountId) -> Self {
        Changes {
            key_accounts: [account.clone()].into(),
            keys: true,
            ..Self::default()
        }
    }

    /// Any count may be another.
    pub fn of_everything() -> Self {
        Changes {
            everything: true,
            ..Self::default()
        }
    }

    /// These events, and what they mean for the accounts' inboxes.
    pub fn of(events: Vec<Event>) -> Self {
        Changes {
            events,
            ..Self::default()
        }
    }

    /// What the cache must forget.
    pub fn invalidation(&self) -> Invalidation {
        let mut forget = Invalidation {
            everything: self.everything || self.keys && self.key_accounts.is_empty(),
            ..Invalidation::default()
        };
        let of_events = self.events.iter().filter_map(|event| {
            let extent = match event.what {
                What::MessageChanged { .. } => return None,
                What::MessageCreated { .. } => Extent::Counts,
                What::InboxChanged | What::InboxDeleted => Extent::All,
            };
            Some((&event.account, extent))
        });
        let of_counts = self.accounts.iter().map(|id| (id, Extent::Counts));
        let of_keys = self.key_accounts.iter().map(|id| (id, Extent::All));
        for (id, extent) in of_events.chain(of_counts).chain(of_keys) {
            match forget.accounts.get_mut(id) {
                Some(known) => *known = extent.max(*known),
                None => {
                    forget.accounts.insert(id.clone(), extent);
                }
            }
        }
        forget
    }

    /// And these.
    pub fn add(&mut self, others: Changes) {
        self.accounts.extend(others.accounts);
        self.key_accounts.extend(others.key_accounts);
        self.keys |= others.keys;
        self.everything |= others.everything;
        self.events.extend(others.events);
    }

    fn is_empty(&self) -> bool {
        self.accounts.is_empty() && !self.keys && !self.everything && self.events.is_empty()
    }
}

/// What one process tells the others.
#[derive(Serialize, Deserialize)]
enum Notice {
    /// This was committed.
    Changed(Changes),
    /// Say with this word on [`HEARD`] that you have heard all that came before.
    Confirm(String),
}

/// Commits a transaction, and lets everybody know what it changed.
///
/// After this returns, nobody is shown anything older by this process. Other servers know within a second, or, if this
/// is no server itself, at once.
pub async fn commit(
    context: &Context,
    mut session: Session,
    changes: Changes,
) -> Result<(), Error> {
    // On SQLite no process listens: its commits show in the file.
    if changes.is_empty() || context.db.engine() == EngineKind::Sqlite {
        return Ok(land(context, session, changes).await?);
    }
    let mut notices = notices(&changes)?;
    let confirmation = match context.command {
        true => Confirmation::prepare(context).await?,
        false => None,
    };
    if let Some(confirmation) = &confirmation {
        notices.push(write(&Notice::Confirm(confirmation.word.clone()))?);
    }
    session.notify(CHANNEL, &notices).await?;
    land(context, session, changes).await?;
    if let Some(confirmation) = confirmation {
        confirmation.wait(&context.db).await;
    }
    Ok(())
}

async fn land(context: &Context, session: Session, changes: Changes) -> Result<(), db::Error> {
    let guard = context.cache.guard(session.began(), changes.invalidation());
    session.commit_then(move || drop(guard)).await?;
    // On PostgreSQL this process hears its own words, in the order of all commits.
    if context.db.engine() == EngineKind::Sqlite {
        publish(context, changes);
    }
    Ok(())
}

/// Tells this process's listeners.
fn publish(context: &Context, changes: Changes) {
    if changes.keys || changes.everything {
        context.events.keys_changed();
    }
    for event in changes.events {
        context.events.publish(event);
    }
}

/// The changes as texts, each short enough to be told.
fn notices(changes: &Changes) -> Result<Vec<String>, Error> {
    let bare = Changes {
        accounts: changes.accounts.clone(),
        key_accounts: changes.key_accounts.clone(),
        keys: changes.keys,
        everything: changes.everything,
        events: Vec::new(),
    };
    let mut notices = Vec::new();
    if !bare.is_empty() {
        notices.push(write(&Notice::Changed(bare))?);
    }
    // An event takes some 300 bytes.
    for events in changes.events.chunks(NOTICE / 400) {
        let part = Changes::of(events.to_vec());
        notices.push(write(&Notice::Changed(part))?);
    }
    Ok(notices)
}

fn write(notice: &Notice) -> Result<String, Error> {
    serde_json::to_string(notice).map_err(|error| Error::Internal(error.to_string()))
}

/// A wait until every server has heard what a command did.
struct Confirmation {
    word: String,
    listener: Listener,
}

impl Confirmation {
    async fn prepare(context: &Context) -> Result<Option<Self>, Error> {
        let word = context.clock.uuid().simple().to_string();
        let listener = context.db.listen(HEARD).await?;
        Ok(listener.map(|listener| Confirmation { word, listener }))
    }

    async fn wait(mut self, db: &Database) {
        let heard = async {
            let mut missing = db.listeners(CHANNEL).await?;
            while missing > 0 {
                match self.listener.next().await? {
                    Heard::Notice(word) if word == self.word => missing -= 1,
                    _ => {}
                }
            }
            Ok::<_, db::Error>(())
        };
        match timeout(CONFIRMATION, heard).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::debug!(%error, "servers cannot be asked whether they have heard");
                sleep(CONFIRMATION).await;
            }
            Err(_) => tracing::debug!("not every server has confirmed in time"),
        }
    }
}

/// Keeps a server's cache and its listeners up with what other processes commit, until it stops.
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
                let Err(error) = hear(context, listener).await;
                tracing::warn!(
                    cause = error.cause(),
                    "other nodes are not heard: answers come from the store"
                );
            }
            Err(error) => tracing::debug!(%error, "other nodes are not heard yet"),
        }
        context.cache.end_lease();
        // Whoever listens here finds in the store what it is not told.
        context.events.missed();
        sleep(RETRY).await;
    }
}

/// Passes on what others say. Returns when it can no longer be heard.
async fn hear(
    context: &Context,
    mut listener: Listener,
) -> Result<std::convert::Infallible, Error> {
    // What was said before cannot be heard any more.
    context.cache.forget();
    context.events.missed();
    loop {
        let notice = match listener.next().await? {
            Heard::Alive(at) => {
                context.cache.renew_lease(at);
                continue;
            }
            Heard::Notice(text) => serde_json::from_str(&text),
        };
        match notice {
            Ok(Notice::Changed(changes)) => {
                context.cache.invalidate(&changes.invalidation());
                publish(context, changes);
            }
            // Over the same connection: a pool without a free one must not stop the hearing.
            Ok(Notice::Confirm(word)) => listener.say(HEARD, &word).await?,
            // Another version's words: whatever they mean, nothing is certain any more.
            Err(error) => {
                tracing::warn!(%error, "another node is not understood");
                context.cache.forget();
                context.events.missed();
            }
        }
    }
}

/// Requests see for themselves whether another process has changed the file. Listeners must be told.
async fn watch_file(context: &Context) {
    let mut tick = interval(PULSE);
    let mut known = context.cache.era();
    loop {
        tick.tick().await;
        let era = context.cache.era();
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
        assert!(!forget.everything);
        assert_eq!(forget.accounts, [(account, Extent::All)].into());
    }

    #[test]
    fn the_version_before_this_one_is_understood_and_understands() {
        let forget = read(r#"{"Changed":{"keys":true}}"#).invalidation();
        assert!(forget.everything, "it does not say whose key it is");
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
