//! What is made to try an inbox with is read as the one item that it is.

use channels::{
    DeliveryStatus, Direction, Item, Kind, Message, Update, instagram,
    sample::{self, Number, Report, Text},
    telegram, whatsapp,
};
use serde_json::Value;

const TEXT: Text<'_> = Text {
    from: 12_025_550_199,
    name: "Ayu \u{1f64f}",
    text: "Is the \"blue\" one\nstill available?",
    timestamp: 1_736_928_000,
};

const NUMBER: Number<'_> = Number {
    business_account_id: "102290129340398",
    phone_number_id: "106540352242922",
    phone_number: "+62812345678",
};
const ACCOUNT: &str = "17841405822304914";

type Read = fn(&[u8]) -> Result<Update, channels::Malformed>;

/// The only item of an update, and its address.
fn item(read: Read, update: &Value) -> (Option<String>, Item) {
    let mut update = read(update.to_string().as_bytes()).expect("an update");
    assert_eq!(update.parts.len(), 1, "{update:?}");
    let mut part = update.parts.remove(0);
    assert_eq!(part.items.len(), 1, "{part:?}");
    (part.address, part.items.remove(0))
}

fn only(read: Read, update: &Value) -> (Option<String>, Message) {
    match item(read, update) {
        (address, Item::Message(message)) => (address, *message),
        other => panic!("{other:?}"),
    }
}

#[test]
fn each_is_read_as_the_message_that_it_is() {
    let all = [
        only(whatsapp::parse, &sample::whatsapp(NUMBER, "wamid.1", TEXT)),
        only(instagram::parse, &sample::instagram(ACCOUNT, "mid.1", TEXT)),
        only(telegram::parse, &sample::telegram(7, TEXT)),
    ];
    let addresses = all.each_ref().map(|(address, _)| address.as_deref());
    assert_eq!(
        addresses,
        [Some(NUMBER.phone_number_id), Some(ACCOUNT), None]
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

#[test]
fn each_report_is_read_as_what_became_of_the_message() {
    let report = Report {
        id: "id.1",
        to: 12_025_550_199,
        timestamp: 1_736_928_000,
    };
    let delivered = sample::whatsapp_status(NUMBER, report, "delivered", Some("msg_1:1"));
    let read = sample::instagram_read(ACCOUNT, report);
    for (parse, update, address, status, our_id) in [
        (
            whatsapp::parse as Read,
            delivered,
            NUMBER.phone_number_id,
            DeliveryStatus::Delivered,
            Some("msg_1:1"),
        ),
        (instagram::parse, read, ACCOUNT, DeliveryStatus::Read, None),
    ] {
        let (of, Item::Status(found)) = item(parse, &update) else {
            panic!("no status: {update}");
        };
        assert_eq!(of.as_deref(), Some(address));
        assert_eq!(found.provider_id, "id.1");
        assert_eq!(found.status, status);
        assert_eq!(found.our_id.as_deref(), our_id);
        assert_eq!(found.timestamp.map(|at| at.seconds), Some(1_736_928_000));
    }
    let echo = sample::instagram_echo(ACCOUNT, report, "Yes");
    let (of, echo) = only(instagram::parse, &echo);
    assert_eq!(of.as_deref(), Some(ACCOUNT));
    assert_eq!(echo.direction, Direction::Outbound);
    assert_eq!(echo.provider_id, "id.1");
    assert_eq!(echo.contact.provider_id(), "12025550199");
}
