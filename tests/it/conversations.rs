//! `GET /conversations` and `GET /conversations/{id}`: one for each contact in each inbox, whatever arrives at once.

use crate::support::{
    Store, TestApp, on_both_stores,
    whatsapp::{text, update, value},
};
use inboxd::domain::Scope;
use serde_json::{Value, json};

on_both_stores![
    a_conversation_shows_its_documented_keys,
    two_first_messages_at_once_make_one_conversation,
    a_contact_without_a_number_is_known_by_its_own_id,
    a_contact_that_gets_its_own_id_stays_the_same,
    a_number_that_was_handed_on_is_somebody_else,
    a_walk_meets_each_conversation_once_while_messages_arrive,
    the_last_message_is_the_latest_whenever_it_comes,
    sorted_by_the_last_message_the_newest_comes_first,
    a_walk_by_the_last_message_meets_none_twice_while_messages_arrive,
    filters_narrow_the_list,
    each_wrong_parameter_is_an_error,
];

async fn list(app: &TestApp, query: &str) -> Value {
    let key = app.key(&[Scope::Read]).await;
    let path = format!("/conversations?{query}");
    let answer = app.get(&path).key(&key).send().await;
    answer.assert_status(200);
    answer.json()
}

/// A message with ids of its sender as Meta sends them since users may hide their number.
fn from_user(user_id: &str, phone: Option<&str>, id: &str) -> Value {
    let mut message = text(phone.unwrap_or_default(), id, "hi");
    message["from_user_id"] = user_id.into();
    let mut payload = update("1001", &[message]);
    payload["entry"][0]["changes"][0]["value"]["contacts"] = json!([
        {"profile": {"name": "Ayu", "username": "ayu.b"}, "user_id": user_id, "wa_id": phone.unwrap_or_default()}
    ]);
    payload
}

async fn a_conversation_shows_its_documented_keys(store: Store) {
    let app = TestApp::start(store).await;
    let inbox = app.whatsapp("1001").await;
    let both = [
        text("628111", "wamid.1", "one"),
        text("628111", "wamid.2", "two"),
    ];
    app.deliver(&update("1001", &both)).await.assert_status(200);

    let page = list(&app, "").await;
    assert_eq!(page["pagination"], json!({"limit": 50, "has_more": false}));
    let conversation = &page["data"][0];
    let last = &conversation["last_message"];
    assert_eq!(last["content"], json!({"text": "two"}));
    assert_eq!(
        conversation,
        &json!({
            "id": conversation["id"],
            "inbox_id": inbox,
            "contact": {"id": conversation["contact"]["id"], "name": "Customer 628111", "phone": "+628111", "is_group": false,
                "identities": [{"channel": "whatsapp", "kind": "phone", "value": "628111"}]},
            "status": "open",
            "waiting_since": "2025-01-15T08:00:00Z",
            "unread_count": 2,
            "last_inbound_at": "2025-01-15T08:00:00Z",
            "messages_count": 2,
            "last_message": last,
            "created_at": "2025-01-15T08:00:00Z",
            "updated_at": "2025-01-15T08:00:00Z",
            "window": {"open": true, "closes_at": "2025-01-16T08:00:00Z"},
        })
    );
    let key = app.key(&[Scope::Read]).await;
    let path = format!(
        "/conversations/{}",
        conversation["id"].as_str().unwrap_or_default()
    );
    assert_eq!(&app.get(&path).key(&key).send().await.data(), conversation);
}

async fn two_first_messages_at_once_make_one_conversation(store: Store) {
    let app = TestApp::start(store).await;
    app.whatsapp("1001").await;
    let payloads: Vec<_> = (0..16)
        .map(|n| update("1001", &[text("628111", &format!("wamid.{n}"), "hi")]))
        .collect();
    let updates = payloads.iter().map(|payload| app.deliver(payload));
    for answer in futures_util::future::join_all(updates).await {
        answer.assert_status(200);
    }
    let page = list(&app, "").await;
    assert_eq!(page["data"].as_array().map(Vec::len), Some(1), "{page}");
    assert_eq!(page["data"][0]["messages_count"], 16);
}

async fn a_contact_without_a_number_is_known_by_its_own_id(store: Store) {
    let app = TestApp::start(store).await;
    app.whatsapp("1001").await;
    for (id, user) in [
        ("wamid.1", "ID.1"),
        ("wamid.2", "ID.2"),
        ("wamid.3", "ID.1"),
    ] {
        app.deliver(&from_user(user, None, id))
            .await
            .assert_status(200);
    }
    let page = list(&app, "").await;
    let counts: Vec<_> = page["data"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|one| one["messages_count"].clone())
        .collect();
    assert_eq!(counts, [json!(1), json!(2)]);
    assert_eq!(page["data"][0]["contact"].get("phone"), None);
    assert_eq!(page["data"][0]["contact"]["username"], "ayu.b");
}

async fn a_contact_that_gets_its_own_id_stays_the_same(store: Store) {
    let app = TestApp::start(store).await;
    app.whatsapp("1001").await;
    // First by number alone, then with both, then hidden, then by number alone once more.
    let before = update("1001", &[text("628111", "wamid.1", "hi")]);
    app.deliver(&before).await.assert_status(200);
    app.deliver(&from_user("ID.1", Some("628111"), "wamid.2"))
        .await
        .assert_status(200);
    app.deliver(&from_user("ID.1", None, "wamid.3"))
        .await
        .assert_status(200);
    let after = update("1001", &[text("628111", "wamid.4", "hi")]);
    app.deliver(&after).await.assert_status(200);
    let page = list(&app, "").await;
    assert_eq!(page["data"].as_array().map(Vec::len), Some(1), "{page}");
    assert_eq!(page["data"][0]["messages_count"], 4);
}

async fn a_number_that_was_handed_on_is_somebody_else(store: Store) {
    let app = TestApp::start(store).await;
    app.whatsapp("1001").await;
    for (user, id) in [("ID.1", "wamid.1"), ("ID.2", "wamid.2")] {
        app.deliver(&from_user(user, Some("628111"), id))
            .await
            .assert_status(200);
    }
    let page = list(&app, "").await;
    assert_eq!(page["data"].as_array().map(Vec::len), Some(2), "{page}");
}

async fn a_walk_meets_each_conversation_once_while_messages_arrive(store: Store) {
    let app = TestApp::start(store).await;
    app.whatsapp("1001").await;
    let first: Vec<_> = (0..20)
        .map(|n| text(&format!("6281{n:02}"), &format!("wamid.{n}"), "hi"))
        .collect();
    app.deliver(&update("1001", &first))
        .await
        .assert_status(200);
    let mut met = Vec::new();
    let mut query = "limit=6".to_owned();
    for round in 0.. {
        let page = list(&app, &query).await;
        for one in page["data"].as_array().expect("a list") {
            met.push(
                one["contact"]["phone"]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned(),
            );
        }
        // The one that is met last, and somebody new, write again.
        let again = [
            text("628100", &format!("wamid.again{round}"), "again"),
            text(&format!("6299{round}"), &format!("wamid.new{round}"), "new"),
        ];
        app.deliver(&update("1001", &again))
            .await
            .assert_status(200);
        let Some(cursor) = page["pagination"]["next_cursor"].as_str() else {
            break;
        };
        query = format!("limit=6&cursor={cursor}");
    }
    met.sort();
    let expected: Vec<_> = (0..20).map(|n| format!("+6281{n:02}")).collect();
    assert_eq!(met, expected);
}

/// A message by its sender's clock.
fn at(seconds: i64, from: &str, id: &str) -> Value {
    let mut message = text(from, id, id);
    message["timestamp"] = (1_736_928_000 + seconds).to_string().into();
    message
}

fn last_texts(page: &Value) -> Vec<String> {
    let rows = page["data"].as_array().expect("a list").iter();
    let text = |row: &Value| {
        row["last_message"]["content"]["text"]
            .as_str()
            .map(str::to_owned)
    };
    rows.map(|row| text(row).unwrap_or_default()).collect()
}

async fn the_last_message_is_the_latest_whenever_it_comes(store: Store) {
    let app = TestApp::start(store).await;
    app.whatsapp("1001").await;
    let batch = [
        at(2, "628111", "second"),
        at(3, "628111", "third"),
        at(1, "628111", "first"),
    ];
    app.deliver(&update("1001", &batch))
        .await
        .assert_status(200);
    assert_eq!(last_texts(&list(&app, "").await), ["third"]);

    // Late, and of before the connection.
    app.deliver(&update("1001", &[at(-9, "628111", "late")]))
        .await
        .assert_status(200);
    let history = json!([{"threads": [{"id": "628111", "messages": [at(-99, "628111", "old")]}]}]);
    let mut handed_over = value("1001", "history", history);
    handed_over["entry"][0]["changes"][0]["field"] = "history".into();
    app.deliver(&handed_over).await.assert_status(200);
    let page = list(&app, "").await;
    assert_eq!(last_texts(&page), ["third"]);
    assert_eq!(page["data"][0]["messages_count"], 5);

    // Of two of one second the one that came later.
    app.deliver(&update("1001", &[at(3, "628111", "fourth")]))
        .await
        .assert_status(200);
    assert_eq!(last_texts(&list(&app, "").await), ["fourth"]);
    app.verify().await;
}

async fn sorted_by_the_last_message_the_newest_comes_first(store: Store) {
    let app = TestApp::start(store).await;
    let (one, two) = (app.whatsapp("1001").await, app.whatsapp("1002").await);
    for (number, message) in [
        ("1001", at(1, "628111", "a")),
        ("1002", at(2, "628222", "b")),
        ("1001", at(3, "628333", "c")),
        ("1001", at(4, "628111", "d")),
        ("1002", at(4, "628444", "e")),
    ] {
        app.deliver(&update(number, &[message]))
            .await
            .assert_status(200);
    }
    assert_eq!(last_texts(&list(&app, "").await), ["e", "c", "b", "d"]);
    assert_eq!(
        last_texts(&list(&app, "sort=latest").await),
        ["e", "d", "c", "b"]
    );
    let of = async |inbox| {
        last_texts(&list(&app, &format!("sort=latest&status=open&inbox_id={inbox}")).await)
    };
    assert_eq!(of(one).await, ["d", "c"]);
    assert_eq!(of(two).await, ["e", "b"]);
    assert_eq!(
        list(&app, "sort=latest&status=resolved").await["data"],
        json!([])
    );
}

async fn a_walk_by_the_last_message_meets_none_twice_while_messages_arrive(store: Store) {
    let app = TestApp::start(store).await;
    app.whatsapp("1001").await;
    // Of one second in twos, so that only the id tells them apart.
    let first: Vec<_> = (0..20)
        .map(|n| at(n / 2, &format!("6281{n:02}"), &format!("wamid.{n}")))
        .collect();
    app.deliver(&update("1001", &first))
        .await
        .assert_status(200);
    let mut met = Vec::new();
    let mut query = "sort=latest&limit=3".to_owned();
    for round in 0.. {
        let page = list(&app, &query).await;
        met.extend(last_texts(&page));
        // The newest writes again, and so does somebody new.
        let again = [
            at(100 + round, "628119", &format!("again{round}")),
            at(200 + round, &format!("6299{round}"), &format!("new{round}")),
        ];
        app.deliver(&update("1001", &again))
            .await
            .assert_status(200);
        let Some(cursor) = page["pagination"]["next_cursor"].as_str() else {
            break;
        };
        query = format!("sort=latest&limit=3&cursor={cursor}");
    }
    let expected: Vec<_> = (0..20).rev().map(|n| format!("wamid.{n}")).collect();
    let mut sorted = met.clone();
    sorted.sort_by_key(|id| {
        id.strip_prefix("wamid.")
            .and_then(|n| n.parse::<i64>().ok())
            .map(|n| -n)
    });
    assert_eq!(sorted, expected, "each once");
    let newest_first = met.iter().map(|id| {
        id.strip_prefix("wamid.")
            .and_then(|n| n.parse::<i64>().ok())
    });
    let seconds: Vec<_> = newest_first.map(|n| n.map(|n| n / 2)).collect();
    assert!(seconds.is_sorted_by(|a, b| a >= b), "{met:?}");
}

async fn filters_narrow_the_list(store: Store) {
    let app = TestApp::start(store).await;
    let (one, two) = (app.whatsapp("1001").await, app.whatsapp("1002").await);
    for number in ["1001", "1002"] {
        let payload = update(number, &[text("628111", "wamid.1", "hi")]);
        app.deliver(&payload).await.assert_status(200);
    }
    for inbox in [one, two] {
        let page = list(&app, &format!("inbox_id={inbox}")).await;
        assert_eq!(page["data"].as_array().map(Vec::len), Some(1), "{page}");
        assert_eq!(page["data"][0]["inbox_id"], json!(inbox));
    }
    let open = list(&app, "status=open").await;
    assert_eq!(open["data"].as_array().map(Vec::len), Some(2));
    let resolved = list(&app, "status=resolved").await;
    assert_eq!(resolved["data"], json!([]));
}

async fn each_wrong_parameter_is_an_error(store: Store) {
    let app = TestApp::start(store).await;
    let key = app.key(&[Scope::Read]).await;
    let path = "/conversations?inbox_id=%00&status=closed&cursor=msg_1&limit=101";
    app.get(path).key(&key).send().await.assert_wrong_fields(&[
        ("inbox_id", "is not an id"),
        ("status", "must be open or resolved"),
        ("cursor", "must be the next_cursor of a page"),
        ("limit", "must be a whole number from 1 to 100"),
    ]);
    let path = "/conversations?sort=oldest";
    let sort = ("sort", "must be latest or waiting");
    app.get(path)
        .key(&key)
        .send()
        .await
        .assert_wrong_fields(&[sort]);
    let path = "/conversations?sort=latest&cursor=conv_1";
    let cursor = ("cursor", "must be the next_cursor of a page in this order");
    app.get(path)
        .key(&key)
        .send()
        .await
        .assert_wrong_fields(&[cursor]);
    app.get("/conversations?inbox_id=inbox_none")
        .key(&key)
        .send()
        .await
        .assert_error(404, "NOT_FOUND", "Inbox not found");
}
