//! `/contacts`: the people a business writes with, as it keeps them.

use crate::support::{
    Answer, Store, TestApp,
    live::Stream,
    on_both_stores,
    whatsapp::{counted, hello, text, update},
};
use inboxd::domain::Scope;
use serde_json::{Value, json};

on_both_stores![
    who_has_written_is_a_contact,
    a_name_that_was_set_is_not_changed_by_a_provider,
    a_change_changes_what_is_given,
    an_external_id_is_never_taken_from_another_contact,
    every_wrong_field_is_named,
    a_muted_contact_is_stored_and_counted_and_told_to_nobody,
    a_listener_hears_of_changed_contacts_and_can_catch_up,
    what_a_visitor_says_of_itself_is_claimed,
    another_account_sees_and_changes_nothing,
];

/// An app with a key that may read and send.
pub(crate) struct Contacts {
    pub(crate) app: TestApp,
    pub(crate) key: String,
}

impl Contacts {
    pub(crate) async fn start(store: Store) -> Self {
        let app = TestApp::start(store).await;
        let key = app.key(&[Scope::Read, Scope::Send]).await;
        Contacts { app, key }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.app.get(path).key(&self.key).send().await
    }

    pub(crate) async fn add(&self, body: &Value) -> Answer {
        let call = self.app.post("/contacts").key(&self.key);
        call.json(body).send().await
    }

    pub(crate) async fn change(&self, id: &Value, body: &Value) -> Answer {
        let path = format!("/contacts/{}", id.as_str().expect("an id"));
        let call = self.app.patch(&path).key(&self.key);
        call.json(body).send().await
    }

    pub(crate) async fn merge(&self, id: &Value, from: &Value) -> Answer {
        let path = format!("/contacts/{}/merge", id.as_str().expect("an id"));
        let call = self.app.post(&path).key(&self.key);
        call.json(&json!({"from": from})).send().await
    }

    pub(crate) async fn one(&self, id: &Value) -> Value {
        let path = format!("/contacts/{}", id.as_str().expect("an id"));
        self.get(&path).await.data()
    }

    pub(crate) async fn list(&self, query: &str) -> Vec<Value> {
        let listed = self.get(&format!("/contacts?{query}")).await.data();
        listed.as_array().expect("a list").clone()
    }

    pub(crate) async fn deliver(&self, payload: &Value) {
        self.app.deliver(payload).await.assert_status(200);
    }
}

async fn who_has_written_is_a_contact(store: Store) {
    let contacts = Contacts::start(store).await;
    let inbox = contacts.app.whatsapp("1001").await;
    contacts.deliver(&hello("wamid.1")).await;
    let listed = contacts.list("").await;
    let id = &listed[0]["id"];
    assert_eq!(
        listed,
        [json!({
            "id": id, "name": "Customer 628111", "phone": "+628111", "attributes": {}, "muted": false, "is_group": false,
            "identities": [{"channel": "whatsapp", "kind": "phone", "value": "628111"}],
            "created_at": "2025-01-15T08:00:00Z",
        })]
    );
    let mut whole = contacts.one(id).await;
    let conversations = whole["conversations"].take();
    assert_eq!(
        conversations,
        json!([{"id": conversations[0]["id"], "inbox_id": inbox.as_str(), "status": "open", "messages_count": 1,
            "updated_at": "2025-01-15T08:00:00Z"}])
    );
    assert_eq!(whole["former_ids"], json!([]));
    contacts.get("/contacts/contact_1").await.assert_status(404);
    contacts.app.verify().await;
}

async fn a_name_that_was_set_is_not_changed_by_a_provider(store: Store) {
    let contacts = Contacts::start(store).await;
    contacts.app.whatsapp("1001").await;
    contacts.deliver(&hello("wamid.1")).await;
    let id = contacts.list("").await[0]["id"].clone();
    let changed = contacts
        .change(&id, &json!({"name": " Bu Ayu "}))
        .await
        .data();
    assert_eq!(changed["name"], "Bu Ayu");
    let mut payload = hello("wamid.2");
    payload["entry"][0]["changes"][0]["value"]["contacts"][0]["profile"]["name"] = "Ayu L".into();
    contacts.deliver(&payload).await;
    assert_eq!(contacts.one(&id).await["name"], "Bu Ayu");
    assert_eq!(contacts.list("q=bu").await.len(), 1);
    let back = contacts.change(&id, &json!({"name": null})).await.data();
    assert_eq!(back["name"], "Ayu L", "what the provider said last");
    contacts.deliver(&hello("wamid.3")).await;
    assert_eq!(contacts.one(&id).await["name"], "Customer 628111");
    assert_eq!(contacts.list("q=bu").await.len(), 0);
    contacts.app.verify().await;
}

async fn a_change_changes_what_is_given(store: Store) {
    let contacts = Contacts::start(store).await;
    let body = json!({"external_id": "17", "name": "Ayu", "email": "a@b", "note": "n", "attributes": {"a": 1, "b": "x"}});
    let id = contacts.add(&body).await.data()["id"].clone();
    let change =
        json!({"note": null, "attributes": {"a": null, "c": false, "d": 1.5}, "muted": true});
    let changed = contacts.change(&id, &change).await;
    changed.assert_status(200);
    let changed = changed.data();
    assert_eq!(
        changed["attributes"],
        json!({"b": "x", "c": false, "d": 1.5})
    );
    assert_eq!(changed.get("note"), None);
    assert_eq!(
        (&changed["name"], &changed["email"], &changed["muted"]),
        (&json!("Ayu"), &json!("a@b"), &json!(true))
    );
    let many: serde_json::Map<_, _> = (0..49).map(|n| (format!("x{n}"), n.into())).collect();
    let refused = contacts.change(&id, &json!({"attributes": many})).await;
    refused.assert_wrong_fields(&[("attributes", "a contact has at most 50")]);
    assert_eq!(contacts.one(&id).await, changed);
    let removed = contacts
        .change(
            &id,
            &json!({"name": null, "email": null, "external_id": null}),
        )
        .await
        .data();
    for gone in ["name", "email", "external_id"] {
        assert_eq!(removed.get(gone), None, "{gone}");
    }
    contacts.app.verify().await;
}

async fn an_external_id_is_never_taken_from_another_contact(store: Store) {
    let contacts = Contacts::start(store).await;
    let one = contacts.add(&json!({"external_id": "17"})).await.data()["id"].clone();
    let other = contacts.add(&json!({"external_id": "18"})).await.data()["id"].clone();
    let refused = contacts.change(&other, &json!({"external_id": "17"})).await;
    refused.assert_conflict(
        "external_id_taken",
        "This external_id is of another contact",
    );
    assert_eq!(contacts.one(&other).await["external_id"], "18");
    let renamed = contacts.change(&one, &json!({"external_id": "19"})).await;
    renamed.assert_status(200);
    let taken = contacts.change(&other, &json!({"external_id": "17"})).await;
    taken.assert_status(200);
    assert_eq!(contacts.list("external_id=17").await[0]["id"], other);
    contacts.app.verify().await;
}

async fn every_wrong_field_is_named(store: Store) {
    let contacts = Contacts::start(store).await;
    let long = "x".repeat(5000);
    let body = json!({"phone": "0811", "name": "", "email": "nobody", "external_id": "\u{7}", "note": long,
        "attributes": {"a": [1], "": 1, "b": long, "c": null}, "muted": "no", "nickname": "x"});
    let text = "must be a string of at most 500 characters, a number, true, false or null";
    contacts.add(&body).await.assert_wrong_fields(&[
        (
            "external_id",
            "must have 1 to 255 characters, and no control characters",
        ),
        (
            "phone",
            "must be an E.164 phone number: + and 7 to 15 digits, as in +62812345678",
        ),
        ("name", "must have 1 to 100 characters"),
        (
            "email",
            "must be an e-mail address of at most 254 ASCII characters",
        ),
        ("note", "must have 1 to 4000 characters"),
        ("attributes.a", text),
        ("attributes.", "a name must have 1 to 64 characters"),
        ("attributes.b", text),
        ("muted", "must be true or false"),
        ("nickname", "is not a known field"),
    ]);
    contacts
        .add(&json!({"name": "Ayu"}))
        .await
        .assert_wrong_fields(&[("external_id", "is required, unless phone is given")]);
    let id = contacts.add(&json!({"external_id": "17"})).await.data()["id"].clone();
    let body =
        json!({"phone": "+628111111", "id": "x", "muted": null, "email": 5, "attributes": 5});
    contacts.change(&id, &body).await.assert_wrong_fields(&[
        ("email", "must be a string"),
        ("attributes", "must be an object"),
        ("muted", "must not be null"),
        ("id", "cannot be changed"),
        ("phone", "cannot be changed"),
    ]);
    contacts
        .merge(&id, &json!(5))
        .await
        .assert_wrong_fields(&[("from", "must be a string")]);
    contacts
        .merge(&id, &id)
        .await
        .assert_wrong_fields(&[("from", "must be another contact")]);
    contacts
        .merge(&id, &json!("contact_1"))
        .await
        .assert_status(404);
    let alone = "must be given alone";
    for (query, field, rule) in [
        ("q=%2B", "q", "must have 1 to 8 words"),
        ("q=a+b+c+d+e+f+g+h+i", "q", "must have 1 to 8 words"),
        (
            "phone=5",
            "phone",
            "must be an E.164 phone number: + and 7 to 15 digits, as in +62812345678",
        ),
        ("q=a&phone=628111111", "q", alone),
        ("phone=628111111&external_id=1", "phone", alone),
        (
            "cursor=x",
            "cursor",
            "must be the next_cursor of a page of this list",
        ),
        (
            "q=b&cursor=ann.contact_1",
            "cursor",
            "must be the next_cursor of a page of this list",
        ),
    ] {
        let answer = contacts.get(&format!("/contacts?{query}")).await;
        answer.assert_wrong_fields(&[(field, rule)]);
    }
    assert_eq!(contacts.app.count("contacts").await, 1);
}

async fn a_muted_contact_is_stored_and_counted_and_told_to_nobody(store: Store) {
    let contacts = Contacts::start(store).await;
    let app = &contacts.app;
    app.whatsapp("1001").await;
    contacts.deliver(&hello("wamid.1")).await;
    let id = contacts.list("").await[0]["id"].clone();
    contacts
        .change(&id, &json!({"muted": true}))
        .await
        .assert_status(200);
    let mut stream = Stream::open(app.address, &contacts.key, None).await;
    contacts.deliver(&hello("wamid.2")).await;
    let other = update("1001", &[text("628222", "wamid.3", "Hello")]);
    contacts.deliver(&other).await;
    let (_, first, message) = stream.next().await.expect("an event");
    assert_eq!(message["sender"]["phone"], "+628222");
    assert_eq!(counted(app).await, [3]);
    let of = format!("/conversations?contact_id={}", id.as_str().expect("an id"));
    let conversation = contacts.get(&of).await.data()[0].clone();
    assert_eq!(conversation["unread_count"], 1, "only what came before");
    app.verify().await;
    assert_eq!(
        contacts.one(&id).await["conversations"][0]["messages_count"],
        2
    );

    contacts
        .change(&id, &json!({"muted": false}))
        .await
        .assert_status(200);
    contacts.deliver(&hello("wamid.4")).await;
    let mut names = Vec::new();
    let mut again = Stream::open(app.address, &contacts.key, Some(&first)).await;
    while names.last().is_none_or(|name| name != "wamid.4") {
        let (name, _, data) = again.next().await.expect("an event");
        names.push(data["provider_id"].as_str().unwrap_or(&name).to_owned());
    }
    assert!(!names.contains(&"wamid.2".to_owned()), "{names:?}");
    app.verify().await;
}

async fn a_listener_hears_of_changed_contacts_and_can_catch_up(store: Store) {
    let contacts = Contacts::start(store).await;
    let app = &contacts.app;
    app.whatsapp("1001").await;
    // The inbox has proved itself.
    contacts.deliver(&hello("wamid.0")).await;
    let mut stream = Stream::open(app.address, &contacts.key, None).await;
    let added = contacts.add(&json!({"phone": "+628111111"})).await.data();
    let (name, first, told) = stream.next().await.expect("an event");
    assert_eq!((name.as_str(), &told), ("contact.changed", &added));
    // Nothing is changed, and nothing is told.
    contacts
        .add(&json!({"phone": "+628111111"}))
        .await
        .assert_status(200);
    let changed = contacts
        .change(&added["id"], &json!({"note": "n"}))
        .await
        .data();
    let (name, _, told) = stream.next().await.expect("an event");
    assert_eq!((name.as_str(), &told), ("contact.changed", &changed));
    // A provider says its name.
    contacts
        .deliver(&update("1001", &[text("628111111", "wamid.1", "Hello")]))
        .await;
    let (name, _, told) = stream.next().await.expect("an event");
    assert_eq!(
        (name.as_str(), &told["name"]),
        ("contact.changed", &json!("Customer 628111111"))
    );
    let (name, _, _) = stream.next().await.expect("an event");
    assert_eq!(name, "message.created");
    // What was missed comes once, as it is now.
    let mut again = Stream::open(app.address, &contacts.key, Some(&first)).await;
    let now = contacts.one(&added["id"]).await;
    let mut heard = Vec::new();
    while heard.last() != Some(&("contact.changed".to_owned(), now.clone())) {
        // Some nodes tell a little of before once more.
        let (name, _, told) = again.next().await.expect("an event");
        heard.push((name, told));
    }
    let of_contact = heard.iter().filter(|(_, told)| told["id"] == added["id"]);
    assert_eq!(of_contact.count(), 1);
}

async fn what_a_visitor_says_of_itself_is_claimed(store: Store) {
    let contacts = Contacts::start(store).await;
    let inbox = contacts.app.livechat("Website").await;
    let body = json!({"name": "Ayu"});
    let path = format!("/livechat/{inbox}/sessions");
    let session = contacts.app.post(&path).json(&body).send().await.data();
    let token = session["token"].as_str().expect("a token").to_owned();
    let path = format!("/livechat/{inbox}/messages");
    let message = json!({"client_id": "1", "text": "Hello"});
    let sent = contacts
        .app
        .post(&path)
        .key(&token)
        .json(&message)
        .send()
        .await;
    sent.assert_success();
    let contact = contacts.list("q=ayu").await[0].clone();
    assert_eq!(contact["claimed"], json!(["name"]));
    // It matches nobody.
    contacts
        .add(&json!({"external_id": "17", "name": "Ayu"}))
        .await
        .assert_status(201);
    assert_eq!(contacts.list("q=ayu").await.len(), 2);
    let confirmed = contacts
        .change(&contact["id"], &json!({"name": "Ayu"}))
        .await
        .data();
    assert_eq!(confirmed.get("claimed"), None);
}

async fn another_account_sees_and_changes_nothing(store: Store) {
    let contacts = Contacts::start(store).await;
    let body = json!({"external_id": "17", "phone": "+628111111", "name": "Ayu"});
    let id = contacts.add(&body).await.data()["id"].clone();
    let other = contacts.app.another_account().await;
    let others = Contacts {
        key: contacts.app.key_of(&other, &Scope::ALL).await,
        app: contacts.app,
    };
    let path = format!("/contacts/{}", id.as_str().expect("an id"));
    others.get(&path).await.assert_status(404);
    others
        .change(&id, &json!({"name": "Mine"}))
        .await
        .assert_status(404);
    let own = others.add(&body).await;
    own.assert_status(201);
    let own = own.data()["id"].clone();
    assert_ne!(own, id);
    others.merge(&own, &id).await.assert_status(404);
    others.merge(&id, &own).await.assert_status(404);
    for query in ["", "q=ayu", "phone=628111111", "external_id=17"] {
        let found = others.list(query).await;
        assert_eq!(found.len(), 1, "{query}");
        assert_eq!(found[0]["id"], own, "{query}");
    }
    let own_key = others.app.key(&[Scope::Read]).await;
    let listed = others
        .app
        .get("/contacts")
        .key(&own_key)
        .send()
        .await
        .data();
    assert_eq!(listed[0]["id"], id);
    others.app.verify().await;
}
