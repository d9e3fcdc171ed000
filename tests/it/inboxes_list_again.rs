//! `GET /inboxes` for clients that ask again: `ETag`, `Link`, and compressed forms.

use crate::support::{Answer, Store, TestApp, eventually, on_both_stores, whatsapp};
use flate2::read::GzDecoder;
use inboxd::domain::Scope;
use reqwest::StatusCode;
use serde_json::{Value, json};
use std::io::Read;

on_both_stores![
    an_unchanged_list_is_a_304_to_whom_has_it,
    a_changed_list_has_another_etag,
    links_lead_to_the_other_pages,
    links_keep_the_filters_and_leave_out_the_key,
    a_list_is_compressed_for_whom_accepts_it,
    a_short_list_is_not_compressed,
    one_inbox_has_an_etag_too,
    an_answer_at_once_is_like_one_by_the_routes,
];

async fn start(store: Store, inboxes: usize) -> (TestApp, String) {
    let app = TestApp::start(store).await;
    let key = app.key(&[Scope::Read, Scope::Write]).await;
    for number in 0..inboxes {
        app.livechat(&format!("Website {number}")).await;
    }
    (app, key)
}

async fn list(app: &TestApp, key: &str, query: &str, headers: &[(&str, &str)]) -> Answer {
    let mut call = app.get(&format!("/inboxes{query}")).key(key);
    for (name, value) in headers {
        call = call.header(name, value);
    }
    call.send().await
}

async fn an_unchanged_list_is_a_304_to_whom_has_it(store: Store) {
    let (app, key) = start(store, 3).await;
    let first = list(&app, &key, "", &[]).await;
    first.assert_status(200);
    assert_eq!(first.header("cache-control"), "private, no-cache");
    assert_eq!(
        first.header("vary"),
        "Authorization, api_key, Accept-Encoding"
    );
    let etag = first.header("etag").to_owned();
    assert!(etag.starts_with('"'), "a strong one: {etag}");
    let weak = format!("W/{etag}");
    let several = format!("\"other\", {etag}");
    for known in [etag.as_str(), &weak, &several, "*"] {
        let again = list(&app, &key, "", &[("if-none-match", known)]).await;
        again.assert_status(304);
        assert!(again.body.is_empty(), "{known}");
        assert_eq!(again.header("etag"), etag);
        assert_eq!(again.header("cache-control"), "private, no-cache");
        assert!(!again.header("x-request-id").is_empty());
    }
    let other = list(&app, &key, "", &[("if-none-match", "\"other\"")]).await;
    other.assert_status(200);
    app.stop().await;
}

async fn a_changed_list_has_another_etag(store: Store) {
    let (app, key) = start(store, 1).await;
    app.whatsapp("42").await;
    let mut etag = list(&app, &key, "", &[]).await.header("etag").to_owned();
    let mut seen = vec![etag.clone()];
    for number in 0..5 {
        let message = whatsapp::text("628111", &format!("wamid.{number}"), "Hello");
        let update = whatsapp::update("42", &[message]);
        app.deliver(&update).await.assert_status(200);
        let changed = list(&app, &key, "", &[("if-none-match", &etag)]).await;
        changed.assert_status(200);
        assert_eq!(changed.data()[1]["messages_count"], number + 1);
        etag = changed.header("etag").to_owned();
        assert!(!seen.contains(&etag), "{etag}");
        seen.push(etag.clone());
    }
    app.stop().await;
}

/// Where each of the pages is that a `Link` header names.
fn links(answer: &Answer) -> Value {
    let mut links = json!({});
    for link in answer.header("link").split(", ") {
        let (url, name) = link.split_once(">; rel=").expect("a link");
        let url = url
            .strip_prefix("<https://inbox.example.com")
            .expect("the public address");
        links[name.trim_matches('"')] = url.into();
    }
    links
}

async fn links_lead_to_the_other_pages(store: Store) {
    let (app, key) = start(store, 7).await;
    let page = |offset: i64| format!("/inboxes?limit=3&offset={offset}");
    let first = list(&app, &key, "?limit=3", &[]).await;
    let expected = json!({"first": page(0), "next": page(3), "last": page(6)});
    assert_eq!(links(&first), expected);
    let middle = list(&app, &key, "?limit=3&offset=3", &[]).await;
    let expected = json!({"first": page(0), "prev": page(0), "next": page(6), "last": page(6)});
    assert_eq!(links(&middle), expected);
    let last = list(&app, &key, "?limit=3&offset=6", &[]).await;
    let expected = json!({"first": page(0), "prev": page(3), "last": page(6)});
    assert_eq!(links(&last), expected);
    let beyond = list(&app, &key, "?limit=3&offset=100", &[]).await;
    let expected = json!({"first": page(0), "prev": page(6), "last": page(6)});
    assert_eq!(links(&beyond), expected);
    app.stop().await;
}

async fn links_keep_the_filters_and_leave_out_the_key(store: Store) {
    let (app, key) = start(store, 2).await;
    let query = format!("?api_key={key}&type=livechat&status=active&limit=1");
    let answer = app.get(&format!("/inboxes{query}")).send().await;
    answer.assert_status(200);
    let page =
        |offset: i64| format!("/inboxes?type=livechat&status=active&limit=1&offset={offset}");
    let expected = json!({"first": page(0), "next": page(1), "last": page(1)});
    assert_eq!(links(&answer), expected);
    app.stop().await;
}

async fn a_list_is_compressed_for_whom_accepts_it(store: Store) {
    let (app, key) = start(store, 12).await;
    let plain = list(&app, &key, "", &[]).await;
    assert!(plain.headers.get("content-encoding").is_none());

    let gzip = list(&app, &key, "", &[("accept-encoding", "gzip")]).await;
    assert_eq!(gzip.header("content-encoding"), "gzip");
    let mut text = String::new();
    let read = GzDecoder::new(gzip.body.as_slice()).read_to_string(&mut text);
    read.expect("it is gzip");
    assert_eq!(text, plain.text());
    assert!(gzip.body.len() < plain.body.len() / 3);

    let accepted = "gzip, deflate, br";
    let brotli = list(&app, &key, "", &[("accept-encoding", accepted)]).await;
    assert_eq!(brotli.header("content-encoding"), "br");
    let mut text = String::new();
    let read = brotli::Decompressor::new(brotli.body.as_slice(), 4096).read_to_string(&mut text);
    read.expect("it is brotli");
    assert_eq!(text, plain.text());

    let tags = [&plain, &gzip, &brotli].map(|answer| answer.header("etag").to_owned());
    assert!(tags[0] != tags[1] && tags[1] != tags[2] && tags[2] != tags[0]);
    let known = [
        ("accept-encoding", accepted),
        ("if-none-match", tags[2].as_str()),
    ];
    list(&app, &key, "", &known).await.assert_status(304);
    app.stop().await;
}

async fn a_short_list_is_not_compressed(store: Store) {
    let (app, key) = start(store, 1).await;
    let answer = list(&app, &key, "", &[("accept-encoding", "gzip, br")]).await;
    answer.assert_status(200);
    assert!(answer.headers.get("content-encoding").is_none());
    app.stop().await;
}

async fn one_inbox_has_an_etag_too(store: Store) {
    let (app, key) = start(store, 0).await;
    let id = app.livechat("Website").await;
    let path = format!("/inboxes/{id}");
    let first = app.get(&path).key(&key).send().await;
    let etag = first.header("etag").to_owned();
    let again = app.get(&path).key(&key).header("if-none-match", &etag);
    again.send().await.assert_status(304);
    let change = json!({"name": "Shop"});
    let changed = app.patch(&path).key(&key).json(&change).send().await;
    changed.assert_status(200);
    let again = app.get(&path).key(&key).header("if-none-match", &etag);
    let again = again.send().await;
    again.assert_status(200);
    assert_eq!(again.data()["name"], "Shop");
    app.stop().await;
}

/// What does not differ from request to request.
fn lasting(answer: &Answer) -> (StatusCode, Vec<String>, &[u8]) {
    let mut headers: Vec<_> = answer
        .headers
        .iter()
        .map(|(name, value)| match name.as_str() {
            "date" | "x-request-id" | "x-ratelimit-remaining" => name.to_string(),
            _ => format!("{name}: {value:?}"),
        })
        .collect();
    headers.sort();
    (answer.status, headers, &answer.body)
}

/// With a slash at its end a path is never answered at once. With `TE` a request is not plain, and is answered by hyper.
async fn an_answer_at_once_is_like_one_by_the_routes(store: Store) {
    let (app, key) = start(store, 12).await;
    let etag = list(&app, &key, "", &[]).await.header("etag").to_owned();
    let writer = app.key(&[Scope::Write]).await;
    let mistyped = format!("{key}x");
    let usual = ("accept", "*/*");
    let asked = [
        (key.as_str(), "", usual),
        (&key, "?limit=5&offset=5&type=livechat&status=active", usual),
        (&key, "", ("if-none-match", etag.as_str())),
        (&key, "", ("accept-encoding", "gzip")),
        (&key, "", ("x-request-id", "mine")),
        (&key, "?limit=0", usual),
        (&writer, "", usual),
        (&mistyped, "", usual),
        ("", "", usual),
    ];
    for (key, query, header) in asked {
        let routed = list(&app, key, &format!("/{query}"), &[header]).await;
        let hits = || app.context.cache.figures().hits;
        let refused = !routed.status.is_success() && routed.status != StatusCode::NOT_MODIFIED;
        eventually("it is kept", async || {
            let before = hits();
            let plain = list(&app, key, query, &[header]).await;
            assert_eq!(lasting(&plain), lasting(&routed), "{query} {header:?}");
            let at_plain = hits();
            let by_hyper = list(&app, key, query, &[header, ("te", "trailers")]).await;
            assert_eq!(lasting(&by_hyper), lasting(&routed), "{query} {header:?}");
            refused || before < at_plain && at_plain < hits()
        })
        .await;
    }
    app.stop().await;
}
