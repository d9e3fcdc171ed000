//! Reading the body of a create or an update, field by field.
//!
//! Invariant: every wrong field is reported, not just the first, and so is every field that nobody asked for.

use crate::error::{Error, FieldError};
use serde_json::{Map, Value};

/// A JSON object that is being read. What was not taken from it by the end is unknown.
pub struct Fields {
    prefix: String,
    left: Map<String, Value>,
    errors: Vec<FieldError>,
}

/// What an update says of a field that can be taken away.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Given<T> {
    /// Nothing.
    #[default]
    Absent,
    /// `null`: take it away.
    Null,
    /// This.
    Value(T),
}

impl Fields {
    /// Reads a whole body.
    pub fn new(body: Map<String, Value>) -> Self {
        Fields {
            prefix: String::new(),
            left: body,
            errors: Vec::new(),
        }
    }

    /// Notes that a field is wrong.
    pub fn wrong(&mut self, name: &str, message: impl Into<String>) {
        let field = format!("{}{name}", self.prefix);
        self.errors.push(FieldError::new(field, message));
    }

    /// A text that may be missing, by a rule that returns it in its final form or says what it must be.
    pub fn text<T>(
        &mut self,
        name: &str,
        rule: impl FnOnce(&str) -> Result<T, &'static str>,
    ) -> Given<T> {
        match self.left.shift_remove(name) {
            None => Given::Absent,
            Some(Value::Null) => Given::Null,
            Some(Value::String(text)) => match rule(&text) {
                Ok(value) => Given::Value(value),
                Err(message) => {
                    self.wrong(name, message);
                    Given::Absent
                }
            },
            Some(_) => {
                self.wrong(name, "must be a string");
                Given::Absent
            }
        }
    }

    /// A text that must be there. `None` after it was noted as wrong.
    pub fn required<T>(
        &mut self,
        name: &str,
        rule: impl FnOnce(&str) -> Result<T, &'static str>,
    ) -> Option<T> {
        let before = self.errors.len();
        match self.text(name, rule) {
            Given::Value(value) => Some(value),
            Given::Absent | Given::Null => {
                if self.errors.len() == before {
                    self.wrong(name, "is required");
                }
                None
            }
        }
    }

    /// A text that may be changed, but not taken away. `None` if it is not given.
    pub fn changed<T>(
        &mut self,
        name: &str,
        rule: impl FnOnce(&str) -> Result<T, &'static str>,
    ) -> Option<T> {
        match self.text(name, rule) {
            Given::Value(value) => Some(value),
            Given::Absent => None,
            Given::Null => {
                self.wrong(name, "must not be null");
                None
            }
        }
    }

    /// A list of texts, by a rule for each; at most `most`.
    pub fn texts(
        &mut self,
        name: &str,
        most: usize,
        rule: impl Fn(&str) -> Result<String, &'static str>,
    ) -> Given<Vec<String>> {
        let list = match self.left.shift_remove(name) {
            None => return Given::Absent,
            Some(Value::Null) => return Given::Null,
            Some(Value::Array(list)) => list,
            Some(_) => {
                self.wrong(name, "must be a list of strings");
                return Given::Absent;
            }
        };
        if list.len() > most {
            self.wrong(name, format!("must have at most {most} entries"));
            return Given::Absent;
        }
        let mut texts = Vec::new();
        for (index, entry) in list.iter().enumerate() {
            let checked = entry.as_str().ok_or("must be a string").and_then(&rule);
            match checked {
                Ok(text) => texts.push(text),
                Err(message) => self.wrong(&format!("{name}[{index}]"), message),
            }
        }
        Given::Value(texts)
    }

    /// Reads a nested object, empty if it is not given, with its errors among these.
    pub fn nested<T>(&mut self, name: &str, read: impl FnOnce(&mut Fields) -> T) -> Option<T> {
        let object = match self.left.shift_remove(name) {
            None | Some(Value::Null) => Map::new(),
            Some(Value::Object(object)) => object,
            Some(_) => {
                self.wrong(name, "must be an object");
                return None;
            }
        };
        let mut inner = Fields {
            prefix: format!("{}{name}.", self.prefix),
            left: object,
            errors: Vec::new(),
        };
        let value = read(&mut inner);
        self.errors.extend(inner.into_errors());
        Some(value)
    }

    /// Takes a field away, whatever it is: its name is known, and it is wrong here.
    pub fn misplaced(&mut self, name: &str, message: impl Into<String>) {
        if self
            .left
            .shift_remove(name)
            .is_some_and(|value| !value.is_null())
        {
            self.wrong(name, message);
        }
    }

    /// Passes over a field about which nothing can be said.
    pub fn ignore(&mut self, name: &str) {
        self.left.shift_remove(name);
    }

    fn into_errors(mut self) -> Vec<FieldError> {
        let unknown: Vec<_> = self.left.keys().cloned().collect();
        for name in unknown {
            self.wrong(&name, "is not a known field");
        }
        self.errors
    }

    /// The end: all that is wrong, if anything is.
    pub fn finish(self) -> Result<(), Error> {
        let errors = self.into_errors();
        if errors.is_empty() {
            Ok(())
        } else {
            Err(Error::Validation(errors))
        }
    }
}
