//! Sends what is due in the outbox: many requests at once, within bounds.
//!
//! Invariant: what was sent is not forgotten: its end is stored as soon as the store takes it, also while the server stops.

use crate::{
    error::Error,
    id::{AccountId, InboxId},
    ops::{
        Context,
        outbox::{self, Attempt, Conclusion, Ended, Traffic},
    },
    provider::{Providers, Sent},
};
use std::{collections::HashMap, time::Duration};
use tokio::{
    sync::watch,
    task::{self, JoinError, JoinSet},
    time::{interval, sleep, timeout},
};

/// Requests that are under way at once.
const AT_ONCE: usize = 512;
/// How often the outbox is looked at, if nobody says that something is due.
const LOOK: Duration = Duration::from_secs(1);
/// Ends that are stored in one transaction, at most.
const ENDS: usize = 256;
/// How soon it is looked at again if there is more than fits into one look, and after a look at more than a few: what ends or
/// falls due in between shares transactions, which wait for the disk and take turns with those of updates.
const ROUND: Duration = Duration::from_millis(40);
/// What is a few: what is sent now and then does not wait.
const FEW: usize = 4;
/// How often what does not matter any more is forgotten.
const TIDY: Duration = Duration::from_secs(5);

/// Whose request each task is.
type Places = HashMap<task::Id, (AccountId, InboxId)>;

/// Sends what is due until the server stops, and then waits for what is under way.
pub async fn send(context: Context, mut stopped: watch::Receiver<bool>) {
    let owner = context.clock.uuid().simple().to_string();
    let mut traffic = Traffic::default();
    let mut under_way = JoinSet::new();
    // Apart from the tasks: one that panics must give its place back.
    let mut places = Places::new();
    let mut ended = Vec::new();
    let mut tidying = interval(TIDY);
    let mut pause = Duration::ZERO;
    loop {
        sleep(pause).await;
        let stopping = *stopped.borrow();
        if stopping && under_way.is_empty() && ended.is_empty() {
            return;
        }
        let mut wait = LOOK;
        while ended.len() < ENDS
            && let Some(one) = under_way.try_join_next_with_id()
        {
            ended.extend(finished(&mut traffic, &mut places, one));
        }
        let mut had = ended.len();
        if !ended.is_empty() {
            match outbox::conclude(&context, &mut traffic, &ended).await {
                Ok(()) => ended.clear(),
                Err(error) => log("the end of messages cannot be stored yet", &error),
            }
        }
        let room = AT_ONCE.saturating_sub(under_way.len());
        if !stopping && room > 0 && ended.is_empty() {
            match outbox::take(&context, &owner, &mut traffic, room).await {
                Ok(attempts) => {
                    had += attempts.len();
                    for attempt in attempts {
                        let place = (attempt.of.account.clone(), attempt.of.inbox.clone());
                        let task = under_way.spawn(attempt_now(context.providers.clone(), attempt));
                        places.insert(task.id(), place);
                    }
                    wait = until_next(&context).await;
                }
                Err(error) => log("the outbox cannot be read", &error),
            }
        }
        pause = match had > FEW {
            true => ROUND,
            false => Duration::ZERO,
        };
        tokio::select! {
            _ = stopped.changed(), if !stopping => {}
            Some(one) = under_way.join_next_with_id() => {
                ended.extend(finished(&mut traffic, &mut places, one));
            }
            _ = timeout(wait, context.outbox_filled.notified()), if !stopping => {}
            _ = tidying.tick(), if !stopping => traffic.tidy(context.clock.millis()),
            () = sleep(LOOK), if stopping => {}
        }
    }
}

/// How long nothing will be due.
async fn until_next(context: &Context) -> Duration {
    match outbox::next_due(context).await {
        Ok(Some(millis)) => Duration::from_millis(millis.unsigned_abs()).clamp(ROUND, LOOK),
        Ok(None) | Err(_) => LOOK,
    }
}

async fn attempt_now(providers: Providers, attempt: Attempt) -> Conclusion {
    let ended = match providers.send(&attempt.call).await {
        Sent::Not(cause) => Ended::NotSent(cause),
        Sent::Perhaps(cause) => Ended::Perhaps(cause),
        Sent::Answered(status, body) => Ended::Answered(attempt.call.outcome(status, &body)),
    };
    Conclusion {
        of: attempt.of,
        ended,
        credential: Some(attempt.credential),
    }
}

/// A request whose task failed is over when its lease is: nobody knows what came of it.
fn finished(
    traffic: &mut Traffic,
    places: &mut Places,
    task: Result<(task::Id, Conclusion), JoinError>,
) -> Option<Conclusion> {
    let (id, conclusion) = match task {
        Ok((id, conclusion)) => (id, Some(conclusion)),
        Err(error) => {
            tracing::error!(%error, "sending a message failed");
            (error.id(), None)
        }
    };
    if let Some((account, inbox)) = places.remove(&id) {
        traffic.end(&account, &inbox);
    }
    conclusion
}

fn log(what: &str, error: &Error) {
    tracing::warn!(cause = error.cause(), "{what}");
}
