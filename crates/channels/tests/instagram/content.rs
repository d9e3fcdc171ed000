//! What a message says.

use super::*;

#[test]
fn every_attachment_has_its_content() {
    let url = "https://x.test/1";
    for (attachment, kind, expected) in [
        (
            json!({"type": "image", "payload": {"url": url}}),
            Kind::Image,
            json!({"media": {"url": url}}),
        ),
        (
            json!({"type": "video", "payload": {"url": url}}),
            Kind::Video,
            json!({"media": {"url": url}}),
        ),
        (
            json!({"type": "audio", "payload": {"url": url}}),
            Kind::Audio,
            json!({"media": {"url": url}}),
        ),
        (
            json!({"type": "file", "payload": {"url": url, "title": "a.pdf"}}),
            Kind::Document,
            json!({"media": {"url": url, "name": "a.pdf"}}),
        ),
        (
            json!({"type": "ig_reel", "payload": {"url": url, "reel_video_id": 5, "title": "Look"}}),
            Kind::Video,
            json!({"media": {"id": "5", "url": url, "name": "Look"}, "attachment": "ig_reel"}),
        ),
        (
            json!({"type": "ig_post", "payload": {"url": url, "ig_post_media_id": "6"}}),
            Kind::Document,
            json!({"media": {"id": "6", "url": url}, "attachment": "ig_post"}),
        ),
        (
            json!({"type": "ig_story", "payload": {"story_media_url": url, "story_media_id": "7"}}),
            Kind::Document,
            json!({"media": {"id": "7", "url": url}, "attachment": "ig_story"}),
        ),
        (
            json!({"type": "story_mention", "payload": {"url": url}}),
            Kind::Document,
            json!({"media": {"url": url}, "attachment": "story_mention"}),
        ),
        (
            json!({"type": "share", "payload": {"url": url}}),
            Kind::Document,
            json!({"media": {"url": url}, "attachment": "share"}),
        ),
        (
            json!({"type": "like_heart"}),
            Kind::Sticker,
            json!({"media": {}, "attachment": "like_heart"}),
        ),
        (
            json!({"type": "image", "payload": null}),
            Kind::Image,
            json!({"media": {}}),
        ),
        (
            json!({"type": "template", "payload": {"generic": {"elements": [{"title": "Shoes"}]}}}),
            Kind::Interactive,
            json!({
                "text": "Shoes",
                "kind": "template",
                "data": {"generic": {"elements": [{"title": "Shoes"}]}},
            }),
        ),
    ] {
        let message = json!({"mid": "m.1", "attachments": [attachment]});
        assert_eq!(content(message), (kind, expected));
    }
}

#[test]
fn further_attachments_stay_with_the_first() {
    let image = |url: &str| json!({"type": "image", "payload": {"url": url}});
    let message = json!({
        "mid": "m.1",
        "text": "Both",
        "attachments": [image("a"), image("b"), {"type": "hologram"}, 7],
    });
    let expected = json!({
        "media": {"url": "a"},
        "caption": "Both",
        "attachments": [
            {"kind": "image", "media": {"url": "b"}},
            {"kind": "unsupported", "raw": {"type": "hologram"}},
        ],
    });
    assert_eq!(content(message), (Kind::Image, expected));
}

#[test]
fn the_same_post_twice_is_one() {
    let url = "https://x.test/p";
    for second in [
        json!({"type": "ig_post", "payload": {"url": url, "ig_post_media_id": "6"}}),
        json!({"type": "share", "payload": {"url": url}}),
        json!({"type": "ig_post", "payload": {"url": "https://x.test/other", "ig_post_media_id": "6"}}),
    ] {
        let first = json!({"type": "ig_post", "payload": {"url": url, "ig_post_media_id": "6"}});
        let (_, content) = content(json!({"mid": "m.1", "attachments": [first, second]}));
        assert_eq!(content.get("attachments"), None);
    }
}

#[test]
fn what_cannot_be_shown_is_kept_whole() {
    for message in [
        json!({"mid": "m.1", "is_unsupported": true}),
        json!({"mid": "m.1", "is_unsupported": true, "text": "Hi"}),
        json!({"mid": "m.1", "attachments": [{"type": "unsupported_type"}]}),
        json!({"mid": "m.1", "attachments": [{"type": "ephemeral"}]}),
        json!({"mid": "m.1", "attachments": "none"}),
        json!({"mid": "m.1", "text": {"no": "text"}}),
        json!({"mid": "m.1", "text": ""}),
        json!({"mid": "m.1"}),
    ] {
        assert_eq!(
            content(message.clone()),
            (Kind::Unsupported, json!({"raw": message}))
        );
    }
}

#[test]
fn quick_replies_stories_and_referrals_are_kept() {
    assert_eq!(
        content(json!({"mid": "m.1", "text": "Red", "quick_reply": {"payload": "red-1"}})),
        (
            Kind::Interactive,
            json!({"text": "Red", "id": "red-1", "kind": "quick_reply"})
        ),
    );
    assert_eq!(
        content(json!({
            "mid": "m.1", "text": "Nice",
            "reply_to": {"story": {"id": "s1", "url": "https://x.test/s"}},
            "referral": {"source": "ADS", "ad_id": 5},
        })),
        (
            Kind::Text,
            json!({
                "text": "Nice",
                "referral": {"source": "ADS", "ad_id": 5},
                "story": {"id": "s1", "url": "https://x.test/s"},
            })
        ),
    );
}

#[test]
fn text_and_time_survive() {
    let body = br#"{"entry":[{"id":"1784","time":1700000000,"messaging":[
        {"sender":{"id":"1"},"timestamp":0,"message":{"mid":"a","text":"\ud83d\ude00 \ud83d \u0000 \u200f"}},
        {"sender":{"id":9007199254740993},"timestamp":253402300799999,"message":{"mid":9007199254740993,"text":5}},
        {"sender":{"id":"1"},"timestamp":253402300800000,"message":{"mid":"c","text":"x"}},
        {"sender":{"id":"1"},"message":{"mid":"d","text":"x","text":"y"}}
    ]}]}"#;
    let messages: Vec<_> = items(instagram::parse(body).unwrap())
        .into_iter()
        .map(message)
        .map(|message| {
            let text = common::value(&message.content)["text"]
                .as_str()
                .unwrap()
                .to_owned();
            (message.provider_id, text, message.timestamp)
        })
        .collect();
    let expected = [
        ("a", "😀 \u{fffd} \u{fffd} \u{200f}", Some(0)),
        ("9007199254740993", "5", Some(253_402_300_799)),
        ("c", "x", Some(1_700_000_000)),
        ("d", "y", Some(1_700_000_000)),
    ];
    let expected = expected.map(|(id, text, time)| (id.to_owned(), text.to_owned(), time));
    assert_eq!(messages, expected);
    let long = "ü".repeat(32 * 1024);
    assert_eq!(
        content(json!({"mid": "m", "text": long})).1,
        json!({"text": long})
    );
}
