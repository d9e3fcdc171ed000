//! `/hooks/instagram`: verification, signature and routing as for WhatsApp, by the Instagram account.

use crate::support::{
    Answer, Store, TestApp, on_both_stores,
    whatsapp::{APP_SECRET, sign},
};
use inboxd::{domain::Scope, id::InboxId};
use serde_json::{Value, json};

on_both_stores![
    the_verification_proves_the_inbox,
    a_whatsapp_token_does_not_verify_here,
    a_update_is_stored_once_and_an_echo_is_outbound,
    the_test_buttons_shape_is_taken,
    an_unsigned_update_stores_nothing,
    an_unknown_account_is_a_404,
];

async fn start(store: Store) -> (TestApp, InboxId) {
    let app = TestApp::start(store).await;
    let body = json!({"name": "DM", "type": "instagram", "instagram_account_id": "17841400000000000",
        "channel": {"app_secret": APP_SECRET}});
    let inbox = app.inbox(body).await;
    (app, inbox)
}

async fn deliver(app: &TestApp, payload: &Value) -> Answer {
    let body = payload.to_string();
    app.post("/hooks/instagram")
        .header("x-hub-signature-256", &sign(APP_SECRET, body.as_bytes()))
        .raw_json(body)
        .send()
        .await
}

fn messaging(account: &str, items: Value) -> Value {
    json!({"object": "instagram", "entry": [{"id": account, "time": 1_736_928_000_000_i64, "messaging": items}]})
}

async fn verify_token(app: &TestApp, inbox: &InboxId) -> String {
    let key = app.key(&[Scope::Write]).await;
    let path = format!("/inboxes/{inbox}/setup");
    let setup = app.get(&path).key(&key).send().await.data();
    assert_eq!(
        setup["missing_proof"].is_string(),
        setup.get("proved_at").is_none()
    );
    setup["verify_token"].as_str().expect("a token").to_owned()
}

fn verification(token: &str) -> String {
    format!("/hooks/instagram?hub.mode=subscribe&hub.verify_token={token}&hub.challenge=1158201444")
}

async fn the_verification_proves_the_inbox(store: Store) {
    let (app, inbox) = start(store).await;
    let token = verify_token(&app, &inbox).await;
    let answer = app.get(&verification(&token)).send().await;
    answer.assert_status(200);
    assert_eq!(answer.text(), "1158201444");
    assert_eq!(app.shown(&inbox).await["status"], "active");
}

async fn a_whatsapp_token_does_not_verify_here(store: Store) {
    let (app, inbox) = start(store).await;
    let whatsapp = app.whatsapp("1001").await;
    let token = verify_token(&app, &whatsapp).await;
    app.get(&verification(&token))
        .send()
        .await
        .assert_status(403);
    assert_eq!(app.shown(&inbox).await["status"], "pending");
    assert_eq!(app.shown(&whatsapp).await["status"], "pending");
}

async fn a_update_is_stored_once_and_an_echo_is_outbound(store: Store) {
    let (app, inbox) = start(store).await;
    let business = "17841400000000000";
    let payload = messaging(
        business,
        json!([
            {"sender": {"id": "900"}, "recipient": {"id": business}, "timestamp": 1_736_928_000_000_i64,
             "message": {"mid": "m1", "text": "hi", "is_echo": false}},
            {"sender": {"id": business}, "recipient": {"id": "900"}, "timestamp": 1_736_928_001_000_i64,
             "message": {"mid": "m2", "text": "hello", "is_echo": true}},
            {"sender": {"id": "900"}, "recipient": {"id": business}, "timestamp": 1_736_928_002_000_i64,
             "read": {"mid": "m2"}},
        ]),
    );
    for _ in 0..2 {
        deliver(&app, &payload).await.assert_status(200);
    }
    let shown = app.shown(&inbox).await;
    assert_eq!(
        (&shown["status"], &shown["messages_count"]),
        (&json!("active"), &json!(2))
    );

    let key = app.key(&[Scope::Read]).await;
    let path = format!("/messages?inbox_id={inbox}");
    let page = app.get(&path).key(&key).send().await.data();
    assert_eq!(page[0]["direction"], "inbound");
    assert_eq!(page[1]["direction"], "outbound");
    assert_eq!(page[1]["status"], "read");
    assert_eq!(page[0]["conversation_id"], page[1]["conversation_id"]);
}

async fn the_test_buttons_shape_is_taken(store: Store) {
    let (app, inbox) = start(store).await;
    let payload = json!({"object": "instagram", "entry": [{"id": "17841400000000000", "time": 1_736_928_000, "changes": [
        {"field": "messages", "value": {"sender": {"id": "12334"}, "recipient": {"id": "17841400000000000"},
         "timestamp": "1527459824", "message": {"mid": "random_mid", "text": "random_text"}}}]}]});
    deliver(&app, &payload).await.assert_status(200);
    assert_eq!(app.shown(&inbox).await["messages_count"], 1);
}

async fn an_unsigned_update_stores_nothing(store: Store) {
    let (app, inbox) = start(store).await;
    let item = json!([{"sender": {"id": "900"}, "recipient": {"id": "1"}, "timestamp": 1, "message": {"mid": "m1", "text": "hi"}}]);
    let body = messaging("17841400000000000", item).to_string();
    let call = || app.post("/hooks/instagram").raw_json(body.clone());
    call().send().await.assert_status(401);
    let wrong = sign("another secret", body.as_bytes());
    call()
        .header("x-hub-signature-256", &wrong)
        .send()
        .await
        .assert_status(401);
    assert_eq!(app.shown(&inbox).await["messages_count"], 0);
}

async fn an_unknown_account_is_a_404(store: Store) {
    let (app, _) = start(store).await;
    let item = json!([{"sender": {"id": "900"}, "recipient": {"id": "5"}, "timestamp": 1, "message": {"mid": "m1", "text": "hi"}}]);
    deliver(&app, &messaging("5", item))
        .await
        .assert_status(404);
}
