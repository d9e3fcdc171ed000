//! `GET /inboxes` of an account with many inboxes: every page is right, wherever it is, while inboxes come, go and change.

use crate::support::{
    Store, TestApp, eventually, on_both_stores,
    whatsapp::{text, update},
};
use inboxd::{
    clock::stopwatch,
    domain::{Channel, Inbox, InboxStatus, Scope},
    id::{EventId, InboxId},
    store::inboxes::{self, Details},
};
use serde_json::{Value, json};
use std::time::Duration;

on_both_stores![
    pages_of_a_long_list_are_right_wherever_they_are,
    pages_of_a_long_list_follow_every_change,
    pages_of_a_long_list_are_cached_until_something_changes,
    another_node_knows_of_a_change_to_a_long_list,
    nothing_older_follows_a_newer_answer_about_a_long_list,
    a_walk_along_a_long_list_leaves_room_for_others,
];

/// How long another node may take on PostgreSQL. On one file there is nothing to wait for.
fn allowed(store: Store) -> Duration {
    match store {
        Store::Sqlite => Duration::ZERO,
        Store::Postgres => Duration::from_secs(1),
    }
}

const TYPES: [Channel; 4] = [
    Channel::Whatsapp,
    Channel::Instagram,
    Channel::Livechat,
    Channel::Telegram,
];

/// A server with an account that has 700 inboxes: one in four of each type, one in three proved.
struct Long {
    app: TestApp,
    key: String,
}

impl Long {
    async fn start(store: Store) -> Self {
        let app = TestApp::start(store).await;
        let key = app.key(&[Scope::Read, Scope::Write]).await;
        let mut session = app.context.db.write().await.expect("a session");
        for number in 0..700 {
            let now = app.context.clock.now();
            let details = Details {
                inbox: Inbox {
                    id: InboxId::new(&app.context.clock),
                    name: format!("Inbox {number}"),
                    channel: TYPES[number % 4],
                    status: InboxStatus::Pending,
                    phone_number: None,
                    instagram_account_id: None,
                    created_at: now + number as i64 / 10,
                    messages_count: 0,
                },
                settings: "{}".to_owned(),
                proved_at: number.is_multiple_of(3).then_some(now),
            };
            let change = EventId::new(&app.context.clock);
            let inserted = inboxes::insert(&mut session, &app.account, &details, &change).await;
            inserted.expect("a new inbox");
        }
        session.commit().await.expect("a commit");
        Long { app, key }
    }

    async fn page(&self, query: &str) -> Value {
        let answer = self.app.get(&format!("/inboxes?{query}")).key(&self.key);
        let answer = answer.send().await;
        answer.assert_success();
        answer.json()
    }

    /// Asks a node for these pages until all of them are cached.
    async fn are_cached(&self, node: &TestApp, queries: &[&str]) {
        eventually("the pages are cached", async || {
            let before = node.context.cache.figures();
            for query in queries {
                let page = node.get(&format!("/inboxes?{query}")).key(&self.key);
                page.send().await.assert_success();
            }
            let after = node.context.cache.figures();
            after.misses == before.misses
        })
        .await;
    }

    /// The whole list under a filter, by pages of 100.
    async fn whole(&self, filter: &str) -> Vec<Value> {
        let mut all = Vec::new();
        loop {
            let query = format!("{filter}limit=100&offset={}", all.len());
            let page = self.page(&query).await;
            let data = page["data"].as_array().expect("a list").clone();
            if data.is_empty() {
                assert_eq!(page["pagination"]["total"], all.len());
                return all;
            }
            all.extend(data);
        }
    }

    /// That pages anywhere are pieces of what all of them together are, asked twice: once read, once remembered.
    async fn check(&self) {
        let all = self.whole("").await;
        for (filter, wanted) in [
            ("", None),
            ("type=telegram&", Some(("type", "telegram"))),
            ("status=pending&", Some(("status", "pending"))),
            ("status=inactive&", Some(("status", "inactive"))),
        ] {
            let matching: Vec<_> = all
                .iter()
                .filter(|inbox| wanted.is_none_or(|(field, value)| inbox[field] == value))
                .collect();
            for (limit, offset) in [
                (1, 0),
                (50, 63),
                (50, 64),
                (7, 65),
                (100, 130),
                (3, 699),
                (9, 5000),
            ] {
                let query = format!("{filter}limit={limit}&offset={offset}");
                let expected: Vec<_> = matching.iter().skip(offset).take(limit).collect();
                for _ in 0..2 {
                    let page = self.page(&query).await;
                    assert_eq!(page["data"], json!(expected), "{query}");
                    assert_eq!(page["pagination"]["total"], matching.len(), "{query}");
                }
            }
        }
        let both = "type=whatsapp&status=active&limit=20&offset=10";
        let expected = all
            .iter()
            .filter(|inbox| inbox["type"] == "whatsapp" && inbox["status"] == "active");
        let expected: Vec<_> = expected.skip(10).take(20).collect();
        assert_eq!(self.page(both).await["data"], json!(expected));
    }
}

async fn pages_of_a_long_list_are_right_wherever_they_are(store: Store) {
    let long = Long::start(store).await;
    assert_eq!(long.whole("").await.len(), 700);
    assert_eq!(long.whole("type=livechat&").await.len(), 175);
    long.check().await;
    long.app.stop().await;
}

async fn pages_of_a_long_list_follow_every_change(store: Store) {
    let long = Long::start(store).await;
    long.check().await;
    let id = async |offset: usize| {
        let page = long.page(&format!("limit=1&offset={offset}")).await;
        page["data"][0]["id"].as_str().expect("an id").to_owned()
    };
    let (early, late) = (id(3).await, id(640).await);

    let gone = long.app.delete(&format!("/inboxes/{early}")).key(&long.key);
    gone.send().await.assert_status(204);
    long.check().await;

    let off = json!({"status": "inactive"});
    let off = long.app.patch(&format!("/inboxes/{late}")).json(&off);
    off.key(&long.key).send().await.assert_status(200);
    long.check().await;

    let added = long.app.whatsapp("42").await;
    long.check().await;

    let hello = update("42", &[text("628111", "wamid.1", "Hello")]);
    long.app.deliver(&hello).await.assert_status(200);
    long.check().await;
    let all = long.whole("").await;
    let counted = all.iter().find(|inbox| inbox["id"] == added.as_str());
    let counted = counted.expect("the new one");
    assert_eq!(counted["messages_count"], 1);
    assert_eq!(counted["status"], "active");
    long.app.stop().await;
}

const PAGES: [&str; 4] = [
    "limit=100&offset=600",
    "limit=50&offset=64",
    "limit=100&offset=650",
    "type=whatsapp&limit=20&offset=165",
];

async fn pages_of_a_long_list_are_cached_until_something_changes(store: Store) {
    let long = Long::start(store).await;
    let added = long.app.whatsapp("42").await;
    let listed = long.whole("type=whatsapp&").await;
    let place = listed.iter().position(|one| one["id"] == added.as_str());
    let place = place.expect("it is listed");
    for count in 1..=3 {
        long.are_cached(&long.app, &PAGES).await;
        let hello = update("42", &[text("628111", &format!("wamid.{count}"), "Hello")]);
        long.app.deliver(&hello).await.assert_status(200);
        for limit in 1..=2 {
            let query = format!("type=whatsapp&limit={limit}&offset={place}");
            let page = long.page(&query).await;
            assert_eq!(page["data"][0]["id"], added.as_str());
            assert_eq!(page["data"][0]["messages_count"], count);
        }
    }
    long.check().await;
    long.app.stop().await;
}

async fn another_node_knows_of_a_change_to_a_long_list(store: Store) {
    let long = Long::start(store).await;
    let other = long.app.another_node().await;
    let last = long.page("limit=1&offset=699").await["data"][0]["id"].clone();
    let path = format!("/inboxes/{}", last.as_str().expect("an id"));
    for round in 0..3 {
        long.are_cached(&other, &PAGES).await;
        let name = format!("Renamed {round}");
        let body = json!({"name": name});
        let changed = long.app.patch(&path).key(&long.key).json(&body);
        changed.send().await.assert_status(200);
        let acknowledged = stopwatch();
        loop {
            let within = acknowledged.elapsed();
            let page = format!("/inboxes?{}", PAGES[0]);
            let page = other.get(&page).key(&long.key).send().await.json();
            let shown = page["data"].as_array().expect("a list").last().cloned();
            if shown.expect("the last one")["name"] == name {
                break;
            }
            assert!(within < allowed(store), "after {within:?} the old name");
        }
    }
    long.app.stop().await;
}

async fn nothing_older_follows_a_newer_answer_about_a_long_list(store: Store) {
    let long = Long::start(store).await;
    let other = long.app.another_node().await;
    let last = long.page("limit=1&offset=699").await["data"][0]["id"].clone();
    let path = format!("/inboxes/{}", last.as_str().expect("an id"));
    for round in 0..5 {
        long.are_cached(&other, &PAGES).await;
        let name = format!("Renamed {round}");
        let body = json!({"name": name});
        let changed = long.app.patch(&path).key(&long.key).json(&body);
        changed.send().await.assert_status(200);
        // A page that is not cached, or one inbox: both come from the store. Whatever is heard of the change by now, no
        // cached page is older after that.
        if round % 2 == 0 {
            let one = other.get(&path).key(&long.key).send().await.json();
            assert_eq!(one["data"]["name"], name);
        } else {
            let page = format!("/inboxes?limit=1{round}&offset=690");
            let page = other.get(&page).key(&long.key).send().await.json();
            let shown = page["data"].as_array().expect("a list").last().cloned();
            assert_eq!(shown.expect("the last one")["name"], name);
        }
        for query in [PAGES[1], PAGES[0], PAGES[2], PAGES[0], PAGES[2]] {
            let page = format!("/inboxes?{query}");
            let page = other.get(&page).key(&long.key).send().await.json();
            let shown = page["data"].as_array().expect("a list").last().cloned();
            let shown = shown.expect("a row");
            if shown["id"] == last {
                assert_eq!(shown["name"], name, "{query}");
            }
        }
    }
    long.app.stop().await;
}

async fn a_walk_along_a_long_list_leaves_room_for_others(store: Store) {
    const ROOM: u64 = 512 * 1024;
    let long = Long::start(store).await;
    let small = long.app.another_node_with(ROOM).await;
    let account = long.app.another_account().await;
    let body = json!({"name": "Website", "type": "livechat"});
    long.app.inbox_of(&account, body).await;
    let neighbour = long.app.key_of(&account, &[Scope::Read]).await;
    let is_hit = async || {
        let before = small.context.cache.figures().hits;
        let page = small.get("/inboxes").key(&neighbour).send().await;
        page.assert_success();
        small.context.cache.figures().hits > before
    };
    eventually("the neighbour's page is cached", is_hit).await;
    for offset in 0..300 {
        let page = format!("/inboxes?limit=100&offset={offset}");
        let page = small.get(&page).key(&long.key).send().await;
        page.assert_success();
    }
    let figures = small.context.cache.figures();
    assert!(figures.bytes <= ROOM, "{figures:?}");
    assert!(is_hit().await, "{figures:?}");
    long.app.stop().await;
}
