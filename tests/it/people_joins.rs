//! Contacts that turn out to be one are joined without losing an id, a count or a message, whatever happens meanwhile.

use crate::{
    people::{change, conversations, counts, deliver, from, known_by, system},
    support::{Store, TestApp, eventually, for_some, live::Stream, on_both_stores},
};
use db::Sql;
use inboxd::domain::Scope;
use proptest::{collection::vec, prelude::any};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

on_both_stores![
    conversations_in_several_inboxes_become_the_survivors,
    what_leads_to_one_that_is_joined_leads_to_its_survivor,
    a_listener_hears_of_a_join_and_can_catch_up,
    a_large_join_is_finished_in_the_background_and_sound_all_the_while,
    a_join_that_was_cut_off_goes_on_at_the_next_start,
    two_nodes_that_find_the_same_join_carry_it_out_once,
    deleting_an_inbox_clears_what_was_joined_in_it,
    whatever_is_named_in_whatever_order_nothing_is_lost,
];

/// To another number of the same business account.
fn to(number_id: &str, mut payload: Value) -> Value {
    change(&mut payload)["value"]["metadata"]["phone_number_id"] = number_id.into();
    payload
}

async fn joins_are_done(app: &TestApp) {
    eventually("all joins are carried out", async || {
        app.count("joins").await == 0
    })
    .await;
}

async fn conversations_in_several_inboxes_become_the_survivors(store: Store) {
    let app = TestApp::start(store).await;
    for number in ["1001", "1002", "1003"] {
        app.whatsapp(number).await;
    }
    // By number in the first and second, by id in the second and third.
    deliver(&app, &to("1001", from(Some("15557001"), None, "wamid.1"))).await;
    deliver(&app, &to("1002", from(Some("15557001"), None, "wamid.2"))).await;
    deliver(&app, &to("1002", from(None, Some("US.1"), "wamid.3"))).await;
    deliver(&app, &to("1003", from(None, Some("US.1"), "wamid.4"))).await;
    let before = conversations(&app).await;
    deliver(
        &app,
        &to("1003", from(Some("15557001"), Some("US.1"), "wamid.5")),
    )
    .await;
    assert_eq!(counts(&app).await, [1, 2, 2]);
    let after = conversations(&app).await;
    let contact = &after[0]["contact"];
    assert!(after.iter().all(|one| one["contact"] == *contact));
    assert_eq!(
        contact["id"], before[3]["contact"]["id"],
        "the older one survives"
    );
    let ids = |all: &[Value]| all.iter().map(|one| one["id"].clone()).collect::<Vec<_>>();
    let mut expected = ids(&before);
    expected.remove(1);
    assert_eq!(ids(&after), expected);
    // The last message is the latest of both.
    assert_eq!(
        after[1]["last_message"]["id"],
        before[1]["last_message"]["id"]
    );
    assert_eq!(app.count("contacts").await, 1);
}

async fn what_leads_to_one_that_is_joined_leads_to_its_survivor(store: Store) {
    let app = TestApp::start(store).await;
    app.whatsapp("1001").await;
    deliver(&app, &from(None, Some("US.1"), "wamid.1")).await;
    deliver(&app, &from(None, Some("US.2"), "wamid.2")).await;
    deliver(&app, &from(None, Some("US.3"), "wamid.3")).await;
    let before = conversations(&app).await;
    for (seconds, former, new) in [(10, "US.2", "US.3"), (20, "US.1", "US.2")] {
        let said =
            json!({"type": "user_changed_user_id", "user_id": new, "previous_user_id": former});
        deliver(&app, &system(seconds, json!({}), said)).await;
    }
    assert_eq!(counts(&app).await, [3]);
    let survivor = &conversations(&app).await[0];
    let key = app.key(&[Scope::Read]).await;
    for one in before {
        let path = format!("/conversations/{}", one["id"].as_str().expect("an id"));
        assert_eq!(&app.get(&path).key(&key).send().await.data(), survivor);
    }
    // Two conversations and two contacts, and none leads to another alias.
    assert_eq!(app.count("aliases").await, 4);
    // Another account is not led there.
    let other = app.another_account().await;
    let other = app.key_of(&other, &[Scope::Read]).await;
    let path = format!("/conversations/{}", survivor["id"].as_str().expect("an id"));
    app.get(&path).key(&other).send().await.assert_status(404);
}

async fn a_listener_hears_of_a_join_and_can_catch_up(store: Store) {
    let app = TestApp::start(store).await;
    app.whatsapp("1001").await;
    let key = app.key(&[Scope::Read]).await;
    deliver(&app, &from(None, Some("US.1"), "wamid.1")).await;
    deliver(&app, &from(Some("15557001"), None, "wamid.2")).await;
    let before = conversations(&app).await;
    let mut stream = Stream::open(app.address, &key, None).await;
    deliver(&app, &from(Some("15557001"), Some("US.1"), "wamid.3")).await;
    let mut heard: Vec<(String, String, Value)> = Vec::new();
    while heard
        .last()
        .is_none_or(|(name, ..)| name != "conversation.changed")
    {
        heard.push(stream.next().await.expect("an event"));
    }
    let names: Vec<_> = heard.iter().map(|(name, ..)| name.as_str()).collect();
    // It is known by more, and then is another one, too.
    assert_eq!(
        names,
        [
            "contact.changed",
            "message.created",
            "contact.changed",
            "conversation.changed"
        ]
    );
    let first = heard[1].1.clone();
    let (name, id, said) = heard.remove(3);
    assert_eq!(said["id"], before[1]["id"]);
    assert_eq!(said["former_ids"], json!([before[0]["id"]]));
    assert_eq!(said["messages_count"], 3);
    // Some nodes tell a little of before once more.
    let mut missed = Stream::open(app.address, &key, Some(&first)).await;
    let mut next = missed.next().await;
    while next
        .as_ref()
        .is_some_and(|(name, ..)| *name != "conversation.changed")
    {
        next = missed.next().await;
    }
    assert_eq!(next, Some((name, id, said)));
}

/// Somebody who is known by number for some messages, and by id for others.
async fn known_twice(app: &TestApp, by_number: usize, by_id: usize) {
    let mut number = 0;
    for (count, wa_id, user_id) in [
        (by_number, Some("15557001"), None),
        (by_id, None, Some("US.1")),
    ] {
        let mut left = count;
        while left > 0 {
            let piece = left.min(500);
            let mut payload = from(wa_id, user_id, "wamid.first");
            let messages = (0..piece).map(|_| {
                number += 1;
                let mut one = change(&mut payload)["value"]["messages"][0].clone();
                one["id"] = format!("wamid.{number}").into();
                one["timestamp"] = (1_736_000_000 + number).to_string().into();
                one
            });
            let messages: Vec<_> = messages.collect();
            change(&mut payload)["value"]["messages"] = messages.into();
            deliver(app, &payload).await;
            left -= piece;
        }
    }
}

async fn a_large_join_is_finished_in_the_background_and_sound_all_the_while(store: Store) {
    let app = TestApp::start(store).await;
    app.whatsapp("1001").await;
    known_twice(&app, 10, 3000).await;
    assert_eq!(counts(&app).await, [10, 3000]);
    deliver(&app, &from(Some("15557001"), Some("US.1"), "wamid.both")).await;
    let mut seen = 0;
    // Whatever is asked meanwhile is right: `counts` verifies it.
    eventually("the join is done", async || {
        let counts = counts(&app).await;
        assert_eq!(counts.iter().sum::<i64>(), 3011, "{counts:?}");
        seen += 1;
        counts.len() == 1
    })
    .await;
    joins_are_done(&app).await;
    let joined = &conversations(&app).await[0];
    assert_eq!(joined["messages_count"], 3011);
    assert_eq!(joined["last_message"]["timestamp"], "2025-01-15T08:00:00Z");
    assert_eq!(known_by(joined).len(), 2);
    assert_eq!(app.count("contacts").await, 1);
    assert!(seen > 0);
}

async fn a_join_that_was_cut_off_goes_on_at_the_next_start(store: Store) {
    let app = TestApp::start(store).await;
    app.whatsapp("1001").await;
    known_twice(&app, 2, 3).await;
    // As a server leaves it that is killed between the commit and the join.
    let mut session = app.context.db.write().await.expect("a session");
    let note = "INSERT INTO joins (account_id, contact_id, other_id, created_at)
        SELECT MIN(account_id), MIN(id), MAX(id), 0 FROM contacts";
    session.execute(&Sql::same(note), &[]).await.expect("noted");
    session.commit().await.expect("committed");
    assert_eq!(counts(&app).await, [2, 3]);
    let next = app.another_node().await;
    joins_are_done(&next).await;
    assert_eq!(counts(&app).await, [5]);
    next.stop().await;
}

async fn two_nodes_that_find_the_same_join_carry_it_out_once(store: Store) {
    let app = TestApp::start(store).await;
    for number in ["1001", "1002"] {
        app.whatsapp(number).await;
    }
    let other = app.another_node().await;
    for person in 0..20 {
        let (phone, user) = (format!("1555700{person:02}"), format!("US.{person}"));
        let id = |part: &str| format!("wamid.{person}.{part}");
        deliver(&app, &to("1001", from(Some(&phone), None, &id("phone")))).await;
        deliver(&app, &to("1002", from(None, Some(&user), &id("user")))).await;
        let both = |part: &str| from(Some(&phone), Some(&user), &id(part));
        let (here, there) = (to("1001", both("here")), to("1002", both("there")));
        let (one, two) = tokio::join!(app.deliver(&here), other.deliver(&there));
        one.assert_status(200);
        two.assert_status(200);
    }
    joins_are_done(&app).await;
    assert_eq!(counts(&app).await, [2; 40]);
    assert_eq!(app.count("contacts").await, 20);
    // Somebody new, named in part by each node at once.
    for person in 20..40 {
        let (phone, user) = (format!("1555700{person:02}"), format!("US.{person}"));
        let id = |part: &str| format!("wamid.{person}.{part}");
        let here = to("1001", from(Some(&phone), Some(&user), &id("here")));
        let there = to("1002", from(Some(&phone), Some(&user), &id("there")));
        let (one, two) = tokio::join!(app.deliver(&here), other.deliver(&there));
        one.assert_status(200);
        two.assert_status(200);
    }
    joins_are_done(&app).await;
    assert_eq!(app.count("contacts").await, 40);
    app.verify().await;
    other.stop().await;
}

async fn deleting_an_inbox_clears_what_was_joined_in_it(store: Store) {
    let app = TestApp::start(store).await;
    let inbox = app.whatsapp("1001").await;
    known_twice(&app, 2, 3).await;
    deliver(&app, &from(Some("15557001"), Some("US.1"), "wamid.both")).await;
    assert_eq!(counts(&app).await, [6]);
    let key = app.key(&[Scope::Write]).await;
    let path = format!("/inboxes/{inbox}?purge=true");
    app.delete(&path).key(&key).send().await.assert_status(204);
    for table in [
        "messages",
        "conversations",
        "contacts",
        "identities",
        "aliases",
        "joins",
    ] {
        eventually(&format!("{table} is empty"), async || {
            app.count(table).await == 0
        })
        .await;
    }
}

const NUMBERS: [&str; 2] = ["1001", "1002"];

/// What an update holds: of which person, by the number or not, by the id or not, for which number of the business.
type Said = (u8, bool, bool, usize);

fn said(case: usize, place: usize, (person, by_number, by_id, number): Said) -> Value {
    let phone = format!("1555{case:03}{person:02}");
    let user = format!("US.{case}.{person}");
    // One of them at least.
    let phone = (by_number || !by_id).then_some(&*phone);
    let user = by_id.then_some(&*user);
    let payload = from(phone, user, &format!("wamid.{case}.{place}"));
    to(NUMBERS[number], payload)
}

async fn whatever_is_named_in_whatever_order_nothing_is_lost(store: Store) {
    let app = Arc::new(TestApp::start(store).await);
    for number in NUMBERS {
        app.whatsapp(number).await;
    }
    let other = Arc::new(app.another_node().await);
    let cases = AtomicUsize::new(0);
    let total = AtomicUsize::new(0);
    let one = (0..3_u8, any::<bool>(), any::<bool>(), 0..NUMBERS.len());
    let all = vec((one, 1..3_usize), 1..16);
    for_some(10, all, async move |sent| {
        let case = cases.fetch_add(1, Ordering::Relaxed);
        let mut senders = Vec::new();
        for (place, (what, times)) in sent.iter().enumerate() {
            for time in 0..*times {
                let payload = said(case, place, *what);
                let node = [&app, &other][(place + time) % 2].clone();
                senders.push(tokio::spawn(async move {
                    node.deliver(&payload).await.assert_status(200);
                }));
            }
        }
        for sender in senders {
            sender.await.expect("a sender ends well");
        }
        // Whoever was known in two ways is named by both once, in each inbox.
        let mut expected: BTreeMap<(u8, usize), i64> = BTreeMap::new();
        for ((person, .., number), _) in &sent {
            *expected.entry((*person, *number)).or_default() += 1;
        }
        for (at, ((person, number), count)) in expected.iter_mut().enumerate() {
            let both = said(case, 100 + at, (*person, true, true, *number));
            app.deliver(&both).await.assert_status(200);
            *count += 1;
        }
        joins_are_done(&app).await;
        app.verify().await;
        let of_case = format!("1555{case:03}");
        let mut found: Vec<_> = conversations(&app)
            .await
            .iter()
            .filter(|one| known_by(one).iter().any(|id| id.contains(&of_case)))
            .map(|one| one["messages_count"].as_i64().expect("a count"))
            .collect();
        found.sort_unstable();
        let mut counts: Vec<_> = expected.into_values().collect();
        counts.sort_unstable();
        assert_eq!(found, counts);
        let messages = counts.iter().sum::<i64>();
        let before = total.fetch_add(messages as usize, Ordering::Relaxed) as i64;
        assert_eq!(app.count("messages").await, before + messages);
    })
    .await;
}
