//! How the engines would run each statement on a database that is full: none reads a table that grows from end to end, and
//! none joins two of them row by row.
//!
//! Looked at are plans, not times. SQLite's follow from the schema and the statistics that are written with it, whatever is
//! in the tables: here its steps are read. PostgreSQL's planner says itself how much work it expects, with statistics of a
//! full database. Both are asked for the plan that serves any parameters.

use crate::support::{Store, TestApp, on_both_stores};
use db::Sql;
use inboxd::store::{EACH, OF_ALL_DATA, STATEMENTS};

on_both_stores![every_statement_does_work_that_does_not_grow];

const CONTACTS: u32 = 100_000;
const MESSAGES: u32 = 300_000;

/// Statements whose work grows with what they are about, by how they begin or end, and why that is right.
const GROW: [(&str, &str); 14] = [
    (
        "FROM accounts ORDER BY account_id",
        "all accounts, for the command line",
    ),
    (
        "SELECT (SELECT COUNT(*) FROM inboxes",
        "the total of a list, which is kept until an inbox changes",
    ),
    (
        "FROM api_keys WHERE account_id = $1 ORDER BY created_at, id",
        "an account has few keys",
    ),
    (
        "inbox_id = $3 AND state = 'queued' AND held = 0 AND due_at > $1",
        "the conversations of an inbox in which something waits, when it is switched on or has a new token",
    ),
    (
        "inbox_id = $2 AND state = 'queued' AND position < $3",
        "what waits in an inbox whose provider refused everything, when it has a new token",
    ),
    (
        "m.id > $3 ORDER BY m.id LIMIT $4",
        "one conversation of a live chat: an index of all messages for it would cost each of them half of its insertion more",
    ),
    (
        "SELECT id FROM inboxes WHERE account_id = $1 LIMIT 0",
        "a join, a merge and a purge, which lock an account's inboxes",
    ),
    (
        "DELETE FROM conversations WHERE",
        "a purge, up to the last of a piece",
    ),
    (
        "DELETE FROM messages WHERE",
        "a piece of a purge: PostgreSQL does not know where it ends",
    ),
    (
        "UPDATE messages SET conversation_id",
        "a piece of a join, up to the last of it",
    ),
    (
        "FROM joins ORDER BY account_id, contact_id, other_id",
        "joins that are not carried out are few",
    ),
    (
        "UPDATE echoes SET conversation_id",
        "what an inbox's provider showed within a minute, at a join",
    ),
    (
        "UPDATE outbox SET conversation_id",
        "what waits in a conversation, at a join",
    ),
    (
        "AND conversation_id = $2 AND due_at IS NOT NULL",
        "what waits in a conversation, at a join",
    ),
];

/// What PostgreSQL's planner may expect of a statement, in its own unit (a page read in order is 1). Fifty rows found by an
/// index each are some hundreds; a look at all of one inbox's messages here is ten thousand and more.
const WORK: f64 = 2000.0;
/// The same for one of [`GROW`]: each row once is some hundred thousand, each row with each other many millions.
const WORK_ONCE: f64 = 500_000.0;

async fn every_statement_does_work_that_does_not_grow(store: Store) {
    let app = TestApp::start(store).await;
    if store == Store::Postgres {
        fill(&app).await;
    }
    let mut wrong = Vec::new();
    let of_all_data = |text: &str| {
        OF_ALL_DATA
            .iter()
            .copied()
            .flatten()
            .any(|sql| sql.sqlite == text)
    };
    for statement in STATEMENTS.iter().copied().flatten() {
        if !of_all_data(statement.sqlite) {
            let plan = app.context.db.plan(&one_page(statement)).await;
            wrong.extend(complaint(store, statement.sqlite, plan));
        }
    }
    for each in EACH.iter().copied().flatten() {
        let plan = app.context.db.plan_each(each).await;
        wrong.extend(complaint(store, each.sql().sqlite, plan));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// The statement with a page's usual bounds: a planner that knows none expects a tenth of the table.
fn one_page(statement: &Sql) -> Sql {
    let bound = |text: &str| {
        let text = (1..20).rev().fold(text.to_owned(), |text, n| {
            text.replace(&format!("LIMIT ${n}"), "LIMIT 51")
                .replace(&format!("OFFSET ${n}"), "OFFSET 0")
        });
        &*text.leak()
    };
    Sql {
        sqlite: bound(statement.sqlite),
        postgres: bound(statement.postgres),
    }
}

/// What is wrong with the plan of a statement, if anything is.
fn complaint(store: Store, text: &str, plan: Result<Vec<String>, db::Error>) -> Option<String> {
    let plan = plan.expect(text);
    let once = GROW
        .iter()
        .any(|(words, _)| text.starts_with(words) || text.ends_with(words));
    let reason = match store {
        Store::Sqlite => {
            let mut steps = plan.iter().filter(|step| grows(text, step, &plan));
            // One walk is what is said of it; a second one within it would be one for each row.
            steps.nth(usize::from(once)).cloned()
        }
        Store::Postgres => {
            let work = work(&plan);
            let most = if once { WORK_ONCE } else { WORK };
            (work > most).then(|| format!("work of {work}"))
        }
    };
    reason.map(|reason| format!("{reason}\n    {text}\n    {}", plan.join("\n    ")))
}

/// Whether a step of SQLite's reads more the more there is.
fn grows(text: &str, step: &str, plan: &[String]) -> bool {
    /// A search by one of these finds what belongs to one thing.
    const NAMES: [&str; 17] = [
        "id",
        "provider_id",
        "contact_id",
        "identity",
        "address",
        "key_hash",
        "body_hash",
        "message_id",
        "message_key",
        "external_id",
        "phone",
        "idempotency_key",
        "name",
        "value",
        "survivor_id",
        "session",
        "version",
    ];
    /// Tables of which an inbox, or an account, has one row or a few. `d` are the deleted inboxes that still hold something.
    const FEW: [&str; 5] = ["accounts", "channel_addresses", "a", "inbox_secrets", "d"];
    /// The index of deleted inboxes that still hold something, and how a piece of a purge ends.
    const DELETED: &str = "INDEX inboxes_deleted";
    const PIECE: &str = "AS last ORDER BY last.key DESC LIMIT 1)";
    /// The newest messages of one conversation, of which a statement reads so many.
    const NEWEST: (&str, &str) = (
        "LIMIT 1000)",
        "messages_by_conversation (account_id=? AND conversation_id=?)",
    );
    /// What a foreign key looks for when a row goes that it leads to: there must be none.
    const CHILDREN: [(&str, &str); 2] = [
        ("DELETE FROM conversations", "conversation_id=?"),
        ("DELETE FROM inboxes", "inbox_id=?"),
    ];
    let mut words = step.split_whitespace();
    let (what, table) = (words.next(), words.next().unwrap_or_default());
    let (_, by) = step.split_once('(').unwrap_or_default();
    let named = by
        .split(" AND ")
        .any(|by| NAMES.contains(&by.split('=').next().unwrap_or_default()));
    let sorts = plan.iter().any(|step| step.contains("ORDER BY"));
    let ends_early = text.contains("LIMIT") && !sorts;
    match what {
        // A row of values, or a subquery of one row.
        Some("SCAN") if ["CONSTANT", "one"].contains(&table) => false,
        // A list that is a parameter.
        Some("SCAN") if step.contains("VIRTUAL TABLE") => false,
        Some("SCAN" | "SEARCH") if step.contains(DELETED) => false,
        Some("SCAN" | "SEARCH") if text.ends_with(PIECE) => false,
        // What comes from a part of the statement, whose own steps are looked at.
        Some("SCAN" | "SEARCH")
            if by.is_empty() && plan.contains(&format!("CO-ROUTINE {table}")) =>
        {
            false
        }
        Some("SEARCH") if text.contains(NEWEST.0) && step.ends_with(NEWEST.1) => false,
        Some("SCAN") => !ends_early,
        // Whether what is inserted leaves a foreign key in order: that is about the new row.
        Some("SEARCH") if text.starts_with("INSERT") => false,
        Some("SEARCH") => {
            let child = |(parent, key): &(&str, &str)| text.starts_with(parent) && by.contains(key);
            let bounded = named || FEW.contains(&table) || CHILDREN.iter().any(child);
            !bounded && !ends_early
        }
        _ => step.contains("AUTOMATIC"),
    }
}

/// The work that PostgreSQL's planner expects: `… (cost=0.42..8.44 rows=…`.
fn work(plan: &[String]) -> f64 {
    let (_, costs) = plan[0].split_once("..").expect("a cost");
    let work = costs.split(' ').next().expect("a number");
    work.parse().expect("a number")
}

/// Many contacts and messages of one account, in three of its inboxes: nine tenths in the first, one hundredth in the third.
async fn fill(app: &TestApp) {
    let account = &app.account;
    let inbox = |contact: &str| {
        format!(
            "CASE WHEN {contact} <= 90000 THEN 'inbox_1' WHEN {contact} <= 99000 THEN 'inbox_2' ELSE 'inbox_3' END"
        )
    };
    let id = |prefix: &str, n: &str| format!("'{prefix}_' || CAST(100000000 + {n} AS TEXT)");
    let (in_inbox, of_inbox) = (inbox("n"), inbox("c"));
    let (contact, conversation, message) = (id("contact", "n"), id("conv", "n"), id("msg", "n"));
    let (of_conversation, event) = (id("conv", "c"), id("evt", "n"));
    let numbers = |count: u32| format!("generate_series(CAST(1 AS BIGINT), {count}) AS numbers(n)");
    let (contacts, messages) = (numbers(CONTACTS), numbers(MESSAGES));
    let (inboxes, some) = (numbers(20_000), numbers(30_000));
    let bytes = "convert_to(CAST(n AS TEXT), 'UTF8')";
    let rows = [
        format!(
            "INSERT INTO inboxes (account_id, id, name, type, settings, created_at, change_id)
             SELECT '{account}', 'inbox_' || CAST(n AS TEXT), 'Support', 'whatsapp', '{{}}', n, {event} FROM {inboxes}"
        ),
        format!(
            "INSERT INTO contacts (account_id, id, channel, provider_id, is_group, created_at)
             SELECT '{account}', {contact}, 'whatsapp', CAST(n AS TEXT), 0, n FROM {contacts}"
        ),
        format!(
            "INSERT INTO identities (account_id, channel, kind, value, scope, contact_id)
             SELECT '{account}', 'whatsapp', 'phone', CAST(n AS TEXT), '', {contact} FROM {contacts}"
        ),
        format!(
            "INSERT INTO aliases (account_id, id, survivor_id)
             SELECT '{account}', 'conv_' || CAST(n AS TEXT), {conversation} FROM {some}"
        ),
        format!(
            "INSERT INTO conversations (account_id, id, inbox_id, contact_id, status, created_at, updated_at,
                last_message_id, last_message_at)
             SELECT '{account}', {conversation}, {in_inbox}, {contact}, 'open', n, n, {message}, n FROM {contacts}"
        ),
        // A contact's messages lie far apart, as they do where many write at once.
        format!(
            "INSERT INTO messages (account_id, id, inbox_id, conversation_id, provider_id, direction, type, content, sender,
                reply_to, historic, timestamp, received_at)
             SELECT '{account}', {message}, {of_inbox}, {of_conversation}, 'wamid.' || CAST(n AS TEXT), 'inbound', 'text',
                '{{}}', '{{}}', CASE WHEN n % 10 = 0 THEN 'wamid.' || CAST(n - 1 AS TEXT) END, 0, n, n
             FROM (SELECT n, n * 7919 % {CONTACTS} + 1 AS c FROM {messages}) AS m"
        ),
        format!(
            "INSERT INTO message_changes (account_id, inbox_id, provider_id, kind, key, id, timestamp, received_at)
             SELECT '{account}', {in_inbox}, 'wamid.' || CAST(n AS TEXT), 'status', 'read', {event}, n, n FROM {some}"
        ),
        format!(
            "INSERT INTO quarantine (account_id, id, inbox_id, channel, reason, headers, body, body_hash, received_at)
             SELECT '{account}', 'quar_' || CAST(n AS TEXT), 'inbox_1', 'whatsapp', '', '{{}}', {bytes}, {bytes}, n FROM {some}"
        ),
        "ANALYZE".to_owned(),
    ];
    let mut session = app.context.db.write().await.expect("a session");
    session.lift_time_limits().await.expect("patience");
    // The rows fit together: looking at each one's foreign keys would take most of the time.
    let trust = Sql::same("SET LOCAL session_replication_role = replica");
    session.batch(&trust).await.expect("the tests' own server");
    for rows in rows {
        let done = session.batch(&Sql::same(rows.leak())).await;
        done.expect("a good statement");
    }
    session.commit().await.expect("committed");
}
