//! The `ended_visitor_sessions` table: which sessions of live-chat visitors have ended.
//!
//! Tokens are made, read and dated in `ops::livechat`, and are not stored.
//!
//! Invariant: a session ends once. How it ended is never changed.

use super::{one, statements};
use crate::id::{AccountId, InboxId};
use db::{Error, Session};

statements! {
    FIND = "SELECT 1 FROM ended_visitor_sessions WHERE account_id = $1 AND inbox_id = $2 AND session = $3";
    // What is there already stays, and is the answer.
    END = "INSERT INTO ended_visitor_sessions (account_id, inbox_id, session, user_id, ended_at) VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (account_id, inbox_id, session) DO UPDATE SET session = excluded.session RETURNING user_id";
    BEGAN = "SELECT applied_at FROM schema_migrations WHERE version = 16";
    IS_OLD = "SELECT 1 FROM ended_visitor_sessions WHERE ended_at <= $1 LIMIT 1";
    FORGET = "DELETE FROM ended_visitor_sessions WHERE (account_id, inbox_id, session) IN (SELECT o.account_id, o.inbox_id, o.session
            FROM ended_visitor_sessions o WHERE o.ended_at <= $1 ORDER BY o.ended_at LIMIT $2)";
}

/// Whether a session has ended.
pub async fn has_ended(
    session: &mut Session,
    account: &AccountId,
    inbox: &InboxId,
    visitor_session: &str,
) -> Result<bool, Error> {
    let params = [account.into(), inbox.into(), visitor_session.into()];
    let found = session.query_opt(&FIND, &params, |_| Ok(())).await?;
    Ok(found.is_some())
}

/// Ends a session, unless it has ended before. Returns the user as whom its visitor logged in when it ended, if it did.
pub async fn end(
    session: &mut Session,
    account: &AccountId,
    inbox: &InboxId,
    visitor_session: &str,
    user: Option<&str>,
    now: i64,
) -> Result<Option<String>, Error> {
    let row = [
        account.into(),
        inbox.into(),
        visitor_session.into(),
        user.into(),
        now.into(),
    ];
    let ended = session.query(&END, &row, |row| row.get::<Option<String>>(0));
    one(ended.await?)
}

/// Since when the tokens that are issued on this database have a date, in seconds since 1970.
pub async fn dated_since(session: &mut Session) -> Result<i64, Error> {
    one(session.query(&BEGAN, &[], |row| row.get(0)).await?)
}

/// Whether any session ended that long ago.
pub async fn is_old(session: &mut Session, until: i64) -> Result<bool, Error> {
    let params = [until.into()];
    let old = session.query_opt(&IS_OLD, &params, |_| Ok(())).await?;
    Ok(old.is_some())
}

/// Forgets sessions that ended up to this time, the oldest first.
pub async fn forget(session: &mut Session, until: i64, most: i64) -> Result<(), Error> {
    let params = [until.into(), most.into()];
    session.execute(&FORGET, &params).await?;
    Ok(())
}
