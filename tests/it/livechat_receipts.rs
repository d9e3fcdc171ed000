//! What a visitor's pages acknowledge: an answer is `delivered` when a page has it, and `read` when it was seen.

use crate::{
    livechat::{enter, hear, say},
    support::{
        Store, TestApp,
        live::{Socket, Stream},
        on_both_stores,
        program::text,
    },
};
use inboxd::{domain::Scope, id::InboxId};
use serde_json::{Value, json};

on_both_stores![
    an_answer_is_delivered_and_read_and_all_pages_on_all_nodes_agree,
    a_receipt_is_about_all_answers_before_it,
    plain_http_acknowledges_too,
    a_receipt_changes_nothing_else,
    a_receipt_names_a_message_of_its_own_conversation,
    receipts_are_bounded_and_hold_back_no_message,
    a_listener_hears_of_receipts,
];

/// A visitor that has written, and a key to answer with.
struct Chat {
    app: TestApp,
    inbox: InboxId,
    token: String,
    key: String,
    conversation: String,
}

impl Chat {
    async fn start(store: Store) -> Self {
        let app = TestApp::start(store).await;
        let inbox = app.livechat("Website").await;
        let (_, token) = enter(&app, &inbox, json!({})).await;
        say(&app, &inbox, &token, "c1", "Is it in stock?")
            .await
            .assert_status(201);
        let key = app.key(&[Scope::Read, Scope::Send]).await;
        let listed = app.get("/conversations").key(&key).send().await.data();
        Chat {
            conversation: text(&listed[0]["id"]),
            app,
            inbox,
            token,
            key,
        }
    }

    async fn answer(&self, words: &str) -> String {
        let body = json!({"conversation_id": self.conversation, "type": "text", "content": {"text": words}});
        let sent = self.app.post("/messages").key(&self.key).json(&body);
        let sent = sent.send().await;
        sent.assert_status(201);
        text(&sent.data()["id"])
    }

    async fn shown(&self, id: &str) -> Value {
        let call = self.app.get(&format!("/messages/{id}")).key(&self.key);
        call.send().await.data()
    }

    async fn statuses(&self, ids: &[String]) -> Vec<String> {
        let mut all = Vec::new();
        for id in ids {
            all.push(text(&self.shown(id).await["status"]));
        }
        all
    }

    async fn socket(&self, on: &TestApp) -> Socket {
        Socket::hello(on.address, self.inbox.as_str(), &self.token, None).await
    }

    async fn acknowledge(&self, what: &str, id: &str) -> u16 {
        let path = format!("/livechat/{}/{what}", self.inbox);
        let call = self.app.post(&path).key(&self.token);
        let answer = call.json(&json!({"id": id})).send().await;
        answer.status.as_u16()
    }
}

/// The next answer on a socket: its id and status.
async fn answer_on(socket: &mut Socket) -> (String, String) {
    loop {
        let frame = socket.next_of("message").await;
        if frame["message"]["direction"] == "outbound" {
            let message = &frame["message"];
            return (text(&message["id"]), text(&message["status"]));
        }
    }
}

async fn an_answer_is_delivered_and_read_and_all_pages_on_all_nodes_agree(store: Store) {
    let chat = Chat::start(store).await;
    let other = chat.app.another_node().await;
    let mut pages = [
        chat.socket(&chat.app).await,
        chat.socket(&chat.app).await,
        chat.socket(&other).await,
    ];
    let id = chat.answer("Yes, it is.").await;
    for page in &mut pages {
        assert_eq!(answer_on(page).await, (id.clone(), "sent".to_owned()));
    }
    for (status, by) in [("delivered", 2), ("read", 0)] {
        chat.app.context.clock.advance(5);
        pages[by].send(&json!({"type": status, "id": id})).await;
        for page in &mut pages {
            let told = page.next_of("status").await;
            assert_eq!(told, json!({"type": "status", "id": id, "status": status}));
        }
        assert_eq!(chat.shown(&id).await["status"], status);
    }
    let shown = chat.shown(&id).await;
    let times = &shown["status_times"];
    assert_eq!(times["delivered"], "2025-01-15T08:00:05Z");
    assert_eq!(times["read"], "2025-01-15T08:00:10Z");
    // A page that opens later sees the same, and hears what follows.
    let mut late = chat.socket(&other).await;
    assert_eq!(answer_on(&mut late).await, (id.clone(), "read".to_owned()));
    let heard = hear(&chat.app, &chat.inbox, &chat.token, "").await;
    let after = heard[0]["id"].as_str();
    let mut back = Socket::hello(other.address, chat.inbox.as_str(), &chat.token, after).await;
    assert_eq!(back.next().await["message"], heard[1]);
    assert_eq!(heard[0].get("status"), None);
    assert_eq!(heard[1]["status"], "read");
    chat.app.verify().await;
    other.stop().await;
}

async fn a_receipt_is_about_all_answers_before_it(store: Store) {
    let chat = Chat::start(store).await;
    let mut ids = Vec::new();
    for n in 0..130 {
        ids.push(chat.answer(&n.to_string()).await);
    }
    assert_eq!(chat.acknowledge("delivered", &ids[126]).await, 204);
    assert_eq!(chat.acknowledge("read", &ids[1]).await, 204);
    let statuses = chat.statuses(&ids).await;
    assert!(statuses[..2].iter().all(|status| status == "read"));
    assert!(statuses[2..127].iter().all(|status| status == "delivered"));
    assert!(statuses[127..].iter().all(|status| status == "sent"));
    // The visitor's own message can be named, too.
    say(&chat.app, &chat.inbox, &chat.token, "c2", "Thanks")
        .await
        .assert_status(201);
    let last = hear(
        &chat.app,
        &chat.inbox,
        &chat.token,
        &format!("?after={}", ids[129]),
    )
    .await;
    assert_eq!(chat.acknowledge("read", &text(&last[0]["id"])).await, 204);
    assert!(
        chat.statuses(&ids)
            .await
            .iter()
            .all(|status| status == "read")
    );
    assert_eq!(chat.app.count("messages").await, 132);
}

async fn plain_http_acknowledges_too(store: Store) {
    let chat = Chat::start(store).await;
    let mut page = chat.socket(&chat.app).await;
    let id = chat.answer("Yes, it is.").await;
    answer_on(&mut page).await;
    for status in ["delivered", "read"] {
        assert_eq!(chat.acknowledge(status, &id).await, 204);
        assert_eq!(page.next_of("status").await["status"], status);
    }
    let path = format!("/livechat/{}/read", chat.inbox);
    let call = chat.app.post(&path).key("nonsense");
    call.json(&json!({"id": id}))
        .send()
        .await
        .assert_status(401);
    let call = chat.app.post(&path).key(&chat.token);
    let wrong = call.json(&json!({"id": 7, "at": 1})).send().await;
    wrong.assert_wrong_fields(&[("id", "must be a string"), ("at", "is not a known field")]);
}

async fn a_receipt_changes_nothing_else(store: Store) {
    let chat = Chat::start(store).await;
    let id = chat.answer("Yes, it is.").await;
    assert_eq!(chat.acknowledge("read", &id).await, 204);
    let read = chat.shown(&id).await;
    assert_eq!(read["status"], "read");
    // Again, and what is less: nothing moves, and no time is another one.
    chat.app.context.clock.advance(60);
    for status in ["read", "delivered", "read"] {
        assert_eq!(chat.acknowledge(status, &id).await, 204);
    }
    assert_eq!(chat.shown(&id).await, read);
    assert_eq!(chat.app.count("message_changes").await, 1);
}

async fn a_receipt_names_a_message_of_its_own_conversation(store: Store) {
    let chat = Chat::start(store).await;
    let id = chat.answer("Yes, it is.").await;
    let (_, stranger) = enter(&chat.app, &chat.inbox, json!({})).await;
    let path = format!("/livechat/{}/read", chat.inbox);
    let wrong = [("id", "must be the id of a message of this conversation")];
    let by = async |token: &str, id: &str| {
        let call = chat.app.post(&path).key(token);
        call.json(&json!({"id": id})).send().await
    };
    // Before and after it has a conversation of its own.
    by(&stranger, &id).await.assert_wrong_fields(&wrong);
    say(&chat.app, &chat.inbox, &stranger, "c1", "Hello")
        .await
        .assert_status(201);
    by(&stranger, &id).await.assert_wrong_fields(&wrong);
    let nobody = "msg_06cqm0d4vdtqf5b5r9e2k8a1p4";
    by(&chat.token, nobody).await.assert_wrong_fields(&wrong);
    let mut socket = Socket::hello(chat.app.address, chat.inbox.as_str(), &stranger, None).await;
    socket.send(&json!({"type": "read", "id": id})).await;
    let refused = socket.next_of("error").await;
    assert_eq!(refused["error"]["details"][0]["field"], "id");
    assert_eq!(chat.shown(&id).await["status"], "sent");
}

async fn receipts_are_bounded_and_hold_back_no_message(store: Store) {
    let chat = Chat::start(store).await;
    let id = chat.answer("Yes, it is.").await;
    let mut held_back = 0;
    for _ in 0..120 {
        held_back += u32::from(chat.acknowledge("read", &id).await == 429);
    }
    assert!(held_back > 0, "120 at once are too many");
    say(&chat.app, &chat.inbox, &chat.token, "c2", "Thanks")
        .await
        .assert_status(201);
}

async fn a_listener_hears_of_receipts(store: Store) {
    let chat = Chat::start(store).await;
    let id = chat.answer("Yes, it is.").await;
    let mut events = Stream::open(chat.app.address, &chat.key, None).await;
    for status in ["delivered", "read"] {
        assert_eq!(chat.acknowledge(status, &id).await, 204);
        let (name, _, message) = events.next().await.expect("an event");
        assert_eq!(name, "message.changed");
        assert_eq!(
            (text(&message["id"]), text(&message["status"])),
            (id.clone(), status.to_owned())
        );
    }
}
