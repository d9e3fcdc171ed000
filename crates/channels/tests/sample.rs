//! What is made to try an inbox with is read as the one message that it is.

use channels::{
    Direction, Item, Kind, Message, Update, instagram,
    sample::{self, Number, Text},
    telegram, whatsapp,
};
use serde_json::Value;

const TEXT: Text<'_> = Text {
    from: 12_025_550_199,
    name: "Ayu \u{1f64f}",
    text: "Is the \"blue\" one\nstill available?",
    timestamp: 1_736_928_000,
};

fn only(
    read: fn(&[u8]) -> Result<Update, channels::Malformed>,
    update: &Value,
) -> (Option<String>, Message) {
    let update = read(update.to_string().as_bytes()).expect("an update");
    let [part] = update.parts.as_slice() else {
        panic!("{update:?}");
    };
    let [Item::Message(message)] = part.items.as_slice() else {
        panic!("{update:?}");
    };
    (part.address.clone(), (**message).clone())
}

#[test]
fn each_is_read_as_the_message_that_it_is() {
    let number = Number {
        business_account_id: "102290129340398",
        phone_number_id: "106540352242922",
        phone_number: "+62812345678",
    };
    let all = [
        only(whatsapp::parse, &sample::whatsapp(number, "wamid.1", TEXT)),
        only(
            instagram::parse,
            &sample::instagram("17841405822304914", "mid.1", TEXT),
        ),
        only(telegram::parse, &sample::telegram(7, TEXT)),
    ];
    let addresses = all.each_ref().map(|(address, _)| address.as_deref());
    assert_eq!(
        addresses,
        [Some("106540352242922"), Some("17841405822304914"), None]
    );
    for (_, message) in all {
        assert_eq!(message.direction, Direction::Inbound);
        assert_eq!(message.kind, Kind::Text);
        let content: Value = serde_json::from_str(message.content.as_str()).expect("JSON");
        assert_eq!(content["text"], TEXT.text);
        assert_eq!(message.timestamp, Some(TEXT.timestamp));
        assert_eq!(message.contact.provider_id(), "12025550199");
    }
}
