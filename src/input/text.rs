//! What is written as a text: in a string of a body, or in a parameter.

use super::{At, Content};
use crate::{
    domain::{Channel, InboxStatus},
    id::{ConversationId, InboxId, MessageId, can_be_id},
};
use serde_json::Value;
use utoipa::openapi::{Object, ObjectBuilder, RefOr, Type, schema::Schema};

/// What is written as a text.
pub trait Text: Sized {
    /// Reads it.
    ///
    /// # Errors
    /// What it must be, for people: the end of a sentence that begins with the field's name.
    fn parse(text: &str) -> Result<Self, String>;

    /// What the document says of it.
    fn describe() -> Object;
}

impl<T: Text> Content for T {
    fn read(value: Value, at: &mut At<'_>) -> Option<Self> {
        let Value::String(text) = value else {
            at.wrong("must be a string");
            return None;
        };
        match T::parse(&text) {
            Ok(read) => Some(read),
            Err(message) => {
                at.wrong(message);
                None
            }
        }
    }

    fn document() -> RefOr<Schema> {
        T::describe().into()
    }
}

impl Text for Channel {
    fn parse(text: &str) -> Result<Self, String> {
        text.parse().map_err(str::to_owned)
    }

    fn describe() -> Object {
        super::word(&Channel::ALL.map(Channel::as_str))
    }
}

impl Text for InboxStatus {
    fn parse(text: &str) -> Result<Self, String> {
        text.parse().map_err(str::to_owned)
    }

    fn describe() -> Object {
        super::word(&InboxStatus::ALL.map(InboxStatus::as_str))
    }
}

/// Ids that are looked up: any text that can be one.
macro_rules! ids {
    ($($Id:ident),+) => {$(
        impl Text for $Id {
            fn parse(text: &str) -> Result<Self, String> {
                match can_be_id(text) {
                    true => Ok($Id::from_text(text)),
                    false => Err("is not an id".to_owned()),
                }
            }

            fn describe() -> Object {
                ObjectBuilder::new().schema_type(Type::String).build()
            }
        }
    )+};
}
ids!(InboxId, ConversationId, MessageId);

/// Declares a type for a text that follows a rule: a function that gives the text in its final form or says what it must be,
/// and what the document says of it.
macro_rules! text {
    (
        $(#[doc = $about:literal])+
        $vis:vis struct $Name:ident($inner:ty): $rule:expr, $describe:expr;
    ) => {
        $(#[doc = $about])+
        #[derive(Debug, Clone)]
        $vis struct $Name(pub $inner);

        impl $crate::input::Text for $Name {
            fn parse(text: &str) -> Result<Self, String> {
                let rule: fn(&str) -> Result<String, &'static str> = $rule;
                match rule(text) {
                    Ok(text) => Ok($Name(text.into())),
                    Err(message) => Err(message.to_owned()),
                }
            }

            fn describe() -> utoipa::openapi::Object {
                let describe: fn(utoipa::openapi::ObjectBuilder) -> utoipa::openapi::ObjectBuilder = $describe;
                let text = utoipa::openapi::ObjectBuilder::new().schema_type(utoipa::openapi::Type::String);
                describe(text).build()
            }
        }
    };
}
pub(crate) use text;
