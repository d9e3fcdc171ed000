//! Events: a stream inside the process of what happens, and a way to read events that were missed.
//!
//! There is no log of events in the store. Messages, their changes and inboxes are stored with event ids that sort by
//! time, and [`catch_up`] reads those.
//!
//! Invariant: an event is published only after its change is durable.

use super::{Context, on_blocking_thread};
use crate::{
    error::Error,
    id::{AccountId, ContactId, ConversationId, EventId, InboxId, MessageId},
    store::{contacts, conversations, inboxes, messages},
};
use db::EngineKind;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use tokio::sync::broadcast;

/// How many events a slow listener may be behind before it has to catch up from the store.
const BACKLOG: usize = 1024;
/// How many events of each kind are read from the store at once.
const PAGE: i64 = 200;

/// An event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// The event's id. Later events have greater ids.
    pub id: EventId,
    /// The account in which it happened.
    pub account: AccountId,
    /// The inbox in which it happened. Empty if it is about a contact, who is in no inbox.
    pub inbox: InboxId,
    /// What happened.
    pub what: What,
}

impl Event {
    /// A contact was changed. The event's id is stored with it.
    pub fn of_contact(id: &EventId, account: &AccountId, contact: &ContactId) -> Self {
        Event {
            id: id.clone(),
            account: account.clone(),
            inbox: InboxId::from_text(""),
            what: What::ContactChanged {
                contact: contact.clone(),
            },
        }
    }
}

/// The kinds of events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum What {
    /// A message was stored.
    MessageCreated {
        /// The message's conversation.
        conversation: ConversationId,
        /// The message.
        message: MessageId,
    },
    /// A message has a new status, a reaction or an edit, or was deleted.
    MessageChanged {
        /// The message's conversation.
        conversation: ConversationId,
        /// The message.
        message: MessageId,
    },
    /// A conversation was resolved, opened again or read; or it has another contact, or another one was joined with it.
    ConversationChanged {
        /// The conversation.
        conversation: ConversationId,
    },
    /// A contact was added or changed, or another one was joined with it.
    ContactChanged {
        /// The contact.
        contact: ContactId,
    },
    /// An inbox was created or changed. A new message count does not count as a change.
    InboxChanged,
    /// An inbox was deleted.
    InboxDeleted,
}

impl What {
    /// The event's name in the API.
    pub fn name(&self) -> &'static str {
        match self {
            What::MessageCreated { .. } => "message.created",
            What::MessageChanged { .. } => "message.changed",
            What::ConversationChanged { .. } => "conversation.changed",
            What::ContactChanged { .. } => "contact.changed",
            What::InboxChanged => "inbox.changed",
            What::InboxDeleted => "inbox.deleted",
        }
    }
}

/// What a listener receives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Live {
    /// An event.
    Happened(Event),
    /// An API key was changed. A listener must check whether its own key is still valid.
    KeysChanged,
    /// A conversation was joined with another one: its id leads there. A change of that one is an event.
    ConversationGone(ConversationId),
    /// A session of a live-chat visitor ended.
    SessionEnded(String),
    /// An unknown number of events may have been missed. [`catch_up`] returns them.
    Missed,
}

/// The stream of events of this process. Cheap to clone.
#[derive(Clone)]
pub struct Events(broadcast::Sender<Live>);

impl Default for Events {
    fn default() -> Self {
        Events(broadcast::channel(BACKLOG).0)
    }
}

impl Events {
    /// Sends an event to all listeners. To be called after its commit. It is no error if nobody listens.
    pub fn publish(&self, event: Event) {
        self.0.send(Live::Happened(event)).ok();
    }

    /// Tells all listeners that an API key was changed.
    pub fn keys_changed(&self) {
        self.0.send(Live::KeysChanged).ok();
    }

    /// Tells all listeners that a conversation was joined with another one.
    pub fn conversation_gone(&self, conversation: ConversationId) {
        self.0.send(Live::ConversationGone(conversation)).ok();
    }

    /// Tells all listeners that a session of a live-chat visitor ended.
    pub fn session_ended(&self, session: String) {
        self.0.send(Live::SessionEnded(session)).ok();
    }

    /// Tells all listeners that they may have missed events.
    pub fn missed(&self) {
        self.0.send(Live::Missed).ok();
    }

    /// Receives everything that is sent from now on. A listener that falls too far behind gets `RecvError::Lagged`, and
    /// must [`catch_up`].
    pub fn listen(&self) -> broadcast::Receiver<Live> {
        self.0.subscribe()
    }
}

/// How many seconds before the last event that a listener received it has to start catching up. Ids sort by the clock
/// of the node that made them. Events may be committed in a slightly different order, and the clocks of nodes may
/// differ.
pub fn overlap(context: &Context) -> u64 {
    match context.db.engine() {
        // On SQLite there is one writer, which makes ids and commits in the same order.
        EngineKind::Sqlite => 0,
        EngineKind::Postgres => 10,
    }
}

/// The ids that a listener received lately, so that nothing is sent twice because of the [`overlap`].
#[derive(Debug)]
pub struct RecentIds<Id>(BTreeSet<Id>);

impl<Id: Ord + Clone> RecentIds<Id> {
    /// The most ids that are kept. This covers the overlap, except at a very high rate of events.
    const MOST: usize = 16 * 1024;

    /// Adds an id. True if it was not there.
    pub fn is_new(&mut self, id: &Id) -> bool {
        let first = self.0.insert(id.clone());
        if self.0.len() > Self::MOST {
            self.0.pop_first();
        }
        first
    }
}

impl<Id> Default for RecentIds<Id> {
    fn default() -> Self {
        RecentIds(BTreeSet::new())
    }
}

/// Starts with the ids that a client says it has received.
impl<Id: Ord> FromIterator<Id> for RecentIds<Id> {
    fn from_iter<T: IntoIterator<Item = Id>>(told: T) -> Self {
        RecentIds(told.into_iter().collect())
    }
}

/// The next page of events in an account after an event, oldest first. An empty page is the end. If an inbox,
/// a contact or a conversation was changed several times, only the last change is returned. Deletions of inboxes are never returned.
pub async fn catch_up(
    context: &Context,
    account: &AccountId,
    after: &EventId,
) -> Result<Vec<Event>, Error> {
    // It also reads rows of the account that are no events, however many there are.
    let (context, account, after) = (context.clone(), account.clone(), after.clone());
    on_blocking_thread(async move { read_after(&context, &account, &after).await }).await
}

async fn read_after(
    context: &Context,
    account: &AccountId,
    after: &EventId,
) -> Result<Vec<Event>, Error> {
    let mut session = context.db.snapshot().await?;
    let created = messages::created_after(&mut session, account, after, PAGE).await?;
    let changed = messages::changed_after(&mut session, account, after, PAGE).await?;
    let conversations = conversations::changed(&mut session, account, after, PAGE).await?;
    let contacts = contacts::changed(&mut session, account, after, PAGE).await?;
    let inboxes = inboxes::changed(&mut session, account, after, PAGE).await?;
    drop(session);

    // If the page of one kind is full, more of that kind may follow it. So events of the other kinds must not be
    // returned beyond its end.
    let ends = [
        created
            .last()
            .map(|last| (created.len(), last.event.clone())),
        changed
            .last()
            .map(|last| (changed.len(), last.event.clone())),
        conversations
            .last()
            .map(|last| (conversations.len(), last.0.clone())),
        contacts.last().map(|last| (contacts.len(), last.0.clone())),
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
        .chain(conversations.into_iter().map(|(id, conversation, inbox)| {
            event(id, inbox, What::ConversationChanged { conversation })
        }))
        .chain(
            contacts
                .into_iter()
                .map(|(id, contact)| Event::of_contact(&id, account, &contact)),
        )
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
