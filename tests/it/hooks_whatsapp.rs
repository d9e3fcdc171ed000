//! `/hooks/whatsapp`: Meta's verification, and whose updates are let in.

use crate::support::{
    Store, TestApp, on_both_stores,
    whatsapp::{APP_SECRET, counted, hello, sign, text, update, updates},
    whatsapp_body,
};
use cpu_time::ThreadTime;
use inboxd::domain::Scope;
use serde_json::json;
use std::time::Duration;

on_both_stores![
    a_verification_is_answered_with_the_challenge_and_proves_the_inbox,
    a_verification_without_a_token_of_ours_is_forbidden,
    a_verification_leaves_an_inactive_inbox_off,
    an_unsigned_update_is_refused,
    a_wrongly_signed_update_is_refused,
    a_truncated_update_is_refused,
    the_signature_is_over_the_raw_bytes,
    another_inboxs_secret_does_not_sign,
    each_part_needs_its_own_inboxs_signature,
    a_update_for_nobody_is_not_found,
    a_update_partly_for_nobody_is_stored_for_the_rest,
    a_update_of_4_mb_is_too_large_and_one_of_3_mb_is_not,
    an_unsigned_update_costs_no_more_than_its_bytes,
    at_most_64_secrets_are_tried,
    an_update_without_anything_for_its_inbox_proves_it,
];

/// Delivers what must be refused, and checks that nothing came of it.
async fn refused(
    app: &TestApp,
    body: &[u8],
    signature: Option<&str>,
    status: u16,
    code: &str,
    message: &str,
) {
    let before = app.listing().await;
    let call = app.post("/hooks/whatsapp").raw_json(body);
    let call = match signature {
        Some(signature) => call.header("x-hub-signature-256", signature),
        None => call,
    };
    call.send().await.assert_error(status, code, message);
    assert_eq!(app.listing().await, before);
    for table in [
        "messages",
        "contacts",
        "conversations",
        "message_changes",
        "quarantine",
    ] {
        assert_eq!(app.count(table).await, 0, "{table}");
    }
}

async fn unauthorized(app: &TestApp, body: &[u8], signature: Option<&str>) {
    refused(
        app,
        body,
        signature,
        401,
        "UNAUTHORIZED",
        "The signature is missing or wrong",
    )
    .await;
}

async fn a_verification_is_answered_with_the_challenge_and_proves_the_inbox(store: Store) {
    let app = TestApp::start(store).await;
    let inbox = app.whatsapp("1001").await;
    let token = app.context.vault.verify_token(&inbox);
    for challenge in ["1158201444", "%3Cb%3E+x"] {
        let query =
            format!("hub.mode=subscribe&hub.challenge={challenge}&hub.verify_token={token}");
        let answer = app.get(&format!("/hooks/whatsapp?{query}")).send().await;
        answer.assert_status(200);
        assert_eq!(answer.text(), challenge.replace("%3Cb%3E+x", "<b> x"));
        assert_eq!(answer.header("content-type"), "text/plain; charset=utf-8");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert_eq!(app.shown(&inbox).await["status"], "active");
    }
}

async fn a_verification_without_a_token_of_ours_is_forbidden(store: Store) {
    let app = TestApp::start(store).await;
    let inbox = app.whatsapp("1001").await;
    let token = app.context.vault.verify_token(&inbox);
    let body = json!({"name": "DM", "type": "instagram", "instagram_account_id": "ig", "channel": {"app_secret": "s"}});
    let of_another_channel = app.context.vault.verify_token(&app.inbox(body).await);
    let gone = app.whatsapp("2002").await;
    let of_a_deleted = app.context.vault.verify_token(&gone);
    let key = app.key(&[Scope::Write]).await;
    app.delete(&format!("/inboxes/{gone}"))
        .key(&key)
        .send()
        .await
        .assert_status(204);
    let queries = [
        String::new(),
        "?hub.mode=subscribe&hub.challenge=1&hub.verify_token=".to_owned(),
        "?hub.mode=subscribe&hub.challenge=1&hub.verify_token=guess".to_owned(),
        format!("?hub.mode=subscribe&hub.challenge=1&hub.verify_token={inbox}-guess"),
        format!("?hub.mode=subscribe&hub.challenge=1&hub.verify_token={of_another_channel}"),
        format!("?hub.mode=subscribe&hub.challenge=1&hub.verify_token={of_a_deleted}"),
        format!("?hub.mode=unsubscribe&hub.challenge=1&hub.verify_token={token}"),
        format!("?hub.challenge=1&hub.verify_token={token}"),
        format!("?hub.mode=subscribe&hub.verify_token={token}"),
        format!("?hub.mode=subscribe&hub.challenge=%ff&hub.verify_token={token}"),
        format!(
            "?hub.mode=subscribe&hub.challenge=HTTP/1.1%20400%20x%0d%0a%0d%0a&hub.verify_token={token}"
        ),
        format!(
            "?hub.mode=subscribe&hub.challenge={}&hub.verify_token={token}",
            "1".repeat(201)
        ),
    ];
    for query in queries {
        let answer = app.get(&format!("/hooks/whatsapp{query}")).send().await;
        answer.assert_error(
            403,
            "FORBIDDEN",
            "This is not a verification with a token of this server",
        );
    }
    assert_eq!(app.shown(&inbox).await["status"], "pending");
}

async fn a_verification_leaves_an_inactive_inbox_off(store: Store) {
    let app = TestApp::start(store).await;
    let inbox = app.whatsapp("1001").await;
    let key = app.key(&[Scope::Write]).await;
    let off = json!({"status": "inactive"});
    app.patch(&format!("/inboxes/{inbox}"))
        .key(&key)
        .json(&off)
        .send()
        .await
        .assert_status(200);
    let token = app.context.vault.verify_token(&inbox);
    let path =
        format!("/hooks/whatsapp?hub.mode=subscribe&hub.challenge=1&hub.verify_token={token}");
    app.get(&path).send().await.assert_status(200);
    assert_eq!(app.shown(&inbox).await["status"], "inactive");
}

async fn an_unsigned_update_is_refused(store: Store) {
    let app = TestApp::start(store).await;
    app.whatsapp("1001").await;
    let body = hello("w1").to_string();
    unauthorized(&app, body.as_bytes(), None).await;
    unauthorized(&app, b"", None).await;
    let old = "sha1=0123456789012345678901234567890123456789";
    let call = app
        .post("/hooks/whatsapp")
        .header("x-hub-signature", old)
        .raw_json(body);
    call.send().await.assert_status(401);
}

async fn a_wrongly_signed_update_is_refused(store: Store) {
    let app = TestApp::start(store).await;
    app.whatsapp("1001").await;
    let body = hello("w1").to_string();
    let good = sign(APP_SECRET, body.as_bytes());
    let hex = good.strip_prefix("sha256=").expect("the scheme");
    for bad in [
        "",
        "sha256=",
        hex,
        &format!("sha256={}", hex.to_uppercase()),
        &format!("sha1={hex}"),
        &format!("{good}00"),
        &good[..good.len() - 2],
        &sign("guess", body.as_bytes()),
        &sign("", body.as_bytes()),
        &sign(APP_SECRET, hello("w2").to_string().as_bytes()),
    ] {
        unauthorized(&app, body.as_bytes(), Some(bad)).await;
    }
}

async fn a_truncated_update_is_refused(store: Store) {
    let app = TestApp::start(store).await;
    app.whatsapp("1001").await;
    let body = hello("w1").to_string();
    let signature = sign(APP_SECRET, body.as_bytes());
    let cut = &body.as_bytes()[..body.len() - 10];
    unauthorized(&app, cut, Some(&signature)).await;
    // Cut before its address it is for nobody.
    let cut = &body.as_bytes()[..40];
    refused(
        &app,
        cut,
        Some(&signature),
        404,
        "NOT_FOUND",
        "Inbox not found",
    )
    .await;
}

async fn the_signature_is_over_the_raw_bytes(store: Store) {
    let app = TestApp::start(store).await;
    app.whatsapp("1001").await;
    // Escaped as Meta does, and laid out as nobody does: parsed and written again it would be other bytes.
    let body = hello("w1")
        .to_string()
        .replace("Hello", r"\u00e4\/\ud83d\ude4f");
    let body = body.replace(",\"", " ,\n\t\"");
    app.deliver_bytes(body.as_bytes(), APP_SECRET)
        .await
        .assert_status(200);
    assert_eq!(
        app.count("messages WHERE content = '{\"text\":\"ä/🙏\"}'")
            .await,
        1
    );
}

async fn another_inboxs_secret_does_not_sign(store: Store) {
    let app = TestApp::start(store).await;
    app.whatsapp("1001").await;
    let mut body = whatsapp_body("2002");
    body["channel"]["app_secret"] = "another".into();
    app.inbox(body).await;
    let body = hello("w1").to_string();
    unauthorized(
        &app,
        body.as_bytes(),
        Some(&sign("another", body.as_bytes())),
    )
    .await;
}

async fn each_part_needs_its_own_inboxs_signature(store: Store) {
    let app = TestApp::start(store).await;
    app.whatsapp("1001").await;
    let mut body = whatsapp_body("2002");
    body["channel"]["app_secret"] = "another".into();
    app.inbox(body).await;
    let payload = updates(&[
        ("1001", &[text("628111", "w1", "Hello")]),
        ("2002", &[text("628111", "w2", "Smuggled")]),
    ]);
    app.deliver(&payload).await.assert_status(200);
    assert_eq!(counted(&app).await, [1, 0]);
    assert_eq!(app.listing().await[1]["status"], "pending");
}

async fn a_update_for_nobody_is_not_found(store: Store) {
    let app = TestApp::start(store).await;
    app.whatsapp("1001").await;
    for body in [
        update("9999", &[text("628111", "w1", "Hello")]).to_string(),
        "{}".to_owned(),
        "[]".to_owned(),
        "no JSON".to_owned(),
        String::new(),
        "[".repeat(100_000),
    ] {
        let signature = sign(APP_SECRET, body.as_bytes());
        refused(
            &app,
            body.as_bytes(),
            Some(&signature),
            404,
            "NOT_FOUND",
            "Inbox not found",
        )
        .await;
    }
}

async fn a_update_partly_for_nobody_is_stored_for_the_rest(store: Store) {
    let app = TestApp::start(store).await;
    app.whatsapp("1001").await;
    let payload = updates(&[
        ("9999", &[text("628111", "w1", "Hello")]),
        ("1001", &[text("628111", "w2", "Hello")]),
    ]);
    app.deliver(&payload).await.assert_status(200);
    assert_eq!(counted(&app).await, [1]);
}

async fn a_update_of_4_mb_is_too_large_and_one_of_3_mb_is_not(store: Store) {
    let app = TestApp::start(store).await;
    app.whatsapp("1001").await;
    let of = |size: usize| update("1001", &[text("628111", "w1", &"x".repeat(size))]).to_string();
    let body = of(4_000_000);
    let signature = sign(APP_SECRET, body.as_bytes());
    refused(
        &app,
        body.as_bytes(),
        Some(&signature),
        413,
        "PAYLOAD_TOO_LARGE",
        "The body is too large",
    )
    .await;
    app.deliver_bytes(of(3_000_000).as_bytes(), APP_SECRET)
        .await
        .assert_status(200);
    assert_eq!(counted(&app).await, [1]);
}

/// The server runs on this test's thread, so the thread's CPU time is what an answer costs.
async fn an_unsigned_update_costs_no_more_than_its_bytes(store: Store) {
    let app = TestApp::start(store).await;
    app.whatsapp("1001").await;
    let people = |count: usize| {
        let one = |number| format!(r#"{{"wa_id":"{number}"}}"#);
        (0..count).map(one).collect::<Vec<_>>().join(",")
    };
    let messages = |count: usize| {
        let one = |number| format!(r#"{{"id":"{number}","from":"x{number}"}}"#);
        (0..count).map(one).collect::<Vec<_>>().join(",")
    };
    let metadata = r#""metadata":{"phone_number_id":"1001"}"#;
    let body = |value: &str| {
        format!(r#"{{"entry":[{{"changes":[{{"value":{{{metadata},{value}}}}}]}}]}}"#)
    };
    let many = body(&format!(
        r#""contacts":[{}],"messages":[{}]"#,
        people(20_000),
        messages(10_000)
    ));
    let plain = body(&format!(r#""text":"{}""#, "x".repeat(many.len())));
    let cost = async |body: &str| {
        let mut least = Duration::MAX;
        for _ in 0..3 {
            let start = ThreadTime::now();
            unauthorized(&app, body.as_bytes(), Some("sha256=00")).await;
            least = least.min(start.elapsed());
        }
        least
    };
    let (plain, many) = (cost(&plain).await, cost(&many).await);
    assert!(many < plain * 4, "{many:?} and {plain:?} for as many bytes");
}

/// A body that names more inboxes before the one whose secret signed it is not Meta's: Meta signs with one secret.
async fn at_most_64_secrets_are_tried(store: Store) {
    let app = TestApp::start(store).await;
    for number in 0..65 {
        let mut body = whatsapp_body(&number.to_string());
        body["phone_number"] = format!("+6281234{number}").into();
        body["channel"]["app_secret"] = format!("secret-{number}").into();
        app.inbox(body).await;
    }
    let ids: Vec<_> = (0..65).map(|number| number.to_string()).collect();
    let messages = [text("628111", "w1", "Hello")];
    let parts: Vec<_> = ids.iter().map(|id| (id.as_str(), &messages[..])).collect();
    let body = updates(&parts).to_string();
    let deliver = async |secret| app.deliver_bytes(body.as_bytes(), secret).await;
    deliver("secret-64").await.assert_status(401);
    assert_eq!(app.count("messages").await, 0);
    deliver("secret-63").await.assert_status(200);
    assert_eq!(app.count("messages").await, 1);
}

async fn an_update_without_anything_for_its_inbox_proves_it(store: Store) {
    let app = TestApp::start(store).await;
    let inbox = app.whatsapp("1001").await;
    let body = json!({"entry": [{"id": "10", "changes": [{"field": "new", "value": {"phone_number_id": "1001"}}]}]});
    app.deliver(&body).await.assert_status(200);
    assert_eq!(app.shown(&inbox).await["status"], "active");
}
