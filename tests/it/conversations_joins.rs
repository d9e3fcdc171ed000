//! Two conversations that become one: what waits and is unread in either goes on to.

use crate::{
    people::{change, conversations, deliver, from},
    support::{START, Store, TestApp, eventually, on_both_stores, program::text},
};
use inboxd::{clock::rfc3339, domain::Scope};
use serde_json::{Value, json};

on_both_stores![
    what_waits_in_one_of_two_waits_in_both,
    what_is_done_with_in_both_stays_done_with,
    an_id_that_leads_to_the_survivor_can_be_resolved_and_read,
    a_large_join_adds_up_at_every_step,
];

const NUMBER: &str = "15557001";

/// A message, so many seconds after the start, of somebody who is known by these.
fn said(number: Option<&str>, user: Option<&str>, id: &str, seconds: i64) -> Value {
    let mut payload = from(number, user, id);
    change(&mut payload)["value"]["messages"][0]["timestamp"] =
        (START + seconds).to_string().into();
    payload
}

async fn becomes(app: &TestApp, id: &Value, status: &str) {
    let key = app.key(&[Scope::Send]).await;
    let path = format!("/conversations/{}", text(id));
    let call = app.patch(&path).key(&key).json(&json!({"status": status}));
    call.send().await.assert_status(200);
}

async fn only(app: &TestApp) -> Value {
    app.verify().await;
    let all = conversations(app).await;
    assert_eq!(all.len(), 1, "{all:?}");
    all[0].clone()
}

async fn what_waits_in_one_of_two_waits_in_both(store: Store) {
    for resolves_first in [true, false] {
        let app = TestApp::start(store).await;
        app.whatsapp("1001").await;
        deliver(&app, &said(Some(NUMBER), None, "wamid.1", 10)).await;
        deliver(&app, &said(None, Some("US.1"), "wamid.2", 20)).await;
        // The newest comes first in the list.
        let all = conversations(&app).await;
        let done = &all[usize::from(resolves_first)]["id"];
        becomes(&app, done, "resolved").await;
        deliver(&app, &said(Some(NUMBER), Some("US.1"), "wamid.3", 30)).await;
        let joined = only(&app).await;
        assert_eq!(joined["messages_count"], 3);
        assert_eq!(joined["status"], "open");
        let since = if resolves_first { 20 } else { 10 };
        // What was resolved last came before the resolution, and so did what waits: both wait.
        let waits = text(&joined["waiting_since"]);
        assert!(waits <= rfc3339(START + since), "{joined}");
        assert!(joined["unread_count"].as_i64() >= Some(2), "{joined}");
    }
}

async fn what_is_done_with_in_both_stays_done_with(store: Store) {
    let app = TestApp::start(store).await;
    app.whatsapp("1001").await;
    deliver(&app, &said(Some(NUMBER), None, "wamid.1", 10)).await;
    deliver(&app, &said(None, Some("US.1"), "wamid.2", 20)).await;
    for one in conversations(&app).await {
        becomes(&app, &one["id"], "resolved").await;
    }
    deliver(&app, &said(Some(NUMBER), Some("US.1"), "wamid.3", 30)).await;
    let joined = only(&app).await;
    assert_eq!(joined["waiting_since"], rfc3339(START + 30));
    assert_eq!(joined["unread_count"], 1);
    assert_eq!(joined["status"], "open");
}

async fn an_id_that_leads_to_the_survivor_can_be_resolved_and_read(store: Store) {
    let app = TestApp::start(store).await;
    app.whatsapp("1001").await;
    deliver(&app, &said(Some(NUMBER), None, "wamid.1", 10)).await;
    deliver(&app, &said(None, Some("US.1"), "wamid.2", 20)).await;
    let lost = conversations(&app).await[0].clone();
    deliver(&app, &said(Some(NUMBER), Some("US.1"), "wamid.3", 30)).await;
    let joined = only(&app).await;
    assert_ne!(joined["id"], lost["id"]);
    let key = app.key(&[Scope::Read, Scope::Send]).await;
    let path = format!("/conversations/{}", text(&lost["id"]));
    let body = json!({"message_id": joined["last_message"]["id"]});
    let read = app
        .post(&format!("{path}/read"))
        .key(&key)
        .json(&body)
        .send();
    let read = read.await.data();
    assert_eq!(read["id"], joined["id"]);
    assert_eq!(read["unread_count"], 0);
    becomes(&app, &lost["id"], "resolved").await;
    assert_eq!(only(&app).await["status"], "resolved");
    // The contact that is gone, too.
    let contact = text(&lost["contact"]["id"]);
    let listed = app.get(&format!("/conversations?contact_id={contact}"));
    assert_eq!(listed.key(&key).send().await.data()[0]["id"], joined["id"]);
}

async fn a_large_join_adds_up_at_every_step(store: Store) {
    let app = TestApp::start(store).await;
    app.whatsapp("1001").await;
    let mut number = 0;
    for (wa_id, user_id) in [(Some(NUMBER), None), (None, Some("US.1"))] {
        for _ in 0..3 {
            let mut payload = from(wa_id, user_id, "wamid.first");
            let messages = (0..450).map(|_| {
                number += 1;
                let mut one = change(&mut payload)["value"]["messages"][0].clone();
                one["id"] = format!("wamid.{number}").into();
                one["timestamp"] = (START + number).to_string().into();
                one
            });
            let messages: Vec<_> = messages.collect();
            change(&mut payload)["value"]["messages"] = messages.into();
            deliver(&app, &payload).await;
        }
    }
    deliver(&app, &said(Some(NUMBER), Some("US.1"), "wamid.both", 9000)).await;
    eventually("all joins are carried out", async || {
        app.verify().await;
        app.count("joins").await == 0
    })
    .await;
    let joined = only(&app).await;
    assert_eq!(joined["messages_count"], 2701);
    assert_eq!(joined["unread_count"], 1000);
}
