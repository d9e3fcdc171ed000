//! `GET /inboxes`: what is listed, in which order, and what each parameter may be.

use crate::support::{
    Answer, Store, TestApp, on_both_stores,
    whatsapp::{text, update},
};
use inboxd::domain::Scope;
use reqwest::Method;
use serde_json::{Value, json};

on_both_stores![
    nothing_is_an_empty_page,
    each_type_shows_exactly_its_keys_in_the_documented_order,
    the_order_is_by_creation_and_then_id,
    another_accounts_inboxes_are_neither_shown_nor_counted,
    type_filters,
    status_filters,
    type_and_status_filter_together,
    limit_is_50_if_not_given,
    limit_and_offset_cut_a_page,
    an_offset_past_the_end_is_an_empty_page_with_the_total,
    an_empty_value_counts_as_not_given,
    unknown_parameters_are_ignored,
    a_parameter_is_decoded_before_it_is_read,
    each_wrong_parameter_is_an_error,
    all_wrong_parameters_are_reported_at_once,
    a_parameter_given_twice_is_an_error,
    a_trailing_slash_and_head_work,
    a_body_on_the_get_is_read_and_ignored,
    a_change_is_in_the_very_next_answer,
    the_pages_curl_and_javascript_samples_work,
];

const LIMIT_RULE: &str = "must be a whole number from 1 to 100";
const OFFSET_RULE: &str = "must be a whole number from 0";
const TYPE_RULE: &str = "must be one of whatsapp, instagram, livechat, telegram";
const STATUS_RULE: &str = "must be one of active, inactive, pending";

/// An app with a reading key, and a way to list.
struct Listing {
    app: TestApp,
    key: String,
}

impl Listing {
    async fn start(store: Store) -> Self {
        let app = TestApp::start(store).await;
        let key = app.key(&[Scope::Read]).await;
        Listing { app, key }
    }

    /// With six inboxes: one of each type, then a live chat switched off, then a WhatsApp number that is active.
    async fn with_six(store: Store) -> Self {
        let listing = Self::start(store).await;
        let app = &listing.app;
        app.whatsapp("1001").await;
        app.inbox(
            json!({"name": "Instagram DM", "type": "instagram", "instagram_account_id": "ig_789",
            "channel": {"app_secret": "s"}}),
        )
        .await;
        app.livechat("Website").await;
        app.inbox(json!({"name": "Bot", "type": "telegram", "channel": {"bot_token": "42:abc"}}))
            .await;
        let off = app.livechat("Old website").await;
        app.whatsapp("1002").await;
        app.deliver(&update("1002", &[text("628111", "wamid.1", "Hello")]))
            .await
            .assert_status(200);
        let writer = app.key(&[Scope::Write]).await;
        app.patch(&format!("/inboxes/{off}"))
            .key(&writer)
            .json(&json!({"status": "inactive"}))
            .send()
            .await
            .assert_status(200);
        listing
    }

    async fn get(&self, query: &str) -> Answer {
        let path = format!("/inboxes{query}");
        self.app.get(&path).key(&self.key).send().await
    }

    /// The names that a query finds, and the total.
    async fn names(&self, query: &str) -> (Vec<String>, i64) {
        let answer = self.get(query).await;
        answer.assert_status(200);
        let body = answer.json();
        let names = body["data"].as_array().expect("a list").iter();
        let names = names.map(|inbox| inbox["name"].as_str().expect("a name").to_owned());
        let total = body["pagination"]["total"].as_i64().expect("a total");
        (names.collect(), total)
    }
}

async fn nothing_is_an_empty_page(store: Store) {
    let listing = Listing::start(store).await;
    let answer = listing.get("").await;
    answer.assert_status(200);
    assert_eq!(
        answer.text(),
        r#"{"success":true,"data":[],"pagination":{"total":0,"limit":50,"offset":0}}"#
    );
}

async fn each_type_shows_exactly_its_keys_in_the_documented_order(store: Store) {
    let listing = Listing::with_six(store).await;
    let answer = listing.get("?limit=4").await;
    let ids: Vec<_> = answer.json()["data"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|inbox| inbox["id"].as_str().expect("an id").to_owned())
        .collect();
    assert!(ids.iter().all(|id| id.starts_with("inbox_")));
    let created = r#""created_at":"2025-01-15T08:00:00Z","messages_count":0"#;
    let expected = [
        format!(
            r#"{{"id":"{}","name":"Customer Support","type":"whatsapp","status":"pending","phone_number":"+62812345678",{created}}}"#,
            ids[0]
        ),
        format!(
            r#"{{"id":"{}","name":"Instagram DM","type":"instagram","status":"pending","instagram_account_id":"ig_789",{created}}}"#,
            ids[1]
        ),
        format!(
            r#"{{"id":"{}","name":"Website","type":"livechat","status":"active",{created}}}"#,
            ids[2]
        ),
        format!(
            r#"{{"id":"{}","name":"Bot","type":"telegram","status":"pending",{created}}}"#,
            ids[3]
        ),
    ];
    let expected = format!(
        r#"{{"success":true,"data":[{}],"pagination":{{"total":6,"limit":4,"offset":0}}}}"#,
        expected.join(",")
    );
    assert_eq!(answer.text(), expected);
}

async fn the_order_is_by_creation_and_then_id(store: Store) {
    let listing = Listing::start(store).await;
    let clock = &listing.app.context.clock;
    listing.app.livechat("second").await;
    listing.app.livechat("third, in the same second").await;
    clock.advance(-60);
    listing.app.livechat("first, though made last").await;
    clock.advance(120);
    listing.app.livechat("fourth").await;
    let (names, _) = listing.names("").await;
    assert_eq!(
        names,
        [
            "first, though made last",
            "second",
            "third, in the same second",
            "fourth"
        ]
    );
}

async fn another_accounts_inboxes_are_neither_shown_nor_counted(store: Store) {
    let listing = Listing::start(store).await;
    let other = listing.app.another_account().await;
    let body = json!({"name": "Theirs", "type": "livechat"});
    listing.app.inbox_of(&other, body).await;
    listing.app.livechat("Ours").await;
    assert_eq!(listing.names("").await, (vec!["Ours".to_owned()], 1));
}

async fn type_filters(store: Store) {
    let listing = Listing::with_six(store).await;
    for (kind, total) in [
        ("whatsapp", 2),
        ("instagram", 1),
        ("livechat", 2),
        ("telegram", 1),
    ] {
        let answer = listing.get(&format!("?type={kind}")).await;
        let body = answer.json();
        let found = body["data"].as_array().expect("a list");
        assert_eq!(found.len(), total, "{kind}");
        assert!(found.iter().all(|inbox| inbox["type"] == kind));
        assert_eq!(body["pagination"]["total"], total);
    }
}

async fn status_filters(store: Store) {
    let listing = Listing::with_six(store).await;
    for (status, total) in [("active", 2), ("inactive", 1), ("pending", 3)] {
        let answer = listing.get(&format!("?status={status}")).await;
        let body = answer.json();
        let found = body["data"].as_array().expect("a list");
        assert_eq!(found.len(), total, "{status}");
        assert!(found.iter().all(|inbox| inbox["status"] == status));
        assert_eq!(body["pagination"]["total"], total);
    }
}

async fn type_and_status_filter_together(store: Store) {
    let listing = Listing::with_six(store).await;
    let (names, total) = listing.names("?type=whatsapp&status=active").await;
    assert_eq!((names.len(), total), (1, 1));
    let (names, total) = listing.names("?type=instagram&status=active").await;
    assert_eq!((names.len(), total), (0, 0));
}

async fn limit_is_50_if_not_given(store: Store) {
    let listing = Listing::start(store).await;
    for number in 0..51 {
        listing.app.livechat(&format!("Chat {number}")).await;
    }
    let (names, total) = listing.names("").await;
    assert_eq!((names.len(), total), (50, 51));
    let (names, _) = listing.names("?limit=100").await;
    assert_eq!(names.len(), 51);
}

async fn limit_and_offset_cut_a_page(store: Store) {
    let listing = Listing::with_six(store).await;
    let answer = listing.get("?limit=2&offset=2").await;
    let pagination = json!({"total": 6, "limit": 2, "offset": 2});
    assert_eq!(answer.json()["pagination"], pagination);
    let (names, _) = listing.names("?limit=2&offset=2").await;
    assert_eq!(names, ["Website", "Bot"]);
    let (names, total) = listing.names("?limit=1&offset=1&type=livechat").await;
    assert_eq!((names, total), (vec!["Old website".to_owned()], 2));
}

async fn an_offset_past_the_end_is_an_empty_page_with_the_total(store: Store) {
    let listing = Listing::with_six(store).await;
    for offset in ["6", "7", "9223372036854775807"] {
        let (names, total) = listing.names(&format!("?offset={offset}")).await;
        assert_eq!((names.len(), total), (0, 6), "{offset}");
    }
}

async fn an_empty_value_counts_as_not_given(store: Store) {
    let listing = Listing::with_six(store).await;
    let plain = listing.get("").await.json();
    for query in ["?", "?type=&status=&limit=&offset=", "?type", "?&&limit=&"] {
        assert_eq!(listing.get(query).await.json(), plain, "{query}");
    }
}

async fn unknown_parameters_are_ignored(store: Store) {
    let listing = Listing::with_six(store).await;
    let plain = listing.get("").await.json();
    let query = "?page=2&cursor=x&Type=telegram&LIMIT=1&x=1&x=2&type[]=telegram";
    assert_eq!(listing.get(query).await.json(), plain);
}

async fn a_parameter_is_decoded_before_it_is_read(store: Store) {
    let listing = Listing::with_six(store).await;
    let (_, total) = listing.names("?t%79pe=%77hatsapp&limit=%31").await;
    assert_eq!(total, 2);
}

async fn each_wrong_parameter_is_an_error(store: Store) {
    let listing = Listing::start(store).await;
    let many_digits = "9".repeat(40);
    let wrong = [
        ("limit", "0", LIMIT_RULE),
        ("limit", "101", LIMIT_RULE),
        ("limit", "500", LIMIT_RULE),
        ("limit", "-1", LIMIT_RULE),
        ("limit", "+1", LIMIT_RULE),
        ("limit", "%2B1", LIMIT_RULE),
        ("limit", "1.0", LIMIT_RULE),
        ("limit", "1e1", LIMIT_RULE),
        ("limit", "0x10", LIMIT_RULE),
        ("limit", "ten", LIMIT_RULE),
        ("limit", "%20", LIMIT_RULE),
        ("limit", "%D9%A1", LIMIT_RULE),
        ("limit", &many_digits, LIMIT_RULE),
        ("offset", "-1", OFFSET_RULE),
        ("offset", "1.5", OFFSET_RULE),
        ("offset", "x", OFFSET_RULE),
        ("offset", "9223372036854775808", OFFSET_RULE),
        ("offset", &many_digits, OFFSET_RULE),
        ("type", "WhatsApp", TYPE_RULE),
        ("type", "email", TYPE_RULE),
        ("type", "whatsapp,telegram", TYPE_RULE),
        ("type", "%20whatsapp", TYPE_RULE),
        ("type", "%00", TYPE_RULE),
        ("type", "null", TYPE_RULE),
        ("status", "Active", STATUS_RULE),
        ("status", "open", STATUS_RULE),
    ];
    for (name, value, rule) in wrong {
        let answer = listing.get(&format!("?{name}={value}")).await;
        answer.assert_wrong_fields(&[(name, rule)]);
    }
}

async fn all_wrong_parameters_are_reported_at_once(store: Store) {
    let listing = Listing::start(store).await;
    let answer = listing.get("?limit=0&offset=-1&type=sms&status=on").await;
    answer.assert_wrong_fields(&[
        ("type", TYPE_RULE),
        ("status", STATUS_RULE),
        ("limit", LIMIT_RULE),
        ("offset", OFFSET_RULE),
    ]);
}

async fn a_parameter_given_twice_is_an_error(store: Store) {
    let listing = Listing::start(store).await;
    for name in ["limit", "offset", "type", "status"] {
        for query in [format!("?{name}=1&{name}=1"), format!("?{name}=&{name}=")] {
            let answer = listing.get(&query).await;
            answer.assert_wrong_fields(&[(name, "must be given once")]);
        }
    }
}

async fn a_trailing_slash_and_head_work(store: Store) {
    let listing = Listing::with_six(store).await;
    let plain = listing.get("?limit=2").await;
    assert_eq!(listing.get("/?limit=2").await.body, plain.body);
    for path in ["/inboxes?limit=2", "/inboxes/?limit=2"] {
        let call = listing.app.call(Method::HEAD, path);
        let head = call.key(&listing.key).send().await;
        head.assert_status(200);
        assert!(head.body.is_empty());
        assert_eq!(head.header("content-type"), "application/json");
        assert_eq!(head.header("content-length"), plain.body.len().to_string());
    }
}

async fn a_body_on_the_get_is_read_and_ignored(store: Store) {
    let listing = Listing::with_six(store).await;
    let plain = listing.get("").await.json();
    for body in ["{}", "not JSON", r#"{"limit":1}"#] {
        let call = listing.app.get("/inboxes").key(&listing.key);
        let answer = call.raw_json(body).send().await;
        answer.assert_json(200, &plain);
    }
}

async fn a_change_is_in_the_very_next_answer(store: Store) {
    let listing = Listing::start(store).await;
    let app = &listing.app;
    let writer = app.key(&[Scope::Write]).await;
    for round in 0..10 {
        let body = json!({"name": format!("Chat {round}"), "type": "livechat"});
        let made = app.post("/inboxes").key(&writer).json(&body).send().await;
        let path = format!("/inboxes/{}", made.data()["id"].as_str().expect("an id"));
        let (names, total) = listing.names("").await;
        assert_eq!((names, total), (vec![format!("Chat {round}")], 1));

        let change = json!({"name": "Renamed", "status": "inactive"});
        app.patch(&path)
            .key(&writer)
            .json(&change)
            .send()
            .await
            .assert_success();
        let inbox: Value = listing.get("").await.data()[0].clone();
        assert_eq!(
            (&inbox["name"], &inbox["status"]),
            (&json!("Renamed"), &json!("inactive"))
        );

        app.delete(&path).key(&writer).send().await.assert_success();
        assert_eq!(listing.names("").await, (vec![], 0));
    }
}

/// The owner's page: `curl -X GET URL -H "Authorization: Bearer KEY"`, and a `fetch` from a browser's page.
async fn the_pages_curl_and_javascript_samples_work(store: Store) {
    let listing = Listing::with_six(store).await;
    let curl = listing.get("").await;
    let origin = "https://shop.example.com";
    let fetch = listing
        .app
        .get("/inboxes")
        .key(&listing.key)
        .header("origin", origin);
    let fetch = fetch.send().await;
    assert_eq!(fetch.header("access-control-allow-origin"), "*");
    for answer in [curl, fetch] {
        let data = answer.data();
        let active: Vec<_> = data
            .as_array()
            .expect("a list")
            .iter()
            .filter(|inbox| inbox["type"] == "whatsapp" && inbox["status"] == "active")
            .collect();
        assert_eq!(active.len(), 1);
        assert_eq!(active[0]["messages_count"], 1);
    }
}
