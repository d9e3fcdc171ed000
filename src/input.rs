//! What a request says: a body or a query as a struct, which is read and documented from the same lines.
//!
//! A field's type says everything about it: `T` is required, `Option<T>` may be left out, [`Given`] may be left out or `null`;
//! `T` itself knows what it must look like, and how that is documented. Which fields there are is said where they are used.
//!
//! Invariant: every wrong field is reported, not just the first, and so is every field of a body that nobody asked for.

mod schema;
mod text;

pub use schema::{Described, Schemas, one_of, paragraphs, word};
pub use text::Text;
pub(crate) use text::text;

use crate::error::{Error, FieldError};
use serde_json::{Map, Value};
use utoipa::openapi::{RefOr, schema::Schema};

/// What a field can hold.
pub trait Content: Sized {
    /// Reads a value. `None` once `at` knows what is wrong with it.
    fn read(value: Value, at: &mut At<'_>) -> Option<Self>;

    /// What a required field is that is not there. `None` once `at` knows that it is missing.
    fn absent(at: &mut At<'_>) -> Option<Self> {
        at.wrong("is required");
        None
    }

    /// How it is documented inside of something else.
    fn document() -> RefOr<Schema>;

    /// The schemas that the documentation refers to.
    fn schemas(_all: &mut Schemas) {}
}

/// A field, as its struct declares it.
pub trait Field: Sized {
    /// Whether it must be there.
    const REQUIRED: bool;

    /// Takes it out of what is read. `None` once it is noted what is wrong.
    fn take(source: &mut impl Source, name: &str) -> Option<Self>;

    /// How it is documented.
    fn document() -> RefOr<Schema>;

    /// The schemas that the documentation refers to.
    fn schemas(all: &mut Schemas);
}

/// Where fields are read from: the object of a body, or a query.
pub trait Source {
    /// Takes a field out. `None` if it is not there.
    fn take(&mut self, name: &str) -> Option<Value>;

    /// Where errors of a field belong.
    fn at(&mut self, name: &str) -> At<'_>;
}

/// A place in what is read, and where its errors are gathered.
#[derive(Debug)]
pub struct At<'a> {
    path: String,
    errors: &'a mut Vec<FieldError>,
}

impl At<'_> {
    /// Notes that what is here is wrong.
    pub fn wrong(&mut self, message: impl Into<String>) {
        let error = FieldError::new(self.path.clone(), message);
        if !self.errors.contains(&error) {
            self.errors.push(error);
        }
    }

    /// A place inside of this one: `.name` or `[0]`.
    pub fn inside(&mut self, step: &str) -> At<'_> {
        At {
            path: format!("{}{step}", self.path),
            errors: self.errors,
        }
    }
}

impl<'a> At<'a> {
    /// The place of a field or parameter that is not inside of another one.
    pub fn top(name: &str, errors: &'a mut Vec<FieldError>) -> Self {
        At {
            path: name.to_owned(),
            errors,
        }
    }
}

impl<T: Content> Field for T {
    const REQUIRED: bool = true;

    fn take(source: &mut impl Source, name: &str) -> Option<Self> {
        match source.take(name) {
            None | Some(Value::Null) => T::absent(&mut source.at(name)),
            Some(value) => T::read(value, &mut source.at(name)),
        }
    }

    fn document() -> RefOr<Schema> {
        <T as Content>::document()
    }

    fn schemas(all: &mut Schemas) {
        <T as Content>::schemas(all);
    }
}

impl<T: Content> Field for Option<T> {
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

    fn document() -> RefOr<Schema> {
        <T as Content>::document()
    }

    fn schemas(all: &mut Schemas) {
        <T as Content>::schemas(all);
    }
}

/// A field that may be left out, or be `null`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Given<T> {
    /// It is left out.
    #[default]
    Absent,
    /// `null`: in a change, take it away.
    Null,
    /// This.
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

    /// The same of another type.
    pub fn map<U>(self, to: impl FnOnce(T) -> U) -> Given<U> {
        match self {
            Given::Absent => Given::Absent,
            Given::Null => Given::Null,
            Given::Value(value) => Given::Value(to(value)),
        }
    }

    /// What a change makes of something that may be there.
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

    fn schemas(all: &mut Schemas) {
        <T as Content>::schemas(all);
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

/// The fields of a JSON object, while they are read. What is left at the end is unknown.
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
    /// Those of a whole body.
    pub fn new(body: Map<String, Value>, errors: &'a mut Vec<FieldError>) -> Self {
        Fields {
            left: body,
            prefix: String::new(),
            errors,
        }
    }

    /// Those of an object at this place. `None` if it is no object, which is noted.
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

    /// A field that is not taken out.
    pub fn look(&self, name: &str) -> Option<&Value> {
        self.left.get(name)
    }

    /// Takes fields away, whatever they are.
    pub fn forget<'n>(&mut self, names: impl IntoIterator<Item = &'n &'n str>) {
        for name in names {
            self.left.shift_remove(*name);
        }
    }

    /// Takes those away that are `null`.
    pub fn forget_nulls<'n>(&mut self, names: impl IntoIterator<Item = &'n &'n str>) {
        for name in names {
            if self.left.get(*name).is_some_and(Value::is_null) {
                self.left.shift_remove(*name);
            }
        }
    }

    /// Takes fields away that are known, and wrong here.
    pub fn refuse<'n>(&mut self, names: impl IntoIterator<Item = &'n &'n str>, message: &str) {
        for name in names {
            if self.left.shift_remove(*name).is_some() {
                self.at(name).wrong(message);
            }
        }
    }

    /// The same for fields of an object in this one.
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

    /// The end: what is left is unknown.
    pub fn finish(mut self) {
        for name in std::mem::take(&mut self.left)
            .into_iter()
            .map(|(name, _)| name)
        {
            self.at(&name).wrong("is not a known field");
        }
    }
}

/// Reads a body by a function that notes what is wrong with its fields. Those that it leaves are unknown.
///
/// # Errors
/// [`Error::Validation`] with all that is wrong.
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

/// The error of an input that cannot be read, though nothing is wrong with it: it can only be ours.
pub fn unread(what: &str) -> Error {
    Error::Internal(format!("{what} has no errors, and cannot be read"))
}

/// The name of a field whose identifier this is: `r#type` is `type`.
pub const fn name(identifier: &str) -> &str {
    match identifier.as_bytes() {
        [b'r', b'#', ..] => identifier.split_at(2).1,
        _ => identifier,
    }
}

/// Declares the object of a body, with what reads and documents it. It may have a field that always says the same, by which
/// it is known: `where type = "whatsapp"`.
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

            /// Takes its fields out of an object. `None` once it is noted what is wrong.
            $vis fn take(fields: &mut $crate::input::Fields<'_>) -> Option<Self> {
                use $crate::input::{Field, name};
                $($crate::input::Source::take(fields, stringify!($tag));)?
                // All of them first: what is wrong with one must not hide what is wrong with the next.
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

            // What it lacks says more than that it is missing.
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
                $(<$type as $crate::input::Field>::schemas(all);)*
            }
        }
    };
}
pub(crate) use input;
