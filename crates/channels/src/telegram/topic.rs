//! Topics: threads within a chat of Telegram.
//!
//! A forum is one chat with many members, and its messages have their topic. The direct messages of a channel are also one
//! chat, but each topic of it is a conversation with one person.
//!
//! Invariant: two people who write to a channel never share a contact.

use crate::json::{self, Object, put};

/// The topic of a message: `id`, and `name` if the message has it.
pub(super) fn of(message: &Object) -> Option<Object> {
    let direct = json::inner(message, "direct_messages_topic");
    let id = match direct {
        Some(topic) => json::id(topic, "topic_id"),
        // In other chats a thread is a message and the answers to it.
        None => json::flag(message, "is_topic_message")
            .then(|| json::id(message, "message_thread_id"))
            .flatten(),
    };
    let opened = json::inner(message, "reply_to_message")
        .and_then(|first| json::inner(first, "forum_topic_created"));
    let mut topic = Object::from_iter([("id".to_owned(), id?.into())]);
    put(
        &mut topic,
        "name",
        opened.and_then(|opened| json::name(opened, "name")),
    );
    Some(topic)
}

/// The person of a channel's direct messages, with the id.
pub(super) fn writer(message: &Object) -> Option<(i64, &Object)> {
    let topic = json::inner(message, "direct_messages_topic")?;
    let user = json::inner(topic, "user")?;
    Some((json::int(user, "id")?, user))
}
