//! `POST /inboxes/{id}/connect` for those whose updates it does not order: WhatsApp, Instagram, live chat.

use crate::support::{
    Answer, Store, TestApp, on_both_stores,
    provider::{Provider, Reply, graph_error},
    whatsapp_body,
};
use inboxd::{domain::Scope, id::InboxId};
use reqwest::Method;
use serde_json::{Value, json};

on_both_stores![
    a_whatsapp_token_is_checked_and_proves_nothing,
    an_instagram_token_is_checked_and_must_be_that_accounts,
    an_instagram_id_that_no_update_carries_is_refused,
    a_refused_access_token_is_a_conflict_in_metas_words,
    without_an_access_token_there_is_nothing_to_check,
    live_chat_is_connected_already,
];

async fn connect(app: &TestApp, inbox: &InboxId, key: &str) -> Answer {
    let path = format!("/inboxes/{inbox}/connect");
    app.post(&path).key(key).send().await
}

async fn with_access_token(app: &TestApp, mut body: Value, token: &str) -> InboxId {
    body["channel"]["access_token"] = token.into();
    app.inbox(body).await
}

fn instagram() -> Value {
    json!({"name": "DM", "type": "instagram", "instagram_account_id": "17841405822304914",
        "channel": {"app_secret": "s"}})
}

async fn a_whatsapp_token_is_checked_and_proves_nothing(store: Store) {
    let provider = Provider::start().await;
    let app = TestApp::asking(store, provider.settings()).await;
    let key = app.key(&[Scope::Write]).await;
    let inbox = with_access_token(&app, whatsapp_body("1001"), "EAAG-token").await;
    let number = json!({"display_phone_number": "+62 812-3456-78", "verified_name": "Toko Biru", "id": "1001"});
    provider.replies("1001", Reply::Json(200, number));
    let setup = connect(&app, &inbox, &key).await.data();
    assert_eq!(
        setup["provider"],
        json!({"checked": "access_token", "display_phone_number": "+62 812-3456-78", "verified_name": "Toko Biru"})
    );
    assert_eq!(setup["status"], "pending");
    assert!(setup["missing_proof"].is_string());
    let question = &provider.questions()[0];
    assert_eq!(question.method, Method::GET);
    let path = "/v23.0/1001?fields=display_phone_number,verified_name";
    assert_eq!(question.path, path);
    assert_eq!(question.authorization.as_deref(), Some("Bearer EAAG-token"));

    provider.replies("1001", Reply::Text(500, String::new()));
    let message =
        "Meta cannot be reached, or gives no clear answer: nothing was changed, try again";
    let answer = connect(&app, &inbox, &key).await;
    answer.assert_error(503, "UNAVAILABLE", message);
}

async fn an_instagram_token_is_checked_and_must_be_that_accounts(store: Store) {
    let provider = Provider::start().await;
    let app = TestApp::asking(store, provider.settings()).await;
    let key = app.key(&[Scope::Write]).await;
    let inbox = with_access_token(&app, instagram(), "IGAA-token").await;
    let account = json!({"user_id": "17841405822304914", "username": "toko.biru", "id": "9"});
    provider.replies("me", Reply::Json(200, account));
    let setup = connect(&app, &inbox, &key).await.data();
    assert_eq!(
        setup["provider"],
        json!({"checked": "access_token", "username": "toko.biru"})
    );
    assert_eq!(setup["status"], "pending");
    let question = &provider.questions()[0];
    assert_eq!(question.path, "/v23.0/me?fields=user_id,username");
    assert_eq!(question.authorization.as_deref(), Some("Bearer IGAA-token"));

    provider.replies(
        "me",
        Reply::Json(200, json!({"user_id": "5", "username": "other"})),
    );
    let message = "Meta says that this access_token belongs to the Instagram account 5, and not to 17841405822304914";
    let answer = connect(&app, &inbox, &key).await;
    answer.assert_conflict("credential_of_another", message);
}

/// Updates carry `user_id`. An inbox with the account's other id would be connected and hear nothing.
async fn an_instagram_id_that_no_update_carries_is_refused(store: Store) {
    let provider = Provider::start().await;
    let app = TestApp::asking(store, provider.settings()).await;
    let key = app.key(&[Scope::Write]).await;
    let inbox = with_access_token(&app, instagram(), "IGAA-17841477000000001").await;
    let account = json!({"user_id": "17841477000000001", "id": "17841405822304914"});
    provider.replies("me", Reply::Json(200, account));
    let message = "17841405822304914 is this account's id for one app only, which no update contains. Create the inbox with instagram_account_id 17841477000000001";
    let answer = connect(&app, &inbox, &key).await;
    answer.assert_conflict("credential_of_another", message);
}

async fn a_refused_access_token_is_a_conflict_in_metas_words(store: Store) {
    let provider = Provider::start().await;
    let app = TestApp::asking(store, provider.settings()).await;
    let key = app.key(&[Scope::Write]).await;
    let token = "EAAGm0PX4ZCpsBAKZCZBZBqU3AZB";
    let whatsapp = with_access_token(&app, whatsapp_body("1001"), token).await;
    let instagram = with_access_token(&app, instagram(), token).await;
    let said = format!("Malformed access token {token}");
    provider.replies("1001", graph_error(400, 190, &said));
    provider.replies("me", graph_error(401, 190, &said));
    for inbox in [whatsapp, instagram] {
        let answer = connect(&app, &inbox, &key).await;
        let message = "Meta refuses this access_token. It says: Malformed access token [hidden]";
        answer.assert_conflict("provider_refused", message);
    }
}

async fn without_an_access_token_there_is_nothing_to_check(store: Store) {
    let provider = Provider::start().await;
    let app = TestApp::asking(store, provider.settings()).await;
    let key = app.key(&[Scope::Write]).await;
    for body in [whatsapp_body("1001"), instagram()] {
        let inbox = app.inbox(body).await;
        let answer = connect(&app, &inbox, &key).await;
        let message = format!(
            "Inbox {inbox} has no access_token to call the provider with. Updates do not need one: to receive them, paste at Meta what the setup shows. Set the credential with PATCH, as a field of channel"
        );
        answer.assert_conflict("credential_missing", &message);
    }
    assert!(provider.questions().is_empty());
}

async fn live_chat_is_connected_already(store: Store) {
    let provider = Provider::start().await;
    let app = TestApp::asking(store, provider.settings()).await;
    let key = app.key(&[Scope::Write]).await;
    let inbox = app.livechat("Website").await;
    let setup = connect(&app, &inbox, &key).await.data();
    assert_eq!(setup["status"], "active");
    assert_eq!(setup.get("provider"), None);
    assert!(provider.questions().is_empty());
}
