//! What reading costs: time and memory in proportion to the bytes, whoever wrote them.
//!
//! Each hostile body is read at two sizes, one four times the other. What grows with the square would cost sixteen
//! times as much. Time is the thread's own CPU time, so that a busy machine does not matter.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use channels::{Update, instagram, telegram, whatsapp};
use cpu_time::ThreadTime;
use peak_alloc::PeakAlloc;
use std::{hint::black_box, time::Duration};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// Bytes of the smaller bodies.
const SMALL: usize = 64_000;

/// Most bytes of memory for each byte of a body that is read. A message of twenty bytes takes the most.
const FACTOR: usize = 16;

/// And beside them, for the one item that is being read.
const BESIDE: usize = 3_000_000;

/// A hostile body of about so many bytes.
type Hostile = (&'static str, fn(usize) -> String);

/// `piece` again and again, with commas, until there are so many bytes. `#` is another number each time.
fn repeat(piece: &str, bytes: usize) -> String {
    let mut text = String::new();
    for number in 0.. {
        text.push_str(&piece.replace('#', &number.to_string()));
        if text.len() >= bytes {
            return text;
        }
        text.push(',');
    }
    text
}

fn change(value: &str) -> String {
    format!(r#"{{"entry":[{{"id":"1","changes":[{{"field":"messages","value":{{{value}}}}}]}}]}}"#)
}

fn messaging(events: &str) -> String {
    format!(r#"{{"entry":[{{"id":"1784","messaging":[{events}]}}]}}"#)
}

fn update(message: &str) -> String {
    format!(
        r#"{{"update_id":1,"message":{{"message_id":7,"chat":{{"id":900,"type":"private"}},{message}}}}}"#
    )
}

const OF_ANYBODY: [Hostile; 8] = [
    ("numbers", |bytes| repeat("7", bytes)),
    ("entries", |bytes| {
        format!(r#"{{"entry":[{}]}}"#, repeat("7", bytes))
    }),
    ("keys", |bytes| {
        format!("{{{}}}", repeat(r##""#":0"##, bytes))
    }),
    ("keys of an entry", |bytes| {
        format!(r#"{{"entry":[{{{}}}]}}"#, repeat(r##""#":0"##, bytes))
    }),
    ("brackets", |bytes| {
        format!(r#"{{"entry":{}"#, "[".repeat(bytes))
    }),
    ("quotes and spaces", |bytes| {
        format!(r#"{{"entry":[{}]}}"#, repeat(r#""x"          "#, bytes))
    }),
    ("what has to be repaired", |bytes| {
        format!(r#"{{"entry":["{}"]}}"#, "\u{1}\\ud800".repeat(bytes / 7))
    }),
    ("addresses", |bytes| {
        let entry = r##"{"id":"#","changes":[{"value":{"metadata":{"phone_number_id":"#"},"messages":[7]}}]}"##;
        format!(r#"{{"entry":[{}]}}"#, repeat(entry, bytes))
    }),
];

const OF_WHATSAPP: [Hostile; 14] = [
    ("contacts and messages", |bytes| {
        let contacts = repeat(r##"{"wa_id":"1#"}"##, bytes / 2);
        let messages = repeat(r##"{"id":"#","from":"2#"}"##, bytes / 2);
        change(&format!(
            r#""contacts":[{contacts}],"messages":[{messages}]"#
        ))
    }),
    ("contacts without ids", |bytes| {
        change(&format!(
            r#""contacts":[{}],"messages":[{{"id":"a"}}]"#,
            repeat("{}", bytes)
        ))
    }),
    ("one profile for all", |bytes| {
        let id = "9".repeat(512);
        let name = "é".repeat(bytes / 4);
        let contact = format!(r#"{{"wa_id":"1","user_id":"{id}","profile":{{"name":"{name}"}}}}"#);
        let messages = repeat(r##"{"id":"#","from":"1"}"##, bytes / 2);
        change(&format!(
            r#""contacts":[{contact}],"messages":[{messages}]"#
        ))
    }),
    ("changes", |bytes| {
        format!(r#"{{"entry":[{{"changes":[{}]}}]}}"#, repeat("7", bytes))
    }),
    ("changes of a business account", |bytes| {
        let (id, changes) = (
            "9".repeat(512),
            repeat(r#"{"field":"a","value":{}}"#, bytes),
        );
        format!(r#"{{"entry":[{{"id":"{id}","changes":[{changes}]}}]}}"#)
    }),
    ("changes to ignore", |bytes| {
        let changes = repeat(r#"{"field":"a"}"#, bytes);
        format!(r#"{{"entry":[{{"changes":[{changes}]}}]}}"#)
    }),
    ("tiny messages", |bytes| {
        change(&format!(r#""messages":[{}]"#, repeat("7", bytes)))
    }),
    ("messages", |bytes| {
        let message = r##"{"id":"#","from":"1","text":{"body":""}}"##;
        change(&format!(r#""messages":[{}]"#, repeat(message, bytes)))
    }),
    ("a message of tiny values", |bytes| {
        change(&format!(
            r#""messages":[{{"id":"a","from":"1","type":"new","new":[{}]}}]"#,
            repeat("0", bytes)
        ))
    }),
    ("messages of tiny values", |bytes| {
        let message = format!(
            r##"{{"id":"#","from":"1","type":"new","new":[{}]}}"##,
            repeat("0", 30_000)
        );
        change(&format!(r#""messages":[{}]"#, repeat(&message, bytes)))
    }),
    ("statuses", |bytes| {
        let status = r##"{"id":"#","status":"read"}"##;
        change(&format!(r#""statuses":[{}]"#, repeat(status, bytes)))
    }),
    ("one thread for all", |bytes| {
        let id = "9".repeat(512);
        let messages = repeat(r##"{"id":"#","to":"3"}"##, bytes);
        change(&format!(
            r#""history":[{{"threads":[{{"id":"{id}","messages":[{messages}]}}]}}]"#
        ))
    }),
    ("history", |bytes| {
        let thread = r##"{"id":"#","messages":[7,{}]}"##;
        change(&format!(
            r#""history":[{{"threads":[{}]}}]"#,
            repeat(thread, bytes)
        ))
    }),
    ("reactions", |bytes| {
        let message = r##"{"type":"reaction","from":"1","reaction":{"message_id":"#"}}"##;
        change(&format!(r#""messages":[{}]"#, repeat(message, bytes)))
    }),
];

const OF_INSTAGRAM: [Hostile; 9] = [
    ("tiny events", |bytes| messaging(&repeat("7", bytes))),
    ("empty events", |bytes| messaging(&repeat("{}", bytes))),
    ("events to ignore", |bytes| {
        messaging(&repeat(r##"{"a":1},{"b":1}"##, bytes))
    }),
    ("changes", |bytes| {
        let changes = repeat("7", bytes);
        format!(r#"{{"entry":[{{"id":"1784","changes":[{changes}]}}]}}"#)
    }),
    ("values of a change", |bytes| {
        let values = repeat("{}", bytes);
        format!(
            r#"{{"entry":[{{"id":"1784","changes":[{{"field":"messages","value":[{values}]}}]}}]}}"#
        )
    }),
    ("messages", |bytes| {
        let event = r##"{"sender":{"id":"1"},"message":{"mid":"#","text":"a"}}"##;
        messaging(&repeat(event, bytes))
    }),
    ("attachments", |bytes| {
        let attachment = r##"{"type":"image","payload":{"url":"#"}}"##;
        messaging(&format!(
            r#"{{"sender":{{"id":"1"}},"message":{{"mid":"m","attachments":[{}]}}}}"#,
            repeat(attachment, bytes)
        ))
    }),
    ("events of an entry without an id", |bytes| {
        let event = r##"{"sender":{"id":"1"},"recipient":{"id":"#"}}"##;
        format!(
            r#"{{"entry":[{{"messaging":[{}]}}]}}"#,
            repeat(event, bytes)
        )
    }),
    ("the same account again and again", |bytes| {
        format!(
            r#"{{"entry":[{}]}}"#,
            repeat(r#"{"id":"1"},{"id":2}"#, bytes)
        )
    }),
];

const OF_TELEGRAM: [Hostile; 7] = [
    ("kinds", |bytes| {
        format!(r#"{{"update_id":1,{}}}"#, repeat(r##""#":7"##, bytes))
    }),
    ("a text", |bytes| {
        update(&format!(r#""text":"{}""#, "\\\"".repeat(bytes / 2)))
    }),
    ("a message of tiny values", |bytes| {
        update(&format!(r#""new":[{}]"#, repeat("0", bytes)))
    }),
    ("formatting", |bytes| {
        let text = "😀".repeat(bytes / 8);
        let entity = r##"{"type":"bold","offset":#,"length":2}"##;
        update(&format!(
            r#""text":"{text}","entities":[{}]"#,
            repeat(entity, (bytes / 2).min(100_000))
        ))
    }),
    ("photos", |bytes| {
        update(&format!(r#""photo":[{}]"#, repeat("{}", bytes)))
    }),
    ("deletions", |bytes| {
        format!(
            r#"{{"update_id":1,"deleted_business_messages":{{"chat":{{"id":1}},"message_ids":[{}]}}}}"#,
            repeat("#", bytes)
        )
    }),
    ("reactions", |bytes| {
        format!(
            r#"{{"update_id":1,"message_reaction":{{"message_id":1,"user":{{"id":1}},"chat":{{"id":1}},"new_reaction":[{}]}}}}"#,
            repeat("{}", bytes)
        )
    }),
];

#[test]
fn reading_costs_in_proportion_to_the_bytes() {
    let parse = |read: fn(&[u8]) -> Option<Update>| {
        move |body: &[u8]| {
            black_box(read(body));
        }
    };
    let whatsapp = parse(|body| whatsapp::parse(body).ok());
    let instagram = parse(|body| instagram::parse(body).ok());
    let telegram = parse(|body| telegram::parse(body).ok());
    for hostile in OF_ANYBODY.iter().chain(&OF_WHATSAPP) {
        proportional("whatsapp", hostile, &whatsapp);
    }
    for hostile in OF_ANYBODY.iter().chain(&OF_INSTAGRAM) {
        proportional("instagram", hostile, &instagram);
    }
    for hostile in OF_ANYBODY.iter().chain(&OF_TELEGRAM) {
        proportional("telegram", hostile, &telegram);
    }

    // Before the signature is checked. That takes no memory for what the body says.
    let all = [&OF_ANYBODY[..], &OF_WHATSAPP, &OF_INSTAGRAM, &OF_TELEGRAM].concat();
    for hostile in &all {
        for (name, addresses) in [
            ("whatsapp addresses", whatsapp::addresses as fn(&[u8]) -> _),
            ("instagram addresses", instagram::addresses),
        ] {
            let read = |body: &[u8]| {
                assert!(black_box(addresses(body)).len() <= 64);
            };
            proportional(name, hostile, &read);
            let body = hostile.1(SMALL);
            let (_, memory) = measure(body.as_bytes(), &read);
            assert!(memory < 64_000, "{name}, {}: {memory} bytes", hostile.0);
        }
    }
}

fn proportional(name: &str, (what, body): &Hostile, read: &dyn Fn(&[u8])) {
    let (small, large) = (body(SMALL), body(4 * SMALL));
    let (mut before, _) = measure(small.as_bytes(), read);
    let (mut after, memory) = measure(large.as_bytes(), read);
    // Whatever else a machine does can only add to a time: the shortest of some is the truest.
    for _ in 0..4 {
        if after < before * 8 {
            break;
        }
        before = before.min(measure(small.as_bytes(), read).0);
        after = after.min(measure(large.as_bytes(), read).0);
    }
    let floor = Duration::from_millis(2);
    assert!(
        after < before.max(floor) * 8,
        "{name}, {what}: {before:?} for {} bytes, {after:?} for {}",
        small.len(),
        large.len()
    );
    assert!(
        memory < large.len() * FACTOR + BESIDE,
        "{name}, {what}: {memory} bytes of memory for {}",
        large.len()
    );
}

/// The CPU time and the memory that reading takes.
fn measure(body: &[u8], read: &dyn Fn(&[u8])) -> (Duration, usize) {
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    let start = ThreadTime::now();
    read(body);
    (start.elapsed(), MEMORY.peak_usage() - before)
}
