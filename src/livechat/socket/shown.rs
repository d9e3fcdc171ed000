//! What a socket has told its client, and so what it has to tell next.
//!
//! Invariant: each message is told once, in the order in which it was received, and a status only if it is another one than
//! was told.

use crate::{
    error::Error,
    id::{ConversationId, InboxId, MessageId},
    ops::{
        Context,
        events::{self, Event, RecentIds, What},
        livechat::{self, Visitor, VisitorMessage},
    },
};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// How many messages are read from the store at once.
const PAGE: i64 = 100;
/// Of how many answers the status is followed: of the newest ones that were not read. If events were missed, all messages
/// since the first of them are read again.
const UNREAD: usize = 100;

/// What an event means for a socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum News {
    /// Nothing.
    None,
    /// There may be new messages, or the page may not use the chat any more.
    Messages,
    /// An answer may have another status.
    Status(MessageId),
}

/// What was told.
#[derive(Default)]
pub(super) struct Shown {
    /// The newest message that was sent to the client.
    last: Option<MessageId>,
    /// The messages that were sent lately.
    sent: RecentIds<MessageId>,
    /// The status that was told of each answer that was not read yet.
    unread: BTreeMap<MessageId, String>,
    /// The visitor's conversation, as soon as it is known.
    conversation: Option<ConversationId>,
}

/// A page of what is to be told.
pub(super) struct Page {
    pub(super) frames: Vec<Value>,
    /// After which message the next page begins, if there may be one.
    pub(super) next: Option<MessageId>,
}

impl Shown {
    /// Begins after a message that the client has.
    pub(super) fn begin_after(&mut self, message: MessageId) {
        self.sent = RecentIds::from_iter([message.clone()]);
        self.last = Some(message);
    }

    /// What the end of a conversation means: it was joined with another one.
    pub(super) fn gone(&mut self, conversation: &ConversationId) -> News {
        if self.conversation.as_ref() != Some(conversation) {
            return News::None;
        }
        self.conversation = None;
        News::Messages
    }

    /// What an event means.
    pub(super) fn news(&self, inbox: &InboxId, event: &Event) -> News {
        if event.inbox != *inbox {
            return News::None;
        }
        match &event.what {
            // Without this check, every socket of the inbox would read the store for each message.
            What::MessageCreated { conversation, .. } => {
                let own = self.conversation.as_ref();
                match own.is_none_or(|own| own == conversation) {
                    true => News::Messages,
                    false => News::None,
                }
            }
            What::MessageChanged { message, .. } if self.unread.contains_key(message) => {
                News::Status(message.clone())
            }
            What::MessageChanged { .. } => News::None,
            What::ConversationChanged { .. } | What::ContactChanged { .. } => News::None,
            What::InboxChanged | What::InboxDeleted => News::Messages,
        }
    }

    /// After which message the store may have something new. `missed`: other statuses and another conversation, too.
    pub(super) fn begin(&mut self, context: &Context, missed: bool) -> Option<MessageId> {
        if missed {
            self.conversation = None;
        }
        let overlap = events::overlap(context);
        let last = self.last.as_ref().map(|last| last.earlier(overlap));
        let unread = self.unread.keys().next().filter(|_| missed);
        let unread = unread.map(|id| id.earlier(overlap.max(1)));
        match (last, unread) {
            (Some(last), Some(unread)) => Some(last.min(unread)),
            (last, _) => last,
        }
    }

    /// The next page of what the client does not know.
    pub(super) async fn page(
        &mut self,
        context: &Context,
        visitor: &Visitor,
        from: Option<&MessageId>,
    ) -> Result<Page, Error> {
        let page = livechat::messages_after(context, visitor, from, PAGE).await?;
        let has_one = !page.is_empty() || self.last.is_some();
        if self.conversation.is_none() && has_one {
            let found = livechat::conversation(context, visitor).await;
            // If this fails, the only cost is more reads of the store.
            self.conversation = found.ok().flatten();
        }
        let is_full = page.len() as i64 == PAGE;
        let next = page.last().filter(|_| is_full).map(|last| last.id.clone());
        let frames = page.into_iter().filter_map(|one| self.frame(one)).collect();
        Ok(Page { frames, next })
    }

    fn frame(&mut self, message: VisitorMessage) -> Option<Value> {
        if !self.sent.is_new(&message.id) {
            return self.frame_of_status(&message.id, message.status?);
        }
        if self.last.as_ref().is_none_or(|last| message.id > *last) {
            self.last = Some(message.id.clone());
        }
        if let Some(status) = &message.status {
            self.follow(&message.id, status);
        }
        Some(json!({"type": "message", "message": message}))
    }

    /// The status of an answer that was told before, if it is another one now.
    pub(super) async fn status(
        &mut self,
        context: &Context,
        visitor: &Visitor,
        id: &MessageId,
    ) -> Result<Option<Value>, Error> {
        let status = livechat::status(context, visitor, id).await?;
        Ok(status.and_then(|status| self.frame_of_status(id, status)))
    }

    fn frame_of_status(&mut self, id: &MessageId, status: String) -> Option<Value> {
        if *self.unread.get(id)? == status {
            return None;
        }
        self.follow(id, &status);
        Some(json!({"type": "status", "id": id, "status": status}))
    }

    fn follow(&mut self, id: &MessageId, status: &str) {
        if status == "read" {
            self.unread.remove(id);
            return;
        }
        self.unread.insert(id.clone(), status.to_owned());
        if self.unread.len() > UNREAD {
            self.unread.pop_first();
        }
    }
}
