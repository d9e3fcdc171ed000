//! Statements: one text for both engines, or two side by side where the dialects must differ; and those that run many
//! times at once.

/// A statement, with `$1…` for its parameters.
#[derive(Debug, Clone, Copy)]
pub struct Sql {
    /// The text for SQLite.
    pub sqlite: &'static str,
    /// The text for PostgreSQL.
    pub postgres: &'static str,
}

impl Sql {
    /// One text for both engines.
    pub const fn same(text: &'static str) -> Self {
        Sql {
            sqlite: text,
            postgres: text,
        }
    }
}

/// A statement that runs many times at once: what `Session` makes of it on PostgreSQL depends on its kind.
#[derive(Debug, Clone, Copy)]
pub enum Each {
    /// For `Session::find_each`.
    Find(Sql),
    /// For `Session::insert_each`.
    Insert(Sql),
    /// For `Session::update_each`.
    Update(Sql),
}

impl Each {
    /// One run of it.
    pub fn sql(&self) -> &Sql {
        match self {
            Each::Find(sql) | Each::Insert(sql) | Each::Update(sql) => sql,
        }
    }
}
