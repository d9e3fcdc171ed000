//! Answers from memory: never older than what was acknowledged, never older than the answer before, and never more
//! memory than was allowed.

use crate::support::{
    Answer, Shell, Store, TestApp,
    live::Stream,
    on_both_stores,
    program::text,
    whatsapp::{hello, text as message, update},
};
use inboxd::{clock::stopwatch, domain::Scope};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

on_both_stores![
    no_answer_is_older_than_the_one_before_it,
    each_change_is_in_the_very_next_answer_whichever_way_it_came,
    another_node_knows_within_a_second,
    a_revoked_key_is_refused_everywhere_within_a_second,
    memory_is_bounded_and_who_was_here_last_stays,
    without_memory_everything_is_read,
    a_clock_that_steps_back_makes_nothing_old,
];

/// How long another node may take on PostgreSQL. On one file there is nothing to wait for.
fn allowed(store: Store) -> Duration {
    match store {
        Store::Sqlite => Duration::ZERO,
        Store::Postgres => Duration::from_secs(1),
    }
}

/// Pages of one list that overlap in different ways.
const URLS: [&str; 6] = [
    "/inboxes",
    "/inboxes?limit=100",
    "/inboxes?limit=2",
    "/inboxes?limit=2&offset=2",
    "/inboxes?type=whatsapp",
    "/inboxes?type=livechat&limit=1",
];

/// What an answer says of an inbox: the number that its name is, and its count. Neither ever falls.
type State = (u64, u64);
type Seen = BTreeMap<String, State>;

fn seen(answer: &Value) -> Seen {
    let inboxes = answer["data"].as_array().expect("a list").iter();
    inboxes
        .map(|inbox| {
            let name = text(&inbox["name"]).parse().expect("a number");
            let count = inbox["messages_count"].as_u64().expect("a count");
            (text(&inbox["id"]), (name, count))
        })
        .collect()
}

/// What writers were told, and when.
#[derive(Default)]
struct Told {
    /// By the node that is read, or by a command: binding at once.
    here: Mutex<Seen>,
    /// By another node: binding after a while.
    there: Mutex<Vec<(Instant, String, State)>>,
    done: AtomicBool,
}

impl Told {
    fn here(&self, inbox: &str, name: u64, count: u64) {
        let mut told = self.here.lock().expect("no panic inside");
        let told = told.entry(inbox.to_owned()).or_default();
        *told = (told.0.max(name), told.1.max(count));
    }

    fn there(&self, inbox: &str, name: u64, count: u64) {
        let told = (stopwatch(), inbox.to_owned(), (name, count));
        self.there.lock().expect("no panic inside").push(told);
    }

    /// What an answer to a request that begins now must know.
    fn binding(&self, store: Store) -> Seen {
        let mut binding = self.here.lock().expect("no panic inside").clone();
        for (at, inbox, (name, count)) in &*self.there.lock().expect("no panic inside") {
            if at.elapsed() >= allowed(store) {
                let told = binding.entry(inbox.clone()).or_default();
                *told = (told.0.max(*name), told.1.max(*count));
            }
        }
        binding
    }
}

/// Asserts that an answer knows at least this much of the inboxes that are in both.
fn assert_not_older(url: &str, answer: &Seen, than: &Seen, what: &str) {
    for (inbox, (name, count)) in answer {
        let (least_name, least_count) = than.get(inbox).copied().unwrap_or_default();
        assert!(
            *name >= least_name && *count >= least_count,
            "{url} says {name}, {count} of {inbox}, and {what} {least_name}, {least_count}"
        );
    }
}

/// Asks different URLs in turn, with `If-None-Match` where it can, until the writers are done.
async fn read(app: Arc<TestApp>, key: String, told: Arc<Told>, store: Store, first: usize) -> u64 {
    let mut known: BTreeMap<&str, (String, Seen)> = BTreeMap::new();
    let mut last = Seen::new();
    let mut asked = 0;
    while !told.done.load(Ordering::Acquire) {
        // Each reader in steps of its own through the same URLs.
        let url = URLS[(first + asked as usize * (first + 1)) % URLS.len()];
        let binding = told.binding(store);
        let mut call = app.get(url).key(&key);
        if let Some((tag, _)) = known.get(url) {
            call = call.header("if-none-match", tag);
        }
        let answer = call.send().await;
        let shown = match answer.status.as_u16() {
            304 => known[url].1.clone(),
            _ => seen(&whole(&answer)),
        };
        known.insert(url, (answer.header("etag").to_owned(), shown.clone()));
        assert_not_older(url, &shown, &last, "the answer before said");
        assert_not_older(url, &shown, &binding, "it was acknowledged that");
        last.extend(shown);
        asked += 1;
    }
    asked
}

fn whole(answer: &Answer) -> Value {
    answer.assert_status(200);
    answer.json()
}

pub(crate) fn shell(app: &TestApp) -> Shell {
    Shell::at(&app.place().url())
}

/// The property: whatever writers and readers do at once, for every reader the answers only go forward, and each knows
/// what was acknowledged before it was asked for.
async fn no_answer_is_older_than_the_one_before_it(store: Store) {
    const CHANGES: u64 = 25;
    let app = TestApp::start(store).await;
    let other = Arc::new(app.another_node().await);
    let key = app.key(&[Scope::Read, Scope::Write]).await;
    let body = |name: &str| json!({"name": name, "type": "livechat"});
    let renamed = app.inbox(body("0")).await.to_string();
    let commanded = app.inbox(body("0")).await.to_string();
    let elsewhere = app.inbox(body("0")).await.to_string();
    let mut delivered = Vec::new();
    for number in ["1001", "1002"] {
        let mut body = crate::support::whatsapp_body(number);
        body["name"] = json!("0");
        delivered.push(app.inbox(body).await.to_string());
    }
    let (app, told) = (Arc::new(app), Arc::new(Told::default()));

    let readers: Vec<_> = (0..3)
        .map(|first| tokio::spawn(read(app.clone(), key.clone(), told.clone(), store, first)))
        .collect();
    let rename = |app: Arc<TestApp>, inbox: String, here: bool| {
        let (key, told) = (key.clone(), told.clone());
        tokio::spawn(async move {
            for name in 1..=CHANGES {
                let body = json!({"name": name.to_string()});
                let path = format!("/inboxes/{inbox}");
                let changed = app.patch(&path).key(&key).json(&body).send().await;
                changed.assert_status(200);
                match here {
                    true => told.here(&inbox, name, 0),
                    false => told.there(&inbox, name, 0),
                }
            }
        })
    };
    let deliver = |app: Arc<TestApp>, number: &'static str, inbox: String, here: bool| {
        let told = told.clone();
        tokio::spawn(async move {
            for count in 1..=CHANGES {
                let message = message("628111", &format!("wamid.{number}.{count}"), "Hello");
                let answer = app.deliver(&update(number, &[message])).await;
                answer.assert_status(200);
                match here {
                    true => told.here(&inbox, 0, count),
                    false => told.there(&inbox, 0, count),
                }
            }
        })
    };
    let mut writers = vec![
        rename(app.clone(), renamed, true),
        rename(other.clone(), elsewhere, false),
        deliver(app.clone(), "1001", delivered[0].clone(), true),
        deliver(other.clone(), "1002", delivered[1].clone(), false),
    ];
    let (shell, words) = (shell(&app), told.clone());
    writers.push(tokio::spawn(async move {
        for name in 1..=3 {
            let number = name.to_string();
            let update = ["inbox", "update", &commanded, "--name", &number];
            shell.run_async(&update).await.assert_code(0);
            words.here(&commanded, name, 0);
        }
    }));
    for writer in writers {
        writer.await.expect("a writer ends well");
    }
    told.done.store(true, Ordering::Release);
    for reader in readers {
        assert!(reader.await.expect("a reader ends well") > 0);
    }
    app.verify().await;
}

/// What every URL shows.
async fn pages(app: &TestApp, key: &str) -> Vec<Value> {
    let mut pages = Vec::new();
    for url in URLS {
        pages.push(whole(&app.get(url).key(key).send().await));
    }
    pages
}

async fn each_change_is_in_the_very_next_answer_whichever_way_it_came(store: Store) {
    let app = TestApp::start(store).await;
    // One that keeps nothing in memory.
    let oracle = app.another_node_with(0).await;
    let key = app.key(&[Scope::Read, Scope::Write]).await;
    let shell = shell(&app);
    app.whatsapp("1001").await;
    let create = json!({"name": "Website", "type": "livechat"});
    let made = app.post("/inboxes").key(&key).json(&create).send().await;
    let path = format!("/inboxes/{}", text(&made.data()["id"]));
    let mut by_command = String::new();
    for step in 0..8 {
        // Twice, so that they are in memory.
        pages(&app, &key).await;
        pages(&app, &key).await;
        match step {
            0 => app.deliver(&hello("wamid.1")).await.assert_status(200),
            1 => {
                let body = json!({"name": "Chat", "status": "inactive"});
                let changed = app.patch(&path).key(&key).json(&body).send().await;
                changed.assert_status(200);
            }
            2 => {
                let create = ["inbox", "create", "--type", "livechat", "--name", "Shop"];
                let shell = &shell;
                let made = shell.run_async(&[&create[..], &["--json"]].concat()).await;
                by_command = text(&made.json()["id"]);
            }
            3 => {
                let update = ["inbox", "update", &by_command, "--name", "Corner shop"];
                shell.run_async(&update).await.assert_code(0);
            }
            4 => {
                let delete = ["inbox", "delete", &by_command];
                shell.run_async(&delete).await.assert_code(0);
            }
            5 => app.deliver(&hello("wamid.2")).await.assert_status(200),
            6 => {
                let repair = shell.run_async(&["verify", "--repair"]).await;
                repair.assert_code(0);
            }
            _ => {
                let deleted = app.delete(&path).key(&key).send().await;
                deleted.assert_status(204);
            }
        }
        let answers = pages(&app, &key).await;
        assert_eq!(answers, pages(&oracle, &key).await, "step {step}");
    }
    // On PostgreSQL what was just read is recalled once an echo has come.
    crate::support::eventually("memory is in use", async || {
        pages(&app, &key).await;
        app.context.cache.figures().hits > 0
    })
    .await;
}

/// Asks until the answer is the wanted one, and no longer than another node may take.
pub(crate) async fn within(store: Store, what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let acknowledged = stopwatch();
    loop {
        let asked = acknowledged.elapsed();
        if holds().await {
            return;
        }
        assert!(asked < allowed(store), "after {asked:?} {what}");
    }
}

async fn another_node_knows_within_a_second(store: Store) {
    let app = TestApp::start(store).await;
    let other = app.another_node().await;
    let key = app.key(&[Scope::Read, Scope::Write]).await;
    let inbox = app.whatsapp("1001").await;
    for round in 1..=5 {
        whole(&other.get("/inboxes").key(&key).send().await);
        let delivered = app.deliver(&hello(&format!("wamid.{round}"))).await;
        delivered.assert_status(200);
        within(store, "a message is not counted", async || {
            let listed = other.get("/inboxes").key(&key).send().await;
            whole(&listed)["data"][0]["messages_count"] == round
        })
        .await;
        let name = format!("Support {round}");
        let path = format!("/inboxes/{inbox}");
        let body = json!({"name": name});
        let changed = app.patch(&path).key(&key).json(&body).send().await;
        changed.assert_status(200);
        within(store, "the old name is shown", async || {
            let listed = other.get("/inboxes").key(&key).send().await;
            whole(&listed)["data"][0]["name"] == name
        })
        .await;
    }
}

async fn a_revoked_key_is_refused_everywhere_within_a_second(store: Store) {
    let app = TestApp::start(store).await;
    let other = app.another_node().await;
    let shell = shell(&app);
    let all = app.key(&[Scope::Read]).await;
    for by_command in [false, true] {
        let create = ["key", "create", "--name", "A", "--json"];
        let made = shell.run_async(&create).await.json();
        let (id, key) = (text(&made["id"]), text(&made["key"]));
        for node in [&app, &other] {
            for key in [&key, &all] {
                whole(&node.get("/inboxes").key(key).send().await);
            }
        }
        if by_command {
            shell
                .run_async(&["key", "revoke", &id])
                .await
                .assert_code(0);
            let answer = other.get("/inboxes").key(&key).send().await;
            answer.assert_unauthorized();
        } else {
            let id = inboxd::id::KeyId::from_text(&id);
            let revoked = inboxd::ops::keys::revoke(&app.context, &app.account, &id).await;
            revoked.expect("revoked");
        }
        let answer = app.get("/inboxes").key(&key).send().await;
        answer.assert_unauthorized();
        within(store, "a revoked key is let in", async || {
            other.get("/inboxes").key(&key).send().await.status == 401
        })
        .await;
        whole(&app.get("/inboxes").key(&all).send().await);
    }
}

async fn memory_is_bounded_and_who_was_here_last_stays(store: Store) {
    const ROOM: u64 = 64 * 1024;
    const ACCOUNTS: usize = 60;
    let app = TestApp::start(store).await;
    let small = app.another_node_with(ROOM).await;
    let mut keys = Vec::new();
    for number in 0..ACCOUNTS {
        let account = app.another_account().await;
        for part in 0..8 {
            let body = json!({"name": format!("{number}.{part}"), "type": "livechat"});
            app.inbox_of(&account, body).await;
        }
        keys.push(app.key_of(&account, &[Scope::Read]).await);
    }
    // On PostgreSQL nothing is kept before the others are heard.
    crate::support::eventually("something is kept", async || {
        small.get("/inboxes").key(&keys[0]).send().await;
        small.context.cache.figures().pages > 0
    })
    .await;
    let list = async |number: usize| {
        let listed = small.get("/inboxes").key(&keys[number]).send().await;
        assert_eq!(whole(&listed)["data"][7]["name"], format!("{number}.7"));
    };
    for number in 0..ACCOUNTS {
        list(number).await;
        let figures = small.context.cache.figures();
        assert!(figures.bytes <= ROOM, "{figures:?}");
    }
    let figures = small.context.cache.figures();
    assert!(figures.bytes > ROOM / 2, "{figures:?}");
    let fit = figures.pages as usize;
    assert!(fit > 2 && fit < ACCOUNTS - 2, "{figures:?}");
    let hits = async || small.context.cache.figures().hits;
    // The last are still there, and the first have left.
    let before = hits().await;
    list(ACCOUNTS - 1).await;
    list(ACCOUNTS - 2).await;
    let after = hits().await;
    assert_eq!(after, before + 2);
    list(0).await;
    list(1).await;
    assert_eq!(hits().await, after);
    // Who is here again and again stays, however many come meanwhile.
    for number in 2..ACCOUNTS {
        list(number).await;
        let before = hits().await;
        list(0).await;
        assert_eq!(hits().await, before + 1, "after {number} others");
    }
}

async fn without_memory_everything_is_read(store: Store) {
    let app = TestApp::start(store).await;
    let bare = app.another_node_with(0).await;
    let key = app.key(&[Scope::Read, Scope::Write]).await;
    app.whatsapp("1001").await;
    for count in 1..=5 {
        let node = [&app, &bare][count % 2];
        let delivered = node.deliver(&hello(&format!("wamid.{count}"))).await;
        delivered.assert_status(200);
        let listed = bare.get("/inboxes").key(&key).send().await;
        assert_eq!(whole(&listed)["data"][0]["messages_count"], count);
    }
    let figures = bare.context.cache.figures();
    assert_eq!(figures.hits, 0, "{figures:?}");
    assert_eq!(figures.bytes, 0, "{figures:?}");
}

/// Ids go on ascending, so that what is told live, caught up with and listed stays in order.
async fn a_clock_that_steps_back_makes_nothing_old(store: Store) {
    let app = TestApp::start(store).await;
    let key = app.key(&[Scope::Read, Scope::Write]).await;
    app.whatsapp("1001").await;
    let mut live = Stream::open(app.address, &key, None).await;
    let mut told = Vec::new();
    for count in 1..=4 {
        let delivered = app.deliver(&hello(&format!("wamid.{count}"))).await;
        delivered.assert_status(200);
        let listed = app.get("/inboxes").key(&key).send().await;
        assert_eq!(whole(&listed)["data"][0]["messages_count"], count);
        loop {
            let (name, id, message) = live.next().await.expect("an event");
            if name == "message.created" {
                told.push((id, message["id"].clone()));
                break;
            }
        }
        app.context.clock.advance(-3600);
    }
    assert!(told.is_sorted_by_key(|(id, _)| id.clone()));
    let mut again = Stream::open(app.address, &key, Some(&told[0].0)).await;
    for (id, message) in &told[1..] {
        let (known, data) = loop {
            let (_, known, data) = again.next().await.expect("an event");
            // What came before may come again.
            if known > told[0].0 {
                break (known, data);
            }
        };
        assert_eq!((&known, &data["id"]), (id, message));
    }
    app.verify().await;
}
