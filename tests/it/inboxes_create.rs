//! `POST /inboxes`: what makes an inbox, and whose address it may have.

use crate::support::{
    Store,
    bodies::{Creator, instagram, livechat, telegram, with},
    on_both_stores, whatsapp_body,
};
use inboxd::domain::Scope;
use serde_json::{Value, json};

on_both_stores![
    each_type_is_created_with_what_it_needs,
    the_answer_is_the_inbox_and_its_location,
    the_name_is_trimmed,
    a_taken_phone_number_id_is_a_conflict,
    a_number_of_another_inbox_is_a_conflict_that_names_it,
    a_number_is_given_once_at_once,
    a_taken_instagram_account_is_a_conflict,
    a_taken_bot_is_a_conflict_whatever_its_token,
    of_many_that_claim_one_address_at_once_one_gets_it,
    secrets_are_never_shown,
];

fn taken(channel: &str, field: &str) -> String {
    format!("This {channel} address is already connected to an inbox of this server ({field})")
}

/// Creates `first`, then `second` in the same account and in another: each is a conflict and leaves no trace.
async fn assert_conflict(store: Store, first: &Value, second: &Value, message: &str) {
    let creator = Creator::start(store).await;
    creator.create(first).await.assert_status(201);
    let before = creator.app.listing().await;
    creator
        .create(second)
        .await
        .assert_conflict("address_taken", message);

    let other = creator.app.another_account().await;
    let key = creator.app.key_of(&other, &Scope::ALL).await;
    let answer = creator
        .app
        .post("/inboxes")
        .key(&key)
        .json(second)
        .send()
        .await;
    answer.assert_conflict("address_taken", message);
    let answer = creator.app.get("/inboxes").key(&key).send().await;
    assert_eq!(answer.json()["pagination"]["total"], 0);
    assert_eq!(creator.app.listing().await, before);
    assert_eq!(creator.app.count("inbox_secrets").await, 1);
}

async fn each_type_is_created_with_what_it_needs(store: Store) {
    let creator = Creator::start(store).await;
    let optional = json!({"phone_number_id": "2002", "app_secret": "s", "access_token": "t", "business_account_id": "b"});
    for (body, status) in [
        (whatsapp_body("1001"), "pending"),
        (with(whatsapp_body("2002"), "channel", optional), "pending"),
        (instagram(), "pending"),
        (telegram(), "pending"),
        (livechat(), "active"),
        (
            with(
                livechat(),
                "channel",
                json!({"allowed_origins": ["https://a.example", "http://localhost:3000"]}),
            ),
            "active",
        ),
        (
            with(livechat(), "channel", json!({"allowed_origins": []})),
            "active",
        ),
    ] {
        let answer = creator.create(&body).await;
        answer.assert_status(201);
        let data = answer.data();
        assert_eq!(
            (&data["name"], &data["type"]),
            (&body["name"], &body["type"])
        );
        assert_eq!(data["status"], status, "{body}");
        assert_eq!(data["messages_count"], 0);
    }
}

async fn the_answer_is_the_inbox_and_its_location(store: Store) {
    let creator = Creator::start(store).await;
    let answer = creator.create(&whatsapp_body("1001")).await;
    answer.assert_status(201);
    let id = answer.data()["id"].as_str().expect("an id").to_owned();
    assert_eq!(answer.header("location"), format!("/inboxes/{id}"));
    assert_eq!(
        answer.text(),
        format!(
            r#"{{"success":true,"data":{{"id":"{id}","name":"Customer Support","type":"whatsapp","status":"pending","phone_number":"+62812345678","created_at":"2025-01-15T08:00:00Z","messages_count":0}}}}"#
        )
    );
    let reader = creator.app.key(&[Scope::Read]).await;
    let shown = creator
        .app
        .get(answer.header("location"))
        .key(&reader)
        .send()
        .await;
    assert_eq!(shown.text(), answer.text());
    assert_eq!(creator.app.listing().await, json!([answer.data()]));
}

async fn the_name_is_trimmed(store: Store) {
    let creator = Creator::start(store).await;
    for (given, kept) in [
        ("  Website \n", "Website"),
        ("\u{3000}网站\u{a0}", "网站"),
        ("a  b", "a  b"),
    ] {
        let answer = creator
            .create(&with(livechat(), "name", given.into()))
            .await;
        assert_eq!(answer.data()["name"], kept);
    }
}

async fn a_taken_phone_number_id_is_a_conflict(store: Store) {
    let second = with(whatsapp_body("1001"), "phone_number", "+49301234567".into());
    let message = taken("whatsapp", "channel.phone_number_id");
    assert_conflict(store, &whatsapp_body("1001"), &second, &message).await;
}

/// The number is in one inbox of its account: two would wait for the same updates.
async fn a_number_of_another_inbox_is_a_conflict_that_names_it(store: Store) {
    let creator = Creator::start(store).await;
    let first = creator.create(&whatsapp_body("1001")).await.data();
    let second = with(whatsapp_body("1002"), "phone_number", "+62812345678".into());
    let refused = creator.create(&second).await;
    let id = first["id"].as_str().expect("an id");
    let message = format!("The number +62812345678 belongs to inbox {id} of this account already");
    refused.assert_conflict("address_taken", &message);
    assert_eq!(
        creator.app.listing().await.as_array().map(Vec::len),
        Some(1)
    );

    // Another account may have it, too, and the number is free once its inbox is gone.
    let other = creator.app.another_account().await;
    creator.app.inbox_of(&other, second.clone()).await;
    let gone = creator
        .app
        .delete(&format!("/inboxes/{id}"))
        .key(&creator.key);
    gone.send().await.assert_status(204);
    creator
        .create(&with(second, "channel.phone_number_id", "1003".into()))
        .await
        .assert_status(201);
}

/// At the same moment, too, one gets it.
async fn a_number_is_given_once_at_once(store: Store) {
    let creator = Creator::start(store).await;
    let bodies: Vec<_> = (0..8)
        .map(|at| {
            with(
                whatsapp_body(&at.to_string()),
                "phone_number",
                "+62812345678".into(),
            )
        })
        .collect();
    let answers =
        futures_util::future::join_all(bodies.iter().map(|body| creator.create(body))).await;
    let made = answers
        .iter()
        .filter(|answer| answer.json()["success"] == true);
    assert_eq!(made.count(), 1);
}

async fn a_taken_instagram_account_is_a_conflict(store: Store) {
    let message = taken("instagram", "instagram_account_id");
    assert_conflict(store, &instagram(), &instagram(), &message).await;
}

async fn a_taken_bot_is_a_conflict_whatever_its_token(store: Store) {
    let second = with(telegram(), "channel.bot_token", "110201543:another".into());
    let message = taken("telegram", "channel.bot_token");
    assert_conflict(store, &telegram(), &second, &message).await;
}

async fn of_many_that_claim_one_address_at_once_one_gets_it(store: Store) {
    let creator = std::sync::Arc::new(Creator::start(store).await);
    let tries: Vec<_> = (0..12)
        .map(|_| {
            let creator = creator.clone();
            tokio::spawn(
                async move { creator.create(&whatsapp_body("1001")).await.status.as_u16() },
            )
        })
        .collect();
    let mut statuses = Vec::new();
    for one in tries {
        statuses.push(one.await.expect("no panic"));
    }
    statuses.sort_unstable();
    assert_eq!((statuses[0], &statuses[1..]), (201, &[409; 11][..]));
    assert_eq!(
        creator.app.listing().await.as_array().map(Vec::len),
        Some(1)
    );
}

async fn secrets_are_never_shown(store: Store) {
    let creator = Creator::start(store).await;
    let body = with(
        whatsapp_body("1001"),
        "channel.app_secret",
        "hush-hush".into(),
    );
    let body = with(body, "channel.access_token", "hush-token".into());
    let made = creator.create(&body).await;
    let path = made.header("location").to_owned();
    let key = creator.app.key(&Scope::ALL).await;
    for path in ["/inboxes", &path, &format!("{path}/setup")] {
        let answer = creator.app.get(path).key(&key).send().await;
        answer.assert_status(200);
        assert!(!answer.text().contains("hush"), "{path}");
    }
    assert!(!made.text().contains("hush"));
    // At rest neither.
    assert_eq!(creator.app.count("inbox_secrets").await, 2);
    assert_eq!(
        creator
            .app
            .count("inboxes WHERE settings LIKE '%hush%'")
            .await,
        0
    );
    let sealed = match store {
        Store::Sqlite => "instr(sealed, CAST('hush' AS BLOB)) > 0",
        Store::Postgres => "position('hush'::bytea IN sealed) > 0",
    };
    assert_eq!(
        creator
            .app
            .count(&format!("inbox_secrets WHERE {sealed}"))
            .await,
        0
    );
}
