//! What is to be done every few seconds.

use crate::{
    error::Error,
    ops::{Context, idempotency, keys::Uses, livechat, outbox, quarantine},
};
use std::time::Duration;
use tokio::{sync::watch, time::interval};

/// How often the uses of API keys are written to the store, and old entries of metrics and limits are removed.
const HOUSEKEEPING: Duration = Duration::from_secs(5);

/// Keeps house until the server stops. `tidy` is what its front doors have to do.
pub async fn keep_house(
    context: Context,
    uses: Uses,
    tidy: impl Fn() + Send,
    mut stopped: watch::Receiver<bool>,
) {
    let mut tick = interval(HOUSEKEEPING);
    loop {
        tokio::select! {
            _ = stopped.changed() => return,
            _ = tick.tick() => {}
        }
        log_failure(uses.flush(&context).await);
        match quarantine::count(&context).await {
            Ok(count) => metrics::gauge!("inboxd_quarantined_updates").set(count as f64),
            Err(error) => tracing::warn!(cause = error.cause(), "quarantine cannot be counted"),
        }
        if let Err(error) = context.db.maintain().await {
            tracing::warn!(%error, "the store's statistics could not be maintained");
        }
        if let Err(error) = outbox::release(&context).await {
            let cause = error.cause();
            tracing::warn!(cause, "what was kept aside cannot be looked at");
        }
        if let Err(error) = idempotency::forget(&context).await {
            tracing::warn!(cause = error.cause(), "old answers cannot be forgotten");
        }
        if let Err(error) = livechat::forget_sessions(&context).await {
            tracing::warn!(cause = error.cause(), "ended sessions cannot be forgotten");
        }
        tidy();
    }
}

/// Logs that uses of API keys could not be stored.
pub fn log_failure(flushed: Result<(), Error>) {
    match flushed {
        Ok(()) => {}
        Err(Error::Unavailable(cause)) => {
            tracing::warn!(
                cause,
                "the uses of API keys cannot be stored now, and are kept for later"
            );
        }
        Err(error) => tracing::error!(
            cause = error.cause(),
            "the uses of API keys cannot be stored"
        ),
    }
}
