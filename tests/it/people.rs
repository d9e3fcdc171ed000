//! Who is who: one person is one contact, by whatever its provider names it, and two persons never are.

use crate::support::{
    Store, TestApp, on_both_stores,
    whatsapp::{text, update, value},
};
use db::Sql;
use inboxd::{domain::Scope, ops::livechat};
use serde_json::{Value, json};

on_both_stores![
    a_number_an_id_and_then_both_are_one_person,
    an_echo_to_a_number_finds_who_writes_there,
    two_spellings_of_a_number_are_one_person_if_the_provider_says_so,
    a_number_that_comes_with_another_id_moves_and_nobody_is_joined,
    an_id_of_another_business_account_is_another_id_of_the_same_person,
    a_changed_number_stays_the_same_conversation,
    a_changed_number_that_had_an_owner_joins_no_strangers,
    a_changed_user_id_stays_the_same_conversation,
    a_redelivered_change_takes_nothing_back,
    what_is_said_of_nobody_known_makes_no_contact,
    an_instagram_contact_shows_its_id,
    a_number_handed_over_by_history_moves_nothing,
    an_id_from_before_scopes_were_kept_gets_the_one_that_it_comes_with,
    a_visitor_for_whom_a_website_vouches_shows_the_user_id,
];

/// What Meta sends for somebody who is named by these.
pub(crate) fn from(wa_id: Option<&str>, user_id: Option<&str>, id: &str) -> Value {
    let mut message = text(wa_id.unwrap_or_default(), id, "hi");
    if let Some(user_id) = user_id {
        message["from_user_id"] = user_id.into();
    }
    let mut payload = update("1001", &[message]);
    change(&mut payload)["value"]["contacts"] = json!([]);
    payload
}

pub(crate) fn change(payload: &mut Value) -> &mut Value {
    &mut payload["entry"][0]["changes"][0]
}

/// What the business writes to a number in its phone app.
fn echo(number_id: &str, to: &str, id: &str) -> Value {
    let mut echo = text("62812345678", id, "hello");
    echo["to"] = to.into();
    let mut payload = value(number_id, "message_echoes", json!([echo]));
    change(&mut payload)["field"] = "smb_message_echoes".into();
    payload
}

/// What WhatsApp says in a thread, this many seconds after the messages.
pub(crate) fn system(seconds: i64, from: Value, system: Value) -> Value {
    let mut message = json!({"id": format!("wamid.system.{seconds}"), "type": "system", "system": system,
        "timestamp": (1_736_928_000 + seconds).to_string()});
    let more = from.as_object().expect("an object").clone();
    message.as_object_mut().expect("an object").extend(more);
    update("1001", &[message])
}

fn number_changed(seconds: i64, from: &str, to: &str) -> Value {
    system(
        seconds,
        json!({"from": from}),
        json!({"type": "user_changed_number", "wa_id": to}),
    )
}

pub(crate) async fn deliver(app: &TestApp, payload: &Value) {
    app.deliver(payload).await.assert_status(200);
}

pub(crate) async fn conversations(app: &TestApp) -> Vec<Value> {
    let key = app.key(&[Scope::Read]).await;
    let page = app.get("/conversations?limit=100").key(&key).send().await;
    page.data().as_array().expect("a list").clone()
}

/// How many messages each conversation has, the fewest first.
pub(crate) async fn counts(app: &TestApp) -> Vec<i64> {
    let all = conversations(app).await;
    let count = |one: &Value| one["messages_count"].as_i64().expect("a count");
    let mut counts: Vec<_> = all.iter().map(count).collect();
    counts.sort_unstable();
    app.verify().await;
    counts
}

/// What a contact is known by, without the channel; `!` at the end of one that was replaced.
pub(crate) fn known_by(conversation: &Value) -> Vec<String> {
    let identities = conversation["contact"]["identities"]
        .as_array()
        .expect("a list");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    identities
        .iter()
        .map(|one| {
            let scope = one.get("scope").map(|scope| format!("@{}", text(scope)));
            let former = one.get("former").map_or("", |_| "!");
            let (kind, value) = (text(&one["kind"]), text(&one["value"]));
            format!("{kind} {value}{}{former}", scope.unwrap_or_default())
        })
        .collect()
}

const ACCOUNT: &str = "102290129340398";

async fn a_number_an_id_and_then_both_are_one_person(store: Store) {
    let app = TestApp::start(store).await;
    app.whatsapp("1001").await;
    deliver(&app, &from(None, Some("US.900"), "wamid.1")).await;
    deliver(&app, &from(Some("15557001"), Some("US.900"), "wamid.2")).await;
    deliver(&app, &echo("1001", "15557001", "wamid.3")).await;
    assert_eq!(counts(&app).await, [3]);
    // The other way round, and then by what each was first known.
    deliver(&app, &from(Some("15557002"), None, "wamid.4")).await;
    deliver(&app, &from(None, Some("US.901"), "wamid.5")).await;
    assert_eq!(counts(&app).await, [1, 1, 3]);
    let lost: Vec<_> = conversations(&app).await.into_iter().take(2).collect();
    deliver(&app, &from(Some("15557002"), Some("US.901"), "wamid.6")).await;
    deliver(&app, &from(Some("15557002"), None, "wamid.7")).await;
    deliver(&app, &from(None, Some("US.901"), "wamid.8")).await;
    assert_eq!(counts(&app).await, [3, 5]);
    let joined = &conversations(&app).await[0];
    assert_eq!(
        known_by(joined),
        [
            "phone 15557002".to_owned(),
            format!("user_id US.901@{ACCOUNT}")
        ]
    );
    assert_eq!(joined["contact"]["phone"], "+15557002");
    // Both ids lead to the one that is left.
    let key = app.key(&[Scope::Read]).await;
    for one in lost {
        let id = one["id"].as_str().expect("an id");
        let found = app
            .get(&format!("/conversations/{id}"))
            .key(&key)
            .send()
            .await;
        assert_eq!(&found.data(), joined);
        let path = format!("/messages?conversation_id={id}");
        let messages = app.get(&path).key(&key).send().await.data();
        assert_eq!(messages.as_array().map(Vec::len), Some(5));
        let before = messages[4]["id"].as_str().expect("an id");
        let path = format!("{path}&before={before}");
        let messages = app.get(&path).key(&key).send().await.data();
        assert_eq!(messages.as_array().map(Vec::len), Some(4));
    }
}

async fn an_echo_to_a_number_finds_who_writes_there(store: Store) {
    let app = TestApp::start(store).await;
    let (one, _two) = (app.whatsapp("1001").await, app.whatsapp("1002").await);
    // One number, with an id of each portfolio.
    deliver(&app, &from(Some("15557001"), Some("US.1"), "wamid.1")).await;
    let mut other = from(Some("15557001"), Some("US.2"), "wamid.2");
    other["entry"][0]["id"] = "another portfolio".into();
    change(&mut other)["value"]["metadata"]["phone_number_id"] = "1002".into();
    deliver(&app, &other).await;
    deliver(&app, &echo("1001", "15557001", "wamid.3")).await;
    deliver(&app, &echo("1002", "15557001", "wamid.4")).await;
    assert_eq!(counts(&app).await, [2, 2]);
    let all = conversations(&app).await;
    assert_eq!(
        all[0]["contact"], all[1]["contact"],
        "one person in both inboxes"
    );
    assert_eq!(all[1]["inbox_id"], one.as_str());
}

async fn two_spellings_of_a_number_are_one_person_if_the_provider_says_so(store: Store) {
    let app = TestApp::start(store).await;
    app.whatsapp("1001").await;
    let mut both = update("1001", &[text("5511987654321", "wamid.1", "oi")]);
    change(&mut both)["value"]["contacts"] =
        json!([{"wa_id": "551187654321", "profile": {"name": "Ana"}}]);
    deliver(&app, &both).await;
    deliver(&app, &from(Some("551187654321"), None, "wamid.2")).await;
    assert_eq!(counts(&app).await, [2]);
    // Nobody said so of these.
    deliver(&app, &from(Some("5211234567890"), None, "wamid.3")).await;
    deliver(&app, &from(Some("521234567890"), None, "wamid.4")).await;
    assert_eq!(counts(&app).await, [1, 1, 2]);
}

async fn a_number_that_comes_with_another_id_moves_and_nobody_is_joined(store: Store) {
    let app = TestApp::start(store).await;
    app.whatsapp("1001").await;
    deliver(&app, &from(Some("15557001"), Some("US.1"), "wamid.1")).await;
    deliver(&app, &from(Some("15557001"), Some("US.2"), "wamid.2")).await;
    assert_eq!(counts(&app).await, [1, 1]);
    let all = conversations(&app).await;
    assert_eq!(known_by(&all[1]), [format!("user_id US.1@{ACCOUNT}")]);
    assert_eq!(all[1]["contact"].get("phone"), None);
    assert_eq!(all[0]["contact"]["phone"], "+15557001");
    // The number alone is now the second one's, each id its own.
    deliver(&app, &from(Some("15557001"), None, "wamid.3")).await;
    deliver(&app, &from(None, Some("US.1"), "wamid.4")).await;
    deliver(&app, &from(None, Some("US.1"), "wamid.5")).await;
    assert_eq!(counts(&app).await, [2, 3]);
    // Both known already, apart: the same.
    deliver(&app, &from(None, Some("US.3"), "wamid.6")).await;
    deliver(&app, &from(Some("15557001"), Some("US.3"), "wamid.7")).await;
    assert_eq!(counts(&app).await, [2, 2, 3]);
}

async fn an_id_of_another_business_account_is_another_id_of_the_same_person(store: Store) {
    let app = TestApp::start(store).await;
    app.whatsapp("1001").await;
    for (account, user, id) in [("waba-1", "US.1", "wamid.1"), ("waba-2", "US.2", "wamid.2")] {
        let mut payload = from(Some("15557001"), Some(user), id);
        payload["entry"][0]["id"] = account.into();
        deliver(&app, &payload).await;
    }
    assert_eq!(counts(&app).await, [2]);
    assert_eq!(
        known_by(&conversations(&app).await[0]),
        [
            "phone 15557001",
            "user_id US.1@waba-1",
            "user_id US.2@waba-2"
        ]
    );
    // The same text from another account is somebody else.
    let mut payload = from(None, Some("US.1"), "wamid.3");
    payload["entry"][0]["id"] = "waba-2".into();
    deliver(&app, &payload).await;
    assert_eq!(counts(&app).await, [1, 2]);
}

async fn a_changed_number_stays_the_same_conversation(store: Store) {
    let app = TestApp::start(store).await;
    app.whatsapp("1001").await;
    deliver(&app, &from(Some("15557001"), Some("US.1"), "wamid.1")).await;
    deliver(&app, &number_changed(10, "15557001", "15557002")).await;
    assert_eq!(counts(&app).await, [1], "nothing is counted");
    let shown = &conversations(&app).await[0];
    assert_eq!(shown["contact"]["phone"], "+15557002");
    assert_eq!(
        known_by(shown),
        [
            "phone 15557001!".to_owned(),
            "phone 15557002".to_owned(),
            format!("user_id US.1@{ACCOUNT}!"),
        ]
    );
    // The new number comes with a new id; what was on its way comes by the old ones.
    deliver(&app, &from(Some("15557002"), Some("US.2"), "wamid.2")).await;
    deliver(&app, &from(Some("15557001"), Some("US.1"), "wamid.3")).await;
    deliver(&app, &from(Some("15557001"), None, "wamid.4")).await;
    assert_eq!(counts(&app).await, [4]);
    assert_eq!(
        conversations(&app).await[0]["contact"]["phone"],
        "+15557002"
    );
    // Somebody else gets the old number.
    deliver(&app, &from(Some("15557001"), Some("US.9"), "wamid.5")).await;
    assert_eq!(counts(&app).await, [1, 4]);

    // The message came first, and nobody says an id.
    deliver(&app, &from(Some("15558001"), None, "wamid.6")).await;
    deliver(&app, &from(Some("15558002"), None, "wamid.7")).await;
    deliver(&app, &number_changed(20, "15558001", "15558002")).await;
    assert_eq!(counts(&app).await, [1, 2, 4]);
}

async fn a_changed_number_that_had_an_owner_joins_no_strangers(store: Store) {
    let app = TestApp::start(store).await;
    app.whatsapp("1001").await;
    deliver(&app, &from(Some("15557001"), Some("US.1"), "wamid.1")).await;
    deliver(&app, &from(Some("15557002"), Some("US.2"), "wamid.2")).await;
    let full = system(
        10,
        json!({"from": "15557001", "from_user_id": "US.1"}),
        json!({"type": "user_changed_number", "wa_id": "15557002", "user_id": "US.3", "previous_user_id": "US.1"}),
    );
    deliver(&app, &full).await;
    deliver(&app, &from(Some("15557002"), Some("US.3"), "wamid.3")).await;
    deliver(&app, &from(None, Some("US.2"), "wamid.4")).await;
    assert_eq!(counts(&app).await, [2, 2]);
    // Without a word on ids the number moves at first, and what comes with it tells who it was.
    deliver(&app, &from(Some("15558001"), Some("US.11"), "wamid.5")).await;
    deliver(&app, &from(Some("15558002"), Some("US.12"), "wamid.6")).await;
    deliver(&app, &number_changed(20, "15558001", "15558002")).await;
    assert_eq!(counts(&app).await, [1, 1, 2, 2]);
    deliver(&app, &from(Some("15558002"), Some("US.12"), "wamid.7")).await;
    assert_eq!(counts(&app).await, [2, 2, 3]);
}

async fn a_changed_user_id_stays_the_same_conversation(store: Store) {
    let app = TestApp::start(store).await;
    app.whatsapp("1001").await;
    deliver(&app, &from(None, Some("US.1"), "wamid.1")).await;
    // The new id was faster.
    deliver(&app, &from(None, Some("US.2"), "wamid.2")).await;
    assert_eq!(counts(&app).await, [1, 1]);
    let said =
        json!({"type": "user_changed_user_id", "user_id": "US.2", "previous_user_id": "US.1"});
    deliver(&app, &system(10, json!({}), said)).await;
    assert_eq!(counts(&app).await, [2]);
    assert_eq!(
        known_by(&conversations(&app).await[0]),
        [
            format!("user_id US.1@{ACCOUNT}!"),
            format!("user_id US.2@{ACCOUNT}")
        ]
    );
}

async fn a_redelivered_change_takes_nothing_back(store: Store) {
    let app = TestApp::start(store).await;
    app.whatsapp("1001").await;
    deliver(&app, &from(Some("15557001"), None, "wamid.1")).await;
    let (first, second) = (
        number_changed(10, "15557001", "15557002"),
        number_changed(20, "15557002", "15557003"),
    );
    for said in [&first, &second, &first, &second, &first] {
        deliver(&app, said).await;
        assert_eq!(counts(&app).await, [1]);
    }
    let shown = &conversations(&app).await[0];
    assert_eq!(shown["contact"]["phone"], "+15557003");
    assert_eq!(
        known_by(shown),
        ["phone 15557001!", "phone 15557002!", "phone 15557003"]
    );
    // The old number has somebody else meanwhile: that one is not joined.
    deliver(&app, &from(Some("15557001"), Some("US.9"), "wamid.2")).await;
    deliver(&app, &first).await;
    assert_eq!(counts(&app).await, [1, 1]);
    // And back to what it was before.
    deliver(&app, &number_changed(30, "15557003", "15557002")).await;
    let all = conversations(&app).await;
    assert_eq!(all[1]["contact"]["phone"], "+15557002");
    assert_eq!(known_by(&all[1]), ["phone 15557002", "phone 15557003!"]);
}

async fn what_is_said_of_nobody_known_makes_no_contact(store: Store) {
    let app = TestApp::start(store).await;
    app.whatsapp("1001").await;
    deliver(&app, &number_changed(10, "15557001", "15557002")).await;
    for table in ["contacts", "identities", "conversations"] {
        assert_eq!(app.count(table).await, 0, "{table}");
    }
}

async fn an_instagram_contact_shows_its_id(store: Store) {
    let app = TestApp::start(store).await;
    app.inbox(
        json!({"name": "IG", "type": "instagram", "instagram_account_id": "17841400000000001",
        "channel": {"app_secret": "an-app-secret"}}),
    )
    .await;
    let body = json!({"object": "instagram", "entry": [{"id": "17841400000000001", "time": 1_736_928_000,
        "messaging": [{"sender": {"id": "900"}, "recipient": {"id": "17841400000000001"},
            "timestamp": 1_736_928_000_000_i64, "message": {"mid": "m1", "text": "hi"}}]}]});
    let bytes = body.to_string();
    let signature = crate::support::whatsapp::sign("an-app-secret", bytes.as_bytes());
    app.post("/hooks/instagram")
        .header("x-hub-signature-256", &signature)
        .raw_json(bytes.as_bytes())
        .send()
        .await
        .assert_status(200);
    let shown = &conversations(&app).await[0];
    assert_eq!(
        shown["contact"]["identities"],
        json!([{"channel": "instagram", "kind": "id", "value": "900", "scope": "17841400000000001"}])
    );
}

async fn a_number_handed_over_by_history_moves_nothing(store: Store) {
    let app = TestApp::start(store).await;
    app.whatsapp("1001").await;
    deliver(&app, &from(Some("15557001"), Some("US.2"), "wamid.1")).await;
    let mut old = text("15557001", "wamid.2", "from the one who had it before");
    old["from_user_id"] = "US.1".into();
    let threads = json!([{"threads": [{"id": "15557001", "messages": [old]}]}]);
    let mut history = value("1001", "history", threads);
    change(&mut history)["field"] = "history".into();
    deliver(&app, &history).await;
    assert_eq!(counts(&app).await, [1, 1]);
    deliver(&app, &from(Some("15557001"), None, "wamid.3")).await;
    deliver(&app, &from(None, Some("US.2"), "wamid.4")).await;
    assert_eq!(counts(&app).await, [1, 3]);
}

async fn an_id_from_before_scopes_were_kept_gets_the_one_that_it_comes_with(store: Store) {
    let app = TestApp::start(store).await;
    let (_one, _two) = (app.whatsapp("1001").await, app.whatsapp("1002").await);
    deliver(&app, &from(Some("15557001"), Some("US.1"), "wamid.1")).await;
    let mut session = app.context.db.write().await.expect("a session");
    let forget = Sql::same("UPDATE identities SET scope = '' WHERE kind = 'user_id'");
    session.execute(&forget, &[]).await.expect("forgotten");
    session.commit().await.expect("committed");
    // Two business accounts name it in one delivery: it is of the first.
    let mut both = from(None, Some("US.1"), "wamid.2");
    let mut other = from(None, Some("US.1"), "wamid.3")["entry"][0].clone();
    other["id"] = "waba-2".into();
    other["changes"][0]["value"]["metadata"]["phone_number_id"] = "1002".into();
    both["entry"].as_array_mut().expect("a list").push(other);
    deliver(&app, &both).await;
    assert_eq!(counts(&app).await, [1, 2]);
    let all = conversations(&app).await;
    assert_eq!(known_by(&all[0]), ["user_id US.1@waba-2"]);
    assert_eq!(
        known_by(&all[1]),
        [
            "phone 15557001".to_owned(),
            format!("user_id US.1@{ACCOUNT}")
        ]
    );
}

async fn a_visitor_for_whom_a_website_vouches_shows_the_user_id(store: Store) {
    let app = TestApp::start(store).await;
    let inbox = app.livechat("Website").await;
    let secret = livechat::identity_secret(&app.context, &inbox);
    let hash = crate::support::whatsapp::sign(&secret, b"customer-17");
    let hash = hash.strip_prefix("sha256=").expect("a prefix");
    for (place, body) in [
        json!({"user_id": "customer-17", "user_hash": hash}),
        json!({"name": "Ayu"}),
    ]
    .iter()
    .enumerate()
    {
        let path = format!("/livechat/{inbox}/sessions");
        let session = app.post(&path).json(body).send().await.data();
        let token = session["token"].as_str().expect("a token");
        let said = json!({"client_id": "c1", "text": "hi"});
        let path = format!("/livechat/{inbox}/messages");
        let call = app.post(&path).key(token).json(&said);
        call.send().await.assert_status(201);
        let visitor = session["visitor_id"].as_str().expect("an id");
        let expected = match place {
            0 => format!("user_id customer-17@{inbox}"),
            _ => format!("visitor {visitor}@{inbox}"),
        };
        assert_eq!(known_by(&conversations(&app).await[0]), [expected]);
    }
    assert_eq!(counts(&app).await, [1, 1]);
}
