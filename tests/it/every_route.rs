//! A walk over every route of the document: nobody gets further than a key allows, on none of them.

use crate::support::{Store, TestApp, on_both_stores};
use inboxd::{domain::Scope, router};
use reqwest::Method;
use serde_json::{Value, json};

on_both_stores![
    without_a_key_every_route_answers_the_same,
    another_accounts_things_are_not_found,
    too_small_a_scope_is_forbidden,
    beyond_its_limit_a_key_gets_no_further,
    a_wrong_method_names_the_right_ones,
];

/// An operation of the document that needs a key.
struct Operation {
    method: Method,
    path: String,
}

fn document() -> Value {
    serde_json::to_value(router::document()).expect("a document")
}

fn with_key(inbox: &str) -> Vec<Operation> {
    let document = document();
    let paths = document["paths"].as_object().expect("paths");
    let mut operations = Vec::new();
    for (path, item) in paths {
        for (method, operation) in item.as_object().expect("operations") {
            if operation["security"] == json!([{}]) {
                continue;
            }
            let id = match path.split('/').nth(1) {
                Some("inboxes") => inbox,
                Some("conversations") => "conv_1",
                _ => "msg_1",
            };
            operations.push(Operation {
                method: method.to_uppercase().parse().expect("a method"),
                path: path.replace("{id}", id),
            });
        }
    }
    assert!(operations.len() >= 10, "the walk goes somewhere");
    operations
}

async fn without_a_key_every_route_answers_the_same(store: Store) {
    let app = TestApp::start(store).await;
    let inbox = app.livechat("Website").await;
    for operation in with_key(inbox.as_str()) {
        let call = app.call(operation.method.clone(), &operation.path);
        call.send().await.assert_unauthorized();
    }
}

async fn another_accounts_things_are_not_found(store: Store) {
    let app = TestApp::start(store).await;
    let inbox = app.livechat("Website").await;
    let before = app.listing().await;
    let other = app.another_account().await;
    let key = app.key_of(&other, &Scope::ALL).await;
    for operation in with_key(inbox.as_str()) {
        if !operation.path.contains('_') {
            continue;
        }
        let call = app
            .call(operation.method.clone(), &operation.path)
            .key(&key);
        let answer = call.json(&json!({"name": "mine"})).send().await;
        assert_eq!(
            answer.status, 404,
            "{} {}",
            operation.method, operation.path
        );
    }
    assert_eq!(app.listing().await, before);
}

async fn too_small_a_scope_is_forbidden(store: Store) {
    let app = TestApp::start(store).await;
    let inbox = app.livechat("Website").await;
    let key = app.key(&[Scope::Admin]).await;
    for operation in with_key(inbox.as_str()) {
        let call = app
            .call(operation.method.clone(), &operation.path)
            .key(&key);
        let answer = call.json(&json!({"name": "mine"})).send().await;
        answer.assert_status(403);
        assert_eq!(answer.json()["error"]["code"], "FORBIDDEN");
    }
}

async fn beyond_its_limit_a_key_gets_no_further(store: Store) {
    let app = TestApp::with(store, |limits| limits.rate_limit = 1).await;
    let inbox = app.livechat("Website").await;
    for operation in with_key(inbox.as_str()) {
        let key = app.key(&[Scope::Admin]).await;
        let call = || {
            let call = app.call(operation.method.clone(), &operation.path);
            call.key(&key).json(&json!({"name": "mine"}))
        };
        let answer = call().send().await;
        answer.assert_status(403);
        assert_eq!(answer.header("x-ratelimit-remaining"), "0");
        let answer = call().send().await;
        let message = "Too many requests: wait, and try again";
        answer.assert_error(429, "RATE_LIMITED", message);
        assert_eq!(answer.header("retry-after"), "60");
    }
}

async fn a_wrong_method_names_the_right_ones(store: Store) {
    let app = TestApp::start(store).await;
    let document = document();
    for path in document["paths"].as_object().expect("paths").keys() {
        let answer = app
            .call(Method::PUT, &path.replace("{id}", "x"))
            .send()
            .await;
        answer.assert_error(
            405,
            "METHOD_NOT_ALLOWED",
            "This path does not take this method",
        );
        let allowed = answer.header("allow").to_lowercase();
        for method in document["paths"][path]
            .as_object()
            .expect("operations")
            .keys()
        {
            assert!(allowed.contains(method.as_str()), "{path}: {allowed}");
        }
    }
}
