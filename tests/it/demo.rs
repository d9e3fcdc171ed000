//! `serve --demo`: a newcomer sends a message on every channel, sees it read and gets an answer, without an account at a
//! provider. What it lists and leaves behind is in `serve`.

use crate::support::{Running, Shell, client, eventually, program::text};
use futures_util::future::join_all;
use reqwest::Client;
use serde_json::{Value, json};
use std::{fs, path::PathBuf};

/// What every answer of a stand-in says of itself.
const ANSWER: &str = "automatic answer of the inboxd demonstration";

/// A demonstration, and where it has its database.
struct Demo {
    shell: Shell,
    server: Running,
    key: String,
}

impl Demo {
    fn start() -> Self {
        let shell = Shell::at("");
        let temporary = temporary(&shell);
        fs::create_dir(&temporary).expect("a folder");
        let mut command = shell.command(&["serve", "--demo", "--listen", "127.0.0.1:0"]);
        command
            .env_remove("INBOXD_DATABASE_URL")
            .env_remove("INBOXD_SECRET_KEY")
            .env("TMPDIR", &temporary)
            // Nobody listens there: what is sent to the stand-ins goes through no proxy.
            .env("http_proxy", "http://127.0.0.1:1")
            .env("all_proxy", "http://127.0.0.1:1");
        let server = shell.start(command);
        let said = server.said.join("\n");
        let key = said
            .split_whitespace()
            .find(|word| word.starts_with("ibx_"));
        Demo {
            key: key.expect("a key").to_owned(),
            shell,
            server,
        }
    }

    async fn get(&self, path: &str) -> Value {
        self.server.get(path).key(&self.key).send().await.data()
    }

    async fn post(&self, body: &Value) -> Value {
        let call = self.server.post("/messages").key(&self.key).json(body);
        let answer = call.send().await;
        answer.assert_status(201);
        answer.data()
    }

    async fn say(&self, conversation: &str, words: &str) -> Value {
        self.post(&said(conversation, words)).await
    }

    /// The only conversation of the only inbox of this type, and its inbox; of several the one with the newest message.
    async fn conversation(&self, channel: &str) -> String {
        let inbox = &self.get(&format!("/inboxes?type={channel}")).await[0]["id"];
        let path = format!("/conversations?sort=latest&inbox_id={}", text(inbox));
        text(&self.get(&path).await[0]["id"])
    }

    async fn reaches(&self, message: &Value, status: &str) {
        let path = format!("/messages/{}", text(&message["id"]));
        eventually(&format!("{status}: {path}"), async || {
            self.get(&path).await["status"] == status
        })
        .await;
    }

    /// What the stand-ins have answered in a conversation.
    async fn answers(&self, conversation: &str) -> Vec<String> {
        let path = format!("/messages?limit=100&conversation_id={conversation}");
        let messages = self.get(&path).await;
        let messages = messages.as_array().expect("a list").iter();
        messages
            .filter(|message| message["direction"] == "inbound")
            .filter_map(|message| message["content"]["text"].as_str())
            .filter(|text| text.contains(ANSWER))
            .map(str::to_owned)
            .collect()
    }

    async fn is_answered(&self, conversation: &str) {
        eventually("the contact answers", async || {
            !self.answers(conversation).await.is_empty()
        })
        .await;
    }

    /// Where the stand-ins listen, as the log says.
    async fn stand_ins(&self) -> String {
        let mut address = Value::Null;
        eventually("the log names the stand-ins", async || {
            let log = self.server.log();
            let mut lines = log.lines();
            let line = lines.find(|line| line.contains("stand-ins play the providers"));
            let line = line.and_then(|line| serde_json::from_str::<Value>(line).ok());
            address = line.map_or(Value::Null, |line| line["address"].clone());
            address.is_string()
        })
        .await;
        format!("http://{}", text(&address))
    }

    /// Stops it. It leaves no database.
    async fn stop(self) {
        let temporary = temporary(&self.shell);
        self.server.stop().await;
        assert_eq!(fs::read_dir(&temporary).expect("a folder").count(), 0);
    }
}

fn temporary(shell: &Shell) -> PathBuf {
    shell.folder().join("tmp")
}

fn said(conversation: &str, words: &str) -> Value {
    json!({"conversation_id": conversation, "type": "text", "content": {"text": words}})
}

#[tokio::test]
async fn what_a_newcomer_sends_on_any_channel_is_read_and_answered() {
    let demo = Demo::start();
    let whatsapp = demo.conversation("whatsapp").await;
    // The line to paste names the conversation.
    let lines = demo.server.said.iter();
    let line = lines
        .filter(|line| line.contains("/messages\""))
        .find_map(|line| {
            let (_, body) = line.split_once("-d '")?;
            serde_json::from_str::<Value>(body.strip_suffix('\'')?).ok()
        });
    let body = line.expect("a curl line with a body");
    assert_eq!(body["conversation_id"], whatsapp);
    let message = demo.post(&body).await;
    demo.reaches(&message, "read").await;
    let path = format!("/messages/{}", text(&message["id"]));
    let times = demo.get(&path).await["status_times"].clone();
    assert!(
        times["sent"].is_string() && times["delivered"].is_string(),
        "{times}"
    );
    demo.is_answered(&whatsapp).await;

    for (channel, status) in [("instagram", "read"), ("telegram", "sent")] {
        let conversation = demo.conversation(channel).await;
        let message = demo.say(&conversation, "Yes, it is.").await;
        demo.reaches(&message, status).await;
        demo.is_answered(&conversation).await;
        // An echo is the message itself, and none beside it.
        let conversation = demo.get(&format!("/conversations/{conversation}")).await;
        assert_eq!(conversation["messages_count"], 3, "{channel}");
    }

    let location = json!({"latitude": -6.2, "longitude": 106.8, "name": "Our shop", "address": "Jalan Braga 1"});
    let conversation = demo.conversation("telegram").await;
    let body = json!({"conversation_id": conversation, "type": "location", "content": location});
    let message = demo.post(&body).await;
    demo.reaches(&message, "sent").await;

    // Somebody who has not written before, and a visitor of the website, which has no provider.
    let inbox = &demo.get("/inboxes?type=whatsapp").await[0]["id"];
    let body = json!({"inbox_id": inbox, "to": "+628133333333", "type": "text", "content": {"text": "Hi"}});
    let message = demo.post(&body).await;
    demo.is_answered(&text(&message["conversation_id"])).await;
    let inbox = text(&demo.get("/inboxes?type=livechat").await[0]["id"]);
    let session = demo.server.post(&format!("/livechat/{inbox}/sessions"));
    let token = text(&session.json(&json!({})).send().await.data()["token"]);
    let write = demo.server.post(&format!("/livechat/{inbox}/messages"));
    let written = write
        .key(&token)
        .json(&json!({"client_id": "1", "text": "Hello"}));
    written.send().await.assert_success();
    let conversation = demo.conversation("livechat").await;
    let message = demo.say(&conversation, "Hello").await;
    demo.reaches(&message, "sent").await;
    demo.stop().await;
}

#[tokio::test]
async fn a_demo_starts_beside_another_and_after_it() {
    let (one, two) = (Demo::start(), Demo::start());
    for demo in [&one, &two] {
        let message = demo.say(&demo.conversation("whatsapp").await, "Yes").await;
        demo.reaches(&message, "read").await;
    }
    one.stop().await;
    two.stop().await;
    let again = Demo::start();
    let message = again
        .say(&again.conversation("whatsapp").await, "Yes")
        .await;
    again.reaches(&message, "read").await;
    again.stop().await;
}

#[tokio::test]
async fn a_contact_of_the_demo_does_not_answer_for_ever() {
    let demo = Demo::start();
    let conversation = demo.conversation("whatsapp").await;
    let mut messages = Vec::new();
    for number in 0..22 {
        messages.push(demo.say(&conversation, &format!("Number {number}")).await);
    }
    for message in &messages {
        demo.reaches(message, "read").await;
    }
    eventually("twenty answers", async || {
        demo.answers(&conversation).await.len() >= 20
    })
    .await;
    // All that was to be reported is: what comes now is read, and the last.
    let message = demo.say(&conversation, "And now?").await;
    demo.reaches(&message, "read").await;
    let answers = demo.answers(&conversation).await;
    assert_eq!(answers.len(), 20);
    let last: Vec<_> = answers
        .iter()
        .filter(|text| text.contains("the last one"))
        .collect();
    assert_eq!(last.len(), 1);
    demo.stop().await;
}

#[tokio::test]
async fn what_is_under_way_when_a_demo_stops_gets_its_answer() {
    let mut demo = Demo::start();
    let conversation = demo.conversation("whatsapp").await;
    let first = demo.say(&conversation, "Before").await;
    demo.reaches(&first, "sent").await;
    let body = said(&conversation, "While it stops");
    let calls = (0..40).map(|_| {
        let call = demo.server.post("/messages").key(&demo.key).json(&body);
        tokio::spawn(call.try_send())
    });
    let calls: Vec<_> = calls.collect();
    demo.server.signal("TERM");
    let mut accepted = 0;
    for call in join_all(calls).await {
        // One that came too late has no connection.
        if let Ok(answer) = call.expect("no panic") {
            answer.assert_status(201);
            accepted += 1;
        }
    }
    let (status, _) = demo.server.ended().await;
    let log = demo.server.log();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(
        !log.contains("not known"),
        "{accepted} were accepted: {log}"
    );
    let left = fs::read_dir(temporary(&demo.shell)).expect("a folder");
    assert_eq!(left.count(), 0);
}

#[tokio::test]
async fn a_demo_never_takes_the_place_of_a_provider_that_was_named() {
    let shell = Shell::at("");
    for flag in ["telegram-api-url", "graph-api-url", "instagram-api-url"] {
        let flag = format!("--{flag}");
        let done = shell.run(&["serve", "--demo", &flag, "https://api.example.com"]);
        done.assert_error(2, &["--demo", &flag]);
        let variable = flag
            .trim_start_matches("--")
            .replace('-', "_")
            .to_uppercase();
        let mut command = shell.command(&["serve", "--demo"]);
        command.env(format!("INBOXD_{variable}"), "https://api.example.com");
        crate::support::Done::of(&mut command).assert_error(2, &["--demo", &flag]);
    }
}

#[tokio::test]
async fn the_stand_ins_of_a_demo_serve_nobody_else() {
    let demo = Demo::start();
    let at = demo.stand_ins().await;
    assert!(at.starts_with("http://127.0.0.1:"), "{at}");
    let client = client();
    let message = json!({"messaging_product": "whatsapp", "to": "+628111", "type": "text", "text": {"body": "Hi"}});
    let ask = async |path: &str, body: String| post(&client, &format!("{at}{path}"), body).await;
    let number = "/whatsapp/v23.0/100000000000001/messages";
    let (status, answer) = ask(number, message.to_string()).await;
    assert_eq!((status, &answer["error"]["code"]), (401, &json!(190)));
    let (status, answer) = ask("/whatsapp/v23.0/2/messages", message.to_string()).await;
    assert_eq!((status, &answer["error"]["code"]), (400, &json!(100)));
    let (status, answer) = ask("/telegram/bot1:a/sendMessage", "{}".to_owned()).await;
    assert_eq!((status, &answer["error_code"]), (401, &json!(401)));
    let (status, _) = ask(number, " ".repeat(65 * 1024)).await;
    assert_eq!(status, 400);
    assert_eq!(demo.get("/inboxes").await[0]["messages_count"], 3);

    // An inbox with a token of its own is told that nobody here knows it.
    let number = json!({"phone_number_id": "7", "app_secret": "secret", "access_token": "EAAG"});
    let body = json!({"name": "Mine", "type": "whatsapp", "phone_number": "+628999999", "channel": number});
    let inbox = demo.server.post("/inboxes").key(&demo.key).json(&body);
    let inbox = text(&inbox.send().await.data()["id"]);
    let body = json!({"inbox_id": inbox, "to": "+628133333333", "type": "text", "content": {"text": "Hi"}});
    let message = demo.post(&body).await;
    demo.reaches(&message, "failed").await;
    let path = format!("/messages/{}", text(&message["id"]));
    let said = text(&demo.get(&path).await["error"]["message"]);
    assert!(said.contains("demonstration's stand-in"), "{said}");
    demo.stop().await;
}

async fn post(client: &Client, url: &str, body: String) -> (u16, Value) {
    let answer = client.post(url).body(body).send().await.expect("an answer");
    let status = answer.status().as_u16();
    let body = answer.bytes().await.expect("a body");
    (status, serde_json::from_slice(&body).unwrap_or_default())
}
