//! Taking what is due: deciding what is sent now, and noting that before it is.
//!
//! Invariant: whatever is given out to be sent has a committed note that its attempt has begun, and until when it may take.
//! Whoever does not hear of the end by then does not know whether the provider has it.

use super::{Conclusion, Ended, Traffic, Which, conclude};
use crate::{
    domain::DeliveryError,
    error::Error,
    id::InboxId,
    ops::{
        Context,
        changes::{Changes, commit},
        credentials::{self, Fingerprint},
        inboxes::read_settings,
        route,
    },
    store::{
        messages::{self, Job},
        outbox::{self, Entry, State},
    },
};
use channels::{api::Call, send::outcome::Outcome};
use db::Session;
use std::{collections::HashMap, time::Duration};

/// What is looked at in one transaction, at most.
const LOOK: i64 = 256;
/// How much longer than a request an attempt may take until somebody else may decide that nobody knows how it ended.
const MARGIN: Duration = Duration::from_secs(10);
/// When to look again at what belongs to a deleted inbox, in milliseconds.
const GONE: i64 = 3_600_000;

/// When to look again at an inbox that cannot be read, in milliseconds.
const DAMAGED: i64 = 60_000;

/// A request to send now. It is not `Debug` on purpose: the call holds a credential.
pub struct Attempt {
    /// Of which attempt.
    pub of: Which,
    /// The request.
    pub call: Call<Outcome>,
    /// The credential in it.
    pub credential: Fingerprint,
}

/// What is done about a message that is due.
enum Decision {
    Send(Call<Outcome>, Fingerprint),
    /// Look again at this time, in milliseconds since 1970.
    Postpone(i64),
    End(Ended),
}

/// Begins attempts for what is due and may leave, `room` of them at most. `owner` names this process.
pub async fn take(
    context: &Context,
    owner: &str,
    traffic: &mut Traffic,
    room: usize,
) -> Result<Vec<Attempt>, Error> {
    let now = context.clock.millis();
    let most = LOOK.min(i64::try_from(room).unwrap_or(LOOK));
    if !outbox::is_due(&mut context.db.read().await?, now).await? {
        return Ok(Vec::new());
    }
    let mut session = context.db.write().await?;
    let due = outbox::due(&mut session, now, most).await?;
    let ids: Vec<_> = due
        .iter()
        .map(|entry| (&entry.account, &entry.message))
        .collect();
    let jobs = messages::find_jobs(&mut session, &ids).await?;
    let mut tokens = HashMap::new();
    let (mut begun, mut postponed, mut ended) = (Vec::new(), Vec::new(), Vec::new());
    for (entry, job) in due.iter().zip(jobs) {
        let decided = match job {
            Some(job) => {
                let decided = decide(
                    context,
                    &mut session,
                    traffic,
                    &mut tokens,
                    entry,
                    &job,
                    now,
                );
                match decided.await {
                    // Whatever is wrong with one inbox must not keep the others.
                    Err(Error::Internal(cause)) => {
                        tracing::error!(inbox = %entry.inbox, cause, "an inbox cannot send");
                        Decision::Postpone(now + DAMAGED)
                    }
                    decided => decided?,
                }
            }
            None => Decision::Postpone(now + GONE),
        };
        match decided {
            Decision::Send(call, credential) => begun.push((entry, call, credential)),
            Decision::Postpone(at) => postponed.push((&entry.account, &entry.message, at)),
            Decision::End(end) => ended.push(Conclusion {
                of: entry.clone().into(),
                ended: end,
                credential: None,
            }),
        }
    }
    outbox::postpone(&mut session, &postponed).await?;
    let until = now + millis(context.providers.send_limit() + MARGIN);
    let ids: Vec<_> = begun
        .iter()
        .map(|(entry, ..)| (&entry.account, &entry.message))
        .collect();
    outbox::begin(&mut session, &ids, owner, now, until).await?;
    if begun.is_empty() && postponed.is_empty() {
        drop(session);
    } else {
        commit(context, session, Changes::none()).await?;
    }
    let attempts: Vec<_> = begun
        .into_iter()
        .map(|(entry, call, credential)| {
            traffic.begin(&entry.account, &entry.inbox);
            let mut of = Which::from(entry.clone());
            of.number += 1;
            Attempt {
                of,
                call,
                credential,
            }
        })
        .collect();
    // In a transaction of its own: rows are locked in one order, and inboxes come first.
    if !ended.is_empty()
        && let Err(error) = conclude(context, traffic, &ended).await
    {
        // They are due again at the next look.
        tracing::warn!(
            cause = error.cause(),
            "the end of messages cannot be stored yet"
        );
    }
    Ok(attempts)
}

async fn decide(
    context: &Context,
    session: &mut Session,
    traffic: &mut Traffic,
    tokens: &mut HashMap<InboxId, Option<String>>,
    entry: &Entry,
    job: &Job,
    now: i64,
) -> Result<Decision, Error> {
    if job.is_deleted {
        return Ok(Decision::Postpone(now + GONE));
    }
    if entry.state == State::Attempting {
        return Ok(Decision::End(Ended::Lost));
    }
    if now >= entry.expires_at {
        return Ok(Decision::End(Ended::Expired(entry.last_error.clone())));
    }
    let settings = read_settings(&job.settings)?;
    let later = Ok(Decision::Postpone(entry.expires_at));
    if job.inbox_status == "inactive" || settings.sending_stopped.is_some() {
        return later;
    }
    let Some(name) = credentials::to_call(job.channel) else {
        return Err(Error::Internal("live chat has no provider".into()));
    };
    if !tokens.contains_key(&entry.inbox) {
        let token = credentials::find(context, session, &entry.account, &entry.inbox, name).await?;
        tokens.insert(entry.inbox.clone(), token);
    }
    let Some(Some(token)) = tokens.get(&entry.inbox) else {
        return later;
    };
    let which = (
        &entry.account,
        &entry.inbox,
        &entry.conversation,
        &entry.message,
    );
    if let Err(at) = traffic.admit(job.channel, job.is_group, settings.pace, which, now) {
        return Ok(Decision::Postpone(at));
    }
    let our_id = our_id(entry);
    match route::request(job, &settings, token, &our_id) {
        Ok(Ok(call)) => Ok(Decision::Send(call, Fingerprint::of(name, token))),
        Ok(Err(error)) => Ok(Decision::End(Ended::Refused(error))),
        // Whatever is wrong with one message must not keep the others.
        Err(error) => {
            tracing::error!(message_id = %entry.message, cause = error.cause(), "a message cannot be sent");
            Ok(Decision::End(Ended::Refused(DeliveryError {
                code: "unsupported".to_owned(),
                message: "It cannot be sent".to_owned(),
                provider_code: None,
            })))
        }
    }
}

/// What the provider is asked to give back with what it says of the message: its id, and the number of the attempt.
fn our_id(entry: &Entry) -> String {
    format!("{}:{}", entry.message, entry.attempts + 1)
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
