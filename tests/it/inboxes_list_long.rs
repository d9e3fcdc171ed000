//! `GET /inboxes` of an account with many inboxes: every page is right, wherever it is, while inboxes come, go and change.

use crate::support::{
    Store, TestApp, on_both_stores,
    whatsapp::{delivery, text},
};
use inboxd::{
    domain::{Channel, Inbox, InboxStatus, Scope},
    id::{EventId, InboxId},
    store::inboxes::{self, Details},
};
use serde_json::{Value, json};

on_both_stores![
    pages_of_a_long_list_are_right_wherever_they_are,
    pages_of_a_long_list_follow_every_change,
];

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

    let hello = delivery("42", &[text("628111", "wamid.1", "Hello")]);
    long.app.deliver(&hello).await.assert_status(200);
    long.check().await;
    let all = long.whole("").await;
    let counted = all.iter().find(|inbox| inbox["id"] == added.as_str());
    let counted = counted.expect("the new one");
    assert_eq!(counted["messages_count"], 1);
    assert_eq!(counted["status"], "active");
    long.app.stop().await;
}
