//! Parameters of statements and columns of rows: integers, texts, bytes, or `NULL`.
//!
//! Only these three types behave exactly the same on both engines. Times are stored as integers, and JSON as text.

use crate::Error;
use bytes::BytesMut;
use rusqlite::types::{FromSql, ToSqlOutput, ValueRef};
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};

/// A parameter of a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value<'a> {
    /// `NULL` of any type.
    Null,
    /// `BIGINT`.
    Int(i64),
    /// `TEXT`. PostgreSQL cannot store U+0000 in it.
    Text(&'a str),
    /// `BLOB` or `BYTEA`.
    Bytes(&'a [u8]),
}

impl From<i64> for Value<'_> {
    fn from(value: i64) -> Self {
        Value::Int(value)
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(value: &'a str) -> Self {
        Value::Text(value)
    }
}

impl<'a> From<&'a String> for Value<'a> {
    fn from(value: &'a String) -> Self {
        Value::Text(value)
    }
}

impl<'a> From<&'a [u8]> for Value<'a> {
    fn from(value: &'a [u8]) -> Self {
        Value::Bytes(value)
    }
}

impl<'a, T: Into<Value<'a>>> From<Option<T>> for Value<'a> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Value::Null, Into::into)
    }
}

impl rusqlite::ToSql for Value<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match *self {
            Value::Null => ValueRef::Null,
            Value::Int(value) => ValueRef::Integer(value),
            Value::Text(value) => ValueRef::Text(value.as_bytes()),
            Value::Bytes(value) => ValueRef::Blob(value),
        }))
    }
}

impl ToSql for Value<'_> {
    fn to_sql(
        &self,
        ty: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match self {
            Value::Null => Ok(IsNull::Yes),
            Value::Int(value) => checked(value, ty, out),
            Value::Text(value) => checked(value, ty, out),
            Value::Bytes(value) => checked(value, ty, out),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

/// Refuses a value that does not fit the column's type. Otherwise it would be written as garbage.
fn checked<T: ToSql>(
    value: &T,
    ty: &Type,
    out: &mut BytesMut,
) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
    if !T::accepts(ty) {
        return Err(format!("a parameter does not fit a column of type {ty}").into());
    }
    value.to_sql(ty, out)
}

/// One row of a result.
pub enum Row<'a> {
    #[doc(hidden)]
    Sqlite(&'a rusqlite::Row<'a>),
    #[doc(hidden)]
    Postgres(&'a tokio_postgres::Row),
}

impl Row<'_> {
    /// Reads the column at `index`, counted from 0. An error means that the statement and the code that reads it do not
    /// match.
    pub fn get<T: Column>(&self, index: usize) -> Result<T, Error> {
        match self {
            Row::Sqlite(row) => row.get(index).map_err(broken),
            Row::Postgres(row) => row.try_get(index).map_err(broken),
        }
    }

    /// Borrows the text of the column at `index`, counted from 0, without a copy.
    pub fn text(&self, index: usize) -> Result<&str, Error> {
        let text = self.text_or_null(index)?;
        text.ok_or_else(|| broken(format!("column {index} has no value")))
    }

    /// The same of a column that may be `NULL`.
    pub fn text_or_null(&self, index: usize) -> Result<Option<&str>, Error> {
        match self {
            Row::Sqlite(row) => {
                let value = row.get_ref(index);
                let text = value.and_then(|value| value.as_str_or_null().map_err(Into::into));
                text.map_err(broken)
            }
            Row::Postgres(row) => row.try_get(index).map_err(broken),
        }
    }
}

fn broken(error: impl ToString) -> Error {
    Error::Broken(error.to_string())
}

/// A type that a column can be read as on both engines.
pub trait Column: FromSql + for<'a> tokio_postgres::types::FromSql<'a> {}

impl Column for i64 {}
impl Column for String {}
impl Column for Vec<u8> {}
impl Column for Option<i64> {}
impl Column for Option<String> {}
impl Column for Option<Vec<u8>> {}
