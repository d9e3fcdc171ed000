//! What a message says and who wrote it, as they are shown; and what the document says of their parts.
//!
//! What is stored is shown as it is. Which keys there are is decided by the channels' parsers; the tables here name all of
//! them, for generated clients.
//!
//! Invariant: no key is required, and others may come: what a client does not know, it can pass over.

use channels::{Direction, Kind};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::borrow::Cow;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        Object, RefOr, Schema, Type,
        schema::{ArrayBuilder, ObjectBuilder, SchemaType},
    },
};

/// What a message says: a JSON object whose keys depend on the message's type.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Content(pub Map<String, Value>);

/// Who wrote a message, as far as it is known.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Sender {
    /// Display name.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "Ayu")]
    pub name: Option<String>,
    /// Phone number, E.164 with `+`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "+628111111111")]
    pub phone: Option<String>,
    /// User name, without `@`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub username: Option<String>,
}

/// A key, the type of its value (`None` if it can be any JSON value), and a description.
type Key = (&'static str, Option<Type>, &'static str);

/// Declares keys, one on each line.
macro_rules! keys {
    ($($name:ident: $kind:ident, $about:literal;)*) => {
        &[$((stringify!($name), keys!(@ $kind), $about)),*]
    };
    (@ Any) => {
        None
    };
    (@ $kind:ident) => {
        Some(Type::$kind)
    };
}

/// The keys of content, beside `media`.
const KEYS: &[Key] = keys! {
    text: String, "text, interactive, order: the words";
    caption: String, "image, video, document: the words beside it";
    entities: Array, "Telegram: the formatting of `text` or `caption`: `type`, `offset` and `length` in Unicode code points, and by type `url`, `language`, `user` or `id`";
    emoji: String, "sticker: the emoji that the sticker stands for";
    attachment: String, "Instagram: what kind of attachment it is, as in `share` or `story_mention`";
    attachments: Array, "Instagram: further attachments of the same message";
    latitude: Number, "location: degrees";
    longitude: Number, "location: degrees";
    name: String, "location: its name. interactive: the form's";
    address: String, "location: its address";
    url: String, "location: its page";
    contacts: Array, "contacts: the cards, as the provider writes them";
    kind: String, "interactive: what was used, as in `button_reply` or `postback`";
    id: String, "interactive: the business's own id of what was chosen";
    description: String, "interactive: the chosen row's description";
    data: Any, "interactive: what a form or a template holds, as the provider writes it";
    catalog_id: String, "order: the catalogue";
    product_items: Array, "order: its items, as the provider writes them";
    forwarded: Boolean, "`true` for a forwarded message. Absent otherwise";
    topic: Object, "Telegram: the topic of a forum or of a channel's direct messages that it is in: `id`, and `name` where Telegram says it";
    referral: Object, "The advertisement or link that led here, as the provider writes it";
    referred_product: Object, "The product that it asks about, as the provider writes it";
    story: Object, "Instagram: the story that it answers, as the provider writes it";
    raw: Object, "unsupported: the message, as the provider writes it";
};

/// The keys of `media`.
const MEDIA: &[Key] = keys! {
    id: String, "The provider's id of the file";
    mime_type: String, "Its type, as the provider says";
    name: String, "Its name";
    size: Integer, "Bytes";
    sha256: String, "WhatsApp: its SHA-256, in base64";
    url: String, "Where it is at the provider, for a while";
    voice: Boolean, "`true` for a voice message, recorded in the app. Absent otherwise";
    animated: Boolean, "`true` for an animated sticker or picture. Absent otherwise";
};

impl PartialSchema for Content {
    fn schema() -> RefOr<Schema> {
        let media = object(MEDIA)
            .description(Some(
                "image, video, audio, document, sticker: the file, as far as the provider tells",
            ))
            .build();
        object(KEYS)
            .property("media", media)
            .description(Some(
                "What a message says. Which keys there are depends on its type; others may come.",
            ))
            .examples([json!({"text": "Is the blue one still available?"})])
            .into()
    }
}

impl ToSchema for Content {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("Content")
    }
}

fn object(keys: &[Key]) -> ObjectBuilder {
    keys.iter().fold(
        ObjectBuilder::new().schema_type(Type::Object),
        |object, (name, kind, description)| {
            object.property(*name, value(kind.clone(), description))
        },
    )
}

fn value(kind: Option<Type>, description: &str) -> Schema {
    let any = ObjectBuilder::new().schema_type(SchemaType::AnyValue);
    match kind {
        None => any.description(Some(description)).into(),
        Some(Type::Array) => ArrayBuilder::new()
            .items(any.build())
            .description(Some(description))
            .into(),
        Some(kind) => ObjectBuilder::new()
            .schema_type(kind)
            .description(Some(description))
            .into(),
    }
}

/// Which ways a message can go.
pub fn directions() -> Object {
    one_of(
        Direction::ALL.map(Direction::as_str),
        "`inbound`: from the contact to the business. `outbound`: the other way.",
    )
}

/// What a message can be.
pub fn kinds() -> Object {
    one_of(
        Kind::ALL.map(Kind::as_str),
        "What it is. `unsupported`: of a kind that this version does not know.",
    )
}

/// A text that is one of these. A field that is documented so says nothing else about itself.
pub(super) fn one_of<const N: usize>(words: [&str; N], description: &str) -> Object {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .enum_values(Some(words))
        .description(Some(description))
        .examples([words[0]])
        .build()
}
