//! What came of attempts: many of them in one transaction.
//!
//! Invariant: inboxes are locked first, so that an update about a message is stored before its end here or after it, and
//! never beside it. What came before it under the provider's id becomes the message's own.

use super::{
    Conclusion, Ended, Traffic, Which,
    patience::{backoff, expired},
    respelled,
};
use crate::{
    domain::DeliveryError,
    error::Error,
    id::{AccountId, ConversationId, EventId, InboxId, MessageId},
    ops::{
        Context,
        changes::{Changes, commit},
        credentials::{self, Fingerprint},
        events::{Event, What},
        inboxes::{self, SendingStopped, read_settings},
        ingest, joins,
        messages::Way,
        signals, standing,
        transaction::again,
    },
    store::{
        echoes, inboxes as inbox_table,
        messages::{self, NewChange},
        outbox::{self, Entry, State},
        provider_ids,
    },
};
use channels::{
    Moment,
    send::outcome::{Outcome, Taken, Wait},
};
use db::Session;
use std::{collections::BTreeSet, slice};

/// How many characters of a provider's words are logged.
const LOGGED: usize = 300;

/// Something that is known of a message's way from now on.
#[derive(Debug)]
pub(in crate::ops) struct Fact {
    /// Whose message.
    pub(in crate::ops) account: AccountId,
    /// In which inbox.
    pub(in crate::ops) inbox: InboxId,
    /// The message's key.
    pub(in crate::ops) key: String,
    /// The status that it reached.
    pub(in crate::ops) status: &'static str,
    /// Why, if it failed.
    pub(in crate::ops) error: Option<DeliveryError>,
}

/// Stores how attempts ended, and tells of it. One that cannot be stored does not keep the others from it: it is logged, and
/// over when its lease is.
///
/// # Errors
/// [`Error::Unavailable`] if the store is away: then all of it is still to be stored.
pub async fn conclude(
    context: &Context,
    traffic: &mut Traffic,
    list: &[Conclusion],
) -> Result<(), Error> {
    let cause = match again(|| store(context, list)).await {
        Ok(held) => {
            let now = context.clock.millis();
            for one in list {
                if let Ended::Answered(Outcome::Taken(_)) = &one.ended {
                    let of = &one.of;
                    traffic.went_through(&of.inbox, now);
                    signals::answered(context, &of.account, &of.conversation, &of.message);
                }
            }
            for (inbox, told) in held {
                traffic.slow_down(&inbox, told, now);
            }
            return Ok(());
        }
        Err(error @ (Error::Unavailable(_) | Error::Deadlock(_))) => return Err(error),
        Err(error) => error.cause().unwrap_or_default().to_owned(),
    };
    if let [one] = list {
        tracing::error!(message_id = %one.of.message, cause, "the end of an attempt cannot be stored");
        return Ok(());
    }
    for one in list {
        Box::pin(conclude(context, traffic, slice::from_ref(one))).await?;
    }
    Ok(())
}

/// Stores them in one transaction. Returns the inboxes that have to wait, and how many milliseconds the provider says.
async fn store(context: &Context, list: &[Conclusion]) -> Result<Vec<(InboxId, i64)>, Error> {
    let mut list: Vec<_> = list.iter().collect();
    list.sort_by_key(|one| (&one.of.account, &one.of.message));
    let mut session = context.db.write().await?;
    let inboxes: BTreeSet<_> = list
        .iter()
        .map(|one| (&one.of.account, &one.of.inbox))
        .collect();
    let inboxes: Vec<_> = inboxes.into_iter().collect();
    let there = inbox_table::lock(&mut session, &inboxes).await?;
    let there: BTreeSet<_> = inboxes
        .into_iter()
        .zip(there)
        .filter_map(|(inbox, there)| there.then_some(inbox))
        .collect();
    let ids: Vec<_> = list
        .iter()
        .map(|one| (&one.of.account, &one.of.message))
        .collect();
    let entries = outbox::lock(&mut session, &ids).await?;
    let mut end = End {
        context,
        session: &mut session,
        held: Vec::new(),
        facts: Vec::new(),
        events: Vec::new(),
        left: BTreeSet::new(),
        gone: Vec::new(),
        taken: Vec::new(),
    };
    for (one, entry) in list.iter().zip(entries) {
        if there.contains(&(&one.of.account, &one.of.inbox)) {
            end.conclude(one, entry).await?;
        }
    }
    let End {
        held,
        facts,
        mut events,
        left,
        gone,
        taken,
        ..
    } = end;
    let now = context.clock.millis();
    let queued = !left.is_empty();
    outbox::delete(&mut session, &gone).await?;
    let left: Vec<_> = left.iter().map(|(of, line)| (of, line)).collect();
    outbox::promote(&mut session, &left, now).await?;
    adopt(&mut session, &taken).await?;
    events.extend(note(context, &mut session, &facts).await?);
    let mut changes = Changes::of(events);
    changes.queued = queued;
    let joins = match respelled::note(context, &mut session, &list).await? {
        Some(stored) => {
            changes.add(stored.changes);
            stored.joins
        }
        None => Vec::new(),
    };
    commit(context, session, changes).await?;
    joins::carry_out(context, &joins).await;
    for one in &list {
        let outcome = one.ended.name();
        metrics::counter!("inboxd_send_attempts_total", "outcome" => outcome).increment(1);
    }
    Ok(held)
}

/// Notes facts of messages, and returns what is to be told.
pub(in crate::ops) async fn note(
    context: &Context,
    session: &mut Session,
    facts: &[Fact],
) -> Result<Vec<Event>, Error> {
    let (now, millis) = (context.clock.now(), context.clock.millis());
    let mut values = Vec::with_capacity(facts.len());
    for fact in facts {
        let value = fact.error.as_ref().map(serde_json::to_string).transpose();
        values.push(value.map_err(|error| Error::Internal(error.to_string()))?);
    }
    let news: Vec<_> = facts
        .iter()
        .zip(&values)
        .map(|(fact, value)| NewChange {
            key: fact.key(),
            kind: "status",
            part: fact.status.to_owned(),
            id: EventId::new(&context.clock),
            value: value.as_deref(),
            content_type: None,
            timestamp: Moment {
                seconds: millis.div_euclid(1000),
                millis: millis.rem_euclid(1000),
            },
            received_at: now,
        })
        .collect();
    messages::change(session, &news).await?;
    ingest::announce(session, &news).await
}

impl Fact {
    fn key(&self) -> messages::Key<'_> {
        messages::Key {
            account: &self.account,
            inbox: &self.inbox,
            provider_id: &self.key,
        }
    }
}

/// Messages that leave one after the other: those of a conversation.
type Line = (AccountId, ConversationId);

/// What is gathered while ends are stored.
struct End<'s, 'l> {
    context: &'s Context,
    session: &'s mut Session,
    /// Inboxes that have to wait, and how many milliseconds the provider says.
    held: Vec<(InboxId, i64)>,
    facts: Vec<Fact>,
    events: Vec<Event>,
    /// Conversations whose first message is gone, or holds nothing back any more.
    left: BTreeSet<Line>,
    /// Messages that are sent, and what is known of them.
    gone: Vec<(&'l AccountId, &'l MessageId)>,
    taken: Vec<(&'l Which, &'l Taken)>,
}

impl<'l> End<'_, 'l> {
    async fn conclude(&mut self, one: &'l Conclusion, entry: Option<Entry>) -> Result<(), Error> {
        let of = &one.of;
        // A person or a status may have settled it meanwhile, and another attempt may have begun.
        let current = entry.filter(|entry| entry.attempts == of.number);
        // Its conversation may have been joined with another one meanwhile.
        let conversation = current.as_ref().map(|entry| &entry.conversation);
        let conversation = conversation.unwrap_or(&of.conversation);
        let line = (of.account.clone(), conversation.clone());
        let state = current.as_ref().map(|entry| entry.state);
        let tries = current.as_ref().map_or(1, Entry::tries);
        let is_open = match &one.ended {
            // What was taken for lost may have ended since, and what was too old may be on its way.
            Ended::Lost => state == Some(State::Attempting),
            Ended::Expired(_) | Ended::Refused(_) => state == Some(State::Queued),
            _ => matches!(state, Some(State::Queued | State::Attempting)),
        };
        match &one.ended {
            // That the provider has it is true in any case.
            Ended::Answered(Outcome::Taken(taken)) => {
                if current.is_some() {
                    self.gone.push((&of.account, &of.message));
                    self.left.insert(line);
                } else {
                    self.correct(of).await?;
                }
                self.taken.push((of, taken));
                self.fact(of, "sent", None);
                Ok(())
            }
            _ if !is_open => Ok(()),
            Ended::Answered(Outcome::Again { after, wait, error }) => {
                let told = after.map_or(0, |seconds| i64::try_from(seconds).unwrap_or(0) * 1000);
                let least = match wait {
                    Wait::Recipient => backoff(4, tries),
                    Wait::Message => backoff(2, tries),
                    // How long the inbox waits does not depend on how often this message was tried.
                    Wait::Inbox => {
                        self.held.push((of.inbox.clone(), told));
                        backoff(2, 1)
                    }
                };
                let at = self.context.clock.millis() + told.max(least);
                self.again(of, current, at, &error.message).await
            }
            Ended::NotSent(cause) => {
                let at = self.context.clock.millis() + backoff(2, tries);
                self.again(of, current, at, cause).await
            }
            Ended::Answered(Outcome::Moved { chat_id }) => {
                self.moved(of, *chat_id).await?;
                let now = self.context.clock.millis();
                self.again(of, current, now, "the group has become another chat")
                    .await
            }
            Ended::Answered(Outcome::Stopped(error)) => {
                let error = error.clone().into();
                let at = match self.is_replaced(one).await? {
                    true => self.context.clock.millis(),
                    false => {
                        self.stop(of, &error).await?;
                        current.as_ref().map_or(0, |entry| entry.expires_at)
                    }
                };
                self.again(of, current, at, &error.message).await
            }
            Ended::Answered(Outcome::Refused(error)) => {
                self.fail(of, line, error.clone().into()).await
            }
            Ended::Refused(error) => self.fail(of, line, error.clone()).await,
            Ended::Expired(last) => self.fail(of, line, expired(last.as_deref())).await,
            Ended::Answered(Outcome::Perhaps { cause }) | Ended::Perhaps(cause) => {
                tracing::warn!(message_id = %of.message, cause, "it is not known whether a provider has a message");
                self.doubt(of, line).await
            }
            Ended::Lost => {
                tracing::warn!(message_id = %of.message, "the process that was sending a message is gone");
                self.doubt(of, line).await
            }
        }
    }

    fn fact(&mut self, of: &Which, status: &'static str, error: Option<DeliveryError>) {
        self.facts.push(Fact {
            account: of.account.clone(),
            inbox: of.inbox.clone(),
            key: messages::own_key(&of.message),
            status,
            error,
        });
    }

    /// A person may have said that it was not sent: the provider knows better.
    async fn correct(&mut self, of: &Which) -> Result<(), Error> {
        let key = messages::own_key(&of.message);
        let key = of.key(&key);
        messages::forget_failure(self.session, &key).await?;
        Ok(())
    }

    async fn again(
        &mut self,
        of: &Which,
        entry: Option<Entry>,
        at: i64,
        error: &str,
    ) -> Result<(), Error> {
        let at = entry.map_or(at, |entry| at.min(entry.expires_at));
        outbox::try_again(self.session, &of.account, &of.message, at, error).await?;
        Ok(())
    }

    async fn fail(&mut self, of: &Which, line: Line, error: DeliveryError) -> Result<(), Error> {
        outbox::close(self.session, &of.account, &of.message).await?;
        self.left.insert(line);
        self.fact(of, "failed", Some(error));
        Ok(())
    }

    async fn doubt(&mut self, of: &Which, line: Line) -> Result<(), Error> {
        self.left.insert(line);
        let key = messages::own_key(&of.message);
        let key = of.key(&key);
        // A status may have come before the answer that did not.
        if messages::has_arrived(self.session, &key).await? {
            outbox::close(self.session, &of.account, &of.message).await?;
            return Ok(());
        }
        outbox::doubt(self.session, &of.account, &of.message).await?;
        self.fact(of, "unknown", None);
        Ok(())
    }

    async fn moved(&mut self, of: &Which, chat_id: i64) -> Result<(), Error> {
        let ids = [(&of.account, &of.message)];
        let job = messages::find_jobs(self.session, &ids).await?;
        let job = job.into_iter().flatten().next();
        let mut way = Way::read(job.and_then(|job| job.way).as_deref())?;
        way.chat = Some(chat_id);
        let way = way.write()?.unwrap_or_default();
        messages::set_way(self.session, &of.account, &of.message, &way).await?;
        Ok(())
    }

    /// Whether the inbox has had another credential since the attempt: what is wrong with the old one is past.
    async fn is_replaced(&mut self, one: &Conclusion) -> Result<bool, Error> {
        let Some(used) = &one.credential else {
            return Ok(false);
        };
        let (account, inbox) = (&one.of.account, &one.of.inbox);
        let now = credentials::find(self.context, self.session, account, inbox, used.name).await?;
        Ok(now.is_some_and(|now| Fingerprint::of(used.name, &now) != *used))
    }

    /// Stops an inbox's sending, once.
    async fn stop(&mut self, of: &Which, error: &DeliveryError) -> Result<(), Error> {
        let details = inbox_table::find_details(self.session, &of.account, &of.inbox).await?;
        let Some(details) = details else {
            return Ok(());
        };
        let mut settings = read_settings(&details.settings)?;
        if settings.sending_stopped.is_some() {
            return Ok(());
        }
        settings.sending_stopped = Some(SendingStopped {
            since: self.context.clock.now(),
            error: error.clone(),
        });
        let text = inboxes::write_settings(&settings)?;
        let id = EventId::new(&self.context.clock);
        inbox_table::set_settings_and_tell(self.session, &of.account, &of.inbox, &text, &id)
            .await?;
        let provider: String = error.message.chars().take(LOGGED).collect();
        tracing::warn!(inbox = %of.inbox, code = error.code, provider, "sending is stopped");
        self.events.push(Event {
            id,
            account: of.account.clone(),
            inbox: of.inbox.clone(),
            what: What::InboxChanged,
        });
        Ok(())
    }
}

/// Makes the ids of what a provider has lead to messages of ours, and what came under them the messages' own.
pub(super) async fn adopt(session: &mut Session, taken: &[(&Which, &Taken)]) -> Result<(), Error> {
    let keys = taken.iter().map(|(of, _)| messages::own_key(&of.message));
    let keys: Vec<_> = keys.collect();
    let (mut ids, mut ours) = (Vec::new(), Vec::new());
    for ((of, taken), key) in taken.iter().zip(&keys) {
        for id in [&taken.provider_id].into_iter().chain(&taken.also) {
            ids.push((of.key(id), key.as_str()));
            ours.push(of.key(key));
        }
    }
    provider_ids::insert_each(session, &ids).await?;
    let theirs: Vec<_> = ids.iter().map(|(id, _)| *id).collect();
    echoes::delete_each(session, &theirs).await?;
    let moved = messages::rekey_each(session, &ids).await?;
    let changed = ours.into_iter().zip(moved).filter(|(_, moved)| *moved);
    let changed: Vec<_> = changed.map(|(key, _)| key).collect();
    messages::mark_changed(session, &changed).await?;
    standing::refresh(session, &changed.into_iter().collect()).await?;
    let given = taken.iter().map(|(of, taken)| {
        let given = taken.provider_id.as_str();
        (&of.account, &of.message, given)
    });
    let given: Vec<_> = given.collect();
    Ok(messages::give_ids(session, &given).await?)
}
