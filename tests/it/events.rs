//! `GET /events`: what happens, as it happens, and what was missed.

#[cfg(feature = "postgres-tests")]
use crate::support::START;
use crate::support::{
    READER, Store, TestApp, eventually,
    live::{Socket, Stream},
    on_both_stores,
    program::PATIENCE,
    whatsapp::{text, update},
};
#[cfg(feature = "postgres-tests")]
use inboxd::clock::Clock;
use inboxd::{
    domain::Scope,
    id::KeyId,
    ops::keys::{self, NewKey},
};
use secrecy::ExposeSecret;
use serde_json::json;
use std::time::Duration;
use tokio::{io::AsyncWriteExt, net::TcpStream, time::timeout};

on_both_stores![
    a_message_and_a_change_of_an_inbox_are_told,
    a_change_of_a_message_is_told_with_the_message,
    another_accounts_events_are_not,
    last_event_id_brings_what_was_missed_in_order,
    a_wrong_last_event_id_is_an_error,
    a_silent_stream_outlives_the_limits_of_requests,
    a_stop_ends_the_stream,
    a_client_that_reads_nothing_does_not_hold_up_a_stop,
    streams_have_places_of_their_own,
    a_revoked_key_cannot_open_it,
    revoking_a_key_ends_its_streams_however_busy_they_are,
    an_expired_key_hears_no_more,
    a_key_that_another_node_revokes_hears_no_more_after_a_second,
];

async fn start(store: Store) -> (TestApp, String) {
    let app = TestApp::start(store).await;
    app.whatsapp("1001").await;
    let key = app.key(&[Scope::Read]).await;
    (app, key)
}

async fn a_message_and_a_change_of_an_inbox_are_told(store: Store) {
    let (app, key) = start(store).await;
    let mut stream = Stream::open(app.address, &key, None).await;
    app.deliver(&update("1001", &[text("628111", "wamid.1", "hi")]))
        .await
        .assert_status(200);
    let (name, _, inbox) = stream.next().await.expect("an event");
    assert_eq!(
        (name.as_str(), &inbox["status"]),
        ("inbox.changed", &json!("active"))
    );
    let (name, _, message) = stream.next().await.expect("an event");
    assert_eq!(
        (name.as_str(), &message["content"]["text"]),
        ("message.created", &json!("hi"))
    );
}

async fn a_change_of_a_message_is_told_with_the_message(store: Store) {
    let (app, key) = start(store).await;
    app.deliver(&update("1001", &[text("628111", "wamid.1", "hi")]))
        .await
        .assert_status(200);
    let mut stream = Stream::open(app.address, &key, None).await;
    let reaction = json!({"from": "628111", "id": "wamid.e", "timestamp": "1736928010", "type": "reaction",
        "reaction": {"message_id": "wamid.1", "emoji": "👍"}});
    for _ in 0..2 {
        app.deliver(&update("1001", std::slice::from_ref(&reaction)))
            .await
            .assert_status(200);
    }
    let (name, _, message) = stream.next().await.expect("an event");
    assert_eq!(name, "message.changed");
    assert_eq!(message["reactions"][0]["emoji"], "👍");
    // The redelivery was no news: what comes next is the next thing that happens.
    app.livechat("Website").await;
    assert_eq!(stream.next().await.expect("an event").0, "inbox.changed");
}

async fn another_accounts_events_are_not(store: Store) {
    let (app, _) = start(store).await;
    let other = app.another_account().await;
    let stranger = app.key_of(&other, &[Scope::Read]).await;
    let mut stream = Stream::open(app.address, &stranger, None).await;
    app.deliver(&update("1001", &[text("628111", "wamid.1", "hi")]))
        .await
        .assert_status(200);
    let body = json!({"name": "Theirs", "type": "livechat"});
    let theirs = app.inbox_of(&other, body).await;
    let (_, _, inbox) = stream.next().await.expect("an event");
    assert_eq!(inbox["id"], json!(theirs));
}

/// Ids are made from a node's clock, and another's may be late.
#[cfg(feature = "postgres-tests")]
#[tokio::test]
async fn what_a_node_with_a_late_clock_stores_is_not_missed() {
    let (app, key) = start(Store::Postgres).await;
    let mut stream = Stream::open(app.address, &key, None).await;
    let first = update("1001", &[text("628111", "wamid.0", "0")]);
    app.deliver(&first).await.assert_status(200);
    stream.next().await.expect("the inbox's");
    let (_, last, _) = stream.next().await.expect("the message's");
    drop(stream);

    let late = app.another_node_at(Clock::manual(START - 5)).await;
    let late_one = update("1001", &[text("628111", "wamid.1", "late")]);
    late.deliver(&late_one).await.assert_status(200);
    let mut stream = Stream::open(app.address, &key, Some(&last)).await;
    loop {
        let (_, id, message) = stream.next().await.expect("an event");
        if message["content"]["text"] == "late" {
            assert!(id < last, "its id is smaller");
            break;
        }
    }
    late.stop().await;
}

async fn last_event_id_brings_what_was_missed_in_order(store: Store) {
    let (app, key) = start(store).await;
    let mut stream = Stream::open(app.address, &key, None).await;
    app.deliver(&update("1001", &[text("628111", "wamid.0", "0")]))
        .await
        .assert_status(200);
    let (_, known, _) = stream.next().await.expect("the inbox's");
    let (_, last, _) = stream.next().await.expect("the message's");
    drop(stream);

    // More than one page of the store's, and a message handed over from before, which is no news.
    let missed: Vec<_> = (1..=450)
        .map(|n| text("628111", &format!("wamid.{n}"), &n.to_string()))
        .collect();
    for part in missed.chunks(50) {
        app.deliver(&update("1001", part)).await.assert_status(200);
    }
    let mut stream = Stream::open(app.address, &key, Some(&last)).await;
    app.deliver(&update("1001", &[text("628111", "wamid.live", "live")]))
        .await
        .assert_status(200);
    let mut ids = vec![last];
    let mut seen = Vec::new();
    while seen.last().is_none_or(|text| text != "live") {
        let (_, id, message) = stream.next().await.expect("an event");
        if id == known {
            // It may come again, and is known by its id.
            continue;
        }
        ids.push(id);
        seen.push(
            message["content"]["text"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
        );
    }
    assert!(ids.is_sorted(), "events come in order");
    let mut numbers: Vec<i64> = seen.iter().filter_map(|text| text.parse().ok()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=450).collect::<Vec<_>>());
}

async fn a_wrong_last_event_id_is_an_error(store: Store) {
    let (app, key) = start(store).await;
    app.get("/events")
        .key(&key)
        .header("last-event-id", "msg_1")
        .send()
        .await
        .assert_wrong_fields(&[("Last-Event-ID", "must be the id of an event")]);
}

async fn a_silent_stream_outlives_the_limits_of_requests(store: Store) {
    let app = TestApp::with(store, |limits| {
        limits.idle_timeout = Duration::from_millis(200);
        limits.head_timeout = Duration::from_millis(200);
    })
    .await;
    let key = app.key(&[Scope::Read]).await;
    let mut stream = Stream::open(app.address, &key, None).await;
    // Longer than every limit of a request: if one applied, the stream would be over by then.
    tokio::time::sleep(Duration::from_secs(1)).await;
    app.livechat("Website").await;
    assert_eq!(stream.next().await.expect("an event").0, "inbox.changed");
}

async fn streams_have_places_of_their_own(store: Store) {
    let app = TestApp::with(store, |limits| {
        limits.connections = 3;
        limits.streams = 6;
    })
    .await;
    let inbox = app.livechat("Website").await;
    let key = app.key(&[Scope::Read]).await;
    let mut streams = Vec::new();
    let mut sockets = Vec::new();
    for _ in 0..3 {
        streams.push(Stream::open(app.address, &key, None).await);
        sockets.push(Socket::open(app.address, inbox.as_str()).await);
    }
    let open = async || app.get("/events").key(&key).send().await;
    let refused = open().await;
    let message = "Too many streams and sockets are open: try again";
    refused.assert_error(503, "UNAVAILABLE", message);
    assert_eq!(refused.header("retry-after"), "1");
    assert!(
        Socket::try_open(app.address, inbox.as_str())
            .await
            .is_none()
    );
    // There are more of them than of connections, and whoever asks still finds a place.
    app.listing().await;

    // A place is free again once the server has noticed.
    sockets.pop();
    eventually("a socket's place is free", async || {
        Socket::try_open(app.address, inbox.as_str())
            .await
            .is_some()
    })
    .await;
    streams.pop();
    eventually("a stream's place is free", async || {
        Socket::try_open(app.address, inbox.as_str())
            .await
            .is_some()
    })
    .await;
    app.stop().await;
}

async fn a_stop_ends_the_stream(store: Store) {
    let (app, key) = start(store).await;
    let mut stream = Stream::open(app.address, &key, None).await;
    let stopped = timeout(Duration::from_secs(20), app.stop());
    stopped.await.expect("a stream does not hold up a stop");
    assert!(stream.next().await.is_none());
}

async fn a_client_that_reads_nothing_does_not_hold_up_a_stop(store: Store) {
    let app = TestApp::with(store, |limits| {
        limits.shutdown_timeout = Duration::from_millis(500);
    })
    .await;
    app.whatsapp("1001").await;
    let key = app.key(&[Scope::Read]).await;
    let mut silent = TcpStream::connect(app.address).await.expect("connected");
    let head = format!("GET /events HTTP/1.1\r\nhost: a\r\napi_key: {key}\r\n\r\n");
    silent.write_all(head.as_bytes()).await.expect("sent");
    silent.readable().await.expect("the stream begins");
    // More than the system keeps for a client that takes none of it.
    let long = "x".repeat(1000);
    let messages: Vec<_> = (0..4000)
        .map(|n| text("628111", &format!("wamid.{n}"), &long))
        .collect();
    for messages in messages.chunks(1000) {
        let answer = app.deliver(&update("1001", messages)).await;
        answer.assert_status(200);
    }
    let stopped = timeout(Duration::from_secs(20), app.stop());
    stopped.await.expect("the stop does not wait for it");
}

/// Revokes every key of the account.
async fn revoke(app: &TestApp) {
    let all = keys::list(&app.context, &app.account).await.expect("keys");
    for one in all {
        let id = KeyId::from_text(one.id.as_str());
        keys::revoke(&app.context, &app.account, &id)
            .await
            .expect("revoked");
    }
}

/// Reads a stream to its end, which has to come. Returns the texts of the messages that it told.
async fn rest(stream: &mut Stream) -> Vec<String> {
    let read = async {
        let mut texts = Vec::new();
        while let Some((_, _, data)) = stream.next().await {
            texts.extend(data["content"]["text"].as_str().map(str::to_owned));
        }
        texts
    };
    timeout(PATIENCE, read).await.expect("the stream ends")
}

async fn revoking_a_key_ends_its_streams_however_busy_they_are(store: Store) {
    let (app, key) = start(store).await;
    let mut silent = Stream::open(app.address, &key, None).await;
    let mut busy = Stream::open(app.address, &key, None).await;
    revoke(&app).await;
    // Something happens all the time, so that nothing that waits for silence ever comes.
    let happening = async {
        for n in 0.. {
            let message = text("628111", &format!("wamid.{n}"), "too late");
            app.deliver(&update("1001", &[message]))
                .await
                .assert_status(200);
        }
    };
    tokio::select! {
        told = rest(&mut busy) => assert!(!told.contains(&"too late".to_owned())),
        () = happening => {}
    }
    assert!(!rest(&mut silent).await.contains(&"too late".to_owned()));
}

async fn an_expired_key_hears_no_more(store: Store) {
    let (app, _) = start(store).await;
    let made = keys::create(
        &app.context,
        &app.account,
        &NewKey {
            name: "short",
            expires_in: Some(60),
            ..READER
        },
    )
    .await;
    let key = made.expect("a key").1;
    let mut stream = Stream::open(app.address, key.expose_secret(), None).await;
    app.context.clock.advance(61);
    assert_eq!(rest(&mut stream).await, [""; 0]);
}

async fn a_key_that_another_node_revokes_hears_no_more_after_a_second(store: Store) {
    let (app, key) = start(store).await;
    let other = app.another_node().await;
    let mut stream = Stream::open(other.address, &key, None).await;
    revoke(&app).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    app.deliver(&update("1001", &[text("628111", "wamid.1", "too late")]))
        .await
        .assert_status(200);
    assert_eq!(rest(&mut stream).await, [""; 0]);
    other.stop().await;
}

async fn a_revoked_key_cannot_open_it(store: Store) {
    let (app, key) = start(store).await;
    revoke(&app).await;
    app.get("/events")
        .key(&key)
        .send()
        .await
        .assert_unauthorized();
}
