//! Statements: one text for both engines, or two texts where the dialects differ. Also statements that run many times
//! at once.

/// A statement. Its parameters are `$1`, `$2` and so on.
#[derive(Debug, Clone, Copy)]
pub struct Sql {
    /// The text for SQLite.
    pub sqlite: &'static str,
    /// The text for PostgreSQL.
    pub postgres: &'static str,
}

impl Sql {
    /// A statement with the same text on both engines.
    pub const fn same(text: &'static str) -> Self {
        Sql {
            sqlite: text,
            postgres: text,
        }
    }
}

/// A statement that runs many times at once. On PostgreSQL its kind decides how it is rewritten into one statement.
#[derive(Debug, Clone, Copy)]
pub enum Each {
    /// A query, for `Session::find_each`.
    Find(Sql),
    /// An `INSERT`, for `Session::insert_each`.
    Insert(Sql),
    /// An `UPDATE`, for `Session::update_each`.
    Update(Sql),
}

impl Each {
    /// The statement of a single run.
    pub fn sql(&self) -> &Sql {
        match self {
            Each::Find(sql) | Each::Insert(sql) | Each::Update(sql) => sql,
        }
    }
}
