//! Query parameters. An empty value counts as not given, and unknown parameters are ignored.
//!
//! Invariant: every wrong parameter is reported, also one that is given twice, and a malformed query string is an error.

use crate::{
    clock,
    error::{Error, FieldError},
    input::{At, Field, Source, Text, paragraphs},
};
use serde_json::Value;
use std::borrow::Cow;
use utoipa::openapi::{
    KnownFormat, ObjectBuilder, RefOr, Required, SchemaFormat, Type,
    path::{Parameter, ParameterBuilder, ParameterIn},
    schema::Schema,
};

/// The error of a parameter that is given twice.
pub(super) const GIVEN_TWICE: &str = "must be given once";

/// The parameters of a request, while they are being read.
pub struct Query<'a> {
    pairs: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    errors: Vec<FieldError>,
}

impl<'a> Query<'a> {
    /// Decodes the raw query string of a URL.
    pub fn read(raw: Option<&'a str>) -> Self {
        let mut query = Query {
            pairs: Vec::new(),
            errors: Vec::new(),
        };
        for pair in raw.unwrap_or_default().split('&') {
            if pair.is_empty() {
                continue;
            }
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            match (decode(name), decode(value)) {
                (Some(name), Some(value)) => query.pairs.push((name, value)),
                _ => query
                    .at("query")
                    .wrong("is not valid percent-encoded UTF-8"),
            }
        }
        query
    }

    /// Returns an error with all wrong parameters, if there are any.
    pub fn finish(self) -> Result<(), Error> {
        match self.errors.is_empty() {
            true => Ok(()),
            false => Err(Error::Validation(self.errors)),
        }
    }
}

impl Source for Query<'_> {
    fn take(&mut self, name: &str) -> Option<Value> {
        let mut given = self.pairs.iter().filter(|(key, _)| key == name);
        let value = given.next();
        if given.next().is_some() {
            self.at(name).wrong(GIVEN_TWICE);
            return None;
        }
        let (_, value) = value?;
        (!value.is_empty()).then(|| Value::from(value.as_ref()))
    }

    fn at(&mut self, name: &str) -> At<'_> {
        At::top(name, &mut self.errors)
    }
}

/// The OpenAPI description of a parameter.
pub fn parameter<F: Field>(name: &str, about: &str) -> Parameter {
    let required = match F::REQUIRED {
        true => Required::True,
        false => Required::False,
    };
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Query)
        .required(required)
        .description(Some(paragraphs(about)))
        .schema(Some(F::document()))
        .build()
}

/// Declares a struct of query parameters, and generates the code that reads and documents them. A parameter whose name is
/// not an identifier is declared as in `mode as "hub.mode"`.
macro_rules! query {
    (
        $(#[doc = $about:literal])+
        $vis:vis struct $Name:ident {
            $($(#[doc = $doc:literal])+ $field_vis:vis $field:ident $(as $name:literal)?: $type:ty,)*
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Debug)]
        $vis struct $Name {
            $($(#[doc = $doc])+ $field_vis $field: $type,)*
        }

        impl $Name {
            /// Reads the query of a URL.
            $vis fn parse(raw: Option<&str>) -> Result<Self, $crate::error::Error> {
                let mut query = $crate::http::query::Query::read(raw);
                // Reads all of them before it fails, so that every error is reported.
                $(let $field = $crate::input::Field::take(&mut query, $crate::http::query::name!($field $(as $name)?));)*
                query.finish()?;
                let read = (|| Some($Name { $($field: $field?,)* }))();
                read.ok_or_else(|| $crate::input::unread(stringify!($Name)))
            }
        }

        impl utoipa::IntoParams for $Name {
            fn into_params(
                _: impl Fn() -> Option<utoipa::openapi::path::ParameterIn>,
            ) -> Vec<utoipa::openapi::path::Parameter> {
                vec![$($crate::http::query::parameter::<$type>(
                    $crate::http::query::name!($field $(as $name)?),
                    concat!($($doc, "\n"),+),
                )),*]
            }
        }
    };
}
pub(crate) use query;

/// The name of a parameter.
macro_rules! name {
    ($field:ident) => {
        $crate::input::name(stringify!($field))
    };
    ($field:ident as $name:literal) => {
        $name
    };
}
pub(crate) use name;

/// The number of rows of a page: 1 to 100. The default is 50.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit(pub i64);

impl Default for Limit {
    fn default() -> Self {
        Limit(50)
    }
}

impl Text for Limit {
    fn parse(text: &str) -> Result<Self, String> {
        whole_number(text, 1..=100)
            .map(Limit)
            .ok_or_else(|| "must be a whole number from 1 to 100".to_owned())
    }

    fn describe() -> RefOr<Schema> {
        let number = ObjectBuilder::new().schema_type(Type::Integer);
        let number = number.minimum(Some(1)).maximum(Some(100));
        number.default(Some(50.into())).into()
    }
}

/// The number of rows to skip. The default is 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Offset(pub i64);

impl Text for Offset {
    fn parse(text: &str) -> Result<Self, String> {
        whole_number(text, 0..=i64::MAX)
            .map(Offset)
            .ok_or_else(|| "must be a whole number from 0".to_owned())
    }

    fn describe() -> RefOr<Schema> {
        let number = ObjectBuilder::new().schema_type(Type::Integer);
        number.minimum(Some(0)).default(Some(0.into())).into()
    }
}

fn whole_number(text: &str, range: std::ops::RangeInclusive<i64>) -> Option<i64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = digits.then(|| text.parse().ok()).flatten();
    number.filter(|number| range.contains(number))
}

/// `true` or `false`. The default is `false`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Flag(pub bool);

impl Text for Flag {
    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "true" => Ok(Flag(true)),
            "false" => Ok(Flag(false)),
            _ => Err("must be true or false".to_owned()),
        }
    }

    fn describe() -> RefOr<Schema> {
        let flag = ObjectBuilder::new().schema_type(Type::Boolean);
        flag.default(Some(false.into())).into()
    }
}

/// `true` or `false`, where neither is the default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Choice(pub bool);

impl Text for Choice {
    fn parse(text: &str) -> Result<Self, String> {
        Flag::parse(text).map(|flag| Choice(flag.0))
    }

    fn describe() -> RefOr<Schema> {
        ObjectBuilder::new().schema_type(Type::Boolean).into()
    }
}

/// A time: RFC 3339, as seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Time(pub i64);

impl Text for Time {
    fn parse(text: &str) -> Result<Self, String> {
        clock::parse_rfc3339(text)
            .map(Time)
            .ok_or_else(|| "must be a time like 2025-01-15T08:00:00Z".to_owned())
    }

    fn describe() -> RefOr<Schema> {
        let time = ObjectBuilder::new().schema_type(Type::String);
        time.format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
            .into()
    }
}

/// Decodes `application/x-www-form-urlencoded`: `+` is a space, `%` needs two hex digits, and the result must be UTF-8.
pub fn decode(text: &str) -> Option<Cow<'_, str>> {
    if !text.bytes().any(|byte| byte == b'%' || byte == b'+') {
        return Some(Cow::Borrowed(text));
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => hex(rest.next()?)? << 4 | hex(rest.next()?)?,
            other => other,
        });
    }
    String::from_utf8(bytes).ok().map(Cow::Owned)
}

fn hex(digit: u8) -> Option<u8> {
    (digit as char).to_digit(16).map(|digit| digit as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_what_is_well_formed_and_nothing_else() {
        assert_eq!(decode("a%20b+c%C3%BC").as_deref(), Some("a b cü"));
        for broken in ["%", "%4", "%zz", "%+1", "%ff", "%c3"] {
            assert_eq!(decode(broken), None, "{broken}");
        }
    }

    query! {
        /// Parameters.
        struct Page {
            /// How many.
            limit: Option<Limit>,
            /// From where on.
            offset as "page.offset": Option<Offset>,
        }
    }

    #[test]
    fn every_wrong_parameter_is_reported() {
        let wrong = Page::parse(Some("limit=0&page.offset=-1&limit2=x&b=%zz"));
        let Err(Error::Validation(errors)) = wrong else {
            panic!("all of these are wrong");
        };
        let fields: Vec<_> = errors.iter().map(|error| error.field.as_str()).collect();
        assert_eq!(fields, ["query", "limit", "page.offset"]);
    }

    #[test]
    fn what_is_not_said_is_left_out() {
        for nothing in [None, Some(""), Some("limit=&offset=7")] {
            let page = Page::parse(nothing).expect("a good query");
            assert_eq!((page.limit, page.offset), (None, None));
        }
    }
}
