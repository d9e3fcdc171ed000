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

/// The most rows of an index that a page with filters reads.
const MOST_READ: i64 = 2000;

/// The filters. Those that the walk knows are said there, too.
macro_rules! filters {
    () => {
        "AND (CAST($2 AS TEXT) IS NULL OR v.status = $2)
          AND (CAST($3 AS BIGINT) IS NULL OR CASE WHEN v.waiting_since IS NULL THEN 0 ELSE 1 END = $3)
          AND (CAST($4 AS BIGINT) IS NULL OR CASE WHEN v.unread_count = 0 THEN 0 ELSE 1 END = $4)
          AND (CAST($5 AS BIGINT) IS NULL OR v.undelivered = $5)
          AND (CAST($6 AS BIGINT) IS NULL OR v.updated_at >= $6)
          AND (CAST($7 AS TEXT) IS NULL OR v.inbox_id = $7)
          AND (CAST($8 AS TEXT) IS NULL OR v.contact_id = $8) "
    };
}

/// A page of a walk. It begins behind one place, and ends with another one.
macro_rules! page {
    ($walk:literal, created) => {
        conversation!(filters!(), $walk, " AND v.id < $9 AND v.id >= $10 ", not_deleted!("v.inbox_id"),
            "ORDER BY v.id DESC LIMIT $11")
    };
    ($walk:literal, latest) => {
        conversation!(filters!(), $walk, " AND (v.last_message_at, v.id) < ($9, $10) AND (v.last_message_at, v.id) >= ($11, $12) ",
            not_deleted!("v.inbox_id"), "ORDER BY v.last_message_at DESC, v.id DESC LIMIT $13")
    };
    ($walk:literal, waiting) => {
        conversation!(filters!(), $walk, " AND (v.waiting_since, v.id) > ($9, $10) AND (v.waiting_since, v.id) <= ($11, $12) ",
            not_deleted!("v.inbox_id"), "ORDER BY v.waiting_since, v.id LIMIT $13")
    };
}

/// The place of the last row of a walk that a page may read.
macro_rules! end {
    ($walk:literal, created, $from:literal, $skip:literal) => {
        concat!("SELECT CAST(0 AS BIGINT), v.id FROM conversations v WHERE v.account_id = $1 ", $walk, " AND v.id < ", $from,
            " ORDER BY v.id DESC LIMIT 1 OFFSET ", $skip)
    };
    ($walk:literal, latest, $from:literal, $skip:literal) => {
        concat!("SELECT v.last_message_at, v.id FROM conversations v WHERE v.account_id = $1 ", $walk,
            " AND (v.last_message_at, v.id) < ", $from, " ORDER BY v.last_message_at DESC, v.id DESC LIMIT 1 OFFSET ", $skip)
    };
    ($walk:literal, waiting, $from:literal, $skip:literal) => {
        concat!("SELECT v.waiting_since, v.id FROM conversations v WHERE v.account_id = $1 ", $walk,
            " AND (v.waiting_since, v.id) > ", $from, " ORDER BY v.waiting_since, v.id LIMIT 1 OFFSET ", $skip)
    };
}

statements! {
    CREATED = page!("", created);
    CREATED_IN_INBOX = page!("AND v.inbox_id = $7", created);
    CREATED_WITH_CONTACT = page!("AND v.contact_id = $8", created);
    CREATED_UNDELIVERED = page!("AND v.undelivered = 1", created);
    LATEST = page!("", latest);
    LATEST_IN_INBOX = page!("AND v.inbox_id = $7", latest);
    LATEST_WITH_CONTACT = page!("AND v.contact_id = $8", latest);
    LATEST_UNDELIVERED = page!("AND v.undelivered = 1", latest);
    WAITING = page!("AND v.waiting_since IS NOT NULL", waiting);
    END_CREATED = end!("", created, "$2", "$3");
    END_CREATED_IN_INBOX = end!("AND v.inbox_id = $2", created, "$3", "$4");
    END_CREATED_UNDELIVERED = end!("AND v.undelivered = 1", created, "$2", "$3");
    END_LATEST = end!("", latest, "($2, $3)", "$4");
    END_LATEST_IN_INBOX = end!("AND v.inbox_id = $2", latest, "($3, $4)", "$5");
    END_LATEST_UNDELIVERED = end!("AND v.undelivered = 1", latest, "($2, $3)", "$4");
    END_WAITING = end!("AND v.waiting_since IS NOT NULL", waiting, "($2, $3)", "$4");
}

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

/// What the rows of a walk have in common, so that an index leads to them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Along<'a> {
    All,
    Inbox(&'a InboxId),
    Contact,
    Undelivered,
}

impl Filter {
    fn along(&self, cursor: &Cursor) -> Along<'_> {
        match (cursor, &self.contact, self.undelivered, &self.inbox) {
            (Cursor::Waiting(..), ..) => Along::All,
            (_, Some(_), ..) => Along::Contact,
            (_, None, Some(true), _) => Along::Undelivered,
            (_, None, _, Some(inbox)) => Along::Inbox(inbox),
            (_, None, _, None) => Along::All,
        }
    }

    /// Whether it leaves out rows that a walk meets.
    fn leaves_out(&self, cursor: &Cursor) -> bool {
        let along = self.along(cursor);
        let waiting = self.waiting.is_some() && !matches!(cursor, Cursor::Waiting(..));
        let undelivered = self.undelivered.is_some() && along != Along::Undelivered;
        let inbox = self.inbox.is_some() && !matches!(along, Along::Inbox(_));
        let contact = self.contact.is_some() && along != Along::Contact;
        let rest = self.status.is_some() || self.unread.is_some() || self.updated_since.is_some();
        waiting || undelivered || inbox || contact || rest
    }
}

impl Cursor {
    /// Where a page can end at last.
    fn last(&self) -> Cursor {
        match self {
            Cursor::Created(_) => Cursor::Created(ConversationId::from_text("")),
            Cursor::Latest(..) => Cursor::Latest(i64::MIN, ConversationId::from_text("")),
            Cursor::Waiting(..) => Cursor::Waiting(i64::MAX, ConversationId::from_text("~")),
        }
    }

    fn params(&self) -> Vec<Value<'_>> {
        match self {
            Cursor::Created(id) => vec![id.into()],
            Cursor::Latest(at, id) | Cursor::Waiting(at, id) => vec![(*at).into(), id.into()],
        }
    }
}

/// Where a page behind a cursor has to end because it may read no more. `None` if it reaches the end of the list before.
pub async fn end_of_page(
    session: &mut Session,
    account: &AccountId,
    filter: &Filter,
    cursor: &Cursor,
) -> Result<Option<Cursor>, Error> {
    let along = filter.along(cursor);
    let statement: &Sql = match (cursor, along) {
        // A contact has one conversation in an inbox.
        (_, Along::Contact) => return Ok(None),
        _ if !filter.leaves_out(cursor) => return Ok(None),
        (Cursor::Created(_), Along::All) => &END_CREATED,
        (Cursor::Created(_), Along::Inbox(_)) => &END_CREATED_IN_INBOX,
        (Cursor::Created(_), Along::Undelivered) => &END_CREATED_UNDELIVERED,
        (Cursor::Latest(..), Along::All) => &END_LATEST,
        (Cursor::Latest(..), Along::Inbox(_)) => &END_LATEST_IN_INBOX,
        (Cursor::Latest(..), Along::Undelivered) => &END_LATEST_UNDELIVERED,
        (Cursor::Waiting(..), _) => &END_WAITING,
    };
    let mut params: Vec<Value<'_>> = vec![account.into()];
    if let Along::Inbox(inbox) = along {
        params.push(inbox.into());
    }
    params.extend(cursor.params());
    params.push((MOST_READ - 1).into());
    session
        .query_opt(statement, &params, |row| {
            let (at, id) = (row.get(0)?, ConversationId::from_text(row.text(1)?));
            Ok(match cursor {
                Cursor::Created(_) => Cursor::Created(id),
                Cursor::Latest(..) => Cursor::Latest(at, id),
                Cursor::Waiting(..) => Cursor::Waiting(at, id),
            })
        })
        .await
}

/// Reads the conversations behind a cursor, at the furthest up to `end`, which is one of the same order.
pub async fn list(
    session: &mut Session,
    account: &AccountId,
    filter: &Filter,
    cursor: &Cursor,
    end: Option<&Cursor>,
    limit: i64,
    mut each: impl FnMut(Stored<'_>) -> Result<(), Error>,
) -> Result<(), Error> {
    let statement: &Sql = match (cursor, filter.along(cursor)) {
        (Cursor::Created(_), Along::All) => &CREATED,
        (Cursor::Created(_), Along::Inbox(_)) => &CREATED_IN_INBOX,
        (Cursor::Created(_), Along::Contact) => &CREATED_WITH_CONTACT,
        (Cursor::Created(_), Along::Undelivered) => &CREATED_UNDELIVERED,
        (Cursor::Latest(..), Along::All) => &LATEST,
        (Cursor::Latest(..), Along::Inbox(_)) => &LATEST_IN_INBOX,
        (Cursor::Latest(..), Along::Contact) => &LATEST_WITH_CONTACT,
        (Cursor::Latest(..), Along::Undelivered) => &LATEST_UNDELIVERED,
        (Cursor::Waiting(..), _) => &WAITING,
    };
    let last = cursor.last();
    let flag = |flag: Option<bool>| Value::from(flag.map(i64::from));
    let mut params: Vec<Value<'_>> = vec![
        account.into(),
        filter.status.as_deref().into(),
        flag(filter.waiting),
        flag(filter.unread),
        flag(filter.undelivered),
        filter.updated_since.into(),
        filter.inbox.as_ref().map(InboxId::as_str).into(),
        filter.contact.as_ref().map(ContactId::as_str).into(),
    ];
    params.extend(cursor.params());
    params.extend(end.unwrap_or(&last).params());
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
    fn a_page_has_an_end_where_its_filters_leave_rows_out() {
        let id = || ConversationId::from_text("conv_~");
        let created = Cursor::Created(id());
        let waiting = Cursor::Waiting(0, id());
        let inbox = Filter {
            inbox: Some(InboxId::from_text("inbox_1")),
            ..Filter::default()
        };
        assert!(!Filter::default().leaves_out(&created));
        assert!(!inbox.leaves_out(&created));
        assert!(inbox.leaves_out(&waiting));
        let undelivered = |inbox: Option<InboxId>, undelivered| Filter {
            inbox,
            undelivered: Some(undelivered),
            ..Filter::default()
        };
        assert!(!undelivered(None, true).leaves_out(&created));
        assert!(undelivered(None, true).leaves_out(&waiting));
        assert!(undelivered(None, false).leaves_out(&created));
        assert!(undelivered(inbox.inbox, true).leaves_out(&created));
        let of_those_waiting = Filter {
            waiting: Some(true),
            ..Filter::default()
        };
        assert!(of_those_waiting.leaves_out(&created));
        assert!(!of_those_waiting.leaves_out(&waiting));
    }
}
