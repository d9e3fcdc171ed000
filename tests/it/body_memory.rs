//! The memory for requests' bodies: whatever strangers send, it has a bound, and no stranger takes it from the others.

use crate::support::{Running, Shell, Store, eventually, on_both_stores, read_all, whatsapp};
use futures_util::{StreamExt, stream};
use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::timeout,
};

on_both_stores![
    bodies_that_never_end_make_way_for_others,
    a_network_with_its_share_costs_the_others_nothing,
    long_answers_that_nobody_reads_have_a_bound,
];

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// A server with this much memory for bodies. What is left of its place must outlive it.
async fn serve(store: Store, bytes: usize) -> (Shell, Running) {
    let shell = Shell::ready(store).await;
    shell.account("Toko Biru");
    shell.whatsapp("1001");
    let mut command = shell.command(&["serve", "--listen", "127.0.0.1:0"]);
    command
        .env("INBOXD_MAX_BODY_MEMORY", bytes.to_string())
        .env("INBOXD_MAX_UPDATE_BYTES", (bytes / 16).to_string())
        .env("INBOXD_MAX_BODY_BYTES", "1024")
        // The next hop says for whom it asks.
        .env("INBOXD_TRUSTED_PROXIES", "127.0.0.100");
    let server = shell.start(command);
    (shell, server)
}

/// The head of an update.
fn head(fields: &str) -> String {
    format!(
        "POST /hooks/whatsapp HTTP/1.1\r\nhost: x\r\nx-hub-signature-256: sha256=0\r\n{fields}\r\n\r\n"
    )
}

async fn connect(from: [u8; 4], server: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    let from = SocketAddr::from((Ipv4Addr::from(from), 0));
    socket.bind(from).expect("the whole of 127.0.0.0/8 is here");
    socket.connect(server).await.expect("connected")
}

/// A piece of a body that is kept as it came holds on to much more than itself.
#[tokio::test]
async fn a_body_in_tiny_pieces_takes_no_more_than_its_bytes() {
    const BODIES: u8 = 6;
    const BYTES: usize = 128 * KIB;
    let (_shell, server) = serve(Store::Sqlite, 16 * MIB).await;
    server
        .deliver(&whatsapp::hello("wamid.1"))
        .await
        .assert_status(200);
    let before = server.resident();
    let pieces = "1\r\nx\r\n".repeat(BYTES);
    let mut streams = Vec::new();
    for last in 1..=BODIES {
        let mut stream = connect([127, 0, 0, last], server.address).await;
        let head = head("transfer-encoding: chunked");
        stream.write_all(head.as_bytes()).await.expect("it reads");
        stream.write_all(pieces.as_bytes()).await.expect("it reads");
        streams.push(stream);
    }
    taken(&server, usize::from(BODIES) * BYTES).await;
    let grown = server.resident().saturating_sub(before);
    // Less than one megabyte of bodies. Kept piece by piece it would be some thirty.
    assert!(grown < 12 * MIB, "{} KiB", grown / KIB);
    drop(streams);
    server.stop().await;
}

/// Waits until so much memory for bodies is taken.
async fn taken(server: &Running, bytes: usize) {
    let line = format!("\ninboxd_body_memory_bytes {bytes}\n");
    eventually("it is taken", async || {
        let metrics = server.get("/metrics").send().await;
        metrics.text().contains(&line)
    })
    .await;
}

#[tokio::test]
async fn bodies_that_never_end_have_a_bound() {
    let (_shell, server) = serve(Store::Sqlite, 16 * MIB).await;
    let before = server.resident();
    let body = vec![b' '; MIB - 1];
    let mut streams = Vec::new();
    for _ in 0..100 {
        let mut stream = connect([127, 0, 0, 1], server.address).await;
        let head = head(&format!("content-length: {MIB}"));
        stream.write_all(head.as_bytes()).await.expect("it reads");
        // It may be sent away before all of it is there.
        let sent = timeout(Duration::from_secs(1), stream.write_all(&body));
        sent.await.ok();
        streams.push(stream);
    }
    let grown = server.resident().saturating_sub(before);
    // An address gets a megabyte; without a bound it would be a hundred.
    assert!(grown < 40 * MIB, "{} MiB", grown / MIB);
    // All but those that fit are told so.
    let answers = streams.iter_mut().map(async |stream| {
        let answer = String::from_utf8(read_all(stream).await).expect("text");
        let too_many = answer.starts_with("HTTP/1.1 503") && answer.contains("\r\nretry-after: 1");
        assert!(too_many || answer.starts_with("HTTP/1.1 408"), "{answer}");
    });
    let answered: Vec<()> = stream::iter(answers)
        .buffer_unordered(100)
        .take(98)
        .collect()
        .await;
    assert_eq!(answered.len(), 98);
    drop(streams);
    server.stop().await;
}

/// Eight bodies that lack a byte, from networks enough to take all the memory that there is. The networks are behind a
/// proxy.
async fn fill(server: &Running) -> Vec<TcpStream> {
    let mut streams = Vec::new();
    for network in 1..=8 {
        let mut stream = connect([127, 0, 0, 100], server.address).await;
        let fields = format!(
            "content-length: {}\r\nx-forwarded-for: 2001:db8:0:{network}::1",
            64 * KIB
        );
        stream
            .write_all(head(&fields).as_bytes())
            .await
            .expect("it reads");
        stream
            .write_all(&[b' '; 64 * KIB - 1])
            .await
            .expect("it reads");
        streams.push(stream);
    }
    taken(server, 512 * KIB).await;
    streams
}

/// Which of these were told that they are too slow.
async fn given_up(streams: &mut [TcpStream]) -> Vec<usize> {
    let mut given_up = Vec::new();
    for (number, stream) in streams.iter_mut().enumerate() {
        if let Ok(answer) = timeout(Duration::from_millis(100), read_all(stream)).await {
            let answer = String::from_utf8(answer).expect("text");
            assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
            given_up.push(number);
        }
    }
    given_up
}

async fn bodies_that_never_end_make_way_for_others(store: Store) {
    let (_shell, server) = serve(store, MIB).await;
    let mut streams = fill(&server).await;
    // As long as no body has had its moment nobody is sent away for others. A provider comes again.
    eventually("an update gets through", async || {
        let answer = server.deliver(&whatsapp::hello("wamid.1")).await;
        if answer.status == 503 {
            let message = "Too many large requests at once: nothing was accepted, try again";
            answer.assert_error(503, "UNAVAILABLE", message);
            assert_eq!(answer.header("retry-after"), "1");
        } else {
            answer.assert_status(200);
        }
        answer.status == 200
    })
    .await;
    assert_eq!(
        given_up(&mut streams).await.len(),
        1,
        "no more than it takes"
    );
    drop(streams);
    server.stop().await;
}

async fn a_network_with_its_share_costs_the_others_nothing(store: Store) {
    let (_shell, server) = serve(store, MIB).await;
    let mut streams = fill(&server).await;
    let ask = async || {
        let mut neighbour = connect([127, 0, 0, 100], server.address).await;
        let fields =
            "connection: close\r\ncontent-length: 2000\r\nx-forwarded-for: 2001:db8:0:8::2";
        neighbour
            .write_all(head(fields).as_bytes())
            .await
            .expect("it reads");
        neighbour.write_all(&[b' '; 2000]).await.expect("it reads");
        String::from_utf8(read_all(&mut neighbour).await).expect("text")
    };
    eventually("one of the network makes way for another", async || {
        let answer = ask().await;
        assert!(
            answer.starts_with("HTTP/1.1 503") || answer.starts_with("HTTP/1.1 404"),
            "{answer}"
        );
        answer.starts_with("HTTP/1.1 404")
    })
    .await;
    assert_eq!(given_up(&mut streams).await, [7]);
    drop(streams);
    server.stop().await;
}

async fn long_answers_that_nobody_reads_have_a_bound(store: Store) {
    let (shell, server) = serve(store, 16 * MIB).await;
    let key = shell.key();
    let long = "x".repeat(50_000);
    for part in 0..4 {
        let said: Vec<_> = (0..10)
            .map(|n| whatsapp::text("628111", &format!("wamid.{part}.{n}"), &long))
            .collect();
        let update = whatsapp::update("1001", &said);
        server.deliver(&update).await.assert_status(200);
    }
    let inboxes = server.get("/inboxes").key(&key).send().await.data();
    let inbox = inboxes[0]["id"].as_str().expect("an id");
    let ask = async |network: usize| {
        let socket = TcpSocket::new_v4().expect("a socket");
        // The system takes no more for who does not read.
        socket.set_recv_buffer_size(4096).expect("set");
        let from = SocketAddr::from((Ipv4Addr::new(127, 0, 0, 100), 0));
        socket.bind(from).expect("the whole of 127.0.0.0/8 is here");
        let mut stream = socket.connect(server.address).await.expect("connected");
        let request = format!(
            "GET /messages?inbox_id={inbox} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n\
             x-forwarded-for: 2001:db8:0:{network}::1\r\n\r\n"
        );
        stream
            .write_all(request.as_bytes())
            .await
            .expect("it reads");
        let mut status = [0; 12];
        stream.read_exact(&mut status).await.expect("an answer");
        (status[9..].to_vec(), stream)
    };
    // Two megabytes each: the first of a network always fits, and no second one.
    let first = ask(1).await;
    assert_eq!(first.0, b"200");
    for _ in 0..5 {
        assert_eq!(ask(1).await.0, b"503");
    }
    let others = [ask(2).await, ask(3).await, ask(4).await];
    assert!(others.iter().all(|(status, _)| status == b"200"));
    assert_eq!(ask(5).await.0, b"503", "all is taken");
    drop((first, others));
    eventually("it is free again", async || ask(1).await.0 == b"200").await;
    server.stop().await;
}

/// What reads a body in another way would have no bound. The demonstration's stand-ins are a server with a bound of its own.
#[test]
fn bodies_are_read_in_one_place() {
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    let mut readers = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = fs::read_to_string(&path).expect("a text");
            let ways = [
                "BodyExt",
                "body::to_bytes",
                "Limited::new",
                "into_data_stream",
            ];
            if ways.iter().any(|way| text.contains(way)) && !path.ends_with("demo/stand_in.rs") {
                readers.push(path);
            }
        }
    }
    assert_eq!(readers.len(), 1, "{readers:?}");
    assert!(readers[0].ends_with("http/body.rs"), "{readers:?}");
}
