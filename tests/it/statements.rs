//! Every SQL statement of the program is understood by both engines, with its parameters in the order that SQLite counts.

use crate::support::{Store, TestApp, on_both_stores};
use db::{Session, Sql, Value};
use inboxd::store::{EACH, STATEMENTS};

on_both_stores![
    every_statement_is_prepared,
    every_statement_that_runs_many_times_at_once_is_prepared,
];

async fn every_statement_is_prepared(store: Store) {
    let app = TestApp::start(store).await;
    let mut prepared = 0;
    for statement in STATEMENTS.iter().copied().flatten() {
        let checked = app.context.db.check(statement).await;
        assert!(checked.is_ok(), "{checked:?} in {statement:?}");
        prepared += 1;
    }
    assert!(prepared > 50, "only {prepared} statements are listed");
}

/// How SQLite goes about a statement, and about the foreign keys of what it deletes: a line for each table.
async fn plan(session: &mut Session, text: &str) -> Vec<String> {
    let explain = Sql::same(format!("EXPLAIN QUERY PLAN {text}").leak());
    let params = (1..).take_while(|n| text.contains(&format!("${n}")));
    let params = vec![Value::Null; params.count()];
    let plan = session.query(&explain, &params, |row| row.get::<String>(3));
    plan.await.expect("a plan")
}

/// No statement reads all messages, conversations or contacts, nor all that an account has of them: not even to see that
/// nothing refers to what it deletes. Only what looks at all accounts does, and has no parameter.
#[tokio::test]
async fn no_statement_walks_along_all_that_an_account_holds() {
    let app = TestApp::start(Store::Sqlite).await;
    let mut session = app.context.db.read().await.expect("a session");
    for statement in STATEMENTS.iter().copied().flatten() {
        let text = statement.sqlite;
        if !text.contains("$1") {
            continue;
        }
        let plan = plan(&mut session, text).await;
        for line in &plan {
            let few = [
                "accounts",
                "api_keys",
                "business_changes",
                "inboxes",
                "last",
                "one",
                "CONSTANT",
            ];
            let table = line.split(' ').nth(1).unwrap_or_default();
            // A list that is a parameter is one, too.
            let list = line.contains("VIRTUAL TABLE");
            // So is what comes from a part of the statement, whose own lines are looked at.
            let list = list || plan.contains(&format!("CO-ROUTINE {table}"));
            let all = line.starts_with("SCAN") && !list || line.ends_with("(account_id=?)");
            assert!(!all || few.contains(&table), "{line} for {text}");
        }
    }
}

/// The pages of a list of inboxes walk along an index, in its order: nothing is sorted, and nothing else is looked at.
#[tokio::test]
async fn pages_of_inboxes_walk_along_an_index() {
    let app = TestApp::start(Store::Sqlite).await;
    let mut session = app.context.db.read().await.expect("a session");
    let mut explained = 0;
    for statement in STATEMENTS.iter().copied().flatten() {
        let text = statement.sqlite;
        if !(text.contains("FROM inboxes") && text.contains("ORDER BY created_at, id")) {
            continue;
        }
        let plan = plan(&mut session, text).await.join("; ");
        // From the beginning it may as well walk along all rows as along the index of some.
        let index = match (
            text.contains("(created_at, id) >"),
            text.contains(" AND type = $"),
            text.contains(" AND status = $"),
        ) {
            (true, true, true) => "INDEX inboxes_by_type_and_status (",
            (true, true, false) => "INDEX inboxes_by_type (",
            (true, false, true) => "INDEX inboxes_by_status (",
            _ => "SEARCH inboxes USING",
        };
        assert!(plan.contains(index), "{plan} for {text}");
        let sorted = plan.contains("TEMP") || plan.contains("SCAN inboxes");
        assert!(!sorted, "{plan} for {text}");
        explained += 1;
    }
    assert_eq!(explained, 9);
}

/// So do the pages of conversations and messages: what is found last is what is sent last. With filters, the rows among which
/// they are found come that way.
#[tokio::test]
async fn filtered_pages_of_conversations_walk_along_an_index() {
    let app = TestApp::start(Store::Sqlite).await;
    let mut session = app.context.db.read().await.expect("a session");
    let mut explained = 0;
    for statement in STATEMENTS.iter().copied().flatten() {
        let text = statement.sqlite;
        let is_page = text.contains("LIMIT 2000) AS v");
        let is_end = text.contains("FROM conversations v ") && text.contains("LIMIT 1 OFFSET");
        if !is_page && !is_end {
            continue;
        }
        let plan = plan(&mut session, text).await;
        let latest = text.contains("ORDER BY v.last");
        let first = match () {
            () if text.contains("v.contact_id = $2") => "INDEX conversations_by_contact (",
            () if text.contains("ORDER BY v.waiting_since") => "INDEX conversations_waiting (",
            () if text.contains("v.undelivered = 1") && latest => {
                "INDEX conversations_undelivered_by_last_message ("
            }
            () if text.contains("v.undelivered = 1") => "INDEX conversations_undelivered (",
            () if text.contains("v.inbox_id = $2") && latest => {
                "INDEX conversations_of_inbox_by_last_message ("
            }
            () if text.contains("v.inbox_id = $2") => "INDEX conversations_by_inbox (",
            () if latest => "INDEX conversations_by_last_message (",
            () => "PRIMARY KEY (account_id=? AND id<?)",
        };
        let walk = plan.iter().find(|step| step.starts_with("SEARCH v"));
        let walk = walk.cloned().unwrap_or_default().replace("COVERING ", "");
        assert!(walk.contains(first), "{plan:?} for {text}");
        explained += 1;
    }
    assert_eq!(explained, 18);
}

/// What is found last is what is sent last.
#[tokio::test]
async fn pages_of_conversations_and_messages_walk_along_an_index() {
    let app = TestApp::start(Store::Sqlite).await;
    let mut session = app.context.db.read().await.expect("a session");
    let mut explained = 0;
    for statement in STATEMENTS.iter().copied().flatten() {
        let text = statement.sqlite;
        let first = match () {
            () if !text.contains("ORDER BY") => continue,
            () if text.contains("FROM messages m LEFT JOIN messages r") => {
                match text.contains("m.conversation_id = ") {
                    true if text.contains("m.id > $3") => continue,
                    true => "SEARCH m USING INDEX messages_by_conversation (",
                    false => "SEARCH m USING INDEX messages_by_inbox (",
                }
            }
            () if text.contains("FROM conversations AS v CROSS JOIN") => {
                match (
                    text.contains("ORDER BY v.last"),
                    text.contains("v.inbox_id = $2"),
                ) {
                    _ if text.contains("ORDER BY v.waiting_since") => {
                        "SEARCH v USING INDEX conversations_waiting ("
                    }
                    (true, true) => "SEARCH v USING INDEX conversations_of_inbox_by_last_message (",
                    (true, false) => "SEARCH v USING INDEX conversations_by_last_message (",
                    (false, true) => "SEARCH v USING INDEX conversations_by_inbox (",
                    (false, false) => "SEARCH v USING PRIMARY KEY (account_id=? AND id<?)",
                }
            }
            () => continue,
        };
        let plan = plan(&mut session, text).await;
        assert!(plan[0].starts_with(first), "{plan:?} for {text}");
        let sorted = plan.iter().any(|line| line.contains("TEMP"));
        assert!(!sorted, "{plan:?} for {text}");
        explained += 1;
    }
    assert_eq!(explained, 9);
}

async fn every_statement_that_runs_many_times_at_once_is_prepared(store: Store) {
    let app = TestApp::start(store).await;
    let mut prepared = 0;
    for each in EACH.iter().copied().flatten() {
        let checked = app.context.db.check_each(each).await;
        assert!(checked.is_ok(), "{checked:?} in {each:?}");
        prepared += 1;
    }
    assert!(prepared > 5, "only {prepared} statements are listed");
}
