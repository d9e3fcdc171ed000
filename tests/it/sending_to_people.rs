//! Whom a message goes to, and what becomes of those that wait while it turns out who somebody is.

use crate::{
    people::{change, conversations, from, system},
    sending::{Sending, status},
    support::{
        Store, TestApp,
        counting::{Counting, Does},
        eventually, on_both_stores, whatsapp,
    },
};
use db::Sql;
use inboxd::domain::Scope;
use serde_json::{Value, json};
use std::time::Duration;

on_both_stores![
    what_waits_in_joined_conversations_leaves_in_order,
    what_is_being_sent_during_a_join_holds_nothing_back,
    an_echo_finds_its_message_after_a_join,
    nothing_goes_to_a_number_that_is_somebody_elses_now,
    what_failed_after_it_was_sent_is_queued_again,
    what_is_damaged_holds_up_no_other,
    a_new_name_sends_nothing_earlier,
    an_answer_goes_to_the_topic_of_what_it_answers,
    a_number_that_whatsapp_spells_otherwise_is_the_same_person,
];

/// A message in a conversation begins it with a person of this id, so many seconds later.
async fn begun(sending: &Sending, user_id: &str, seconds: i64) -> String {
    let mut payload = from(None, Some(user_id), &format!("wamid.{user_id}"));
    change(&mut payload)["value"]["messages"][0]["timestamp"] =
        (1_736_928_000 + seconds).to_string().into();
    sending.app.deliver(&payload).await.assert_status(200);
    sending.first("/conversations").await
}

/// `US.1` and `US.2` turn out to be one person.
async fn join(sending: &Sending) {
    let said =
        json!({"type": "user_changed_user_id", "user_id": "US.2", "previous_user_id": "US.1"});
    let said = system(10, json!({}), said);
    sending.app.deliver(&said).await.assert_status(200);
    eventually("they are joined", async || {
        sending.app.count("joins").await == 0 && sending.app.count("conversations").await == 1
    })
    .await;
    sending.app.verify().await;
}

/// The provider takes nothing now, and may be asked again.
fn refuse(provider: &Counting) {
    let later = json!({"error": {"code": 131_056, "message": "Too fast"}});
    provider.does(move |_, _| Does::Answer(400, later.clone()));
}

async fn what_waits_in_joined_conversations_leaves_in_order(store: Store) {
    let sending = Sending::start(store).await;
    let older = begun(&sending, "US.1", 0).await;
    let newer = begun(&sending, "US.2", 7).await;
    refuse(&sending.provider);
    sending.say(&newer, "One").await;
    sending.say(&older, "Two").await;
    sending.say(&newer, "Three").await;
    eventually("the first of each was tried", async || {
        sending.provider.asked() == 2
    })
    .await;
    join(&sending).await;
    // Its old id leads there, and the window is that of the later message.
    let fourth = sending.say(&newer, "Four").await;
    assert_eq!(fourth["conversation_id"], older.as_str());
    let joined = &conversations(&sending.app).await[0];
    assert_eq!(joined["id"], older.as_str());
    assert_eq!(joined["window"]["closes_at"], "2025-01-16T08:00:07Z");
    sending.provider.does(|_, _| Does::Take);
    sending.app.context.clock.advance(60);
    sending.reaches(&fourth, "sent").await;
    assert_eq!(sending.provider.texts(), ["One", "Two", "Three", "Four"]);
    sending.app.verify().await;
}

async fn what_is_being_sent_during_a_join_holds_nothing_back(store: Store) {
    let sending = Sending::start(store).await;
    let older = begun(&sending, "US.1", 0).await;
    let newer = begun(&sending, "US.2", 7).await;
    sending.provider.does(|_, before| match before {
        0 => Does::TakeLate(Duration::from_secs(2)),
        _ => Does::Take,
    });
    let first = sending.say(&newer, "One").await;
    let second = sending.say(&newer, "Two").await;
    eventually("an attempt is under way", async || {
        sending.provider.asked() == 1
    })
    .await;
    join(&sending).await;
    let third = sending.say(&older, "Three").await;
    assert_eq!(sending.get(&first).await["status"], "queued");
    for message in [&first, &second, &third] {
        sending.reaches(message, "sent").await;
    }
    assert_eq!(sending.provider.texts(), ["One", "Two", "Three"]);
    sending.app.verify().await;
}

async fn an_echo_finds_its_message_after_a_join(store: Store) {
    let sending = Sending::patient(store, Duration::from_millis(500)).await;
    begun(&sending, "US.1", 0).await;
    let newer = begun(&sending, "US.2", 7).await;
    sending.provider.does(|_, _| Does::TakeAndCut);
    let message = sending.say(&newer, "One").await;
    sending.reaches(&message, "unknown").await;
    let mut echo = whatsapp::value(
        "1001",
        "message_echoes",
        json!([{"from": "62812345678", "to_user_id": "US.2", "id": "wamid.out1",
            "timestamp": "1736928003", "type": "text", "text": {"body": "One"}}]),
    );
    change(&mut echo)["field"] = "smb_message_echoes".into();
    sending.app.deliver(&echo).await.assert_status(200);
    assert_eq!(sending.app.count("echoes").await, 1);
    join(&sending).await;
    sending.app.context.clock.advance(61);
    let settled = sending.reaches(&message, "sent").await;
    assert_eq!(settled["provider_id"], "wamid.out1");
    assert_eq!(sending.app.count("messages").await, 3);
    sending.app.verify().await;
}

async fn nothing_goes_to_a_number_that_is_somebody_elses_now(store: Store) {
    let sending = Sending::start(store).await;
    let deliver = async |payload: &Value| sending.app.deliver(payload).await.assert_status(200);
    // Each is known by a number first.
    deliver(&from(Some("15557001"), None, "wamid.1")).await;
    let handed_on = sending.first("/conversations").await;
    deliver(&from(Some("15558001"), None, "wamid.2")).await;
    let changed = sending.first("/conversations").await;
    deliver(&from(Some("15557001"), Some("US.1"), "wamid.3")).await;
    deliver(&from(Some("15557001"), Some("US.2"), "wamid.4")).await;
    let said = json!({"type": "user_changed_number", "wa_id": "15558002"});
    deliver(&system(10, json!({"from": "15558001"}), said)).await;
    for conversation in [&handed_on, &changed] {
        let message = sending.say(conversation, "Hello").await;
        sending.reaches(&message, "sent").await;
    }
    let took = sending.provider.took();
    assert_eq!(took[0].body["recipient"], "US.1");
    assert_eq!(took[0].body.get("to"), None);
    assert_eq!(took[1].body["to"], "+15558002");
}

async fn what_failed_after_it_was_sent_is_queued_again(store: Store) {
    let sending = Sending::start(store).await;
    let conversation = sending.greeted().await;
    let message = sending.say(&conversation, "One").await;
    sending.reaches(&message, "sent").await;
    let failed = status("wamid.out1", "failed", None);
    sending.app.deliver(&failed).await.assert_status(200);
    sending.reaches(&message, "failed").await;
    let late = Duration::from_millis(500);
    sending.provider.does(move |_, _| Does::TakeLate(late));
    let again = sending.act(&message, "retry").await;
    again.assert_status(200);
    assert_eq!(again.data()["status"], "queued");
    let sent = sending.reaches(&message, "sent").await;
    assert_eq!(sent["provider_id"], "wamid.out2");
    sending.app.verify().await;
}

async fn what_is_damaged_holds_up_no_other(store: Store) {
    let sending = Sending::start(store).await;
    let conversation = begun(&sending, "US.1", 0).await;
    let mut body = crate::support::whatsapp_body("1002");
    body["channel"]["access_token"] = "EAAG".into();
    let other = sending.app.inbox(body).await;
    refuse(&sending.provider);
    sending.say(&conversation, "One").await;
    eventually("it was tried", async || sending.provider.asked() == 1).await;
    let mut payload = from(None, Some("US.2"), "wamid.2");
    change(&mut payload)["value"]["metadata"]["phone_number_id"] = "1002".into();
    sending.app.deliver(&payload).await.assert_status(200);
    let conversation = sending.first("/conversations").await;
    let sql = format!("UPDATE inboxes SET settings = '[' WHERE id <> '{other}'");
    let mut session = sending.app.context.db.write().await.expect("a session");
    let damaged = session.execute(&Sql::same(sql.leak()), &[]).await;
    assert_eq!(damaged.expect("damaged"), 1);
    session.commit().await.expect("committed");
    sending.provider.does(|_, _| Does::Take);
    sending.app.context.clock.advance(30);
    let message = sending.say(&conversation, "Two").await;
    sending.reaches(&message, "sent").await;
    assert_eq!(sending.app.count("outbox").await, 1);
}

async fn a_new_name_sends_nothing_earlier(store: Store) {
    let sending = Sending::start(store).await;
    let conversation = sending.greeted().await;
    refuse(&sending.provider);
    sending.say(&conversation, "One").await;
    eventually("it was tried", async || sending.provider.asked() == 1).await;
    let due = async || {
        let sql = Sql::same("SELECT due_at FROM outbox WHERE state = 'queued'");
        let mut session = sending.app.context.db.read().await.expect("a session");
        let due = session.query_opt(&sql, &[], |row| row.get::<i64>(0)).await;
        due.expect("it is read")
    };
    let mut before = None;
    eventually("it waits", async || {
        before = due().await;
        before.is_some()
    })
    .await;
    let key = sending.app.key(&[Scope::Write]).await;
    let path = format!("/inboxes/{}", sending.inbox);
    for (body, is_same) in [
        (json!({"name": "Renamed"}), true),
        (json!({"status": "inactive"}), true),
        (json!({"status": "active"}), false),
    ] {
        let answer = sending.app.patch(&path).key(&key).json(&body).send().await;
        answer.assert_status(200);
        assert_eq!(due().await == before, is_same, "{body}");
    }
}

async fn an_answer_goes_to_the_topic_of_what_it_answers(store: Store) {
    let provider = Counting::start().await;
    let app = TestApp::asking(store, provider.settings(Duration::from_secs(20))).await;
    let bot = json!({"name": "Bot", "type": "telegram", "channel": {"bot_token": "110201543:AAH"}});
    let inbox = app.inbox(bot).await;
    let key = app.key(&[Scope::Read, Scope::Send]).await;
    let secret = app.context.vault.inbox_token(&inbox);
    let ana = json!({"id": 77, "is_bot": false, "first_name": "Ana"});
    let in_forum = json!({"message_id": 1, "date": 1_736_928_000, "text": "Hello", "from": ana,
        "is_topic_message": true, "message_thread_id": 9,
        "chat": {"id": -1_001, "type": "supergroup", "title": "Fans", "is_forum": true}});
    let direct = json!({"message_id": 2, "date": 1_736_928_001, "text": "Hello", "from": ana,
        "direct_messages_topic": {"topic_id": 101, "user": ana},
        "chat": {"id": -1_009, "type": "supergroup", "title": "Shop", "is_direct_messages": true}});
    for (update, message, chat, topic) in [
        (1, in_forum, -1_001, ("message_thread_id", 9)),
        (2, direct, -1_009, ("direct_messages_topic_id", 101)),
    ] {
        let hook = app.post(&format!("/hooks/telegram/{inbox}"));
        let hook = hook.header("x-telegram-bot-api-secret-token", &secret);
        let hook = hook.json(&json!({"update_id": update, "message": message}));
        hook.send().await.assert_status(200);
        let list = app.get("/conversations?sort=latest").key(&key);
        let conversation = list.send().await.data()[0]["id"].clone();
        let answer =
            json!({"conversation_id": conversation, "type": "text", "content": {"text": "Yes"}});
        let answer = app.post("/messages").key(&key).json(&answer).send().await;
        answer.assert_status(201);
        eventually("it is sent", async || provider.took().len() == update).await;
        let sent = provider.took().pop().expect("it is there").body;
        assert_eq!(sent["chat_id"], chat);
        let named = ["message_thread_id", "direct_messages_topic_id"];
        let named: Vec<_> = named
            .iter()
            .filter(|name| !sent[**name].is_null())
            .collect();
        assert_eq!(named, [&topic.0]);
        assert_eq!(sent[topic.0], topic.1);
    }
}

async fn a_number_that_whatsapp_spells_otherwise_is_the_same_person(store: Store) {
    let sending = Sending::start(store).await;
    sending.provider.does(|_, before| {
        let id = format!("wamid.out{before}");
        let contact = json!({"input": "+5511987654321", "wa_id": "551187654321"});
        let answer = json!({"contacts": [contact], "messages": [{"id": id}]});
        Does::Answer(200, answer)
    });
    let to = json!({"inbox_id": sending.inbox, "to": "+5511987654321", "type": "text",
        "content": {"text": "Your order is ready"}});
    let first = sending.post(&to).await.data();
    sending.reaches(&first, "sent").await;
    let answer = whatsapp::text("551187654321", "wamid.in1", "Thanks");
    let answer = whatsapp::update("1001", &[answer]);
    sending.app.deliver(&answer).await.assert_status(200);
    let second = sending.post(&to).await.data();
    sending.reaches(&second, "sent").await;
    assert_eq!(second["conversation_id"], first["conversation_id"]);
    let listed = conversations(&sending.app).await;
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0]["messages_count"], 3);
    assert_eq!(listed[0]["contact"]["phone"], "+551187654321");
    sending.app.verify().await;
}
