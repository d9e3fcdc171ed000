//! The envelope that WhatsApp's and Instagram's updates have in common.
//!
//! Invariant: the envelope is read without its items, so that an unreadable item does not affect others.

use std::borrow::Cow;
use std::sync::Arc;

use serde_json::value::RawValue;

use crate::addresses::{self, Addresses};
use crate::{Content, Item, Malformed, Moment, json};

/// What Meta's dashboard puts where an account's id belongs when somebody presses Test.
pub(crate) const TEST_ENTRY: &str = "0";

/// What happened to a business account at its provider, such as a verdict on a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BusinessChange {
    /// The account's id at the provider. Shared by all changes of an entry.
    pub business_account_id: Arc<str>,
    /// The provider's name for what changed.
    pub field: String,
    /// What is said of it: a JSON object.
    pub value: Content,
    /// The provider's clock.
    pub timestamp: Option<Moment>,
}

/// Reads each entry of an update.
pub(crate) fn entries(body: &str, read: impl FnMut(&RawValue)) -> Result<(), Malformed> {
    let frame = json::frame(body).ok_or_else(|| malformed("not a JSON object"))?;
    let entries = frame
        .get("entry")
        .ok_or_else(|| malformed("without an entry"))?;
    if !entries.get().starts_with('[') {
        return Err(malformed("entry is not a list"));
    }
    json::each(entries, read);
    Ok(())
}

/// The ids of a body's entries, found without parsing it, each once: at most 64.
pub(crate) fn entry_ids(body: &[u8]) -> Vec<String> {
    let mut ids = Addresses::default();
    addresses::visit(body, |keys, scalar| {
        if matches!(keys, [b"entry", b"id"]) {
            ids.add(scalar);
        }
        !ids.is_full()
    });
    ids.into_vec()
}

fn malformed(reason: &str) -> Malformed {
    Malformed {
        reason: reason.to_owned(),
    }
}

/// An item for quarantine.
pub(crate) fn unreadable(reason: impl Into<Cow<'static, str>>) -> Item {
    Item::Unreadable {
        reason: reason.into(),
        count: 1,
    }
}

/// An item that is neither a message nor about one.
pub(crate) fn ignored(kind: &str) -> Item {
    Item::Ignored {
        kind: json::cut(kind, 64),
    }
}
