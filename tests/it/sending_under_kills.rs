//! The promise of the outbox under load: many clients send while the server is killed, and the provider answers, is late,
//! breaks off or refuses. At the end the provider has each message at most once, each conversation's in order, and whatever
//! was accepted has come to an end.
//!
//! The long form is ignored; CONTRIBUTING.md says how to run it.

use crate::support::{
    Running, Shell, Store,
    counting::{Counting, Does},
    eventually, on_both_stores,
    program::text,
    whatsapp,
};
use inboxd::clock::random;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{task::JoinSet, time::sleep};

on_both_stores![
    what_was_accepted_is_sent_once_however_often_the_server_is_killed,
    a_provider_that_is_away_for_a_while_gets_each_message_once,
];

/// Clients that send at once, and conversations.
const CLIENTS: usize = 6;
const CONVERSATIONS: usize = 12;

async fn what_was_accepted_is_sent_once_however_often_the_server_is_killed(store: Store) {
    killed(store, 3).await;
}

#[tokio::test]
#[ignore = "takes some minutes: see CONTRIBUTING.md"]
async fn twenty_kills_while_sending_on_sqlite() {
    killed(Store::Sqlite, 20).await;
}

#[cfg(feature = "postgres-tests")]
#[tokio::test]
#[ignore = "takes some minutes: see CONTRIBUTING.md"]
async fn twenty_kills_while_sending_on_postgres() {
    killed(Store::Postgres, 20).await;
}

#[cfg(feature = "postgres-tests")]
#[tokio::test]
async fn a_postgres_that_is_stopped_and_started_while_messages_are_sent() {
    let postgres = crate::support::Postgres::start();
    let load = Load::begin(Shell::on(&postgres)).await;
    let server = Arc::new(load.serve());
    let clients = load.start(&server);
    for _ in 0..2 {
        let before = load.accepted();
        eventually("messages are accepted", async || {
            load.accepted() > before + 20
        })
        .await;
        postgres.halt();
        sleep(Duration::from_millis(500)).await;
        postgres.resume();
    }
    let before = load.accepted();
    eventually("messages are accepted again", async || {
        load.accepted() > before
    })
    .await;
    load.stop(clients).await;
    load.finish(server).await;
}

async fn a_provider_that_is_away_for_a_while_gets_each_message_once(store: Store) {
    away(store, Duration::from_secs(3)).await;
}

#[tokio::test]
#[ignore = "takes some minutes: see CONTRIBUTING.md"]
async fn a_provider_that_is_away_for_a_minute() {
    away(Store::Sqlite, Duration::from_secs(60)).await;
}

async fn away(store: Store, time: Duration) {
    let load = Load::begin(Shell::ready(store).await).await;
    let server = Arc::new(load.serve());
    let clients = load.start(&server);
    eventually("messages are sent", async || {
        load.provider.took().len() > 20
    })
    .await;
    load.provider.leave();
    sleep(time).await;
    let (took, accepted) = (load.provider.took().len(), load.accepted());
    assert!(accepted > took, "{accepted} accepted, {took} sent");
    load.provider.come_back().await;
    load.provider.does(|_, _| whim());
    eventually("messages are sent again", async || {
        load.provider.took().len() > took
    })
    .await;
    load.stop(clients).await;
    load.finish(server).await;
}

async fn killed(store: Store, times: usize) {
    let load = Load::begin(Shell::ready(store).await).await;
    // Another node shares what is to be sent, and is never killed.
    let neighbour = (store != Store::Sqlite).then(|| load.serve());
    for _ in 0..times {
        let server = Arc::new(load.serve());
        let clients = load.start(&server);
        let [moment] = random::<1>();
        sleep(Duration::from_millis(400 + 4 * u64::from(moment))).await;
        server.signal("KILL");
        load.stop(clients).await;
    }
    load.finish(Arc::new(load.serve())).await;
    if let Some(neighbour) = neighbour {
        neighbour.stop().await;
    }
}

/// What is sent, and to whom.
struct Load {
    shell: Shell,
    provider: Arc<Counting>,
    shared: Arc<Shared>,
}

/// What the clients share.
struct Shared {
    key: String,
    inbox: String,
    next: AtomicUsize,
    /// Ids of the messages that were accepted, and their texts.
    accepted: Mutex<BTreeMap<String, String>>,
    stopped: AtomicBool,
}

impl Load {
    async fn begin(shell: Shell) -> Self {
        let provider = Arc::new(Counting::start().await);
        provider.does(|_, _| whim());
        shell.account("Toko Biru");
        let inbox = shell.whatsapp("1001");
        shell.done(&["inbox", "update", &inbox, "--access-token", "EAAG"]);
        let create = ["key", "create", "--name", "a key", "--scope", "read,send"];
        let shared = Arc::new(Shared {
            key: text(&shell.json(&create)["key"]),
            inbox,
            next: AtomicUsize::new(0),
            accepted: Mutex::default(),
            stopped: AtomicBool::new(false),
        });
        Load {
            shell,
            provider,
            shared,
        }
    }

    fn serve(&self) -> Running {
        let url = self.provider.url();
        let arguments = ["serve", "--listen", "127.0.0.1:0", "--graph-api-url", &url];
        self.shell.start(self.shell.command(&arguments))
    }

    /// How many messages were accepted.
    fn accepted(&self) -> usize {
        self.shared.accepted.lock().unwrap().len()
    }

    fn start(&self, server: &Arc<Running>) -> JoinSet<()> {
        self.shared.stopped.store(false, Ordering::SeqCst);
        let mut clients = JoinSet::new();
        (0..CLIENTS).for_each(|client| {
            clients.spawn(send(self.shared.clone(), server.clone(), client));
        });
        let (shared, provider) = (self.shared.clone(), self.provider.clone());
        clients.spawn(report(shared, server.clone(), provider));
        clients
    }

    async fn stop(&self, mut clients: JoinSet<()>) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        while let Some(ended) = clients.join_next().await {
            ended.expect("no panic inside");
        }
    }

    /// Waits until all messages have come to an end, and looks at what the provider got.
    async fn finish(&self, server: Arc<Running>) {
        self.provider.does(|_, _| Does::Take);
        let ended = all_ended(&self.shared, &server).await;
        let seen = self.seen();
        let mut sent = 0;
        for (words, status) in &ended {
            let is_there = seen.contains(words);
            match status.as_str() {
                "sent" | "delivered" | "read" => {
                    assert!(is_there, "{words} is {status}, and nobody has it");
                    sent += 1;
                }
                "unknown" => {}
                other => panic!("{words} is {other}"),
            }
        }
        assert!(sent > ended.len() / 2, "{sent} of {} arrived", ended.len());
        let server = Arc::into_inner(server).expect("nobody sends");
        server.stop().await;
        let verified = self.shell.json(&["verify"]);
        assert_eq!(verified["ok"], true, "{verified}");
    }

    /// What the provider took: each once, and in order.
    fn seen(&self) -> BTreeSet<String> {
        let mut seen = BTreeSet::new();
        let mut last: BTreeMap<String, usize> = BTreeMap::new();
        for message in self.provider.took() {
            let words = message.text();
            assert!(seen.insert(words.clone()), "twice: {words}");
            let number: usize = words.parse().expect("a number");
            let to = text(&message.body["to"]);
            let before = last.insert(to, number);
            assert!(before < Some(number), "{before:?} before {number}");
        }
        seen
    }
}

/// What the provider does this time.
fn whim() -> Does {
    let [number] = random::<1>();
    match number {
        0..150 => Does::Take,
        150..190 => Does::TakeLate(Duration::from_millis(100)),
        190..205 => Does::TakeAndCut,
        205..215 => Does::TakeAndBreak,
        215..225 => Does::Cut,
        _ => Does::Answer(
            400,
            json!({"error": {"code": 131_016, "message": "Service unavailable"}}),
        ),
    }
}

/// Sends one message after the other until the server is gone. Each client has conversations of its own, so that the order
/// in which its messages are accepted is known.
async fn send(load: Arc<Shared>, server: Arc<Running>, client: usize) {
    while !load.stopped.load(Ordering::SeqCst) {
        let number = load.next.fetch_add(1, Ordering::SeqCst);
        let mine = CONVERSATIONS / CLIENTS;
        let to = format!("+62899900{:03}", client * mine + number % mine);
        let words = number.to_string();
        let body =
            json!({"inbox_id": load.inbox, "to": to, "type": "text", "content": {"text": words}});
        let call = server.post("/messages").key(&load.key).json(&body);
        match call.try_send().await {
            Ok(answer) if answer.status == 201 => {
                let id = text(&answer.data()["id"]);
                load.accepted.lock().unwrap().insert(id, words);
            }
            Ok(answer) => assert_eq!(answer.status, 503, "{answer:?}"),
            // It may be accepted or not.
            Err(_) => return,
        }
    }
}

/// Reports statuses of what the provider took, some of them twice, some before the answer, some never.
async fn report(load: Arc<Shared>, server: Arc<Running>, provider: Arc<Counting>) {
    let mut at = provider.took().len();
    while !load.stopped.load(Ordering::SeqCst) {
        let took = provider.took();
        for message in &took[at..] {
            let [number] = random::<1>();
            let status = json!([{"id": message.id, "status": "delivered", "timestamp": "1736928005", "recipient_id": "6",
                "biz_opaque_callback_data": message.body["biz_opaque_callback_data"]}]);
            let update = whatsapp::value("1001", "statuses", status);
            for _ in 0..number % 3 {
                if server.update(&update).try_send().await.is_err() {
                    return;
                }
            }
        }
        at = took.len();
        sleep(Duration::from_millis(5)).await;
    }
}

/// Waits until nothing waits and nothing is under way. Returns the text and the status of each accepted message.
async fn all_ended(load: &Shared, server: &Running) -> Vec<(String, String)> {
    let accepted = load.accepted.lock().unwrap().clone();
    let mut ended = Vec::new();
    for (id, words) in accepted {
        let mut shown = Value::Null;
        let path = format!("/messages/{id}");
        eventually(&format!("{words} has ended"), async || {
            shown = server.get(&path).key(&load.key).send().await.data();
            shown["status"] != "queued"
        })
        .await;
        ended.push((words, text(&shown["status"])));
    }
    ended
}
