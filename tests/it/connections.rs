//! What one connection carries: requests one behind the other, clients that are slow or silent, and its last answer.

use crate::support::{Store, TestApp, eventually, on_both_stores, read_all};
use axum::{Router, body::Body, routing::get};
use futures_util::{StreamExt, stream};
use inboxd::{domain::Scope, http::Peer, serve_connection::serve_connection};
use std::{convert::Infallible, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
    sync::watch,
    time::{Instant, timeout},
};

on_both_stores![
    lists_that_are_asked_for_in_one_go_are_answered_in_turn,
    whoever_is_idle_after_a_list_is_let_go,
    whoever_takes_no_answers_is_cut_off,
    whoever_takes_answers_slowly_is_not_cut_off,
    a_refusal_says_whether_the_connection_goes_on,
    a_client_that_has_said_its_last_gets_its_answer,
    what_asked_for_another_protocol_is_refused_like_anything_else,
];

async fn connect(address: std::net::SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).await.expect("connected");
    stream.set_nodelay(true).expect("pieces stay pieces");
    stream
}

/// Reads one answer, and no further.
async fn read_one(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    loop {
        answer.push(stream.read_u8().await.expect("an answer"));
        let text = String::from_utf8_lossy(&answer).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "));
            if body.len()
                == length
                    .expect("a length")
                    .parse::<usize>()
                    .expect("a number")
            {
                return text;
            }
        }
    }
}

async fn lists_that_are_asked_for_in_one_go_are_answered_in_turn(store: Store) {
    let app = TestApp::start(store).await;
    let key = app.key(&[Scope::Read, Scope::Write]).await;
    for number in 0..3 {
        app.livechat(&format!("Website {number}")).await;
    }
    let mut stream = connect(app.address).await;
    let ask = |offset: usize| {
        format!(
            "GET /inboxes?limit=1&offset={offset} HTTP/1.1\r\nhost: x\r\napi_key: {key}\r\n\r\n"
        )
    };
    let all: String = (0..40).map(|number| ask(number % 3)).collect();
    stream.write_all(all.as_bytes()).await.unwrap();
    for number in 0..40 {
        let answer = read_one(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        let name = format!("\"Website {}\"", number % 3);
        assert!(answer.contains(&name), "{number}: {answer}");
    }
    app.stop().await;
}

async fn whoever_is_idle_after_a_list_is_let_go(store: Store) {
    let app = TestApp::with(store, |limits| {
        limits.idle_timeout = Duration::from_millis(300)
    })
    .await;
    let key = app.key(&[Scope::Read]).await;
    let ask = format!("GET /inboxes HTTP/1.1\r\nhost: x\r\napi_key: {key}\r\n\r\n");
    let mut stream = connect(app.address).await;
    stream.write_all(ask.as_bytes()).await.unwrap();
    read_one(&mut stream).await;
    let end = timeout(Duration::from_secs(30), stream.read_u8()).await;
    assert!(end.expect("an end").is_err());
    app.stop().await;
}

/// A server whose lists are some kilobytes, and a request for one.
async fn with_long_answers(store: Store, idle: Duration) -> (TestApp, String) {
    let app = TestApp::with(store, |limits| limits.idle_timeout = idle).await;
    let key = app.key(&[Scope::Read, Scope::Write]).await;
    for number in 0..20 {
        app.livechat(&format!("Website {number}")).await;
    }
    let ask = format!("GET /inboxes HTTP/1.1\r\nhost: x\r\napi_key: {key}\r\n\r\n");
    (app, ask)
}

/// Connects with room for little more than one answer.
async fn connect_narrowly(app: &TestApp) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4096).expect("little room");
    socket.connect(app.address).await.expect("connected")
}

async fn whoever_takes_no_answers_is_cut_off(store: Store) {
    let (app, ask) = with_long_answers(store, Duration::from_millis(300)).await;
    let mut stream = connect_narrowly(&app).await;
    eventually("nobody listens any more", async || {
        loop {
            let write = stream.write(ask.as_bytes());
            match timeout(Duration::from_millis(50), write).await {
                Ok(Ok(_)) => {}
                Ok(Err(_)) => return true,
                Err(_) => return false,
            }
        }
    })
    .await;
    app.stop().await;
}

async fn whoever_takes_answers_slowly_is_not_cut_off(store: Store) {
    let idle = Duration::from_secs(2);
    let (app, ask) = with_long_answers(store, idle).await;
    let mut stream = connect_narrowly(&app).await;
    let all = ask.repeat(2000);
    let (mut read, mut write) = stream.split();
    let begun = Instant::now();
    let taking = async {
        let mut some = [0; 16 * 1024];
        while begun.elapsed() < 2 * idle {
            read.read_exact(&mut some).await.expect("more");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let asking = async {
        write.write_all(all.as_bytes()).await.expect("it listens");
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = taking => {}
        () = asking => {}
    }
    app.stop().await;
}

/// What is refused before its body has come leaves the connection with half a request in it.
async fn a_refusal_says_whether_the_connection_goes_on(store: Store) {
    let app = TestApp::start(store).await;
    let key = app.key(&[Scope::Read]).await;
    let body = r#"{"name":"Website","type":"livechat"}"#;
    let head = |path: &str, fields: &str| {
        let length = body.len();
        format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n{fields}\r\n\r\n")
    };
    let json = "content-type: application/json";
    for (path, fields, status) in [
        ("/inboxes", json.to_owned(), 401),
        ("/inboxes", format!("{json}\r\napi_key: {key}"), 403),
        ("/nowhere", json.to_owned(), 404),
        ("/healthz", json.to_owned(), 405),
        (
            "/livechat/inbox_1/sessions",
            "content-type: text/plain".to_owned(),
            415,
        ),
        ("/inboxes", format!("{json}\r\nexpect: 100-continue"), 401),
    ] {
        let line = format!("HTTP/1.1 {status} ");
        let head = head(path, &fields);
        let mut early = connect(app.address).await;
        early.write_all(head.as_bytes()).await.unwrap();
        let answer = read_all(&mut early).await;
        let answer = String::from_utf8(answer).expect("text");
        assert!(answer.starts_with(&line), "{answer}");
        assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
        if fields.contains("expect") {
            continue;
        }
        // If all of the request has come, there is nothing to end the connection for.
        let mut whole = connect(app.address).await;
        for _ in 0..2 {
            whole
                .write_all(format!("{head}{body}").as_bytes())
                .await
                .unwrap();
            let answer = read_one(&mut whole).await;
            assert!(answer.starts_with(&line), "{answer}");
        }
    }
    app.stop().await;
}

async fn a_client_that_has_said_its_last_gets_its_answer(store: Store) {
    let app = TestApp::start(store).await;
    let key = app.key(&[Scope::Read, Scope::Write]).await;
    let fields =
        format!("HTTP/1.1\r\nhost: x\r\napi_key: {key}\r\ncontent-type: application/json\r\n");
    let body = r#"{"name":"Website","type":"livechat"}"#;
    let post = format!(
        "POST /inboxes {fields}content-length: {}\r\n\r\n{body}",
        body.len()
    );
    let chunked = format!(
        "POST /inboxes {fields}transfer-encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
        body.len()
    );
    let get = format!("GET /conversations {fields}\r\n");
    let several = format!("{get}{post}{get}");
    for (asked, first, answers) in [
        (&post, "HTTP/1.1 201", 1),
        (&chunked, "HTTP/1.1 201", 1),
        (&get, "HTTP/1.1 200", 1),
        (&several, "HTTP/1.1 200", 3),
    ] {
        let mut stream = connect(app.address).await;
        stream.write_all(asked.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        let answer = String::from_utf8(read_all(&mut stream).await).expect("text");
        assert!(answer.starts_with(first), "{asked}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1 20").count(), answers, "{answer}");
    }
    assert_eq!(app.listing().await.as_array().map(Vec::len), Some(3));
    app.stop().await;
}

async fn what_asked_for_another_protocol_is_refused_like_anything_else(store: Store) {
    let app = TestApp::start(store).await;
    for (asked, first) in [
        (
            "CONNECT example.com:443 HTTP/1.1\r\nhost: x\r\n\r\n",
            "HTTP/1.1 404",
        ),
        (
            "GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
            "HTTP/1.1 200",
        ),
    ] {
        let mut stream = connect(app.address).await;
        stream.write_all(asked.as_bytes()).await.unwrap();
        let answer = read_one(&mut stream).await;
        assert!(answer.starts_with(first), "{answer}");
        let nonsense = "nonsense ".repeat(10_000);
        stream.write_all(nonsense.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("no reset");
        assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
        assert!(answer.contains("VALIDATION_ERROR"), "{answer}");
    }
    app.stop().await;
}

/// A list that waits for the store when the server stops is the last answer of its connection, and says so: what was sent after
/// it is not done, for its sender has to believe that it was not.
#[cfg(feature = "postgres-tests")]
#[tokio::test]
async fn nothing_is_done_after_the_last_answer() {
    let app = TestApp::start(Store::Postgres).await;
    let key = app.key(&[Scope::Read, Scope::Write]).await;
    let mut lock = app.context.db.write().await.expect("a session");
    lock.batch(&db::Sql::same("LOCK TABLE inboxes"))
        .await
        .expect("locked");
    let body = r#"{"name":"Too late","type":"livechat"}"#;
    let both = format!(
        "GET /inboxes HTTP/1.1\r\nhost: x\r\napi_key: {key}\r\n\r\nPOST /inboxes HTTP/1.1\r\nhost: x\r\napi_key: {key}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = connect(app.address).await;
    stream.write_all(both.as_bytes()).await.unwrap();
    let misses = || app.context.cache.figures().misses;
    eventually("it asks the store", async || misses() > 0).await;
    let address = app.address;
    let stop = tokio::spawn(app.stop());
    eventually("it stops", async || {
        TcpStream::connect(address).await.is_err()
    })
    .await;
    drop(lock);
    let mut answers = String::new();
    stream.read_to_string(&mut answers).await.expect("an end");
    stop.await.expect("stopped");
    assert_eq!(answers.matches("HTTP/1.1 ").count(), 1, "{answers}");
    assert!(answers.contains("\r\nconnection: close\r\n"), "{answers}");
}

/// hyper's own answers are told from ours by when they come, never by what they look like.
#[tokio::test]
async fn an_answer_that_looks_like_one_of_hypers_is_sent_as_it_is() {
    const LOOK: &str = "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n";
    let app = TestApp::start(Store::Sqlite).await;
    // The second part leaves after the first was sent.
    let parts = || {
        stream::iter(["", LOOK]).then(async |part: &str| {
            tokio::time::sleep(Duration::from_millis(50)).await;
            Ok::<_, Infallible>(part)
        })
    };
    let router = Router::new()
        .route("/whole", get(async || LOOK))
        .route("/parts", get(async move || Body::from_stream(parts())));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let mut stream = connect(listener.local_addr().expect("an address")).await;
    let (server, peer) = listener.accept().await.expect("connected");
    let (_stop, stopped) = watch::channel(false);
    tokio::spawn(serve_connection(
        server,
        Peer(peer),
        router,
        app.parts(),
        stopped,
        (),
    ));

    for path in ["/whole", "/parts", "/whole"] {
        let ask = format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n");
        stream.write_all(ask.as_bytes()).await.expect("it reads");
    }
    stream
        .write_all(b"nonsense\r\n\r\n")
        .await
        .expect("it reads");
    let answers = String::from_utf8(read_all(&mut stream).await).expect("text");
    assert_eq!(answers.matches(LOOK).count(), 3, "{answers}");
    let (_, last) = answers.rsplit_once(LOOK).expect("there");
    assert!(
        last.starts_with("HTTP/1.1 400 Bad Request\r\nx-request-id: "),
        "{answers}"
    );
    assert!(last.ends_with("}}"), "{answers}");
    app.stop().await;
}
