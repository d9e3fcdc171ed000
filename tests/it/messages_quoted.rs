//! What a message answers: shown as the provider tells it, whether that is stored or not.

use crate::support::{Store, on_both_stores, three::Inboxes, whatsapp::text};
use serde_json::{Value, json};

on_both_stores![
    an_answer_to_what_is_not_stored_shows_what_it_answers,
    the_text_that_telegram_sends_along_is_kept,
    a_story_that_is_answered_is_shown,
    what_answers_nothing_quotes_nothing,
];

/// A text of a customer's that answers a message.
fn answer(id: &str, to: &str) -> Value {
    let mut answer = text("628111", id, "This one");
    answer["context"] = json!({"from": "62812345678", "id": to});
    answer
}

async fn an_answer_to_what_is_not_stored_shows_what_it_answers(store: Store) {
    let inboxes = Inboxes::start(store).await;
    inboxes.whatsapp(&answer("wamid.2", "wamid.1")).await;
    let message = inboxes.only(&inboxes.whatsapp).await;
    assert_eq!(message["quoted"], json!({"provider_id": "wamid.1"}));
    assert!(message.get("reply_to").is_none());

    // It comes after all.
    let mut first = text("628111", "wamid.1", "Which one?");
    first["timestamp"] = "1736920000".into();
    inboxes.whatsapp(&first).await;
    let messages = inboxes.messages(&inboxes.whatsapp).await;
    assert_eq!(messages[1]["reply_to"], messages[0]["id"]);
    assert_eq!(messages[1]["quoted"], json!({"provider_id": "wamid.1"}));

    let said = json!({"message": {"mid": "m.2", "text": "This one", "reply_to": {"mid": "m.1"}}});
    inboxes.instagram(1_736_928_000_000, said).await;
    let message = inboxes.only(&inboxes.instagram).await;
    assert_eq!(message["quoted"], json!({"provider_id": "m.1"}));
}

async fn the_text_that_telegram_sends_along_is_kept(store: Store) {
    let inboxes = Inboxes::start(store).await;
    let bots = json!({"message_id": 1, "from": {"id": 110_201_543, "is_bot": true}, "text": "Blue or green?"});
    let picture = json!({"message_id": 2, "photo": [], "caption": "Blue"});
    let elsewhere = json!({"origin": {}, "chat": {"id": -100}, "message_id": 5});
    let mut seconds = 1_736_928_000..;
    for (number, rest, quoted) in [
        (
            11,
            json!({"reply_to_message": bots}),
            json!({"provider_id": "900:1", "text": "Blue or green?"}),
        ),
        (
            12,
            json!({"reply_to_message": bots, "quote": {"text": "green", "position": 8}}),
            json!({"provider_id": "900:1", "text": "green"}),
        ),
        (
            13,
            json!({"reply_to_message": picture}),
            json!({"provider_id": "900:2", "text": "Blue"}),
        ),
        (
            14,
            json!({"reply_to_message": {"message_id": 3, "sticker": {}}}),
            json!({"provider_id": "900:3"}),
        ),
        (
            15,
            json!({"external_reply": elsewhere, "quote": {"text": "Sold out"}}),
            json!({"provider_id": "-100:5", "text": "Sold out"}),
        ),
        (
            16,
            json!({"external_reply": {"origin": {}}, "quote": {"text": "Sold out"}}),
            json!({"text": "Sold out"}),
        ),
        (
            17,
            json!({"reply_to_story": {"chat": {"id": 900}, "id": 4}}),
            json!({"story": {"chat": {"id": 900}, "id": 4}}),
        ),
    ] {
        let mut message = rest;
        message["message_id"] = number.into();
        message["date"] = seconds.next().into();
        message["text"] = "Green".into();
        inboxes.telegram(number, "message", message).await;
        let messages = inboxes.messages(&inboxes.telegram).await;
        let last = messages.last().expect("it is there");
        assert_eq!(last["quoted"], quoted);
        assert!(last.get("reply_to").is_none());
    }
}

async fn a_story_that_is_answered_is_shown(store: Store) {
    let inboxes = Inboxes::start(store).await;
    let story = json!({"id": "s.1", "url": "https://example.com/s.jpg"});
    let said = json!({"message": {"mid": "m.1", "text": "Nice", "reply_to": {"story": story}}});
    inboxes.instagram(1_736_928_000_000, said).await;
    let message = inboxes.only(&inboxes.instagram).await;
    assert_eq!(message["quoted"], json!({"story": story}));
}

async fn what_answers_nothing_quotes_nothing(store: Store) {
    let inboxes = Inboxes::start(store).await;
    let mut forwarded = text("628111", "wamid.1", "Hi");
    forwarded["context"] = json!({"forwarded": true});
    inboxes.whatsapp(&forwarded).await;
    // What opens a topic seems to be answered by all that is in it.
    let topic = json!({"reply_to_message": {"message_id": 3, "forum_topic_created": {"name": "Prices"}}, "text": "Hi"});
    inboxes.telegram(1, "message", topic).await;
    for inbox in [&inboxes.whatsapp, &inboxes.telegram] {
        let message = inboxes.only(inbox).await;
        assert!(message.get("quoted").is_none(), "{message}");
    }
}
