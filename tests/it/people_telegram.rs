//! Who is who on Telegram: groups that move, topics, and contacts that block a bot.

use crate::{
    people::{conversations, known_by},
    support::{Store, TestApp, on_both_stores},
};
use inboxd::id::InboxId;
use serde_json::{Value, json};

on_both_stores![
    a_group_that_becomes_a_supergroup_is_one_conversation,
    a_channels_direct_messages_are_one_conversation_for_each_person,
    a_forum_is_one_conversation_and_names_the_topics,
    a_block_is_of_one_bot_and_the_later_word_holds,
];

struct Bots {
    app: TestApp,
    bots: Vec<(InboxId, String)>,
}

impl Bots {
    async fn start(store: Store, count: usize) -> Self {
        let app = TestApp::start(store).await;
        let mut bots = Vec::new();
        for number in 0..count {
            let channel = json!({"bot_token": format!("70000{number}:AAH")});
            let inbox = app
                .inbox(json!({"name": "Bot", "type": "telegram", "channel": channel}))
                .await;
            let token = app.context.vault.inbox_token(&inbox);
            bots.push((inbox, token));
        }
        Bots { app, bots }
    }

    async fn deliver(&self, bot: usize, update: &Value) {
        let (inbox, token) = &self.bots[bot];
        self.app
            .post(&format!("/hooks/telegram/{inbox}"))
            .header("x-telegram-bot-api-secret-token", token)
            .json(update)
            .send()
            .await
            .assert_status(200);
    }
}

fn message(id: i64, chat: &Value, more: Value) -> Value {
    let mut message = json!({"message_id": id, "date": 1_736_928_000, "chat": chat,
        "from": {"id": 77, "is_bot": false, "first_name": "Ana"}});
    let more = more.as_object().expect("an object").clone();
    message.as_object_mut().expect("an object").extend(more);
    json!({"update_id": id, "message": message})
}

async fn a_group_that_becomes_a_supergroup_is_one_conversation(store: Store) {
    let bots = Bots::start(store, 1).await;
    let group = json!({"id": -5, "type": "group", "title": "Club"});
    let supergroup = json!({"id": -1_005, "type": "supergroup", "title": "Club"});
    bots.deliver(0, &message(1, &group, json!({"text": "in the group"})))
        .await;
    // A message of the supergroup is faster than the word that it is one.
    bots.deliver(
        0,
        &message(1, &supergroup, json!({"text": "in the supergroup"})),
    )
    .await;
    let moved = message(2, &group, json!({"migrate_to_chat_id": -1_005}));
    let again = message(3, &supergroup, json!({"migrate_from_chat_id": -5}));
    for said in [&moved, &again, &moved] {
        bots.deliver(0, said).await;
        let all = conversations(&bots.app).await;
        assert_eq!(all.len(), 1);
        assert_eq!(all[0]["messages_count"], 2);
        assert_eq!(known_by(&all[0]), ["chat_id -1005", "chat_id -5!"]);
    }
    bots.app.verify().await;
}

async fn a_channels_direct_messages_are_one_conversation_for_each_person(store: Store) {
    let bots = Bots::start(store, 1).await;
    let chat =
        json!({"id": -1_009, "type": "supergroup", "title": "Shop", "is_direct_messages": true});
    for (id, user, name) in [(1, 77, "Ana"), (2, 78, "Budi"), (3, 77, "Ana")] {
        let user = json!({"id": user, "is_bot": false, "first_name": name});
        let topic = json!({"topic_id": 100 + id % 2, "user": user});
        let more = json!({"text": "hi", "from": user, "direct_messages_topic": topic});
        bots.deliver(0, &message(id, &chat, more)).await;
    }
    let all = conversations(&bots.app).await;
    let shown: Vec<_> = all
        .iter()
        .map(|one| {
            (
                &one["contact"]["name"],
                &one["messages_count"],
                &one["contact"]["is_group"],
            )
        })
        .collect();
    let no = &json!(false);
    assert_eq!(
        shown,
        [
            (&json!("Budi"), &json!(1), no),
            (&json!("Ana"), &json!(2), no)
        ]
    );
    assert_eq!(
        all[0]["last_message"]["content"]["topic"],
        json!({"id": "100"})
    );
}

async fn a_forum_is_one_conversation_and_names_the_topics(store: Store) {
    let bots = Bots::start(store, 1).await;
    let chat = json!({"id": -1_009, "type": "supergroup", "title": "Club", "is_forum": true});
    for topic in [5, 6] {
        let more = json!({"text": "hi", "is_topic_message": true, "message_thread_id": topic});
        bots.deliver(0, &message(topic, &chat, more)).await;
    }
    let all = conversations(&bots.app).await;
    assert_eq!((all.len(), &all[0]["messages_count"]), (1, &json!(2)));
    assert_eq!(
        all[0]["last_message"]["content"]["topic"],
        json!({"id": "6"})
    );
}

fn membership(update: i64, seconds: i64, status: &str) -> Value {
    let bot = json!({"id": 1, "is_bot": true, "first_name": "Bot"});
    json!({"update_id": update, "my_chat_member": {"date": 1_736_928_000 + seconds,
        "chat": {"id": 77, "type": "private", "first_name": "Ana"},
        "from": {"id": 77, "is_bot": false, "first_name": "Ana"},
        "new_chat_member": {"status": status, "user": bot}}})
}

async fn a_block_is_of_one_bot_and_the_later_word_holds(store: Store) {
    let bots = Bots::start(store, 2).await;
    let ana = json!({"id": 77, "type": "private", "first_name": "Ana"});
    for bot in [0, 1] {
        bots.deliver(bot, &message(1, &ana, json!({"text": "hola"})))
            .await;
    }
    let blocked = async || {
        let all = conversations(&bots.app).await;
        assert_eq!(
            all[0]["contact"]["id"], all[1]["contact"]["id"],
            "one person"
        );
        [1, 0].map(|place| {
            all[place]["contact"]["blocked_at"]
                .as_str()
                .map(str::to_owned)
        })
    };
    let at = |seconds: i64| Some(format!("2025-01-15T08:00:{seconds:02}Z"));
    bots.deliver(0, &membership(12, 10, "kicked")).await;
    assert_eq!(blocked().await, [at(10), None]);
    // What was said before comes late, and what was said comes again.
    bots.deliver(0, &membership(11, 5, "member")).await;
    bots.deliver(0, &membership(12, 10, "kicked")).await;
    assert_eq!(blocked().await, [at(10), None]);
    bots.deliver(0, &membership(13, 20, "member")).await;
    bots.deliver(0, &membership(12, 10, "kicked")).await;
    assert_eq!(blocked().await, [None, None]);
    // Twice in a second: the numbers of the updates tell which was later.
    bots.deliver(1, &membership(22, 30, "member")).await;
    bots.deliver(1, &membership(21, 30, "kicked")).await;
    assert_eq!(blocked().await, [None, None]);
    bots.deliver(1, &membership(23, 30, "kicked")).await;
    assert_eq!(blocked().await, [None, at(30)]);
    bots.app.verify().await;
}
