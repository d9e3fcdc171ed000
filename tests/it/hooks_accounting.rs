//! What a vouched update holds is stored, folded into what is stored, known, ignored, in quarantine, or for somebody
//! else: always just one of these, whatever holes it has.

use crate::support::{
    Store, TestApp, for_some, on_both_stores,
    whatsapp::{APP_SECRET, sign, text, update, updates},
    whatsapp_body,
};
use inboxd::{
    domain::Channel,
    id::InboxId,
    ops::{
        hooks::{self, MetaRequest},
        ingest::{Ingest, Outcome, Source},
        quarantine,
    },
};
use proptest::{collection::vec, prelude::*, sample::select};
use serde_json::{Map, Value, json};
use std::sync::Arc;

on_both_stores![
    every_item_of_whatsapp_is_accounted_for,
    every_item_of_instagram_is_accounted_for,
    every_item_of_telegram_is_accounted_for,
    parts_without_an_address_are_for_the_one_inbox_that_vouched,
    a_message_that_may_be_for_several_inboxes_goes_aside,
    a_update_without_anything_for_its_inbox_proves_it,
];

/// A piece of an update, and how many items are in it.
type Piece = (Value, u64);

/// What stands where an object belongs.
fn hole() -> impl Strategy<Value = Piece> {
    select(vec![json!(7), json!(null), json!("text"), json!([[]])]).prop_map(|hole| (hole, 1))
}

/// Values in a list, and how many items are in all of them.
fn list(pieces: Vec<Piece>) -> Piece {
    let count = pieces.iter().map(|(_, count)| count).sum();
    let values = pieces.into_iter().map(|(value, _)| value);
    (values.collect::<Vec<_>>().into(), count)
}

fn id() -> impl Strategy<Value = String> {
    (0..30_u8).prop_map(|id| format!("id.{id}"))
}

fn of_whatsapp() -> impl Strategy<Value = Piece> {
    let message = prop_oneof![
        3 => id().prop_map(|id| (text("628111", &id, "Hi"), 1)),
        1 => id().prop_map(|id| (json!({"id": id, "type": "text"}), 1)),
        1 => id().prop_map(|id| (json!({"from": "1", "id": {"a": id}}), 1)),
        1 => id().prop_map(|id| (json!({"id": "x", "from": "628111", "type": "edit", "edit": {"original_message_id": id}}), 1)),
        1 => id().prop_map(|id| (json!({"id": "x", "from": "628111", "type": "revoke", "revoke": {"original_message_id": id}}), 1)),
        1 => id().prop_map(|id| (json!({"id": "x", "from": "628111", "type": "reaction", "reaction": {"message_id": id, "emoji": "👍"}}), 1)),
        1 => Just((json!({"id": "s", "type": "system"}), 1)),
        1 => hole(),
    ];
    let status = prop_oneof![
        2 => id().prop_map(|id| (json!({"id": id, "status": "read"}), 1)),
        1 => Just((json!({"status": "read"}), 1)),
        1 => Just((json!({"status": "new"}), 1)),
        1 => hole(),
    ];
    let address = select(vec![
        None,
        Some("1001"),
        Some("1002"),
        Some("2002"),
        Some("9999"),
    ]);
    let field = select(vec![
        None,
        Some("messages"),
        Some("history"),
        Some("account_update"),
    ]);
    let lists = (
        prop::option::of(vec(message, 0..4)),
        prop::option::of(vec(status, 0..4)),
        any::<bool>(),
    );
    let value = (address, lists).prop_map(|(address, (messages, statuses, spoiled))| {
        let mut value = Map::new();
        if let Some(address) = address {
            value.insert("metadata".into(), json!({"phone_number_id": address}));
        }
        let mut count = 0;
        for (key, pieces) in [("messages", messages), ("statuses", statuses)] {
            if let Some(pieces) = pieces {
                let (values, more) = list(pieces);
                value.insert(key.into(), values);
                count += more;
            }
        }
        if spoiled {
            value.insert("message_echoes".into(), json!(7));
            count += 1;
        }
        // What says nothing is one thing, too.
        (Value::Object(value), count.max(1))
    });
    let value = prop_oneof![4 => value, 1 => hole(), 1 => Just((json!({}), 1))];
    let change = (field, prop::option::of(value)).prop_map(|(field, value)| {
        let mut change = Map::new();
        if let Some(field) = field {
            change.insert("field".into(), field.into());
        }
        let count = value.as_ref().map_or(1, |(_, count)| *count);
        if let Some((value, _)) = value {
            change.insert("value".into(), value);
        }
        (Value::Object(change), count)
    });
    let change = prop_oneof![6 => change, 1 => hole()];
    let entry = prop_oneof![
        6 => vec(change, 0..4).prop_map(|changes| {
            let (changes, count) = list(changes);
            (json!({"id": "10", "changes": changes}), count)
        }),
        1 => hole(),
        1 => Just((json!({"id": "10"}), 1)),
        1 => Just((json!({"id": "10", "changes": "none"}), 1)),
    ];
    (vec(entry, 0..5), id()).prop_map(|(entries, id)| {
        let (mut entries, count) = list(entries);
        let mine = update("1001", &[text("628222", &id, "Hi")]);
        let list = entries.as_array_mut().expect("a list");
        list.push(mine["entry"][0].clone());
        (json!({"entry": entries}), count + 1)
    })
}

fn of_instagram() -> impl Strategy<Value = Piece> {
    let sides = json!({"sender": {"id": "900"}, "recipient": {"id": "1784"}, "timestamp": 1_736_928_000_000_i64});
    let event = move |key: &'static str, body: Value| {
        let mut event = sides.clone();
        event[key] = body;
        (event, 1)
    };
    let event = prop_oneof![
        3 => id().prop_map({ let event = event.clone(); move |id| event("message", json!({"mid": id, "text": "Hi"})) }),
        1 => id().prop_map({ let event = event.clone(); move |id| event("message", json!({"mid": id, "is_deleted": true})) }),
        1 => id().prop_map({ let event = event.clone(); move |id| event("message_edit", json!({"mid": id, "num_edit": 0})) }),
        1 => id().prop_map({ let event = event.clone(); move |id| event("read", json!({"mid": id})) }),
        1 => Just(event("postback", json!({"title": "Start"}))),
        1 => Just(event("message", json!({"text": "no id"}))),
        1 => Just(event("new", json!({}))),
        1 => Just((json!({"message": {"mid": "m", "text": "nobody's"}}), 1)),
        1 => Just((json!({}), 1)),
        1 => hole(),
    ];
    let change = prop_oneof![
        1 => Just((json!({"field": "comments", "value": {"id": "c"}}), 1)),
        1 => Just((json!({"field": "messages"}), 1)),
        1 => Just((json!({"value": [7, {}]}), 2)),
        1 => hole(),
    ];
    let account = select(vec![None, Some("1784"), Some("1785"), Some("9999")]);
    let lists = (
        prop::option::of(vec(event, 0..5)),
        prop::option::of(vec(change, 0..3)),
    );
    let entry = (account, lists).prop_map(|(account, (events, changes))| {
        let mut entry = Map::new();
        if let Some(account) = account {
            entry.insert("id".into(), account.into());
        }
        let nothing = events.is_none() && changes.is_none();
        let mut count = u64::from(nothing);
        for (key, pieces) in [("messaging", events), ("changes", changes)] {
            if let Some(pieces) = pieces {
                let (values, more) = list(pieces);
                entry.insert(key.into(), values);
                count += more;
            }
        }
        (Value::Object(entry), count)
    });
    let entry =
        prop_oneof![6 => entry, 1 => hole(), 1 => Just((json!({"id": "1784", "standby": 7}), 1))];
    vec(entry, 0..5).prop_map(|entries| {
        let (mut entries, count) = list(entries);
        let list = entries.as_array_mut().expect("a list");
        list.push(json!({"id": "1784", "changes": []}));
        (json!({"entry": entries}), count)
    })
}

fn of_telegram() -> impl Strategy<Value = Piece> {
    let chat = json!({"id": 900, "type": "private", "first_name": "Ayu"});
    let update = move |kind: &'static str, body: Value| {
        let mut body = body;
        body["chat"] = chat.clone();
        (json!({"update_id": 1, kind: body}), 1)
    };
    let number = || 0..30_u8;
    prop_oneof![
        3 => number().prop_map({ let update = update.clone(); move |id| update("message", json!({"message_id": id, "text": "Hi"})) }),
        1 => number().prop_map({ let update = update.clone(); move |id| update("edited_message", json!({"message_id": id, "text": "Ho"})) }),
        1 => number().prop_map({ let update = update.clone(); move |id| update("message_reaction", json!({"message_id": id, "user": {"id": 900}, "new_reaction": []})) }),
        1 => vec(number(), 1..4).prop_map({ let update = update.clone(); move |ids| {
            let count = ids.len() as u64;
            (update("deleted_business_messages", json!({"message_ids": ids})).0, count)
        } }),
        1 => select(vec!["kicked", "member", "left"]).prop_map({ let update = update.clone(); move |status|
            update("my_chat_member", json!({"new_chat_member": {"status": status}})) }),
        2 => select(vec![
            update("message", json!({"text": "no id"})),
            update("message", json!({"message_id": 1, "pinned_message": {}})),
            (json!({"update_id": 1, "poll": {}, "message": 7}), 2),
            (json!({"update_id": 1}), 1),
            (json!({"update_id": 1, "new": null}), 1),
        ]),
        1 => hole(),
    ]
}

fn sum(of: &Outcome) -> u64 {
    of.stored + of.known + of.changes + of.quarantined + of.ignored + of.foreign
}

/// A server of which the updates' outcomes are seen.
struct Counting {
    app: TestApp,
    ingest: Ingest,
    channel: Channel,
    bot: Option<InboxId>,
}

impl Counting {
    async fn of_meta(store: Store, channel: Channel) -> Self {
        let app = TestApp::start(store).await;
        let instagram = |account| json!({"name": "DM", "type": "instagram", "instagram_account_id": account, "channel": {"app_secret": APP_SECRET}});
        for body in [
            whatsapp_body("1001"),
            whatsapp_body("1002"),
            instagram("1784"),
            instagram("1785"),
        ] {
            app.inbox(body).await;
        }
        let mut stranger = whatsapp_body("2002");
        stranger["channel"]["app_secret"] = "another".into();
        app.inbox(stranger).await;
        Self::on(app, channel)
    }

    async fn of_telegram(store: Store) -> Self {
        let app = TestApp::start(store).await;
        let body =
            json!({"name": "Bot", "type": "telegram", "channel": {"bot_token": "110201543:AAH"}});
        let bot = app.inbox(body).await;
        Counting {
            bot: Some(bot),
            ..Self::on(app, Channel::Telegram)
        }
    }

    fn on(app: TestApp, channel: Channel) -> Self {
        let (ingest, _) = Ingest::start(app.context.clone(), 10);
        Counting {
            app,
            ingest,
            channel,
            bot: None,
        }
    }

    async fn deliver(&self, payload: &Value) -> Outcome {
        let body = payload.to_string();
        let signature = sign(APP_SECRET, body.as_bytes());
        let source = Arc::new(Source {
            headers: "{}".to_owned(),
            test: false,
            body: body.into(),
            ..Source::default()
        });
        let context = &self.app.context;
        let (arrivals, foreign) = match &self.bot {
            Some(bot) => {
                let token = context.vault.inbox_token(bot);
                let found = hooks::check_token(context, self.channel, bot, &token, source).await;
                (found.unwrap().unwrap(), 0)
            }
            None => {
                let request = MetaRequest {
                    channel: self.channel,
                    signature: &signature,
                    source,
                };
                let vouched = hooks::check_signature(context, request)
                    .await
                    .unwrap()
                    .unwrap();
                (vouched.arrivals, vouched.foreign)
            }
        };
        let outcome = self.ingest.deliver(arrivals).await.unwrap();
        Outcome { foreign, ..outcome }
    }

    async fn check(&self, (payload, items): &Piece) {
        let before = self.app.count("messages").await;
        let first = self.deliver(payload).await;
        assert_eq!(sum(&first), *items, "{first:?}");
        let stored = i64::try_from(first.stored).unwrap();
        assert_eq!(self.app.count("messages").await - before, stored);
        if first.quarantined > 0 {
            assert!(self.app.count("quarantine").await > 0);
        }
        let again = self.deliver(payload).await;
        assert_eq!(sum(&again), *items, "{again:?}");
        assert_eq!((again.stored, again.quarantined), (0, 0), "{again:?}");
        assert_eq!(
            (again.ignored, again.foreign),
            (first.ignored, first.foreign)
        );
        assert_eq!(self.app.count("messages").await - before, stored);
    }
}

async fn every_item_of_whatsapp_is_accounted_for(store: Store) {
    let counting = Counting::of_meta(store, Channel::Whatsapp).await;
    for_some(60, of_whatsapp(), async move |piece| {
        counting.check(&piece).await
    })
    .await;
}

async fn every_item_of_instagram_is_accounted_for(store: Store) {
    let counting = Counting::of_meta(store, Channel::Instagram).await;
    for_some(60, of_instagram(), async move |piece| {
        counting.check(&piece).await
    })
    .await;
}

async fn every_item_of_telegram_is_accounted_for(store: Store) {
    let counting = Counting::of_telegram(store).await;
    for_some(60, of_telegram(), async move |piece| {
        counting.check(&piece).await
    })
    .await;
}

async fn parts_without_an_address_are_for_the_one_inbox_that_vouched(store: Store) {
    let app = TestApp::start(store).await;
    let inbox = app.whatsapp("1001").await;
    let mut body = update("1001", &[text("628111", "wamid.1", "a")]);
    let nameless =
        json!({"field": "messages", "value": {"messages": [text("628111", "wamid.2", "b")]}});
    let changes = body["entry"][0]["changes"].as_array_mut().expect("a list");
    changes.push(nameless);
    app.deliver(&body).await.assert_status(200);
    assert_eq!(app.shown(&inbox).await["messages_count"], 2);
    assert_eq!(app.count("quarantine").await, 0);

    for hole in [
        json!({"id": "10", "changes": [{"field": "messages"}]}),
        json!({"id": "10", "changes": [{"field": "messages", "value": 7}]}),
        json!({"id": "10"}),
        json!(7),
    ] {
        let before = app.count("quarantine").await;
        let entries = body["entry"].as_array_mut().expect("a list");
        entries.push(hole);
        app.deliver(&body).await.assert_status(200);
        assert_eq!(app.count("quarantine").await, before + 1);
    }
    assert_eq!(app.shown(&inbox).await["messages_count"], 2);
}

/// Two inboxes of one app may be of two businesses: nobody's messages may end in somebody else's inbox.
async fn a_message_that_may_be_for_several_inboxes_goes_aside(store: Store) {
    let app = TestApp::start(store).await;
    let (one, two) = (app.whatsapp("1001").await, app.whatsapp("1002").await);
    let mut body = updates(&[
        ("1001", &[text("628111", "wamid.1", "a")]),
        ("1002", &[text("628111", "wamid.2", "b")]),
    ]);
    let nameless =
        json!({"field": "messages", "value": {"messages": [text("628111", "wamid.3", "c")]}});
    let changes = body["entry"][0]["changes"].as_array_mut().expect("a list");
    changes.push(nameless);
    app.deliver(&body).await.assert_status(200);
    for inbox in [&one, &two] {
        assert_eq!(app.shown(inbox).await["messages_count"], 1);
    }
    let kept = quarantine::list(&app.context, &app.account, None, 10).await;
    let kept = kept.expect("a list");
    assert_eq!(kept.len(), 1);
    assert_eq!(kept[0].inbox, one);
    let outcome = quarantine::replay(&app.context, &app.account, &kept[0].id).await;
    let outcome = outcome.expect("read again");
    assert_eq!(
        (outcome.stored, outcome.quarantined),
        (0, 1),
        "nothing tells whose it is"
    );
    assert_eq!(app.count("quarantine").await, 1);
}

async fn a_update_without_anything_for_its_inbox_proves_it(store: Store) {
    let app = TestApp::start(store).await;
    let inbox = app.whatsapp("1001").await;
    let body = json!({"entry": [{"id": "10", "changes": [{"field": "new", "value": {"phone_number_id": "1001"}}]}]});
    app.deliver(&body).await.assert_status(200);
    assert_eq!(app.shown(&inbox).await["status"], "active");
}
