//! API keys: where they may be sent, what is wrong with them, what they may do, and when that changes.

use crate::support::{READER, Store, TestApp, on_both_stores};
use inboxd::{
    domain::Scope,
    ops::keys::{self, NewKey},
};
use secrecy::ExposeSecret;
use serde_json::json;

on_both_stores![
    a_key_is_taken_from_all_three_places,
    the_bearer_header_wins,
    every_wrong_key_gets_the_same_answer,
    revoking_takes_effect_on_the_very_next_request,
    expiring_takes_effect_on_the_very_next_request,
    read_does_not_write,
    write_does_not_read,
    only_the_hash_is_stored,
    the_last_use_is_noted_exact_to_a_minute,
];

async fn a_key_is_taken_from_all_three_places(store: Store) {
    let app = TestApp::start(store).await;
    let key = app.key(&[Scope::Read]).await;
    for scheme in ["Bearer", "bearer", "BEARER", "api_key"] {
        let value = format!("{scheme} {key}");
        let call = app.get("/inboxes").header("authorization", &value);
        call.send().await.assert_status(200);
    }
    app.get("/inboxes")
        .header("api_key", &key)
        .send()
        .await
        .assert_status(200);
    app.get(&format!("/inboxes?limit=5&api_key={key}"))
        .send()
        .await
        .assert_status(200);
    // Which of two is meant? Nobody's guess.
    for _ in 0..2 {
        let twice = app.get(&format!("/inboxes?api_key={key}&api_key={key}"));
        let wrong = [("api_key", "must be given once")];
        twice.send().await.assert_wrong_fields(&wrong);
    }
    // A scheme of somebody else's is as good as no header.
    app.get("/inboxes")
        .header("authorization", "Basic dXNlcjpwYXNz")
        .header("api_key", &key)
        .send()
        .await
        .assert_status(200);
}

async fn the_bearer_header_wins(store: Store) {
    let app = TestApp::start(store).await;
    let key = app.key(&[Scope::Read]).await;
    app.get(&format!("/inboxes?api_key={key}"))
        .header("api_key", &key)
        .header("authorization", "Bearer ibx_wrong")
        .send()
        .await
        .assert_unauthorized();
    app.get("/inboxes?api_key=ibx_wrong")
        .header("api_key", "ibx_wrong")
        .key(&key)
        .send()
        .await
        .assert_status(200);
}

async fn every_wrong_key_gets_the_same_answer(store: Store) {
    let app = TestApp::start(store).await;
    let key = app.key(&[Scope::Read]).await;
    // One digit of it, whichever stands there, is another.
    let other = if key.as_bytes()[20] == b'7' { "8" } else { "7" };
    let mistyped = format!("{}{other}{}", &key[..20], &key[21..]);
    let unknown = {
        let other = TestApp::start(store).await;
        other.key(&[Scope::Read]).await
    };
    app.get("/inboxes").send().await.assert_unauthorized();
    let long = "x".repeat(4000);
    for wrong in [
        "",
        "ibx_",
        "x",
        mistyped.as_str(),
        unknown.as_str(),
        &key[..20],
        long.as_str(),
    ] {
        app.get("/inboxes")
            .key(wrong)
            .send()
            .await
            .assert_unauthorized();
        app.get("/inboxes")
            .header("api_key", wrong)
            .send()
            .await
            .assert_unauthorized();
        app.get(&format!("/inboxes?api_key={wrong}"))
            .send()
            .await
            .assert_unauthorized();
    }
    // The key comes before the parameters: a stranger learns nothing of those.
    app.get("/inboxes?limit=0")
        .send()
        .await
        .assert_unauthorized();
}

async fn revoking_takes_effect_on_the_very_next_request(store: Store) {
    let app = TestApp::start(store).await;
    let made = keys::create(&app.context, &app.account, &READER).await;
    let (key, secret) = made.expect("a key");
    let secret = secret.expose_secret();
    app.get("/inboxes")
        .key(secret)
        .send()
        .await
        .assert_status(200);
    keys::revoke(&app.context, &app.account, &key.id)
        .await
        .expect("revoked");
    app.get("/inboxes")
        .key(secret)
        .send()
        .await
        .assert_unauthorized();
    let stranger = app.another_account().await;
    let foreign = keys::revoke(&app.context, &stranger, &key.id).await;
    assert!(foreign.is_err(), "another account's key is not there");
}

async fn expiring_takes_effect_on_the_very_next_request(store: Store) {
    let app = TestApp::start(store).await;
    let made = keys::create(
        &app.context,
        &app.account,
        &NewKey {
            expires_in: Some(60),
            ..READER
        },
    )
    .await;
    let secret = made.expect("a key").1;
    let secret = secret.expose_secret();
    app.context.clock.advance(59);
    app.get("/inboxes")
        .key(secret)
        .send()
        .await
        .assert_status(200);
    app.context.clock.advance(1);
    app.get("/inboxes")
        .key(secret)
        .send()
        .await
        .assert_unauthorized();
}

async fn read_does_not_write(store: Store) {
    let app = TestApp::start(store).await;
    let key = app.key(&[Scope::Read]).await;
    let inbox = app.livechat("Website").await;
    let forbidden = "This API key lacks the scope 'write'";
    let body = json!({"name": "W", "type": "livechat"});
    let path = format!("/inboxes/{inbox}");
    for call in [
        app.post("/inboxes").json(&body),
        app.patch(&path).json(&json!({"name": "X"})),
        app.delete(&path),
        app.get(&format!("{path}/setup")),
    ] {
        call.key(&key)
            .send()
            .await
            .assert_error(403, "FORBIDDEN", forbidden);
    }
    assert_eq!(app.listing().await.as_array().map(Vec::len), Some(1));
}

async fn write_does_not_read(store: Store) {
    let app = TestApp::start(store).await;
    let key = app.key(&[Scope::Write, Scope::Admin]).await;
    app.get("/inboxes").key(&key).send().await.assert_error(
        403,
        "FORBIDDEN",
        "This API key lacks the scope 'read'",
    );
}

async fn only_the_hash_is_stored(store: Store) {
    let app = TestApp::start(store).await;
    let key = app.key(&[Scope::Read]).await;
    assert!(key.starts_with("ibx_"), "{key}");
    let stored = app
        .count(&format!(
            "api_keys WHERE name LIKE '%{key}%' OR id LIKE '%{key}%'"
        ))
        .await;
    assert_eq!(stored, 0);
    assert_eq!(
        app.count("api_key_hashes WHERE length(key_hash) = 32")
            .await,
        1
    );
}

async fn the_last_use_is_noted_exact_to_a_minute(store: Store) {
    let app = TestApp::start(store).await;
    let made = keys::create(&app.context, &app.account, &READER).await;
    let (_, secret) = made.expect("a key");
    let last = async || {
        let all = keys::list(&app.context, &app.account).await.expect("keys");
        all[0].last_used_at
    };
    assert_eq!(last().await, None);
    app.context.clock.advance(5);
    let now = app.context.clock.now();
    app.get("/inboxes")
        .key(secret.expose_secret())
        .send()
        .await
        .assert_status(200);
    while last().await.is_none() {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(last().await, Some(now));
}
