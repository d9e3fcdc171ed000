//! How answers in the envelope are documented: each is called after what it holds, `InboxAnswer` or `InboxPage`.
//!
//! How they are written is not here: see `envelope`.

use super::envelope::{Page, Success};
use crate::input::Schemas;
use std::borrow::Cow;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        ArrayBuilder, ObjectBuilder, Ref, RefOr, Type,
        schema::{Object, Schema},
    },
};

impl<T: ToSchema> PartialSchema for Success<T> {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .property("success", always_true())
            .required("success")
            .property("data", Ref::from_schema_name(T::name()))
            .required("data")
            .into()
    }
}

impl<T: ToSchema> ToSchema for Success<T> {
    fn name() -> Cow<'static, str> {
        format!("{}Answer", T::name()).into()
    }

    fn schemas(all: &mut Schemas) {
        with_own::<T>(all);
    }
}

impl<T: ToSchema, P: ToSchema> PartialSchema for Page<T, P> {
    fn schema() -> RefOr<Schema> {
        let data = ArrayBuilder::new().items(Ref::from_schema_name(T::name()));
        ObjectBuilder::new()
            .property("success", always_true())
            .required("success")
            .property("data", data)
            .required("data")
            .property("pagination", Ref::from_schema_name(P::name()))
            .required("pagination")
            .into()
    }
}

impl<T: ToSchema, P: ToSchema> ToSchema for Page<T, P> {
    fn name() -> Cow<'static, str> {
        format!("{}Page", T::name()).into()
    }

    fn schemas(all: &mut Schemas) {
        with_own::<T>(all);
        with_own::<P>(all);
    }
}

/// The schema of a type, and those that it refers to.
fn with_own<T: ToSchema>(all: &mut Schemas) {
    all.push((T::name().into_owned(), T::schema()));
    T::schemas(all);
}

/// Not an enum of one: clients of openapi-generator would compare the boolean with a text.
fn always_true() -> Object {
    let boolean = ObjectBuilder::new().schema_type(Type::Boolean);
    boolean
        .description(Some("Always `true`."))
        .examples([true])
        .build()
}
