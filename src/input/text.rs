//! What is written as a text: in a string of a body, or in a parameter.

use super::{At, Content};
use crate::{
    domain::{Channel, InboxStatus},
    id::{ConversationId, InboxId, MessageId, can_be_id},
};
use serde_json::Value;
use utoipa::{
    ToSchema,
    openapi::{ObjectBuilder, Ref, RefOr, Type, schema::Schema},
};

/// What is written as a text.
pub trait Text: Sized {
    /// Reads it.
    ///
    /// # Errors
    /// What it must be, for people: the end of a sentence that begins with the field's name.
    fn parse(text: &str) -> Result<Self, String>;

    /// What the document says of it.
    fn describe() -> RefOr<Schema>;
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
        T::describe()
    }
}

// Every answer with an inbox brings the schemas of these two into the document.
impl Text for Channel {
    fn parse(text: &str) -> Result<Self, String> {
        text.parse().map_err(str::to_owned)
    }

    fn describe() -> RefOr<Schema> {
        Ref::from_schema_name(<Channel as ToSchema>::name()).into()
    }
}

impl Text for InboxStatus {
    fn parse(text: &str) -> Result<Self, String> {
        text.parse().map_err(str::to_owned)
    }

    fn describe() -> RefOr<Schema> {
        Ref::from_schema_name(<InboxStatus as ToSchema>::name()).into()
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

            fn describe() -> RefOr<Schema> {
                ObjectBuilder::new().schema_type(Type::String).into()
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

            fn describe() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                let describe: fn(utoipa::openapi::ObjectBuilder) -> utoipa::openapi::ObjectBuilder = $describe;
                let text = utoipa::openapi::ObjectBuilder::new().schema_type(utoipa::openapi::Type::String);
                describe(text).into()
            }
        }
    };
}
pub(crate) use text;
