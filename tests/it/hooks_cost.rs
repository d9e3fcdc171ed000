//! What a signed update costs: whatever it says, its answer takes less than a second of CPU, others are answered meanwhile,
//! and nothing of it is lost.
//!
//! What a stranger's costs is in `growth.rs`.

use crate::support::{
    Running, Shell, Store, TestApp, eventually, on_both_stores,
    program::text,
    whatsapp::{APP_SECRET, sign, text as message, update},
    whatsapp_body,
};
use inboxd::ops::quarantine;
use serde_json::{Value, json};
use std::time::Duration;

on_both_stores![
    no_signed_update_takes_a_second,
    an_update_for_very_many_inboxes_is_bounded,
    more_than_one_update_may_say_goes_aside_and_can_be_replayed,
    others_are_answered_while_a_long_update_is_stored,
];

/// Bytes of the longest updates.
const LONGEST: usize = 4 * 1024 * 1024;
/// As much as one update may say.
const MOST: usize = 10_000;
/// CPU time of the whole server, from the request to its answer: a second, or two where the program is not optimised.
const LIMIT: Duration = Duration::from_secs(if cfg!(debug_assertions) { 2 } else { 1 });

/// An update as long as one may be, and by what it may be longer.
type Shape = (&'static str, fn(usize) -> String);

/// Some pieces, until there are so many bytes, or so many of them. `#` is another number each time.
fn list(piece: &str, bytes: usize, most: usize) -> String {
    let mut text = String::new();
    for number in 0..most {
        let next = piece.replace('#', &format!("{number:x}"));
        if text.len() + next.len() + 1 > bytes {
            break;
        }
        if number > 0 {
            text.push(',');
        }
        text.push_str(&next);
    }
    text
}

fn whatsapp(value: &str) -> String {
    format!(
        r#"{{"entry":[{{"id":"10","changes":[{{"field":"messages","value":{{"metadata":{{"phone_number_id":"1001"}},{value}}}}}]}}]}}"#
    )
}

fn whatsapp_messages(piece: &str, bytes: usize, most: usize) -> String {
    whatsapp(&format!(
        r#""messages":[{}]"#,
        list(piece, bytes - 200, most)
    ))
}

fn instagram(piece: &str, bytes: usize, most: usize) -> String {
    let events = list(piece, bytes - 100, most);
    format!(r#"{{"entry":[{{"id":"1784","messaging":[{events}]}}]}}"#)
}

const OF_WHATSAPP: [Shape; 15] = [
    ("tiny messages", |bytes| {
        whatsapp_messages(r##"{"id":"a#","from":"1"}"##, bytes, usize::MAX)
    }),
    ("as many as there may be", |bytes| {
        whatsapp_messages(r##"{"id":"b#","from":"1"}"##, bytes, MOST)
    }),
    ("of as many people", |bytes| {
        whatsapp_messages(r##"{"id":"c#","from":"1#"}"##, bytes, MOST)
    }),
    ("of as many groups", |bytes| {
        whatsapp_messages(r##"{"id":"d#","from":"1","group_id":"g#"}"##, bytes, MOST)
    }),
    ("of some length", |bytes| {
        let body = "x".repeat(300);
        whatsapp_messages(
            &format!(r##"{{"id":"e#","from":"1","type":"text","text":{{"body":"{body}"}}}}"##),
            bytes,
            MOST,
        )
    }),
    ("statuses", |bytes| {
        whatsapp(&format!(
            r#""statuses":[{}]"#,
            list(r##"{"id":"a#","status":"read"}"##, bytes - 200, MOST)
        ))
    }),
    ("reactions", |bytes| {
        whatsapp_messages(
            r##"{"type":"reaction","from":"1","reaction":{"message_id":"a#"}}"##,
            bytes,
            MOST,
        )
    }),
    ("edits", |bytes| {
        let edit = r##"{"id":"f#","from":"1","type":"edit","edit":{"original_message_id":"a","message":{"type":"text","text":{"body":"#"}}}}"##;
        whatsapp_messages(edit, bytes, MOST)
    }),
    ("malformed ones", |bytes| {
        whatsapp_messages("7", bytes, usize::MAX)
    }),
    ("a malformed one after each good one", |bytes| {
        whatsapp_messages(r##"7,{"id":"h#","from":"1"}"##, bytes, MOST / 2)
    }),
    ("one long text", |bytes| {
        whatsapp_messages(
            &format!(
                r#"{{"id":"i","from":"1","type":"text","text":{{"body":"{}"}}}}"#,
                "\\ud83d\\ude00".repeat(bytes / 12 - 50)
            ),
            bytes,
            1,
        )
    }),
    ("one of tiny values", |bytes| {
        whatsapp_messages(
            &format!(
                r#"{{"id":"j","from":"1","type":"new","new":[{}]}}"#,
                list("0", bytes - 300, usize::MAX)
            ),
            bytes,
            1,
        )
    }),
    ("deep nesting", |bytes| {
        let deep = (bytes - 300) / 2;
        whatsapp_messages(
            &format!(
                r#"{{"id":"k","from":"1","new":{}{}}}"#,
                "[".repeat(deep),
                "]".repeat(deep)
            ),
            bytes,
            1,
        )
    }),
    ("entries", |bytes| {
        let entry = r##"{"id":"10","changes":[{"value":{"metadata":{"phone_number_id":"1001"},"messages":[{"id":"l#","from":"1"}]}}]}"##;
        format!(r#"{{"entry":[{}]}}"#, list(entry, bytes - 20, MOST))
    }),
    ("strangers' entries", |bytes| {
        let own = r#"{"id":"10","changes":[{"value":{"metadata":{"phone_number_id":"1001"}}}]}"#;
        let entry = r##"{"id":"10","changes":[{"value":{"metadata":{"phone_number_id":"7#"},"messages":[7]}}]}"##;
        format!(
            r#"{{"entry":[{own},{}]}}"#,
            list(entry, bytes - 100, usize::MAX)
        )
    }),
];

const OF_INSTAGRAM: [Shape; 6] = [
    ("messages", |bytes| {
        instagram(
            r##"{"sender":{"id":"1"},"message":{"mid":"a#"}}"##,
            bytes,
            usize::MAX,
        )
    }),
    ("as many as there may be", |bytes| {
        instagram(
            r##"{"sender":{"id":"1#"},"message":{"mid":"b#","text":"Hi"}}"##,
            bytes,
            MOST,
        )
    }),
    ("reads", |bytes| {
        instagram(
            r##"{"sender":{"id":"1"},"read":{"mid":"a#"}}"##,
            bytes,
            MOST,
        )
    }),
    ("malformed events", |bytes| {
        instagram("{}", bytes, usize::MAX)
    }),
    ("attachments", |bytes| {
        let attachments = list(
            r##"{"type":"image","payload":{"url":"#"}}"##,
            bytes - 300,
            usize::MAX,
        );
        instagram(
            &format!(
                r#"{{"sender":{{"id":"1"}},"message":{{"mid":"c","attachments":[{attachments}]}}}}"#
            ),
            bytes,
            1,
        )
    }),
    ("no JSON", |bytes| {
        instagram("\"x\",", bytes, usize::MAX) + "]"
    }),
];

const OF_TELEGRAM: [Shape; 5] = [
    ("deletions", |bytes| {
        let ids = "7,".repeat((bytes - 200) / 2) + "7";
        format!(
            r#"{{"update_id":1,"deleted_business_messages":{{"chat":{{"id":1}},"message_ids":[{ids}]}}}}"#
        )
    }),
    ("as many as there may be", |bytes| {
        let ids: Vec<_> = (0..MOST).map(|id| id.to_string()).collect();
        let ids = ids.join(",");
        assert!(ids.len() < bytes);
        format!(
            r#"{{"update_id":1,"deleted_business_messages":{{"chat":{{"id":1}},"message_ids":[{ids}]}}}}"#
        )
    }),
    ("kinds", |bytes| {
        format!(
            r#"{{"update_id":1,{}}}"#,
            list(r##""a#":7"##, bytes - 20, usize::MAX)
        )
    }),
    ("formatting", |bytes| {
        let text = "😀".repeat(bytes / 8);
        let entities = list(
            r#"{"type":"bold","offset":7,"length":2}"#,
            bytes / 2 - 200,
            usize::MAX,
        );
        format!(
            r#"{{"update_id":1,"message":{{"message_id":7,"chat":{{"id":9,"type":"private"}},"text":"{text}","entities":[{entities}]}}}}"#
        )
    }),
    ("one long text", |bytes| {
        let text = "\\u00e9".repeat(bytes / 6 - 50);
        format!(
            r#"{{"update_id":1,"message":{{"message_id":8,"chat":{{"id":9,"type":"private"}},"text":"{text}"}}}}"#
        )
    }),
];

async fn serve(shell: &Shell) -> Running {
    let mut command = shell.command(&["serve", "--listen", "127.0.0.1:0"]);
    command.env("INBOXD_MAX_UPDATE_BYTES", LONGEST.to_string());
    let server = shell.start(command);
    server.get("/healthz").send().await.assert_status(200);
    server
}

/// The status of the answer, and the CPU time that it took.
async fn deliver(
    server: &Running,
    path: &str,
    proof: (&str, &str),
    body: String,
) -> (u16, Duration) {
    let before = server.cpu();
    let call = server.post(path).header(proof.0, proof.1);
    let answer = call.raw_json(body).send().await;
    (answer.status.as_u16(), server.cpu() - before)
}

async fn deliver_signed(server: &Running, path: &str, body: String) -> (u16, Duration) {
    let signature = sign(APP_SECRET, body.as_bytes());
    deliver(server, path, ("x-hub-signature-256", &signature), body).await
}

async fn no_signed_update_takes_a_second(store: Store) {
    let shell = Shell::ready(store).await;
    shell.account("Toko Biru");
    shell.whatsapp("1001");
    let key = shell.key();
    let server = serve(&shell).await;
    let make = async |body: Value| {
        let made = server.post("/inboxes").key(&key).json(&body).send().await;
        text(&made.data()["id"])
    };
    make(json!({"name": "DM", "type": "instagram", "instagram_account_id": "1784", "channel": {"app_secret": APP_SECRET}})).await;
    let bot = json!({"name": "Bot", "type": "telegram", "channel": {"bot_token": "110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw0"}});
    let bot = make(bot).await;
    let setup = server
        .get(&format!("/inboxes/{bot}/setup"))
        .key(&key)
        .send()
        .await;
    let token = text(&setup.data()["secret_token"]);

    let mut slow = Vec::new();
    let mut note = |channel: &str, what: &str, (status, cpu): (u16, Duration)| {
        assert_eq!(status, 200, "{channel}, {what}");
        if cpu > LIMIT {
            slow.push(format!("{channel}, {what}: {cpu:?}"));
        }
    };
    for (what, body) in OF_WHATSAPP {
        note(
            "whatsapp",
            what,
            deliver_signed(&server, "/hooks/whatsapp", body(LONGEST)).await,
        );
    }
    for (what, body) in OF_INSTAGRAM {
        note(
            "instagram",
            what,
            deliver_signed(&server, "/hooks/instagram", body(LONGEST)).await,
        );
    }
    let hook = format!("/hooks/telegram/{bot}");
    for (what, body) in OF_TELEGRAM {
        let proof = ("x-telegram-bot-api-secret-token", token.as_str());
        note(
            "telegram",
            what,
            deliver(&server, &hook, proof, body(LONGEST)).await,
        );
    }
    assert!(slow.is_empty(), "{slow:#?}");
    server.stop().await;
    shell.done(&["verify"]);
}

/// Each has its own copy of what cannot be read, so not all may have one.
async fn an_update_for_very_many_inboxes_is_bounded(store: Store) {
    const INBOXES: usize = 1500;
    let app = TestApp::start(store).await;
    for number in 0..INBOXES {
        let mut body = whatsapp_body(&format!("{}", 1000 + number));
        body["phone_number"] = format!("+6281234{}", 10_000 + number).into();
        app.inbox(body).await;
    }
    let shell = Shell::at(&app.place().url());
    let server = serve(&shell).await;
    let entries = |messages: &str, padding: usize| {
        let entries: Vec<_> = (0..INBOXES)
            .map(|number| format!(r#"{{"id":"10","changes":[{{"value":{{"metadata":{{"phone_number_id":"{}"}},"messages":[{messages}]}}}}]}}"#, 1000 + number))
            .collect();
        format!(
            r#"{{"entry":[{}],"padding":"{}"}}"#,
            entries.join(","),
            "x".repeat(padding)
        )
    };
    let mut slow = Vec::new();
    for (what, body, expected) in [
        (
            "good ones",
            entries(r#"{"id":"a","from":"1","text":{"body":"Hi"}}"#, 3_000_000),
            200,
        ),
        ("malformed ones", entries("7", 3_000_000), 413),
        ("no JSON", entries("7", 3_000_000) + "}", 200),
    ] {
        let (status, cpu) = deliver_signed(&server, "/hooks/whatsapp", body).await;
        assert_eq!(status, expected, "{what}");
        if cpu > LIMIT {
            slow.push(format!("{what}: {cpu:?}"));
        }
    }
    assert!(slow.is_empty(), "{slow:#?}");
    server.stop().await;
    assert_eq!(app.count("messages").await, INBOXES as i64);
    let kept = app.count("quarantine").await;
    assert!((1..=22).contains(&kept), "{kept} copies of 3 MB");
}

async fn more_than_one_update_may_say_goes_aside_and_can_be_replayed(store: Store) {
    let app = TestApp::start(store).await;
    let inbox = app.whatsapp("1001").await;
    let body = whatsapp_messages(r##"{"id":"a#","from":"1"}"##, LONGEST, MOST + 1);
    app.deliver_bytes(body.as_bytes(), APP_SECRET)
        .await
        .assert_status(200);
    assert_eq!(app.shown(&inbox).await["messages_count"], 0);
    let kept = quarantine::list(&app.context, &app.account, None, 10).await;
    let kept = kept.expect("a list");
    assert_eq!(kept.len(), 1);
    assert_eq!(
        kept[0].reason,
        "one of more than 10,000 items in one update"
    );

    let replayed = quarantine::replay(&app.context, &app.account, &kept[0].id).await;
    let outcome = replayed.expect("replayed");
    assert_eq!(outcome.stored, MOST as u64 + 1);
    assert_eq!(app.shown(&inbox).await["messages_count"], MOST + 1);
    assert_eq!(app.count("quarantine").await, 0);
    app.verify().await;
}

async fn others_are_answered_while_a_long_update_is_stored(store: Store) {
    let app = TestApp::start(store).await;
    app.whatsapp("1001").await;
    let mut other = whatsapp_body("1002");
    other["phone_number"] = "+62812345679".into();
    app.inbox(other).await;
    let long = whatsapp_messages(r##"{"id":"a#","from":"1#"}"##, LONGEST, MOST);
    let short = update("1002", &[message("628111", "wamid.1", "Hi")]);
    let long = async {
        app.deliver_bytes(long.as_bytes(), APP_SECRET)
            .await
            .assert_status(200);
        app.count("messages").await
    };
    let others = async {
        // Some of it is there: its pieces can be seen.
        eventually("the long one is being stored", async || {
            app.count("messages").await > 0
        })
        .await;
        app.deliver(&short).await.assert_status(200);
        app.count("messages").await
    };
    let (all, meanwhile) = tokio::join!(long, others);
    assert!(meanwhile < MOST as i64, "{meanwhile} before it was stored");
    assert_eq!(all, MOST as i64 + 1);
    app.verify().await;
}
