//! What a contact is shown beside messages: that somebody types, and that its messages were read.
//!
//! Which request that is on each channel is said in `channels::send`.
//!
//! Invariant: it is best effort and bounded. It delays no message, changes nothing here, and one account's provider that does
//! not answer takes no place of another account.

use super::{
    Context, credentials, found,
    inboxes::{Settings, read_settings},
    messages::check_sending,
    route::{self, Signal},
};
use crate::{
    domain::{Channel, ReadReceipts},
    error::{Error, Reason},
    id::{AccountId, ConversationId, MessageId},
    store::{
        conversations::{self, Target},
        messages,
    },
};
use channels::api::Call;
use db::Session;
use moka::sync::Cache;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How long after one that somebody types no other is told in the same conversation. Telegram shows it for five seconds,
/// the others for longer.
const TYPING: Duration = Duration::from_secs(3);
/// Conversations of which it is known what was told last.
const KNOWN: u64 = 10_000;
/// Accounts whose places are known, until those without any in use are forgotten.
const ACCOUNTS: usize = 1024;

/// What was told, and the places of what is being told, in this process.
#[derive(Debug)]
pub struct Signals {
    /// Conversations in which somebody types.
    typed: Cache<ConversationId, ()>,
    /// Up to which message each conversation was marked as read.
    marked: Cache<ConversationId, MessageId>,
    typing: Places,
    marking: Places,
    /// Marks that wait for a place, or have one.
    waiting: Places,
}

impl Default for Signals {
    fn default() -> Self {
        let known = || Cache::builder().max_capacity(KNOWN);
        Signals {
            typed: known().time_to_live(TYPING).build(),
            marked: Cache::new(KNOWN),
            typing: Places::new(128, 16),
            marking: Places::new(128, 16),
            waiting: Places::new(4096, 256),
        }
    }
}

/// So many at once, and so many of one account.
#[derive(Debug)]
struct Places {
    all: Arc<Semaphore>,
    of_one: usize,
    accounts: Mutex<HashMap<AccountId, Arc<Semaphore>>>,
}

/// One of them. It is free again when this is dropped.
#[derive(Debug)]
struct Place {
    _of_account: OwnedSemaphorePermit,
    _of_all: OwnedSemaphorePermit,
}

impl Places {
    fn new(all: usize, of_one: usize) -> Self {
        Places {
            all: Arc::new(Semaphore::new(all)),
            of_one,
            accounts: Mutex::default(),
        }
    }

    fn of(&self, account: &AccountId) -> Arc<Semaphore> {
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        if accounts.len() >= ACCOUNTS {
            accounts.retain(|_, places| places.available_permits() < self.of_one);
        }
        let new = || Arc::new(Semaphore::new(self.of_one));
        accounts.entry(account.clone()).or_insert_with(new).clone()
    }

    /// A place, if there is one now.
    fn try_take(&self, account: &AccountId) -> Option<Place> {
        Some(Place {
            _of_account: self.of(account).try_acquire_owned().ok()?,
            _of_all: self.all.clone().try_acquire_owned().ok()?,
        })
    }

    /// A place, once there is one. What waits for a place of its account takes no other.
    async fn take(&self, account: &AccountId) -> Option<Place> {
        Some(Place {
            _of_account: self.of(account).acquire_owned().await.ok()?,
            _of_all: self.all.clone().acquire_owned().await.ok()?,
        })
    }
}

/// Shows a contact that somebody types. What comes too soon after another one in the same conversation is not told again.
///
/// # Errors
/// [`Error::Conflict`] if it cannot be told there now, or the provider refuses; [`Error::ProviderAway`] if there is no clear
/// answer; [`Error::RateLimited`] if the account has too many under way.
pub async fn typing(
    context: &Context,
    account: &AccountId,
    conversation: &ConversationId,
) -> Result<(), Error> {
    let mut session = context.db.read().await?;
    let target = conversations::find_target(&mut session, account, conversation).await?;
    let target = found(target, "conversation")?;
    let not_now = |why: &str| Error::Conflict(Reason::NotNow, why.to_owned());
    if target.channel == Channel::Livechat {
        return Err(not_now("A live chat cannot show yet that somebody types"));
    }
    check_sending(context, &mut session, account, &target).await?;
    let settings = read_settings(&target.settings)?;
    if settings.sending_stopped.is_some() {
        return Err(not_now(
            "The provider refuses everything from this inbox: its setup says why",
        ));
    }
    let Some(last) = &target.last_inbound else {
        return Err(not_now("The contact has not written here yet"));
    };
    let to = (account, &target, &settings);
    let call = call(context, &mut session, to, last, Signal::Typing).await?;
    // A session must not be held while a provider is called.
    drop(session);
    let call = call.ok_or_else(|| not_now("This chat cannot show that somebody types"))?;
    let signals = &context.signals;
    let known = signals.typed.entry(target.id.clone()).or_insert(());
    if !known.is_fresh() {
        return Ok(());
    }
    let Some(_place) = signals.typing.try_take(account) else {
        signals.typed.invalidate(&target.id);
        return Err(Error::RateLimited(1));
    };
    let shown = context.providers.look(&call).await;
    shown.map_err(|failure| Error::from_provider(call.api, failure, "to show that somebody types"))
}

/// Shows the contact that its messages were read up to this one, because somebody says so, unless the inbox never does. It is
/// told beside the caller, who does not wait.
pub fn read(
    context: &Context,
    account: &AccountId,
    conversation: &ConversationId,
    message: &MessageId,
) {
    mark(context, account, conversation, message, false);
}

/// The same because the provider has taken this answer, if the inbox tells it then.
pub(super) fn answered(
    context: &Context,
    account: &AccountId,
    conversation: &ConversationId,
    answer: &MessageId,
) {
    mark(context, account, conversation, answer, true);
}

fn mark(
    context: &Context,
    account: &AccountId,
    conversation: &ConversationId,
    up_to: &MessageId,
    by_answer: bool,
) {
    let Some(waiting) = context.signals.waiting.try_take(account) else {
        count("dropped");
        return;
    };
    let (context, account) = (context.clone(), account.clone());
    let (conversation, up_to) = (conversation.clone(), up_to.clone());
    tokio::spawn(async move {
        let _waiting = waiting;
        let _place = context.signals.marking.take(&account).await;
        match mark_now(&context, &account, &conversation, &up_to, by_answer).await {
            Ok(false) => {}
            Ok(true) => count("told"),
            Err(error) => {
                count("failed");
                let cause = error
                    .cause()
                    .map_or_else(|| error.to_string(), str::to_owned);
                tracing::debug!(%conversation, cause, "messages cannot be marked as read");
            }
        }
    });
}

/// Returns whether anything was told.
async fn mark_now(
    context: &Context,
    account: &AccountId,
    conversation: &ConversationId,
    up_to: &MessageId,
    by_answer: bool,
) -> Result<bool, Error> {
    let mut session = context.db.read().await?;
    let target = conversations::find_target(&mut session, account, conversation).await?;
    let Some(target) = target else {
        return Ok(false);
    };
    let settings = read_settings(&target.settings)?;
    let is_told = match settings.read_receipts.unwrap_or_default() {
        ReadReceipts::OnAnswer => true,
        ReadReceipts::OnRead => !by_answer,
        ReadReceipts::Never => false,
    };
    let Some(last) = target.last_inbound.as_ref().filter(|_| is_told) else {
        return Ok(false);
    };
    if target.inbox_status == "inactive" || settings.sending_stopped.is_some() {
        return Ok(false);
    }
    // What has come since was not read.
    let message = last.min(up_to);
    let marked = &context.signals.marked;
    if marked
        .get(&target.id)
        .is_some_and(|known| known >= *message)
    {
        return Ok(false);
    }
    let to = (account, &target, &settings);
    let call = call(context, &mut session, to, message, Signal::Read).await?;
    drop(session);
    let Some(call) = call else {
        return Ok(false);
    };
    // Before it is told, so that many answers at once tell it once.
    marked.insert(target.id.clone(), message.clone());
    let told = context.providers.look(&call).await;
    told.map(|()| true).map_err(|failure| {
        marked.invalidate(&target.id);
        Error::from_provider(call.api, failure, "to mark messages as read")
    })
}

/// The request about a message of the contact's. `None` if the channel has none, or the message is not the contact's.
async fn call(
    context: &Context,
    session: &mut Session,
    (account, target, settings): (&AccountId, &Target, &Settings),
    message: &MessageId,
    signal: Signal,
) -> Result<Option<Call<()>>, Error> {
    let Some(name) = credentials::to_call(target.channel) else {
        return Ok(None);
    };
    let token = credentials::find(context, session, account, &target.inbox, name).await?;
    let jobs = messages::find_jobs(session, &[(account, message)]).await?;
    match (token, jobs.into_iter().flatten().next()) {
        (Some(token), Some(job)) if job.is_inbound => route::signal(&job, settings, &token, signal),
        _ => Ok(None),
    }
}

fn count(outcome: &'static str) {
    metrics::counter!("inboxd_read_marks_total", "outcome" => outcome).increment(1);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_leaves_places_to_others() {
        let places = Places::new(3, 2);
        let [one, other] = ["acc_1", "acc_2"].map(AccountId::from_text);
        let taken = [places.try_take(&one), places.try_take(&one)];
        assert!(taken.iter().all(Option::is_some));
        assert!(places.try_take(&one).is_none());
        assert!(places.try_take(&other).is_some());
        drop(taken);
        assert!(places.try_take(&one).is_some());
    }
}
