//! The OpenAPI schemas of inputs.
//!
//! Invariant: the server accepts what a schema allows, and refuses fields that it does not name.

use super::Field;
use utoipa::openapi::{
    ArrayBuilder, Object, ObjectBuilder, OneOfBuilder, Ref, RefOr, Type,
    schema::{AdditionalProperties, Discriminator, Schema, SchemaType},
};

/// The schemas of a document, with their names.
pub type Schemas = Vec<(String, RefOr<Schema>)>;

/// Builds the schema of an object.
pub struct Described(ObjectBuilder);

impl Described {
    /// Starts with a description.
    pub fn new(about: &str) -> Self {
        let builder = ObjectBuilder::new().description(Some(paragraphs(about)));
        Described(builder.additional_properties(Some(AdditionalProperties::FreeForm(false))))
    }

    /// Adds a field with a constant value.
    #[must_use]
    pub fn tagged(self, name: &str, value: &'static str) -> Self {
        Described(self.0.property(name, word(&[value])).required(name))
    }

    /// Adds a field of this type.
    #[must_use]
    pub fn field<F: Field>(self, name: &str, about: &str) -> Self {
        let builder = self
            .0
            .property(name, with_description(F::document(), about));
        Described(match F::REQUIRED {
            true => builder.required(name),
            false => builder,
        })
    }

    /// Returns the schema.
    pub fn schema(self) -> RefOr<Schema> {
        self.0.into()
    }
}

/// A string that is one of these words.
pub fn word(words: &[&'static str]) -> RefOr<Schema> {
    let builder = ObjectBuilder::new().schema_type(Type::String);
    builder.enum_values(Some(words.iter().copied())).into()
}

/// One of several objects that differ in the value of one field. `variants` are its values, each with the name of a schema.
pub fn one_of(about: &str, field: &str, variants: &[(&str, &str)]) -> RefOr<Schema> {
    let reference = |name: &str| Ref::from_schema_name(name);
    let mapping = variants
        .iter()
        .map(|(says, name)| (*says, reference(name).ref_location));
    let mut builder = OneOfBuilder::new().description(Some(paragraphs(about)));
    for (_, name) in variants {
        builder = builder.item(reference(name));
    }
    builder
        .discriminator(Some(Discriminator::with_mapping(field, mapping)))
        .into()
}

/// A list of at most `most` entries.
pub(super) fn list(of: RefOr<Schema>, most: usize) -> RefOr<Schema> {
    ArrayBuilder::new().items(of).max_items(Some(most)).into()
}

/// `true` or `false`.
pub(super) fn boolean() -> RefOr<Schema> {
    Object::with_type(Type::Boolean).into()
}

/// The same schema, which also allows `null`.
pub(super) fn or_null(schema: RefOr<Schema>) -> RefOr<Schema> {
    match schema {
        RefOr::T(Schema::Object(mut object)) => {
            object.schema_type = with_null(object.schema_type);
            object.into()
        }
        RefOr::T(Schema::Array(mut array)) => {
            array.schema_type = with_null(array.schema_type);
            RefOr::T(Schema::Array(array))
        }
        other => OneOfBuilder::new()
            .item(Object::with_type(Type::Null))
            .item(other)
            .into(),
    }
}

fn with_null(kind: SchemaType) -> SchemaType {
    match kind {
        SchemaType::Type(kind) => SchemaType::Array(vec![kind, Type::Null]),
        other => other,
    }
}

/// The same schema with a description.
fn with_description(schema: RefOr<Schema>, about: &str) -> RefOr<Schema> {
    let paragraphs = paragraphs(about);
    let about = Some(paragraphs.clone());
    match schema {
        RefOr::Ref(mut reference) => {
            reference.description = paragraphs;
            RefOr::Ref(reference)
        }
        RefOr::T(Schema::Object(mut object)) => {
            object.description = about;
            object.into()
        }
        RefOr::T(Schema::Array(mut array)) => {
            array.description = about;
            RefOr::T(Schema::Array(array))
        }
        RefOr::T(Schema::OneOf(mut one_of)) => {
            one_of.description = about;
            RefOr::T(Schema::OneOf(one_of))
        }
        other => other,
    }
}

/// The text of a doc comment, without the space at the beginning of each line.
pub fn paragraphs(comment: &str) -> String {
    let lines: Vec<_> = comment
        .lines()
        .map(|line| line.strip_prefix(' ').unwrap_or(line))
        .collect();
    lines.join("\n").trim().to_owned()
}
