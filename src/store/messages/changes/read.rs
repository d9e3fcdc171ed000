//! Reads the changes of many messages at once, up to a limit.
//!
//! Invariant: if changes of a message are left out, they are its oldest ones.

use crate::{
    id::{AccountId, EventId},
    store::messages::{LONGEST_LISTED, Stored},
};
use db::{Error, Row, Session, Sql};
use std::collections::HashMap;

/// The maximum number of changes that are read for one page.
const MOST: usize = 2000;
/// The length of a value that is read together with its change, in bytes. Only the content of an edit can be longer.
const SHORT: usize = 4096;

/// The changes of some messages, latest first, as [`read`] reads them. The statement makes both engines look up each
/// message in the list, and never scan all changes.
const OF_MESSAGES: Sql = Sql {
    sqlite: "SELECT j.key, c.id, c.kind, c.key, CASE WHEN octet_length(c.value) <= 4096 THEN c.value END,
            COALESCE(octet_length(c.value), 0), c.type, c.timestamp
        FROM json_each($1) j CROSS JOIN message_changes c
            ON c.account_id = $2 AND c.inbox_id = j.value ->> 0 AND c.provider_id = j.value ->> 1
        ORDER BY j.key, c.timestamp DESC, c.millis DESC, c.id DESC LIMIT $3",
    postgres: "SELECT j.number - 1, c.id, c.kind, c.key, CASE WHEN octet_length(c.value) <= 4096 THEN c.value END,
            CAST(COALESCE(octet_length(c.value), 0) AS BIGINT), c.type, c.timestamp
        FROM json_array_elements(CAST(CAST($1 AS TEXT) AS JSON)) WITH ORDINALITY AS j (value, number),
            LATERAL (SELECT h.id, h.kind, h.key, h.value, h.type, h.timestamp, h.millis FROM message_changes h
                WHERE h.account_id = $2 AND h.inbox_id = j.value ->> 0 AND h.provider_id = j.value ->> 1 OFFSET 0) AS c
        ORDER BY j.number, c.timestamp DESC, c.millis DESC, c.id DESC LIMIT $3",
};

/// The values of some changes. Values longer than `$1` bytes are cut.
const VALUES: Sql = Sql {
    sqlite: "SELECT c.id, CASE WHEN octet_length(c.value) > CAST($1 AS BIGINT) THEN substr(c.value, 1, 16384) ELSE c.value END
        FROM json_each($2) j CROSS JOIN message_changes c ON c.account_id = $3 AND c.id = j.value",
    postgres: "SELECT c.id, CASE WHEN octet_length(c.value) > CAST($1 AS BIGINT) THEN substr(c.value, 1, 16384) ELSE c.value END
        FROM json_array_elements_text(CAST(CAST($2 AS TEXT) AS JSON)) AS j (id),
            LATERAL (SELECT h.id, h.value FROM message_changes h
                WHERE h.account_id = $3 AND h.id = j.id OFFSET 0) AS c",
};

pub(in crate::store) const ALL: &[Sql] = &[OF_MESSAGES, VALUES];

/// A change of a message.
#[derive(Debug, Clone)]
pub struct Change {
    /// `status`, `reaction`, `edit`, `revoke` or `content`.
    pub kind: String,
    /// A status's name, a reaction's author and fingerprint.
    pub part: String,
    /// The error, the emoji or the new content (JSON, or the beginning of it), if any.
    pub value: Option<String>,
    /// Bytes of the whole value.
    pub size: usize,
    /// Of an edit, the type of its content. Without one it is of the message's own.
    pub content_type: Option<String>,
    /// The provider's clock.
    pub timestamp: i64,
}

/// The changes of a message.
#[derive(Debug, Clone)]
pub struct Changes {
    /// Oldest first.
    pub changes: Vec<Change>,
    /// Whether these are all. If not, older ones are left out.
    pub complete: bool,
}

impl Default for Changes {
    fn default() -> Self {
        Changes {
            changes: Vec::new(),
            complete: true,
        }
    }
}

/// The limits of a read.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// The length of a value that is read whole, in bytes. A longer one is cut to less than [`LONGEST_LISTED`].
    pub value: usize,
    /// The length of all values together, in bytes.
    pub all: usize,
}

/// The changes of each of these messages. When a limit is reached, the older changes of this message and all changes of the
/// messages after it are left out.
pub async fn changes(
    session: &mut Session,
    account: &AccountId,
    messages: &[&Stored<'_>],
    bounds: Bounds,
) -> Result<Vec<Changes>, Error> {
    if messages.is_empty() {
        return Ok(Vec::new());
    }
    let keys = messages.iter().map(|one| [&one.inbox, &one.provider_id]);
    let keys = json(&keys.collect::<Vec<_>>())?;
    let limit = MOST as i64 + 1;
    let params = [(&keys).into(), account.into(), limit.into()];
    let mut rows = session.query(&OF_MESSAGES, &params, read).await?;
    // The message of the last row may have more changes.
    let mut end = match rows.len() > MOST {
        true => rows.pop().map(|last| last.message),
        false => None,
    };
    let mut bytes = 0;
    let fit = rows.iter().position(|row| {
        bytes += match row.change.size > bounds.value {
            true => LONGEST_LISTED,
            false => row.change.size,
        };
        bytes > bounds.all
    });
    if let Some(fit) = fit {
        end = Some(rows[fit].message);
        rows.truncate(fit);
    }
    read_long_values(session, account, &mut rows, bounds).await?;

    let mut found = vec![Changes::default(); messages.len()];
    for row in rows.into_iter().rev() {
        if let Some(changes) = found.get_mut(row.message) {
            changes.changes.push(row.change);
        }
    }
    for changes in found.iter_mut().skip(end.unwrap_or(messages.len())) {
        changes.complete = false;
    }
    Ok(found)
}

/// Reads the values that were too long to be read together with their changes.
async fn read_long_values(
    session: &mut Session,
    account: &AccountId,
    rows: &mut [Read],
    bounds: Bounds,
) -> Result<(), Error> {
    let long = rows.iter().filter(|row| row.change.size > SHORT);
    let ids: Vec<_> = long.map(|row| &row.id).collect();
    if ids.is_empty() {
        return Ok(());
    }
    let ids = json(&ids)?;
    let whole = i64::try_from(bounds.value).unwrap_or(i64::MAX);
    let params = [whole.into(), (&ids).into(), account.into()];
    let values = session.query(&VALUES, &params, |row| {
        Ok((EventId::from_text(row.get::<String>(0)?), row.get(1)?))
    });
    let mut values: HashMap<EventId, String> = values.await?.into_iter().collect();
    for row in rows {
        if let Some(value) = values.remove(&row.id) {
            row.change.value = Some(value);
        }
    }
    Ok(())
}

/// A change, with the index of its message.
struct Read {
    message: usize,
    id: EventId,
    change: Change,
}

fn read(row: &Row<'_>) -> Result<Read, Error> {
    Ok(Read {
        message: row.get::<i64>(0)? as usize,
        id: EventId::from_text(row.get::<String>(1)?),
        change: Change {
            kind: row.get(2)?,
            part: row.get(3)?,
            value: row.get(4)?,
            size: row.get::<i64>(5)? as usize,
            content_type: row.get(6)?,
            timestamp: row.get(7)?,
        },
    })
}

fn json(list: &impl serde::Serialize) -> Result<String, Error> {
    serde_json::to_string(list).map_err(|error| Error::Broken(error.to_string()))
}
