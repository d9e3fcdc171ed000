//! Since when a contact waits, what is unread and what was not delivered: whatever answers, fails, or comes in whatever order.

use crate::{
    sending::{Sending, status},
    support::{START, Store, counting::Does, on_both_stores, program::text, whatsapp},
};
use inboxd::clock::{Clock, rfc3339};
use serde_json::{Value, json};

on_both_stores![
    a_contact_waits_from_its_first_message_until_anybody_answers,
    an_answer_that_fails_or_is_canceled_is_none,
    what_was_written_on_the_phone_answers_what_was_written_before,
    a_redelivery_changes_nothing,
    an_answer_of_a_node_whose_clock_is_behind_counts,
    history_neither_waits_nor_answers,
    what_was_not_delivered_is_listed_until_somebody_acts,
    whatever_happens_in_whatever_order_adds_up,
];

/// A server, and the one conversation of its contact 628111.
pub(crate) struct Talk {
    pub(crate) sending: Sending,
    pub(crate) conversation: String,
}

impl Talk {
    pub(crate) async fn start(store: Store) -> Self {
        let sending = Sending::start(store).await;
        let conversation = sending.greeted().await;
        Talk {
            sending,
            conversation,
        }
    }

    /// The contact writes, so many seconds after the greeting.
    pub(crate) async fn writes(&self, id: &str, seconds: i64) {
        let mut message = whatsapp::text("628111", id, "And?");
        message["timestamp"] = (START + seconds).to_string().into();
        let update = whatsapp::update("1001", &[message]);
        self.sending.app.deliver(&update).await.assert_status(200);
    }

    /// Somebody writes on the phone.
    pub(crate) async fn phones(&self, id: &str, seconds: i64) {
        let mut echo = whatsapp::text("62812345678", id, "On my way");
        echo["to"] = "628111".into();
        echo["timestamp"] = (START + seconds).to_string().into();
        let mut update = whatsapp::value("1001", "message_echoes", json!([echo]));
        update["entry"][0]["changes"][0]["field"] = "smb_message_echoes".into();
        self.sending.app.deliver(&update).await.assert_status(200);
    }

    pub(crate) async fn shown(&self) -> Value {
        let path = format!("/conversations/{}", self.conversation);
        let key = &self.sending.key;
        self.sending.app.get(&path).key(key).send().await.data()
    }

    /// That the contact waits since so many seconds after the greeting, and so many messages are unread.
    #[track_caller]
    pub(crate) fn waits(&self, since: Option<i64>, unread: i64) -> impl Future<Output = ()> + '_ {
        let place = std::panic::Location::caller();
        async move {
            let shown = self.shown().await;
            let since = since.map(|seconds| json!(rfc3339(START + seconds)));
            let told = (shown.get("waiting_since").cloned(), &shown["unread_count"]);
            assert_eq!(told, (since, &json!(unread)), "at {place}");
            self.sending.app.verify().await;
        }
    }

    pub(crate) async fn listed(&self, query: &str) -> usize {
        let path = format!("/conversations?{query}");
        let key = &self.sending.key;
        let page = self.sending.app.get(&path).key(key).send().await;
        page.data().as_array().expect("a list").len()
    }

    pub(crate) fn refuses(&self) {
        let no = json!({"error": {"code": 131_026, "message": "Message undeliverable"}});
        let refuse = move |_: &Value, _| Does::Answer(400, no.clone());
        self.sending.provider.does(refuse);
    }
}

async fn a_contact_waits_from_its_first_message_until_anybody_answers(store: Store) {
    let talk = Talk::start(store).await;
    talk.waits(Some(0), 1).await;
    talk.writes("wamid.in2", 5).await;
    talk.waits(Some(0), 2).await;
    let shown = talk.shown().await;
    assert_eq!(shown["last_inbound_at"], rfc3339(START + 5));
    talk.sending.say(&talk.conversation, "Yes").await;
    talk.waits(None, 0).await;
    // It was on its way when the answer was accepted: nobody has seen it.
    talk.writes("wamid.late", -3).await;
    talk.waits(Some(-3), 1).await;
    talk.phones("wamid.phone", 9).await;
    talk.waits(None, 0).await;
    talk.writes("wamid.in3", 20).await;
    talk.writes("wamid.in4", 15).await;
    talk.waits(Some(15), 2).await;
}

async fn an_answer_that_fails_or_is_canceled_is_none(store: Store) {
    let talk = Talk::start(store).await;
    talk.writes("wamid.in2", 5).await;
    talk.refuses();
    let first = talk.sending.say(&talk.conversation, "One").await;
    talk.sending.reaches(&first, "failed").await;
    // It was read all the same.
    talk.waits(Some(0), 0).await;
    talk.sending.provider.does(|_, _| Does::Take);
    talk.sending.act(&first, "retry").await.assert_status(200);
    talk.waits(None, 0).await;
    talk.sending.reaches(&first, "sent").await;
    // The provider took it, and says later that it failed.
    let id = talk.sending.get(&first).await["provider_id"].clone();
    let failed = status(&text(&id), "failed", None);
    talk.sending.app.deliver(&failed).await.assert_status(200);
    talk.waits(Some(0), 0).await;
    // It is on the device after all.
    let delivered = status(&text(&id), "delivered", None);
    talk.sending
        .app
        .deliver(&delivered)
        .await
        .assert_status(200);
    talk.waits(None, 0).await;

    // One behind another that waits for its next try.
    talk.writes("wamid.in3", 30).await;
    let busy = json!({"error": {"code": 130_429, "message": "Rate limit hit"}});
    let later = move |_: &Value, _| Does::Answer(429, busy.clone());
    talk.sending.provider.does(later);
    let waiting = talk.sending.say(&talk.conversation, "Two").await;
    talk.sending.comes_to_rest().await;
    talk.writes("wamid.in4", 40).await;
    let behind = talk.sending.say(&talk.conversation, "Three").await;
    talk.waits(None, 0).await;
    talk.sending.act(&behind, "cancel").await.assert_status(200);
    talk.waits(Some(40), 0).await;
    talk.sending
        .act(&waiting, "cancel")
        .await
        .assert_status(200);
    talk.waits(Some(30), 0).await;
}

async fn what_was_written_on_the_phone_answers_what_was_written_before(store: Store) {
    let talk = Talk::start(store).await;
    // The answer comes here before what it answers.
    talk.phones("wamid.phone1", 10).await;
    talk.waits(None, 0).await;
    talk.writes("wamid.in2", 8).await;
    talk.waits(None, 0).await;
    // The customer has written again when it comes here.
    talk.writes("wamid.in3", 20).await;
    talk.writes("wamid.in4", 30).await;
    talk.phones("wamid.phone2", 25).await;
    talk.waits(Some(30), 1).await;
    // In one update: one before the phone's answer, and one after it.
    let messages = [(24, "wamid.in5"), (27, "wamid.in6")].map(|(seconds, id)| {
        let mut message = whatsapp::text("628111", id, "And?");
        message["timestamp"] = (START + seconds).to_string().into();
        message
    });
    let update = whatsapp::update("1001", &messages);
    talk.sending.app.deliver(&update).await.assert_status(200);
    talk.waits(Some(27), 2).await;
}

async fn a_redelivery_changes_nothing(store: Store) {
    let talk = Talk::start(store).await;
    talk.writes("wamid.in2", 5).await;
    talk.phones("wamid.phone", 10).await;
    talk.writes("wamid.in3", 15).await;
    talk.waits(Some(15), 1).await;
    for _ in 0..2 {
        talk.writes("wamid.in2", 5).await;
        talk.phones("wamid.phone", 10).await;
        talk.writes("wamid.in3", 15).await;
    }
    talk.waits(Some(15), 1).await;
    talk.sending.say(&talk.conversation, "Yes").await;
    talk.writes("wamid.in3", 15).await;
    talk.waits(None, 0).await;
}

async fn an_answer_of_a_node_whose_clock_is_behind_counts(store: Store) {
    let talk = Talk::start(store).await;
    let behind = Clock::manual(START - 2);
    let node = talk.sending.app.another_node_at(behind).await;
    let body =
        json!({"conversation_id": talk.conversation, "type": "text", "content": {"text": "Yes"}});
    let answer = node.post("/messages").key(&talk.sending.key).json(&body);
    answer.send().await.assert_status(201);
    talk.waits(None, 0).await;
    talk.writes("wamid.in2", 5).await;
    talk.waits(Some(5), 1).await;
    let path = format!("/conversations/{}", talk.conversation);
    let resolve = node.patch(&path).key(&talk.sending.key);
    let resolve = resolve.json(&json!({"status": "resolved"}));
    resolve.send().await.assert_status(200);
    talk.waits(None, 0).await;
}

async fn history_neither_waits_nor_answers(store: Store) {
    let talk = Talk::start(store).await;
    let thread = json!({"id": "628111", "messages": [
        {"from": "628111", "id": "wamid.h1", "timestamp": "1736927000", "type": "text", "text": {"body": "Long ago"},
            "history_context": {"status": "READ"}},
        {"from": "62812345678", "to": "628111", "id": "wamid.h2", "timestamp": "1736928100", "type": "text",
            "text": {"body": "An answer"}, "history_context": {"status": "ERROR"}},
    ]});
    let mut update = whatsapp::value(
        "1001",
        "history",
        json!([{"metadata": {"phase": 0}, "threads": [thread]}]),
    );
    update["entry"][0]["changes"][0]["field"] = "history".into();
    talk.sending.app.deliver(&update).await.assert_status(200);
    assert_eq!(talk.shown().await["messages_count"], 3);
    talk.waits(Some(0), 1).await;
    assert_eq!(talk.listed("undelivered=true").await, 0);
}

async fn what_was_not_delivered_is_listed_until_somebody_acts(store: Store) {
    let talk = Talk::start(store).await;
    assert_eq!(talk.listed("undelivered=true").await, 0);
    assert_eq!(talk.listed("undelivered=false").await, 1);
    talk.refuses();
    let first = talk.sending.say(&talk.conversation, "One").await;
    let second = talk.sending.say(&talk.conversation, "Two").await;
    talk.sending.reaches(&first, "failed").await;
    talk.sending.reaches(&second, "failed").await;
    for query in [
        "undelivered=true",
        "undelivered=true&sort=latest",
        "undelivered=true&waiting=true&sort=waiting",
    ] {
        assert_eq!(talk.listed(query).await, 1, "{query}");
    }
    assert_eq!(talk.listed("undelivered=true&status=resolved").await, 0);
    // One of the two gets there; the other is still of interest.
    talk.sending.provider.does(|_, _| Does::Take);
    talk.sending.act(&first, "retry").await.assert_status(200);
    talk.sending.reaches(&first, "sent").await;
    assert_eq!(talk.listed("undelivered=true").await, 1);
    talk.sending.act(&second, "retry").await.assert_status(200);
    talk.sending.reaches(&second, "sent").await;
    assert_eq!(talk.listed("undelivered=true").await, 0);
    // What failed while nobody looked, until somebody writes.
    talk.refuses();
    let third = talk.sending.say(&talk.conversation, "Three").await;
    talk.sending.reaches(&third, "failed").await;
    assert_eq!(talk.listed("undelivered=true").await, 1);
    talk.sending.app.verify().await;
    talk.sending.provider.does(|_, _| Does::Take);
    talk.sending.say(&talk.conversation, "Four").await;
    assert_eq!(talk.listed("undelivered=true").await, 0);
    // Written on the phone after it was known.
    talk.refuses();
    let fifth = talk.sending.say(&talk.conversation, "Five").await;
    talk.sending.reaches(&fifth, "failed").await;
    assert_eq!(talk.listed("undelivered=true").await, 1);
    talk.phones("wamid.phone", 60).await;
    assert_eq!(talk.listed("undelivered=true").await, 0);
    // Nobody knows whether the provider has it, until a person says so.
    talk.sending.app.context.clock.advance(120);
    talk.sending.provider.does(|_, _| Does::Cut);
    let sixth = talk.sending.say(&talk.conversation, "Six").await;
    talk.sending.reaches(&sixth, "unknown").await;
    assert_eq!(talk.listed("undelivered=true").await, 1);
    talk.waits(None, 0).await;
    let settle = format!("/messages/{}/settle", text(&sixth["id"]));
    let settle = talk.sending.app.post(&settle).key(&talk.sending.key);
    let settled = settle.json(&json!({"status": "sent"})).send().await;
    settled.assert_status(200);
    assert_eq!(talk.listed("undelivered=true").await, 0);
    talk.sending.app.verify().await;
}

async fn whatever_happens_in_whatever_order_adds_up(store: Store) {
    let talk = Talk::start(store).await;
    let mut random = 17_u64;
    let mut next = |of: u64| {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % of
    };
    let mut sent: Vec<Value> = Vec::new();
    for step in 0..60_i64 {
        let seconds = step * 10 + next(60) as i64 - 30;
        match next(10) {
            0..4 => talk.writes(&format!("wamid.in.{step}"), seconds).await,
            4..6 => talk.phones(&format!("wamid.phone.{step}"), seconds).await,
            6 => {
                talk.refuses();
                let message = talk.sending.say(&talk.conversation, "No").await;
                sent.push(talk.sending.reaches(&message, "failed").await);
            }
            7 => {
                talk.sending.provider.does(|_, _| Does::Take);
                let message = talk.sending.say(&talk.conversation, "Yes").await;
                sent.push(talk.sending.reaches(&message, "sent").await);
            }
            8 => {
                if let Some(one) = sent.get(next(sent.len().max(1) as u64) as usize)
                    && let Some(id) = one["provider_id"].as_str()
                {
                    let name = ["failed", "delivered"][next(2) as usize];
                    let update = status(id, name, None);
                    talk.sending.app.deliver(&update).await.assert_status(200);
                }
            }
            _ => {
                let name = ["open", "resolved"][next(2) as usize];
                let path = format!("/conversations/{}", talk.conversation);
                let call = talk.sending.app.patch(&path).key(&talk.sending.key);
                let call = call.json(&json!({"status": name}));
                call.send().await.assert_status(200);
            }
        }
        talk.sending.app.verify().await;
    }
}
