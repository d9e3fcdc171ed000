//! SQL, one file a noun. Every read takes the account; nothing here decides anything.
//!
//! Each file lists its statements in `ALL`, which a test prepares on both engines. Parameters are
//! numbered in the order of their first use, as SQLite counts them.

pub mod accounts;
pub mod addresses;
pub mod aliases;
pub mod business;
pub mod contacts;
pub mod conversations;
pub mod identities;
pub mod inboxes;
pub mod instance;
pub mod invariants;
pub mod joins;
pub mod keys;
pub mod messages;
pub mod purge;
pub mod quarantine;
pub mod secrets;

use db::{Each, Error, Migration, Sql};

/// The schema's history. A new step goes to the end; an old one never changes.
pub const MIGRATIONS: &[Migration] = &[
    Migration {
        version: 1,
        name: "inboxes",
        sql: Sql {
            sqlite: include_str!("../../migrations/0001.sqlite.sql"),
            postgres: include_str!("../../migrations/0001.postgres.sql"),
        },
    },
    Migration {
        version: 2,
        name: "narrowed lists",
        sql: Sql {
            sqlite: include_str!("../../migrations/0002.sqlite.sql"),
            postgres: include_str!("../../migrations/0002.postgres.sql"),
        },
    },
    Migration {
        version: 3,
        name: "rate limits",
        sql: Sql {
            sqlite: include_str!("../../migrations/0003.sqlite.sql"),
            postgres: include_str!("../../migrations/0003.postgres.sql"),
        },
    },
    Migration {
        version: 4,
        name: "placeholders",
        sql: Sql {
            sqlite: include_str!("../../migrations/0004.sqlite.sql"),
            postgres: include_str!("../../migrations/0004.postgres.sql"),
        },
    },
    Migration {
        version: 5,
        name: "deleted inboxes",
        sql: Sql {
            sqlite: include_str!("../../migrations/0005.sqlite.sql"),
            postgres: include_str!("../../migrations/0005.postgres.sql"),
        },
    },
    Migration {
        version: 6,
        name: "changed inboxes",
        sql: Sql {
            sqlite: include_str!("../../migrations/0006.sqlite.sql"),
            postgres: include_str!("../../migrations/0006.postgres.sql"),
        },
    },
    Migration {
        version: 7,
        name: "finer changes",
        sql: Sql {
            sqlite: include_str!("../../migrations/0007.sqlite.sql"),
            postgres: include_str!("../../migrations/0007.postgres.sql"),
        },
    },
    Migration {
        version: 8,
        name: "quoted messages",
        sql: Sql {
            sqlite: include_str!("../../migrations/0008.sqlite.sql"),
            postgres: include_str!("../../migrations/0008.postgres.sql"),
        },
    },
    Migration {
        version: 9,
        name: "last messages",
        sql: Sql {
            sqlite: include_str!("../../migrations/0009.sqlite.sql"),
            postgres: include_str!("../../migrations/0009.postgres.sql"),
        },
    },
    Migration {
        version: 10,
        name: "identities",
        sql: Sql {
            sqlite: include_str!("../../migrations/0010.sqlite.sql"),
            postgres: include_str!("../../migrations/0010.postgres.sql"),
        },
    },
    Migration {
        version: 11,
        name: "business accounts",
        sql: Sql {
            sqlite: include_str!("../../migrations/0011.sqlite.sql"),
            postgres: include_str!("../../migrations/0011.postgres.sql"),
        },
    },
];

/// Every statement of the program, by file.
pub const STATEMENTS: &[&[Sql]] = &[
    accounts::ALL,
    addresses::ALL,
    aliases::ALL,
    business::ALL,
    contacts::ALL,
    conversations::ALL,
    conversations::READING,
    identities::ALL,
    inboxes::ALL,
    inboxes::BY_ENGINE,
    inboxes::OF_LONG_LISTS,
    instance::ALL,
    invariants::ALL,
    joins::ALL,
    keys::ALL,
    messages::READING,
    messages::ARRIVING,
    messages::CHANGES,
    messages::READING_CHANGES,
    purge::ALL,
    purge::BY_ENGINE,
    quarantine::ALL,
    secrets::ALL,
];

/// Those of them whose work is all of the data: `inboxd verify` looks at everything.
pub const OF_ALL_DATA: &[Sql] = invariants::ALL;

/// Those that run many times at once, by file.
pub const EACH: &[&[Each]] = &[
    accounts::EACH,
    business::EACH,
    contacts::EACH,
    conversations::EACH,
    identities::EACH,
    inboxes::EACH,
    messages::EACH,
];

/// What a statement gave back that gives one row for each run. Were one missing, every later one would be taken for
/// another run's.
fn one_each<T>(given: Vec<T>, runs: usize) -> Result<Vec<T>, Error> {
    match given.len() == runs {
        true => Ok(given),
        false => Err(Error::Broken(format!(
            "{} rows for {runs} runs",
            given.len()
        ))),
    }
}

/// The only row of a run that gives just one.
fn one<T>(given: Vec<T>) -> Result<T, Error> {
    let rows = given.len();
    match <[T; 1]>::try_from(given) {
        Ok([row]) => Ok(row),
        Err(_) => Err(Error::Broken(format!("{rows} rows for one run"))),
    }
}

/// Leaves out, in a statement whose `$1` is the account, what is in a deleted inbox: the inbox's id is in this column.
/// SQLite takes the index of the deleted inboxes for a range, and not for `IS NOT NULL`.
macro_rules! not_deleted {
    ($column:literal) => {
        concat!(
            " AND ",
            $column,
            " NOT IN (SELECT d.id FROM inboxes d WHERE d.account_id = $1 AND d.deleted_at > 0) "
        )
    };
}
use not_deleted;

/// Names statements, and gathers them in `ALL`.
macro_rules! statements {
    ($($name:ident = $text:expr;)*) => {
        $(const $name: db::Sql = db::Sql::same($text);)*
        pub(in crate::store) const ALL: &[db::Sql] = &[$($name),*];
    };
}
use statements;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_row_is_an_error_and_nobody_elses() {
        assert!(one_each(vec!["a", "b"], 2).is_ok());
        assert!(one_each(vec!["a", "b"], 3).is_err());
        assert!(one_each(vec!["a", "b"], 1).is_err());
        assert!(matches!(one(vec!["a"]), Ok("a")));
        assert!(one(Vec::<&str>::new()).is_err());
        assert!(one(vec!["a", "b"]).is_err());
    }
}
