//! The envelope that WhatsApp's and Instagram's updates have in common.
//!
//! Invariant: the envelope is read without its items, so that an unreadable item does not affect others.

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::{Item, Malformed, json};

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
