//! `POST /contacts`: one contact for an external id or a number, however many say it at once.

use crate::{
    contacts::Contacts,
    support::{
        Store, on_both_stores,
        whatsapp::{text, update},
    },
};
use serde_json::{Value, json};
use std::collections::BTreeSet;

on_both_stores![
    an_added_contact_gets_the_messages_of_its_number,
    an_upsert_finds_by_external_id_and_by_phone,
    ids_of_different_contacts_are_a_conflict,
    many_equal_upserts_at_once_make_one_contact,
    an_upsert_and_a_first_message_at_once_make_one_contact,
];

async fn an_added_contact_gets_the_messages_of_its_number(store: Store) {
    let contacts = Contacts::start(store).await;
    contacts.app.whatsapp("1001").await;
    let body = json!({"phone": "+628111111", "name": "Ayu Lestari", "external_id": "customer-17", "email": "ayu@example.com",
        "note": "VIP", "attributes": {"plan": "gold", "orders": 3, "vip": true}, "muted": false});
    let added = contacts.add(&body).await;
    added.assert_status(201);
    let contact = added.data();
    let id = contact["id"].as_str().expect("an id");
    assert_eq!(added.header("location"), format!("/contacts/{id}"));
    for (name, value) in body.as_object().expect("an object") {
        assert_eq!(&contact[name], value, "{name}");
    }
    contacts
        .deliver(&update("1001", &[text("628111111", "wamid.1", "Hello")]))
        .await;
    let after = contacts.one(&contact["id"]).await;
    assert_eq!(after["name"], "Ayu Lestari");
    assert_eq!(after["conversations"][0]["messages_count"], 1);
    assert_eq!(contacts.app.count("contacts").await, 1);
    contacts.app.verify().await;
}

async fn an_upsert_finds_by_external_id_and_by_phone(store: Store) {
    let contacts = Contacts::start(store).await;
    let first = contacts.add(&json!({"external_id": "17"})).await;
    first.assert_status(201);
    let first = first.data();
    assert_eq!(first["identities"], json!([]));
    let both = json!({"external_id": "17", "phone": "+628111111", "name": "Ayu"});
    let again = contacts.add(&both).await;
    again.assert_status(200);
    let again = again.data();
    assert_eq!(again["id"], first["id"]);
    assert_eq!(again["phone"], "+628111111");
    let by_phone = contacts
        .add(&json!({"phone": "+628111111", "email": "a@b"}))
        .await;
    by_phone.assert_status(200);
    let by_phone = by_phone.data();
    assert_eq!(by_phone["id"], first["id"]);
    assert_eq!(
        (&by_phone["name"], &by_phone["email"]),
        (&json!("Ayu"), &json!("a@b"))
    );
    // The one that has written gets the external id.
    contacts.app.whatsapp("1001").await;
    contacts
        .deliver(&update("1001", &[text("628222222", "wamid.1", "Hello")]))
        .await;
    let wrote = contacts
        .add(&json!({"external_id": "18", "phone": "+628222222"}))
        .await;
    wrote.assert_status(200);
    assert_eq!(wrote.data()["conversations"][0]["messages_count"], 1);
    for query in ["phone=628222222", "phone=%2B628222222", "external_id=18"] {
        let found = contacts.list(query).await;
        assert_eq!(found.len(), 1, "{query}");
        assert_eq!(found[0]["id"], wrote.data()["id"], "{query}");
    }
    assert_eq!(contacts.list("external_id=19").await, [Value::Null; 0]);
    contacts.app.verify().await;
}

async fn ids_of_different_contacts_are_a_conflict(store: Store) {
    let contacts = Contacts::start(store).await;
    let one = contacts
        .add(&json!({"external_id": "17", "phone": "+628111111"}))
        .await
        .data();
    let other = contacts.add(&json!({"phone": "+628222222"})).await.data();
    let (one, other) = (
        one["id"].as_str().expect("an id"),
        other["id"].as_str().expect("an id"),
    );
    let refused = contacts
        .add(&json!({"external_id": "17", "phone": "+628222222"}))
        .await;
    let message = format!(
        "external_id is of contact {one}, and phone is of {other}: merge them, or give one of the two"
    );
    refused.assert_conflict("different_contacts", &message);
    let refused = contacts
        .add(&json!({"external_id": "18", "phone": "+628111111"}))
        .await;
    let message = format!("Contact {one} has this phone, and the external_id 17, not 18");
    refused.assert_conflict("different_contacts", &message);
    let refused = contacts
        .add(&json!({"external_id": "17", "phone": "+628333333"}))
        .await;
    refused.assert_conflict(
        "other_phone",
        &format!("Contact {one} has the phone +628111111"),
    );
    assert_eq!(contacts.app.count("contacts").await, 2);
    assert_eq!(contacts.app.count("external_ids").await, 1);
    contacts.app.verify().await;
}

async fn many_equal_upserts_at_once_make_one_contact(store: Store) {
    let contacts = Contacts::start(store).await;
    let node = contacts.app.another_node().await;
    for (round, body) in [
        json!({"external_id": "17", "phone": "+628111111", "name": "Ayu"}),
        json!({"phone": "+628222222"}),
        json!({"external_id": "18"}),
    ]
    .iter()
    .enumerate()
    {
        let all = (0..12).map(|number| {
            let app = [&contacts.app, &node][number % 2];
            let call = app.post("/contacts").key(&contacts.key);
            call.json(body).send()
        });
        let answers = futures_util::future::join_all(all).await;
        let ids: BTreeSet<_> = answers
            .iter()
            .map(|one| one.data()["id"].to_string())
            .collect();
        assert_eq!(ids.len(), 1, "{body}");
        let new = answers.iter().filter(|one| one.status == 201).count();
        assert_eq!(new, 1, "{body}");
        assert_eq!(contacts.app.count("contacts").await, round as i64 + 1);
    }
    contacts.app.verify().await;
}

async fn an_upsert_and_a_first_message_at_once_make_one_contact(store: Store) {
    let contacts = Contacts::start(store).await;
    let node = contacts.app.another_node().await;
    contacts.app.whatsapp("1001").await;
    for number in 0..8 {
        let digits = format!("62811100{number}");
        let payload = update(
            "1001",
            &[text(&digits, &format!("wamid.{number}"), "Hello")],
        );
        let body = json!({"phone": format!("+{digits}"), "external_id": digits, "name": "Ayu"});
        let call = node.post("/contacts").key(&contacts.key).json(&body).send();
        let (delivered, added) = tokio::join!(contacts.app.deliver(&payload), call);
        delivered.assert_status(200);
        added.assert_success();
        let contact = contacts.one(&added.data()["id"]).await;
        assert_eq!(contact["conversations"][0]["messages_count"], 1);
        assert_eq!(contact["name"], "Ayu");
    }
    assert_eq!(contacts.app.count("contacts").await, 8);
    contacts.app.verify().await;
}
