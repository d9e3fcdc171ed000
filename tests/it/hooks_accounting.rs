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
];

/// A piece of an update.
#[derive(Debug, Clone)]
struct Piece {
    value: Value,
    /// How many items are in it.
    items: u64,
    /// How many of them may be passed over: they hold no words of a person, and nothing unreadable.
    idle: u64,
}

/// An item that has to be kept.
fn one(value: Value) -> Piece {
    Piece {
        value,
        items: 1,
        idle: 0,
    }
}

/// An item that may be passed over.
fn idle(value: Value) -> Piece {
    Piece {
        idle: 1,
        ..one(value)
    }
}

/// What stands where an object belongs.
fn hole() -> impl Strategy<Value = Piece> {
    select(vec![json!(7), json!(null), json!("text"), json!([[]])]).prop_map(one)
}

/// A list of some, as one.
fn list(pieces: Vec<Piece>) -> Piece {
    let items = pieces.iter().map(|piece| piece.items).sum();
    let idle = pieces.iter().map(|piece| piece.idle).sum();
    let values = pieces.into_iter().map(|piece| piece.value);
    Piece {
        value: values.collect::<Vec<_>>().into(),
        items,
        idle,
    }
}

/// An object with these lists under their keys.
fn with_lists<const N: usize>(mut value: Value, lists: [(&str, Option<Piece>); N]) -> Piece {
    let (mut items, mut idle) = (0, 0);
    for (key, list) in lists {
        if let Some(list) = list {
            value[key] = list.value;
            items += list.items;
            idle += list.idle;
        }
    }
    Piece { value, items, idle }
}

fn id() -> impl Strategy<Value = String> {
    (0..12_u8).prop_map(|id| format!("id.{id}"))
}

fn of_whatsapp() -> impl Strategy<Value = Piece> {
    let message = prop_oneof![
        3 => id().prop_map(|id| one(text("628111", &id, "Hi"))),
        1 => id().prop_map(|id| one(json!({"id": id, "type": "text"}))),
        1 => id().prop_map(|id| one(json!({"from": "1", "id": {"a": id}}))),
        1 => id().prop_map(|id| idle(json!({"id": "x", "from": "628111", "type": "edit", "edit": {"original_message_id": id}}))),
        1 => id().prop_map(|id| one(json!({"id": "x", "from": "628111", "type": "revoke", "revoke": {"original_message_id": id}}))),
        1 => id().prop_map(|id| one(json!({"id": "x", "from": "628111", "type": "reaction", "reaction": {"message_id": id, "emoji": "👍"}}))),
        1 => Just(idle(json!({"id": "s", "type": "system"}))),
        1 => hole(),
    ];
    let status = prop_oneof![
        2 => id().prop_map(|id| one(json!({"id": id, "status": "read"}))),
        1 => Just(one(json!({"status": "read"}))),
        1 => Just(idle(json!({"status": "new"}))),
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
        let empty = match address {
            Some(address) => json!({"metadata": {"phone_number_id": address}}),
            None => json!({}),
        };
        let spoiled = spoiled.then(|| one(json!(7)));
        let lists = [
            ("messages", messages.map(list)),
            ("statuses", statuses.map(list)),
            ("message_echoes", spoiled),
        ];
        let value = with_lists(empty, lists);
        // What says nothing is one thing, too.
        if value.items == 0 {
            idle(value.value)
        } else {
            value
        }
    });
    let value = prop_oneof![4 => value, 1 => hole(), 1 => Just(idle(json!({})))];
    let change = (field, prop::option::of(value)).prop_map(|(field, value)| {
        let mut change = Map::new();
        if let Some(field) = field {
            change.insert("field".into(), field.into());
        }
        let about_messages = field != Some("account_update");
        let value = value.unwrap_or_else(|| one(Value::Null));
        let nothing = !value.value.is_object() && !about_messages;
        if !value.value.is_null() {
            change.insert("value".into(), value.value);
        }
        Piece {
            value: change.into(),
            items: value.items,
            idle: if nothing { 1 } else { value.idle },
        }
    });
    let change = prop_oneof![6 => change, 1 => hole()];
    let entry = prop_oneof![
        6 => vec(change, 0..4).prop_map(|changes| with_lists(json!({"id": "10"}), [("changes", Some(list(changes)))])),
        1 => hole(),
        1 => Just(one(json!({"id": "10"}))),
        1 => Just(one(json!({"id": "10", "changes": "none"}))),
    ];
    (vec(entry, 0..5), id()).prop_map(|(mut entries, id)| {
        let mut mine = update("1001", &[text("628222", &id, "Hi")]);
        entries.push(one(mine["entry"][0].take()));
        with_lists(json!({}), [("entry", Some(list(entries)))])
    })
}

fn of_instagram() -> impl Strategy<Value = Piece> {
    let sides = json!({"sender": {"id": "900"}, "recipient": {"id": "1784"}, "timestamp": 1_736_928_000_000_i64});
    let event = move |key: &'static str, body: Value| {
        let mut event = sides.clone();
        event[key] = body;
        event
    };
    let event = prop_oneof![
        3 => id().prop_map({ let event = event.clone(); move |id| one(event("message", json!({"mid": id, "text": "Hi"}))) }),
        1 => id().prop_map({ let event = event.clone(); move |id| one(event("message", json!({"mid": id, "is_deleted": true}))) }),
        1 => id().prop_map({ let event = event.clone(); move |id| idle(event("message_edit", json!({"mid": id, "num_edit": 0}))) }),
        1 => id().prop_map({ let event = event.clone(); move |id| one(event("read", json!({"mid": id}))) }),
        1 => Just(one(event("postback", json!({"title": "Start"})))),
        1 => Just(one(event("message", json!({"text": "no id"})))),
        1 => Just(idle(event("new", json!({})))),
        1 => Just(one(json!({"message": {"mid": "m", "text": "nobody's"}}))),
        1 => Just(one(json!({}))),
        1 => hole(),
    ];
    let change = prop_oneof![
        1 => Just(idle(json!({"field": "comments", "value": {"id": "c"}}))),
        1 => Just(one(json!({"field": "messages"}))),
        1 => Just(Piece { items: 2, ..one(json!({"value": [7, {}]})) }),
        1 => hole(),
    ];
    let account = select(vec![None, Some("1784"), Some("1785"), Some("9999")]);
    let lists = (
        prop::option::of(vec(event, 0..5)),
        prop::option::of(vec(change, 0..3)),
    );
    let entry = (account, lists).prop_map(|(account, (events, changes))| {
        let entry = match account {
            Some(account) => json!({"id": account}),
            None => json!({}),
        };
        match (events, changes) {
            (None, None) => one(entry),
            (events, changes) => with_lists(
                entry,
                [
                    ("messaging", events.map(list)),
                    ("changes", changes.map(list)),
                ],
            ),
        }
    });
    let entry =
        prop_oneof![6 => entry, 1 => hole(), 1 => Just(one(json!({"id": "1784", "standby": 7})))];
    vec(entry, 0..5).prop_map(|mut entries| {
        let mine = json!({"id": "1784", "changes": []});
        entries.push(Piece {
            items: 0,
            ..one(mine)
        });
        with_lists(json!({}), [("entry", Some(list(entries)))])
    })
}

fn of_telegram() -> impl Strategy<Value = Piece> {
    let chat = json!({"id": 900, "type": "private", "first_name": "Ayu"});
    let update = move |kind: &'static str, body: Value| {
        let mut body = body;
        body["chat"] = chat.clone();
        json!({"update_id": 1, kind: body})
    };
    let number = || 0..30_u8;
    prop_oneof![
        3 => number().prop_map({ let update = update.clone(); move |id| one(update("message", json!({"message_id": id, "text": "Hi"}))) }),
        1 => number().prop_map({ let update = update.clone(); move |id| one(update("edited_message", json!({"message_id": id, "text": "Ho"}))) }),
        1 => number().prop_map({ let update = update.clone(); move |id| one(update("message_reaction", json!({"message_id": id, "user": {"id": 900}, "new_reaction": []}))) }),
        1 => vec(number(), 1..4).prop_map({ let update = update.clone(); move |ids| {
            let items = ids.len() as u64;
            Piece { items, ..one(update("deleted_business_messages", json!({"message_ids": ids}))) }
        } }),
        // Somebody who never wrote is no contact.
        1 => select(vec!["kicked", "member", "left"]).prop_map({ let update = update.clone(); move |status|
            idle(update("my_chat_member", json!({"new_chat_member": {"status": status}}))) }),
        2 => select(vec![
            one(update("message", json!({"text": "no id"}))),
            idle(update("message", json!({"message_id": 1, "pinned_message": {}}))),
            Piece { items: 2, ..idle(json!({"update_id": 1, "poll": {}, "message": 7})) },
            idle(json!({"update_id": 1})),
            one(json!({"update_id": 1, "new": null})),
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

    async fn check(&self, piece: &Piece) {
        let messages = self.app.count("messages").await;
        let kept = self.app.count("quarantine").await;
        let first = self.deliver(&piece.value).await;
        assert_eq!(sum(&first), piece.items, "{first:?}");
        assert!(first.ignored <= piece.idle, "something is lost: {first:?}");
        let stored = i64::try_from(first.stored).unwrap();
        assert_eq!(self.app.count("messages").await - messages, stored);
        let newly_kept = self.app.count("quarantine").await > kept;
        assert_eq!(newly_kept, first.quarantined > 0, "{first:?}");
        let again = self.deliver(&piece.value).await;
        assert_eq!(sum(&again), piece.items, "{again:?}");
        assert_eq!((again.stored, again.quarantined), (0, 0), "{again:?}");
        assert_eq!(
            (again.ignored, again.foreign),
            (first.ignored, first.foreign)
        );
        assert_eq!(self.app.count("messages").await - messages, stored);
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
