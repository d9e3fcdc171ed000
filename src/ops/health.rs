//! Whether the store answers, and takes what it is given.

use super::{
    Context,
    changes::{Changes, commit},
};
use crate::{
    clock,
    error::Error,
    store::{accounts, instance},
};

/// Under which name the store keeps what was written to see whether it can be.
const PROBE: &str = "write_probe";
/// Bytes of it: a disk that has room for less is as good as full.
const PROBE_BYTES: usize = 64 * 1024;

/// That the store can be read now, that (on the embedded one) its file is still there, and that it can be written as far
/// as is known: where the last write failed, another one is tried. As long as writes succeed, nothing is written for this.
pub async fn ready(context: &Context) -> Result<(), Error> {
    accounts::first_two(&mut context.db.read().await?).await?;
    context.db.reachable().await?;
    if context.db.writes_fail() {
        write_probe(context).await?;
    }
    Ok(())
}

/// Writes something that neither engine can leave out: other bytes than last time, which cannot be compressed.
async fn write_probe(context: &Context) -> Result<(), Error> {
    let bytes = clock::random::<PROBE_BYTES>();
    let mut session = context.db.write().await?;
    instance::replace(&mut session, PROBE, &bytes).await?;
    commit(context, session, Changes::none()).await
}
