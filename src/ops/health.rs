//! Checks whether the store can be read and written.

use super::{
    Context,
    changes::{Changes, commit},
};
use crate::{
    clock,
    error::Error,
    store::{accounts, instance},
};

/// The name under which the store keeps the bytes of a test write.
const PROBE: &str = "write_probe";
/// The size of a test write, in bytes. A disk without room for it is as good as full.
const PROBE_BYTES: usize = 64 * 1024;

/// Checks that the store can be read, that the file of a SQLite database is still in place, and that the store can be
/// written. If the last write failed, this tries a test write. As long as writes succeed, it writes nothing.
pub async fn ready(context: &Context) -> Result<(), Error> {
    accounts::first_two(&mut context.db.read().await?).await?;
    context.db.reachable().await?;
    if context.db.writes_fail() {
        write_probe(context).await?;
    }
    Ok(())
}

/// Writes bytes that neither engine can optimise away: they differ from the last ones, and cannot be compressed.
async fn write_probe(context: &Context) -> Result<(), Error> {
    let bytes = clock::random::<PROBE_BYTES>();
    let mut session = context.db.write().await?;
    instance::replace(&mut session, PROBE, &bytes).await?;
    commit(context, session, Changes::none()).await
}
