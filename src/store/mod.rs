//! The SQL of the program, with one file for each noun. Decisions are made in `ops`, not here.
//!
//! Each file lists its statements in `ALL`. A test prepares all of them on both engines. Parameters are numbered in the
//! order of their first use, as SQLite counts them.
//!
//! Invariant: every read takes the account.

pub mod accounts;
pub mod addresses;
pub mod aliases;
pub mod business;
pub mod contact_words;
pub mod contacts;
pub mod conversations;
pub mod echoes;
pub mod external_ids;
pub mod idempotency;
pub mod identities;
pub mod inboxes;
pub mod instance;
pub mod invariants;
pub mod joins;
pub mod keys;
pub mod messages;
pub mod outbox;
pub mod provider_ids;
pub mod purge;
pub mod quarantine;
pub mod secrets;
pub mod visitor_sessions;

use db::{Each, Error, Migration, Sql};

/// Declares the migrations, each with the number of its files.
macro_rules! migrations {
    ($($version:literal $file:literal $name:literal;)*) => {
        &[$(Migration {
            version: $version,
            name: $name,
            sql: Sql {
                sqlite: include_str!(concat!("../../migrations/", $file, ".sqlite.sql")),
                postgres: include_str!(concat!("../../migrations/", $file, ".postgres.sql")),
            },
        }),*]
    };
}

/// The migrations of the schema. A new one is added at the end. An old one never changes.
pub const MIGRATIONS: &[Migration] = migrations! {
    1 "0001" "inboxes";
    2 "0002" "narrowed lists";
    3 "0003" "rate limits";
    4 "0004" "placeholders";
    5 "0005" "deleted inboxes";
    6 "0006" "changed inboxes";
    7 "0007" "finer changes";
    8 "0008" "quoted messages";
    9 "0009" "last messages";
    10 "0010" "identities";
    11 "0011" "business accounts";
    12 "0012" "sending";
    13 "0013" "waiting and unread";
    14 "0014" "contacts";
    15 "0015" "visitor sessions";
    16 "0016" "attempts";
};

/// Every statement of the program, by file.
pub const STATEMENTS: &[&[Sql]] = &[
    accounts::ALL,
    accounts::BY_ENGINE,
    addresses::ALL,
    aliases::ALL,
    business::ALL,
    contact_words::ALL,
    contacts::ALL,
    contacts::BY_ENGINE,
    contacts::RECORDS,
    contacts::LISTS,
    conversations::ALL,
    conversations::READING,
    conversations::LISTING,
    conversations::GROWING,
    conversations::ATTENTION,
    echoes::ALL,
    external_ids::ALL,
    idempotency::ALL,
    identities::ALL,
    inboxes::ALL,
    inboxes::BY_ENGINE,
    inboxes::OF_LONG_LISTS,
    instance::ALL,
    invariants::ALL,
    invariants::BY_ENGINE,
    joins::ALL,
    keys::ALL,
    messages::READING,
    messages::ARRIVING,
    messages::CHANGES,
    messages::OUTGOING,
    messages::READING_CHANGES,
    messages::UNDELIVERED,
    messages::RECEIPTS,
    outbox::ALL,
    outbox::BY_ENGINE,
    provider_ids::ALL,
    purge::ALL,
    purge::BY_ENGINE,
    quarantine::ALL,
    secrets::ALL,
    visitor_sessions::ALL,
];

/// The statements that read all data, as `inboxd verify` does.
pub const OF_ALL_DATA: &[&[Sql]] = &[
    contact_words::OF_ALL,
    invariants::ALL,
    invariants::BY_ENGINE,
];

/// The statements that run many times at once, by file.
pub const EACH: &[&[Each]] = &[
    accounts::EACH,
    addresses::EACH,
    business::EACH,
    contact_words::EACH,
    contacts::EACH,
    contacts::EACH_LISTED,
    contacts::EACH_RECORD,
    conversations::EACH,
    conversations::EACH_GROWING,
    conversations::EACH_ATTENTION,
    identities::EACH,
    inboxes::EACH,
    messages::EACH,
    messages::EACH_OUTGOING,
    messages::EACH_UNDELIVERED,
    messages::EACH_CHANGES,
    outbox::EACH,
    provider_ids::EACH,
    purge::EACH,
];

/// Checks that a statement returned one row for each run. If one were missing, later rows would be taken for those of other
/// runs.
fn one_each<T>(given: Vec<T>, runs: usize) -> Result<Vec<T>, Error> {
    match given.len() == runs {
        true => Ok(given),
        false => Err(Error::Broken(format!(
            "{} rows for {runs} runs",
            given.len()
        ))),
    }
}

/// The row of a run that returns exactly one.
fn one<T>(given: Vec<T>) -> Result<T, Error> {
    let rows = given.len();
    match <[T; 1]>::try_from(given) {
        Ok([row]) => Ok(row),
        Err(_) => Err(Error::Broken(format!("{rows} rows for one run"))),
    }
}

/// The condition that excludes the data of deleted inboxes. The column has the inbox's id, and `$1` is the account. SQLite
/// uses the index of deleted inboxes for a range, but not for `IS NOT NULL`.
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

/// Declares statements, and collects them in `ALL`.
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
