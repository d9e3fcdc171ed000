//! The schema: the same on both engines, made once however many start, and refused if it is newer than the program. Its
//! migrations only add, and a released one never changes.

#[cfg(feature = "postgres-tests")]
use crate::support::eventually;
use crate::support::{
    Shell, Store, TempDatabase, TestApp, on_both_stores, program::PATIENCE, whatsapp::hello,
};
use db::{Address, Database, Migration, Missing, Sql};
use inboxd::{
    clock::Clock,
    domain::Scope,
    id::AccountId,
    ops,
    store::{self, MIGRATIONS},
};
use serde_json::json;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use tokio::time::timeout;

on_both_stores![
    many_that_start_at_once_migrate_once,
    a_newer_database_is_refused,
    a_running_server_writes_nothing_to_a_newer_schema,
    a_server_whose_schema_became_newer_stops_by_itself,
    a_failed_migration_leaves_no_trace,
    keys_of_the_first_version_have_the_servers_limit,
];

async fn many_that_start_at_once_migrate_once(store: Store) {
    let place = TempDatabase::empty(store).await;
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
        let place = TempDatabase::empty(Store::Sqlite).await;
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

/// The version of today's schema.
fn latest() -> i64 {
    MIGRATIONS.last().expect("there are some").version
}

/// What a newer program does to the database under a running one.
async fn migrate_to_tomorrow(address: &Address) {
    let tomorrow = Migration {
        version: latest() + 1,
        name: "tomorrow",
        sql: Sql::same("ALTER TABLE messages ADD COLUMN tomorrow TEXT"),
    };
    let newer = Database::open(address, Missing::Fail).await;
    let newer = newer.expect("it opens");
    let all = [MIGRATIONS, &[tomorrow]].concat();
    let migrated = newer.migrate(&all, 0).await;
    assert_eq!(migrated.expect("migrated"), [tomorrow.version]);
    let session = newer.write().await;
    session.expect("who knows the schema goes on");
}

async fn a_running_server_writes_nothing_to_a_newer_schema(store: Store) {
    let app = TestApp::start(store).await;
    let key = app.key(&[Scope::Read, Scope::Write]).await;
    app.whatsapp("1001").await;
    app.deliver(&hello("wamid.1")).await.assert_status(200);
    migrate_to_tomorrow(&app.place().address()).await;

    for _ in 0..2 {
        let refused = app.deliver(&hello("wamid.2")).await;
        refused.assert_status(503);
        assert!(!refused.header("retry-after").is_empty());
    }
    let body = json!({"name": "Website", "type": "livechat"});
    let refused = app.post("/inboxes").key(&key).json(&body).send().await;
    refused.assert_status(503);
    app.get("/readyz").send().await.assert_status(503);
    let outdated = timeout(PATIENCE, app.context.db.outdated()).await;
    let outdated = outdated.expect("it was met").to_string();
    assert!(outdated.contains("newer inboxd"), "{outdated}");

    let listed = app.get("/inboxes").key(&key).send().await;
    assert_eq!(listed.data()[0]["messages_count"], 1, "reading goes on");
    assert_eq!(app.count("messages").await, 1);
    assert_eq!(app.count("inboxes").await, 1);
    app.stop().await;
}

async fn a_server_whose_schema_became_newer_stops_by_itself(store: Store) {
    let shell = Shell::ready(store).await;
    shell.account("Toko Biru");
    shell.whatsapp("1001");
    let mut server = shell.serve();
    server.deliver(&hello("wamid.1")).await.assert_status(200);
    migrate_to_tomorrow(&shell.place().address()).await;

    server.deliver(&hello("wamid.2")).await.assert_status(503);
    let (status, _) = server.ended().await;
    assert_eq!(status.code(), Some(1));
    let log = server.log();
    let said = log.matches("a newer inboxd has migrated the database");
    assert_eq!(said.count(), 1, "{log}");
}

async fn keys_of_the_first_version_have_the_servers_limit(store: Store) {
    let place = TempDatabase::empty(store).await;
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
    let place = TempDatabase::empty(store).await;
    let db = Database::open(&place.address(), Missing::Create)
        .await
        .expect("opened");
    let broken = db::Migration {
        version: latest() + 1,
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

/// Else a program that does not know the new schema could still commit after it is there.
#[cfg(feature = "postgres-tests")]
#[tokio::test]
async fn a_migration_waits_for_writes_that_have_begun() {
    const WAITS: &str =
        "pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    let app = TestApp::start(Store::Postgres).await;
    let writing = app.context.db.write().await.expect("a session");
    let address = app.place().address();
    let migrating = tokio::spawn(async move { migrate_to_tomorrow(&address).await });
    eventually("the migration waits", async || app.count(WAITS).await == 1).await;
    let late = app.context.db.clone();
    let late = tokio::spawn(async move { late.write().await.map(|_| ()) });
    eventually("a later write waits for it", async || {
        app.count(WAITS).await == 2
    })
    .await;

    writing.commit().await.expect("committed");
    migrating.await.expect("migrated");
    let late = late.await.expect("a task ends well");
    late.expect_err("it waited, and found a newer schema");
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
