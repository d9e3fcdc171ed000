//! What each channel takes, at the borders.

use super::*;
use proptest::prelude::*;
use send::outgoing::{INSTAGRAM, LIVECHAT, Limits, TELEGRAM, WHATSAPP};

fn wrong(limits: &Limits, outgoing: &Outgoing) -> Vec<(&'static str, String)> {
    limits.check(outgoing).err().unwrap_or_default()
}

#[test]
fn a_text_is_measured_as_the_channel_measures_it() {
    for (limits, unit, most) in [
        (&WHATSAPP, "a", 4096),
        (&WHATSAPP, "😀", 4096),
        (&LIVECHAT, "😀", 4096),
        // Two UTF-16 units.
        (&TELEGRAM, "a", 4096),
        (&TELEGRAM, "é", 4096),
        (&TELEGRAM, "😀", 2048),
        // One, two, and four bytes.
        (&INSTAGRAM, "a", 1000),
        (&INSTAGRAM, "é", 500),
        (&INSTAGRAM, "😀", 250),
    ] {
        assert_eq!(limits.check(&text(&unit.repeat(most))), Ok(()));
        let wrong = wrong(limits, &text(&unit.repeat(most + 1)));
        assert_eq!(wrong.len(), 1, "{unit}");
        assert_eq!(wrong[0].0, "content.text");
    }
}

#[test]
fn what_is_wrong_names_the_field_and_the_limit() {
    let wrong_text = |limits, long: &str| wrong(limits, &text(long)).remove(0);
    let at = |field, rule: &str| (field, rule.to_owned());
    assert_eq!(
        wrong_text(&TELEGRAM, &"😀".repeat(2049)),
        at(
            "content.text",
            "Telegram takes at most 4096 UTF-16 units, and this has 4098"
        )
    );
    assert_eq!(
        wrong_text(&INSTAGRAM, &"a".repeat(1001)),
        at(
            "content.text",
            "Instagram takes at most 1000 bytes, and this has 1001"
        )
    );
    for empty in ["", " \n\t"] {
        let expected = at("content.text", "must not be empty");
        assert_eq!(wrong_text(&LIVECHAT, empty), expected);
    }
    for (limits, rule) in [
        (&INSTAGRAM, "Instagram takes no location"),
        (&LIVECHAT, "Live chat takes no location"),
    ] {
        let wrong = wrong(limits, &location(None, None));
        assert_eq!(wrong, [at("type", rule)]);
    }
}

#[test]
fn a_location_is_on_the_globe() {
    let place = |latitude, longitude| Outgoing::Location {
        latitude,
        longitude,
        name: None,
        address: None,
    };
    for limits in [&WHATSAPP, &TELEGRAM] {
        for (latitude, longitude) in [(90.0, 180.0), (-90.0, -180.0), (0.0, 0.0)] {
            assert_eq!(limits.check(&place(latitude, longitude)), Ok(()));
        }
        for (latitude, longitude) in [(90.1, -180.1), (f64::NAN, f64::INFINITY)] {
            assert_eq!(
                wrong(limits, &place(latitude, longitude)),
                [
                    ("content.latitude", "must be from -90 to 90".to_owned()),
                    ("content.longitude", "must be from -180 to 180".to_owned()),
                ]
            );
        }
    }
}

#[test]
fn telegram_needs_name_and_address_together() {
    for (name, address, field) in [
        (Some("Philz"), None, "content.address"),
        (None, Some("101 Forest Ave"), "content.name"),
        (Some("Philz"), Some(" "), "content.address"),
    ] {
        let place = location(name, address);
        assert_eq!(wrong(&TELEGRAM, &place)[0].0, field);
        assert_eq!(WHATSAPP.check(&place), Ok(()));
    }
    let place = location(Some("Philz"), Some("101 Forest Ave"));
    assert_eq!(TELEGRAM.check(&place), Ok(()));
}

proptest! {
    /// A text that fits is sent whole, on every channel.
    #[test]
    fn nothing_is_cut(said in "\\PC{1,300}", more in "[a😀é]{0,900}") {
        let outgoing = text(&format!("{said}{more}"));
        let Outgoing::Text { text: whole, .. } = &outgoing else { unreachable!() };
        for (limits, route, length, most, at) in [
            (&WHATSAPP, ADA, whole.chars().count(), 4096, "/text/body"),
            (&INSTAGRAM, BAYU, whole.len(), 1000, "/message/text"),
            (&TELEGRAM, Route::Telegram(CITRA), whole.encode_utf16().count(), 4096, "/text"),
        ] {
            let fits = length <= most && !whole.trim().is_empty();
            prop_assert_eq!(limits.check(&outgoing).is_ok(), fits);
            let call = send::message(TOKEN, route, &outgoing, None, "msg_1 1").unwrap();
            let body: Value = serde_json::from_str(&call.body.unwrap()).unwrap();
            prop_assert_eq!(body.pointer(at).and_then(Value::as_str), Some(whole.as_str()));
        }
    }
}
