//! The promise under load: many senders deliver while the server is killed, its disk is full, or its PostgreSQL is
//! stopped. A sender keeps what was acknowledged, and delivers again what it is not sure of, in any order. At the end
//! each acknowledged message is there once, and every count is exact.
//!
//! The long forms are ignored; CONTRIBUTING.md says how to run them.

use crate::support::{Running, Shell, Store, eventually, on_both_stores, whatsapp};
use db::{Database, Missing, Sql};
use inboxd::clock::random;
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    process::Command,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{task::JoinHandle, time::sleep};

on_both_stores![what_was_acknowledged_survives_kills];

/// Connections that deliver at once.
const SENDERS: usize = 16;
/// Updates that wait to be tried again before nothing new is sent.
const UNSURE: usize = 200;
const NUMBERS: [&str; 3] = ["42", "43", "44"];

async fn what_was_acknowledged_survives_kills(store: Store) {
    killed(store, 3).await;
}

#[tokio::test]
#[ignore = "takes a minute: see CONTRIBUTING.md"]
async fn twenty_kills_on_sqlite() {
    killed(Store::Sqlite, 20).await;
}

#[cfg(feature = "postgres-tests")]
#[tokio::test]
#[ignore = "takes a minute: see CONTRIBUTING.md"]
async fn twenty_kills_on_postgres() {
    killed(Store::Postgres, 20).await;
}

/// The server is killed so many times, each time at some moment, and started again.
async fn killed(store: Store, times: usize) {
    let shell = Shell::ready(store).await;
    let load = Load::prepare(&shell);
    for _ in 0..times {
        let server = Arc::new(shell.serve());
        let senders = load.start(&server);
        sleep(moment(1000)).await;
        server.signal("KILL");
        senders.gone().await;
        load.check_acknowledged().await;
    }
    load.finish(shell.serve()).await;
}

#[tokio::test]
#[ignore = "takes a minute: see CONTRIBUTING.md"]
async fn a_disk_that_is_full_now_and_then_on_sqlite() {
    let shell = Shell::ready(Store::Sqlite).await;
    let load = Load::prepare(&shell);
    for round in 0..6 {
        let server = Arc::new(shell.start(bounded(&shell)));
        let senders = load.start(&server);
        sleep(moment(1000)).await;
        // No file may reach beyond this now: as good as a full disk, for this process alone.
        limit(&server, "65536:unlimited");
        load.until_refused().await;
        sleep(moment(500)).await;
        if round % 2 == 0 {
            limit(&server, "unlimited:unlimited");
            load.until_acknowledged().await;
        }
        // Every other time while the disk is full.
        server.signal("KILL");
        senders.gone().await;
        load.check_acknowledged().await;
    }
    load.finish(shell.serve()).await;
}

/// A server whose files can be bounded: without `trap` the kernel would end a process that reaches the bound.
fn bounded(shell: &Shell) -> Command {
    let script = "trap '' XFSZ; exec \"$@\"";
    let program = env!("CARGO_BIN_EXE_inboxd");
    let mut command = shell.wrapped("sh", &["-c", script, "sh", program, "serve"]);
    command.env("INBOXD_LISTEN", "127.0.0.1:0");
    command
}

fn limit(server: &Running, bound: &str) {
    let process = server.process().to_string();
    let set = Command::new("prlimit")
        .args(["--pid", &process, &format!("--fsize={bound}")])
        .status();
    assert!(set.expect("prlimit").success());
}

#[cfg(feature = "postgres-tests")]
#[tokio::test]
#[ignore = "takes a minute: see CONTRIBUTING.md"]
async fn a_postgres_that_is_stopped_and_started() {
    let postgres = crate::support::Postgres::start();
    let shell = Shell::on(&postgres);
    let load = Load::prepare(&shell);
    let server = Arc::new(shell.serve());
    let senders = load.start(&server);
    for _ in 0..8 {
        sleep(moment(1500)).await;
        postgres.halt();
        load.until_refused().await;
        sleep(moment(500)).await;
        postgres.resume();
        load.until_acknowledged().await;
        load.check_acknowledged().await;
    }
    senders.stop().await;
    load.finish(Arc::into_inner(server).expect("nobody sends"))
        .await;
}

/// Its disk is a small one in memory, which takes root to mount.
#[cfg(feature = "postgres-tests")]
#[tokio::test]
#[ignore = "takes a minute, and root: see CONTRIBUTING.md"]
async fn a_disk_that_is_full_now_and_then_on_postgres() {
    let postgres = crate::support::Postgres::on_disk_of("192m");
    let shell = Shell::on(&postgres);
    let load = Load::prepare(&shell);
    let server = Arc::new(shell.serve());
    let senders = load.start(&server);
    for _ in 0..4 {
        sleep(moment(1500)).await;
        postgres.fill_disk();
        load.until_refused().await;
        sleep(moment(500)).await;
        postgres.clear_disk();
        // PostgreSQL ends itself if its log cannot be written. Whoever makes room starts it again.
        postgres.halt();
        postgres.resume();
        load.until_acknowledged().await;
        load.check_acknowledged().await;
    }
    senders.stop().await;
    load.finish(Arc::into_inner(server).expect("nobody sends"))
        .await;
}

/// What the senders know, by the number of the update.
#[derive(Default)]
struct Ledger {
    /// New ones so far.
    sent: usize,
    acknowledged: BTreeSet<usize>,
    /// Sent, and not acknowledged: stored or not.
    unsure: Vec<usize>,
    /// Answers 503.
    refused: usize,
}

impl Ledger {
    /// What to send next: something new, or one of those that may have failed.
    fn next(&mut self) -> usize {
        let waiting = self.unsure.len();
        if waiting > UNSURE || (waiting > 0 && chance(2) == 0) {
            return self.unsure.swap_remove(chance(waiting));
        }
        self.sent += 1;
        self.sent - 1
    }

    fn refuse(&mut self, number: usize) {
        self.unsure.push(number);
        self.refused += 1;
    }
}

/// The load on one database.
struct Load<'a> {
    shell: &'a Shell,
    key: String,
    inboxes: Vec<String>,
    ledger: Arc<Mutex<Ledger>>,
}

/// Senders that are at it.
#[cfg_attr(
    not(feature = "postgres-tests"),
    allow(
        dead_code,
        reason = "only PostgreSQL goes away and comes back under them"
    )
)]
struct Senders {
    stopping: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Senders {
    /// Waits until all have noticed that the server is gone.
    async fn gone(self) {
        for task in self.tasks {
            task.await.expect("a sender ends well");
        }
    }

    #[cfg(feature = "postgres-tests")]
    async fn stop(self) {
        self.stopping.store(true, Ordering::Relaxed);
        self.gone().await;
    }
}

impl<'a> Load<'a> {
    fn prepare(shell: &'a Shell) -> Self {
        shell.account("Toko Biru");
        Load {
            inboxes: NUMBERS.iter().map(|id| shell.whatsapp(id)).collect(),
            key: shell.key(),
            ledger: Arc::default(),
            shell,
        }
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().expect("no panic inside")
    }

    fn start(&self, server: &Arc<Running>) -> Senders {
        let stopping = Arc::new(AtomicBool::new(false));
        let tasks = (0..SENDERS)
            .map(|_| tokio::spawn(send(self.ledger.clone(), server.clone(), stopping.clone())))
            .collect();
        Senders { stopping, tasks }
    }

    async fn until_refused(&self) {
        let before = self.ledger().refused;
        eventually("updates are refused", async || {
            self.ledger().refused > before + SENDERS
        })
        .await;
    }

    async fn until_acknowledged(&self) {
        let before = self.ledger().acknowledged.len();
        eventually("updates are acknowledged again", async || {
            self.ledger().acknowledged.len() > before + SENDERS
        })
        .await;
    }

    /// That what was acknowledged up to now is there, and nothing twice.
    async fn check_acknowledged(&self) {
        let acknowledged = self.ledger().acknowledged.clone();
        let stored = rows(self.shell).await;
        let once: BTreeSet<_> = stored.iter().map(|(_, id)| id).collect();
        assert_eq!(once.len(), stored.len(), "each is there once");
        let wanted = acknowledged.iter().copied().flat_map(ids);
        let lost: Vec<_> = wanted.filter(|id| !once.contains(id)).collect();
        assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
    }

    /// Delivers everything once more, shuffled, and compares all that is promised of the data.
    #[allow(
        clippy::print_stdout,
        reason = "who runs it by hand wants to know how much it tried"
    )]
    async fn finish(self, server: Running) {
        let sent = self.ledger().sent;
        assert!(sent > 0, "something was sent");
        {
            let mut ledger = self.ledger();
            let (kept, refused) = (ledger.acknowledged.len(), ledger.refused);
            println!("{sent} updates, {kept} acknowledged under faults, {refused} answers 503");
            ledger.unsure = (0..sent).collect();
            ledger.acknowledged.clear();
        }
        let server = Arc::new(server);
        let redelivering: Vec<_> = (0..SENDERS)
            .map(|_| tokio::spawn(redeliver(self.ledger.clone(), server.clone())))
            .collect();
        for sender in redelivering {
            sender.await.expect("a sender ends well");
        }
        let stored = rows(self.shell).await;
        let mut found: Vec<_> = stored.iter().map(|(_, id)| id.clone()).collect();
        found.sort_unstable();
        let mut wanted: Vec<_> = (0..sent).flat_map(ids).collect();
        wanted.sort_unstable();
        assert_eq!(found, wanted, "each is there once, and nothing else");
        let mut counts = BTreeMap::<_, i64>::new();
        for (inbox, _) in &stored {
            *counts.entry(inbox.clone()).or_default() += 1;
        }
        for inbox in &self.inboxes {
            let path = format!("/inboxes/{inbox}");
            let shown = server.get(&path).key(&self.key).send().await.data();
            assert_eq!(shown["messages_count"], counts[inbox]);
        }
        Arc::into_inner(server).expect("nobody sends").stop().await;
        self.shell.done(&["verify"]);
    }
}

/// Delivers until the server is gone or it is told to stop.
async fn send(ledger: Arc<Mutex<Ledger>>, server: Arc<Running>, stopping: Arc<AtomicBool>) {
    let ledger = || ledger.lock().expect("no panic inside");
    while !stopping.load(Ordering::Relaxed) {
        let number = ledger().next();
        let answer = server.update(&numbered(number)).try_send().await;
        match answer {
            Ok(answer) if answer.status == 200 => {
                ledger().acknowledged.insert(number);
            }
            Ok(answer) => {
                answer.assert_status(503);
                ledger().refuse(number);
                sleep(Duration::from_millis(20)).await;
            }
            // The server is gone, and this update may or may not be stored.
            Err(_) => {
                ledger().unsure.push(number);
                return;
            }
        }
    }
}

/// Delivers what is left, in any order.
async fn redeliver(ledger: Arc<Mutex<Ledger>>, server: Arc<Running>) {
    let next = || {
        let mut ledger = ledger.lock().expect("no panic inside");
        let left = ledger.unsure.len();
        (left > 0).then(|| ledger.unsure.swap_remove(chance(left)))
    };
    while let Some(number) = next() {
        server.deliver(&numbered(number)).await.assert_status(200);
    }
}

/// The ids of the one to three messages of an update.
fn ids(number: usize) -> Vec<String> {
    (0..=number % 3)
        .map(|part| format!("wamid.{number:06}.{part}"))
        .collect()
}

/// An update to one of the numbers. Every twentieth is from somebody who has not written before.
fn numbered(number: usize) -> Value {
    let person = match number % 20 {
        0 => 100 + number,
        some => some % 7,
    };
    let from = format!("62811{person}");
    let messages: Vec<_> = ids(number)
        .iter()
        .map(|id| whatsapp::text(&from, id, "Hello"))
        .collect();
    whatsapp::update(NUMBERS[number % NUMBERS.len()], &messages)
}

/// The inbox and the provider's id of every stored message.
async fn rows(shell: &Shell) -> Vec<(String, String)> {
    const ALL: Sql = Sql::same("SELECT inbox_id, provider_id FROM messages");
    let address = shell.url.parse().expect("a good address");
    let db = Database::open(&address, Missing::Fail).await;
    let db = db.expect("the store opens");
    let mut session = db.read().await.expect("the store answers");
    let found = session.query(&ALL, &[], |row| Ok((row.get(0)?, row.get(1)?)));
    let found = found.await.expect("a good statement");
    drop(session);
    db.close().await;
    found
}

/// A number below `bound`, whatever it is this time.
fn chance(bound: usize) -> usize {
    (u64::from_le_bytes(random()) % bound as u64) as usize
}

/// Some time up to so many milliseconds.
fn moment(millis: usize) -> Duration {
    Duration::from_millis(chance(millis) as u64 + 20)
}
