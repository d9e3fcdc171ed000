//! What a request costs: CPU and memory in proportion to its bytes, on every route, whoever sends it.
//!
//! Each hostile request is sent at two sizes, one four times the other. What grows with the square would cost sixteen times
//! as much. The server is a process of its own, of which the system counts the CPU time: a busy machine does not matter.
//!
//! The parsers by themselves are measured in `crates/channels/tests/growth.rs`, signed updates in `hooks_cost.rs`.

use crate::support::{
    Running, Shell, Store, live::Socket, on_both_stores, program::text, whatsapp::hello,
};
use inboxd::router;
use reqwest::Method;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message as Frame;

on_both_stores![
    a_hostile_head_costs_no_more_than_its_bytes,
    a_hostile_body_costs_no_more_than_its_bytes,
    a_hostile_frame_costs_no_more_than_its_bytes,
    a_hostile_update_of_a_stranger_costs_no_more_than_its_bytes,
];

/// How often each request is sent.
const TIMES: usize = 3;
/// Less CPU time than this is not worth comparing: a few milliseconds a request, in a program that is not optimised.
const FLOOR: Duration = Duration::from_millis(40);
/// Bytes of memory that a request may take for each of its bytes, and beside them.
const FACTOR: usize = 64;
const BESIDE: usize = 16 * 1024 * 1024;

/// A hostile text of about so many bytes.
type Hostile = (&'static str, fn(usize) -> String);

/// `piece` again and again until there are so many bytes. `#` is another number each time.
fn repeat(piece: &str, between: &str, bytes: usize) -> String {
    let mut text = String::new();
    for number in 1000.. {
        text.push_str(&piece.replace('#', &number.to_string()));
        if text.len() + between.len() + piece.len() > bytes {
            return text;
        }
        text.push_str(between);
    }
    text
}

/// A server with one of everything, and a key.
struct Served {
    _shell: Shell,
    server: Running,
    key: String,
    inbox: String,
    chat: String,
    conversation: String,
    message: String,
}

async fn serve(store: Store) -> Served {
    let shell = Shell::ready(store).await;
    shell.account("Toko Biru");
    let inbox = shell.whatsapp("1001");
    let chat = ["inbox", "create", "--type", "livechat", "--name", "Chat"];
    let chat = text(&shell.json(&chat)["id"]);
    let key = shell.key();
    let mut command = shell.command(&["serve", "--listen", "127.0.0.1:0"]);
    // The next hop says for whom it asks.
    command.env("INBOXD_TRUSTED_PROXIES", "127.0.0.1,10.0.0.0/8");
    let server = shell.start(command);
    server.deliver(&hello("wamid.1")).await.assert_status(200);
    let first = async |path: &str| {
        let listed = server.get(path).key(&key).send().await.data();
        text(&listed[0]["id"])
    };
    Served {
        conversation: first("/conversations").await,
        message: first(&format!("/messages?inbox_id={inbox}")).await,
        _shell: shell,
        server,
        key,
        inbox,
        chat,
    }
}

impl Served {
    /// Every operation of the document, and what else is there: its method, its path with real ids, and whether it has a
    /// body.
    fn operations(&self) -> Vec<(Method, String, bool)> {
        let document = serde_json::to_value(router::document()).expect("a document");
        let mut operations = Vec::new();
        for (path, item) in document["paths"].as_object().expect("paths") {
            let id = match path.split('/').nth(1) {
                Some("conversations") => &self.conversation,
                Some("messages") => &self.message,
                Some("livechat") => &self.chat,
                _ => &self.inbox,
            };
            for (method, operation) in item.as_object().expect("operations") {
                let method: Method = method.to_uppercase().parse().expect("a method");
                // It would be gone for the next.
                let gone = method == Method::DELETE;
                let path = path.replace("{id}", if gone { "inbox_x" } else { id });
                operations.push((method, path, operation["requestBody"].is_object()));
            }
        }
        for path in ["/", "/docs/", "/openapi.json", "/nowhere"] {
            operations.push((Method::GET, path.to_owned(), false));
        }
        assert!(operations.len() > 20, "the walk goes somewhere");
        operations
    }

    /// Measures some exchanges of so many bytes.
    async fn measure(&self, bytes: usize, exchange: &impl AsyncFn(usize)) -> (Duration, usize) {
        self.server.forget_peak();
        let (cpu, memory) = (self.server.cpu(), self.server.resident());
        for _ in 0..TIMES {
            exchange(bytes).await;
        }
        let cpu = self.server.cpu() - cpu;
        (cpu, self.server.peak().saturating_sub(memory))
    }

    /// That an exchange of so many bytes costs about four times as much as one of a quarter of them.
    async fn proportional(&self, what: &str, bytes: usize, exchange: impl AsyncFn(usize)) {
        let (mut before, mut after) = (Duration::MAX, Duration::MAX);
        // Whatever else the server does can only add to a time: the shortest of some is the truest.
        for _ in 0..4 {
            before = before.min(self.measure(bytes / 4, &exchange).await.0);
            let (cpu, memory) = self.measure(bytes, &exchange).await;
            assert!(
                memory < bytes * FACTOR + BESIDE,
                "{what}: {memory} bytes of memory"
            );
            after = after.min(cpu);
            if after < before.max(FLOOR) * 8 {
                return;
            }
        }
        panic!(
            "{what}: {before:?} for {} bytes, {after:?} for {bytes}",
            bytes / 4
        );
    }
}

/// How long a stream of events, which goes on for ever, is listened to.
const EVENTS: Duration = Duration::from_millis(100);

/// Bytes of the larger heads. There may be 32 KB.
const HEAD: usize = 28_000;

/// A query, and the value of a header.
const HEADS: [(&str, Hostile); 11] = [
    ("query", ("pairs", |bytes| repeat("a#=1", "&", bytes))),
    ("query", ("one pair", |bytes| repeat("limit=#", "&", bytes))),
    ("query", ("nothing", |bytes| "&".repeat(bytes))),
    ("query", ("percents", |bytes| "%C3%A9".repeat(bytes / 6))),
    (
        "query",
        ("broken ones", |bytes| repeat("a#=%zz", "&", bytes)),
    ),
    ("query", ("keys", |bytes| repeat("api_key=#", "&", bytes))),
    (
        "authorization",
        ("a long key", |bytes| {
            format!("Bearer {}", "a".repeat(bytes))
        }),
    ),
    (
        "x-forwarded-for",
        ("a long chain", |bytes| repeat("10.0.0.1", ",", bytes)),
    ),
    (
        "accept-encoding",
        ("many", |bytes| repeat("x#;q=0.5", ",", bytes)),
    ),
    (
        "if-none-match",
        ("many", |bytes| repeat("\"#\"", ",", bytes)),
    ),
    ("last-event-id", ("a long one", |bytes| "a".repeat(bytes))),
];

async fn a_hostile_head_costs_no_more_than_its_bytes(store: Store) {
    let served = serve(store).await;
    for (method, path, _) in served.operations() {
        for (place, (what, text)) in HEADS {
            let what = format!("{method} {path}, {place}: {what}");
            let exchange = async |bytes: usize| {
                let text = text(bytes);
                let path = match place {
                    "query" => format!("{path}?{text}"),
                    _ => path.clone(),
                };
                let mut call = served.server.call(method.clone(), &path);
                if place != "authorization" {
                    call = call.key(&served.key);
                }
                if place != "query" {
                    call = call.header(place, &text);
                }
                let sent = call.raw_json("{}").send();
                match path.starts_with("/events") {
                    true => drop(timeout(EVENTS, sent).await),
                    false => drop(sent.await),
                }
            };
            served.proportional(&what, HEAD, exchange).await;
        }
    }
    served.server.stop().await;
}

/// Bytes of the larger bodies, and frames. There may be 64 KB.
const BODY: usize = 63_000;

const OBJECTS: [Hostile; 8] = [
    ("keys", |bytes| {
        format!("{{{}}}", repeat(r##""#":0"##, ",", bytes - 2))
    }),
    ("keys of a channel", |bytes| {
        let keys = repeat(r##""#":0"##, ",", bytes - 60);
        format!(r#"{{"type":"whatsapp","name":"a","channel":{{{keys}}}}}"#)
    }),
    ("origins", |bytes| {
        let origins = repeat(r##""https://#""##, ",", bytes - 80);
        format!(r#"{{"type":"livechat","name":"a","channel":{{"allowed_origins":[{origins}]}}}}"#)
    }),
    ("tiny values", |bytes| {
        format!(r#"{{"text":[{}]}}"#, repeat("{}", ",", bytes - 11))
    }),
    ("a long name", |bytes| {
        format!(r#"{{"name":"{}","text":"a"}}"#, "é".repeat(bytes / 2 - 15))
    }),
    ("escapes", |bytes| {
        format!(
            r#"{{"text":"{}","client_id":"a"}}"#,
            "\\u00e9".repeat(bytes / 6 - 6)
        )
    }),
    ("brackets", |bytes| {
        format!(r#"{{"text":{}"#, "[".repeat(bytes - 9))
    }),
    ("a long number", |bytes| {
        format!(r#"{{"text":{}}}"#, "7".repeat(bytes - 9))
    }),
];

async fn a_hostile_body_costs_no_more_than_its_bytes(store: Store) {
    let served = serve(store).await;
    let token = visitor(&served).await;
    for (method, path, has_body) in served.operations() {
        if !has_body || path.starts_with("/hooks/") {
            continue;
        }
        let key = if path.starts_with("/livechat/") {
            &token
        } else {
            &served.key
        };
        for (what, body) in OBJECTS {
            let what = format!("{method} {path}: {what}");
            let exchange = async |bytes: usize| {
                let call = served.server.call(method.clone(), &path);
                call.key(key).raw_json(body(bytes)).send().await;
            };
            served.proportional(&what, BODY, exchange).await;
        }
    }
    served.server.stop().await;
}

/// The token of a new visitor.
async fn visitor(served: &Served) -> String {
    let path = format!("/livechat/{}/sessions", served.chat);
    let entered = served.server.post(&path).json(&json!({})).send().await;
    text(&entered.data()["token"])
}

async fn a_hostile_frame_costs_no_more_than_its_bytes(store: Store) {
    let served = serve(store).await;
    let token = visitor(&served).await;
    for (what, frame) in OBJECTS {
        for kind in ["hello", "message", "read", "ping"] {
            let exchange = async |bytes: usize| {
                let frame = frame(bytes - 20);
                let frame = format!(r#"{{"type":"{kind}",{}"#, &frame[1..]);
                let mut socket = match kind {
                    "hello" => Socket::open(served.server.address, &served.chat).await,
                    _ => Socket::hello(served.server.address, &served.chat, &token, None).await,
                };
                socket.raw(Frame::text(frame)).await;
                assert_ne!(socket.next().await, Value::Null, "there is an answer");
            };
            served
                .proportional(&format!("{kind}, {what}"), BODY, exchange)
                .await;
        }
    }
    served.server.stop().await;
}

/// Bytes of the larger updates. There may be 3.5 MB.
const UPDATE: usize = 3_200_000;

const UPDATES: [Hostile; 5] = [
    ("addresses", |bytes| {
        let entry = r##"{"id":"#","changes":[{"value":{"metadata":{"phone_number_id":"#"},"messages":[7]}}]}"##;
        format!(r#"{{"entry":[{}]}}"#, repeat(entry, ",", bytes))
    }),
    ("one address", |bytes| {
        let known = r#"{"id":"1","changes":[{"value":{"metadata":{"phone_number_id":"1001"}}}]}"#;
        format!(r#"{{"entry":[{known},{}]}}"#, repeat("7", ",", bytes))
    }),
    ("brackets", |bytes| {
        format!(r#"{{"entry":{}"#, "[".repeat(bytes))
    }),
    ("texts", |bytes| {
        format!(
            r#"{{"entry":[{}]}}"#,
            repeat(r#""x"          "#, ",", bytes)
        )
    }),
    ("keys", |bytes| {
        format!("{{{}}}", repeat(r##""#":0"##, ",", bytes))
    }),
];

async fn a_hostile_update_of_a_stranger_costs_no_more_than_its_bytes(store: Store) {
    let served = serve(store).await;
    let telegram = format!("/hooks/telegram/{}", served.chat);
    let hooks = [
        ("/hooks/whatsapp", "x-hub-signature-256"),
        ("/hooks/instagram", "x-hub-signature-256"),
        (&telegram, "x-telegram-bot-api-secret-token"),
    ];
    for (path, header) in hooks {
        for (what, body) in UPDATES {
            let exchange = async |bytes: usize| {
                let call = served.server.post(path).header(header, "sha256=0");
                let answer = call.raw_json(body(bytes)).send().await;
                assert!(
                    [401, 404].contains(&answer.status.as_u16()),
                    "{}",
                    answer.status
                );
            };
            served
                .proportional(&format!("{path}, {what}"), UPDATE, exchange)
                .await;
        }
    }
    served.server.stop().await;
}
