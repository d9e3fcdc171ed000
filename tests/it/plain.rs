//! Plain requests for the list, answered without hyper, beside the same ones answered by it: what a client gets does not tell
//! which of the two has answered.

use crate::support::{Store, TestApp, eventually, for_some, on_both_stores, read_all};
use inboxd::domain::Scope;
use proptest::{collection::vec, prelude::Strategy, sample::select};
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::{Instant, timeout},
};

on_both_stores![
    no_client_can_tell_who_answers,
    lists_that_are_asked_for_in_one_go_are_answered_in_turn,
    whoever_is_idle_after_a_list_is_let_go,
    whoever_takes_no_answers_is_cut_off,
    whoever_takes_answers_slowly_is_not_cut_off,
];

const TARGETS: [&str; 12] = [
    "/inboxes",
    "/inboxes?",
    "/inboxes?limit=2&offset=1",
    "/inboxes?type=livechat&status=active",
    "/inboxes?limit=0",
    "/inboxes?limit=%32&x=%7e+",
    "/inboxes?limit=%zz",
    "/inboxes?q=\"<>\"",
    "/inboxes#top",
    "/inboxes/",
    "/inboxesx",
    "http://elsewhere/inboxes?limit=1",
];

/// Lines of a head, some of them no good. `KEY` is a good key.
const LINES: [&str; 34] = [
    "Host: a",
    "host:b",
    "Authorization: Bearer KEY",
    "AUTHORIZATION:   bearer   KEY  ",
    "Authorization: Bearer wrong",
    "Authorization: Basic abc",
    "api_key: KEY",
    "api_key: \u{e9}",
    "Accept-Encoding: gzip",
    "Accept-Encoding: br;q=0.5, gzip",
    "If-None-Match: *",
    "If-None-Match: \"a\", W/\"b\"",
    "X-Request-Id: mine",
    "X-Request-Id: not sane",
    "X-Request-Id:",
    "X-Forwarded-For: 203.0.113.7",
    "Connection: keep-alive",
    "Connection: Keep-Alive",
    "Connection: close",
    "Connection: x, close",
    "Connection: upgrade",
    "Upgrade: websocket",
    "Expect: 100-continue",
    "Expect: nothing",
    "TE: trailers",
    "Content-Length: 0",
    "Content-Length: 2",
    "Content-Length: -1",
    "Transfer-Encoding: chunked",
    "Tab:\ta\tb",
    " folded: a",
    "no colon",
    "white : space",
    "bad\u{1}name: a",
];

const ENDS: [&str; 6] = [
    "\r\n",
    "\n",
    "\r\n{}",
    "\r\n0\r\n\r\n",
    "",
    "\r\nGET /inboxes HTTP/1.1\r\nauthorization: Bearer KEY\r\n\r\n",
];

/// What a client may send first.
fn heads() -> impl Strategy<Value = String> {
    let start = (
        // With any other method a body stays unread, and hyper ends the connection or not, as it comes.
        select(&["GET", "GET", "GET", "HEAD"][..]),
        select(&TARGETS[..]),
        select(&["HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.0", "HTTP/2.0"][..]),
    );
    let parts = (start, vec(select(&LINES[..]), 0..5), select(&ENDS[..]));
    parts.prop_map(|((method, target, version), lines, end)| {
        let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
        format!("{method} {target} {version}\r\nAuthorization: Bearer KEY\r\n{lines}{end}")
    })
}

async fn no_client_can_tell_who_answers(store: Store) {
    let app = TestApp::with(store, |limits| {
        limits.auth_failures = 0;
        limits.head_timeout = Duration::from_millis(300);
    })
    .await;
    let key = app.key(&[Scope::Read, Scope::Write]).await;
    for number in 0..12 {
        app.livechat(&format!("Website {number}")).await;
    }
    let address = app.address;
    for_some(500, (heads(), 1..40_usize), async move |(head, piece)| {
        let head = head.replace("KEY", &key);
        let mut plain = connect(address).await;
        let mut in_pieces = connect(address).await;
        let mut hypers = connect(address).await;
        // From here on it is hyper's.
        hypers
            .write_all(b"GET /healthz HTTP/1.1\r\n\r\n")
            .await
            .unwrap();
        read_one(&mut hypers).await;

        let by_hyper = talk(&mut hypers, &head, head.len()).await;
        let plainly = talk(&mut plain, &head, head.len()).await;
        assert_eq!(lasting(&plainly), lasting(&by_hyper), "{head:?}");
        let pieces = talk(&mut in_pieces, &head, piece).await;
        assert_eq!(lasting(&pieces), lasting(&by_hyper), "{head:?} by {piece}");
    })
    .await;
    app.stop().await;
}

async fn connect(address: std::net::SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).await.expect("connected");
    stream.set_nodelay(true).expect("pieces stay pieces");
    stream
}

/// Sends these bytes, so many at a time, and a last request. Returns all answers.
async fn talk(stream: &mut TcpStream, bytes: &str, piece: usize) -> String {
    let last = "GET /healthz HTTP/1.1\r\nconnection: close\r\n\r\n";
    for piece in bytes.as_bytes().chunks(piece).chain([last.as_bytes()]) {
        // The server may have had enough.
        if stream.write_all(piece).await.is_err() {
            break;
        }
        tokio::task::yield_now().await;
    }
    String::from_utf8_lossy(&read_all(stream).await).into_owned()
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

/// What does not differ from request to request, with the headers of each answer in order.
fn lasting(answers: &str) -> Vec<String> {
    let passing = [
        "date: ",
        "x-request-id: ",
        "x-ratelimit-remaining: ",
        "x-ratelimit-reset: ",
    ];
    let mut kept: Vec<String> = Vec::new();
    let mut fields = Vec::new();
    for line in answers.split_inclusive("\r\n") {
        match line {
            _ if line.starts_with("HTTP/1.") || !line.ends_with("\r\n") => kept.push(line.into()),
            "\r\n" => {
                fields.sort();
                kept.append(&mut fields);
            }
            _ => match passing.iter().find(|name| line.starts_with(**name)) {
                Some(name) if !line.contains("mine") => fields.push((*name).into()),
                _ => fields.push(line.into()),
            },
        }
    }
    kept.append(&mut fields);
    kept
}

async fn lists_that_are_asked_for_in_one_go_are_answered_in_turn(store: Store) {
    let app = TestApp::start(store).await;
    let key = app.key(&[Scope::Read, Scope::Write]).await;
    for number in 0..3 {
        app.livechat(&format!("Website {number}")).await;
    }
    let mut stream = connect(app.address).await;
    let ask = |offset: usize| {
        format!("GET /inboxes?limit=1&offset={offset} HTTP/1.1\r\napi_key: {key}\r\n\r\n")
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
    let ask = format!("GET /inboxes HTTP/1.1\r\napi_key: {key}\r\n\r\n");
    let mut stream = connect(app.address).await;
    stream.write_all(ask.as_bytes()).await.unwrap();
    read_one(&mut stream).await;
    let end = timeout(Duration::from_secs(30), stream.read_u8()).await;
    assert!(end.expect("an end").is_err());
    app.stop().await;
}

/// A server whose lists are some kilobytes, and two requests for them: a plain one, and one that is hyper's. Each is so long
/// that a piece of so many as come at once is never cut in the middle of one: half a request is not plain.
async fn with_long_answers(store: Store, idle: Duration) -> (TestApp, [String; 2]) {
    const LENGTH: usize = 256;
    let app = TestApp::with(store, |limits| {
        limits.idle_timeout = idle;
        limits.rate_limit = 0;
    })
    .await;
    let key = app.key(&[Scope::Read, Scope::Write]).await;
    for number in 0..20 {
        app.livechat(&format!("Website {number}")).await;
    }
    let asks = ["accept: *", "te: trailers"].map(|line| {
        let ask = format!("GET /inboxes HTTP/1.1\r\n{line}\r\napi_key: {key}\r\nx-pad: ");
        format!("{ask:x<pad$}\r\n\r\n", pad = LENGTH - 4)
    });
    (app, asks)
}

/// Connects with room for little more than one answer.
async fn connect_narrowly(app: &TestApp) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4096).expect("little room");
    socket.connect(app.address).await.expect("connected")
}

async fn whoever_takes_no_answers_is_cut_off(store: Store) {
    let (app, asks) = with_long_answers(store, Duration::from_millis(300)).await;
    for ask in asks {
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
    }
    app.stop().await;
}

async fn whoever_takes_answers_slowly_is_not_cut_off(store: Store) {
    let idle = Duration::from_secs(2);
    let (app, asks) = with_long_answers(store, idle).await;
    let slow = asks.map(async |ask| {
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
    });
    futures_util::future::join_all(slow).await;
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
        "GET /inboxes HTTP/1.1\r\napi_key: {key}\r\n\r\nPOST /inboxes HTTP/1.1\r\napi_key: {key}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = connect(app.address).await;
    stream.write_all(both.as_bytes()).await.unwrap();
    let misses = || app.context.memory.figures().misses;
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
