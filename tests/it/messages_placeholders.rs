//! Messages that a provider announces before it says what they say: one message, filled when the content comes.

use crate::support::{
    Store, TestApp,
    live::Stream,
    on_both_stores,
    whatsapp::{APP_SECRET, sign, text, update},
};
use inboxd::{domain::Scope, id::InboxId};
use serde_json::{Value, json};

on_both_stores![
    a_placeholder_of_history_is_filled_by_its_media,
    what_whatsapp_could_not_show_at_first_is_shown_when_it_comes,
    what_instagram_could_not_show_at_first_is_shown_when_it_comes,
    content_of_an_unknown_kind_fills_a_placeholder_too,
    a_placeholder_and_its_content_at_once_are_one_message,
    a_message_keeps_what_it_says,
    messages_of_history_have_the_status_that_they_had,
];

/// A webhook with a part of the history of 1001.
fn history(messages: &Value) -> Value {
    json!({"object": "whatsapp_business_account", "entry": [{"id": "10", "changes": [{"field": "history", "value": {
        "messaging_product": "whatsapp",
        "metadata": {"display_phone_number": "62812345678", "phone_number_id": "1001"},
        "history": [{"metadata": {"phase": 0}, "threads": [{"id": "628111", "messages": messages}]}],
    }}]}]})
}

/// One of its messages, from the customer.
fn old(id: &str, rest: &Value) -> Value {
    let mut message = json!({"id": id, "from": "628111", "timestamp": "1700000000"});
    let rest = rest.as_object().expect("an object").clone();
    message.as_object_mut().expect("an object").extend(rest);
    message
}

fn image() -> Value {
    json!({"type": "image", "image": {"id": "media.7", "mime_type": "image/jpeg", "caption": "Blue"}})
}

struct Reader {
    app: TestApp,
    inbox: InboxId,
    key: String,
}

impl Reader {
    async fn start(store: Store) -> Self {
        let app = TestApp::start(store).await;
        let inbox = app.whatsapp("1001").await;
        Self::of(app, inbox).await
    }

    async fn of(app: TestApp, inbox: InboxId) -> Self {
        let key = app.key(&[Scope::Read]).await;
        Reader { app, inbox, key }
    }

    async fn deliver(&self, payload: &Value) {
        self.app.deliver(payload).await.assert_status(200);
    }

    async fn deliver_instagram(&self, message: &Value) {
        let body = json!({"object": "instagram", "entry": [{"id": "1784", "messaging": [{
            "sender": {"id": "900"}, "recipient": {"id": "1784"}, "timestamp": 1_736_928_000_000_i64,
            "message": message}]}]})
        .to_string();
        let signature = sign(APP_SECRET, body.as_bytes());
        let call = self.app.post("/hooks/instagram").raw_json(body);
        let call = call.header("x-hub-signature-256", &signature);
        call.send().await.assert_status(200);
    }

    /// The messages, and that they are as many as the inbox counts.
    async fn messages(&self) -> Vec<Value> {
        let path = format!("/messages?inbox_id={}", self.inbox);
        let answer = self.app.get(&path).key(&self.key).send().await;
        let messages = answer.data().as_array().expect("a list").clone();
        let counted = self.app.shown(&self.inbox).await["messages_count"].clone();
        assert_eq!(counted, messages.len());
        self.app.verify().await;
        messages
    }

    async fn only(&self) -> Value {
        let mut messages = self.messages().await;
        assert_eq!(messages.len(), 1, "{messages:?}");
        messages.remove(0)
    }

    /// Fills what is there with one more update, which is told, and delivers both again, which changes nothing.
    async fn filled(&self, announced: &Value, content: &Value) -> Value {
        self.deliver(announced).await;
        let first = self.only().await;
        assert_eq!(first["type"], "unsupported");
        let mut stream = Stream::open(self.app.address, &self.key, None).await;
        self.deliver(content).await;
        let second = self.only().await;
        assert_eq!(second["id"], first["id"]);
        assert_eq!(second["timestamp"], first["timestamp"]);
        assert!(second.get("edits").is_none());
        let (name, event, told) = stream.next().await.expect("an event");
        assert_eq!((name.as_str(), &told), ("message.changed", &second));
        for again in [announced, content, announced] {
            self.deliver(again).await;
            assert_eq!(self.only().await, second);
        }
        // Nothing more was told, and whoever was away hears of it.
        self.deliver(&update("1001", &[text("628111", "wamid.end", "end")]))
            .await;
        let mut next = stream.next().await.expect("an event");
        // This message has the contact's name, which history may not have.
        if next.0 == "contact.changed" {
            next = stream.next().await.expect("an event");
        }
        assert_eq!(next.0, "message.created");
        let before = first["id"].as_str().expect("an id").replace("msg_", "evt_");
        let mut missed = Stream::open(self.app.address, &self.key, Some(&before)).await;
        // After some that may be told twice.
        while missed.next().await.expect("an event").1 != event {}
        second
    }
}

async fn a_placeholder_of_history_is_filled_by_its_media(store: Store) {
    let reader = Reader::start(store).await;
    let placeholder = json!({"type": "media_placeholder"});
    let announced = history(&json!([old("wamid.h2", &placeholder)]));
    let content = history(&json!([old("wamid.h2", &image())]));
    let message = reader.filled(&announced, &content).await;
    assert_eq!(message["type"], "image");
    assert_eq!(
        message["content"],
        json!({"media": {"id": "media.7", "mime_type": "image/jpeg"}, "caption": "Blue"})
    );
}

async fn what_whatsapp_could_not_show_at_first_is_shown_when_it_comes(store: Store) {
    let reader = Reader::start(store).await;
    let errors = json!({"type": "unsupported", "errors": [{"code": 131_051, "title": "Unsupported message type"}]});
    let answers = json!({"type": "text", "text": {"body": "Here"}, "context": {"id": "wamid.end"}});
    let live = |rest: &Value| update("1001", &[old("wamid.1", rest)]);
    let message = reader.filled(&live(&errors), &live(&answers)).await;
    assert_eq!(message["type"], "text");
    assert_eq!(message["content"], json!({"text": "Here"}));
    let filled = reader.messages().await.remove(0);
    assert!(filled["reply_to"].is_string(), "{filled}");
}

async fn what_instagram_could_not_show_at_first_is_shown_when_it_comes(store: Store) {
    let app = TestApp::start(store).await;
    let body = json!({"name": "DM", "type": "instagram", "instagram_account_id": "1784",
        "channel": {"app_secret": APP_SECRET}});
    let inbox = app.inbox(body).await;
    let reader = Reader::of(app, inbox).await;
    let hidden = json!({"mid": "m.1", "is_unsupported": true});
    let shown = json!({"mid": "m.1", "text": "Hi"});
    reader.deliver_instagram(&hidden).await;
    let first = reader.only().await;
    for message in [&shown, &hidden] {
        reader.deliver_instagram(message).await;
        let message = reader.only().await;
        assert_eq!(
            (&message["id"], &message["type"]),
            (&first["id"], &json!("text"))
        );
        assert_eq!(message["content"], json!({"text": "Hi"}));
    }
}

async fn content_of_an_unknown_kind_fills_a_placeholder_too(store: Store) {
    let reader = Reader::start(store).await;
    let hologram = old(
        "wamid.1",
        &json!({"type": "hologram", "hologram": {"beam": 7}}),
    );
    let announced = history(&json!([old(
        "wamid.1",
        &json!({"type": "media_placeholder"})
    )]));
    let content = history(&json!([hologram]));
    let message = reader.filled(&announced, &content).await;
    assert_eq!(message["type"], "unsupported");
    assert_eq!(message["content"]["raw"], hologram);
}

async fn a_placeholder_and_its_content_at_once_are_one_message(store: Store) {
    let reader = Reader::start(store).await;
    let placeholder = json!({"type": "media_placeholder"});
    let both = |id| [old(id, &placeholder), old(id, &image())];
    let [announced, content] = both("wamid.1");
    reader.deliver(&history(&json!([announced, content]))).await;
    let [announced, content] = both("wamid.2");
    reader.deliver(&history(&json!([content, announced]))).await;
    let messages = reader.messages().await;
    assert_eq!(messages.len(), 2);
    assert!(messages.iter().all(|message| message["type"] == "image"));
}

async fn a_message_keeps_what_it_says(store: Store) {
    let reader = Reader::start(store).await;
    let of = |rest: Value| update("1001", &[old("wamid.1", &rest)]);
    reader.deliver(&of(image())).await;
    let first = reader.only().await;
    for other in [
        json!({"type": "text", "text": {"body": "Something else"}}),
        json!({"type": "unsupported"}),
        json!({"type": "hologram"}),
    ] {
        reader.deliver(&of(other)).await;
        assert_eq!(reader.only().await, first);
    }
}

async fn messages_of_history_have_the_status_that_they_had(store: Store) {
    let reader = Reader::start(store).await;
    let cases = [
        ("PENDING", "queued"),
        ("SENT", "sent"),
        ("DELIVERED", "delivered"),
        ("READ", "read"),
        ("PLAYED", "read"),
        ("ERROR", "failed"),
        ("NEW", "sent"),
    ];
    let messages: Vec<_> = cases
        .iter()
        .map(|(theirs, _)| {
            json!({"id": format!("wamid.{theirs}"), "from": "62812345678", "to": "628111", "type": "text",
                "text": {"body": theirs}, "timestamp": "1700000000", "history_context": {"status": theirs}})
        })
        .collect();
    let inbound = old(
        "wamid.in",
        &json!({"type": "text", "text": {"body": "Hi"}, "history_context": {"status": "READ"}}),
    );
    for _ in 0..2 {
        reader.deliver(&history(&json!(messages))).await;
        reader.deliver(&history(&json!([inbound]))).await;
    }
    let shown = reader.messages().await;
    for (theirs, ours) in cases {
        let message = shown.iter().find(|one| one["content"]["text"] == theirs);
        assert_eq!(message.expect("it is there")["status"], ours, "{theirs}");
    }
    let inbound = shown.iter().find(|one| one["content"]["text"] == "Hi");
    assert!(inbound.expect("it is there").get("status").is_none());

    // From there it goes on as usual: forward.
    let status = |id: &str, status: &str| {
        crate::support::whatsapp::value(
            "1001",
            "statuses",
            json!([{"id": id, "status": status, "timestamp": "1736928000"}]),
        )
    };
    for (id, status_) in [("wamid.PENDING", "delivered"), ("wamid.READ", "delivered")] {
        reader.deliver(&status(id, status_)).await;
    }
    let shown = reader.messages().await;
    for (theirs, ours) in [("PENDING", "delivered"), ("READ", "read")] {
        let message = shown.iter().find(|one| one["content"]["text"] == theirs);
        assert_eq!(message.expect("it is there")["status"], ours, "{theirs}");
    }
}
