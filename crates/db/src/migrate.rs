//! Migrations: applies those that a database does not have yet, and records them.
//!
//! Invariant: one process applies all missing migrations in one transaction, or none of them.

use crate::{
    Database, Engine, Error, Session, Sql, Value,
    writes::{KEEP_WRITERS_OUT, VERSION},
};

/// One change of the schema.
#[derive(Debug, Clone, Copy)]
pub struct Migration {
    /// The schema version after this change. Versions start at 1 and have no gaps.
    pub version: i64,
    /// A short name.
    pub name: &'static str,
    /// The statements for each engine.
    pub sql: Sql,
}

const TABLE: Sql = Sql::same(
    "CREATE TABLE IF NOT EXISTS schema_migrations (
        version BIGINT PRIMARY KEY, name TEXT NOT NULL, applied_at BIGINT NOT NULL)",
);
const RECORD: Sql =
    Sql::same("INSERT INTO schema_migrations (version, name, applied_at) VALUES ($1, $2, $3)");
const EXISTS: Sql = Sql {
    sqlite: "SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = 'schema_migrations'",
    postgres: "SELECT COUNT(*) FROM pg_class WHERE oid = to_regclass('schema_migrations')",
};
/// Takes a lock that lets one process migrate at a time. On SQLite the write transaction is lock enough. The number is
/// arbitrary, but must never change.
const LOCK: Sql = Sql {
    sqlite: "SELECT 1",
    postgres: "SELECT 1 FROM (SELECT pg_advisory_xact_lock(7303014271463195236)) AS locked",
};

pub(crate) async fn run(
    database: &Database,
    migrations: &[Migration],
    now: i64,
) -> Result<Vec<i64>, Error> {
    let known = migrations.last().map_or(0, |last| last.version);
    let mut session = database.begin().await?;
    session.lift_time_limits().await?;
    session.query(&LOCK, &[], |_| Ok(())).await?;
    session.execute(&TABLE, &[]).await?;
    let found = latest(&mut session).await?;
    if found > known {
        return Err(Error::Newer { found, known });
    }
    let missing: Vec<_> = migrations
        .iter()
        .filter(|migration| migration.version > found)
        .collect();
    if missing.is_empty() {
        // Usually nothing is written: an up-to-date database starts on a read-only disk, too.
        if session.set_statistics()? {
            session.commit().await?;
        }
        database.writes.set_known(known);
        return Ok(Vec::new());
    }
    // From here on nobody can write under the old schema: older programs refuse to write, and stop.
    session.query(&KEEP_WRITERS_OUT, &[], |_| Ok(())).await?;
    for migration in &missing {
        session.batch(&migration.sql).await?;
        let row = [
            Value::Int(migration.version),
            migration.name.into(),
            now.into(),
        ];
        session.execute(&RECORD, &row).await?;
    }
    session.set_statistics()?;
    session.commit().await?;
    database.writes.set_known(known);
    if let Engine::Postgres(postgres) = &database.engine {
        postgres.clear_statements();
    }
    Ok(missing.iter().map(|migration| migration.version).collect())
}

/// True if any migration was ever applied.
pub(crate) async fn begun(database: &Database) -> Result<bool, Error> {
    let mut session = database.read().await?;
    let tables: Option<i64> = session.query_opt(&EXISTS, &[], |row| row.get(0)).await?;
    Ok(tables.unwrap_or(0) > 0)
}

async fn latest(session: &mut Session) -> Result<i64, Error> {
    let version = session.query_opt(&VERSION, &[], |row| row.get(0)).await?;
    Ok(version.unwrap_or(0))
}
