//! `GET /inboxes/{id}/setup`: what to paste where, and what is still missing.

use crate::support::{
    Store, TestApp, on_both_stores,
    whatsapp::{text, update},
    whatsapp_body,
};
use inboxd::{domain::Scope, id::InboxId};
use serde_json::{Value, json};

on_both_stores![
    whatsapp_shows_the_hook_and_the_verify_token,
    what_looks_unlike_metas_own_is_taken_with_a_warning,
    instagram_shows_its_own_hook,
    telegram_shows_a_hook_and_a_secret_token,
    livechat_shows_the_snippet,
    optional_credentials_are_shown_as_set,
    a_proof_is_shown_with_its_moment,
    the_tokens_of_two_inboxes_differ_and_stay,
    another_accounts_inbox_is_not_found,
];

async fn setup(app: &TestApp, inbox: &InboxId) -> Value {
    let key = app.key(&[Scope::Write]).await;
    let answer = app
        .get(&format!("/inboxes/{inbox}/setup"))
        .key(&key)
        .send()
        .await;
    answer.assert_status(200);
    answer.data()
}

const META_PROOF: &str =
    "Meta's verification request with this verify token, or a first correctly signed update";

async fn whatsapp_shows_the_hook_and_the_verify_token(store: Store) {
    let app = TestApp::start(store).await;
    let inbox = app.whatsapp("1001").await;
    let setup = setup(&app, &inbox).await;
    assert_eq!(
        setup,
        json!({
            "id": inbox.as_str(), "type": "whatsapp", "status": "pending",
            "webhook_url": "https://inbox.example.com/hooks/whatsapp",
            "verify_token": app.context.vault.verify_token(&inbox),
            "phone_number_id": "1001",
            "credentials": {"access_token": false, "app_secret": true},
            "missing_proof": META_PROOF,
            "warnings": [
                "phone_number_id looks unlike Meta's ids, which are long numbers",
                "app_secret looks unlike Meta's, which are 32 hex digits",
            ],
        })
    );
}

async fn what_looks_unlike_metas_own_is_taken_with_a_warning(store: Store) {
    let app = TestApp::start(store).await;
    let inbox = |id: &str, secret: &str, business: &str| {
        let mut body = whatsapp_body(id);
        body["channel"]["app_secret"] = secret.into();
        body["channel"]["business_account_id"] = business.into();
        body
    };
    let good = "0123456789abcdef0123456789ABCDEF";
    let odd = |name: &str| format!("{name} looks unlike Meta's ids, which are long numbers");
    let odd_secret = "app_secret looks unlike Meta's, which are 32 hex digits".to_owned();
    let instagram = json!({"name": "DM", "type": "instagram", "instagram_account_id": "ig_789", "channel": {"app_secret": good}});
    for (body, warnings) in [
        (inbox("106540352242922", good, "102290129340398"), vec![]),
        (
            inbox("1065403522429-22", good, "102290129340398"),
            vec![odd("phone_number_id")],
        ),
        (
            inbox("106540352242923", "x", "WABA"),
            vec![odd("business_account_id"), odd_secret],
        ),
        (instagram, vec![odd("instagram_account_id")]),
    ] {
        let inbox = app.inbox(body).await;
        let shown = setup(&app, &inbox).await;
        let shown = shown.get("warnings").cloned().unwrap_or(json!([]));
        assert_eq!(shown, json!(warnings));
    }
}

async fn instagram_shows_its_own_hook(store: Store) {
    let app = TestApp::start(store).await;
    let body = json!({"name": "DM", "type": "instagram", "instagram_account_id": "17841400000000000", "channel": {"app_secret": "0123456789abcdef0123456789abcdef"}});
    let inbox = app.inbox(body).await;
    let setup = setup(&app, &inbox).await;
    assert_eq!(
        setup,
        json!({
            "id": inbox.as_str(), "type": "instagram", "status": "pending",
            "webhook_url": "https://inbox.example.com/hooks/instagram",
            "verify_token": app.context.vault.verify_token(&inbox),
            "credentials": {"access_token": false, "app_secret": true},
            "missing_proof": META_PROOF,
        })
    );
}

async fn telegram_shows_a_hook_and_a_secret_token(store: Store) {
    let app = TestApp::start(store).await;
    let inbox = app
        .inbox(json!({"name": "Bot", "type": "telegram", "channel": {"bot_token": "42:abc"}}))
        .await;
    let setup = setup(&app, &inbox).await;
    assert_eq!(
        setup,
        json!({
            "id": inbox.as_str(), "type": "telegram", "status": "pending",
            "webhook_url": format!("https://inbox.example.com/hooks/telegram/{inbox}"),
            "secret_token": app.context.vault.inbox_token(&inbox),
            "credentials": {"bot_token": true},
            "missing_proof": "Telegram's acceptance of the webhook (connect), or a first update with this secret token",
        })
    );
    // Telegram takes 1 to 256 of A-Z a-z 0-9 _ -.
    let token = setup["secret_token"].as_str().expect("a token");
    assert!(token.len() >= 32 && token.bytes().all(|byte| byte.is_ascii_alphanumeric()));
}

async fn livechat_shows_the_snippet(store: Store) {
    let app = TestApp::start(store).await;
    let origins = json!(["https://a.example"]);
    let inbox = app
        .inbox(json!({"name": "Web", "type": "livechat", "channel": {"allowed_origins": origins}}))
        .await;
    assert_eq!(
        setup(&app, &inbox).await,
        json!({
            "id": inbox.as_str(), "type": "livechat", "status": "active",
            "embed_snippet": format!("<script async src=\"https://inbox.example.com/livechat/{inbox}/widget.js\"></script>"),
            "identity_secret": inboxd::ops::livechat::identity_secret(&app.context, &inbox),
            "allowed_origins": origins,
            "credentials": {},
            "proved_at": "2025-01-15T08:00:00Z",
        })
    );
}

async fn optional_credentials_are_shown_as_set(store: Store) {
    let app = TestApp::start(store).await;
    let mut body = whatsapp_body("1001");
    body["channel"]["access_token"] = "t".into();
    body["channel"]["business_account_id"] = "b1".into();
    let inbox = app.inbox(body).await;
    let setup = setup(&app, &inbox).await;
    assert_eq!(
        setup["credentials"],
        json!({"access_token": true, "app_secret": true})
    );
    assert_eq!(setup["business_account_id"], "b1");
}

async fn a_proof_is_shown_with_its_moment(store: Store) {
    let app = TestApp::start(store).await;
    let inbox = app.whatsapp("1001").await;
    app.context.clock.advance(60);
    app.deliver(&update("1001", &[text("628111", "w1", "Hi")]))
        .await
        .assert_status(200);
    let setup = setup(&app, &inbox).await;
    assert_eq!(setup["proved_at"], "2025-01-15T08:01:00Z");
    assert_eq!(setup["status"], "active");
    assert!(setup.get("missing_proof").is_none());
}

async fn the_tokens_of_two_inboxes_differ_and_stay(store: Store) {
    let app = TestApp::start(store).await;
    let (one, two) = (app.whatsapp("1001").await, app.whatsapp("1002").await);
    let token = setup(&app, &one).await["verify_token"].clone();
    assert_ne!(token, setup(&app, &two).await["verify_token"]);
    assert_eq!(token, setup(&app, &one).await["verify_token"]);
}

async fn another_accounts_inbox_is_not_found(store: Store) {
    let app = TestApp::start(store).await;
    let inbox = app.whatsapp("1001").await;
    let other = app.another_account().await;
    let key = app.key_of(&other, &Scope::ALL).await;
    for id in [
        inbox.as_str(),
        "inbox_nobodys",
        "%00",
        "%ff",
        &"x".repeat(500),
    ] {
        let answer = app
            .get(&format!("/inboxes/{id}/setup"))
            .key(&key)
            .send()
            .await;
        answer.assert_status(404);
    }
}
