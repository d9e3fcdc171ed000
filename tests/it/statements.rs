//! Every SQL statement of the program is understood by both engines, with its parameters in the order that SQLite counts.

use crate::support::{Store, TestApp, on_both_stores};
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
