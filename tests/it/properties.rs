//! What holds for any pages, any filter and any interleaving, tried on values that nobody chose.

use crate::support::{
    Store, TestApp, for_some, on_both_stores,
    whatsapp::{text, updates},
};
use inboxd::{domain::Scope, id::InboxId};
use proptest::{collection::vec, option, sample::select};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

on_both_stores![
    pages_put_together_are_the_whole_list_under_any_filter,
    messages_count_is_what_is_stored_after_any_interleaving,
];

const TYPES: [&str; 4] = ["whatsapp", "instagram", "livechat", "telegram"];
const STATUSES: [&str; 3] = ["active", "inactive", "pending"];
/// The numbers that updates are for.
const NUMBERS: [&str; 3] = ["1001", "1002", "1003"];

async fn pages_put_together_are_the_whole_list_under_any_filter(store: Store) {
    let listing = Listing::with_forty(store).await;
    let limits = vec(1..=40_usize, 1..6);
    let values = (
        option::of(select(TYPES.to_vec())),
        option::of(select(STATUSES.to_vec())),
        limits,
    );
    for_some(40, values, async move |(kind, status, limits)| {
        listing.check(kind, status, &limits).await;
    })
    .await;
}

struct Listing {
    app: TestApp,
    key: String,
    /// All inboxes, in one answer.
    all: Vec<Value>,
}

impl Listing {
    /// Of all types and statuses, some made in the same second, some by a clock that was set back.
    async fn with_forty(store: Store) -> Self {
        let app = TestApp::start(store).await;
        let writer = app.key(&[Scope::Write]).await;
        for number in 0..40_i64 {
            app.context.clock.advance((number * 7) % 5 - 2);
            let kind = TYPES[usize::try_from(number * 5 % 13).expect("small") % 4];
            let id = make(&app, kind, number).await;
            if number % 3 == 0 {
                let path = format!("/inboxes/{id}");
                let off = json!({"status": "inactive"});
                let call = app.patch(&path).key(&writer).json(&off);
                call.send().await.assert_status(200);
            }
        }
        let key = app.key(&[Scope::Read]).await;
        let all = app.listing().await;
        let all = all.as_array().expect("a list").clone();
        assert_eq!(all.len(), 40);
        Listing { app, key, all }
    }

    async fn check(&self, kind: Option<&str>, status: Option<&str>, limits: &[usize]) {
        let expected: Vec<_> = self
            .all
            .iter()
            .filter(|inbox| kind.is_none_or(|kind| inbox["type"] == kind))
            .filter(|inbox| status.is_none_or(|status| inbox["status"] == status))
            .cloned()
            .collect();
        let (kind, status) = (kind.unwrap_or_default(), status.unwrap_or_default());
        let mut found: Vec<Value> = Vec::new();
        for limit in limits.iter().cycle() {
            let offset = found.len();
            let query = format!("type={kind}&status={status}&limit={limit}&offset={offset}");
            let call = self.app.get(&format!("/inboxes?{query}")).key(&self.key);
            let body = call.send().await.json();
            assert_eq!(body["pagination"]["total"], expected.len());
            let page = body["data"].as_array().expect("a page");
            assert_eq!(page.len(), (expected.len() - offset).min(*limit));
            found.extend(page.iter().cloned());
            if page.len() < *limit {
                break;
            }
        }
        assert_eq!(found, expected);
    }
}

async fn make(app: &TestApp, kind: &str, number: i64) -> InboxId {
    let name = format!("Inbox {number}");
    let secret = json!({"app_secret": "s"});
    app.inbox(match kind {
        "whatsapp" => {
            json!({"name": name, "type": kind, "phone_number": format!("+62812{number:06}"),
            "channel": {"app_secret": "s", "phone_number_id": number.to_string()}})
        }
        "instagram" => json!({"name": name, "type": kind, "channel": secret,
            "instagram_account_id": format!("ig_{number}")}),
        "telegram" => json!({"name": name, "type": kind,
            "channel": {"bot_token": format!("{number}:a")}}),
        _ => json!({"name": name, "type": kind}),
    })
    .await
}

/// Which message an update holds: for which number, from whom, and its id there.
type Said = (usize, u8, u8);

/// Any updates, each with any messages for any numbers, each sent up to three times, all at once.
async fn messages_count_is_what_is_stored_after_any_interleaving(store: Store) {
    let app = Arc::new(TestApp::start(store).await);
    let mut inboxes = Vec::new();
    for number in NUMBERS {
        inboxes.push(app.whatsapp(number).await);
    }
    let said = (0..NUMBERS.len(), 0..3_u8, 0..10_u8);
    let update = (vec(said, 1..6), 1..=3_usize);
    let cases = AtomicUsize::new(0);
    let stored = std::sync::Mutex::new([0_i64; NUMBERS.len()]);
    for_some(12, vec(update, 1..12), async move |sent| {
        let case = cases.fetch_add(1, Ordering::Relaxed);
        deliver_all(&app, case, &sent).await;
        let listed = app.listing().await;
        for (at, inbox) in inboxes.iter().enumerate() {
            let distinct: BTreeSet<_> = sent
                .iter()
                .flat_map(|(messages, _)| messages)
                .filter(|(number, ..)| *number == at)
                .map(|(_, _, id)| id)
                .collect();
            let new = i64::try_from(distinct.len()).expect("a few");
            let expected = {
                let mut stored = stored.lock().expect("no panic inside");
                stored[at] += new;
                stored[at]
            };
            assert_eq!(listed[at]["messages_count"], expected);
            let rows = format!("messages WHERE inbox_id = '{inbox}'");
            assert_eq!(app.count(&rows).await, expected);
        }
    })
    .await;
}

async fn deliver_all(app: &Arc<TestApp>, case: usize, sent: &[(Vec<Said>, usize)]) {
    let mut senders = Vec::new();
    for (messages, times) in sent {
        let parts: Vec<_> = messages
            .iter()
            .map(|(number, from, id)| {
                let id = format!("wamid.{case}.{id}");
                (
                    NUMBERS[*number],
                    [text(&format!("62811{from}"), &id, "Hello")],
                )
            })
            .collect();
        let parts: Vec<_> = parts.iter().map(|(to, m)| (*to, &m[..])).collect();
        let payload = updates(&parts);
        for _ in 0..*times {
            let (app, payload) = (app.clone(), payload.clone());
            senders.push(tokio::spawn(async move {
                app.deliver(&payload).await.assert_status(200);
            }));
        }
    }
    for sender in senders {
        sender.await.expect("a sender ends well");
    }
}
