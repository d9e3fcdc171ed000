//! Updates of Meta's that name no inbox: the dashboard's Test button makes one up, and what happens to a whole business
//! account has none. They are for whoever's secret signed them.

use crate::support::{
    Answer, Store, TestApp, on_both_stores,
    whatsapp::{APP_SECRET, sign, text, update},
    whatsapp_body,
};
use db::Sql;
use inboxd::{
    id::{AccountId, InboxId},
    ops::quarantine,
};
use serde_json::{Value, json};

on_both_stores![
    instagrams_test_button_reaches_the_one_inbox_that_signed_it,
    whatsapps_test_button_reaches_the_one_inbox_that_signed_it,
    a_test_that_several_inboxes_signed_goes_aside,
    a_test_that_inboxes_of_several_accounts_signed_is_nobodys,
    what_happens_to_a_business_account_is_kept_once,
    a_business_account_tells_whose_it_is,
    an_account_keeps_the_latest_changes,
    inboxes_that_wait_for_a_proof_are_tried_first,
    strangers_and_long_bodies_get_a_404,
];

/// The body of a WhatsApp inbox with another secret than usual.
fn with_secret(phone_number_id: &str, secret: &str) -> Value {
    let mut body = whatsapp_body(phone_number_id);
    body["channel"]["app_secret"] = secret.into();
    body
}

/// What WhatsApp's Test button sends.
fn test_of_whatsapp() -> Value {
    let mut body = update("123456123", &[text("16315551181", "ABGGFlA5Fpa", "Hi")]);
    body["entry"][0]["id"] = "0".into();
    body
}

/// An update of a business account.
fn business(id: &str, field: &str, value: &Value) -> Value {
    json!({"object": "whatsapp_business_account", "entry": [{"id": id, "time": 1_736_928_000,
        "changes": [{"field": field, "value": value}]}]})
}

async fn deliver_signed(app: &TestApp, payload: &Value, secret: &str) -> Answer {
    app.deliver_bytes(payload.to_string().as_bytes(), secret)
        .await
}

async fn status_and_count(app: &TestApp, inbox: &InboxId) -> (Value, Value) {
    let shown = app.shown(inbox).await;
    (shown["status"].clone(), shown["messages_count"].clone())
}

async fn changes_of(app: &TestApp, account: &AccountId) -> i64 {
    app.count(&format!("business_changes WHERE account_id = '{account}'"))
        .await
}

async fn instagrams_test_button_reaches_the_one_inbox_that_signed_it(store: Store) {
    let app = TestApp::start(store).await;
    let instagram = |account: &str, secret: &str| {
        json!({"name": "DM", "type": "instagram", "instagram_account_id": account,
            "channel": {"app_secret": secret}})
    };
    let other = app.inbox(instagram("1784", "another-secret")).await;
    let inbox = app.inbox(instagram("1785", APP_SECRET)).await;
    let said = json!({"sender": {"id": "12334"}, "recipient": {"id": "23245"}, "timestamp": "1527459824",
        "message": {"mid": "random_mid", "text": "random_text"}});
    for entry in [
        json!({"id": "0", "time": 1_736_928_000, "changes": [{"field": "messages", "value": said}]}),
        json!({"id": "0", "time": 1_736_928_000, "messaging": [said]}),
        json!({"id": "0", "time": 1_736_928_000, "changes": [{"field": "comments", "value": {"id": "c"}}]}),
    ] {
        let body = json!({"object": "instagram", "entry": [entry]}).to_string();
        let call = app.post("/hooks/instagram");
        let call = call.header("x-hub-signature-256", &sign(APP_SECRET, body.as_bytes()));
        call.raw_json(body).send().await.assert_status(200);
    }
    assert_eq!(
        status_and_count(&app, &inbox).await,
        (json!("active"), json!(1))
    );
    assert_eq!(
        status_and_count(&app, &other).await,
        (json!("pending"), json!(0))
    );
    assert_eq!(app.count("quarantine").await, 0);
}

async fn whatsapps_test_button_reaches_the_one_inbox_that_signed_it(store: Store) {
    let app = TestApp::start(store).await;
    let other = app.inbox(with_secret("1002", "another-secret")).await;
    let inbox = app.whatsapp("1001").await;
    for _ in 0..2 {
        app.deliver(&test_of_whatsapp()).await.assert_status(200);
    }
    app.deliver(&business(
        "0",
        "account_update",
        &json!({"event": "VERIFIED_ACCOUNT"}),
    ))
    .await
    .assert_status(200);
    assert_eq!(
        status_and_count(&app, &inbox).await,
        (json!("active"), json!(1))
    );
    assert_eq!(
        status_and_count(&app, &other).await,
        (json!("pending"), json!(0))
    );
    assert_eq!(
        app.count("business_changes").await,
        0,
        "a test changes nothing"
    );
    // A real number that is not connected here is none of ours.
    let real = update("1003", &[text("628111", "wamid.1", "Hi")]);
    app.deliver(&real).await.assert_status(404);
}

async fn a_test_that_several_inboxes_signed_goes_aside(store: Store) {
    let app = TestApp::start(store).await;
    let inboxes = [app.whatsapp("1001").await, app.whatsapp("1002").await];
    app.deliver(&test_of_whatsapp()).await.assert_status(200);
    for inbox in &inboxes {
        assert_eq!(
            status_and_count(&app, inbox).await,
            (json!("pending"), json!(0))
        );
    }
    let kept = quarantine::list(&app.context, &app.account, None, 10).await;
    let kept = kept.expect("a list");
    assert_eq!(kept.len(), 1);
    // A person may say that it is for the inbox after all.
    let replayed = quarantine::replay(&app.context, &app.account, &kept[0].id).await;
    assert_eq!(replayed.expect("read again").stored, 1);
    assert_eq!(app.shown(&kept[0].inbox).await["messages_count"], 1);
    assert_eq!(app.count("quarantine").await, 0);
}

async fn a_test_that_inboxes_of_several_accounts_signed_is_nobodys(store: Store) {
    let app = TestApp::start(store).await;
    let other = app.another_account().await;
    app.whatsapp("1001").await;
    app.inbox_of(&other, whatsapp_body("1002")).await;
    let verdict = business(
        "102",
        "account_update",
        &json!({"event": "VERIFIED_ACCOUNT"}),
    );
    for body in [test_of_whatsapp(), verdict] {
        app.deliver(&body).await.assert_status(200);
    }
    for table in ["messages", "quarantine", "business_changes"] {
        assert_eq!(app.count(table).await, 0, "{table}");
    }
}

async fn what_happens_to_a_business_account_is_kept_once(store: Store) {
    let app = TestApp::start(store).await;
    // Two of one app: it is the account's, and tells nothing of either.
    let inboxes = [app.whatsapp("1001").await, app.whatsapp("1002").await];
    let verdict = |event: &str| {
        let value = json!({"event": event, "message_template_id": 7});
        business("102", "message_template_status_update", &value)
    };
    for event in ["APPROVED", "PAUSED", "APPROVED"] {
        app.deliver(&verdict(event)).await.assert_status(200);
    }
    assert_eq!(changes_of(&app, &app.account).await, 2);
    let kept = r#"business_changes WHERE business_account_id = '102' AND field = 'message_template_status_update'
        AND value = '{"event":"PAUSED","message_template_id":7}' AND timestamp = 1736928000"#;
    assert_eq!(app.count(kept).await, 1);
    for inbox in &inboxes {
        assert_eq!(
            status_and_count(&app, inbox).await,
            (json!("pending"), json!(0))
        );
    }
    assert_eq!(app.count("quarantine").await, 0);
    app.verify().await;
}

/// Accounts of one app share its secret: the business account is what tells them apart.
async fn a_business_account_tells_whose_it_is(store: Store) {
    let app = TestApp::start(store).await;
    let other = app.another_account().await;
    let of = |number: &str, business: &str| {
        let mut body = whatsapp_body(number);
        body["channel"]["business_account_id"] = business.into();
        body
    };
    let inbox = app.inbox(of("1001", "102")).await;
    app.inbox_of(&other, of("1002", "103")).await;
    let event = json!({"event": "VERIFIED_ACCOUNT"});
    let of_103 = business("103", "account_update", &event);
    app.deliver(&of_103).await.assert_status(200);
    assert_eq!(changes_of(&app, &other).await, 1);
    assert_eq!(changes_of(&app, &app.account).await, 0);
    assert_eq!(app.shown(&inbox).await["status"], "pending");

    // The id can change, and another secret vouches for nothing.
    let change = json!({"channel": {"business_account_id": "104"}});
    let change = change.as_object().expect("an object").clone();
    let changed =
        inboxd::ops::inboxes::update(&app.context, &app.account, &inbox, change, None).await;
    changed.expect("changed");
    let of_104 = business("104", "account_update", &event);
    deliver_signed(&app, &of_104, "another-secret")
        .await
        .assert_status(404);
    app.deliver(&of_104).await.assert_status(200);
    assert_eq!(changes_of(&app, &app.account).await, 1);
    assert_eq!(app.shown(&inbox).await["status"], "active");
}

async fn an_account_keeps_the_latest_changes(store: Store) {
    let app = TestApp::start(store).await;
    app.whatsapp("1001").await;
    let changes: Vec<_> = (0..300)
        .map(|number| json!({"field": "account_update", "value": {"number": number}}))
        .collect();
    for time in 0..4 {
        let body = json!({"entry": [{"id": "102", "time": time, "changes": changes}]});
        app.deliver(&body).await.assert_status(200);
    }
    assert_eq!(changes_of(&app, &app.account).await, 1000);
    assert_eq!(app.count("business_changes WHERE timestamp = 3").await, 300);
}

async fn inboxes_that_wait_for_a_proof_are_tried_first(store: Store) {
    let app = TestApp::start(store).await;
    let secret = |number: u32| format!("secret-{number}");
    let mut inboxes = Vec::new();
    for number in 0..66 {
        let body = with_secret(&number.to_string(), &secret(number));
        inboxes.push(app.inbox(body).await);
    }
    let first = &inboxes[0];
    let text = format!("UPDATE inboxes SET proved_at = 1 WHERE id <> '{first}'");
    let mut session = app.context.db.write().await.expect("a session");
    let proved = session.execute(&Sql::same(text.leak()), &[]).await;
    assert_eq!(proved.expect("a good statement"), 65);
    session.commit().await.expect("committed");

    let body = test_of_whatsapp();
    // 64 are tried: the one that waits, and the 63 newest of the others.
    for (number, status) in [(65, 200), (3, 200), (2, 404), (1, 404), (0, 200)] {
        let answer = deliver_signed(&app, &body, &secret(number)).await;
        answer.assert_status(status);
    }
    assert_eq!(
        status_and_count(&app, first).await,
        (json!("active"), json!(1))
    );
}

async fn strangers_and_long_bodies_get_a_404(store: Store) {
    let app = TestApp::start(store).await;
    app.whatsapp("1001").await;
    let verdict = |length: usize| {
        let value = json!({"event": "x".repeat(length)});
        business("102", "account_update", &value)
    };
    for (body, secret, status) in [
        (verdict(1), "wrong", 404),
        (verdict(64 * 1024), APP_SECRET, 404),
        (verdict(60_000), APP_SECRET, 200),
    ] {
        let answer = deliver_signed(&app, &body, secret).await;
        answer.assert_status(status);
    }
    let unsigned = app.post("/hooks/whatsapp").raw_json(verdict(1).to_string());
    unsigned.send().await.assert_status(401);
}
