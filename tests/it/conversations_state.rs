//! `PATCH /conversations/{id}` and `POST /conversations/{id}/read`: what the team does with a conversation, beside writing.

use crate::{
    conversations_waiting::Talk,
    support::{Answer, Store, counting::Does, live::Stream, on_both_stores, program::text},
};
use futures_util::future::join_all;
use inboxd::domain::Scope;
use serde_json::{Value, json};

on_both_stores![
    a_resolved_conversation_opens_when_the_contact_writes_again,
    what_failed_after_it_was_resolved_is_listed,
    the_read_mark_goes_forward_only,
    a_change_is_told_once_and_can_be_caught_up_with,
    every_wrong_body_is_an_error,
    only_a_key_with_the_scope_changes_a_conversation_of_its_account,
    writing_resolving_and_reading_at_once_adds_up,
    what_the_phone_wrote_has_a_sender,
];

impl Talk {
    async fn set(&self, body: &Value) -> Answer {
        let path = format!("/conversations/{}", self.conversation);
        let call = self.sending.app.patch(&path).key(&self.sending.key);
        call.json(body).send().await
    }

    async fn becomes(&self, status: &str) -> Value {
        let answer = self.set(&json!({"status": status})).await;
        answer.assert_status(200);
        assert_eq!(answer.data()["status"], status);
        answer.data()
    }

    async fn read(&self, message: &str) -> Answer {
        let path = format!("/conversations/{}/read", self.conversation);
        let call = self.sending.app.post(&path).key(&self.sending.key);
        call.json(&json!({"message_id": message})).send().await
    }

    /// The ids of its messages, in the order in which they came here.
    async fn ids(&self) -> Vec<String> {
        let path = format!("/messages?conversation_id={}", self.conversation);
        let page = self.sending.app.get(&path).key(&self.sending.key).send();
        let page = page.await.data();
        let messages = page.as_array().expect("a list").iter();
        let mut ids: Vec<_> = messages.map(|one| text(&one["id"])).collect();
        ids.sort();
        ids
    }
}

async fn a_resolved_conversation_opens_when_the_contact_writes_again(store: Store) {
    let talk = Talk::start(store).await;
    talk.waits(Some(0), 1).await;
    let resolved = talk.becomes("resolved").await;
    assert_eq!(resolved.get("waiting_since"), None);
    talk.waits(None, 0).await;
    assert_eq!(talk.listed("status=resolved").await, 1);
    // An answer does not open it, here or on the phone.
    talk.sending.say(&talk.conversation, "Bye").await;
    talk.phones("wamid.phone", 3).await;
    assert_eq!(talk.shown().await["status"], "resolved");
    // Opened by hand it does not wait: what was there is done with.
    talk.becomes("open").await;
    talk.waits(None, 0).await;
    talk.becomes("resolved").await;
    talk.writes("wamid.in2", 10).await;
    assert_eq!(talk.shown().await["status"], "open");
    talk.waits(Some(10), 1).await;
    talk.becomes("resolved").await;
    // A redelivery is nothing new.
    talk.writes("wamid.in2", 10).await;
    assert_eq!(talk.shown().await["status"], "resolved");
    talk.waits(None, 0).await;
    // Nothing to change.
    talk.set(&json!({})).await.assert_status(200);
}

async fn what_failed_after_it_was_resolved_is_listed(store: Store) {
    let talk = Talk::start(store).await;
    talk.sending.provider.does(|_, _| Does::Take);
    let message = talk.sending.say(&talk.conversation, "Done").await;
    let sent = talk.sending.reaches(&message, "sent").await;
    talk.becomes("resolved").await;
    let id = text(&sent["provider_id"]);
    let failed = crate::sending::status(&id, "failed", None);
    talk.sending.app.deliver(&failed).await.assert_status(200);
    assert_eq!(talk.listed("undelivered=true").await, 1);
    assert_eq!(talk.shown().await["status"], "resolved");
    talk.waits(None, 0).await;
    talk.becomes("open").await;
    assert_eq!(talk.listed("undelivered=true").await, 1);
    talk.becomes("resolved").await;
    assert_eq!(talk.listed("undelivered=true").await, 0);
    talk.waits(None, 0).await;
}

async fn the_read_mark_goes_forward_only(store: Store) {
    let talk = Talk::start(store).await;
    for n in 1..=4 {
        talk.writes(&format!("wamid.more{n}"), n).await;
    }
    let ids = talk.ids().await;
    talk.waits(Some(0), 5).await;
    assert_eq!(talk.listed("unread=true").await, 1);
    let answer = talk.read(&ids[2]).await;
    answer.assert_status(200);
    assert_eq!(answer.data()["unread_count"], 2);
    talk.read(&ids[0]).await.assert_status(200);
    talk.waits(Some(0), 2).await;
    talk.read(&ids[4]).await.assert_status(200);
    talk.waits(Some(0), 0).await;
    assert_eq!(talk.listed("unread=true").await, 0);
    assert_eq!(talk.listed("unread=false&waiting=true").await, 1);
    talk.writes("wamid.last", 9).await;
    talk.waits(Some(0), 1).await;
    // Who answers has read, even if the answer fails.
    talk.refuses();
    let message = talk.sending.say(&talk.conversation, "Yes").await;
    talk.sending.reaches(&message, "failed").await;
    talk.waits(Some(0), 0).await;
}

async fn a_change_is_told_once_and_can_be_caught_up_with(store: Store) {
    let talk = Talk::start(store).await;
    let key = &talk.sending.key;
    let ids = talk.ids().await;
    let mut stream = Stream::open(talk.sending.app.address, key, None).await;
    talk.read(&ids[0]).await.assert_status(200);
    talk.read(&ids[0]).await.assert_status(200);
    talk.becomes("resolved").await;
    talk.becomes("resolved").await;
    talk.becomes("open").await;
    let mut last = String::new();
    for (status, unread) in [("open", 0), ("resolved", 0), ("open", 0)] {
        let (name, id, told) = stream.next().await.expect("an event");
        assert_eq!(name, "conversation.changed");
        assert_eq!(told["id"], talk.conversation.as_str());
        // It is shown as it is now, which may be later.
        assert_eq!(told["unread_count"], unread, "{status}");
        last = id;
    }
    talk.becomes("resolved").await;
    let mut missed = Stream::open(talk.sending.app.address, key, Some(&last)).await;
    loop {
        let (name, _, told) = missed.next().await.expect("an event");
        if name == "conversation.changed" && told["status"] == "resolved" {
            break;
        }
    }
}

async fn every_wrong_body_is_an_error(store: Store) {
    let talk = Talk::start(store).await;
    let wrong = [
        (
            json!({"status": "closed"}),
            "status",
            "must be open or resolved",
        ),
        (json!({"status": null}), "status", "must not be null"),
        (json!({"status": 1}), "status", "must be a string"),
    ];
    for (body, field, rule) in wrong {
        talk.set(&body).await.assert_wrong_fields(&[(field, rule)]);
    }
    let unknown = talk.set(&json!({"assignee": null, "status": "x"})).await;
    unknown.assert_status(400);
    let other = talk.read("msg_x").await;
    other.assert_wrong_fields(&[(
        "message_id",
        "must be the id of a message of this conversation",
    )]);
    let path = format!("/conversations/{}/read", talk.conversation);
    let call = talk.sending.app.post(&path).key(&talk.sending.key);
    let nothing = call.json(&json!({})).send().await;
    nothing.assert_wrong_fields(&[("message_id", "is required")]);
    assert_eq!(talk.shown().await["status"], "open");
    talk.waits(Some(0), 1).await;
}

async fn only_a_key_with_the_scope_changes_a_conversation_of_its_account(store: Store) {
    let talk = Talk::start(store).await;
    let app = &talk.sending.app;
    let other = app.another_account().await;
    let others = app.key_of(&other, &[Scope::Read, Scope::Send]).await;
    let reader = app.key(&[Scope::Read, Scope::Write, Scope::Admin]).await;
    let path = format!("/conversations/{}", talk.conversation);
    let message = talk.ids().await.remove(0);
    for (key, status) in [(&others, 404), (&reader, 403)] {
        let body = json!({"status": "resolved"});
        let answer = app.patch(&path).key(key).json(&body).send().await;
        answer.assert_status(status);
        let read = app.post(&format!("{path}/read")).key(key);
        let answer = read.json(&json!({"message_id": message})).send().await;
        answer.assert_status(status);
    }
    talk.waits(Some(0), 1).await;
}

async fn writing_resolving_and_reading_at_once_adds_up(store: Store) {
    let talk = Talk::start(store).await;
    let first = talk.ids().await.remove(0);
    let (talk, first) = (&talk, &first);
    let writes = (0..12).map(async |n| talk.writes(&format!("wamid.w{n}"), n).await);
    let phones = (0..6).map(async |n| talk.phones(&format!("wamid.p{n}"), 2 * n).await);
    let says = (0..6).map(async |_| {
        talk.sending.say(&talk.conversation, "Yes").await;
    });
    let sets = (0..6).map(async |n: usize| {
        let status = ["resolved", "open"][n % 2];
        let body = json!({"status": status});
        talk.set(&body).await.assert_status(200);
    });
    let reads = (0..6).map(async |_| talk.read(first).await.assert_status(200));
    tokio::join!(
        join_all(writes),
        join_all(phones),
        join_all(says),
        join_all(sets),
        join_all(reads)
    );
    talk.sending.app.verify().await;
    assert_eq!(talk.sending.app.count("conversations").await, 1);
}

async fn what_the_phone_wrote_has_a_sender(store: Store) {
    let talk = Talk::start(store).await;
    talk.phones("wamid.phone", 5).await;
    let said = talk.sending.say(&talk.conversation, "Yes").await;
    assert_eq!(said["sent_by"]["type"], "key");
    let path = format!("/messages?conversation_id={}", talk.conversation);
    let page = talk.sending.app.get(&path).key(&talk.sending.key).send();
    let page = page.await.data();
    let of = |direction: &str, kind: Value| {
        let found = page.as_array().expect("a list").iter();
        let mut found = found.filter(|one| one["direction"] == direction);
        found.any(|one| one["sent_by"]["type"] == kind)
    };
    assert!(of("outbound", json!("phone")), "{page}");
    assert!(of("outbound", json!("key")), "{page}");
    assert!(of("inbound", Value::Null), "{page}");
}
