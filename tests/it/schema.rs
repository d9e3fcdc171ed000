//! The schema: the same on both engines, made once however many start, and refused if it is newer than the program. Its
//! migrations only add, and a released one never changes.

use crate::support::{Place, Store, TestApp, on_both_stores};
use db::{Database, Missing, Sql};
use inboxd::{
    clock::Clock,
    id::AccountId,
    ops,
    store::{self, MIGRATIONS},
};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

on_both_stores![
    many_that_start_at_once_migrate_once,
    a_newer_database_is_refused,
    a_failed_migration_leaves_no_trace,
    keys_of_the_first_version_have_the_servers_limit,
];

async fn many_that_start_at_once_migrate_once(store: Store) {
    let place = Place::empty(store).await;
    let starts = (0..8).map(async |_| {
        let db = Database::open(&place.address(), Missing::Create).await?;
        ops::migrate(&db, &Clock::system()).await
    });
    let applied = futures_util::future::join_all(starts).await;
    let versions: usize = applied
        .iter()
        .map(|one| one.as_ref().expect("migrated").len())
        .sum();
    assert_eq!(versions, MIGRATIONS.len(), "{applied:?}");
}

/// Each time anew, since who comes first is a matter of luck.
#[tokio::test(flavor = "multi_thread")]
async fn many_that_open_a_new_file_at_once_all_open_it() {
    for _ in 0..100 {
        let place = Place::empty(Store::Sqlite).await;
        let opened = (0..8).map(|_| {
            let address = place.address();
            tokio::spawn(async move { Database::open(&address, Missing::Create).await.map(|_| ()) })
        });
        for opened in futures_util::future::join_all(opened).await {
            opened.expect("no panic").expect("it opens");
        }
    }
}

async fn a_newer_database_is_refused(store: Store) {
    let app = TestApp::start(store).await;
    let mut session = app.context.db.write().await.expect("a session");
    let newer =
        "INSERT INTO schema_migrations (version, name, applied_at) VALUES (99, 'tomorrow', 0)";
    session
        .execute(&Sql::same(newer), &[])
        .await
        .expect("changed");
    session.commit().await.expect("committed");

    let refused = ops::migrate(&app.context.db, &Clock::system()).await;
    let message = refused.expect_err("it is newer").to_string();
    assert!(message.contains("schema version 99"), "{message}");
    assert!(message.contains("newer inboxd"), "{message}");
}

async fn keys_of_the_first_version_have_the_servers_limit(store: Store) {
    let place = Place::empty(store).await;
    let db = Database::open(&place.address(), Missing::Create).await;
    let db = db.expect("opened");
    let first = db.migrate(&MIGRATIONS[..1], 0).await;
    assert_eq!(first.expect("the first version"), [1]);
    let mut session = db.write().await.expect("a session");
    for row in [
        "INSERT INTO accounts (account_id, name, created_at) VALUES ('acc_1', 'Toko Biru', 0)",
        "INSERT INTO api_keys (account_id, id, name, scopes, created_at) VALUES ('acc_1', 'key_1', 'k', 'read', 0)",
    ] {
        let inserted = session.execute(&Sql::same(row), &[]).await;
        inserted.expect("a row");
    }
    session.commit().await.expect("committed");
    ops::migrate(&db, &Clock::system()).await.expect("migrated");
    let mut session = db.read().await.expect("a session");
    let keys = store::keys::list(&mut session, &AccountId::from_text("acc_1")).await;
    let keys = keys.expect("keys");
    assert_eq!((keys.len(), keys[0].rate_limit), (1, None));
}

async fn a_failed_migration_leaves_no_trace(store: Store) {
    let place = Place::empty(store).await;
    let db = Database::open(&place.address(), Missing::Create)
        .await
        .expect("opened");
    let broken = db::Migration {
        version: MIGRATIONS.len() as i64 + 1,
        name: "broken",
        sql: Sql::same("CREATE TABLE left_over (id TEXT); CREATE TABLE left_over (id TEXT)"),
    };
    let all = [MIGRATIONS, &[broken]].concat();
    db.migrate(&all, 0).await.expect_err("it is broken");
    let applied = db
        .migrate(MIGRATIONS, 0)
        .await
        .expect("the good ones still apply");
    assert_eq!(applied.len(), MIGRATIONS.len());
    let trace = Sql::same("SELECT 1 FROM left_over");
    let mut session = db.read().await.expect("a session");
    session
        .query(&trace, &[], |_| Ok(()))
        .await
        .expect_err("there is no trace");
}

/// The text of a migration once it is released: `cd migrations && sha256sum NNNN.*.sql >> SHA256SUMS` adds a new one.
#[test]
fn a_released_migration_never_changes() {
    let sums: BTreeMap<_, _> = include_str!("../../migrations/SHA256SUMS")
        .lines()
        .map(|line| line.split_once("  ").expect("a sum and a name"))
        .map(|(sum, name)| (name.to_owned(), sum.to_owned()))
        .collect();
    let found: BTreeMap<_, _> = MIGRATIONS
        .iter()
        .flat_map(|one| {
            let name = |engine| format!("{:04}.{engine}.sql", one.version);
            let sum = |text: &str| data_encoding::HEXLOWER.encode(&Sha256::digest(text));
            [
                (name("sqlite"), sum(one.sql.sqlite)),
                (name("postgres"), sum(one.sql.postgres)),
            ]
        })
        .collect();
    assert_eq!(found, sums);
}

/// What an older program reads must be there as long as it runs beside a newer one, and SQLite changes little in place.
#[test]
fn migrations_only_add() {
    for one in MIGRATIONS {
        for text in [one.sql.sqlite, one.sql.postgres] {
            if let Err(statement) = only_adds(text) {
                panic!("version {} does not only add: {statement}", one.version);
            }
        }
    }
}

#[test]
fn a_migration_that_takes_away_or_changes_is_recognised() {
    for good in [
        "CREATE TABLE t (id TEXT NOT NULL); -- DROP TABLE t;\nCREATE INDEX i ON t (id)",
        "CREATE TABLE t (id TEXT); CREATE UNIQUE INDEX i ON t (id);",
        "ALTER TABLE old ADD COLUMN x TEXT; UPDATE old SET x = 'a;b';",
        "ALTER TABLE old ADD COLUMN x BIGINT NOT NULL DEFAULT 0;",
        "INSERT INTO t (id) SELECT id FROM old;",
    ] {
        assert_eq!(only_adds(good), Ok(()), "{good}");
    }
    for bad in [
        "DROP TABLE old",
        "CREATE TABLE t (id TEXT);\ndrop index i",
        "ALTER TABLE old RENAME TO new",
        "ALTER TABLE old RENAME COLUMN a TO b",
        "ALTER TABLE old ALTER COLUMN x TYPE BIGINT",
        "ALTER TABLE old DROP COLUMN x",
        "ALTER TABLE old ADD CONSTRAINT c UNIQUE (x)",
        "ALTER TABLE old ADD COLUMN x TEXT NOT NULL",
        "ALTER TABLE old ADD COLUMN x TEXT UNIQUE",
        "ALTER TABLE old ADD COLUMN x TEXT, DROP COLUMN y",
        "CREATE UNIQUE INDEX i ON old (x)",
        "DELETE FROM old",
        "CREATE TRIGGER t AFTER INSERT ON old BEGIN SELECT 1; END",
    ] {
        only_adds(bad).expect_err(bad);
    }
}

/// The first statement that does more than add: a table, an index, a column with a value for the rows that are there, rows
/// and what is derived for them.
fn only_adds(text: &str) -> Result<(), String> {
    let without_comments: Vec<_> = text
        .lines()
        .map(|line| line.split("--").next().unwrap_or_default())
        .collect();
    // A semicolon between quotes ends no statement.
    let mut statements: Vec<String> = vec![String::new()];
    for piece in without_comments.join(" ").split_inclusive(';') {
        let last = statements.last_mut().expect("there is one");
        last.push_str(piece);
        if last.matches('\'').count().is_multiple_of(2) {
            statements.push(String::new());
        }
    }
    let mut made = Vec::new();
    for statement in statements {
        let statement = statement.trim_end_matches(';').to_uppercase();
        let words: Vec<_> = statement.split_whitespace().collect();
        let adds = match words[..] {
            [] | ["CREATE", "INDEX", ..] | ["INSERT", "INTO", ..] | ["UPDATE", ..] => true,
            ["CREATE", "TABLE", name, ..] => {
                made.push(name.to_owned());
                true
            }
            // Rows of a table that was there may be in the way of a unique key.
            ["CREATE", "UNIQUE", "INDEX", _, "ON", table, ..] => made.iter().any(|t| t == table),
            ["ALTER", "TABLE", _, "ADD", "COLUMN", ..] => {
                let has = |word| words.contains(&word);
                let filled = has("DEFAULT") || !has("NOT");
                let alone = !statement.contains(", DROP") && !statement.contains(", ALTER");
                filled && alone && !has("UNIQUE") && !has("PRIMARY")
            }
            _ => false,
        };
        if !adds {
            return Err(statement);
        }
    }
    Ok(())
}

#[cfg(feature = "postgres-tests")]
mod twins {
    use super::*;
    use std::collections::BTreeSet;

    async fn texts(app: &TestApp, sql: &'static str) -> BTreeSet<String> {
        let mut session = app.context.db.read().await.expect("a session");
        let rows = session
            .query(&Sql::same(sql), &[], |row| row.get::<String>(0))
            .await;
        rows.expect("a good statement").into_iter().collect()
    }

    #[tokio::test]
    async fn both_engines_have_the_same_tables_and_columns() {
        let sqlite = TestApp::start(Store::Sqlite).await;
        let postgres = TestApp::start(Store::Postgres).await;
        let on_sqlite = texts(
            &sqlite,
            "SELECT m.name || '.' || c.name FROM sqlite_schema m, pragma_table_xinfo(m.name) c
             WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%'",
        )
        .await;
        let on_postgres = texts(
            &postgres,
            "SELECT CAST(table_name || '.' || column_name AS TEXT) FROM information_schema.columns
             WHERE table_schema = 'public'",
        )
        .await;
        assert_eq!(on_sqlite, on_postgres);
        assert!(on_sqlite.contains("messages.provider_id"));
    }

    #[tokio::test]
    async fn every_key_carries_the_account_so_that_tables_can_be_sharded() {
        let app = TestApp::start(Store::Postgres).await;
        let without = texts(
            &app,
            "SELECT CAST(c.relname || ': ' || i.relname AS TEXT) FROM pg_index x
             JOIN pg_class c ON c.oid = x.indrelid JOIN pg_class i ON i.oid = x.indexrelid
             JOIN pg_namespace n ON n.oid = c.relnamespace
             WHERE n.nspname = 'public' AND x.indisunique AND NOT EXISTS (
                SELECT 1 FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'account_id'
                AND a.attnum = ANY (x.indkey))",
        )
        .await;
        // The small reference tables that find the account in the first place, and what holds for the whole database.
        let expected = [
            "api_key_hashes: api_key_hashes_pkey",
            "channel_addresses: channel_addresses_pkey",
            "instance: instance_pkey",
            "schema_migrations: schema_migrations_pkey",
        ];
        assert_eq!(without, expected.map(str::to_owned).into());
    }
}
