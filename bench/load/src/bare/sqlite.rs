//! The bare loop on SQLite, with the settings that inboxd uses.

use super::{
    ADD_CONTACT, ADD_CONVERSATION, ADD_MESSAGE, BATCH, Batch, CLAIM_IDENTITY, COUNT_CONVERSATION,
    COUNT_INBOX, KNOWN, People, Rows, batch,
};
use crate::client::now;
use inboxd::clock::Clock;
use rusqlite::{Connection, params};

/// Writes the rows. Returns how many seconds it took.
pub(crate) fn write(path: &str, rows: &Rows) -> rusqlite::Result<f64> {
    let clock = Clock::system();
    let connection = Connection::open(path)?;
    connection.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA cache_size = -4096;
         PRAGMA temp_store = MEMORY; PRAGMA trusted_schema = OFF;",
    )?;
    let mut people = People::new();
    let mut known = connection.prepare(KNOWN)?;
    let mut found = known.query([&rows.account])?;
    while let Some(row) = found.next()? {
        people.insert(row.get(0)?, row.get(1)?);
    }
    let start = now();
    let end = rows.first + rows.count;
    let mut at = rows.first;
    while at < end {
        let next = (at + BATCH).min(end);
        let batch = batch(&clock, rows, &mut people, at..next);
        connection.execute_batch("BEGIN IMMEDIATE")?;
        store(&connection, &rows.account, &batch, clock.now())?;
        connection.execute_batch("COMMIT")?;
        at = next;
    }
    Ok(start.elapsed().as_secs_f64())
}

fn store(connection: &Connection, account: &str, batch: &Batch, now: i64) -> rusqlite::Result<()> {
    let prepared = |sql| connection.prepare_cached(sql);
    let (mut identity, mut contact) = (prepared(CLAIM_IDENTITY)?, prepared(ADD_CONTACT)?);
    let mut conversation = prepared(ADD_CONVERSATION)?;
    for new in &batch.newcomers {
        identity.execute(params![account, new.from, new.contact])?;
        contact.execute(params![
            account,
            new.contact,
            new.from,
            new.name,
            new.phone,
            now
        ])?;
        conversation.execute(params![
            account,
            new.inbox,
            new.contact,
            new.conversation,
            now
        ])?;
    }
    let mut message = prepared(ADD_MESSAGE)?;
    for row in &batch.messages {
        message.execute(params![
            account,
            row.inbox,
            row.provider_id,
            row.id,
            row.conversation,
            row.content,
            row.sender,
            row.timestamp,
            now
        ])?;
    }
    let mut count = prepared(COUNT_CONVERSATION)?;
    for (id, more) in &batch.by_conversation {
        count.execute(params![
            more.count,
            now,
            more.last_at,
            more.last,
            account,
            id
        ])?;
    }
    let mut count = prepared(COUNT_INBOX)?;
    for (id, more) in &batch.by_inbox {
        count.execute(params![more, account, id])?;
    }
    Ok(())
}
