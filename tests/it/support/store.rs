//! The two stores: each test runs on both.

use super::postgres::TestDatabase;
use db::Address;
use std::path::PathBuf;
use tempfile::TempDir;

/// The key under which every test's secrets are sealed.
pub(crate) const SECRET_KEY: &str =
    "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

/// On which store a test runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(dead_code, reason = "Postgres needs the feature postgres-tests")]
pub(crate) enum Store {
    Sqlite,
    Postgres,
}

/// Makes a test of each named function, once for each store: `async fn name(store: Store)`.
///
/// A function that is left out is unused, and the compiler says so.
macro_rules! on_both_stores {
    ($($name:ident),* $(,)?) => {
        mod on_sqlite {
            $(#[tokio::test]
            async fn $name() {
                super::$name($crate::support::Store::Sqlite).await;
            })*
        }
        #[cfg(feature = "postgres-tests")]
        mod on_postgres {
            $(#[tokio::test]
            async fn $name() {
                super::$name($crate::support::Store::Postgres).await;
            })*
        }
    };
}
pub(crate) use on_both_stores;

/// A database for one test, gone when this is dropped.
pub(crate) enum TempDatabase {
    Sqlite(TempDir),
    Postgres(TestDatabase),
}

impl TempDatabase {
    /// Without a schema.
    pub(crate) async fn empty(store: Store) -> Self {
        match store {
            Store::Sqlite => TempDatabase::Sqlite(folder()),
            Store::Postgres => TempDatabase::Postgres(TestDatabase::empty().await),
        }
    }

    /// Where the schema is, or can be made quickly.
    pub(crate) async fn migrated(store: Store) -> Self {
        match store {
            Store::Sqlite => TempDatabase::Sqlite(folder()),
            Store::Postgres => TempDatabase::Postgres(TestDatabase::migrated().await),
        }
    }

    /// The URL, as a user writes it.
    pub(crate) fn url(&self) -> String {
        match self {
            TempDatabase::Sqlite(folder) => format!("sqlite:{}", file(folder).display()),
            TempDatabase::Postgres(database) => database.url().to_owned(),
        }
    }

    pub(crate) fn address(&self) -> Address {
        self.url().parse().expect("a good address")
    }
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder for the test")
}

fn file(folder: &TempDir) -> PathBuf {
    folder.path().join("inboxd.db")
}
