//! `/healthz` and `/readyz`: for those who operate the server.

use crate::support::{Store, TestApp, on_both_stores};
use serde_json::json;

on_both_stores![
    healthz_says_that_the_process_is_up,
    readyz_says_that_the_store_answers
];

async fn healthz_says_that_the_process_is_up(store: Store) {
    let app = TestApp::start(store).await;
    let answer = app.get("/healthz").send().await;
    answer.assert_json(200, &json!({"success": true, "data": {"status": "ok"}}));
}

async fn readyz_says_that_the_store_answers(store: Store) {
    let app = TestApp::start(store).await;
    let answer = app.get("/readyz").send().await;
    answer.assert_json(200, &json!({"success": true, "data": {"status": "ready"}}));
    // What it says when the store is away, is told by the module about faults.
}
