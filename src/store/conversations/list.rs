//! Lists of conversations: in three orders, narrowed by filters.
//!
//! A list walks along one index in its order. Filters that the index does not know are looked at row by row. So that a page
//! whose filters fit few rows costs no more than another, it ends after [`MOST_READ`] rows of the index, wherever that is:
//! [`end_of_page`] finds the place.
//!
//! Invariant: a page is one statement, which finds each row along an index in the order in which it is listed.

use super::read::{Stored, conversation, read};
use crate::{
    id::{AccountId, ContactId, ConversationId, InboxId},
    store::{not_deleted, statements},
};
use db::{Error, Session, Sql, Value};

/// The most rows of an index that a page with filters reads. [`page`] says it, too.
const MOST_READ: i64 = 2000;

/// The orders of lists.
macro_rules! order {
    (created) => {
        " ORDER BY v.id DESC "
    };
    (latest) => {
        " ORDER BY v.last_message_at DESC, v.id DESC "
    };
    (waiting) => {
        " ORDER BY v.waiting_since, v.id "
    };
}

/// The rows of a walk behind a cursor, in the order of the list.
macro_rules! walk {
    ($along:literal, created, $cursor:literal) => {
        concat!(
            "WHERE v.account_id = $1 ",
            $along,
            " AND v.id < ",
            $cursor,
            order!(created)
        )
    };
    ($along:literal, latest, $cursor:literal) => {
        concat!(
            "WHERE v.account_id = $1 ",
            $along,
            " AND (v.last_message_at, v.id) < ",
            $cursor,
            order!(latest)
        )
    };
    ($along:literal, waiting, $cursor:literal) => {
        concat!(
            "WHERE v.account_id = $1 ",
            $along,
            " AND (v.waiting_since, v.id) > ",
            $cursor,
            order!(waiting)
        )
    };
}

/// A page with filters: the rows that fit, of those that it may read at most.
macro_rules! page {
    ($along:literal, $order:ident, $cursor:literal, $status:literal, $waiting:literal, $unread:literal, $undelivered:literal,
        $since:literal, $inbox:literal, $contact:literal, $limit:literal) => {
        conversation!(from concat!("(SELECT v.* FROM (SELECT v.* FROM conversations v ", walk!($along, $order, $cursor), "LIMIT 2000) AS v
            WHERE (CAST(", $status, " AS TEXT) IS NULL OR v.status = ", $status, ")
              AND (CAST(", $waiting, " AS BIGINT) IS NULL OR CASE WHEN v.waiting_since IS NULL THEN 0 ELSE 1 END = ", $waiting, ")
              AND (CAST(", $unread, " AS BIGINT) IS NULL OR CASE WHEN v.unread_count = 0 THEN 0 ELSE 1 END = ", $unread, ")
              AND (CAST(", $undelivered, " AS BIGINT) IS NULL OR v.undelivered = ", $undelivered, ")
              AND (CAST(", $since, " AS BIGINT) IS NULL OR v.updated_at >= ", $since, ")
              AND (CAST(", $inbox, " AS TEXT) IS NULL OR v.inbox_id = ", $inbox, ")
              AND (CAST(", $contact, " AS TEXT) IS NULL OR v.contact_id = ", $contact, ")",
            not_deleted!("v.inbox_id"), order!($order), "LIMIT ", $limit, ") AS v"), order!($order))
    };
    // By how many parameters come before those of the filters.
    ($along:literal, $order:ident, 2, $cursor:literal) => {
        page!($along, $order, $cursor, "$3", "$4", "$5", "$6", "$7", "$8", "$9", "$10")
    };
    ($along:literal, $order:ident, 3, $cursor:literal) => {
        page!($along, $order, $cursor, "$4", "$5", "$6", "$7", "$8", "$9", "$10", "$11")
    };
    ($along:literal, $order:ident, 4, $cursor:literal) => {
        page!($along, $order, $cursor, "$5", "$6", "$7", "$8", "$9", "$10", "$11", "$12")
    };
}

/// The place of the last row that such a page reads.
macro_rules! end {
    ($along:literal, created, $cursor:literal, $skip:literal) => {
        concat!(
            "SELECT CAST(0 AS BIGINT), v.id FROM conversations v ",
            walk!($along, created, $cursor),
            "LIMIT 1 OFFSET ",
            $skip
        )
    };
    ($along:literal, latest, $cursor:literal, $skip:literal) => {
        concat!(
            "SELECT v.last_message_at, v.id FROM conversations v ",
            walk!($along, latest, $cursor),
            "LIMIT 1 OFFSET ",
            $skip
        )
    };
    ($along:literal, waiting, $cursor:literal, $skip:literal) => {
        concat!(
            "SELECT v.waiting_since, v.id FROM conversations v ",
            walk!($along, waiting, $cursor),
            "LIMIT 1 OFFSET ",
            $skip
        )
    };
}

statements! {
    // Without filters.
    OF_ACCOUNT = conversation!("AND v.id < $2 ", not_deleted!("v.inbox_id"), order!(created), "LIMIT $3");
    OF_INBOX = conversation!("AND v.inbox_id = $2 AND v.id < $3 ", not_deleted!("v.inbox_id"), order!(created), "LIMIT $4");
    LATEST_OF_ACCOUNT = conversation!("AND (v.last_message_at, v.id) < ($2, $3) ", not_deleted!("v.inbox_id"), order!(latest), "LIMIT $4");
    LATEST_OF_INBOX = conversation!("AND v.inbox_id = $2 AND (v.last_message_at, v.id) < ($3, $4) ", not_deleted!("v.inbox_id"),
        order!(latest), "LIMIT $5");
    WAITING_OF_ACCOUNT = conversation!("AND v.waiting_since IS NOT NULL AND (v.waiting_since, v.id) > ($2, $3) ",
        not_deleted!("v.inbox_id"), order!(waiting), "LIMIT $4");
    // With filters.
    CREATED = page!("", created, 2, "$2");
    CREATED_IN_INBOX = page!("AND v.inbox_id = $2", created, 3, "$3");
    CREATED_WITH_CONTACT = page!("AND v.contact_id = $2", created, 3, "$3");
    CREATED_UNDELIVERED = page!("AND v.undelivered = 1", created, 2, "$2");
    LATEST = page!("", latest, 3, "($2, $3)");
    LATEST_IN_INBOX = page!("AND v.inbox_id = $2", latest, 4, "($3, $4)");
    LATEST_WITH_CONTACT = page!("AND v.contact_id = $2", latest, 4, "($3, $4)");
    LATEST_UNDELIVERED = page!("AND v.undelivered = 1", latest, 3, "($2, $3)");
    WAITING = page!("AND v.waiting_since IS NOT NULL", waiting, 3, "($2, $3)");
    END_CREATED = end!("", created, "$2", "$3");
    END_CREATED_IN_INBOX = end!("AND v.inbox_id = $2", created, "$3", "$4");
    END_CREATED_WITH_CONTACT = end!("AND v.contact_id = $2", created, "$3", "$4");
    END_CREATED_UNDELIVERED = end!("AND v.undelivered = 1", created, "$2", "$3");
    END_LATEST = end!("", latest, "($2, $3)", "$4");
    END_LATEST_IN_INBOX = end!("AND v.inbox_id = $2", latest, "($3, $4)", "$5");
    END_LATEST_WITH_CONTACT = end!("AND v.contact_id = $2", latest, "($3, $4)", "$5");
    END_LATEST_UNDELIVERED = end!("AND v.undelivered = 1", latest, "($2, $3)", "$4");
    END_WAITING = end!("AND v.waiting_since IS NOT NULL", waiting, "($2, $3)", "$4");
}

/// The statements of a walk: a page with filters, and where it ends.
type Walk = (&'static Sql, &'static Sql);

/// In which order conversations are listed, and behind which one a page begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cursor {
    /// The newest first, by when they began.
    Created(ConversationId),
    /// The newest first, by when their last message was written.
    Latest(i64, ConversationId),
    /// Those that wait, those that have waited longest first.
    Waiting(i64, ConversationId),
}

impl Cursor {
    fn params(&self) -> Vec<Value<'_>> {
        match self {
            Cursor::Created(id) => vec![id.into()],
            Cursor::Latest(at, id) | Cursor::Waiting(at, id) => vec![(*at).into(), id.into()],
        }
    }
}

/// Which conversations are listed. What is `None` does not matter.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Those of this inbox.
    pub inbox: Option<InboxId>,
    /// Those with this contact.
    pub contact: Option<ContactId>,
    /// Those with this status.
    pub status: Option<String>,
    /// Those that wait for an answer, or those that do not.
    pub waiting: Option<bool>,
    /// Those of which something is unread, or those of which nothing is.
    pub unread: Option<bool>,
    /// Those in which something was not delivered, or the others.
    pub undelivered: Option<bool>,
    /// Those that were updated at this time or later.
    pub updated_since: Option<i64>,
}

impl Filter {
    /// Whether a page with it is looked for among the rows of a walk. If not, each row of the walk fits.
    pub fn is_narrow(&self, cursor: &Cursor) -> bool {
        let is_waiting = matches!(cursor, Cursor::Waiting(..));
        let waiting = self.waiting.is_some() && !is_waiting;
        let inbox = self.inbox.is_some() && is_waiting;
        let rest = self.status.is_some() || self.unread.is_some() || self.updated_since.is_some();
        waiting || inbox || rest || self.contact.is_some() || self.undelivered.is_some()
    }

    /// The walk that meets the fewest others, and the value that its rows have in common.
    fn walk(&self, cursor: &Cursor) -> (Walk, Option<&str>) {
        let is_latest = match cursor {
            Cursor::Waiting(..) => return ((&WAITING, &END_WAITING), None),
            Cursor::Latest(..) => true,
            Cursor::Created(_) => false,
        };
        let (walks, value): ([Walk; 2], _) = match (&self.contact, self.undelivered, &self.inbox) {
            (Some(contact), _, _) => (
                [
                    (&CREATED_WITH_CONTACT, &END_CREATED_WITH_CONTACT),
                    (&LATEST_WITH_CONTACT, &END_LATEST_WITH_CONTACT),
                ],
                Some(contact.as_str()),
            ),
            (None, Some(true), _) => (
                [
                    (&CREATED_UNDELIVERED, &END_CREATED_UNDELIVERED),
                    (&LATEST_UNDELIVERED, &END_LATEST_UNDELIVERED),
                ],
                None,
            ),
            (None, _, Some(inbox)) => (
                [
                    (&CREATED_IN_INBOX, &END_CREATED_IN_INBOX),
                    (&LATEST_IN_INBOX, &END_LATEST_IN_INBOX),
                ],
                Some(inbox.as_str()),
            ),
            (None, _, None) => ([(&CREATED, &END_CREATED), (&LATEST, &END_LATEST)], None),
        };
        (walks[usize::from(is_latest)], value)
    }
}

/// Where a page behind a cursor ends at the latest, if it does not reach the end of the list. Whoever reads it must read the
/// page in the same snapshot.
pub async fn end_of_page(
    session: &mut Session,
    account: &AccountId,
    filter: &Filter,
    cursor: &Cursor,
) -> Result<Option<Cursor>, Error> {
    let ((_, end), value) = filter.walk(cursor);
    let mut params: Vec<Value<'_>> = vec![account.into()];
    params.extend(value.map(Value::from));
    params.extend(cursor.params());
    params.push((MOST_READ - 1).into());
    session
        .query_opt(end, &params, |row| {
            let (at, id) = (row.get(0)?, ConversationId::from_text(row.text(1)?));
            Ok(match cursor {
                Cursor::Created(_) => Cursor::Created(id),
                Cursor::Latest(..) => Cursor::Latest(at, id),
                Cursor::Waiting(..) => Cursor::Waiting(at, id),
            })
        })
        .await
}

/// Reads the conversations behind a cursor: with a filter that is narrow, at the furthest up to [`end_of_page`].
pub async fn list(
    session: &mut Session,
    account: &AccountId,
    filter: &Filter,
    cursor: &Cursor,
    limit: i64,
    mut each: impl FnMut(Stored<'_>) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut params: Vec<Value<'_>> = vec![account.into()];
    let statement = if filter.is_narrow(cursor) {
        let ((page, _), value) = filter.walk(cursor);
        params.extend(value.map(Value::from));
        params.extend(cursor.params());
        let flag = |flag: Option<bool>| Value::from(flag.map(i64::from));
        params.extend([
            filter.status.as_deref().into(),
            flag(filter.waiting),
            flag(filter.unread),
            flag(filter.undelivered),
            filter.updated_since.into(),
            filter.inbox.as_ref().map(InboxId::as_str).into(),
            filter.contact.as_ref().map(ContactId::as_str).into(),
        ]);
        page
    } else {
        params.extend(filter.inbox.as_ref().map(Value::from));
        params.extend(cursor.params());
        match (cursor, &filter.inbox) {
            (Cursor::Created(_), None) => &OF_ACCOUNT,
            (Cursor::Created(_), Some(_)) => &OF_INBOX,
            (Cursor::Latest(..), None) => &LATEST_OF_ACCOUNT,
            (Cursor::Latest(..), Some(_)) => &LATEST_OF_INBOX,
            (Cursor::Waiting(..), _) => &WAITING_OF_ACCOUNT,
        }
    };
    params.push(limit.into());
    session
        .query(statement, &params, |row| each(read(row)?))
        .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_narrow_unless_an_index_knows_it() {
        let id = || ConversationId::from_text("conv_~");
        let created = Cursor::Created(id());
        let waiting = Cursor::Waiting(0, id());
        let inbox = Filter {
            inbox: Some(InboxId::from_text("inbox_1")),
            ..Filter::default()
        };
        assert!(!Filter::default().is_narrow(&created));
        assert!(!inbox.is_narrow(&created));
        assert!(inbox.is_narrow(&waiting));
        let of_those_waiting = Filter {
            waiting: Some(true),
            ..Filter::default()
        };
        assert!(of_those_waiting.is_narrow(&created));
        assert!(!of_those_waiting.is_narrow(&waiting));
    }

    #[test]
    fn a_page_reads_as_much_as_its_end_says() {
        assert!(CREATED.sqlite.contains(&format!("LIMIT {MOST_READ})")));
    }
}
