//! Query parameters, strictly: every wrong one is reported, and a broken query string is an error, never a guess.
//!
//! An empty value counts as not given; a known parameter given twice is wrong; unknown parameters are ignored.

use crate::{
    error::{Error, FieldError},
    id::can_be_id,
};
use std::borrow::Cow;

/// The parameters of a request, while they are read.
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
                _ => query.wrong("query", "is not valid percent-encoded UTF-8"),
            }
        }
        query
    }

    /// Reads a parameter by a rule that returns its value or says what it must be.
    pub fn get<T, M: Into<String>>(
        &mut self,
        name: &str,
        rule: impl FnOnce(&str) -> Result<T, M>,
    ) -> Option<T> {
        let mut given = self.pairs.iter().filter(|(key, _)| key == name);
        let value = given.next();
        if given.next().is_some() {
            self.wrong(name, "must be given once");
            return None;
        }
        let (_, value) = value?;
        if value.is_empty() {
            return None;
        }
        match rule(value) {
            Ok(value) => Some(value),
            Err(message) => {
                let message = message.into();
                self.wrong(name, message);
                None
            }
        }
    }

    /// Reads an id of whatever kind. A text that cannot be one must not reach the store.
    pub fn id(&mut self, name: &str) -> Option<String> {
        self.get(name, |text| match can_be_id(text) {
            true => Ok(text.to_owned()),
            false => Err("is not an id"),
        })
    }

    /// Reads `limit`, as every list takes it: 1 to 100, and 50 if it is not given.
    pub fn limit(&mut self) -> i64 {
        self.number("limit", 1, 100).unwrap_or(50)
    }

    /// Reads a whole number from `least` to `most`.
    pub fn number(&mut self, name: &str, least: i64, most: i64) -> Option<i64> {
        self.get(name, |text| {
            let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            let number = digits.then(|| text.parse().ok()).flatten();
            number
                .filter(|number| (least..=most).contains(number))
                .ok_or_else(|| match most {
                    i64::MAX => format!("must be a whole number from {least}"),
                    _ => format!("must be a whole number from {least} to {most}"),
                })
        })
    }

    fn wrong(&mut self, name: &str, message: impl Into<String>) {
        let error = FieldError::new(name, message);
        if !self.errors.contains(&error) {
            self.errors.push(error);
        }
    }

    /// The end: all that is wrong, if anything is.
    pub fn finish(self) -> Result<(), Error> {
        if self.errors.is_empty() {
            Ok(())
        } else {
            Err(Error::Validation(self.errors))
        }
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

    #[test]
    fn every_wrong_parameter_is_reported() {
        let mut query = Query::read(Some("limit=0&offset=-1&limit2=x&b=%zz"));
        query.number("limit", 1, 100);
        query.number("offset", 0, i64::MAX);
        let Err(Error::Validation(errors)) = query.finish() else {
            panic!("all of these are wrong");
        };
        let fields: Vec<_> = errors.iter().map(|error| error.field.as_str()).collect();
        assert_eq!(fields, ["query", "limit", "offset"]);
    }
}
