//! What the answers mean.

use super::*;
use proptest::prelude::*;

fn answered(route: Route<'_>, status: u16, answer: &Value) -> Outcome {
    call(route).outcome(status, answer.to_string().as_bytes())
}

fn meta(code: i64, subcode: i64) -> Value {
    let mut error = json!({"message": "(#1) Words", "type": "OAuthException", "code": code, "fbtrace_id": "A1"});
    if subcode != 0 {
        error["error_subcode"] = subcode.into();
    }
    json!({"error": error})
}

fn error(code: ErrorCode, message: &str, provider_code: &str) -> DeliveryError {
    DeliveryError {
        code,
        message: message.to_owned(),
        provider_code: Some(provider_code.to_owned()),
    }
}

/// An outcome in one word, and the error's.
fn short(outcome: &Outcome) -> (&'static str, Option<ErrorCode>) {
    match outcome {
        Outcome::Taken(_) => ("taken", None),
        Outcome::Again { wait, error, .. } => {
            let wait = match wait {
                Wait::Message => "again: message",
                Wait::Recipient => "again: recipient",
                Wait::Inbox => "again: inbox",
            };
            (wait, Some(error.code))
        }
        Outcome::Refused(error) => ("refused", Some(error.code)),
        Outcome::Stopped(error) => ("stopped", Some(error.code)),
        Outcome::Moved { .. } => ("moved", None),
        Outcome::Perhaps { .. } => ("perhaps", None),
    }
}

#[test]
fn what_is_taken_has_the_ids_that_the_provider_gives() {
    let whatsapp = json!({"messaging_product": "whatsapp",
        "contacts": [{"input": "+5511987654321", "wa_id": "551187654321"}],
        "messages": [{"id": "wamid.1", "message_status": "accepted"}, {"id": "wamid.2"}]});
    assert_eq!(
        answered(ADA, 200, &whatsapp),
        Outcome::Taken(Taken {
            provider_id: "wamid.1".to_owned(),
            also: vec!["wamid.2".to_owned()],
            respelled: Some(("5511987654321".to_owned(), "551187654321".to_owned())),
        })
    );
    for as_it_was in [
        json!({"input": "US.1", "user_id": "US.1"}),
        json!({"input": "+4915112345678", "wa_id": "4915112345678"}),
        json!({"input": "US.1", "wa_id": "4915112345678"}),
    ] {
        let answer = json!({"contacts": [as_it_was], "messages": [{"id": "wamid.1"}]});
        let outcome = answered(ADA, 200, &answer);
        assert!(matches!(outcome, Outcome::Taken(taken) if taken.respelled.is_none()));
    }

    let taken = |id: &str| {
        Outcome::Taken(Taken {
            provider_id: id.to_owned(),
            ..Taken::default()
        })
    };
    let instagram = json!({"recipient_id": "526", "message_id": "aWdfZAG1faXRlbTo"});
    assert_eq!(answered(BAYU, 200, &instagram), taken("aWdfZAG1faXRlbTo"));

    let telegram = json!({"ok": true, "result": {"message_id": 3, "date": 1_700_000_000, "text": "Hi",
        "chat": {"id": 55, "type": "private"}, "from": {"id": 7, "is_bot": true}}});
    let route = Route::Telegram(CITRA);
    assert_eq!(answered(route, 200, &telegram), taken("55:3"));
}

#[test]
fn a_telegram_id_is_that_of_the_same_message_in_an_update() {
    let written = json!({"message_id": 3, "date": 1_700_000_000, "text": "Hi", "business_connection_id": "Q2hh",
        "chat": {"id": 55, "type": "private"}, "from": {"id": 7, "is_bot": false}});
    let update = json!({"update_id": 1, "business_message": written}).to_string();
    let update = telegram::parse(update.as_bytes()).unwrap();
    let channels::Item::Message(message) = &update.parts[0].items[0] else {
        panic!("no message");
    };
    let answer = json!({"ok": true, "result": written});
    let Outcome::Taken(taken) = answered(Route::Telegram(CITRA), 200, &answer) else {
        panic!("not taken");
    };
    assert_eq!(taken.provider_id, message.provider_id);
    assert_eq!(taken.provider_id, "Q2hh:55:3");
}

#[test]
fn every_whatsapp_code_has_its_meaning() {
    use ErrorCode as E;
    for (codes, expected) in [
        (&[0, 190][..], ("stopped", E::Credential)),
        (&[3, 10, 200, 299], ("refused", E::Permission)),
        (
            &[4, 80_007, 130_429, 131_057],
            ("again: inbox", E::RateLimited),
        ),
        (&[131_056], ("again: recipient", E::RateLimited)),
        (
            &[131_000, 131_016, 1, 2],
            ("again: message", E::Unavailable),
        ),
        (&[131_047], ("refused", E::OutsideWindow)),
        (&[131_026], ("refused", E::RecipientUnreachable)),
        (&[131_049, 130_472], ("refused", E::Rejected)),
        (&[131_051, 131_062], ("refused", E::Unsupported)),
        (&[131_050], ("refused", E::OptedOut)),
        (&[131_042, 131_031, 368], ("stopped", E::AccountRestricted)),
        (
            &[132_000, 132_001, 132_005, 132_012, 132_015],
            ("refused", E::Template),
        ),
        (&[100, 131_008, 133_010, 300, -1], ("refused", E::Rejected)),
    ] {
        for code in codes {
            let (word, error) = expected;
            // An error inside a 200 is the error.
            for status in [400, 403, 200] {
                let outcome = answered(ADA, status, &meta(*code, 0));
                assert_eq!(short(&outcome), (word, Some(error)), "{code} {status}");
            }
            // A gateway's failure may follow acceptance: only what may be sent again is certain.
            let outcome = answered(ADA, 500, &meta(*code, 0));
            let word = if word.starts_with("again") {
                word
            } else {
                "perhaps"
            };
            assert_eq!(short(&outcome).0, word, "{code} 500");
            // The same codes come as failed statuses.
            let failed = whatsapp::send::failure(&format!("{code} Words"));
            assert_eq!(failed.code, error);
        }
    }
}

#[test]
fn every_instagram_code_has_its_meaning() {
    use ErrorCode as E;
    for (code, subcode, word, error) in [
        (10, 2_534_022, "refused", E::OutsideWindow),
        (10, 2_018_278, "refused", E::OutsideWindow),
        (10, 0, "refused", E::Permission),
        (551, 0, "refused", E::RecipientUnreachable),
        (551, 1_545_041, "refused", E::RecipientUnreachable),
        (100, 2_534_014, "refused", E::RecipientUnreachable),
        (100, 0, "refused", E::Rejected),
        (613, 0, "again: inbox", E::RateLimited),
        (4, 0, "again: inbox", E::RateLimited),
        (200, 2_534_041, "refused", E::Permission),
        (190, 463, "stopped", E::Credential),
        (0, 0, "stopped", E::Credential),
        (368, 0, "stopped", E::AccountRestricted),
    ] {
        let outcome = answered(BAYU, 400, &meta(code, subcode));
        assert_eq!(short(&outcome), (word, Some(error)), "{code} {subcode}");
    }
    for (code, subcode) in [(1, 1_357_046), (1, 0), (2, 0)] {
        let outcome = answered(BAYU, 400, &meta(code, subcode));
        assert_eq!(short(&outcome).0, "perhaps");
    }
}

#[test]
fn every_telegram_answer_has_its_meaning() {
    use ErrorCode as E;
    for (code, said, word, error) in [
        (401, "Unauthorized", "stopped", E::Credential),
        (
            403,
            "Forbidden: bot was blocked by the user",
            "refused",
            E::Blocked,
        ),
        (
            403,
            "Forbidden: user is deactivated",
            "refused",
            E::RecipientUnreachable,
        ),
        (
            403,
            "Forbidden: bot was kicked from the group chat",
            "refused",
            E::RecipientUnreachable,
        ),
        (
            400,
            "Bad Request: chat not found",
            "refused",
            E::RecipientUnreachable,
        ),
        (
            400,
            "Bad Request: message is too long",
            "refused",
            E::Rejected,
        ),
        (404, "Not Found", "refused", E::Rejected),
        (429, "Too Many Requests", "again: recipient", E::RateLimited),
    ] {
        let answer = json!({"ok": false, "error_code": code, "description": said});
        for status in [code, 200] {
            let outcome = answered(Route::Telegram(CITRA), status, &answer);
            assert_eq!(short(&outcome), (word, Some(error)), "{said}");
        }
        let outcome = answered(Route::Telegram(CITRA), 502, &answer);
        assert_eq!(short(&outcome).0, "perhaps");
    }
    let busy = json!({"ok": false, "error_code": 429, "description": "Too Many Requests: retry after 35",
        "parameters": {"retry_after": 35}});
    assert_eq!(
        answered(Route::Telegram(CITRA), 429, &busy),
        Outcome::Again {
            after: Some(35),
            wait: Wait::Recipient,
            error: error(E::RateLimited, "Too Many Requests: retry after 35", "429"),
        }
    );
    let moved = json!({"ok": false, "error_code": 400,
        "description": "Bad Request: group chat was upgraded to a supergroup chat",
        "parameters": {"migrate_to_chat_id": -1_001_234_567_890_i64}});
    assert_eq!(
        answered(Route::Telegram(CITRA), 400, &moved),
        Outcome::Moved {
            chat_id: -1_001_234_567_890
        }
    );
}

#[test]
fn an_error_says_what_the_provider_says_without_the_token() {
    let answer = json!({"error": {"message": "(#132000) Number of parameters does not match", "code": 132_000,
        "error_data": {"messaging_product": "whatsapp", "details": "body: 0 of\n1 parameters"}}});
    assert_eq!(
        answered(ADA, 400, &answer),
        Outcome::Refused(error(
            ErrorCode::Template,
            "body: 0 of 1 parameters",
            "132000"
        ))
    );
    let answer = json!({"error": {"message": format!("Malformed access token {TOKEN}"), "code": 190,
        "error_subcode": 463}});
    let said = "Malformed access token [hidden]";
    assert_eq!(
        answered(BAYU, 400, &answer),
        Outcome::Stopped(error(ErrorCode::Credential, said, "190/463"))
    );
}

#[test]
fn a_status_decides_where_no_code_does() {
    let unknown = meta(987_654, 0);
    for (status, word, code) in [
        (400, "refused", Some(ErrorCode::Rejected)),
        (401, "stopped", Some(ErrorCode::Credential)),
        (429, "again: inbox", Some(ErrorCode::RateLimited)),
        (500, "perhaps", None),
        (503, "perhaps", None),
    ] {
        for route in [ADA, BAYU] {
            let outcome = answered(route, status, &unknown);
            assert_eq!(short(&outcome), (word, code), "{status}");
        }
    }
}

#[test]
fn an_answer_in_another_form_is_doubted_or_refused_by_its_status() {
    for route in [ADA, BAYU, Route::Telegram(CITRA)] {
        for body in [
            "",
            "<html>",
            "[]",
            "{}",
            r#"{"ok":1,"error":"no"}"#,
            r#"{"messages":[]}"#,
        ] {
            for (status, word, code) in [
                (200, "perhaps", None),
                (302, "perhaps", None),
                // Not the provider says so: nothing is stopped.
                (401, "refused", Some(ErrorCode::Credential)),
                (404, "refused", Some(ErrorCode::Rejected)),
                (429, "again: inbox", Some(ErrorCode::RateLimited)),
                (502, "perhaps", None),
                (504, "perhaps", None),
            ] {
                let outcome = call(route).outcome(status, body.as_bytes());
                assert_eq!(short(&outcome), (word, code), "{body} {status}");
            }
        }
    }
    let torn = call(Route::Telegram(CITRA)).outcome(200, br#"{"ok":true,"result":{"#);
    assert_eq!(short(&torn).0, "perhaps");
}

#[test]
fn a_failed_status_says_why_and_whose_it_is() {
    let update = json!({"entry": [{"changes": [{"field": "messages", "value": {"statuses": [{
        "id": "wamid.9", "status": "failed", "timestamp": "1700000000", "recipient_id": "16505551234",
        "biz_opaque_callback_data": "msg_1 1",
        "errors": [{"code": 131_026, "title": "Message undeliverable", "message": "Message undeliverable",
            "error_data": {"details": "Message Undeliverable. The recipient has an old version."}}]
    }]}}]}]});
    let update = whatsapp::parse(update.to_string().as_bytes()).unwrap();
    let channels::Item::Status(status) = &update.parts[0].items[0] else {
        panic!("no status");
    };
    assert_eq!(status.our_id.as_deref(), Some("msg_1 1"));
    let said = "Message Undeliverable. The recipient has an old version.";
    assert_eq!(
        whatsapp::send::failure(status.error.as_deref().unwrap()),
        error(ErrorCode::RecipientUnreachable, said, "131026")
    );
    for (stored, said) in [("odd words", "odd words"), ("", "")] {
        let failure = whatsapp::send::failure(stored);
        assert_eq!(
            (failure.code, failure.message.as_str()),
            (ErrorCode::Rejected, said)
        );
        assert_eq!(failure.provider_code, None);
    }
}

#[test]
fn every_error_has_a_name_of_its_own() {
    let names: std::collections::BTreeSet<_> = ErrorCode::ALL.map(ErrorCode::as_str).into();
    assert_eq!(names.len(), ErrorCode::ALL.len());
}

proptest! {
    /// Whatever comes, it is never sent again unless the provider says so, and nothing is refused by a gateway.
    #[test]
    fn doubt_is_never_taken_for_certainty(
        status in 100..600_u16,
        code in proptest::option::of(-1..1000_i64),
        body in "\\PC{0,40}",
    ) {
        for route in [ADA, BAYU, Route::Telegram(CITRA)] {
            let answer = match code {
                Some(code) => json!({"ok": false, "error_code": code, "description": body,
                    "error": {"code": code, "message": body}}).to_string(),
                None => body.clone(),
            };
            let outcome = call(route).outcome(status, answer.as_bytes());
            let (word, error) = short(&outcome);
            if status >= 500 {
                prop_assert!(word == "perhaps" || word.starts_with("again"), "{outcome:?}");
            }
            if word.starts_with("again") {
                let slow_down = error == Some(ErrorCode::RateLimited);
                prop_assert!(slow_down || code.is_some_and(|code| [1, 2].contains(&code)));
            }
            prop_assert!(word != "taken");
        }
    }
}
