//! Many servers on one PostgreSQL: what happens on one is known on the others, and what fails makes no answer wrong.

use crate::support::{
    Postgres, Running, Shell, Store, eventually,
    live::{Socket, Stream},
    program::text,
    whatsapp::{self, update},
};
use db::{Database, Missing, Sql};
use inboxd::clock::stopwatch;
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream, UnixStream},
    time::sleep,
};

/// The promise: what one node acknowledged, every other knows after so long.
const SOON: Duration = Duration::from_secs(1);

fn hello(number: u64) -> Value {
    let message = whatsapp::text("628111", &format!("wamid.{number}"), "Hello");
    update("42", &[message])
}

/// Two nodes with an account, a WhatsApp inbox and a key.
struct Nodes {
    shell: Shell,
    key: String,
    one: Running,
    two: Running,
}

impl Nodes {
    async fn start() -> Self {
        let shell = Shell::ready(Store::Postgres).await;
        Self::on(shell, None)
    }

    /// On this database. The first node reaches it under another address, if there is one.
    fn on(shell: Shell, address_of_one: Option<&str>) -> Self {
        shell.account("Toko Biru");
        shell.whatsapp("42");
        let key = shell.key();
        let mut command = shell.command(&["serve", "--listen", "127.0.0.1:0"]);
        if let Some(address) = address_of_one {
            command.env("INBOXD_DATABASE_URL", address);
        }
        Nodes {
            one: shell.start_with_log(command, &shell.folder().join("one.log")),
            two: shell.serve(),
            shell,
            key,
        }
    }

    /// What a node says of the inbox: its count, or nothing if it has no answer now.
    async fn count(&self, node: &Running) -> Option<u64> {
        let answer = node.get("/inboxes").key(&self.key).send().await;
        if answer.status == 503 {
            return None;
        }
        Some(
            answer.data()[0]["messages_count"]
                .as_u64()
                .expect("a count"),
        )
    }

    /// Waits until a node answers from memory again.
    async fn recovered(&self, node: &Running) {
        let since = hits(node).await;
        eventually("the node has caught up", async || {
            self.count(node).await;
            hits(node).await > since
        })
        .await;
    }

    /// That each node is well, and so is the data.
    async fn finish(self) {
        for node in [&self.one, &self.two] {
            self.recovered(node).await;
        }
        assert_eq!(self.count(&self.one).await, self.count(&self.two).await);
        self.one.stop().await;
        self.two.stop().await;
        self.shell.done(&["verify"]);
    }
}

/// How many lists a node has answered from memory.
async fn hits(node: &Running) -> u64 {
    let metrics = node.get("/metrics").send().await;
    let line = "inboxd_cache_looks_total{outcome=\"hit\"} ";
    let hits = metrics
        .text()
        .lines()
        .find_map(|text| text.strip_prefix(line));
    hits.map_or(0, |hits| hits.parse().expect("a number"))
}

/// Delivers through one node and looks at another.
#[derive(Default)]
struct Watch {
    sent: u64,
    /// When which count was acknowledged.
    told: Vec<(Instant, u64)>,
    last: u64,
}

impl Watch {
    /// Delivers the next message, as a provider does: until it is taken.
    async fn deliver(&mut self, node: &Running) {
        self.sent += 1;
        let message = hello(self.sent);
        eventually("an update is taken", async || {
            let answer = node.deliver(&message).await;
            assert!([200, 503].contains(&answer.status.as_u16()), "{answer:?}");
            answer.status == 200
        })
        .await;
        self.told.push((stopwatch(), self.sent));
    }

    /// Asserts that an answer, if there is one, is neither older than the one before nor older than a second.
    async fn look(&mut self, nodes: &Nodes, node: &Running) {
        let old = self.told.iter().filter(|(at, _)| at.elapsed() >= SOON);
        let least = old.map(|(_, count)| *count).max().unwrap_or(0);
        if let Some(count) = nodes.count(node).await {
            assert!(count >= least, "{count} a second after {least} was told");
            assert!(count >= self.last, "{count} after {}", self.last);
            self.last = count;
        }
    }
}

#[tokio::test]
async fn five_servers_that_start_at_once_on_an_empty_database_migrate_it_once() {
    const MIGRATIONS: Sql = Sql::same("SELECT count(*) FROM schema_migrations");
    let shell = Shell::empty(Store::Postgres).await;
    let start = |number: usize| {
        let command = shell.command(&["serve", "--listen", "127.0.0.1:0"]);
        shell.start_with_log(command, &shell.folder().join(format!("{number}.log")))
    };
    let servers: Vec<Running> = thread::scope(|scope| {
        let starts: Vec<_> = (0..5)
            .map(|number| scope.spawn(move || start(number)))
            .collect();
        let started = starts.into_iter().map(|start| start.join());
        started.map(|server| server.expect("it starts")).collect()
    });
    let migrated = servers
        .iter()
        .filter(|server| server.log().contains("schema migrated"));
    assert_eq!(migrated.count(), 1);
    let db = Database::open(&shell.place().address(), Missing::Fail).await;
    let mut session = db.expect("it opens").read().await.expect("it answers");
    let count = session
        .query_opt(&MIGRATIONS, &[], |row| row.get::<i64>(0))
        .await;
    let known = inboxd::store::MIGRATIONS.len() as i64;
    assert_eq!(count.expect("a good statement"), Some(known));
    for server in servers {
        server.get("/readyz").send().await.assert_status(200);
        server.stop().await;
    }
    assert_eq!(
        shell.json(&["account", "list"]).as_array().map(Vec::len),
        Some(1)
    );
    shell.done(&["verify"]);
}

#[tokio::test]
async fn what_happens_on_one_node_is_heard_on_the_other() {
    let nodes = Nodes::start().await;
    let (one, two) = (&nodes.one, &nodes.two);
    nodes.recovered(two).await;
    let mut events = Stream::open(two.address, &nodes.key, None).await;
    one.deliver(&hello(1)).await.assert_status(200);
    let heard = [events.next().await, events.next().await];
    let names = heard.map(|event| event.expect("an event").0);
    assert_eq!(names, ["inbox.changed", "message.created"]);
    // What is told is also listed.
    assert_eq!(nodes.count(two).await, Some(1));

    let create = ["inbox", "create", "--type", "livechat", "--name", "Website"];
    let chat = text(&nodes.shell.json(&create)["id"]);
    let (name, _, inbox) = events.next().await.expect("an event");
    assert_eq!(
        (name.as_str(), &inbox["id"]),
        ("inbox.changed", &json!(chat))
    );
    let sessions = format!("/livechat/{chat}/sessions");
    let visitor = one.post(&sessions).json(&json!({})).send().await.data();
    let token = text(&visitor["token"]);
    let mut sockets = [
        Socket::hello(one.address, &chat, &token, None).await,
        Socket::hello(two.address, &chat, &token, None).await,
    ];
    for said in 0..2 {
        let words = format!("Said on node {said}");
        let say = json!({"type": "message", "client_id": format!("c{said}"), "text": words});
        sockets[said].send(&say).await;
        for socket in &mut sockets {
            let message = socket.next_of("message").await;
            assert_eq!(message["message"]["content"]["text"], words);
        }
    }
    nodes.finish().await;
}

#[tokio::test]
async fn connections_that_are_cut_make_nothing_stale() {
    const CUT: Sql = Sql::same(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE datname = current_database() AND pid <> pg_backend_pid()",
    );
    let nodes = Nodes::start().await;
    let mut watch = Watch::default();
    nodes.recovered(&nodes.one).await;
    let db = Database::open(&nodes.shell.place().address(), Missing::Fail).await;
    let db = db.expect("it opens");
    for _ in 0..3 {
        let mut session = db.read().await.expect("it answers");
        session.batch(&CUT).await.expect("they are cut");
        drop(session);
        for _ in 0..5 {
            watch.deliver(&nodes.two).await;
            watch.look(&nodes, &nodes.one).await;
        }
        nodes.recovered(&nodes.one).await;
        assert_eq!(nodes.count(&nodes.one).await, Some(watch.sent));
    }
    db.close().await;
    nodes.finish().await;
}

#[tokio::test]
async fn two_nodes_find_a_postgres_again_that_was_away() {
    let postgres = Postgres::start();
    let nodes = Nodes::on(Shell::on(&postgres), None);
    let mut watch = Watch::default();
    watch.deliver(&nodes.two).await;
    nodes.recovered(&nodes.one).await;
    postgres.halt();
    for node in [&nodes.one, &nodes.two] {
        eventually("nothing is answered from memory", async || {
            nodes.count(node).await.is_none()
        })
        .await;
        let refused = node.deliver(&hello(2)).await;
        refused.assert_status(503);
        node.get("/readyz").send().await.assert_status(503);
    }
    postgres.resume();
    watch.deliver(&nodes.two).await;
    watch.look(&nodes, &nodes.one).await;
    nodes.finish().await;
}

/// A file system of its own, filled up by something else. Only root can make one.
#[tokio::test]
async fn a_postgres_whose_disk_is_full_is_a_503_and_then_fine_again() {
    let postgres = Postgres::on_disk_of("128m");
    let nodes = Nodes::on(Shell::on(&postgres), None);
    let mut watch = Watch::default();
    watch.deliver(&nodes.two).await;
    postgres.fill_disk();
    let long = |number: u64| {
        let words = "A long story. ".repeat(290);
        let message = whatsapp::text("628111", &format!("wamid.long.{number}"), &words);
        update("42", &[message])
    };
    let mut taken = 0;
    loop {
        let answer = nodes.two.deliver(&long(taken)).await;
        if answer.status == 503 {
            break;
        }
        answer.assert_status(200);
        taken += 1;
        assert!(taken < 10_000, "the disk is never full");
    }
    for node in [&nodes.one, &nodes.two] {
        node.deliver(&long(taken)).await.assert_status(503);
        // Nothing that was not acknowledged is shown, and nothing that was is missing.
        if let Some(count) = nodes.count(node).await {
            assert_eq!(count, taken + 1);
        }
    }
    postgres.clear_disk();
    // One that has given up for want of room is started again, as its keeper would.
    if !postgres.socket().exists() {
        postgres.resume();
    }
    for number in 0..taken + 2 {
        eventually("updates are taken again", async || {
            nodes.one.deliver(&long(number)).await.status == 200
        })
        .await;
    }
    eventually("all is counted", async || {
        nodes.count(&nodes.two).await == Some(taken + 3)
    })
    .await;
    nodes.finish().await;
}

/// Providers and clients send to either of two nodes until one is killed, and then to the other.
#[tokio::test]
async fn a_node_that_is_killed_under_load_costs_nothing() {
    const SENDERS: u64 = 6;
    const EACH: u64 = 25;
    let Nodes {
        shell,
        key,
        one,
        two,
    } = Nodes::start().await;
    let (one, two) = (Arc::new(one), Arc::new(two));
    let acknowledged = Arc::new(Mutex::new(BTreeSet::new()));
    let senders: Vec<_> = (0..SENDERS)
        .map(|sender| {
            let (one, two) = (one.clone(), two.clone());
            let (acknowledged, key) = (acknowledged.clone(), key.clone());
            tokio::spawn(async move {
                let mut last = 0;
                for number in (sender * EACH)..(sender + 1) * EACH {
                    let through_two = match sender % 2 {
                        0 => two.update(&hello(number)).try_send().await.ok(),
                        _ => None,
                    };
                    let answer = match through_two {
                        Some(answer) => answer,
                        None => one.deliver(&hello(number)).await,
                    };
                    answer.assert_status(200);
                    let enough = {
                        let mut acknowledged = acknowledged.lock().expect("no panic inside");
                        acknowledged.insert(number);
                        acknowledged.len() as u64 == SENDERS * EACH / 3
                    };
                    if enough {
                        two.signal("KILL");
                    }
                    let listed = one.get("/inboxes").key(&key).send().await.data();
                    let count = listed[0]["messages_count"].as_u64().expect("a count");
                    assert!(count >= last, "{count} after {last}");
                    last = count;
                }
            })
        })
        .collect();
    for sender in senders {
        sender.await.expect("a sender ends well");
    }
    let sent = acknowledged.lock().expect("no panic inside").len() as u64;
    assert_eq!(sent, SENDERS * EACH);
    let counted = async || {
        let listed = one.get("/inboxes").key(&key).send().await.data();
        listed[0]["messages_count"].as_u64().expect("a count")
    };
    let acknowledged = stopwatch();
    while counted().await != sent {
        assert!(
            acknowledged.elapsed() < SOON,
            "{} of {sent}",
            counted().await
        );
    }
    shell.done(&["verify"]);
}

/// A connection whose other end is gone without a word looks like one on which nobody says anything.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listening_connection_that_goes_silent_makes_nothing_stale() {
    let postgres = Postgres::start();
    let proxy = Proxy::start(&postgres.socket()).await;
    let address = format!("postgres://inboxd@{}/postgres", proxy.address);
    let nodes = Nodes::on(Shell::on(&postgres), Some(&address));
    let mut watch = Watch::default();
    watch.deliver(&nodes.two).await;
    nodes.recovered(&nodes.one).await;
    assert!(
        proxy.listening.load(Ordering::Acquire) > 0,
        "it goes through here"
    );

    proxy.silent.store(true, Ordering::Release);
    let since = stopwatch();
    while since.elapsed() < 2 * SOON {
        watch.deliver(&nodes.two).await;
        watch.look(&nodes, &nodes.one).await;
        sleep(Duration::from_millis(20)).await;
    }
    // The lease is over: what comes now is in the next answer, since the store is asked.
    for _ in 0..5 {
        watch.deliver(&nodes.two).await;
        assert_eq!(nodes.count(&nodes.one).await, Some(watch.sent));
    }
    proxy.silent.store(false, Ordering::Release);
    nodes.recovered(&nodes.one).await;
    assert_eq!(nodes.count(&nodes.one).await, Some(watch.sent));
    assert!(
        since.elapsed() < 20 * SOON,
        "it takes {:?}",
        since.elapsed()
    );
    nodes.finish().await;
}

/// A list that nobody asked for yet is read from the store, where a change can be seen before it is heard of. Lists
/// that are in memory must not be shown without it from then on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_older_follows_what_the_store_already_showed() {
    let postgres = Postgres::start();
    let proxy = Proxy::start(&postgres.socket()).await;
    let address = format!("postgres://inboxd@{}/postgres", proxy.address);
    let nodes = Nodes::on(Shell::on(&postgres), Some(&address));
    let mut watch = Watch::default();
    for round in 1..=5 {
        watch.deliver(&nodes.two).await;
        nodes.recovered(&nodes.one).await;
        proxy.silent.store(true, Ordering::Release);
        watch.deliver(&nodes.two).await;
        let other = nodes.one.get(&format!("/inboxes?limit={round}"));
        let other = other.key(&nodes.key).send().await.data();
        assert_eq!(other[0]["messages_count"], watch.sent);
        assert_eq!(nodes.count(&nodes.one).await, Some(watch.sent));
        proxy.silent.store(false, Ordering::Release);
    }
    nodes.finish().await;
}

/// Between a node and PostgreSQL. While it is silent, nothing passes on the connections of listeners, and neither side is
/// told.
struct Proxy {
    address: std::net::SocketAddr,
    silent: Arc<AtomicBool>,
    /// How many connections of listeners there were.
    listening: Arc<AtomicU64>,
}

impl Proxy {
    async fn start(socket: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let proxy = Proxy {
            address: listener.local_addr().expect("an address"),
            silent: Arc::default(),
            listening: Arc::default(),
        };
        let (socket, silent) = (socket.to_owned(), proxy.silent.clone());
        let listening = proxy.listening.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = UnixStream::connect(&socket).await.expect("PostgreSQL");
                tokio::spawn(pass_on(client, server, silent.clone(), listening.clone()));
            }
        });
        proxy
    }
}

async fn pass_on(
    mut client: TcpStream,
    mut server: UnixStream,
    silent: Arc<AtomicBool>,
    listening: Arc<AtomicU64>,
) {
    // The first packet says who connects.
    let mut first = vec![0; 4096];
    let length = client.read(&mut first).await.unwrap_or(0);
    let name = b"inboxd listens to ";
    let listens = first[..length].windows(name.len()).any(|part| part == name);
    if server.write_all(&first[..length]).await.is_err() {
        return;
    }
    // For all other connections it never is.
    let silent = if listens { silent } else { Arc::default() };
    listening.fetch_add(u64::from(listens), Ordering::AcqRel);
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.split();
    // When one side is gone, the other is told.
    tokio::select! {
        () = relay(from_client, to_server, &silent) => {}
        () = relay(from_server, to_client, &silent) => {}
    }
}

async fn relay(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    silent: &AtomicBool,
) {
    let mut bytes = vec![0; 16 * 1024];
    loop {
        let length = match from.read(&mut bytes).await {
            Ok(length) if length > 0 => length,
            _ => return,
        };
        while silent.load(Ordering::Acquire) {
            sleep(Duration::from_millis(2)).await;
        }
        if to.write_all(&bytes[..length]).await.is_err() {
            return;
        }
    }
}
