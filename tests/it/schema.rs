//! The schema: the same on both engines, made once however many start, and refused if it is newer than the program.

use crate::support::{Place, Store, TestApp, on_both_stores};
use db::{Database, Missing, Sql};
use inboxd::{clock::Clock, ops, store::MIGRATIONS};

on_both_stores![
    many_that_start_at_once_migrate_once,
    a_newer_database_is_refused,
    a_failed_migration_leaves_no_trace,
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
