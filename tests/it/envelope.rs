//! Every answer has the one shape, whatever was asked: also what is not HTTP as it should be.

use crate::support::{Store, TestApp, on_both_stores, read_all};
use inboxd::domain::Scope;
use reqwest::Method;
use serde_json::Value;
use std::time::Duration;
use tokio::{io::AsyncWriteExt, net::TcpStream};

on_both_stores![
    the_documentation_keeps_no_key_and_is_in_no_frame,
    an_unknown_path_is_a_404,
    the_root_leads_a_browser_to_the_documentation,
    an_id_that_cannot_be_one_is_a_404,
    a_broken_query_string_is_an_error,
    the_request_id_is_the_callers_if_it_is_sane,
    ten_megabytes_of_query_string_get_an_answer,
    oversized_headers_get_an_answer,
    what_is_not_http_gets_an_answer,
    a_request_is_for_one_host,
    a_length_beside_chunks_ends_the_connection,
    a_request_that_stops_half_way_gets_an_answer,
    a_body_that_stops_half_way_gets_an_answer,
    a_connection_that_is_idle_after_an_answer_is_closed,
    two_requests_at_once_get_two_answers,
    a_large_body_is_refused_without_being_read,
];

/// Sends these bytes over a connection of its own, and reads to its end.
async fn raw(app: &TestApp, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(app.address).await.expect("connected");
    // The server may well stop listening before all is said.
    stream.write_all(bytes).await.ok();
    String::from_utf8(read_all(&mut stream).await).expect("text")
}

#[track_caller]
fn assert_envelope(answer: &str, status: u16, code: &str) {
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    let line = format!("HTTP/1.1 {status} ");
    assert!(head.starts_with(&line), "{answer}");
    let head = head.to_lowercase();
    assert!(head.contains("\r\nx-request-id: "), "{answer}");
    assert!(
        head.contains("\r\ncontent-type: application/json"),
        "{answer}"
    );
    let body: Value = serde_json::from_str(body).expect("JSON");
    assert_eq!(body["success"], false);
    assert_eq!(body["error"]["code"], code);
    assert!(body["error"]["message"].is_string());
}

async fn an_unknown_path_is_a_404(store: Store) {
    let app = TestApp::start(store).await;
    for path in ["/nix", "/inboxes/x/y/z", "/INBOXES", "/%ff", "//inboxes"] {
        let answer = app.get(path).send().await;
        answer.assert_error(404, "NOT_FOUND", "No such path: /docs lists them");
    }
}

async fn the_root_leads_a_browser_to_the_documentation(store: Store) {
    let app = TestApp::start(store).await;
    let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
    for method in ["GET", "HEAD"] {
        let head = format!("{method} / HTTP/1.1\r\nhost: x\r\naccept: {browser}");
        let request = format!("{head}\r\nconnection: close\r\n\r\n");
        let led = raw(&app, request.as_bytes()).await.to_lowercase();
        assert!(led.starts_with("http/1.1 303 "), "{led}");
        assert!(led.contains("\r\nlocation: /docs/\r\n"), "{led}");
        assert!(led.contains("\r\nvary: accept\r\n"), "{led}");
    }
    let page = app.get("/docs/").header("accept", browser).send().await;
    page.assert_status(200);

    let call = |method| app.call(method, "/");
    for other in [
        call(Method::GET),
        call(Method::GET).header("accept", "*/*"),
        call(Method::GET).header("accept", "application/json"),
        call(Method::POST).header("accept", browser),
    ] {
        let answer = other.send().await;
        answer.assert_error(404, "NOT_FOUND", "No such path: /docs lists them");
    }
}

async fn the_documentation_keeps_no_key_and_is_in_no_frame(store: Store) {
    let app = TestApp::start(store).await;
    for path in ["/docs/", "/docs/swagger-initializer.js", "/docs/nix"] {
        let answer = app.get(path).send().await;
        assert_eq!(answer.header("x-frame-options"), "DENY");
        assert_eq!(
            answer.header("content-security-policy"),
            "frame-ancestors 'none'"
        );
    }
    let answer = app.get("/docs/nix").send().await;
    answer.assert_error(404, "NOT_FOUND", "No such path: /docs lists them");
    let script = app.get("/docs/swagger-initializer.js").send().await;
    let script: String = script.text().split_whitespace().collect();
    assert!(script.contains(r#""url":"/openapi.json""#), "{script}");
    assert!(
        !script.contains(r#""persistAuthorization":true"#),
        "{script}"
    );
}

async fn an_id_that_cannot_be_one_is_a_404(store: Store) {
    let app = TestApp::start(store).await;
    let key = app.key(&[Scope::Read]).await;
    let long = "x".repeat(65);
    for id in ["%00", "%ff", "a%20b", "%F0%9F%98%80", long.as_str()] {
        for noun in ["inboxes", "conversations", "messages"] {
            let path = format!("/{noun}/{id}");
            app.get(&path).key(&key).send().await.assert_status(404);
        }
    }
}

async fn a_broken_query_string_is_an_error(store: Store) {
    let app = TestApp::start(store).await;
    let key = app.key(&[Scope::Read]).await;
    for query in ["limit=%zz", "%", "type=%ff", "a=%c3&b"] {
        let head = format!(
            "GET /inboxes?{query} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\nconnection: close\r\n\r\n"
        );
        let answer = raw(&app, head.as_bytes()).await;
        assert_envelope(&answer, 400, "VALIDATION_ERROR");
        assert!(answer.contains(r#""field":"query""#), "{answer}");
    }
}

async fn the_request_id_is_the_callers_if_it_is_sane(store: Store) {
    let app = TestApp::start(store).await;
    let ask = async |id: &str| {
        let answer = app.get("/healthz").header("x-request-id", id).send().await;
        answer.header("x-request-id").to_owned()
    };
    assert_eq!(ask("Trace-42.a_b:c").await, "Trace-42.a_b:c");
    let long = "x".repeat(129);
    for strange in ["a b", "<script>", "a;b", long.as_str()] {
        let given = ask(strange).await;
        assert_ne!(given, strange);
        assert_eq!(given.len(), 32, "{given}");
    }
}

async fn ten_megabytes_of_query_string_get_an_answer(store: Store) {
    let app = TestApp::start(store).await;
    let request = format!(
        "GET /inboxes?{} HTTP/1.1\r\nhost: x\r\n\r\n",
        "a".repeat(10_000_000)
    );
    let answer = raw(&app, request.as_bytes()).await;
    assert_envelope(&answer, 431, "PAYLOAD_TOO_LARGE");
}

async fn oversized_headers_get_an_answer(store: Store) {
    let app = TestApp::start(store).await;
    let one = format!(
        "GET /healthz HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n",
        "a".repeat(100_000)
    );
    assert_envelope(&raw(&app, one.as_bytes()).await, 431, "PAYLOAD_TOO_LARGE");
    let many = format!(
        "GET /healthz HTTP/1.1\r\nhost: x\r\n{}\r\n",
        "x: y\r\n".repeat(500)
    );
    assert_envelope(&raw(&app, many.as_bytes()).await, 431, "PAYLOAD_TOO_LARGE");
}

async fn what_is_not_http_gets_an_answer(store: Store) {
    let app = TestApp::start(store).await;
    for request in [
        &b"GARBAGE\r\n\r\n"[..],
        b"GET /in\xffboxes HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET /inboxes HTTP/9.9\r\nhost: x\r\n\r\n",
        b"GET /inboxes HTTP/1.1\r\nhost: x\r\nno colon\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 a TLS hello \r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ] {
        assert_envelope(&raw(&app, request).await, 400, "VALIDATION_ERROR");
    }
}

async fn a_request_is_for_one_host(store: Store) {
    let app = TestApp::start(store).await;
    let key = app.key(&[Scope::Read]).await;
    app.livechat("Website").await;
    // The list is also answered from memory, where nothing else is looked at.
    for path in [
        "/healthz",
        "/inboxes",
        "/inboxes",
        "/docs/",
        "/hooks/telegram/inbox_1",
    ] {
        let ask = |version: &str, hosts: &str| {
            format!(
                "GET {path} HTTP/{version}\r\n{hosts}api_key: {key}\r\nconnection: close\r\n\r\n"
            )
        };
        for hosts in ["", "host: a\r\nhost: b\r\n", "host: a\r\nHost: a\r\n"] {
            let answer = raw(&app, ask("1.1", hosts).as_bytes()).await;
            assert_envelope(&answer, 400, "VALIDATION_ERROR");
            assert!(answer.contains("Send exactly one Host header"), "{answer}");
        }
        let one = raw(&app, ask("1.1", "host: a\r\n").as_bytes()).await;
        let old = raw(&app, ask("1.0", "").as_bytes()).await;
        for answer in [one, old] {
            assert!(!answer.contains("Host header"), "{answer}");
        }
    }
}

/// Whoever reads it by the length takes the rest for the next request.
async fn a_length_beside_chunks_ends_the_connection(store: Store) {
    let app = TestApp::start(store).await;
    let key = app.key(&[Scope::Write]).await;
    let length = "content-length: 5";
    let chunked = "transfer-encoding: chunked";
    for (first, second) in [(length, chunked), (chunked, length)] {
        let request = format!(
            "POST /inboxes HTTP/1.1\r\nhost: x\r\napi_key: {key}\r\ncontent-type: application/json\r\n{first}\r\n\
             {second}\r\n\r\n2\r\n{{}}\r\n0\r\n\r\nGET /healthz HTTP/1.1\r\nhost: x\r\n\r\n"
        );
        let answer = raw(&app, request.as_bytes()).await;
        assert_envelope(&answer, 400, "VALIDATION_ERROR");
        assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
        assert!(answer.ends_with("}}"), "{answer}");
    }
    let lengths = "content-length: 2\r\ncontent-length: 3";
    let request = format!("POST /inboxes HTTP/1.1\r\nhost: x\r\n{lengths}\r\n\r\n{{}} ");
    let answer = raw(&app, request.as_bytes()).await;
    assert_envelope(&answer, 400, "VALIDATION_ERROR");
}

async fn a_request_that_stops_half_way_gets_an_answer(store: Store) {
    let app = TestApp::with(store, |limits| {
        limits.head_timeout = Duration::from_millis(200)
    })
    .await;
    let answer = raw(&app, b"GET /healthz HTTP/1.1\r\nhos").await;
    assert_envelope(&answer, 408, "VALIDATION_ERROR");
}

async fn a_connection_that_is_idle_after_an_answer_is_closed(store: Store) {
    let app = TestApp::with(store, |limits| {
        limits.idle_timeout = Duration::from_millis(300)
    })
    .await;
    let answer = raw(&app, b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
}

async fn a_body_that_stops_half_way_gets_an_answer(store: Store) {
    let app = TestApp::with(store, |limits| {
        limits.body_timeout = Duration::from_millis(200)
    })
    .await;
    let key = app.key(&[Scope::Write]).await;
    let request = format!(
        "POST /inboxes HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\ncontent-type: application/json\r\n\
         connection: close\r\ncontent-length: 100\r\n\r\n{{"
    );
    let answer = raw(&app, request.as_bytes()).await;
    assert_envelope(&answer, 408, "VALIDATION_ERROR");
}

async fn two_requests_at_once_get_two_answers(store: Store) {
    let app = TestApp::start(store).await;
    let both = b"GET /healthz HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}\
        GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let answer = raw(&app, both).await;
    assert_eq!(answer.matches("HTTP/1.1 200 OK").count(), 2, "{answer}");
}

async fn a_large_body_is_refused_without_being_read(store: Store) {
    let app = TestApp::start(store).await;
    let key = app.key(&[Scope::Write]).await;
    let large = vec![b' '; 1_000_000];
    let call = app.post("/inboxes").key(&key).raw_json(large.clone());
    call.send()
        .await
        .assert_error(413, "PAYLOAD_TOO_LARGE", "The body is too large");
    let call = app.get("/healthz").body(large);
    call.send()
        .await
        .assert_error(413, "PAYLOAD_TOO_LARGE", "The body is too large");
    let call = app.post("/inboxes").key(&key).body("name=x");
    call.send().await.assert_error(
        415,
        "UNSUPPORTED_MEDIA_TYPE",
        "Send the body as application/json",
    );
}

mod panics {
    use axum::{Router, body::Body, http::Request, routing::get};
    use http_body_util::BodyExt;
    use inboxd::router::with_middleware;
    use tower::ServiceExt;

    use crate::support::{Store, TestApp};

    #[tokio::test]
    async fn a_panic_in_a_handler_is_an_internal_error() {
        let app = TestApp::start(Store::Sqlite).await;
        let panics = get(async || -> &'static str { panic!("a secret detail") });
        let router = with_middleware(
            Router::new().route("/panic", panics),
            Router::new(),
            Router::new(),
            app.parts(),
        );
        let request = Request::get("/panic")
            .header("host", "x")
            .body(Body::empty())
            .expect("a request");
        let response = router.oneshot(request).await.expect("an answer");
        assert_eq!(response.status(), 500);
        let body = response
            .into_body()
            .collect()
            .await
            .expect("a body")
            .to_bytes();
        assert_eq!(
            std::str::from_utf8(&body),
            Ok(
                r#"{"success":false,"error":{"code":"INTERNAL_ERROR","message":"An unexpected error occurred"}}"#
            )
        );
    }
}
