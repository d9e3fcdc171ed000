//! What each channel is asked.

use super::*;
use channels::api::Api;

fn message(route: Route<'_>, outgoing: &Outgoing, reply_to: Option<&str>) -> (String, String) {
    let call = send::message(TOKEN, route, outgoing, reply_to, "msg_1 1").unwrap();
    said(&call)
}

/// The last part of the path, and the body.
fn said<T>(call: &Call<T>) -> (String, String) {
    let (_, method) = call.path.rsplit_once('/').unwrap();
    (method.to_owned(), call.body.clone().unwrap())
}

#[test]
fn the_token_is_in_a_header_for_meta_and_in_the_path_for_telegram() {
    let whatsapp = call(ADA);
    assert_eq!(whatsapp.api, Api::Graph);
    assert_eq!(whatsapp.path, "/v23.0/106540352242922/messages");
    assert_eq!(whatsapp.bearer.as_deref(), Some(TOKEN));

    let instagram = call(BAYU);
    assert_eq!(instagram.api, Api::Instagram);
    assert_eq!(instagram.path, "/v23.0/17841405822304914/messages");
    assert_eq!(instagram.bearer.as_deref(), Some(TOKEN));

    let telegram = call(Route::Telegram(CITRA));
    assert_eq!(telegram.api, Api::Telegram);
    assert_eq!(telegram.path, format!("/bot{TOKEN}/sendMessage"));
    assert_eq!(telegram.bearer, None);
}

#[test]
fn whatsapp_is_told_who_what_and_what_we_call_it() {
    let (_, body) = message(ADA, &text("Grüße 👋"), None);
    assert_eq!(
        body,
        r#"{"messaging_product":"whatsapp","recipient_type":"individual","to":"+16505551234","type":"text","text":{"body":"Grüße 👋"},"biz_opaque_callback_data":"msg_1 1"}"#
    );
    let preview = Outgoing::Text {
        text: "https://a.example".to_owned(),
        preview_url: Some(true),
    };
    let (_, body) = message(ADA, &preview, Some("wamid.0"));
    assert_eq!(
        body,
        r#"{"messaging_product":"whatsapp","recipient_type":"individual","to":"+16505551234","type":"text","text":{"preview_url":true,"body":"https://a.example"},"biz_opaque_callback_data":"msg_1 1","context":{"message_id":"wamid.0"}}"#
    );
    let (_, body) = message(
        ADA,
        &location(Some("Philz Coffee"), Some("101 Forest Ave")),
        None,
    );
    assert_eq!(
        body,
        r#"{"messaging_product":"whatsapp","recipient_type":"individual","to":"+16505551234","type":"location","location":{"latitude":"37.442162","longitude":"-122.161538","name":"Philz Coffee","address":"101 Forest Ave"},"biz_opaque_callback_data":"msg_1 1"}"#
    );
}

#[test]
fn whatsapp_reaches_a_number_a_user_id_or_a_group() {
    for (to, expected) in [
        (
            To::Phone("16505551234"),
            r#""recipient_type":"individual","to":"+16505551234""#,
        ),
        (
            To::UserId("US.13491208655302741918"),
            r#""recipient_type":"individual","recipient":"US.13491208655302741918""#,
        ),
        (
            To::Group("Y2FwaV9n"),
            r#""recipient_type":"group","to":"Y2FwaV9n""#,
        ),
    ] {
        let route = Route::Whatsapp { number_id: "1", to };
        let (_, body) = message(route, &text("Hi"), None);
        assert!(body.contains(expected), "{body}");
    }
}

#[test]
fn instagram_takes_texts_and_no_locations() {
    let (_, body) = message(BAYU, &text("Halo"), None);
    assert_eq!(
        body,
        r#"{"recipient":{"id":"526"},"message":{"text":"Halo"}}"#
    );
    let (_, body) = message(BAYU, &text("Halo"), Some("aWdfZAG1faXRlbTo"));
    assert_eq!(
        body,
        r#"{"recipient":{"id":"526"},"message":{"text":"Halo"},"reply_to":{"mid":"aWdfZAG1faXRlbTo"}}"#
    );
    let location = send::message(TOKEN, BAYU, &location(None, None), None, "msg_1 1");
    let error = location.err().unwrap();
    assert_eq!(error.code, ErrorCode::Unsupported);
    assert_eq!(error.message, "Instagram takes no location");
}

#[test]
fn telegram_is_told_the_way_of_an_answer() {
    let body = |to, reply_to| message(Route::Telegram(to), &text("Hi"), reply_to).1;
    assert_eq!(body(CITRA, None), r#"{"chat_id":55,"text":"Hi"}"#);
    let topic = telegram::send::To {
        chat_id: -1_001_234_567_890,
        message_thread_id: Some(7),
        ..CITRA
    };
    assert_eq!(
        body(topic, Some("-1001234567890:12")),
        r#"{"chat_id":-1001234567890,"message_thread_id":7,"text":"Hi","reply_parameters":{"message_id":12,"allow_sending_without_reply":true}}"#
    );
    let direct = telegram::send::To {
        direct_messages_topic_id: Some(9),
        ..CITRA
    };
    assert_eq!(
        body(direct, None),
        r#"{"chat_id":55,"direct_messages_topic_id":9,"text":"Hi"}"#
    );
    let business = telegram::send::To {
        business_connection_id: Some("Q2hh"),
        ..CITRA
    };
    assert_eq!(
        body(business, Some("Q2hh:55:3")),
        r#"{"business_connection_id":"Q2hh","chat_id":55,"text":"Hi","reply_parameters":{"message_id":3,"allow_sending_without_reply":true}}"#
    );
    // Of another chat the number would name another message.
    for elsewhere in ["-4000:12", "4382bfdwdsb323b2d9", "55:x", "55"] {
        assert_eq!(
            body(CITRA, Some(elsewhere)),
            r#"{"chat_id":55,"text":"Hi"}"#
        );
    }
}

#[test]
fn telegram_has_a_method_for_each_kind() {
    let route = Route::Telegram(CITRA);
    let preview = |preview_url| Outgoing::Text {
        text: "https://a.example".to_owned(),
        preview_url: Some(preview_url),
    };
    for (outgoing, method, body) in [
        (
            preview(false),
            "sendMessage",
            r#"{"chat_id":55,"text":"https://a.example","link_preview_options":{"is_disabled":true}}"#,
        ),
        (
            preview(true),
            "sendMessage",
            r#"{"chat_id":55,"text":"https://a.example","link_preview_options":{"is_disabled":false}}"#,
        ),
        (
            location(None, None),
            "sendLocation",
            r#"{"chat_id":55,"latitude":37.442162,"longitude":-122.161538}"#,
        ),
        (
            location(Some("Philz"), Some("101 Forest Ave")),
            "sendVenue",
            r#"{"chat_id":55,"latitude":37.442162,"longitude":-122.161538,"title":"Philz","address":"101 Forest Ave"}"#,
        ),
    ] {
        let said = message(route, &outgoing, None);
        assert_eq!(said, (method.to_owned(), body.to_owned()));
    }
}

#[test]
fn a_read_mark_goes_where_there_is_one() {
    let mark = |route, id| send::read_mark(TOKEN, route, id).map(|call| said(&call));
    let messages = |body: &str| Some(("messages".to_owned(), body.to_owned()));
    assert_eq!(
        mark(ADA, "wamid.1"),
        messages(r#"{"messaging_product":"whatsapp","status":"read","message_id":"wamid.1"}"#)
    );
    assert_eq!(
        mark(BAYU, "mid.1"),
        messages(r#"{"recipient":{"id":"526"},"sender_action":"mark_seen"}"#)
    );
    assert_eq!(mark(Route::Telegram(CITRA), "55:3"), None);
    let business = Route::Telegram(telegram::send::To {
        business_connection_id: Some("Q2hh"),
        ..CITRA
    });
    assert_eq!(
        mark(business, "Q2hh:55:3"),
        Some((
            "readBusinessMessage".to_owned(),
            r#"{"business_connection_id":"Q2hh","chat_id":55,"message_id":3}"#.to_owned()
        ))
    );
    assert_eq!(mark(business, "Q2hh:56:3"), None);
}

#[test]
fn typing_is_shown_where_it_can_be() {
    let typing = |route| send::typing(TOKEN, route, "wamid.1").map(|call| said(&call));
    assert_eq!(
        typing(ADA).unwrap().1,
        r#"{"messaging_product":"whatsapp","status":"read","message_id":"wamid.1","typing_indicator":{"type":"text"}}"#
    );
    assert_eq!(
        typing(BAYU).unwrap().1,
        r#"{"recipient":{"id":"526"},"sender_action":"typing_on"}"#
    );
    let topic = telegram::send::To {
        message_thread_id: Some(7),
        ..CITRA
    };
    assert_eq!(
        typing(Route::Telegram(topic)),
        Some((
            "sendChatAction".to_owned(),
            r#"{"chat_id":55,"message_thread_id":7,"action":"typing"}"#.to_owned()
        ))
    );
    let direct = telegram::send::To {
        direct_messages_topic_id: Some(9),
        ..CITRA
    };
    assert_eq!(typing(Route::Telegram(direct)), None);
}

#[test]
fn marks_and_typing_succeed_or_say_why() {
    let answered = |call: Option<Call<()>>, status, answer: Value| {
        let answer = answer.to_string();
        call.unwrap().read(status, answer.as_bytes())
    };
    let mark = send::read_mark(TOKEN, ADA, "wamid.1");
    assert_eq!(answered(mark, 200, json!({"success": true})), Ok(()));
    let seen = send::read_mark(TOKEN, BAYU, "mid.1");
    assert_eq!(answered(seen, 200, json!({"recipient_id": "526"})), Ok(()));
    let typing = || send::typing(TOKEN, Route::Telegram(CITRA), "55:3");
    assert_eq!(
        answered(typing(), 200, json!({"ok": true, "result": true})),
        Ok(())
    );
    let refusal = json!({"ok": false, "error_code": 403, "description": "Forbidden"});
    assert!(answered(typing(), 403, refusal).is_err());
}
