//! `GET /inboxes/{id}`: one inbox, as the listing shows it.

use crate::support::{Store, TestApp, on_both_stores};
use inboxd::domain::Scope;
use reqwest::Method;
use serde_json::json;

on_both_stores![
    it_is_what_the_listing_shows,
    a_trailing_slash_and_head_work,
    what_is_not_there_is_not_found,
];

async fn it_is_what_the_listing_shows(store: Store) {
    let app = TestApp::start(store).await;
    app.whatsapp("1001").await;
    app.livechat("Website").await;
    let key = app.key(&[Scope::Read]).await;
    for inbox in app.listing().await.as_array().expect("a list") {
        let path = format!("/inboxes/{}", inbox["id"].as_str().expect("an id"));
        let answer = app.get(&path).key(&key).send().await;
        assert_eq!(
            answer.text(),
            json!({"success": true, "data": inbox}).to_string()
        );
    }
}

async fn a_trailing_slash_and_head_work(store: Store) {
    let app = TestApp::start(store).await;
    let inbox = app.livechat("Website").await;
    let key = app.key(&[Scope::Read]).await;
    let plain = app.get(&format!("/inboxes/{inbox}")).key(&key).send().await;
    let slash = app
        .get(&format!("/inboxes/{inbox}/?x=1"))
        .key(&key)
        .send()
        .await;
    assert_eq!(plain.body, slash.body);
    let head = app
        .call(Method::HEAD, &format!("/inboxes/{inbox}"))
        .key(&key)
        .send()
        .await;
    head.assert_status(200);
    assert_eq!(head.header("content-length"), plain.body.len().to_string());
}

async fn what_is_not_there_is_not_found(store: Store) {
    let app = TestApp::start(store).await;
    let inbox = app.livechat("Website").await;
    let other = app.another_account().await;
    let key = app.key_of(&other, &Scope::ALL).await;
    let long = "x".repeat(500);
    for id in [
        inbox.as_str(),
        "inbox_nobodys",
        "1",
        "null",
        "%00",
        "%F0%9F%99%8F",
        "%27%20OR%201=1",
        "..%2F",
        &long,
    ] {
        let answer = app.get(&format!("/inboxes/{id}")).key(&key).send().await;
        answer.assert_error(404, "NOT_FOUND", "Inbox not found");
    }
}
