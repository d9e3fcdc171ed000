//! Turns many runs of one statement into a single statement whose parameters are arrays, with one element for each run.
//!
//! Each statement costs PostgreSQL and this process some tens of microseconds. Sending sixty-four of them in one round
//! trip does not reduce that.
//!
//! Invariant: each run finds and changes the same rows as it would on its own.

use super::{Session, explain};
use crate::{Each, Error, Row, Value};
use tokio_postgres::types::{ToSql, Type};

impl Session {
    /// Runs a query once for each of `runs`. All parameters must be texts or integers.
    pub(crate) async fn find_each<T>(
        &self,
        sql: &str,
        runs: &[Vec<Value<'_>>],
        read: &mut impl FnMut(&Row<'_>) -> Result<T, Error>,
    ) -> Result<Vec<Vec<T>>, Error> {
        let mut found: Vec<Vec<T>> = runs.iter().map(|_| Vec::new()).collect();
        let Some(arrays) = Arrays::of(runs)? else {
            return Ok(found);
        };
        let sql = find(sql, &arrays.kinds());
        for row in self.rows(&sql, &arrays).await? {
            let which: i64 = row.try_get(row.len() - 1).map_err(explain)?;
            if let Some(rows) = found.get_mut((which - 1) as usize) {
                rows.push(read(&Row::Postgres(&row))?);
            }
        }
        Ok(found)
    }

    /// Runs an `INSERT` of one row of `VALUES` once for each of `runs`. Returns the rows that they returned, in order.
    pub(crate) async fn insert_each<T>(
        &self,
        sql: &str,
        runs: &[Vec<Value<'_>>],
        read: &mut impl FnMut(&Row<'_>) -> Result<T, Error>,
    ) -> Result<Vec<T>, Error> {
        let Some(arrays) = Arrays::of(runs)? else {
            return Ok(Vec::new());
        };
        let sql = insert(sql, &arrays.kinds())?;
        let rows = self.rows(&sql, &arrays).await?;
        rows.iter().map(|row| read(&Row::Postgres(row))).collect()
    }

    /// Runs an `UPDATE` of one row once for each of `runs`, each of which must update a different row.
    pub(crate) async fn update_each(
        &self,
        sql: &str,
        runs: &[Vec<Value<'_>>],
    ) -> Result<(), Error> {
        let Some(arrays) = Arrays::of(runs)? else {
            return Ok(());
        };
        let sql = update(sql, &arrays.kinds())?;
        self.rows(&sql, &arrays).await.map(|_| ())
    }

    async fn rows(
        &self,
        sql: &str,
        arrays: &Arrays<'_>,
    ) -> Result<Vec<tokio_postgres::Row>, Error> {
        let params: Vec<_> = arrays.0.iter().map(Column::as_param).collect();
        let client = self.client();
        let statement = self.answer(client.prepare_cached(sql)).await?;
        self.answer(client.query(&statement, &params)).await
    }
}

/// The type of a parameter.
#[derive(Clone, Copy)]
enum Kind {
    Int,
    Text,
}

/// Rewrites a statement for many runs. `types` are the types of its parameters.
pub(super) fn for_types(each: &Each, types: &[Type]) -> Result<String, Error> {
    let kinds = types.iter().map(|kind| match *kind {
        Type::INT8 => Ok(Kind::Int),
        Type::TEXT => Ok(Kind::Text),
        _ => Err(mixed()),
    });
    let kinds: Vec<_> = kinds.collect::<Result<_, Error>>()?;
    match each {
        Each::Find(sql) => Ok(find(sql.postgres, &kinds)),
        Each::Insert(sql) => insert(sql.postgres, &kinds),
        Each::Update(sql) => update(sql.postgres, &kinds),
    }
}

fn find(sql: &str, kinds: &[Kind]) -> String {
    // `OFFSET 0` keeps the planner from merging the query with the list of runs. Merged, it might scan a whole table
    // that it takes for small.
    format!(
        "SELECT found.*, run.number FROM {}, LATERAL ({} OFFSET 0) AS found",
        list(kinds),
        rename(sql, kinds),
    )
}

fn insert(sql: &str, kinds: &[Kind]) -> Result<String, Error> {
    let parts = sql.split_once("VALUES (").and_then(|(head, rest)| {
        let (values, tail) = rest.split_once(')')?;
        Some((head, values, tail))
    });
    let Some((head, values, tail)) = parts else {
        return Err(Error::Broken(format!("no VALUES in {sql}")));
    };
    Ok(format!(
        "{head} SELECT {} FROM {} ORDER BY run.number {tail}",
        rename(values, kinds),
        list(kinds),
    ))
}

fn update(sql: &str, kinds: &[Kind]) -> Result<String, Error> {
    let sql = rename(sql, kinds);
    // The last one is the statement's own: its values may have subqueries, and its condition has none.
    let Some((head, tail)) = sql.rsplit_once("WHERE") else {
        return Err(Error::Broken(format!("no WHERE in {sql}")));
    };
    Ok(format!("{head} FROM {} WHERE {tail}", list(kinds)))
}

/// The runs as a table with the columns `run.p1` and so on, and `run.number`, which counts from 1.
fn list(kinds: &[Kind]) -> String {
    let (mut arrays, mut names) = (Vec::new(), Vec::new());
    for (at, kind) in (1..).zip(kinds) {
        let of = match kind {
            Kind::Int => "bigint",
            Kind::Text => "text",
        };
        arrays.push(format!("${at}::{of}[]"));
        names.push(format!("p{at}"));
    }
    let (arrays, names) = (arrays.join(", "), names.join(", "));
    format!("unnest({arrays}) WITH ORDINALITY AS run ({names}, number)")
}

/// Replaces each parameter `$n` by the column `run.pn`.
fn rename(sql: &str, kinds: &[Kind]) -> String {
    // Starts with the last parameter, since `$10` begins with `$1`.
    (1..=kinds.len()).rev().fold(sql.to_owned(), |sql, at| {
        sql.replace(&format!("${at}"), &format!("run.p{at}"))
    })
}

/// The parameters of all runs: one array for each parameter.
struct Arrays<'a>(Vec<Column<'a>>);

enum Column<'a> {
    Ints(Vec<Option<i64>>),
    /// Also a parameter that is `NULL` in every run.
    Texts(Vec<Option<&'a str>>),
}

impl<'a> Arrays<'a> {
    /// Collects the parameters. `None` if there are no runs.
    fn of(runs: &[Vec<Value<'a>>]) -> Result<Option<Self>, Error> {
        let Some(first) = runs.first() else {
            return Ok(None);
        };
        let column = |at: usize| {
            let values = || runs.iter().map(move |run| run.get(at).copied());
            if values().any(|value| matches!(value, Some(Value::Int(_)))) {
                let ints = values().map(|value| match value {
                    Some(Value::Int(int)) => Ok(Some(int)),
                    Some(Value::Null) => Ok(None),
                    _ => Err(mixed()),
                });
                return Ok(Column::Ints(ints.collect::<Result<_, Error>>()?));
            }
            let texts = values().map(|value| match value {
                Some(Value::Text(text)) => Ok(Some(text)),
                Some(Value::Null) => Ok(None),
                _ => Err(mixed()),
            });
            Ok(Column::Texts(texts.collect::<Result<_, Error>>()?))
        };
        let columns: Result<_, Error> = (0..first.len()).map(column).collect();
        Ok(Some(Arrays(columns?)))
    }

    fn kinds(&self) -> Vec<Kind> {
        let kind = |column: &Column<'_>| match column {
            Column::Ints(_) => Kind::Int,
            Column::Texts(_) => Kind::Text,
        };
        self.0.iter().map(kind).collect()
    }
}

impl Column<'_> {
    fn as_param(&self) -> &(dyn ToSql + Sync) {
        match self {
            Column::Ints(values) => values,
            Column::Texts(values) => values,
        }
    }
}

fn mixed() -> Error {
    Error::Broken(
        "a parameter of many runs must be a text in all of them, or an integer in all of them"
            .into(),
    )
}
