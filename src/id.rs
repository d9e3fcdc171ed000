//! Ids: opaque strings with a prefix that says what they name.
//!
//! Invariant: an id is unguessable, and ids of one kind sort by creation time as plain text.

use crate::clock::{self, Clock};
use data_encoding::BASE32_DNSSEC;
use serde::{Deserialize, Serialize};
use std::fmt;

/// 26 digits of base32 hold 128 bits; in this alphabet (`0-9a-v`) the order of the text is the order of the bits.
fn fresh(prefix: &str, clock: &Clock) -> String {
    let mut id = String::with_capacity(prefix.len() + 26);
    id.push_str(prefix);
    BASE32_DNSSEC.encode_append(clock.uuid().as_bytes(), &mut id);
    id
}

/// True for the 26 digits of an id.
fn is_base32(digits: &str) -> bool {
    digits.len() == 26
        && digits
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'v'))
}

/// True if a text can be an id of any kind. The store cannot hold every text, so no other may reach it.
pub fn can_be_id(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// The upper 48 of an id's 128 bits are milliseconds since 1970. <https://www.rfc-editor.org/rfc/rfc9562#name-uuid-version-7>
fn before(id: &str, prefix: &str, seconds: u64) -> Option<String> {
    let digits = id.strip_prefix(prefix)?;
    let bytes = BASE32_DNSSEC.decode(digits.as_bytes()).ok()?;
    let bits = u128::from_be_bytes(bytes.try_into().ok()?);
    let earlier = bits.saturating_sub((u128::from(seconds) * 1000) << 80);
    let digits = BASE32_DNSSEC.encode(&earlier.to_be_bytes());
    Some(format!("{prefix}{digits}"))
}

/// An id that sorts soon after another one, by a step that nobody can guess.
fn next(id: &str, prefix: &str) -> Option<String> {
    let digits = id.strip_prefix(prefix)?;
    let bytes = BASE32_DNSSEC.decode(digits.as_bytes()).ok()?;
    let bits = u128::from_be_bytes(bytes.try_into().ok()?);
    let step = u64::from(u32::from_be_bytes(clock::random())) + 1;
    let digits = BASE32_DNSSEC.encode(&bits.checked_add(step.into())?.to_be_bytes());
    Some(format!("{prefix}{digits}"))
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Makes a new id.
            pub fn new(clock: &Clock) -> Self {
                Self(fresh($prefix, clock))
            }

            /// Makes a new id that sorts after another one, even if that was made by a node whose clock is ahead.
            pub fn new_after(clock: &Clock, other: Option<&Self>) -> Self {
                let new = Self::new(clock);
                match other {
                    Some(other) if new <= *other => next(&other.0, $prefix).map_or(new, Self),
                    _ => new,
                }
            }

            /// Wraps an id that exists, or that will be looked up. Any text is accepted: an id that was
            /// never given out is simply not found.
            pub fn from_text(text: impl Into<String>) -> Self {
                Self(text.into())
            }

            /// Reads an id that has the form of this kind. `None` for any other text.
            pub fn parse(text: &str) -> Option<Self> {
                text.strip_prefix($prefix).filter(|digits| is_base32(digits))?;
                Some(Self::from_text(text))
            }

            /// The id that would have been made this many seconds earlier, as a lower bound for a search. A text that
            /// is not an id of this kind is returned unchanged.
            pub fn earlier(&self, seconds: u64) -> Self {
                Self(before(&self.0, $prefix, seconds).unwrap_or_else(|| self.0.clone()))
            }

            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(text)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
                to.write_str(&self.0)
            }
        }

        impl<'a> From<&'a $name> for db::Value<'a> {
            fn from(id: &'a $name) -> Self {
                db::Value::Text(&id.0)
            }
        }
    )*};
}

ids! {
    /// Names an account.
    AccountId = "acc_";
    /// Names an inbox.
    InboxId = "inbox_";
    /// Names a contact.
    ContactId = "contact_";
    /// Names a conversation.
    ConversationId = "conv_";
    /// Names a message.
    MessageId = "msg_";
    /// Names an API key. It is not the key.
    KeyId = "key_";
    /// Names an update in quarantine.
    QuarantineId = "quar_";
    /// Names a change in a business account.
    BusinessChangeId = "bchg_";
    /// Names an event.
    EventId = "evt_";
    /// Names a visitor of a live chat.
    VisitorId = "visitor_";
}

/// The event of a message's creation has the message's own id under another prefix.
impl From<&MessageId> for EventId {
    fn from(message: &MessageId) -> Self {
        EventId(message.0.replacen("msg_", "evt_", 1))
    }
}

/// The id of a message that was created at the moment of this event: a bound for a search by id.
impl From<&EventId> for MessageId {
    fn from(event: &EventId) -> Self {
        MessageId(event.0.replacen("evt_", "msg_", 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_after_one_of_a_clock_that_is_ahead_sorts_after_it() {
        let ahead = MessageId::new(&Clock::manual(1_700_000_009));
        let clock = Clock::manual(1_700_000_000);
        let after = MessageId::new_after(&clock, Some(&ahead));
        assert!(after > ahead && MessageId::parse(after.as_str()).is_some());
        assert!(MessageId::new_after(&clock, None) < ahead);
    }

    #[test]
    fn an_earlier_bound_is_below_what_was_made_since() {
        let clock = Clock::manual(1_700_000_000);
        let old = MessageId::new(&clock);
        clock.advance(10);
        let id = MessageId::new(&clock);
        assert!(id.earlier(11) < old && id.earlier(9) > old);
        assert_eq!(id.earlier(0), id);
        assert!(id.earlier(u64::from(u32::MAX)) < old);
        for odd in ["", "msg_", "msg_x", "evt_06cqm0d4vdtqf5b5r9e2k8a1p4"] {
            assert_eq!(MessageId::from_text(odd).earlier(10).as_str(), odd);
        }
    }

    #[test]
    fn a_text_is_read_as_an_id_only_if_it_has_its_form() {
        let id = MessageId::new(&Clock::system());
        assert_eq!(MessageId::parse(id.as_str()), Some(id.clone()));
        let upper = id.as_str().to_uppercase();
        let longer = format!("{id}0");
        for other in [
            "",
            "msg_",
            "nope",
            &upper,
            &longer,
            EventId::from(&id).as_str(),
        ] {
            assert_eq!(MessageId::parse(other), None, "{other}");
        }
    }

    #[test]
    fn ids_have_their_prefix_and_ascend() {
        let clock = Clock::system();
        let ids: Vec<_> = (0..1_000).map(|_| InboxId::new(&clock)).collect();
        assert!(ids.is_sorted());
        assert!(
            ids.iter()
                .all(|id| id.as_str().starts_with("inbox_") && id.as_str().len() == 32)
        );
    }
}
