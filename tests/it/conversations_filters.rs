//! The filters and orders of `GET /conversations`: each row exactly once, and no page costs more than its 2,000 rows.

use crate::support::{START, Store, TestApp, on_both_stores, program::text, whatsapp};
use db::Sql;
use inboxd::{clock::rfc3339, domain::Scope};
use serde_json::Value;
use std::collections::BTreeSet;

on_both_stores![
    a_filter_that_fits_nothing_ends_its_pages_early,
    all_pages_have_each_conversation_that_fits_once,
    those_that_wait_longest_come_first,
    filters_narrow_each_other,
    each_wrong_parameter_is_named,
];

const MANY: usize = 5000;

struct Lists {
    app: TestApp,
    key: String,
}

impl Lists {
    async fn start(store: Store) -> Self {
        let app = TestApp::start(store).await;
        app.whatsapp("1001").await;
        let key = app.key(&[Scope::Read, Scope::Send]).await;
        Lists { app, key }
    }

    /// Somebody writes, so many seconds after the start.
    async fn writes(&self, from: &str, seconds: i64) {
        let mut message = whatsapp::text(from, &format!("wamid.{from}.{seconds}"), "hi");
        message["timestamp"] = (START + seconds).to_string().into();
        let update = whatsapp::update("1001", &[message]);
        self.app.deliver(&update).await.assert_status(200);
    }

    /// Many conversations. Of every thousandth something is not delivered; of every other one something is unread and waits.
    async fn many(&self) {
        self.writes("628111", 0).await;
        let numbers = "WITH RECURSIVE numbers(n) AS (SELECT CAST(1 AS BIGINT) UNION ALL SELECT n + 1 FROM numbers WHERE n < 5000)";
        let rows = [
            "INSERT INTO contacts (account_id, id, channel, provider_id, is_group, created_at)
             NUMBERS SELECT v.account_id, 'contact_n' || CAST(10000 + n AS TEXT), 'whatsapp', CAST(n AS TEXT), 0, n
             FROM numbers CROSS JOIN (SELECT account_id FROM conversations LIMIT 1) AS v",
            "INSERT INTO conversations (account_id, id, inbox_id, contact_id, status, created_at, updated_at, last_message_at,
                waiting_since, unread_count, undelivered)
             NUMBERS SELECT v.account_id, 'conv_n' || CAST(10000 + n AS TEXT), v.inbox_id, 'contact_n' || CAST(10000 + n AS TEXT),
                CASE WHEN n % 3 = 0 THEN 'resolved' ELSE 'open' END, n, n, n % 100, CASE WHEN n % 2 = 0 THEN n % 50 END, n % 2,
                CASE WHEN n % 1000 = 0 THEN 1 ELSE 0 END
             FROM numbers CROSS JOIN (SELECT account_id, inbox_id FROM conversations LIMIT 1) AS v",
        ];
        let mut session = self.app.context.db.write().await.expect("a session");
        for insert in rows {
            let text = insert.replace("NUMBERS", numbers);
            session.batch(&Sql::same(text.leak())).await.expect("rows");
        }
        session.commit().await.expect("committed");
    }

    async fn page(&self, query: &str) -> Value {
        let path = format!("/conversations?{query}");
        let answer = self.app.get(&path).key(&self.key).send().await;
        answer.assert_status(200);
        answer.json()
    }

    /// The ids on all pages, and how many pages there were.
    async fn all(&self, query: &str) -> (Vec<String>, usize) {
        let (mut ids, mut pages, mut next) = (Vec::new(), 0, String::new());
        loop {
            let page = self.page(&format!("{query}&limit=100{next}")).await;
            let rows = page["data"].as_array().expect("a list").iter();
            ids.extend(rows.map(|one| text(&one["id"])));
            pages += 1;
            match page["pagination"]["next_cursor"].as_str() {
                Some(cursor) => next = format!("&cursor={cursor}"),
                None => return (ids, pages),
            }
        }
    }
}

async fn a_filter_that_fits_nothing_ends_its_pages_early(store: Store) {
    let lists = Lists::start(store).await;
    lists.many().await;
    let inbox = text(&lists.page("limit=1").await["data"][0]["inbox_id"]);
    let never = "updated_since=2099-01-01T00:00:00Z";
    for query in [
        never.to_owned(),
        format!("{never}&sort=latest"),
        format!("{never}&inbox_id={inbox}"),
        format!("{never}&inbox_id={inbox}&sort=latest"),
    ] {
        let first = lists.page(&query).await;
        assert_eq!(first["data"], Value::Array(Vec::new()), "{query}");
        assert_eq!(first["pagination"]["has_more"], true, "{query}");
        assert_eq!(lists.all(&query).await, (Vec::new(), 3), "{query}");
    }
    // Half of them wait: 2,501 rows.
    let waiting = format!("{never}&sort=waiting");
    assert_eq!(lists.all(&waiting).await, (Vec::new(), 2));
    // Few are undelivered, and an index leads to them.
    let undelivered = format!("{never}&undelivered=true");
    assert_eq!(lists.all(&undelivered).await, (Vec::new(), 1));
}

async fn all_pages_have_each_conversation_that_fits_once(store: Store) {
    let lists = Lists::start(store).await;
    lists.many().await;
    let inbox = text(&lists.page("limit=1").await["data"][0]["inbox_id"]);
    let half = MANY / 2;
    for (query, count) in [
        ("", MANY + 1),
        ("status=resolved", MANY / 3),
        ("waiting=true", half + 1),
        ("waiting=false", half),
        ("unread=true", half + 1),
        ("unread=false", half),
        ("undelivered=true", 5),
        ("undelivered=false", MANY - 4),
        ("waiting=true&unread=true", 1),
        ("updated_since=1970-01-01T01:00:00Z", MANY - 3599 + 1),
    ] {
        for order in ["", "&sort=latest", "&sort=waiting"] {
            if order == "&sort=waiting" && !query.contains("waiting=true") {
                continue;
            }
            for within in ["", "&inbox_id="] {
                let within = match within {
                    "" => String::new(),
                    name => format!("{name}{inbox}"),
                };
                let query = format!("{query}{order}{within}");
                let (ids, _) = lists.all(&query).await;
                let each: BTreeSet<_> = ids.iter().collect();
                assert_eq!((ids.len(), each.len()), (count, count), "{query}");
            }
        }
    }
}

async fn those_that_wait_longest_come_first(store: Store) {
    let lists = Lists::start(store).await;
    for (from, seconds) in [("628111", 30), ("628222", 10), ("628333", 20)] {
        lists.writes(from, seconds).await;
    }
    lists.writes("628222", 40).await;
    let page = lists.page("sort=waiting").await;
    let since = page["data"].as_array().expect("a list").iter();
    let since: Vec<_> = since.map(|one| text(&one["waiting_since"])).collect();
    assert_eq!(since, [10, 20, 30].map(|seconds| rfc3339(START + seconds)));
    let (first, pages) = lists.all("sort=waiting").await;
    assert_eq!((first.len(), pages), (3, 1));
    // Resolved, and so not waiting.
    let path = format!("/conversations/{}", first[0]);
    let body = serde_json::json!({"status": "resolved"});
    let call = lists.app.patch(&path).key(&lists.key).json(&body);
    call.send().await.assert_status(200);
    assert_eq!(lists.all("sort=waiting").await.0, first[1..]);
    lists.app.verify().await;
}

async fn filters_narrow_each_other(store: Store) {
    let lists = Lists::start(store).await;
    for (from, seconds) in [("628111", 1), ("628222", 2)] {
        lists.writes(from, seconds).await;
    }
    let all = lists.page("").await;
    let contact = text(&all["data"][0]["contact"]["id"]);
    for query in [
        "",
        "&sort=latest",
        "&sort=waiting",
        "&status=open",
        "&unread=true",
    ] {
        let (ids, _) = lists.all(&format!("contact_id={contact}{query}")).await;
        assert_eq!(ids, [text(&all["data"][0]["id"])], "{query}");
    }
    let query = format!("contact_id={contact}&unread=false");
    assert_eq!(lists.all(&query).await.0, [""; 0]);
    let now = rfc3339(START);
    assert_eq!(lists.all(&format!("updated_since={now}")).await.0.len(), 2);
    let zone = "updated_since=2025-01-15T15:00:01%2B07:00";
    assert_eq!(lists.all(zone).await.0.len(), 0);
    let other = lists.app.another_account().await;
    let other = lists.app.key_of(&other, &[Scope::Read]).await;
    let path = format!("/conversations?contact_id={contact}");
    let answer = lists.app.get(&path).key(&other).send().await;
    answer.assert_status(404);
}

async fn each_wrong_parameter_is_named(store: Store) {
    let lists = Lists::start(store).await;
    let flag = "must be true or false";
    for (query, field, rule) in [
        ("waiting=yes", "waiting", flag),
        ("unread=1", "unread", flag),
        ("undelivered=x", "undelivered", flag),
        (
            "updated_since=yesterday",
            "updated_since",
            "must be a time like 2025-01-15T08:00:00Z",
        ),
        ("sort=oldest", "sort", "must be latest or waiting"),
        (
            "sort=waiting&waiting=false",
            "waiting",
            "must not be false with sort=waiting",
        ),
        (
            "sort=waiting&cursor=conv_1",
            "cursor",
            "must be the next_cursor of a page in this order",
        ),
        (
            "sort=latest&cursor=w5.conv_1",
            "cursor",
            "must be the next_cursor of a page in this order",
        ),
    ] {
        let path = format!("/conversations?{query}");
        let answer = lists.app.get(&path).key(&lists.key).send().await;
        answer.assert_wrong_fields(&[(field, rule)]);
    }
}
