//! `POST /messages/whatsapp`: both bodies of programs that were written for another API, and what the provider gets of them.

use crate::{
    sending::Sending,
    support::{Answer, Store, eventually, on_both_stores, program::text, whatsapp},
};
use inboxd::domain::Scope;
use serde_json::{Value, json};

on_both_stores![
    a_message_to_a_number_gets_the_short_answer,
    a_message_into_a_conversation_has_its_fields_beside,
    a_location_is_sent_by_either_body,
    a_form_that_is_partly_filled_in_is_understood,
    what_cannot_be_sent_yet_is_named,
    a_conversation_of_somebody_else_is_refused,
    it_can_be_repeated_and_waited_for,
];

async fn post(sending: &Sending, body: &Value) -> Answer {
    let call = sending.app.post("/messages/whatsapp").key(&sending.key);
    call.json(body).send().await
}

/// The conversation that begins with a greeting from a whole number.
async fn greeted(sending: &Sending) -> String {
    let hello = whatsapp::text("628111111111", "wamid.in1", "Hello");
    let hello = whatsapp::update("1001", &[hello]);
    sending.app.deliver(&hello).await.assert_status(200);
    sending.first("/conversations").await
}

/// What the provider got, once it has so many.
async fn got(sending: &Sending, count: usize) -> Vec<Value> {
    eventually("it is sent", async || {
        sending.provider.took().len() == count
    })
    .await;
    let took = sending.provider.took();
    took.into_iter().map(|one| one.body).collect()
}

async fn a_message_to_a_number_gets_the_short_answer(store: Store) {
    let sending = Sending::start(store).await;
    let body = json!({"inbox_id": sending.inbox.as_str(), "to": "+62812345678", "type": "text",
        "content": {"text": "Hello! How can we help you?"}});
    let answer = post(&sending, &body).await;
    let id = text(&answer.data()["message_id"]);
    answer.assert_json(
        200,
        &json!({"success": true, "data": {"message_id": id, "status": "queued", "to": "+62812345678",
            "timestamp": "2025-01-15T08:00:00Z"}}),
    );
    let body = &got(&sending, 1).await[0];
    assert_eq!(
        (&body["to"], &body["type"], &body["text"]["body"]),
        (
            &json!("+62812345678"),
            &json!("text"),
            &json!("Hello! How can we help you?")
        )
    );
    sending.reaches(&json!({"id": id}), "sent").await;
    sending.app.verify().await;
}

async fn a_message_into_a_conversation_has_its_fields_beside(store: Store) {
    let sending = Sending::start(store).await;
    let conversation = greeted(&sending).await;
    for receiver in ["628111111111", "+628111111111"] {
        let body = json!({"conversation_id": conversation, "receiver": receiver, "message": "Yes"});
        let answer = post(&sending, &body).await;
        answer.assert_status(200);
        let data = answer.data();
        let shown = [
            ("message_id", data["id"].clone()),
            ("status", json!("queued")),
            ("to", json!("+628111111111")),
            ("timestamp", json!("2025-01-15T08:00:00Z")),
            ("conversation_id", json!(conversation)),
            ("inbox_id", json!(sending.inbox.as_str())),
            ("direction", json!("outbound")),
            ("content", json!({"text": "Yes"})),
        ];
        for (name, value) in shown {
            assert_eq!(data[name], value, "{data}");
        }
        assert_eq!(data["sent_by"]["type"], "key");
    }
    for body in got(&sending, 2).await {
        assert_eq!(
            (&body["to"], &body["text"]["body"]),
            (&json!("+628111111111"), &json!("Yes"))
        );
    }
}

async fn a_location_is_sent_by_either_body(store: Store) {
    let sending = Sending::start(store).await;
    let conversation = greeted(&sending).await;
    let place = json!({"latitude": -6.2, "longitude": 106.8, "name": "Toko Biru", "address": "Jl. Jaksa 1"});
    let written = json!({"latitude": "-6.2", "longitude": "106.8", "name": "Toko Biru", "address": "Jl. Jaksa 1"});
    for body in [
        json!({"inbox_id": sending.inbox.as_str(), "to": "+628111111111", "type": "location", "content": place}),
        json!({"conversation_id": conversation, "receiver": "628111111111", "media_type": "location", "location": place}),
        json!({"conversation_id": conversation, "receiver": "628111111111", "location": written}),
    ] {
        post(&sending, &body).await.assert_status(200);
    }
    for body in got(&sending, 3).await {
        assert_eq!(
            (&body["type"], &body["location"]),
            (&json!("location"), &written)
        );
    }
    let far = json!({"latitude": "91", "longitude": "x"});
    let body =
        json!({"conversation_id": conversation, "receiver": "628111111111", "location": far});
    let number = ("location.longitude", "must be a number");
    post(&sending, &body).await.assert_wrong_fields(&[number]);
    let far = json!({"latitude": "91", "longitude": 1});
    let body =
        json!({"conversation_id": conversation, "receiver": "628111111111", "location": far});
    let degrees = ("location.latitude", "must be from -90 to 90");
    post(&sending, &body).await.assert_wrong_fields(&[degrees]);
}

async fn a_form_that_is_partly_filled_in_is_understood(store: Store) {
    let sending = Sending::start(store).await;
    let conversation = greeted(&sending).await;
    let empty = json!({"name": "", "parameters": {"display_text": "", "url": ""}});
    let body = json!({"conversation_id": conversation, "receiver": "628111111111", "message": "Yes", "file_url": "",
        "media_type": "", "location": {"latitude": "", "longitude": ""}, "header": {}, "footer": null, "action": empty});
    post(&sending, &body).await.assert_status(200);
    let body = json!({"inbox_id": sending.inbox.as_str(), "to": "+628111111111", "type": "text", "content": {"text": "Yes"},
        "conversation_id": "", "receiver": "", "action": {}});
    post(&sending, &body).await.assert_status(200);
    let body = json!({"conversation_id": conversation, "receiver": "628111111111", "message": "", "media_type": "location",
        "location": {"latitude": "1", "longitude": "2", "name": "", "address": ""}});
    post(&sending, &body).await.assert_status(200);
    let got = got(&sending, 3).await;
    assert_eq!(
        got[2]["location"],
        json!({"latitude": "1", "longitude": "2"})
    );
}

async fn what_cannot_be_sent_yet_is_named(store: Store) {
    let sending = Sending::start(store).await;
    let conversation = greeted(&sending).await;
    let files = "files cannot be sent yet";
    let buttons = "buttons and lists cannot be sent yet";
    let button = json!({"name": "cta_url", "parameters": {"display_text": "Pay", "url": "https://example.com"}});
    let cases: [(Value, &[(&str, &str)]); 8] = [
        (
            json!({"message": "Look", "file_url": "https://example.com/a.jpg"}),
            &[("file_url", files)],
        ),
        (
            json!({"file_url": "https://example.com/a.jpg", "media_type": "image"}),
            &[("file_url", files), ("media_type", files)],
        ),
        (
            json!({"message": "Pay", "media_type": "cta_url", "action": button}),
            &[("action", buttons), ("media_type", buttons)],
        ),
        (
            json!({"message": "Choose", "media_type": "list", "header": {"type": "text", "text": "A"}, "footer": {"text": "B"}}),
            &[
                ("header", buttons),
                ("footer", buttons),
                ("media_type", buttons),
            ],
        ),
        (
            json!({"message": "Look", "media_type": "hologram"}),
            &[("media_type", "must be location")],
        ),
        (
            json!({"message": "Here", "location": {"latitude": 1, "longitude": 2}}),
            &[(
                "message",
                "a location has no text: send it as a message of its own",
            )],
        ),
        (
            json!({"media_type": "location"}),
            &[("location", "is required with media_type location")],
        ),
        (json!({}), &[("message", "is required")]),
    ];
    for (mut body, wrong) in cases {
        body["conversation_id"] = json!(conversation);
        body["receiver"] = json!("628111111111");
        post(&sending, &body).await.assert_wrong_fields(wrong);
    }
    let long = "x".repeat(4097);
    let body =
        json!({"conversation_id": conversation, "receiver": "628111111111", "message": long});
    let rule = "WhatsApp takes at most 4096 characters, and this has 4097";
    post(&sending, &body)
        .await
        .assert_wrong_fields(&[("message", rule)]);
    let required = [("inbox_id", "is required"), ("to", "is required")];
    post(&sending, &json!({}))
        .await
        .assert_wrong_fields(&required);
    let body = json!({"inbox_id": sending.inbox.as_str(), "to": "+628111111111", "type": "image", "content": {"url": "https://example.com/a.jpg"}});
    let rule = ("type", "must be one of text, location");
    post(&sending, &body).await.assert_wrong_fields(&[rule]);
    let body = json!({"receiver": "628111111111", "message": "Yes"});
    post(&sending, &body)
        .await
        .assert_wrong_fields(&[("conversation_id", "is required")]);
    assert_eq!(sending.provider.asked(), 0);
}

async fn a_conversation_of_somebody_else_is_refused(store: Store) {
    let sending = Sending::start(store).await;
    let conversation = greeted(&sending).await;
    let other = whatsapp::update("1001", &[whatsapp::text("628222222222", "wamid.in2", "Hi")]);
    sending.app.deliver(&other).await.assert_status(200);
    let into = |conversation: &str, receiver: &str| json!({"conversation_id": conversation, "receiver": receiver, "message": "Yes"});
    let rule = "must be the contact of the conversation";
    for receiver in ["628222222222", "628333333333", "ID.123"] {
        let answer = post(&sending, &into(&conversation, receiver)).await;
        answer.assert_wrong_fields(&[("receiver", rule)]);
    }
    post(&sending, &into("conv_x", "628111111111"))
        .await
        .assert_status(404);
    // Another account's number and conversation are nobody's here.
    let account = sending.app.another_account().await;
    let others = sending.app.key_of(&account, &[Scope::Send]).await;
    let call = sending.app.post("/messages/whatsapp").key(&others);
    let answer = call.json(&into(&conversation, "628111111111")).send().await;
    answer.assert_status(404);
    assert_eq!(sending.provider.asked(), 0);
}

async fn it_can_be_repeated_and_waited_for(store: Store) {
    let sending = Sending::start(store).await;
    let conversation = greeted(&sending).await;
    let call = || {
        let call = sending.app.post("/messages/whatsapp").key(&sending.key);
        let call = call
            .header("idempotency-key", "1")
            .header("prefer", "wait=30");
        call.json(
            &json!({"conversation_id": conversation, "receiver": "628111111111", "message": "Once"}),
        )
    };
    let first = call().send().await;
    assert_eq!(first.data()["status"], "sent");
    let again = call().send().await;
    assert_eq!(again.header("idempotent-replayed"), "true");
    assert_eq!(again.data()["status"], "queued", "as it was accepted");
    assert_eq!(again.data()["message_id"], first.data()["message_id"]);
    assert_eq!(sending.provider.texts(), ["Once"]);
}
