//! `POST /contacts/{id}/merge`: two contacts that a person knows to be one.

use crate::{
    contacts::Contacts,
    people::{change, from},
    support::{
        Store, TestApp,
        live::Stream,
        on_both_stores,
        provider::Provider,
        whatsapp::{hello, text, update},
    },
};
use inboxd::{domain::Scope, id::InboxId};
use serde_json::{Value, json};

on_both_stores![
    contacts_of_two_channels_become_one,
    an_answer_goes_to_the_address_of_its_channel,
    what_was_written_of_both_is_kept,
    who_writes_to_one_inbox_twice_is_not_merged,
    groups_are_not_merged,
    ids_that_are_lost_go_on_to_work,
    merges_of_all_with_all_at_once_leave_one,
    a_listener_hears_of_a_merge,
    a_merged_contact_survives_an_inbox_that_is_removed,
];

async fn telegram(app: &TestApp) -> InboxId {
    let channel = json!({"bot_token": "700001:AAH"});
    app.inbox(json!({"name": "Bot", "type": "telegram", "channel": channel}))
        .await
}

async fn write(app: &TestApp, bot: &InboxId, id: i64, chat: Value) {
    let token = app.context.vault.inbox_token(bot);
    let update = json!({"update_id": id, "message": {"message_id": id, "date": 1_736_928_000, "chat": chat,
        "from": {"id": 77, "is_bot": false, "first_name": "Ana"}, "text": "Hello"}});
    let call = app.post(&format!("/hooks/telegram/{bot}"));
    let call = call.header("x-telegram-bot-api-secret-token", &token);
    call.json(&update).send().await.assert_status(200);
}

fn private() -> Value {
    json!({"id": 77, "type": "private", "first_name": "Ana", "username": "ana77"})
}

/// Somebody who has written on WhatsApp and on Telegram: both contacts, and the bot.
async fn two(contacts: &Contacts) -> (Value, Value, InboxId) {
    contacts.app.whatsapp("1001").await;
    let bot = telegram(&contacts.app).await;
    contacts.deliver(&hello("wamid.1")).await;
    write(&contacts.app, &bot, 1, private()).await;
    let found = contacts.list("").await;
    (found[1]["id"].clone(), found[0]["id"].clone(), bot)
}

async fn contacts_of_two_channels_become_one(store: Store) {
    let contacts = Contacts::start(store).await;
    let (whatsapp, telegram, bot) = two(&contacts).await;
    // The newer one stays, since it was named.
    let merged = contacts.merge(&telegram, &whatsapp).await;
    merged.assert_status(200);
    let merged = merged.data();
    assert_eq!(merged["id"], telegram);
    assert_eq!(
        (&merged["name"], &merged["phone"], &merged["username"]),
        (&json!("Ana"), &json!("+628111"), &json!("ana77"))
    );
    assert_eq!(merged["identities"].as_array().map(Vec::len), Some(2));
    assert_eq!(merged["conversations"].as_array().map(Vec::len), Some(2));
    assert_eq!(merged["former_ids"], json!([whatsapp]));
    let again = contacts.merge(&telegram, &whatsapp).await;
    again.assert_status(200);
    assert_eq!(again.data(), merged);
    // What either writes from now on is this contact's, and its name stays.
    contacts.deliver(&hello("wamid.2")).await;
    write(&contacts.app, &bot, 2, private()).await;
    let after = contacts.one(&telegram).await;
    assert_eq!(after["name"], "Ana");
    let counts = after["conversations"].as_array().expect("a list").iter();
    let counts: Vec<_> = counts.map(|one| &one["messages_count"]).collect();
    assert_eq!(counts, [2, 2]);
    for q in ["ana", "628111", "77"] {
        assert_eq!(contacts.list(&format!("q={q}")).await.len(), 1, "{q}");
    }
    assert_eq!(contacts.app.count("contacts").await, 1);
    contacts.app.verify().await;
}

async fn an_answer_goes_to_the_address_of_its_channel(store: Store) {
    let provider = Provider::start().await;
    let app = TestApp::asking(store, provider.settings()).await;
    let key = app.key(&[Scope::Read, Scope::Send]).await;
    let contacts = Contacts { app, key };
    let (whatsapp, telegram, bot) = two(&contacts).await;
    contacts
        .merge(&whatsapp, &telegram)
        .await
        .assert_status(200);
    let whole = contacts.one(&whatsapp).await;
    let of_bot = whole["conversations"].as_array().expect("a list").iter();
    let of_bot = of_bot
        .into_iter()
        .find(|one| one["inbox_id"] == bot.as_str());
    let body = json!({"conversation_id": of_bot.expect("it is there")["id"], "type": "text", "content": {"text": "Hi"}});
    let sent = contacts
        .app
        .post("/messages")
        .key(&contacts.key)
        .json(&body)
        .send()
        .await;
    sent.assert_status(201);
    crate::support::eventually("Telegram is asked", async || {
        let asked = provider.questions();
        asked.iter().any(|one| one.body["chat_id"] == 77)
    })
    .await;
}

async fn what_was_written_of_both_is_kept(store: Store) {
    let contacts = Contacts::start(store).await;
    let one =
        json!({"external_id": "17", "name": "Ayu", "note": "VIP", "attributes": {"a": 1, "b": 1}});
    let other = json!({"external_id": "18", "phone": "+628111111", "name": "Ayu L", "note": "Late payer", "email": "a@b",
        "attributes": {"b": 2, "c": 2}});
    let one = contacts.add(&one).await.data()["id"].clone();
    let other = contacts.add(&other).await.data()["id"].clone();
    let merged = contacts.merge(&one, &other).await.data();
    for (name, value) in [
        ("name", json!("Ayu")),
        ("external_id", json!("17")),
        ("phone", json!("+628111111")),
        ("email", json!("a@b")),
        ("note", json!("VIP\n\nLate payer")),
        ("attributes", json!({"b": 1, "c": 2, "a": 1})),
    ] {
        assert_eq!(merged[name], value, "{name}");
    }
    // Both of the business's ids lead to it.
    for id in ["17", "18"] {
        assert_eq!(
            contacts.list(&format!("external_id={id}")).await[0]["id"],
            one
        );
        let again = contacts.add(&json!({"external_id": id})).await;
        again.assert_status(200);
        assert_eq!(again.data()["id"], one);
    }
    contacts.app.verify().await;
}

async fn who_writes_to_one_inbox_twice_is_not_merged(store: Store) {
    let contacts = Contacts::start(store).await;
    let inbox = contacts.app.whatsapp("1001").await;
    contacts.app.whatsapp("1002").await;
    contacts.deliver(&hello("wamid.1")).await;
    let other = update("1001", &[text("628222", "wamid.2", "Hello")]);
    contacts.deliver(&other).await;
    let found = contacts.list("").await;
    let (one, other) = (&found[1]["id"], &found[0]["id"]);
    let refused = contacts.merge(one, other).await;
    let message = format!("Both contacts have a conversation in inbox {inbox}");
    refused.assert_conflict("same_inbox", &message);
    // Nor who has two numbers: an answer could go to the wrong one.
    let third = update("1002", &[text("628333", "wamid.3", "Hello")]);
    contacts.deliver(&third).await;
    let third = contacts.list("q=628333").await[0]["id"].clone();
    let refused = contacts.merge(one, &third).await;
    refused.assert_conflict(
        "two_addresses",
        "Each contact has a whatsapp phone of its own",
    );
    assert_eq!(contacts.app.count("joins").await, 0);
    assert_eq!(contacts.list("").await.len(), 3);
    contacts.app.verify().await;
}

async fn groups_are_not_merged(store: Store) {
    let contacts = Contacts::start(store).await;
    let (whatsapp, _, bot) = two(&contacts).await;
    let group = json!({"id": -5, "type": "group", "title": "Club"});
    write(&contacts.app, &bot, 3, group).await;
    let group = contacts.list("q=club").await[0].clone();
    assert_eq!(group["is_group"], true);
    for (one, other) in [(&whatsapp, &group["id"]), (&group["id"], &whatsapp)] {
        let refused = contacts.merge(one, other).await;
        refused.assert_wrong_fields(&[("from", "groups cannot be merged")]);
    }
}

async fn ids_that_are_lost_go_on_to_work(store: Store) {
    let contacts = Contacts::start(store).await;
    let (whatsapp, telegram, _) = two(&contacts).await;
    let third = contacts.add(&json!({"external_id": "17"})).await.data()["id"].clone();
    contacts
        .merge(&telegram, &whatsapp)
        .await
        .assert_status(200);
    contacts.merge(&third, &telegram).await.assert_status(200);
    let survivor = contacts.one(&third).await;
    for lost in [&whatsapp, &telegram] {
        assert_eq!(contacts.one(lost).await, survivor);
        let changed = contacts.change(lost, &json!({"muted": false})).await;
        changed.assert_status(200);
        assert_eq!(changed.data()["id"], third);
        let again = contacts.merge(lost, &third).await;
        again.assert_status(200);
        assert_eq!(again.data()["id"], third);
    }
    assert_eq!(survivor["former_ids"].as_array().map(Vec::len), Some(2));
    contacts.app.verify().await;
}

async fn merges_of_all_with_all_at_once_leave_one(store: Store) {
    let contacts = Contacts::start(store).await;
    let node = contacts.app.another_node().await;
    let mut ids = Vec::new();
    for number in 0..4 {
        let body = json!({"external_id": number.to_string()});
        ids.push(contacts.add(&body).await.data()["id"].clone());
    }
    let mut calls = Vec::new();
    for one in &ids {
        for other in ids.iter().filter(|other| *other != one) {
            let app = [&contacts.app, &node][calls.len() % 2];
            let path = format!("/contacts/{}/merge", one.as_str().expect("an id"));
            let call = app.post(&path).key(&contacts.key);
            calls.push(call.json(&json!({"from": other})).send());
        }
    }
    for answer in futures_util::future::join_all(calls).await {
        answer.assert_success();
    }
    crate::support::eventually("all are one", async || {
        contacts.app.count("joins").await == 0
    })
    .await;
    assert_eq!(contacts.app.count("contacts").await, 1);
    assert_eq!(contacts.app.count("external_ids").await, 4);
    contacts.app.verify().await;
}

async fn a_listener_hears_of_a_merge(store: Store) {
    let contacts = Contacts::start(store).await;
    let (whatsapp, telegram, _) = two(&contacts).await;
    let mut stream = Stream::open(contacts.app.address, &contacts.key, None).await;
    contacts
        .merge(&whatsapp, &telegram)
        .await
        .assert_status(200);
    let (name, _, told) = stream.next().await.expect("an event");
    assert_eq!(name, "contact.changed");
    assert_eq!(
        (&told["id"], &told["former_ids"]),
        (&whatsapp, &json!([telegram]))
    );
    let (name, _, told) = stream.next().await.expect("an event");
    assert_eq!(name, "conversation.changed");
    assert_eq!(told["contact"]["id"], whatsapp);
}

async fn a_merged_contact_survives_an_inbox_that_is_removed(store: Store) {
    let contacts = Contacts::start(store).await;
    let (whatsapp, telegram, bot) = two(&contacts).await;
    contacts
        .merge(&whatsapp, &telegram)
        .await
        .assert_status(200);
    let key = contacts.app.key(&[Scope::Write]).await;
    let path = format!("/inboxes/{bot}?purge=true");
    contacts
        .app
        .delete(&path)
        .key(&key)
        .send()
        .await
        .assert_status(204);
    crate::support::eventually("it is removed", async || {
        contacts.app.count("inboxes").await == 1
    })
    .await;
    assert_eq!(contacts.one(&telegram).await["id"], whatsapp);
    let mut renamed = from(Some("628111"), Some("ID.1"), "wamid.9");
    change(&mut renamed)["value"]["contacts"] = json!([]);
    contacts.deliver(&renamed).await;
    let whole = contacts.one(&whatsapp).await;
    assert_eq!(whole["conversations"][0]["messages_count"], 2);
    contacts.app.verify().await;
}
