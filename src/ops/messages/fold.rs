//! Applies changes to a message: edits, reactions, status changes and deletions.
//!
//! Invariant: the result does not depend on the order in which the changes were received.

use super::cut;
use crate::{
    domain::{DeliveryError, Edit, MESSAGE_STATUSES, Message, Quoted, Reaction, StatusTimes},
    store::messages::{CUT_TO, Change, Changes, Stored, is_own_key, reaction_author},
};
use db::Error;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// The sender of a message of the business that was not sent here.
const PHONE: &str = r#"{"type":"phone","id":"phone","name":"The channel's own app"}"#;

/// Applies its changes to a message.
pub(in crate::ops) fn fold(stored: Stored<'_>, changes: Changes) -> Result<Message<'_>, Error> {
    let outbound = stored.direction == "outbound";
    let content = Content::read(stored.content, stored.content_size)?;
    let quoted_id = stored
        .quoted_given_id
        .or(stored.quoted_id.and_then(outside));
    let (quoted, quoted_cut) = quoted(quoted_id, stored.quoted.as_deref())?;
    let mut times = StatusTimes::default();
    if let (Some(status), Some(_)) = (&stored.status, &stored.sent_by) {
        times.note(status, stored.received_at);
    }
    let sent_by = match stored.sent_by {
        Some(sender) => Some(json(sender)?),
        None if outbound => Some(json(Cow::Borrowed(PHONE))?),
        None => None,
    };
    let mut message = Message {
        id: stored.id,
        inbox_id: stored.inbox,
        conversation_id: stored.conversation,
        provider_id: stored.given_id.or_else(|| outside(stored.provider_id)),
        direction: stored.direction,
        kind: stored.kind,
        content: content.json,
        content_size: content.cut_from,
        truncated: content.cut_from.is_some() || quoted_cut || !changes.complete,
        sender: json(stored.sender)?,
        reply_to: stored.reply_to,
        quoted,
        // A provider has accepted a message that it reports, unless it says otherwise.
        status: outbound.then(|| stored.status.unwrap_or(Cow::Borrowed("sent"))),
        status_times: None,
        error: None,
        sent_by,
        metadata: stored.metadata.map(json).transpose()?,
        edits: Vec::new(),
        reactions: Vec::new(),
        deleted_at: None,
        timestamp: stored.timestamp,
        received_at: stored.received_at,
    };
    for change in changes.changes {
        match change.kind.as_str() {
            "status" if outbound => {
                times.note(&change.part, change.timestamp);
                advance(&mut message, change);
            }
            "reaction" => {
                let by = reaction_author(&change.part);
                message.reactions.retain(|reaction| reaction.by != by);
                message.reactions.extend(change.value.map(|emoji| Reaction {
                    emoji,
                    by: by.to_owned(),
                    timestamp: change.timestamp,
                }));
            }
            "edit" => edit(&mut message, change)?,
            "revoke" => message.deleted_at = Some(change.timestamp),
            _ => {}
        }
    }
    message.status_times = times.if_any();
    Ok(message)
}

/// What was sent here is known to outsiders by the provider's id alone.
fn outside(key: Cow<'_, str>) -> Option<Cow<'_, str>> {
    (!is_own_key(&key)).then_some(key)
}

/// Applies a status. A status only moves forward: `failed` can follow `sent`, but not `delivered`.
fn advance(message: &mut Message<'_>, change: Change) {
    let rank = |status: &str| MESSAGE_STATUSES.iter().position(|known| *known == status);
    let current = message.status.as_deref().unwrap_or("queued");
    if rank(&change.part) > rank(current) {
        let failure = change.value.filter(|_| change.part == "failed");
        message.error = failure.map(|text| delivery_error(&text));
        message.status = Some(change.part.into());
    }
}

/// Why a message was not delivered: as it was noted by us, or as a provider's status told it.
fn delivery_error(text: &str) -> DeliveryError {
    serde_json::from_str(text).unwrap_or_else(|_| channels::whatsapp::send::failure(text).into())
}

/// Applies an edit. The earlier content is kept.
fn edit(message: &mut Message<'_>, change: Change) -> Result<(), Error> {
    let text = change.value.unwrap_or_else(|| "{}".to_owned());
    let new = Content::read(text.into(), change.size)?;
    let kind = change.content_type.map(Cow::Owned);
    let kind = kind.unwrap_or_else(|| message.kind.clone());
    message.truncated |= new.cut_from.is_some();
    message.content_size = new.cut_from;
    message.edits.push(Edit {
        kind: std::mem::replace(&mut message.kind, kind),
        content: std::mem::replace(&mut message.content, new.json),
        edited_at: change.timestamp,
    });
    Ok(())
}

/// The message that another one answers, and whether its text was cut.
fn quoted<'a>(
    provider_id: Option<Cow<'a, str>>,
    told: Option<&str>,
) -> Result<(Option<Quoted<'a>>, bool), Error> {
    #[derive(Default, Deserialize)]
    struct Told {
        text: Option<Box<RawValue>>,
        story: Option<Box<RawValue>>,
    }
    // An uncut text of exactly this length is valid JSON.
    let may_be_cut = |told: &str| told.chars().count() == CUT_TO;
    let (told, is_cut) = match told {
        None => (Told::default(), false),
        Some(told) => match serde_json::from_str(told) {
            Err(_) if may_be_cut(told) => (
                serde_json::from_str(&cut::close(told)).map_err(damaged)?,
                true,
            ),
            read => (read.map_err(damaged)?, false),
        },
    };
    let quoted = Quoted {
        provider_id,
        text: told.text,
        story: told.story,
    };
    let is_one = quoted.provider_id.is_some() || quoted.text.is_some() || quoted.story.is_some();
    Ok((is_one.then_some(quoted), is_cut))
}

/// The content of a message, or the beginning of it.
struct Content<'a> {
    json: Cow<'a, RawValue>,
    /// The size of the whole content in bytes, if it was cut.
    cut_from: Option<usize>,
}

impl<'a> Content<'a> {
    /// Reads a content that has `size` bytes in the store.
    fn read(text: Cow<'a, str>, size: usize) -> Result<Self, Error> {
        let cut_from = (text.len() < size).then_some(size);
        let text = match cut_from {
            Some(_) => Cow::Owned(cut::close(&text)),
            None => text,
        };
        let json = json(text)?;
        Ok(Content { json, cut_from })
    }
}

/// Checks that a text is JSON, without copying it.
pub(in crate::ops) fn json(text: Cow<'_, str>) -> Result<Cow<'_, RawValue>, Error> {
    let json = match text {
        Cow::Borrowed(text) => serde_json::from_str(text).map(Cow::Borrowed),
        Cow::Owned(text) => RawValue::from_string(text).map(Cow::Owned),
    };
    json.map_err(damaged)
}

fn damaged(error: serde_json::Error) -> Error {
    Error::Broken(format!("a stored message is damaged: {error}"))
}
