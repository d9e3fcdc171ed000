//! The command `inboxd migrate`.

use super::{Global, failure::Failure, output::Output};
use crate::{clock::Clock, ops, store};
use db::{Database, Missing};
use serde_json::json;

/// Migrates the schema, and prints its version and the number of migrations that were applied.
pub(super) async fn run(global: &Global, output: &Output) -> Result<(), Failure> {
    let failed = |error: db::Error| Failure::Failed(error.to_string());
    let db = Database::open(&global.address()?, Missing::Create)
        .await
        .map_err(failed)?;
    let applied = ops::migrate(&db, &Clock::system()).await.map_err(failed)?;
    let version = store::MIGRATIONS.last().map_or(0, |last| last.version);
    db.close().await;
    output.one(&json!({"version": version, "applied": applied}), || {
        vec![
            ("version", version.to_string()),
            ("applied", format!("{} migrations", applied.len())),
        ]
    })
}
