//! `POST /inboxes`: each wrong field gets its clear error and leaves no trace.

use crate::support::{
    Store,
    bodies::{Creator, instagram, livechat, livechat_with_channel, telegram, with, without},
    on_both_stores, whatsapp_body,
};
use serde_json::{Value, json};

on_both_stores![
    a_name_has_1_to_100_characters,
    every_wrong_field_is_reported_at_once,
    each_type_says_what_it_lacks,
    an_unknown_field_is_an_error,
    a_field_of_another_type_is_an_error,
    a_phone_number_is_e164,
    addresses_and_credentials_are_checked,
    allowed_origins_are_checked_one_by_one,
    null_is_no_value,
    malformed_json_is_an_error,
    only_json_is_taken,
    a_body_beyond_64_kib_is_too_large,
];

const E164_RULE: &str = "must be an E.164 phone number: + and 7 to 15 digits, as in +62812345678";
const UNKNOWN: &str = "is not a known field";

async fn a_name_has_1_to_100_characters(store: Store) {
    let creator = Creator::start(store).await;
    for good in [
        "x".to_owned(),
        "ü".repeat(100),
        "🙏".repeat(100),
        format!(" {} ", "x".repeat(100)),
    ] {
        creator
            .create(&with(livechat(), "name", good.into()))
            .await
            .assert_status(201);
    }
    let rule = "must have 1 to 100 characters";
    for bad in [
        String::new(),
        " \t\n ".to_owned(),
        "x".repeat(101),
        "🙏".repeat(101),
    ] {
        creator
            .refuse(&with(livechat(), "name", bad.into()), &[("name", rule)])
            .await;
    }
    let rule = "must not contain control characters";
    for bad in ["a\0b", "\0", "a\u{7}", "two\nlines", "\u{7f}", "a\u{85}b"] {
        creator
            .refuse(&with(livechat(), "name", bad.into()), &[("name", rule)])
            .await;
    }
    for bad in [json!(7), json!(["x"]), json!({"x": 1}), json!(true)] {
        creator
            .refuse(
                &with(livechat(), "name", bad),
                &[("name", "must be a string")],
            )
            .await;
    }
}

async fn every_wrong_field_is_reported_at_once(store: Store) {
    let creator = Creator::start(store).await;
    let required = "is required";
    creator
        .refuse(&json!({}), &[("name", required), ("type", required)])
        .await;
    let body = json!({"name": "", "type": "whatsapp", "phone_number": "081", "nickname": "x", "messages_count": 9,
        "channel": {"phone_number_id": "", "app_secret": 5, "bot_token": "1:a"}});
    let visible = "must have 1 to 64 visible ASCII characters";
    creator
        .refuse(
            &body,
            &[
                ("channel.bot_token", "does not apply to type whatsapp"),
                ("name", "must have 1 to 100 characters"),
                ("phone_number", E164_RULE),
                ("channel.phone_number_id", visible),
                ("channel.app_secret", "must be a string"),
                ("nickname", UNKNOWN),
                ("messages_count", UNKNOWN),
            ],
        )
        .await;
    let types = "must be one of whatsapp, instagram, livechat, telegram";
    let body = json!({"name": "X", "type": "sms", "phone_number": "x", "channel": 1, "more": 1});
    creator
        .refuse(&body, &[("type", types), ("more", UNKNOWN)])
        .await;
}

async fn each_type_says_what_it_lacks(store: Store) {
    let creator = Creator::start(store).await;
    for (body, name) in [
        (whatsapp_body("1"), "phone_number"),
        (whatsapp_body("1"), "channel.phone_number_id"),
        (whatsapp_body("1"), "channel.app_secret"),
        (instagram(), "instagram_account_id"),
        (instagram(), "channel.app_secret"),
        (telegram(), "channel.bot_token"),
    ] {
        creator
            .refuse(&without(body, name), &[(name, "is required")])
            .await;
    }
    let both = [
        ("channel.phone_number_id", "is required"),
        ("channel.app_secret", "is required"),
    ];
    creator
        .refuse(&without(whatsapp_body("1"), "channel"), &both)
        .await;
}

async fn an_unknown_field_is_an_error(store: Store) {
    let creator = Creator::start(store).await;
    for name in [
        "id",
        "status",
        "created_at",
        "messages_count",
        "Name",
        "x",
        "channel.secret",
        "channel.status",
        "",
    ] {
        creator
            .refuse(
                &with(livechat_with_channel(), name, "x".into()),
                &[(name, UNKNOWN)],
            )
            .await;
    }
}

async fn a_field_of_another_type_is_an_error(store: Store) {
    let creator = Creator::start(store).await;
    let body = with(whatsapp_body("1"), "instagram_account_id", "ig_1".into());
    creator
        .refuse(
            &body,
            &[("instagram_account_id", "does not apply to type whatsapp")],
        )
        .await;
    let body = with(telegram(), "phone_number", "+62812345678".into());
    creator
        .refuse(
            &body,
            &[("phone_number", "does not apply to type telegram")],
        )
        .await;
    let body = with(instagram(), "channel.phone_number_id", "1".into());
    creator
        .refuse(
            &body,
            &[(
                "channel.phone_number_id",
                "does not apply to type instagram",
            )],
        )
        .await;
}

async fn a_phone_number_is_e164(store: Store) {
    let creator = Creator::start(store).await;
    for (index, good) in ["+1234567", "+123456789012345", "+62812345678"]
        .iter()
        .enumerate()
    {
        let body = with(
            whatsapp_body(&index.to_string()),
            "phone_number",
            (*good).into(),
        );
        let answer = creator.create(&body).await;
        answer.assert_status(201);
        assert_eq!(answer.data()["phone_number"], *good);
    }
    for bad in [
        "",
        "+",
        "62812345678",
        "+0812345678",
        "+123456",
        "+1234567890123456",
        "+62 812 345 678",
        "+62-812-345",
        "0062812345678",
        "++62812345678",
        "+6281234567x",
        "+６２８１２３４５",
        "+62812345678\0",
        " +62812345678",
    ] {
        let body = with(whatsapp_body("new"), "phone_number", bad.into());
        creator.refuse(&body, &[("phone_number", E164_RULE)]).await;
    }
}

async fn addresses_and_credentials_are_checked(store: Store) {
    let creator = Creator::start(store).await;
    let address = "must have 1 to 64 visible ASCII characters";
    for bad in ["", " ", "a b", "ü", "\0", &"1".repeat(65)] {
        let body = with(whatsapp_body("1"), "channel.phone_number_id", bad.into());
        creator
            .refuse(&body, &[("channel.phone_number_id", address)])
            .await;
        let body = with(instagram(), "instagram_account_id", bad.into());
        creator
            .refuse(&body, &[("instagram_account_id", address)])
            .await;
    }
    // What people paste in the place of an id: no update could ever match it.
    let id = "must be the id that Meta shows, as in 106540352242922, and not the phone number or @name itself";
    let body = with(
        whatsapp_body("1"),
        "channel.phone_number_id",
        "+62812345678".into(),
    );
    creator
        .refuse(&body, &[("channel.phone_number_id", id)])
        .await;
    let body = with(instagram(), "instagram_account_id", "@my.handle".into());
    creator.refuse(&body, &[("instagram_account_id", id)]).await;
    let credential = "must have 1 to 2048 visible ASCII characters";
    for bad in ["", "a b", "a\n", &"x".repeat(2049)] {
        for name in ["channel.app_secret", "channel.access_token"] {
            let body = with(whatsapp_body("1"), name, bad.into());
            creator.refuse(&body, &[(name, credential)]).await;
        }
    }
    let token = "must be a bot token as BotFather gives it: digits, a colon, letters and digits";
    for bad in [
        "",
        "110201543",
        "110201543:",
        ":abc",
        "bot:abc",
        "110201543:a b",
        "1:2:3",
    ] {
        let body = with(telegram(), "channel.bot_token", bad.into());
        creator.refuse(&body, &[("channel.bot_token", token)]).await;
    }
}

async fn allowed_origins_are_checked_one_by_one(store: Store) {
    let creator = Creator::start(store).await;
    let rule = "must be an origin, as in https://www.example.com";
    let port = "must leave out the default port, as browsers do";
    let origins = json!([
        "https://ok.example",
        "example.com",
        "https://a.example/path",
        7,
        "https://ok.example:8443",
        "https://a.example:443",
        "http://[::1]:80"
    ]);
    let body = with(livechat_with_channel(), "channel.allowed_origins", origins);
    creator
        .refuse(
            &body,
            &[
                ("channel.allowed_origins[1]", rule),
                ("channel.allowed_origins[2]", rule),
                ("channel.allowed_origins[3]", "must be a string"),
                ("channel.allowed_origins[5]", port),
                ("channel.allowed_origins[6]", port),
            ],
        )
        .await;
    let body = with(
        livechat_with_channel(),
        "channel.allowed_origins",
        "https://a.example".into(),
    );
    creator
        .refuse(
            &body,
            &[("channel.allowed_origins", "must be a list of strings")],
        )
        .await;
    let many = vec!["https://a.example"; 51];
    let body = with(
        livechat_with_channel(),
        "channel.allowed_origins",
        many.into(),
    );
    creator
        .refuse(
            &body,
            &[("channel.allowed_origins", "must have at most 50 entries")],
        )
        .await;
}

async fn null_is_no_value(store: Store) {
    let creator = Creator::start(store).await;
    for name in ["phone_number", "channel.app_secret"] {
        let body = with(whatsapp_body("1"), name, Value::Null);
        creator.refuse(&body, &[(name, "is required")]).await;
    }
    // What does not apply may be said to be nothing.
    let body = with(
        with(livechat(), "phone_number", Value::Null),
        "channel",
        Value::Null,
    );
    creator.create(&body).await.assert_status(201);
}

async fn malformed_json_is_an_error(store: Store) {
    let creator = Creator::start(store).await;
    let before = creator.app.listing().await;
    let deep = format!("{}{}", "[".repeat(30_000), "]".repeat(30_000));
    let deep_in_a_field = format!(r#"{{"name":{deep}}}"#);
    let bodies: [&[u8]; 16] = [
        b"",
        b"{",
        b"{'name':'x'}",
        br#"{"name":"x","type":"livechat",}"#,
        br#"{"name":"x","type":"livechat"} x"#,
        br#"{"name":"x","name":"y","type":"livechat"}"#,
        br#"{"name":"x","type":"livechat","channel":{"allowed_origins":[],"allowed_origins":[]}}"#,
        br#"{"name":"x","n\u0061me":"y","type":"livechat"}"#,
        br#"{"name":"\ud800","type":"livechat"}"#,
        br#"{"name":"\udc00x","type":"livechat"}"#,
        b"{\"name\":\"\xff\",\"type\":\"livechat\"}",
        b"{\"name\":\"a\0b\",\"type\":\"livechat\"}",
        b"\xef\xbb\xbf{}",
        br#"{"name":NaN}"#,
        deep.as_bytes(),
        deep_in_a_field.as_bytes(),
    ];
    for body in bodies {
        let call = creator.app.post("/inboxes").key(&creator.key);
        let answer = call.raw_json(body).send().await;
        answer.assert_status(400);
        let error = answer.json()["error"].clone();
        assert_eq!(error["code"], "VALIDATION_ERROR");
        let detail = &error["details"][0];
        assert_eq!(detail["field"], "body");
        let message = detail["message"].as_str().expect("a message");
        assert!(message.starts_with("is not valid JSON: "), "{message}");
    }
    for body in ["null", "[]", "7", r#""name""#, "true"] {
        let call = creator.app.post("/inboxes").key(&creator.key);
        let answer = call.raw_json(body).send().await;
        answer.assert_wrong_fields(&[("body", "must be a JSON object")]);
    }
    assert_eq!(creator.app.listing().await, before);
}

async fn only_json_is_taken(store: Store) {
    let creator = Creator::start(store).await;
    let before = creator.app.listing().await;
    let body = livechat().to_string();
    for kind in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/jsonp",
        "application/xml",
        "",
    ] {
        let call = creator.app.post("/inboxes").key(&creator.key);
        let answer = call
            .header("content-type", kind)
            .body(body.clone())
            .send()
            .await;
        answer.assert_error(
            415,
            "UNSUPPORTED_MEDIA_TYPE",
            "Send the body as application/json",
        );
    }
    let call = creator.app.post("/inboxes").key(&creator.key);
    call.body(body.clone()).send().await.assert_status(415);
    assert_eq!(creator.app.listing().await, before);

    for kind in ["application/json; charset=utf-8", "Application/JSON"] {
        let call = creator.app.post("/inboxes").key(&creator.key);
        let answer = call
            .header("content-type", kind)
            .body(body.clone())
            .send()
            .await;
        answer.assert_status(201);
    }
}

async fn a_body_beyond_64_kib_is_too_large(store: Store) {
    let creator = Creator::start(store).await;
    let before = creator.app.listing().await;
    let fill = |size: usize| {
        let mut body = livechat().to_string();
        body.push_str(&" ".repeat(size - body.len()));
        body
    };
    for size in [64 * 1024 + 1, 10_000_000] {
        let call = creator.app.post("/inboxes").key(&creator.key);
        let answer = call.raw_json(fill(size)).send().await;
        answer.assert_error(413, "PAYLOAD_TOO_LARGE", "The body is too large");
    }
    assert_eq!(creator.app.listing().await, before);
    let call = creator.app.post("/inboxes").key(&creator.key);
    call.raw_json(fill(64 * 1024))
        .send()
        .await
        .assert_status(201);
}
