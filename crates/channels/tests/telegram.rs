//! Telegram, row by row of what is a message, and the traps.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use channels::{Direction, Edit, Item, Kind, Message, Moment, Reaction, telegram};
use common::{ignored, items, only, unreadable};
use serde_json::{Value, json};

fn update(kind: &str, value: Value) -> Item {
    let body = json!({"update_id": 1, kind: value}).to_string();
    let update = telegram::parse(body.as_bytes()).unwrap();
    assert_eq!(update.parts[0].address, None);
    only(update)
}

fn with(mut object: Value, rest: Value) -> Value {
    object
        .as_object_mut()
        .unwrap()
        .extend(rest.as_object().unwrap().clone());
    object
}

fn ada() -> Value {
    json!({"id": 900, "is_bot": false, "first_name": "Ada", "last_name": "L", "username": "ada"})
}

/// A message in Ada's private chat with the bot.
fn private(rest: Value) -> Value {
    let chat = json!({"id": 900, "type": "private", "first_name": "Ada", "last_name": "L", "username": "ada"});
    with(
        json!({"message_id": 7, "from": ada(), "chat": chat, "date": 1_700_000_000}),
        rest,
    )
}

/// A message of Ada's in a group.
fn group(rest: Value) -> Value {
    let chat = json!({"id": -1_001_234_567_890_123_i64, "type": "supergroup", "title": "Shop", "username": "shop"});
    with(
        json!({"message_id": 7, "from": ada(), "chat": chat, "date": 1_700_000_000}),
        rest,
    )
}

/// A message in the chat of a connected business account with Ada.
fn business(rest: Value) -> Value {
    with(private(json!({"business_connection_id": "bc1"})), rest)
}

fn message(kind: &str, value: Value) -> Message {
    common::message(update(kind, value))
}

fn content(rest: Value) -> (Kind, Value) {
    let message = message("message", private(rest));
    (message.kind, common::value(&message.content))
}

#[test]
fn a_text_is_read_in_full() {
    let message = message(
        "message",
        private(json!({"text": "Hallo", "reply_to_message": {"message_id": 6}})),
    );
    assert_eq!(message.provider_id, "900:7");
    assert_eq!(message.direction, Direction::Inbound);
    assert_eq!(message.contact.provider_id(), "900");
    assert_eq!(message.contact.name.as_deref(), Some("Ada L"));
    assert_eq!(message.contact.username.as_deref(), Some("ada"));
    assert_eq!(message.sender.name.as_deref(), Some("Ada L"));
    assert_eq!(message.kind, Kind::Text);
    assert_eq!(common::value(&message.content), json!({"text": "Hallo"}));
    assert_eq!(message.reply_to.as_deref(), Some("900:6"));
    assert_eq!(message.timestamp, Some(1_700_000_000));
    assert!(!message.contact.group && !message.historic);
}

#[test]
fn every_kind_has_its_content() {
    let file = json!({"file_id": "f1", "file_unique_id": "u1", "mime_type": "a/b", "file_name": "n", "file_size": 5});
    let media = json!({"id": "f1", "mime_type": "a/b", "name": "n", "size": 5});
    let place = json!({"latitude": 52.5, "longitude": 13.4});
    for (rest, kind, expected) in [
        (
            json!({"photo": [
                {"file_id": "s", "width": 90, "height": 90},
                {"file_id": "l", "width": 1280, "height": 960, "file_size": 9},
                {"file_id": "m", "width": 320, "height": 240},
            ], "caption": "See"}),
            Kind::Image,
            json!({"media": {"id": "l", "size": 9}, "caption": "See"}),
        ),
        (json!({"video": file}), Kind::Video, json!({"media": media})),
        (
            json!({"video_note": {"file_id": "f1"}}),
            Kind::Video,
            json!({"media": {"id": "f1"}}),
        ),
        (
            json!({"animation": {"file_id": "f1"}, "document": {"file_id": "f1"}}),
            Kind::Video,
            json!({"media": {"id": "f1", "animated": true}}),
        ),
        (
            json!({"voice": {"file_id": "f1"}}),
            Kind::Audio,
            json!({"media": {"id": "f1", "voice": true}}),
        ),
        (
            json!({"audio": {"file_id": "f1", "title": "Song"}}),
            Kind::Audio,
            json!({"media": {"id": "f1", "name": "Song"}}),
        ),
        (
            json!({"document": file}),
            Kind::Document,
            json!({"media": media}),
        ),
        (
            json!({"sticker": {"file_id": "f1", "emoji": "🙂", "is_video": true}}),
            Kind::Sticker,
            json!({"media": {"id": "f1", "animated": true}, "emoji": "🙂"}),
        ),
        (json!({"location": place}), Kind::Location, place.clone()),
        (
            json!({"venue": {"location": place, "title": "Café", "address": "Street 1"}, "location": place}),
            Kind::Location,
            with(
                place.clone(),
                json!({"name": "Café", "address": "Street 1"}),
            ),
        ),
        (
            json!({"contact": {"phone_number": "49", "first_name": "Bob"}}),
            Kind::Contacts,
            json!({"contacts": [{"phone_number": "49", "first_name": "Bob"}]}),
        ),
        (
            json!({"web_app_data": {"button_text": "Order", "data": "{\"size\":4}"}}),
            Kind::Interactive,
            json!({"text": "Order", "kind": "web_app_data", "data": {"size": 4}}),
        ),
        (
            json!({"web_app_data": {"data": "free text"}}),
            Kind::Interactive,
            json!({"kind": "web_app_data", "data": "free text"}),
        ),
        (
            json!({"text": "Hi", "forward_origin": {"type": "user"}}),
            Kind::Text,
            json!({"text": "Hi", "forwarded": true}),
        ),
    ] {
        assert_eq!(content(rest), (kind, expected));
    }
}

#[test]
fn what_was_never_seen_before_is_kept_whole() {
    for rest in [
        json!({"dice": {"emoji": "🎲", "value": 6}}),
        json!({"story": {"id": 1}}),
        json!({"game": {"title": "G"}}),
        json!({"poll": {"id": "1", "question": "?"}}),
        json!({"hologram": {"file_id": "f1"}}),
        json!({"text": ["no", "text"]}),
        json!({"photo": []}),
        json!({"location": {"latitude": "north"}}),
        json!({}),
    ] {
        let expected = json!({"raw": private(rest.clone())});
        assert_eq!(content(rest), (Kind::Unsupported, expected));
    }
}

#[test]
fn a_group_is_one_conversation_and_its_members_are_named() {
    for rest in [
        json!({"text": "Hi"}),
        json!({"text": "Hi", "message_thread_id": 3, "is_topic_message": true}),
    ] {
        let message = message("message", group(rest));
        assert_eq!(message.provider_id, "-1001234567890123:7");
        assert_eq!(message.contact.provider_id(), "-1001234567890123");
        assert!(message.contact.group);
        assert_eq!(message.contact.name.as_deref(), Some("Shop"));
        assert_eq!(message.sender.username.as_deref(), Some("ada"));
    }
    let opened = json!({"message_id": 3, "forum_topic_created": {"name": "Topic"}});
    let in_a_topic = group(json!({"text": "Hi", "reply_to_message": opened}));
    assert_eq!(message("message", in_a_topic).reply_to, None);
}

#[test]
fn who_writes_as_a_chat_is_a_person() {
    let stand_in = json!({"id": 1_087_968_824, "is_bot": true, "first_name": "Group"});
    let admin = json!({"id": -1_001_234_567_890_123_i64, "type": "supergroup", "title": "Shop"});
    let message = message(
        "message",
        group(json!({"from": stand_in, "sender_chat": admin, "text": "Closed today"})),
    );
    assert_eq!(message.sender.name.as_deref(), Some("Shop"));

    let forwarded = group(
        json!({"sender_chat": {"id": -5, "title": "News"}, "is_automatic_forward": true, "text": "x"}),
    );
    assert_eq!(ignored(update("message", forwarded)), "automatic_forward");
}

#[test]
fn without_a_sender_only_a_private_chat_tells_who_it_was() {
    let message = message("message", private(json!({"from": null, "text": "Hi"})));
    assert_eq!(message.sender.name.as_deref(), Some("Ada L"));
    unreadable(update(
        "message",
        group(json!({"from": null, "text": "Hi"})),
    ));
    unreadable(update(
        "message",
        private(json!({"chat": null, "text": "Hi"})),
    ));
    unreadable(update(
        "message",
        private(json!({"message_id": null, "text": "Hi"})),
    ));
    unreadable(update("message", json!("a message")));
}

#[test]
fn business_chats_have_both_directions_and_ids_of_their_own() {
    let inbound = message("business_message", business(json!({"text": "Hi"})));
    assert_eq!(inbound.direction, Direction::Inbound);
    assert_eq!(inbound.provider_id, "bc1:900:7");
    assert_eq!(inbound.contact.provider_id(), "900");

    let owner = json!({"id": 55, "is_bot": false, "first_name": "Owner"});
    let outbound =
        business(json!({"from": owner, "text": "Hello", "reply_to_message": {"message_id": 6}}));
    let outbound = message("business_message", outbound);
    assert_eq!(outbound.direction, Direction::Outbound);
    assert_eq!(outbound.contact.provider_id(), "900");
    assert_eq!(outbound.sender.name.as_deref(), Some("Owner"));
    assert_eq!(outbound.reply_to.as_deref(), Some("bc1:900:6"));

    let edited = update(
        "edited_business_message",
        business(json!({"text": "New", "edit_date": 1_700_000_009})),
    );
    assert!(matches!(edited, Item::Edit(edit) if edit.provider_id == "bc1:900:7"));

    let deleted = json!({"business_connection_id": "bc1", "chat": {"id": 900}, "message_ids": [7, "8", null]});
    let body = json!({"update_id": 1, "deleted_business_messages": deleted}).to_string();
    let deleted = items(telegram::parse(body.as_bytes()).unwrap());
    let ids: Vec<_> = deleted
        .iter()
        .map(|item| match item {
            Item::Revoke(revoke) => revoke.provider_id.as_str(),
            _ => "unreadable",
        })
        .collect();
    assert_eq!(ids, ["bc1:900:7", "bc1:900:8", "unreadable"]);
}

#[test]
fn what_bots_write_is_ignored() {
    let bot = json!({"id": 42, "is_bot": true, "first_name": "Bot"});
    for item in [
        update("message", group(json!({"from": bot, "text": "Beep"}))),
        update(
            "edited_message",
            group(json!({"from": bot, "text": "Beep"})),
        ),
        update(
            "business_message",
            business(json!({"sender_business_bot": bot, "text": "Beep"})),
        ),
        update(
            "message_reaction",
            json!({"chat": {"id": 900}, "message_id": 7, "user": bot, "new_reaction": []}),
        ),
    ] {
        assert_eq!(ignored(item), "bot");
    }
}

#[test]
fn an_edit_brings_the_whole_new_content() {
    let edit = |rest: Value| update("edited_message", private(rest));
    let expected = |kind: Kind, content: Value| {
        Item::from(Edit {
            provider_id: "900:7".to_owned(),
            content: Some((kind, content.as_object().unwrap().clone().into())),
            timestamp: Some(Moment::seconds(1_700_000_009)),
        })
    };
    assert_eq!(
        edit(json!({"text": "New", "edit_date": 1_700_000_009})),
        expected(Kind::Text, json!({"text": "New"})),
    );
    assert_eq!(
        edit(json!({"voice": {"file_id": "f"}, "caption": "New", "edit_date": "1700000009"})),
        expected(
            Kind::Audio,
            json!({"media": {"id": "f", "voice": true}, "caption": "New"})
        ),
    );
    unreadable(edit(json!({"message_id": {}, "text": "New"})));
}

#[test]
fn a_reaction_is_what_it_is_now() {
    let reaction = |rest: Value| {
        let reaction = json!({
            "chat": {"id": 900, "type": "private"}, "message_id": 7, "date": 1_700_000_000,
            "user": ada(), "old_reaction": [],
        });
        update("message_reaction", with(reaction, rest))
    };
    let expected = |by: &str, emoji: Option<&str>| {
        Item::from(Reaction {
            provider_id: "900:7".to_owned(),
            by: by.to_owned(),
            emoji: emoji.map(str::to_owned),
            id: Some("1".to_owned()),
            timestamp: Some(Moment::seconds(1_700_000_000)),
        })
    };
    let thumb = json!({"type": "emoji", "emoji": "👍"});
    assert_eq!(
        reaction(json!({"new_reaction": [thumb]})),
        expected("900", Some("👍"))
    );
    assert_eq!(
        reaction(json!({"new_reaction": [thumb, {"type": "paid"}]})),
        expected("900", Some("👍⭐"))
    );
    assert_eq!(reaction(json!({"new_reaction": []})), expected("900", None));
    let as_chat = json!({"new_reaction": [thumb], "user": null, "actor_chat": {"id": -5}});
    assert_eq!(reaction(as_chat), expected("-5", Some("👍")));
    unreadable(reaction(json!({"new_reaction": [thumb], "user": null})));
    unreadable(reaction(json!({})));
}

#[test]
fn blocking_the_bot_marks_the_contact() {
    let change = |chat: Value, status: &str| {
        let new = json!({"status": status, "user": {"id": 42, "is_bot": true}});
        update(
            "my_chat_member",
            json!({"chat": chat, "from": ada(), "date": 1_700_000_000, "new_chat_member": new}),
        )
    };
    let chat = json!({"id": 900, "type": "private", "first_name": "Ada"});
    for (status, expected) in [("kicked", true), ("member", false)] {
        let Item::Blocked(said) = change(chat.clone(), status) else {
            panic!("not blocked");
        };
        assert_eq!(common::known_by(&said.contact), [("user_id", "900", "")]);
        assert_eq!((said.blocked, said.update), (expected, 1));
        assert_eq!(said.timestamp, Some(Moment::seconds(1_700_000_000)));
    }
    assert_eq!(ignored(change(chat, "restricted")), "my_chat_member");
    assert_eq!(
        ignored(change(json!({"id": -5, "type": "group"}), "kicked")),
        "my_chat_member"
    );
}

#[test]
fn what_nobody_wrote_is_ignored() {
    for key in [
        "new_chat_members",
        "left_chat_member",
        "pinned_message",
        "migrate_to_chat_id",
        "successful_payment",
    ] {
        assert_eq!(ignored(update("message", group(json!({key: {}})))), key);
    }
    for key in [
        "forum_topic_created",
        "video_chat_started",
        "write_access_allowed",
        "users_shared",
        "checklist_tasks_done",
    ] {
        let item = update("message", group(json!({key: {}})));
        assert_eq!(ignored(item), "service_message");
    }
    for kind in ["channel_post", "edited_channel_post"] {
        let post = json!({"message_id": 1, "chat": {"id": -5, "type": "channel"}, "from": ada(), "text": "x"});
        assert_eq!(ignored(update(kind, post)), kind);
    }
    let in_a_channel = json!({
        "message_id": 1, "chat": {"id": -5, "type": "channel"}, "from": ada(), "text": "x",
    });
    assert_eq!(
        ignored(update("message", in_a_channel.clone())),
        "channel_post"
    );
    assert_eq!(
        ignored(update("channel_post_v2", in_a_channel)),
        "channel_post_v2"
    );
    for (kind, value) in [
        (
            "callback_query",
            json!({"id": "1", "from": ada(), "message": private(json!({}))}),
        ),
        (
            "inline_query",
            json!({"id": "1", "from": ada(), "query": "x"}),
        ),
        ("poll", json!({"id": "1", "question": "?"})),
        ("poll_answer", json!({"poll_id": "1", "user": ada()})),
        ("chat_member", json!({"chat": {"id": -5}, "from": ada()})),
        (
            "message_reaction_count",
            json!({"chat": {"id": -5}, "message_id": 1, "reactions": []}),
        ),
        ("business_connection", json!({"id": "bc1", "user": ada()})),
        ("something_new", json!({"a": 1})),
    ] {
        assert_eq!(ignored(update(kind, value)), kind);
    }
    assert_eq!(
        ignored(only(telegram::parse(br#"{"update_id":1}"#).unwrap())),
        "empty"
    );
}

#[test]
fn an_update_never_seen_before_may_be_a_message() {
    let value = group(json!({"text": "Hi"}));
    let message = message("guest_message", value.clone());
    assert_eq!(message.kind, Kind::Unsupported);
    assert_eq!(message.provider_id, "-1001234567890123:7");
    assert_eq!(common::value(&message.content), json!({"raw": value}));
    let bot = group(json!({"from": {"id": 42, "is_bot": true}}));
    assert_eq!(ignored(update("something_new", bot)), "bot");
}

#[test]
fn ids_texts_and_times_survive() {
    for (given, expected) in [
        (
            json!({"id": 4_503_599_627_370_495_i64, "type": "private"}),
            "4503599627370495:9007199254740993",
        ),
        (
            json!({"id": "900", "type": "private"}),
            "900:9007199254740993",
        ),
    ] {
        let message = message(
            "message",
            private(json!({"chat": given, "message_id": 9_007_199_254_740_993_i64, "text": "x"})),
        );
        assert_eq!(message.provider_id, expected);
    }
    for (date, expected) in [
        (json!(0), Some(0)),
        (json!("1700000000"), Some(1_700_000_000)),
        (json!(253_402_300_799_i64), Some(253_402_300_799)),
        (json!(253_402_300_800_i64), None),
        (json!([]), None),
    ] {
        assert_eq!(
            message("message", private(json!({"date": date, "text": "x"}))).timestamp,
            expected
        );
    }
    let body = br#"{"update_id":1,"message":{"message_id":7,"chat":{"id":900,"type":"private"},
        "text":"\ud83d\ude00 \ud83d \u0000 \u202e\u05e9","text2":1}}"#;
    let message = common::message(only(telegram::parse(body).unwrap()));
    assert_eq!(
        common::value(&message.content)["text"],
        "😀 \u{fffd} \u{fffd} \u{202e}ש"
    );
    let long = "ü".repeat(32 * 1024);
    assert_eq!(content(json!({"text": long})).1, json!({"text": long}));
}

#[test]
fn what_cannot_be_read_goes_to_quarantine() {
    let deep = format!(r#"{{"chat":{}{}}}"#, "[".repeat(5000), "]".repeat(5000));
    for bad in [r#"{"message_id":1e999}"#, &deep, "7", "null", "[]", "{}"] {
        let body = format!(r#"{{"update_id":1,"message":{bad}}}"#);
        let item = only(telegram::parse(body.as_bytes()).unwrap());
        unreadable(item);
    }
    for body in [
        &b""[..],
        b"[]",
        b"7",
        b"{}",
        br#"{"update_id":1,"message":{"#,
    ] {
        assert!(telegram::parse(body).is_err());
    }
}

#[test]
fn formatting_is_kept_in_code_points() {
    let entity = |kind: &str, offset: i64, length: i64| json!({"type": kind, "offset": offset, "length": length});
    let link = with(
        entity("text_link", 16, 4),
        json!({"url": "https://example.com/blue"}),
    );
    let user = json!({"id": 7, "first_name": "Ana", "last_name": "L"});
    let mention = with(entity("text_mention", 3, 3), json!({"user": user}));
    // The two faces take two units each.
    let text = "😀 Ana, 😀 Look here";
    let entities = json!([
        entity("bold", 0, 6), mention, link, entity("bot_command", 0, 2), entity("url", 0, 2),
        entity("italic", -1, 2), entity("italic", 3, 0), entity("italic", 3, 99), entity("italic", i64::MAX, i64::MAX),
        {"type": "text_link", "offset": 0, "length": 2}, {"offset": 0, "length": 2}, 7,
    ]);
    let expected = json!([
        {"type": "bold", "offset": 0, "length": 5},
        {"type": "mention", "offset": 2, "length": 3, "user": {"id": "7", "name": "Ana L"}},
        {"type": "link", "offset": 14, "length": 4, "url": "https://example.com/blue"},
    ]);
    assert_eq!(
        content(json!({"text": text, "entities": entities})),
        (Kind::Text, json!({"text": text, "entities": expected}))
    );
    let shown: String = text.chars().skip(14).take(4).collect();
    assert_eq!(shown, "here");
    let photo = json!([{"file_id": "p", "width": 9, "height": 9}]);
    let code = with(entity("pre", 0, 4), json!({"language": "rust"}));
    assert_eq!(
        content(json!({"photo": photo, "caption": "blue", "caption_entities": [code], "entities": [entity("bold", 0, 4)]})).1,
        json!({"media": {"id": "p"}, "caption": "blue",
            "entities": [{"type": "pre", "offset": 0, "length": 4, "language": "rust"}]})
    );
    for none in [
        json!([]),
        json!(null),
        json!({}),
        json!([entity("hashtag", 0, 1)]),
    ] {
        assert_eq!(
            content(json!({"text": "a", "entities": none})).1,
            json!({"text": "a"})
        );
    }
}

#[test]
fn what_telegram_itself_says_is_told_by_how_its_key_is_formed() {
    for service in [
        json!({"community_chat_added": {"id": 1}}),
        json!({"community_chat_removed": {}}),
        json!({"topic_owner_changed": {"user": {"id": 9}}, "entities": []}),
        json!({"chat_wallpaper_set": true, "reply_to_message": {"message_id": 1}}),
    ] {
        let item = update("message", private(service.clone()));
        assert_eq!(ignored(item), "service_message", "{service}");
    }
    for written in [
        json!({"hologram": {"beam": 7}}),
        json!({"hologram": {"beam": 7}, "hologram_added": {}}),
        json!({"paid_media": {"star_count": 5}, "is_new_flag_set": true}),
        json!({"author": "Ada"}),
    ] {
        let message = message("message", private(written));
        assert_eq!(message.kind, Kind::Unsupported);
    }
    let text = message("message", private(json!({"text": "Hi", "user_joined": {}})));
    assert_eq!(text.kind, Kind::Text);
}

#[test]
fn a_group_that_becomes_a_supergroup_stays_one() {
    let supergroup =
        json!({"id": -1_001_234_567_890_123_i64, "type": "supergroup", "title": "Club"});
    for said in [
        json!({"chat": {"id": -5, "type": "group", "title": "Club"}, "migrate_to_chat_id": -1_001_234_567_890_123_i64}),
        json!({"chat": supergroup, "migrate_from_chat_id": -5}),
    ] {
        let Item::Renamed(said) = update("message", group(said)) else {
            panic!("not renamed");
        };
        assert_eq!(
            common::known_by(&said.contact),
            [("chat_id", "-1001234567890123", "")]
        );
        assert_eq!(common::identities(&said.former), [("chat_id", "-5", "")]);
        assert!(said.contact.group);
        assert_eq!(said.contact.name.as_deref(), Some("Club"));
    }
}

#[test]
fn a_topic_of_a_forum_is_named_and_its_chat_stays_one() {
    let said = message(
        "message",
        group(
            json!({"text": "Hi", "is_topic_message": true, "message_thread_id": 7,
            "reply_to_message": {"message_id": 7, "forum_topic_created": {"name": "Orders"}}}),
        ),
    );
    assert_eq!(common::known_by(&said.contact)[0].0, "chat_id");
    let expected = json!({"text": "Hi", "topic": {"id": "7", "name": "Orders"}});
    assert_eq!(common::value(&said.content), expected);
    // An answer to an answer is a thread of Telegram's, too.
    let said = message(
        "message",
        group(json!({"text": "Hi", "message_thread_id": 7})),
    );
    assert_eq!(common::value(&said.content), json!({"text": "Hi"}));
}

#[test]
fn direct_messages_of_a_channel_are_of_whoever_opened_the_topic() {
    let chat =
        json!({"id": -1_009, "type": "supergroup", "title": "Shop", "is_direct_messages": true});
    let topic =
        |user: i64, name: &str| json!({"topic_id": user, "user": {"id": user, "first_name": name}});
    let in_topic = |user: i64, name: &str, rest: Value| {
        let base = json!({"chat": chat, "direct_messages_topic": topic(user, name), "text": "Hi"});
        message("message", with(group(base), rest))
    };
    for (user, name) in [(900, "Ada"), (901, "Bob")] {
        let from = json!({"from": {"id": user, "is_bot": false, "first_name": name}});
        let said = in_topic(user, name, from);
        let id = user.to_string();
        assert_eq!(common::known_by(&said.contact), [("user_id", &*id, "")]);
        assert!(!said.contact.group);
        assert_eq!(said.contact.name.as_deref(), Some(name));
        assert_eq!(said.direction, Direction::Inbound);
        assert_eq!(common::value(&said.content)["topic"], json!({"id": id}));
        assert!(
            said.provider_id.starts_with("-1009:"),
            "{}",
            said.provider_id
        );
    }
    // The channel answers.
    let answer = json!({"sender_chat": {"id": -1_008, "type": "channel", "title": "Shop"},
        "from": {"id": 777, "is_bot": true, "first_name": "Channel"}});
    let said = in_topic(900, "Ada", answer);
    assert_eq!(said.direction, Direction::Outbound);
    assert_eq!(said.sender.name.as_deref(), Some("Shop"));
}
