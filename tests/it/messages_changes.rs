//! What later happens to messages, on every channel: what was done last holds, whatever comes again, and type and content
//! belong together.

use crate::support::{Store, on_both_stores, three::Inboxes, whatsapp::text};
use serde_json::{Value, json};

on_both_stores![
    of_reactions_within_one_second_the_last_one_holds,
    a_reaction_may_be_done_again_within_the_second,
    what_is_finer_than_a_second_decides,
    an_edit_that_changes_the_kind_changes_type_and_content_together,
    formatting_is_shown_and_changes_with_an_edit,
];

/// A reaction of a customer's, at the time at which everything happens.
fn reaction(id: &str, emoji: &str) -> Value {
    json!({"from": "628111", "id": id, "timestamp": "1736928000", "type": "reaction",
        "reaction": {"message_id": "wamid.1", "emoji": emoji}})
}

async fn of_reactions_within_one_second_the_last_one_holds(store: Store) {
    let inboxes = Inboxes::start(store).await;
    let inbox = &inboxes.whatsapp;
    inboxes.whatsapp(&text("628111", "wamid.1", "hi")).await;
    let steps = [
        (reaction("r.1", "👍"), vec!["👍"]),
        (reaction("r.2", "❤️"), vec!["❤️"]),
        (reaction("r.3", ""), vec![]),
        (reaction("r.4", "😂"), vec!["😂"]),
    ];
    for (reaction, standing) in &steps {
        inboxes.whatsapp(reaction).await;
        assert_eq!(inboxes.reactions(inbox).await, *standing);
    }
    for (reaction, _) in &steps {
        inboxes.whatsapp(reaction).await;
        assert_eq!(inboxes.reactions(inbox).await, ["😂"], "it came before");
    }

    let inbox = &inboxes.telegram;
    inboxes
        .telegram(1, "message", json!({"text": "hola"}))
        .await;
    let emoji = |emoji: &str| match emoji {
        "" => json!([]),
        emoji => json!([{"type": "emoji", "emoji": emoji}]),
    };
    for (number, now) in [(2, "👍"), (3, "❤️"), (4, "")] {
        let change = json!({"user": {"id": 900}, "new_reaction": emoji(now)});
        inboxes.telegram(number, "message_reaction", change).await;
    }
    assert!(inboxes.reactions(inbox).await.is_empty());
}

async fn a_reaction_may_be_done_again_within_the_second(store: Store) {
    let inboxes = Inboxes::start(store).await;
    inboxes.whatsapp(&text("628111", "wamid.1", "hi")).await;
    for (id, emoji) in [("r.1", "👍"), ("r.2", ""), ("r.3", "👍")] {
        inboxes.whatsapp(&reaction(id, emoji)).await;
    }
    inboxes.whatsapp(&reaction("r.2", "")).await;
    assert_eq!(inboxes.reactions(&inboxes.whatsapp).await, ["👍"]);
}

async fn what_is_finer_than_a_second_decides(store: Store) {
    let inboxes = Inboxes::start(store).await;
    let inbox = &inboxes.instagram;
    let start = 1_736_928_000_000;
    let said = json!({"message": {"mid": "m.1", "text": "hi"}});
    inboxes.instagram(start, said).await;
    let react = |emoji: &str| match emoji {
        "" => json!({"reaction": {"mid": "m.1", "action": "unreact"}}),
        emoji => json!({"reaction": {"mid": "m.1", "action": "react", "emoji": emoji}}),
    };
    // The last one comes first.
    for (at, emoji) in [
        (300, "😂"),
        (100, "👍"),
        (200, ""),
        (300, "😂"),
        (100, "👍"),
    ] {
        inboxes.instagram(start + at, react(emoji)).await;
        assert_eq!(inboxes.reactions(inbox).await, ["😂"]);
    }
    let edit = |text: &str, number: u8| json!({"message_edit": {"mid": "m.1", "text": text, "num_edit": number}});
    for (at, text, number) in [(900, "third", 2), (800, "second", 1)] {
        inboxes.instagram(start + at, edit(text, number)).await;
    }
    let message = inboxes.only(inbox).await;
    assert_eq!(message["content"]["text"], "third");
    assert_eq!(message["edits"][1]["content"]["text"], "second");
}

async fn an_edit_that_changes_the_kind_changes_type_and_content_together(store: Store) {
    let inboxes = Inboxes::start(store).await;
    let at = |date: i64, rest: Value| {
        let mut rest = rest;
        rest["edit_date"] = date.into();
        rest
    };
    inboxes
        .telegram(1, "message", json!({"text": "hola"}))
        .await;
    let photo = json!({"photo": [{"file_id": "p", "width": 9, "height": 9}], "caption": "Blue"});
    let file = json!({"document": {"file_id": "d", "file_name": "blue.pdf"}, "caption": "Blue"});
    inboxes
        .telegram(2, "edited_message", at(1_736_928_010, photo))
        .await;
    inboxes
        .telegram(3, "edited_message", at(1_736_928_020, file))
        .await;
    inboxes
        .telegram(
            4,
            "edited_message",
            at(1_736_928_030, json!({"checklist": {"title": "x"}})),
        )
        .await;
    let message = inboxes.only(&inboxes.telegram).await;
    assert_eq!(message["type"], "unsupported");
    assert_eq!(message["content"]["raw"]["checklist"]["title"], "x");
    let before: Vec<_> = message["edits"]
        .as_array()
        .expect("edits")
        .iter()
        .map(|edit| (edit["type"].clone(), edit["content"].clone()))
        .collect();
    assert_eq!(
        before,
        [
            (json!("text"), json!({"text": "hola"})),
            (
                json!("image"),
                json!({"media": {"id": "p"}, "caption": "Blue"})
            ),
            (
                json!("document"),
                json!({"media": {"id": "d", "name": "blue.pdf"}, "caption": "Blue"})
            ),
        ]
    );

    let edit = json!({"from": "628111", "id": "wamid.e", "timestamp": "1736928060", "type": "edit", "edit": {
        "original_message_id": "wamid.1", "message": {"type": "image", "image": {"id": "i", "caption": "Blue"}}}});
    inboxes.whatsapp(&edit).await;
    inboxes.whatsapp(&text("628111", "wamid.1", "hi")).await;
    let message = inboxes.only(&inboxes.whatsapp).await;
    assert_eq!(message["type"], "image");
    assert_eq!(
        message["content"],
        json!({"media": {"id": "i"}, "caption": "Blue"})
    );
    assert_eq!(message["edits"][0]["type"], "text");
}

async fn formatting_is_shown_and_changes_with_an_edit(store: Store) {
    let inboxes = Inboxes::start(store).await;
    let said = json!({"text": "😀 see here", "entities": [
        {"type": "text_link", "offset": 7, "length": 4, "url": "https://example.com/"}]});
    inboxes.telegram(1, "message", said).await;
    let message = inboxes.only(&inboxes.telegram).await;
    let link = json!({"type": "link", "offset": 6, "length": 4, "url": "https://example.com/"});
    assert_eq!(
        message["content"],
        json!({"text": "😀 see here", "entities": [link]})
    );
    let edited = json!({"text": "see", "edit_date": 1_736_928_010,
        "entities": [{"type": "bold", "offset": 0, "length": 3}]});
    inboxes.telegram(2, "edited_message", edited).await;
    let message = inboxes.only(&inboxes.telegram).await;
    let bold = json!({"type": "bold", "offset": 0, "length": 3});
    assert_eq!(
        message["content"],
        json!({"text": "see", "entities": [bold]})
    );
    assert_eq!(message["edits"][0]["content"]["entities"], json!([link]));
}
