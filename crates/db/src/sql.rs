//! Statements: one text for both engines, or two side by side where the dialects must differ.

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
