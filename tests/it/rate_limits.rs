//! How much a key may ask in a minute, and how often an address may be wrong about a key.

use crate::support::{
    Answer, READER, START, Shell, Store, TestApp, client, eventually, on_both_stores,
};
use inboxd::{
    domain::Scope,
    id::KeyId,
    ops::keys::{self, NewKey},
};
use reqwest::Method;
use secrecy::ExposeSecret;
use serde_json::json;

on_both_stores![
    every_answer_to_a_good_key_says_how_its_count_stands,
    a_stream_of_events_is_one_request_and_says_so,
    what_needs_no_key_has_no_limit,
    beyond_the_limit_is_429_until_the_minute_is_over,
    each_key_has_a_minute_of_its_own,
    a_keys_own_limit_counts_before_the_servers,
    another_processs_change_holds_from_the_next_request_on,
    zero_is_no_limit,
    each_node_counts_for_itself,
    a_clock_that_steps_back_locks_nobody_out,
    wrong_keys_are_429_beyond_the_limit_until_the_minute_is_over,
    revoked_and_expired_keys_count_as_wrong_ones,
    a_request_without_a_key_tries_none,
    beyond_the_limit_even_a_good_key_is_not_tried,
    a_key_that_was_good_from_an_address_goes_on_to_work,
    wrong_keys_are_counted_by_address,
    x_forwarded_for_counts_only_from_configured_proxies,
    live_chat_counts_by_the_address_that_a_trusted_proxy_names,
    serve_has_the_documented_defaults,
    serve_takes_the_limits_and_the_proxies,
    serve_warns_once_of_a_proxy_that_it_does_not_know,
];

/// Limit, remaining and reset of an answer.
#[track_caller]
fn quota(answer: &Answer) -> (i64, i64, i64) {
    let number = |name: &str| answer.header(name).parse().expect("a number");
    (
        number("x-ratelimit-limit"),
        number("x-ratelimit-remaining"),
        number("x-ratelimit-reset"),
    )
}

#[track_caller]
fn assert_no_quota(answer: &Answer) {
    let headers = answer.headers.keys();
    let mut told = headers.filter(|name| name.as_str().starts_with("x-ratelimit"));
    assert_eq!(told.next(), None, "{answer:?}");
}

#[track_caller]
fn assert_limited(answer: &Answer, retry_after: &str) {
    let message = "Too many requests: wait, and try again";
    answer.assert_error(429, "RATE_LIMITED", message);
    assert_eq!(answer.header("retry-after"), retry_after);
}

#[track_caller]
fn assert_too_many_failures(answer: &Answer, retry_after: &str) {
    let message = "Too many wrong API keys from this address: wait, and try again";
    answer.assert_error(429, "RATE_LIMITED", message);
    assert_eq!(answer.header("retry-after"), retry_after);
    assert_no_quota(answer);
}

async fn limited(store: Store, rate_limit: i64) -> TestApp {
    TestApp::with(store, |limits| limits.rate_limit = rate_limit).await
}

async fn list(app: &TestApp, key: &str) -> Answer {
    app.get("/inboxes").key(key).send().await
}

/// A list through a proxy that says this.
async fn list_for(app: &TestApp, key: &str, forwarded_for: &str) -> Answer {
    let call = app.get("/inboxes").key(key);
    call.header("x-forwarded-for", forwarded_for).send().await
}

/// A server that knows a proxy on this machine, and takes so many wrong keys from an address.
async fn behind_a_proxy(store: Store, auth_failures: i64) -> TestApp {
    TestApp::with(store, |limits| {
        limits.auth_failures = auth_failures;
        limits.trusted_proxies = vec!["127.0.0.0/8".parse().expect("a range")];
    })
    .await
}

async fn key_with(app: &TestApp, rate_limit: Option<i64>) -> (KeyId, String) {
    let made = keys::create(
        &app.context,
        &app.account,
        &NewKey {
            rate_limit,
            ..READER
        },
    )
    .await;
    let (key, secret) = made.expect("a key");
    (key.id, secret.expose_secret().to_owned())
}

async fn every_answer_to_a_good_key_says_how_its_count_stands(store: Store) {
    let app = limited(store, 100).await;
    let inbox = format!("/inboxes/{}", app.livechat("Website").await);
    let writer = app.key(&[Scope::Write]).await;
    let body = json!({"name": "A", "type": "livechat"});
    let large = vec![b' '; 65 * 1024];
    let mut left = 100;
    for (call, status) in [
        (app.post("/inboxes").json(&body), 201),
        (app.patch(&inbox).json(&json!({"name": "B"})), 200),
        (app.patch(&inbox).json(&json!({"name": 1})), 400),
        (app.post("/inboxes").raw_json("{"), 400),
        (app.post("/inboxes").body("{}"), 415),
        (app.post("/inboxes").raw_json(large), 413),
        (app.get("/inboxes"), 403),
        (app.call(Method::HEAD, "/inboxes"), 403),
        (app.get("/inboxes/"), 403),
        (app.get("/inboxes/inbox_x/setup"), 404),
        (app.delete(&inbox), 204),
        (app.delete(&inbox), 404),
    ] {
        let answer = call.key(&writer).send().await;
        answer.assert_status(status);
        left -= 1;
        assert_eq!(quota(&answer), (100, left, START + 60), "{answer:?}");
    }
}

async fn a_stream_of_events_is_one_request_and_says_so(store: Store) {
    let app = limited(store, 100).await;
    let key = app.key(&[Scope::Read]).await;
    let request = client()
        .get(format!("http://{}/events", app.address))
        .bearer_auth(&key);
    let stream = request.send().await.expect("an answer");
    assert_eq!(stream.status(), 200);
    assert_eq!(stream.headers()["x-ratelimit-remaining"], "99");
    assert_eq!(quota(&list(&app, &key).await).1, 98);
}

async fn what_needs_no_key_has_no_limit(store: Store) {
    let app = limited(store, 1).await;
    let inbox = app.livechat("Website").await;
    let key = app.key(&[Scope::Read]).await;
    list(&app, &key).await.assert_status(200);
    let sessions = format!("/livechat/{inbox}/sessions");
    for (call, status) in [
        (app.get("/inboxes"), 401),
        (app.get("/inboxes").key("ibx_wrong"), 401),
        (app.get("/healthz").key(&key), 200),
        (app.get("/openapi.json").key(&key), 200),
        (app.get("/nowhere").key(&key), 404),
        (app.call(Method::PUT, "/inboxes").key(&key), 405),
        (app.post("/hooks/whatsapp").key(&key).raw_json("{}"), 401),
        (app.post(&sessions).key(&key).json(&json!({})), 201),
    ] {
        let answer = call.send().await;
        answer.assert_status(status);
        assert_no_quota(&answer);
    }
}

async fn beyond_the_limit_is_429_until_the_minute_is_over(store: Store) {
    let app = limited(store, 2).await;
    let key = app.key(&[Scope::Read]).await;
    app.context.clock.advance(17);
    let reset = START + 17 + 60;
    assert_eq!(quota(&list(&app, &key).await), (2, 1, reset));
    app.context.clock.advance(20);
    assert_eq!(quota(&list(&app, &key).await), (2, 0, reset));
    let refused = list(&app, &key).await;
    assert_limited(&refused, "40");
    assert_eq!(quota(&refused), (2, 0, reset));
    // Being refused costs nothing, and does not put the end off.
    app.context.clock.advance(39);
    assert_limited(&list(&app, &key).await, "1");
    app.context.clock.advance(1);
    let answer = list(&app, &key).await;
    answer.assert_status(200);
    assert_eq!(quota(&answer), (2, 1, reset + 60));
}

async fn each_key_has_a_minute_of_its_own(store: Store) {
    let app = limited(store, 1).await;
    let (one, two) = (app.key(&[Scope::Read]).await, app.key(&[Scope::Read]).await);
    list(&app, &one).await.assert_status(200);
    assert_limited(&list(&app, &one).await, "60");
    app.context.clock.advance(30);
    assert_eq!(quota(&list(&app, &two).await), (1, 0, START + 90));
    assert_limited(&list(&app, &one).await, "30");
    // Wherever it is sent, it is the same key.
    let parameter = app.get(&format!("/inboxes?api_key={one}")).send().await;
    assert_limited(&parameter, "30");
}

async fn a_keys_own_limit_counts_before_the_servers(store: Store) {
    let app = limited(store, 1).await;
    let (_, more) = key_with(&app, Some(2)).await;
    let (_, none) = key_with(&app, Some(0)).await;
    assert_eq!(quota(&list(&app, &more).await), (2, 1, START + 60));
    list(&app, &more).await.assert_status(200);
    assert_limited(&list(&app, &more).await, "60");
    for _ in 0..5 {
        let answer = list(&app, &none).await;
        answer.assert_status(200);
        assert_no_quota(&answer);
    }
}

async fn another_processs_change_holds_from_the_next_request_on(store: Store) {
    let app = limited(store, 1000).await;
    let (id, key) = key_with(&app, None).await;
    assert_eq!(quota(&list(&app, &key).await).0, 1000);
    let shell = Shell::at(&app.place().url());
    let update = |limit: &str| {
        shell.json(&["key", "update", id.as_str(), "--rate-limit", limit]);
    };
    update("2");
    let answer = list(&app, &key).await;
    answer.assert_status(200);
    // What was asked in this minute stays asked.
    assert_eq!(quota(&answer), (2, 0, START + 60));
    assert_limited(&list(&app, &key).await, "60");
    update("0");
    assert_no_quota(&list(&app, &key).await);
    update("default");
    assert_eq!(quota(&list(&app, &key).await), (1000, 997, START + 60));
}

async fn zero_is_no_limit(store: Store) {
    let app = limited(store, 0).await;
    let key = app.key(&[Scope::Read]).await;
    let (_, own) = key_with(&app, Some(1)).await;
    for _ in 0..5 {
        let answer = list(&app, &key).await;
        answer.assert_status(200);
        assert_no_quota(&answer);
    }
    list(&app, &own).await.assert_status(200);
    assert_limited(&list(&app, &own).await, "60");
    for _ in 0..70 {
        list(&app, "ibx_wrong").await.assert_unauthorized();
    }
}

async fn each_node_counts_for_itself(store: Store) {
    let app = limited(store, 1).await;
    let other = app.another_node().await;
    let key = app.key(&[Scope::Read]).await;
    list(&app, &key).await.assert_status(200);
    assert_limited(&list(&app, &key).await, "60");
    list(&other, &key).await.assert_status(200);
}

async fn a_clock_that_steps_back_locks_nobody_out(store: Store) {
    let app = TestApp::with(store, |limits| {
        limits.rate_limit = 1;
        limits.auth_failures = 1;
    })
    .await;
    let (_, key) = key_with(&app, None).await;
    list(&app, &key).await.assert_status(200);
    list(&app, "ibx_wrong").await.assert_unauthorized();
    app.context.clock.advance(-3600);
    let refused = list(&app, &key).await;
    assert_limited(&refused, "60");
    assert_eq!(quota(&refused).2, START - 3600 + 60);
    assert_too_many_failures(&list(&app, "ibx_wrong").await, "60");
    app.context.clock.advance(60);
    list(&app, &key).await.assert_status(200);
    list(&app, "ibx_wrong").await.assert_unauthorized();
}

async fn wrong_keys_are_429_beyond_the_limit_until_the_minute_is_over(store: Store) {
    let app = TestApp::with(store, |limits| limits.auth_failures = 3).await;
    let other = TestApp::start(store).await;
    // Well-formed, but of another server.
    let stranger = other.key(&[Scope::Read]).await;
    list(&app, "ibx_wrong").await.assert_unauthorized();
    list(&app, &stranger).await.assert_unauthorized();
    app.context.clock.advance(20);
    let answer = app.get("/inboxes?api_key=").send().await;
    answer.assert_unauthorized();
    for wrong in ["ibx_wrong", "another", &stranger] {
        assert_too_many_failures(&list(&app, wrong).await, "40");
    }
    app.context.clock.advance(40);
    for _ in 0..3 {
        list(&app, "ibx_wrong").await.assert_unauthorized();
    }
    assert_too_many_failures(&list(&app, "ibx_wrong").await, "60");
}

async fn revoked_and_expired_keys_count_as_wrong_ones(store: Store) {
    let app = TestApp::with(store, |limits| limits.auth_failures = 2).await;
    let (id, revoked) = key_with(&app, None).await;
    let expired = keys::create(
        &app.context,
        &app.account,
        &NewKey {
            expires_in: Some(1),
            ..READER
        },
    )
    .await;
    let expired = expired.expect("a key").1;
    let revoking = keys::revoke(&app.context, &app.account, &id).await;
    revoking.expect("revoked");
    app.context.clock.advance(1);
    list(&app, &revoked).await.assert_unauthorized();
    list(&app, expired.expose_secret())
        .await
        .assert_unauthorized();
    assert_too_many_failures(&list(&app, &revoked).await, "60");
}

async fn a_request_without_a_key_tries_none(store: Store) {
    let app = TestApp::with(store, |limits| limits.auth_failures = 1).await;
    let none = async || app.get("/inboxes").send().await;
    for _ in 0..3 {
        none().await.assert_unauthorized();
    }
    list(&app, "ibx_wrong").await.assert_unauthorized();
    assert_too_many_failures(&list(&app, "ibx_wrong").await, "60");
    none().await.assert_unauthorized();
}

async fn beyond_the_limit_even_a_good_key_is_not_tried(store: Store) {
    let app = TestApp::with(store, |limits| limits.auth_failures = 1).await;
    let key = app.key(&[Scope::Read]).await;
    list(&app, "ibx_wrong").await.assert_unauthorized();
    // A lucky guess, for all that this server has seen of it.
    assert_too_many_failures(&list(&app, &key).await, "60");
    app.context.clock.advance(60);
    list(&app, &key).await.assert_status(200);
}

async fn a_key_that_was_good_from_an_address_goes_on_to_work(store: Store) {
    let app = behind_a_proxy(store, 1).await;
    let (id, key) = key_with(&app, None).await;
    let (office, elsewhere) = ("203.0.113.7", "198.51.100.9");
    list_for(&app, &key, office).await.assert_status(200);
    app.context.clock.advance(23 * 60 * 60);
    for address in [office, elsewhere] {
        let wrong = list_for(&app, "ibx_wrong", address).await;
        wrong.assert_unauthorized();
    }
    list_for(&app, &key, office).await.assert_status(200);
    // From where it never was good it may be a guess.
    assert_too_many_failures(&list_for(&app, &key, elsewhere).await, "60");
    // It is known, not trusted: it is looked up as ever.
    let revoking = keys::revoke(&app.context, &app.account, &id).await;
    revoking.expect("revoked");
    assert_too_many_failures(&list_for(&app, &key, office).await, "60");
}

async fn wrong_keys_are_counted_by_address(store: Store) {
    let app = behind_a_proxy(store, 1).await;
    for (address, same) in [
        ("203.0.113.7", "203.0.113.7:4711"),
        ("203.0.113.8", "6.6.6.6, 203.0.113.8"),
        ("2001:db8::1", "2001:db8::ffff:0:0:2"),
        ("2001:db8:0:1::1", "[2001:db8:0:1::2]:4711"),
    ] {
        let wrong = list_for(&app, "ibx_wrong", address).await;
        wrong.assert_unauthorized();
        let wrong = list_for(&app, "ibx_wrong", same).await;
        assert_too_many_failures(&wrong, "60");
    }
}

async fn x_forwarded_for_counts_only_from_configured_proxies(store: Store) {
    for proxies in [vec![], vec!["10.0.0.0/8".parse().expect("a range")]] {
        let app = TestApp::with(store, |limits| {
            limits.auth_failures = 1;
            limits.trusted_proxies = proxies;
        })
        .await;
        let wrong = list_for(&app, "ibx_wrong", "203.0.113.1").await;
        wrong.assert_unauthorized();
        let wrong = list_for(&app, "ibx_wrong", "203.0.113.2").await;
        assert_too_many_failures(&wrong, "60");
    }
}

async fn live_chat_counts_by_the_address_that_a_trusted_proxy_names(store: Store) {
    let app = behind_a_proxy(store, 0).await;
    let inbox = app.livechat("Website").await;
    let enter = async |address: &str| {
        let call = app.post(&format!("/livechat/{inbox}/sessions"));
        let call = call.header("x-forwarded-for", address).json(&json!({}));
        call.send().await
    };
    // Other entries of the header are the client's own word.
    let mut sent = 0;
    let refused = loop {
        let answer = enter(&format!("6.6.6.{}, 203.0.113.7", sent % 256)).await;
        if answer.status != 201 {
            break answer;
        }
        sent += 1;
        assert!(sent < 100_000, "a limit is reached");
    };
    assert_limited(&refused, "1");
    enter("203.0.113.8").await.assert_status(201);
}

async fn serve_has_the_documented_defaults(store: Store) {
    let shell = Shell::ready(store).await;
    shell.account("Toko Biru");
    let key = shell.key();
    let mut command = shell.command(&["serve", "--listen", "127.0.0.1:0"]);
    command
        .env_remove("INBOXD_RATE_LIMIT")
        .env_remove("INBOXD_AUTH_FAILURES");
    let server = shell.start(command);
    let answer = server.get("/inboxes").key(&key).send().await;
    answer.assert_status(200);
    let (limit, left, _) = quota(&answer);
    assert_eq!((limit, left), (1000, 999));
    let mut wrong = 0;
    loop {
        let answer = server.get("/inboxes").key("ibx_wrong").send().await;
        if answer.status == 429 {
            break;
        }
        answer.assert_unauthorized();
        wrong += 1;
        assert!(wrong < 10_000, "a limit is reached");
    }
    // On a very slow machine some may have been in the minute before.
    assert!(wrong >= 60, "{wrong}");
    // It was good from here before.
    let answer = server.get("/inboxes").key(&key).send().await;
    answer.assert_status(200);
    server.stop().await;
}

async fn serve_takes_the_limits_and_the_proxies(store: Store) {
    let shell = Shell::ready(store).await;
    shell.account("Toko Biru");
    let key = shell.key();
    let serve = ["serve", "--listen", "127.0.0.1:0", "--rate-limit", "5"];
    let failures = ["--auth-failures", "1"];
    let proxies = ["--trusted-proxies", "10.0.0.0/8, 127.0.0.1,::1"];
    let server = shell.start(shell.command(&[&serve[..], &failures, &proxies].concat()));
    let answer = server.get("/inboxes").key(&key).send().await;
    assert_eq!(quota(&answer).0, 5);
    for (address, status) in [("203.0.113.7", 401), ("203.0.113.8", 401)] {
        let call = server.get("/inboxes").key("ibx_wrong");
        let call = call.header("x-forwarded-for", address);
        call.send().await.assert_status(status);
    }
    server.stop().await;

    for (flag, wrong) in [
        ("--rate-limit", "-1"),
        ("--rate-limit", "1000000001"),
        ("--auth-failures", "many"),
        ("--trusted-proxies", "nginx.example.com"),
        ("--trusted-proxies", "10.0.0.0/33"),
        ("--trusted-proxies", ""),
    ] {
        let flag_and_value = format!("{flag}={wrong}");
        shell
            .run(&["serve", &flag_and_value])
            .assert_error(2, &[flag]);
    }
}

async fn serve_warns_once_of_a_proxy_that_it_does_not_know(store: Store) {
    let shell = Shell::ready(store).await;
    shell.account("Toko Biru");
    let key = shell.key();
    let server = shell.serve();
    for address in ["203.0.113.7", "203.0.113.8"] {
        let call = server.get("/inboxes").key(&key);
        let call = call.header("x-forwarded-for", address);
        call.send().await.assert_status(200);
    }
    server.get("/inboxes?last").send().await.assert_status(401);
    eventually("the log is complete", async || {
        server.log().contains("\"status\":401")
    })
    .await;
    assert_eq!(server.log().matches("INBOXD_TRUSTED_PROXIES").count(), 1);
    server.stop().await;
}
