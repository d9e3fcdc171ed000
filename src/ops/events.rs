//! What happens, as it happens: a stream of typed events inside the process, and catching up with what was missed.
//!
//! There is no log of events beside the data: what is stored of messages, their changes and inboxes carries
//! ids that sort by time, and catching up reads those.
//!
//! Invariant: an event is published only after its change is durable.

use super::Context;
use crate::{
    error::Error,
    id::{AccountId, ConversationId, EventId, InboxId, MessageId},
    store::{inboxes, messages},
};
use db::EngineKind;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use tokio::sync::broadcast;

/// Events that a slow listener may be behind before it has to catch up from the store.
const BACKLOG: usize = 1024;
/// Events of each kind that are read from the store at once.
const PAGE: i64 = 200;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Its id; later events have greater ones.
    pub id: EventId,
    /// In whose account.
    pub account: AccountId,
    /// In which inbox.
    pub inbox: InboxId,
    /// What.
    pub what: What,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum What {
    /// A message was stored.
    MessageCreated {
        /// In this conversation.
        conversation: ConversationId,
        /// This one.
        message: MessageId,
    },
    /// A message has a new status, a reaction, an edit, or was withdrawn.
    MessageChanged {
        /// In this conversation.
        conversation: ConversationId,
        /// This one.
        message: MessageId,
    },
    /// An inbox was created or changed, other than in its count.
    InboxChanged,
    /// An inbox is gone.
    InboxDeleted,
}

impl What {
    /// Its name for listeners.
    pub fn name(&self) -> &'static str {
        match self {
            What::MessageCreated { .. } => "message.created",
            What::MessageChanged { .. } => "message.changed",
            What::InboxChanged => "inbox.changed",
            What::InboxDeleted => "inbox.deleted",
        }
    }
}

/// What a listener is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Live {
    /// This happened.
    Happened(Event),
    /// An API key is no longer what it was: who listens by one must look whether it still may.
    KeysChanged,
    /// Something may have happened that nobody can tell: [`catch_up`] finds it.
    Missed,
}

/// The stream. Cheap to clone.
#[derive(Clone)]
pub struct Events(broadcast::Sender<Live>);

impl Default for Events {
    fn default() -> Self {
        Events(broadcast::channel(BACKLOG).0)
    }
}

impl Events {
    /// Tells all listeners what was committed. That there is none is no error.
    pub fn publish(&self, event: Event) {
        self.0.send(Live::Happened(event)).ok();
    }

    /// Tells all listeners that an API key is no longer what it was.
    pub fn keys_changed(&self) {
        self.0.send(Live::KeysChanged).ok();
    }

    /// Tells all listeners that something may have happened that they were not told.
    pub fn missed(&self) {
        self.0.send(Live::Missed).ok();
    }

    /// From now on. A listener that is too far behind is told so, and must [`catch_up`], too.
    pub fn listen(&self) -> broadcast::Receiver<Live> {
        self.0.subscribe()
    }
}

/// How long before the last thing that a listener was told it catches up from, in seconds. Ids sort by the moment at
/// which they were made, by their node's clock; what is committed, or another node's, may come a little out of that order.
pub fn overlap(context: &Context) -> u64 {
    match context.db.engine() {
        // One writer makes ids and commits in one order.
        EngineKind::Sqlite => 0,
        EngineKind::Postgres => 10,
    }
}

/// What a listener was told lately, so that an overlap repeats nothing.
#[derive(Debug)]
pub struct Told<Id>(BTreeSet<Id>);

impl<Id: Ord + Clone> Told<Id> {
    /// Ids that are remembered: those of the overlap, unless very much happens.
    const MOST: usize = 16 * 1024;

    /// Whether this is told for the first time.
    pub fn first_time(&mut self, id: &Id) -> bool {
        let first = self.0.insert(id.clone());
        if self.0.len() > Self::MOST {
            self.0.pop_first();
        }
        first
    }
}

impl<Id> Default for Told<Id> {
    fn default() -> Self {
        Told(BTreeSet::new())
    }
}

/// What a listener says that it was told.
impl<Id: Ord> FromIterator<Id> for Told<Id> {
    fn from_iter<T: IntoIterator<Item = Id>>(told: T) -> Self {
        Told(told.into_iter().collect())
    }
}

/// What happened in an account after an event, oldest first: a page of it, which is empty at the end.
/// Of several changes of one inbox only the last is known, and deletions are not.
pub async fn catch_up(
    context: &Context,
    account: &AccountId,
    after: &EventId,
) -> Result<Vec<Event>, Error> {
    let mut session = context.db.snapshot().await?;
    let created = messages::created_after(&mut session, account, after, PAGE).await?;
    let changed = messages::changed_after(&mut session, account, after, PAGE).await?;
    let inboxes = inboxes::changed(&mut session, account, after, PAGE).await?;
    drop(session);

    // A full page of one kind says nothing about what lies beyond its end: nor may the others go further.
    let ends = [
        created
            .last()
            .map(|last| (created.len(), last.event.clone())),
        changed
            .last()
            .map(|last| (changed.len(), last.event.clone())),
        inboxes.last().map(|last| (inboxes.len(), last.0.clone())),
    ];
    let end = ends
        .into_iter()
        .flatten()
        .filter(|(count, _)| *count as i64 == PAGE)
        .map(|(_, id)| id)
        .min();

    let event = |id, inbox, what| Event {
        id,
        account: account.clone(),
        inbox,
        what,
    };
    let mut events: Vec<_> = created
        .into_iter()
        .map(|one| {
            let (conversation, message) = (one.conversation, one.message);
            let what = What::MessageCreated {
                conversation,
                message,
            };
            event(one.event, one.inbox, what)
        })
        .chain(changed.into_iter().map(|one| {
            let (conversation, message) = (one.conversation, one.message);
            let what = What::MessageChanged {
                conversation,
                message,
            };
            event(one.event, one.inbox, what)
        }))
        .chain(
            inboxes
                .into_iter()
                .map(|(id, inbox)| event(id, inbox, What::InboxChanged)),
        )
        .filter(|event| end.as_ref().is_none_or(|end| event.id <= *end))
        .collect();
    events.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(events)
}
