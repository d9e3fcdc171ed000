//! The input of operations: bodies and queries as structs. One declaration both reads and documents each of them.
//!
//! The type of a field says everything about it: `T` is required, `Option<T>` may be absent, and [`Given`] may be absent or
//! `null`. The type `T` itself knows its rule and its schema. The structs are declared where they are used, not here.
//!
//! Invariant: every wrong field is reported, not just the first, and so is every unknown field of a body.

mod schema;
mod text;

pub use schema::{Described, Schemas, one_of, paragraphs, word};
pub use text::Text;
pub(crate) use text::text;

use crate::error::{Error, FieldError};
use serde_json::{Map, Value};
use utoipa::openapi::{RefOr, schema::Schema};

/// The type of a field's values.
pub trait Content: Sized {
    /// Reads a value. `None` if it is wrong, after the error was recorded in `at`.
    fn read(value: Value, at: &mut At<'_>) -> Option<Self>;

    /// The value of a required field that is absent. `None` after the error was recorded in `at`.
    fn absent(at: &mut At<'_>) -> Option<Self> {
        at.wrong("is required");
        None
    }

    /// The schema, as a part of another one.
    fn document() -> RefOr<Schema>;

    /// Adds the schemas that [`Content::document`] refers to.
    fn schemas(_all: &mut Schemas) {}
}

/// The declared type of a field: it says whether the field is required, and whether it may be `null`.
pub trait Field: Sized {
    /// The type of its values.
    type Of: Content;

    /// Whether the field is required.
    const REQUIRED: bool;

    /// Takes the field out of its source. `None` if it is wrong, after the error was recorded.
    fn take(source: &mut impl Source, name: &str) -> Option<Self>;

    /// The schema of the field.
    fn document() -> RefOr<Schema> {
        <Self::Of as Content>::document()
    }
}

/// The source of fields: the object of a body, or a query.
pub trait Source {
    /// Takes a field out. `None` if it is absent.
    fn take(&mut self, name: &str) -> Option<Value>;

    /// The place for the errors of a field.
    fn at(&mut self, name: &str) -> At<'_>;
}

/// The place of a value in the input, where its errors are recorded.
#[derive(Debug)]
pub struct At<'a> {
    path: String,
    errors: &'a mut Vec<FieldError>,
}

impl At<'_> {
    /// Records an error of the value at this place.
    pub fn wrong(&mut self, message: impl Into<String>) {
        let error = FieldError::new(self.path.clone(), message);
        if !self.errors.contains(&error) {
            self.errors.push(error);
        }
    }

    /// A place inside this one: `.name` or `[0]`.
    pub fn inside(&mut self, step: &str) -> At<'_> {
        At {
            path: format!("{}{step}", self.path),
            errors: self.errors,
        }
    }
}

impl<'a> At<'a> {
    /// The place of a field or parameter that is not inside another one.
    pub fn top(name: &str, errors: &'a mut Vec<FieldError>) -> Self {
        At {
            path: name.to_owned(),
            errors,
        }
    }
}

impl<T: Content> Field for T {
    type Of = T;
    const REQUIRED: bool = true;

    fn take(source: &mut impl Source, name: &str) -> Option<Self> {
        match source.take(name) {
            None | Some(Value::Null) => T::absent(&mut source.at(name)),
            Some(value) => T::read(value, &mut source.at(name)),
        }
    }
}

impl<T: Content> Field for Option<T> {
    type Of = T;
    const REQUIRED: bool = false;

    fn take(source: &mut impl Source, name: &str) -> Option<Self> {
        match source.take(name) {
            None => Some(None),
            Some(Value::Null) => {
                source.at(name).wrong("must not be null");
                None
            }
            Some(value) => T::read(value, &mut source.at(name)).map(Some),
        }
    }
}

/// A field that may be absent or `null`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Given<T> {
    /// The field is absent.
    #[default]
    Absent,
    /// `null`. In a change, this removes the value.
    Null,
    /// A value.
    Value(T),
}

impl<T> Given<T> {
    /// The value, if there is one.
    pub fn value(self) -> Option<T> {
        match self {
            Given::Value(value) => Some(value),
            Given::Absent | Given::Null => None,
        }
    }

    /// Converts the value.
    pub fn map<U>(self, to: impl FnOnce(T) -> U) -> Given<U> {
        match self {
            Given::Absent => Given::Absent,
            Given::Null => Given::Null,
            Given::Value(value) => Given::Value(to(value)),
        }
    }

    /// Applies it to an optional value, as a change does.
    pub fn apply(self, to: &mut Option<T>) {
        match self {
            Given::Absent => {}
            Given::Null => *to = None,
            Given::Value(value) => *to = Some(value),
        }
    }
}

impl<T> From<Option<T>> for Given<T> {
    fn from(option: Option<T>) -> Self {
        option.map_or(Given::Absent, Given::Value)
    }
}

impl<T: Content> Field for Given<T> {
    type Of = T;
    const REQUIRED: bool = false;

    fn take(source: &mut impl Source, name: &str) -> Option<Self> {
        match source.take(name) {
            None => Some(Given::Absent),
            Some(Value::Null) => Some(Given::Null),
            Some(value) => T::read(value, &mut source.at(name)).map(Given::Value),
        }
    }

    fn document() -> RefOr<Schema> {
        schema::or_null(<T as Content>::document())
    }
}

impl Content for bool {
    fn read(value: Value, at: &mut At<'_>) -> Option<Self> {
        let flag = value.as_bool();
        if flag.is_none() {
            at.wrong("must be true or false");
        }
        flag
    }

    fn document() -> RefOr<Schema> {
        schema::boolean()
    }
}

/// A list of at most `MOST` entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct List<T, const MOST: usize>(pub Vec<T>);

impl<T: Content, const MOST: usize> Content for List<T, MOST> {
    fn read(value: Value, at: &mut At<'_>) -> Option<Self> {
        let Value::Array(entries) = value else {
            at.wrong("must be a list of strings");
            return None;
        };
        if entries.len() > MOST {
            at.wrong(format!("must have at most {MOST} entries"));
            return None;
        }
        let read: Vec<_> = entries
            .into_iter()
            .enumerate()
            .map(|(index, entry)| T::read(entry, &mut at.inside(&format!("[{index}]"))))
            .collect();
        read.into_iter().collect::<Option<_>>().map(List)
    }

    fn document() -> RefOr<Schema> {
        schema::list(T::document(), MOST)
    }

    fn schemas(all: &mut Schemas) {
        T::schemas(all);
    }
}

/// The fields of a JSON object, while they are being read. Those that are left at the end are unknown.
#[derive(Debug)]
pub struct Fields<'a> {
    left: Map<String, Value>,
    prefix: String,
    errors: &'a mut Vec<FieldError>,
}

impl Source for Fields<'_> {
    fn take(&mut self, name: &str) -> Option<Value> {
        self.left.shift_remove(name)
    }

    fn at(&mut self, name: &str) -> At<'_> {
        At {
            path: format!("{}{name}", self.prefix),
            errors: self.errors,
        }
    }
}

impl<'a> Fields<'a> {
    /// The fields of a whole body.
    pub fn new(body: Map<String, Value>, errors: &'a mut Vec<FieldError>) -> Self {
        Fields {
            left: body,
            prefix: String::new(),
            errors,
        }
    }

    /// The fields of an object at this place. `None` if the value is not an object, after the error was recorded.
    pub fn inside(value: Value, at: &'a mut At<'_>) -> Option<Self> {
        match value {
            Value::Object(left) => Some(Fields {
                left,
                prefix: format!("{}.", at.path),
                errors: at.errors,
            }),
            _ => {
                at.wrong("must be an object");
                None
            }
        }
    }

    /// Returns a field without taking it out.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.left.get(name)
    }

    /// Returns a field without taking it out, to be changed.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Value> {
        self.left.get_mut(name)
    }

    /// Removes fields, whatever their values are.
    pub fn discard<'n>(&mut self, names: impl IntoIterator<Item = &'n &'n str>) {
        for name in names {
            self.left.shift_remove(*name);
        }
    }

    /// Removes those of these fields that are `null`.
    pub fn discard_nulls<'n>(&mut self, names: impl IntoIterator<Item = &'n &'n str>) {
        for name in names {
            if self.left.get(*name).is_some_and(Value::is_null) {
                self.left.shift_remove(*name);
            }
        }
    }

    /// Removes fields that are known but not allowed here, and records an error for each.
    pub fn refuse<'n>(&mut self, names: impl IntoIterator<Item = &'n &'n str>, message: &str) {
        for name in names {
            if self.left.shift_remove(*name).is_some() {
                self.at(name).wrong(message);
            }
        }
    }

    /// The same for fields of an object inside this one.
    pub fn refuse_in<'n>(
        &mut self,
        object: &str,
        names: impl IntoIterator<Item = &'n &'n str>,
        message: &str,
    ) {
        let Some(Value::Object(inner)) = self.left.get_mut(object) else {
            return;
        };
        for name in names {
            if inner.shift_remove(*name).is_some() {
                let path = format!("{}{object}.{name}", self.prefix);
                let errors = &mut *self.errors;
                At { path, errors }.wrong(message);
            }
        }
    }

    /// Records an error for each field that is left, since it is unknown.
    pub fn finish(mut self) {
        for (name, _) in std::mem::take(&mut self.left) {
            // Unlike `wrong`, this does not search for an earlier error of the field, which would make many fields quadratic.
            // An object has each name once.
            let path = format!("{}{name}", self.prefix);
            let error = FieldError::new(path, "is not a known field");
            self.errors.push(error);
        }
    }
}

/// Reads a body with a function that takes its fields and records their errors. Fields that it leaves are unknown.
///
/// # Errors
/// [`Error::Validation`] with all errors.
pub fn read<T>(
    body: Map<String, Value>,
    by: impl FnOnce(&mut Fields<'_>) -> Option<T>,
) -> Result<T, Error> {
    let mut errors = Vec::new();
    let mut fields = Fields::new(body, &mut errors);
    let read = by(&mut fields);
    fields.finish();
    match read {
        Some(read) if errors.is_empty() => Ok(read),
        None if errors.is_empty() => Err(unread("a body")),
        _ => Err(Error::Validation(errors)),
    }
}

/// The error for an input that could not be read although no error was recorded. This is a bug in a rule.
pub fn unread(what: &str) -> Error {
    Error::Internal(format!("{what} has no errors, and cannot be read"))
}

/// The name of the field with this identifier: `r#type` is `type`.
pub const fn name(identifier: &str) -> &str {
    match identifier.as_bytes() {
        [b'r', b'#', ..] => identifier.split_at(2).1,
        _ => identifier,
    }
}

/// Declares the object of a body, and generates the code that reads and documents it. It may have a field with a constant
/// value that tells it from other objects: `where type = "whatsapp"`.
macro_rules! input {
    (
        $(#[doc = $about:literal])+
        $(#[derive($($derive:ident),+)])?
        $vis:vis struct $Name:ident $(where $tag:ident = $word:literal)? {
            $($(#[doc = $doc:literal])+ $field_vis:vis $field:ident: $type:ty,)*
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Debug)]
        $(#[derive($($derive),+)])?
        $vis struct $Name {
            $($(#[doc = $doc])+ $field_vis $field: $type,)*
        }

        impl $Name {
            /// The names of its fields.
            $vis const NAMES: &[&str] = &[$(stringify!($tag),)? $($crate::input::name(stringify!($field)),)*];

            /// Takes its fields out of an object. `None` if any is wrong, after the errors were recorded.
            $vis fn take(fields: &mut $crate::input::Fields<'_>) -> Option<Self> {
                use $crate::input::{Field, name};
                $($crate::input::Source::take(fields, stringify!($tag));)?
                // Reads all of them before it fails, so that every error is reported.
                $(let $field = <$type as Field>::take(fields, name(stringify!($field)));)*
                Some($Name { $($field: $field?,)* })
            }
        }

        impl $crate::input::Content for $Name {
            fn read(value: serde_json::Value, at: &mut $crate::input::At<'_>) -> Option<Self> {
                let mut fields = $crate::input::Fields::inside(value, at)?;
                let read = Self::take(&mut fields);
                fields.finish();
                read
            }

            // The errors of its required fields say more than that the object is missing.
            fn absent(at: &mut $crate::input::At<'_>) -> Option<Self> {
                Self::read(serde_json::Value::Object(serde_json::Map::new()), at)
            }

            fn document() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                utoipa::openapi::Ref::from_schema_name(stringify!($Name)).into()
            }

            fn schemas(all: &mut $crate::input::Schemas) {
                all.push((stringify!($Name).to_owned(), <Self as utoipa::PartialSchema>::schema()));
                <Self as utoipa::ToSchema>::schemas(all);
            }
        }

        impl utoipa::PartialSchema for $Name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                $crate::input::Described::new(concat!($($about, "\n"),+))
                    $(.tagged(stringify!($tag), $word))?
                    $(.field::<$type>($crate::input::name(stringify!($field)), concat!($($doc, "\n"),+)))*
                    .schema()
            }
        }

        impl utoipa::ToSchema for $Name {
            fn schemas(all: &mut $crate::input::Schemas) {
                $(<<$type as $crate::input::Field>::Of as $crate::input::Content>::schemas(all);)*
            }
        }
    };
}
pub(crate) use input;
