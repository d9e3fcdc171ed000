//! Values that are written as text: a string of a body, or a parameter.
//!
//! Invariant: a body and a query read a value by the same rule.

use super::{At, Content};
use crate::{
    domain::{Channel, InboxStatus, ReadReceipts},
    id::{ContactId, ConversationId, InboxId, MessageId, can_be_id},
};
use serde_json::Value;
use utoipa::{
    ToSchema,
    openapi::{ObjectBuilder, Ref, RefOr, Type, schema::Schema},
};

/// A value that is written as text.
pub trait Text: Sized {
    /// Reads the text.
    ///
    /// # Errors
    /// The rule, for people: the end of a sentence that begins with the field's name.
    fn parse(text: &str) -> Result<Self, String>;

    /// The schema.
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

// The document has the schemas of these types from the answers with an inbox, or its setup.
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

impl Text for ReadReceipts {
    fn parse(text: &str) -> Result<Self, String> {
        let known = ReadReceipts::ALL
            .into_iter()
            .find(|when| when.as_str() == text);
        known.ok_or_else(|| "must be one of on_answer, on_read, never".to_owned())
    }

    fn describe() -> RefOr<Schema> {
        Ref::from_schema_name(<ReadReceipts as ToSchema>::name()).into()
    }
}

/// Ids that are looked up. Any text is allowed that can be an id.
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
ids!(InboxId, ContactId, ConversationId, MessageId);

/// Declares a type for a text with a rule. The first function returns the text in its final form, or an error message. The
/// second one describes the text in its schema.
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
