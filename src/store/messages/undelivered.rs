//! What keeps outbound messages from being delivered, as a column of theirs: that a message failed, was canceled, or is in
//! doubt. It is what `ops::messages` shows as their status, for statements that look for such messages.
//!
//! Invariant: it follows from the message's own status and the statuses that were noted for it. The latest in the order of
//! [`crate::domain::MESSAGE_STATUSES`] holds.

use super::Key;
use crate::store::statements;
use db::{Each, Error, Session};

/// The place of a status in the order of all.
macro_rules! rank {
    ($status:literal) => {
        concat!(
            "CASE ",
            $status,
            " WHEN 'queued' THEN 0 WHEN 'canceled' THEN 1 WHEN 'unknown' THEN 2 WHEN 'sent' THEN 3
                WHEN 'failed' THEN 4 WHEN 'delivered' THEN 5 WHEN 'read' THEN 6 ELSE 3 END"
        )
    };
}

/// What keeps the message of the table `messages` from being delivered.
macro_rules! undelivered_by {
    () => {
        concat!(
            "(SELECT CASE MAX(r.rank) WHEN 1 THEN 'canceled' WHEN 2 THEN 'unknown' WHEN 4 THEN 'failed' END
            FROM (SELECT ", $crate::store::messages::rank!("COALESCE(messages.status, 'sent')"), " AS rank
                UNION ALL SELECT ", $crate::store::messages::rank!("c.key"), " FROM message_changes c
                WHERE c.account_id = messages.account_id AND c.inbox_id = messages.inbox_id
                    AND c.provider_id = messages.provider_id AND c.kind = 'status') AS r)"
        )
    };
}
pub(in crate::store) use {rank, undelivered_by};

statements! {
    SET_UNDELIVERED = concat!("UPDATE messages SET undelivered = ", undelivered_by!(), "
        WHERE account_id = $1 AND inbox_id = $2 AND provider_id = $3 AND direction = 'outbound' AND historic = 0");
}

/// Those that run many times at once.
pub(super) const EACH: &[Each] = &[Each::Update(SET_UNDELIVERED)];

/// Works out anew what keeps messages, each named once, from being delivered.
pub async fn set_undelivered(session: &mut Session, keys: &[Key<'_>]) -> Result<(), Error> {
    let runs: Vec<_> = keys.iter().map(Key::params).collect();
    session.update_each(&SET_UNDELIVERED, &runs).await
}
