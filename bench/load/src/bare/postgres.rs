//! The bare loop on PostgreSQL: one connection, and each transaction is sent whole before the first answer is awaited.

use super::{
    ADD_CONTACT, ADD_CONVERSATION, ADD_MESSAGE, BATCH, Batch, CLAIM_IDENTITY, COUNT_CONVERSATION,
    COUNT_INBOX, KNOWN, People, Rows, batch,
};
use crate::client::now;
use futures_util::future::{BoxFuture, try_join_all};
use inboxd::clock::Clock;
use tokio_postgres::{Client, Error, NoTls, Statement, types::ToSql};

struct Prepared {
    identity: Statement,
    contact: Statement,
    conversation: Statement,
    message: Statement,
    count_conversation: Statement,
    count_inbox: Statement,
}

/// Writes the rows. Returns how many seconds it took.
pub(crate) async fn write(url: &str, rows: &Rows) -> Result<f64, Error> {
    let clock = Clock::system();
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    let connection = tokio::spawn(connection);
    let mut people = People::new();
    for row in client.query(KNOWN, &[&rows.account]).await? {
        people.insert(row.get(0), row.get(1));
    }
    let prepared = Prepared {
        identity: client.prepare(CLAIM_IDENTITY).await?,
        contact: client.prepare(ADD_CONTACT).await?,
        conversation: client.prepare(ADD_CONVERSATION).await?,
        message: client.prepare(ADD_MESSAGE).await?,
        count_conversation: client.prepare(COUNT_CONVERSATION).await?,
        count_inbox: client.prepare(COUNT_INBOX).await?,
    };
    let start = now();
    let end = rows.first + rows.count;
    let mut at = rows.first;
    while at < end {
        let next = (at + BATCH).min(end);
        let batch = batch(&clock, rows, &mut people, at..next);
        store(&client, &prepared, &rows.account, &batch, clock.now()).await?;
        at = next;
    }
    let seconds = start.elapsed().as_secs_f64();
    drop(client);
    // It ends with its client, and an error of a connection that is not needed any more hurts nobody.
    connection.await.ok();
    Ok(seconds)
}

async fn store(
    client: &Client,
    prepared: &Prepared,
    account: &str,
    batch: &Batch,
    now: i64,
) -> Result<(), Error> {
    let mut runs: Vec<(&Statement, Vec<&(dyn ToSql + Sync)>)> = Vec::new();
    let account: &(dyn ToSql + Sync) = &account;
    for new in &batch.newcomers {
        runs.push((&prepared.identity, vec![account, &new.from, &new.contact]));
        runs.push((
            &prepared.contact,
            vec![
                account,
                &new.contact,
                &new.from,
                &new.name,
                &new.phone,
                &now,
            ],
        ));
        runs.push((
            &prepared.conversation,
            vec![account, &new.inbox, &new.contact, &new.conversation, &now],
        ));
    }
    for row in &batch.messages {
        runs.push((
            &prepared.message,
            vec![
                account,
                &row.inbox,
                &row.provider_id,
                &row.id,
                &row.conversation,
                &row.content,
                &row.sender,
                &row.timestamp,
                &now,
            ],
        ));
    }
    for (id, more) in &batch.by_conversation {
        runs.push((
            &prepared.count_conversation,
            vec![&more.count, &now, &more.last_at, &more.last, account, id],
        ));
    }
    for (id, more) in &batch.by_inbox {
        runs.push((&prepared.count_inbox, vec![more, account, id]));
    }
    // Futures of one client are sent in the order in which they are first polled, without waiting for each other.
    let mut asked: Vec<BoxFuture<'_, Result<(), Error>>> = Vec::with_capacity(runs.len() + 2);
    asked.push(Box::pin(client.batch_execute("BEGIN")));
    for (statement, params) in &runs {
        asked.push(Box::pin(async move {
            client.execute(*statement, params).await.map(|_| ())
        }));
    }
    asked.push(Box::pin(client.batch_execute("COMMIT")));
    try_join_all(asked).await?;
    Ok(())
}
