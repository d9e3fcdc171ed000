//! Whether the store answers.

use super::Context;
use crate::{error::Error, store::accounts};

/// That the store can be read now, and (on the embedded one) that its file is still there to be written.
pub async fn ready(context: &Context) -> Result<(), Error> {
    accounts::first_two(&mut context.db.read().await?).await?;
    context.db.reachable().await?;
    Ok(())
}
