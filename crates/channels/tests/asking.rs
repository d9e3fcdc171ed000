//! What providers are asked, and what their answers mean: the answers are the providers' own examples.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use channels::{
    Item,
    api::{Api, Call, Failure},
    graph,
    telegram::{self, bot_api},
};
use serde_json::{Value, json};

const TOKEN: &str = "110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw";

fn read<T>(call: &Call<T>, status: u16, answer: &Value) -> Result<T, Failure> {
    call.read(status, answer.to_string().as_bytes())
}

#[track_caller]
fn assert_unclear<T>(answer: Result<T, Failure>) {
    let failure = answer.err();
    assert!(
        matches!(failure, Some(Failure::Unclear { .. })),
        "{failure:?}"
    );
}

fn refused(words: &str) -> Failure {
    Failure::Refused(words.to_owned())
}

#[test]
fn telegram_is_asked_by_the_path() {
    let call = bot_api::get_me(TOKEN);
    assert_eq!(call.api, Api::Telegram);
    assert_eq!(call.path, format!("/bot{TOKEN}/getMe"));
    assert_eq!((call.bearer, call.body), (None, None));

    let url = "https://inbox.example.com/hooks/telegram/inbox_1";
    let call = bot_api::set_webhook(TOKEN, url, "s3cret");
    assert_eq!(call.path, format!("/bot{TOKEN}/setWebhook"));
    let body: Value = serde_json::from_str(&call.body.unwrap()).unwrap();
    assert_eq!(
        body,
        json!({"url": url, "secret_token": "s3cret", "max_connections": 40, "drop_pending_updates": false,
            "allowed_updates": ["message", "edited_message", "message_reaction", "my_chat_member",
                "business_message", "edited_business_message", "deleted_business_messages"]})
    );
}

/// An update that is ordered and then passed over would only cost.
#[test]
fn every_update_that_is_ordered_is_understood() {
    let user = json!({"id": 9, "is_bot": false, "first_name": "Ayu"});
    for kind in bot_api::UPDATES {
        let update = json!({"update_id": 1, kind: {
            "message_id": 1, "message_ids": [1], "date": 1, "text": "Hi", "from": user, "user": user,
            "chat": {"id": 9, "type": "private"}, "new_chat_member": {"status": "kicked"},
            "new_reaction": [{"type": "emoji", "emoji": "\u{1f44d}"}]}});
        let update = telegram::parse(update.to_string().as_bytes()).unwrap();
        let item = &update.parts[0].items[0];
        let passed_over = matches!(item, Item::Ignored { .. } | Item::Unreadable { .. });
        assert!(!passed_over, "{kind}: {item:?}");
    }
}

#[test]
fn a_bot_says_who_it_is() {
    let call = bot_api::get_me(TOKEN);
    let mut answer = json!({"ok": true, "result": {"id": 110_201_543, "is_bot": true, "first_name": "Toko Biru",
        "username": "toko_biru_bot", "can_join_groups": true}});
    let mut bot = read(&call, 200, &answer).unwrap();
    assert_eq!(bot.id, "110201543");
    assert_eq!(bot.name, "Toko Biru");
    assert_eq!(bot.username.as_deref(), Some("toko_biru_bot"));
    answer["result"].as_object_mut().unwrap().remove("username");
    bot = read(&call, 200, &answer).unwrap();
    assert_eq!(bot.username, None);
}

#[test]
fn a_webhook_is_set_or_not() {
    let call = bot_api::set_webhook(TOKEN, "https://a.example", "s");
    let set = json!({"ok": true, "result": true, "description": "Webhook was set"});
    assert_eq!(read(&call, 200, &set), Ok(()));
    assert_unclear(read(&call, 200, &json!({"ok": true, "result": false})));
}

#[test]
fn a_webhook_tells_how_it_does() {
    let call = bot_api::get_webhook_info(TOKEN);
    let url = format!("https://a.example/bot{TOKEN}");
    let info = json!({"ok": true, "result": {"url": url, "has_custom_certificate": false, "pending_update_count": 7,
        "last_error_date": 1_736_928_000, "last_error_message": "Wrong response from the webhook: 401\nUnauthorized"}});
    let webhook = read(&call, 200, &info).unwrap();
    assert_eq!(webhook.pending, 7);
    assert_eq!(webhook.last_error_at, Some(1_736_928_000));
    let said = "Wrong response from the webhook: 401 Unauthorized";
    assert_eq!(webhook.last_error.as_deref(), Some(said));
    // The token is nowhere.
    assert_eq!(
        webhook.url.as_deref(),
        Some("https://a.example/bot[hidden]")
    );

    let none = json!({"ok": true, "result": {"url": "", "has_custom_certificate": false, "pending_update_count": 0}});
    let webhook = read(&call, 200, &none).unwrap();
    assert_eq!((webhook.url, webhook.last_error), (None, None));
}

#[test]
fn telegram_refuses_in_its_own_words() {
    let call = bot_api::get_me(TOKEN);
    for (code, said) in [
        (401, "Unauthorized"),
        (404, "Not Found"),
        (400, "Bad Request: bad webhook: HTTPS url must be provided"),
    ] {
        let answer = json!({"ok": false, "error_code": code, "description": said});
        assert_eq!(read(&call, code, &answer), Err(refused(said)));
    }
}

#[test]
fn what_telegram_does_not_say_clearly_is_no_refusal() {
    let call = bot_api::get_me(TOKEN);
    for (status, answer) in [
        (
            500,
            json!({"ok": false, "error_code": 500, "description": "Internal Server Error"}),
        ),
        (
            502,
            json!({"ok": false, "error_code": 400, "description": "Bad Gateway"}),
        ),
        (200, json!({"ok": true})),
        (200, json!({"ok": true, "result": {}})),
        (200, json!({"ok": true, "result": 5})),
        (401, json!({"ok": false})),
        (404, json!({"message": "no such page"})),
        (403, json!({"ok": "false", "description": "no"})),
        (200, json!([])),
    ] {
        assert_unclear(read(&call, status, &answer));
    }
    for body in ["", "<html>401</html>", "{\"ok\":"] {
        assert_unclear(call.read(401, body.as_bytes()));
    }
    let busy = json!({"ok": false, "error_code": 429, "description": "Too Many Requests: retry after 35",
        "parameters": {"retry_after": 35}});
    let failure = read(&call, 429, &busy).unwrap_err();
    let Failure::Unclear { cause, retry_after } = failure else {
        panic!("{failure:?}");
    };
    assert_eq!(retry_after, Some(35));
    assert_eq!(cause, "error 429: Too Many Requests: retry after 35");
}

#[test]
fn meta_is_asked_with_the_token_in_a_header() {
    let call = graph::number("EAAG-token", "106540352242922");
    assert_eq!(call.api, Api::Graph);
    assert_eq!(
        call.path,
        "/v23.0/106540352242922?fields=display_phone_number,verified_name"
    );
    assert_eq!(call.bearer.as_deref(), Some("EAAG-token"));
    assert_eq!(call.body, None);
    // Whatever was given for an id stays one segment of the path.
    let call = graph::number("t", "../me?a=b#c");
    let fields = "?fields=display_phone_number,verified_name";
    assert_eq!(call.path, format!("/v23.0/%2E%2E%2Fme%3Fa%3Db%23c{fields}"));

    let call = graph::account("IGAA-token");
    assert_eq!(call.api, Api::Instagram);
    assert_eq!(call.path, "/v23.0/me?fields=user_id,username");
    assert_eq!(call.bearer.as_deref(), Some("IGAA-token"));
}

#[test]
fn a_number_says_what_it_is() {
    let call = graph::number("EAAG-token", "1");
    let answer =
        json!({"display_phone_number": "+62 812-3456-78", "verified_name": "Toko Biru", "id": "1"});
    let number = read(&call, 200, &answer).unwrap();
    assert_eq!(number.display.as_deref(), Some("+62 812-3456-78"));
    assert_eq!(number.verified_name.as_deref(), Some("Toko Biru"));
    assert_unclear(read(&call, 200, &json!({})));
    assert_unclear(read(&call, 302, &answer));
}

#[test]
fn an_account_says_who_it_is_in_either_form() {
    let call = graph::account("IGAA-token");
    let account = json!({"user_id": "17841405822304914", "username": "toko.biru", "id": "9"});
    for answer in [account.clone(), json!({"data": [account]})] {
        let account = read(&call, 200, &answer).unwrap();
        assert_eq!(account.id, "17841405822304914");
        assert_eq!(account.app_scoped_id.as_deref(), Some("9"));
        assert_eq!(account.username.as_deref(), Some("toko.biru"));
    }
    let bare = read(&call, 200, &json!({"id": "17841405822304914"})).unwrap();
    assert_eq!(
        (bare.id.as_str(), bare.app_scoped_id),
        ("17841405822304914", None)
    );
    assert_unclear(read(&call, 200, &json!({"data": []})));
}

#[test]
fn meta_refuses_in_its_own_words_without_the_token() {
    let token = "EAAGm0PX4ZCpsBAKZCZBZBqU3AZB";
    let call = graph::number(token, "1");
    let error = |error: Value| json!({"error": error});
    let expired = error(
        json!({"message": "Error validating access token: Session has expired",
        "type": "OAuthException", "code": 190, "error_subcode": 463, "fbtrace_id": "A1"}),
    );
    let said = "Error validating access token: Session has expired";
    assert_eq!(read(&call, 401, &expired), Err(refused(said)));
    let malformed =
        error(json!({"message": format!("Malformed access token {token}"), "code": 190}));
    let said = "Malformed access token [hidden]";
    assert_eq!(read(&call, 400, &malformed), Err(refused(said)));

    for (status, answer) in [
        (
            400,
            error(json!({"message": "An unknown error occurred", "code": 1})),
        ),
        (
            400,
            error(json!({"message": "later", "code": 100, "is_transient": true})),
        ),
        (
            429,
            error(json!({"message": "(#4) Application request limit reached", "code": 4})),
        ),
        (500, error(json!({"message": "oh", "code": 190}))),
        (400, error(json!({"code": 190}))),
        (400, json!({"detail": "not Meta"})),
        (503, json!({})),
    ] {
        assert_unclear(read(&call, status, &answer));
    }
}
