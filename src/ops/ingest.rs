//! Taking in what providers deliver: everything that is waiting shares one transaction and one wait for the disk.
//!
//! How a delivery is signed and read is not decided here, but at its hook.
//!
//! Invariant: whoever gets `Ok` from [`Ingest::deliver`] can lose power the same instant: each message is
//! stored, once, and counted in the same transaction.

mod line;

use super::{
    Context,
    changes::{Changes, commit},
    events::{Event, What},
};
use crate::{
    domain::Channel,
    error::Error,
    id::{AccountId, ContactId, ConversationId, EventId, InboxId, MessageId, QuarantineId},
    store::{
        contacts, conversations, inboxes,
        messages::{self, Fullness, NewMessage},
        quarantine,
    },
};
use bytes::Bytes;
use channels::{DeliveryStatus, Item};
use db::Session;
use line::{Batch, Line};
use sha2::{Digest, Sha256};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet, hash_map::Entry},
    sync::Arc,
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot},
    task::{JoinHandle, JoinSet},
};

/// Deliveries in one transaction. Beyond this the wait for the disk is a small part of the cost already.
const BATCH: usize = 256;

/// A delivery as it came, for quarantine.
#[derive(Debug, Default)]
pub struct Source {
    /// The request's headers, without secrets: a JSON object.
    pub headers: String,
    /// The request's body, byte for byte.
    pub body: Bytes,
}

/// What one delivery says to one inbox, once its signature is checked.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// What it was read from.
    pub source: Arc<Source>,
    /// Whose inbox it is.
    pub account: AccountId,
    /// Which.
    pub inbox: InboxId,
    /// Through which channel.
    pub channel: Channel,
    /// Whether the inbox was known to work before this.
    pub proved: bool,
    /// What it says.
    pub items: Vec<Item>,
}

/// What became of a delivery: each thing that it says is in just one of the counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Messages that are new.
    pub stored: u64,
    /// What was there already, or is no news.
    pub known: u64,
    /// Things that happened to messages and contacts.
    pub changes: u64,
    /// What could not be understood, or what the store refused.
    pub quarantined: u64,
    /// What is no message, nor about one.
    pub ignored: u64,
    /// What is for inboxes that did not sign it.
    pub foreign: u64,
    /// Parts for an inbox that is there.
    pub parts: u64,
}

/// The line in which deliveries wait for the store. Cheap to clone.
#[derive(Clone)]
pub struct Ingest {
    line: mpsc::UnboundedSender<Waiting>,
    /// Places in the line, which is bounded by them.
    room: Arc<Semaphore>,
}

struct Waiting {
    arrivals: Vec<Arrival>,
    answer: oneshot::Sender<Result<Outcome, Error>>,
    /// Held until it is its turn.
    _place: OwnedSemaphorePermit,
}

impl Ingest {
    /// Opens the line, with room for `room` deliveries. The task ends once every handle is gone and the line is empty.
    pub fn start(context: Context, room: usize) -> (Self, JoinHandle<()>) {
        let (line, coming) = mpsc::unbounded_channel();
        let room = Arc::new(Semaphore::new(room));
        (Ingest { line, room }, tokio::spawn(work(context, coming)))
    }

    /// Stores a delivery, and returns when it is durable. A full line is [`Error::Unavailable`] at once.
    pub async fn deliver(&self, arrivals: Vec<Arrival>) -> Result<Outcome, Error> {
        let stopping = || Error::Unavailable("the server is stopping".into());
        let (answer, answered) = oneshot::channel();
        let place = self.room.clone().try_acquire_owned();
        let place =
            place.map_err(|_| Error::Unavailable("too many deliveries are waiting".into()))?;
        let waiting = Waiting {
            arrivals,
            answer,
            _place: place,
        };
        self.line.send(waiting).map_err(|_| stopping())?;
        answered.await.map_err(|_| stopping())?
    }
}

/// Stores whatever is there as soon as a writer is free, and waits only while nothing is.
async fn work(context: Context, mut coming: mpsc::UnboundedReceiver<Waiting>) {
    let mut line = Line::new();
    let mut writers = JoinSet::new();
    // Apart from the tasks: one that panics must not keep its inboxes.
    let mut away = HashMap::new();
    let mut open = true;
    while open || !writers.is_empty() {
        tokio::select! {
            came = coming.recv(), if open => match came {
                Some(waiting) => join(&mut line, waiting),
                None => open = false,
            },
            Some(ended) = writers.join_next_with_id() => {
                let task = match ended {
                    Ok((task, ())) => task,
                    Err(error) => {
                        tracing::error!(%error, "storing a batch failed");
                        error.id()
                    }
                };
                line.come_back(away.remove(&task).unwrap_or_default());
            }
        }
        while let Ok(waiting) = coming.try_recv() {
            join(&mut line, waiting);
        }
        while writers.len() < context.db.writers()
            && let Some(Batch { taken, inboxes }) = line.leave(BATCH)
        {
            let writer = writers.spawn(answer(context.clone(), taken));
            away.insert(writer.id(), inboxes);
        }
    }
}

/// What is for several inboxes waits with the first of them.
fn join(line: &mut Line<Waiting>, waiting: Waiting) {
    let inbox = waiting.arrivals.first().map(|one| one.inbox.clone());
    line.join(inbox, waiting);
}

/// Stores a batch, and tells each of those who wait for it.
async fn answer(context: Context, batch: Vec<Waiting>) {
    metrics::histogram!("inboxd_ingest_batch_updates").record(batch.len() as f64);
    let (arrivals, answers): (Vec<_>, Vec<_>) = batch
        .into_iter()
        .map(|waiting| (waiting.arrivals, waiting.answer))
        .unzip();
    let outcomes = store_batch(&context, &arrivals).await;
    for (answer, outcome) in answers.into_iter().zip(outcomes) {
        // A connection that is gone has nobody to tell; its provider will deliver again.
        answer.send(outcome).ok();
    }
}

/// Stores all, or, where the store refuses something, each alone.
async fn store_batch(context: &Context, batch: &[Vec<Arrival>]) -> Vec<Result<Outcome, Error>> {
    match store(context, batch).await {
        Ok(outcomes) => outcomes.into_iter().map(Outcome::arrived).collect(),
        Err(Error::Unavailable(cause)) => batch
            .iter()
            .map(|_| Err(Error::Unavailable(cause.clone())))
            .collect(),
        Err(_) => {
            let mut outcomes = Vec::with_capacity(batch.len());
            for delivery in batch {
                outcomes.push(
                    store_apart(context, delivery)
                        .await
                        .and_then(Outcome::arrived),
                );
            }
            outcomes
        }
    }
}

/// Stores a delivery item by item, so that what the store refuses is set aside alone.
async fn store_apart(context: &Context, delivery: &[Arrival]) -> Result<Outcome, Error> {
    let mut total = Outcome::default();
    for arrival in delivery {
        // What it proves, whatever becomes of its items; it may have none.
        let bare = Arrival {
            items: Vec::new(),
            ..arrival.clone()
        };
        let outcomes = store(context, &[vec![bare]]).await?;
        total.add(outcomes.into_iter().next().unwrap_or_default());
        for item in &arrival.items {
            let mut alone = arrival.clone();
            alone.items = vec![item.clone()];
            let outcomes = match store(context, &[vec![alone.clone()]]).await {
                Ok(outcomes) => outcomes,
                Err(Error::Unavailable(cause)) => return Err(Error::Unavailable(cause)),
                Err(error) => {
                    let cause = error.cause().unwrap_or("refused").to_owned();
                    tracing::error!(inbox = %arrival.inbox, cause, "the store refused an item");
                    alone.items = vec![Item::Unreadable {
                        reason: "the store refused it".into(),
                        count: 1,
                    }];
                    store(context, &[vec![alone]]).await?
                }
            };
            total.add(outcomes.into_iter().next().unwrap_or_default());
        }
    }
    Ok(total)
}

impl Outcome {
    fn add(&mut self, other: Outcome) {
        self.stored += other.stored;
        self.known += other.known;
        self.changes += other.changes;
        self.quarantined += other.quarantined;
        self.ignored += other.ignored;
        self.foreign += other.foreign;
        self.parts += other.parts;
    }

    /// Whether any part of the delivery found its inbox: one can be deleted after its address was looked up.
    fn arrived(self) -> Result<Outcome, Error> {
        match self.parts {
            0 => Err(Error::NotFound("inbox")),
            _ => Ok(self),
        }
    }
}

/// A message of a batch, with all that is known of it on the way to the store.
struct Incoming<'a> {
    /// Which delivery of the batch it is from.
    delivery: usize,
    arrival: &'a Arrival,
    message: &'a channels::Message,
    /// Who wrote it, as far as that is known.
    contact: Option<contacts::Stored>,
    /// Their conversation, if there is one.
    conversation: Option<ConversationId>,
}

impl<'a> Incoming<'a> {
    fn key(&self) -> messages::Key<'a> {
        messages::Key {
            account: &self.arrival.account,
            inbox: &self.arrival.inbox,
            provider_id: &self.message.provider_id,
        }
    }

    fn fullness(&self) -> Fullness {
        Fullness::of(self.message.kind.as_str(), self.message.placeholder)
    }

    fn contact_key(&self) -> contacts::Key<'a> {
        contacts::Key {
            account: &self.arrival.account,
            channel: self.arrival.channel,
            contact: &self.message.contact,
        }
    }
}

/// Stores a batch in one transaction, and tells what happened once it is durable. Returns what became of each delivery.
///
/// Rows are locked in one order (inboxes, contacts, conversations, messages; by key within each), so that two nodes
/// that store at once, or one that deletes an inbox, cannot wait for each other in a circle.
pub(super) async fn store(
    context: &Context,
    batch: &[Vec<Arrival>],
) -> Result<Vec<Outcome>, Error> {
    let mut session = context.db.write().await?;
    let (outcomes, changes) = store_in(context, &mut session, batch).await?;
    commit(context, session, changes).await?;
    Ok(outcomes)
}

/// What became of each delivery, and what is to be told with the commit.
pub(super) type Stored = (Vec<Outcome>, Changes);

/// Stores a batch in a transaction that is open already.
pub(super) async fn store_in(
    context: &Context,
    session: &mut Session,
    batch: &[Vec<Arrival>],
) -> Result<Stored, Error> {
    let now = context.clock.now();
    let mut outcomes = vec![Outcome::default(); batch.len()];
    let batch = present(session, batch, &mut outcomes).await?;
    let batch = batch.as_slice();
    let mut changes = Changes::of(prove(context, session, batch, now).await?);
    let (incoming, fillings) = new_messages(session, batch, &mut outcomes).await?;
    let contacts = resolve_contacts(context, session, &incoming, now).await?;
    let conversations = resolve_conversations(context, session, &incoming, &contacts, now).await?;
    changes.add(
        store_messages(
            context,
            session,
            &incoming,
            &conversations,
            now,
            &mut outcomes,
        )
        .await?,
    );
    let filled = fill(context, session, &fillings, now, &mut outcomes).await?;
    changes.add(Changes::of(filled));
    let events = store_changes(context, session, batch, now, &mut outcomes).await?;
    changes.add(Changes::of(events));
    store_unreadable(context, session, batch, now, &mut outcomes).await?;
    Ok((outcomes, changes))
}

/// Locks the inboxes of a batch, and leaves out what is for one that is gone.
async fn present<'a>(
    session: &mut Session,
    batch: &'a [Vec<Arrival>],
    outcomes: &mut [Outcome],
) -> Result<Vec<Vec<&'a Arrival>>, Error> {
    let to = |arrival: &'a Arrival| (&arrival.account, &arrival.inbox);
    let mut inboxes: Vec<_> = batch.iter().flatten().map(to).collect();
    inboxes.sort_unstable();
    inboxes.dedup();
    let there = inboxes::lock(session, &inboxes).await?;
    let there: HashSet<_> = inboxes
        .into_iter()
        .zip(there)
        .filter_map(|(inbox, there)| there.then_some(inbox))
        .collect();
    Ok(batch
        .iter()
        .zip(outcomes)
        .map(|(arrivals, outcome)| {
            let left = arrivals.iter().filter(|one| there.contains(&to(one)));
            let left: Vec<_> = left.collect();
            outcome.parts = left.len() as u64;
            left
        })
        .collect())
}

/// A correctly signed delivery is the proof that its inbox works.
async fn prove(
    context: &Context,
    session: &mut Session,
    batch: &[Vec<&Arrival>],
    now: i64,
) -> Result<Vec<Event>, Error> {
    let unproved: BTreeMap<_, _> = batch
        .iter()
        .flatten()
        .filter(|arrival| !arrival.proved)
        .map(|arrival| (&arrival.inbox, &arrival.account))
        .collect();
    let mut events = Vec::new();
    for (inbox, account) in unproved {
        let id = EventId::new(&context.clock);
        if inboxes::prove(session, account, inbox, now, &id).await? {
            events.push(Event {
                id,
                account: account.clone(),
                inbox: inbox.clone(),
                what: What::InboxChanged,
            });
        }
    }
    Ok(events)
}

/// The messages of a batch that are not stored yet, each once, and those that are stored with less of what they say.
async fn new_messages<'a>(
    session: &mut Session,
    batch: &[Vec<&'a Arrival>],
    outcomes: &mut [Outcome],
) -> Result<(Vec<Incoming<'a>>, Vec<Incoming<'a>>), Error> {
    let mut incoming: Vec<Incoming<'_>> = Vec::new();
    let mut seen = HashMap::new();
    for (delivery, arrivals) in batch.iter().enumerate() {
        for arrival in arrivals {
            for item in &arrival.items {
                let Item::Message(message) = item else {
                    continue;
                };
                let one = Incoming {
                    delivery,
                    arrival,
                    message,
                    contact: None,
                    conversation: None,
                };
                match seen.entry(one.key()) {
                    Entry::Vacant(new) => {
                        new.insert(incoming.len());
                        incoming.push(one);
                    }
                    Entry::Occupied(same) => {
                        outcomes[delivery].known += 1;
                        let same = &mut incoming[*same.get()];
                        if one.fullness() > same.fullness() {
                            same.message = message;
                        }
                    }
                }
            }
        }
    }
    // The unique key decides in the end. Looking first keeps a redelivery from touching contacts and conversations.
    let keys: Vec<_> = incoming
        .iter()
        .map(|one| (one.key(), one.contact_key()))
        .collect();
    let known = messages::look_each(session, &keys).await?;
    let mut new = Vec::with_capacity(incoming.len());
    let mut fillings = Vec::new();
    for (one, known) in incoming.into_iter().zip(known) {
        match known.message {
            None => new.push(Incoming {
                contact: known.contact,
                conversation: known.conversation,
                ..one
            }),
            Some(stored) if one.fullness() > stored => fillings.push(one),
            Some(_) => outcomes[one.delivery].known += 1,
        }
    }
    Ok((new, fillings))
}

/// Gives messages that were announced without their content what they say, and tells of it.
async fn fill(
    context: &Context,
    session: &mut Session,
    fillings: &[Incoming<'_>],
    now: i64,
    outcomes: &mut [Outcome],
) -> Result<Vec<Event>, Error> {
    let mut fillings: Vec<_> = fillings.iter().collect();
    fillings.sort_by_key(|one| one.key());
    let mut changes = Vec::with_capacity(fillings.len());
    let mut rows = Vec::with_capacity(fillings.len());
    for one in fillings {
        outcomes[one.delivery].changes += 1;
        let message = one.message;
        rows.push(messages::Filling {
            key: one.key(),
            kind: message.kind.as_str(),
            content: message.content.as_str(),
            reply_to: message.reply_to.as_deref(),
            status: message.status.map(DeliveryStatus::as_str),
        });
        changes.push(messages::NewChange {
            key: one.key(),
            kind: "content",
            part: message.kind.as_str().to_owned(),
            id: EventId::new(&context.clock),
            value: None,
            timestamp: message.timestamp.unwrap_or(now),
            received_at: now,
        });
    }
    messages::fill(session, &rows).await?;
    messages::change(session, &changes).await?;
    changed(session, &changes).await
}

/// For each message, its contact, made or brought up to date.
async fn resolve_contacts(
    context: &Context,
    session: &mut Session,
    incoming: &[Incoming<'_>],
    now: i64,
) -> Result<Vec<ContactId>, Error> {
    type Who<'a> = (&'a AccountId, &'static str, &'a str);
    fn who<'a>(key: &contacts::Key<'a>) -> Who<'a> {
        (key.account, key.channel.as_str(), &key.contact.provider_id)
    }
    // The last message of a contact in the batch says what holds of it now; a handed-over one says what held.
    let mut distinct: BTreeMap<Who<'_>, (contacts::Key<'_>, &Incoming<'_>)> = BTreeMap::new();
    for one in incoming {
        let key = one.contact_key();
        match distinct.get(&who(&key)) {
            Some((_, last)) if one.message.historic && !last.message.historic => {}
            _ => {
                distinct.insert(who(&key), (key, one));
            }
        }
    }
    let mut ids: HashMap<Who<'_>, ContactId> = HashMap::with_capacity(distinct.len());
    let (mut known, mut new, mut renamed) = (Vec::new(), Vec::new(), Vec::new());
    for (key, one) in distinct.values() {
        let historic = one.message.historic;
        match &one.contact {
            Some(stored) => known.push((key, historic, stored.clone())),
            None if key.contact.alias.is_none() => new.push(key),
            None => renamed.push((key, historic)),
        }
    }
    let added = add_contacts(context, session, &new, now).await?;
    ids.extend(new.into_iter().map(who).zip(added));
    // One by one, after the others: each may turn out to be somebody who is known by a number alone, from now on, too.
    for (key, historic) in renamed {
        match adopt(session, key).await? {
            Some(stored) => known.push((key, historic, stored)),
            None => {
                ids.extend(
                    add_contacts(context, session, &[key], now)
                        .await?
                        .into_iter()
                        .map(|id| (who(key), id)),
                );
            }
        }
    }
    for (key, historic, stored) in known {
        if !historic && says_more(key.contact, &stored) {
            contacts::update(session, key, &stored.id).await?;
        }
        ids.insert(who(key), stored.id);
    }
    Ok(incoming
        .iter()
        .filter_map(|one| ids.get(&who(&one.contact_key())).cloned())
        .collect())
}

/// A contact that was known by its number alone, and now comes with its own id, stays the same contact.
/// One whose number already belongs to another id is somebody else: numbers are handed on.
async fn adopt(
    session: &mut Session,
    key: &contacts::Key<'_>,
) -> Result<Option<contacts::Stored>, Error> {
    let Some(alias) = &key.contact.alias else {
        return Ok(None);
    };
    let Some(stored) = contacts::find_by_alias(session, key, alias).await? else {
        return Ok(None);
    };
    contacts::point(session, key, &key.contact.provider_id, &stored.id).await?;
    contacts::rename(session, key, &stored.id).await?;
    Ok(Some(stored))
}

/// Adds contacts. Returns their ids: where another node was faster, that of the contact that it added.
async fn add_contacts(
    context: &Context,
    session: &mut Session,
    keys: &[&contacts::Key<'_>],
    now: i64,
) -> Result<Vec<ContactId>, Error> {
    let fresh: Vec<_> = keys
        .iter()
        .map(|_| ContactId::new(&context.clock))
        .collect();
    let ids = contacts::claim_each(session, keys, &fresh).await?;
    let ours: Vec<_> = keys
        .iter()
        .zip(&ids)
        .zip(&fresh)
        .filter(|((_, id), fresh)| id == fresh)
        .map(|((key, id), _)| (*key, id))
        .collect();
    contacts::insert_each(session, &ours, now).await?;
    for (key, id) in keys.iter().zip(&ids) {
        if let Some(alias) = &key.contact.alias {
            contacts::point(session, key, alias, id).await?;
        }
    }
    Ok(ids)
}

fn says_more(contact: &channels::Contact, stored: &contacts::Stored) -> bool {
    let differs = |new: Option<&str>, old: &Option<String>| new.is_some() && new != old.as_deref();
    differs(contact.name.as_deref(), &stored.name)
        || differs(contact.phone.as_deref(), &stored.phone)
        || differs(contact.username.as_deref(), &stored.username)
}

/// For each message, its conversation, opened if there was none.
async fn resolve_conversations(
    context: &Context,
    session: &mut Session,
    incoming: &[Incoming<'_>],
    contacts: &[ContactId],
    now: i64,
) -> Result<Vec<ConversationId>, Error> {
    let wanted: Vec<_> = incoming
        .iter()
        .zip(contacts)
        .map(|(one, contact)| conversations::Key {
            account: one.arrival.account.clone(),
            inbox: one.arrival.inbox.clone(),
            contact: contact.clone(),
        })
        .collect();
    let missing: BTreeSet<_> = incoming
        .iter()
        .zip(&wanted)
        .filter(|(one, _)| one.conversation.is_none())
        .map(|(_, key)| key.clone())
        .collect();
    // One who was only just found by another name may have a conversation, too: then it is that one.
    let new: Vec<_> = missing
        .into_iter()
        .map(|key| (key, ConversationId::new(&context.clock)))
        .collect();
    let opened = conversations::claim_each(session, &new, now).await?;
    let opened: HashMap<_, _> = new.into_iter().map(|(key, _)| key).zip(opened).collect();
    Ok(incoming
        .iter()
        .zip(&wanted)
        .filter_map(|(one, key)| {
            one.conversation
                .as_ref()
                .or_else(|| opened.get(key))
                .cloned()
        })
        .collect())
}

/// Stores the messages, and counts those that really were new.
async fn store_messages(
    context: &Context,
    session: &mut Session,
    incoming: &[Incoming<'_>],
    conversations: &[ConversationId],
    now: i64,
    outcomes: &mut [Outcome],
) -> Result<Changes, Error> {
    let mut rows: Vec<_> = incoming
        .iter()
        .zip(conversations)
        .map(|(one, conversation)| {
            let message = one.message;
            let row = NewMessage {
                key: one.key(),
                id: MessageId::new(&context.clock),
                conversation,
                direction: match message.direction {
                    channels::Direction::Inbound => "inbound",
                    channels::Direction::Outbound => "outbound",
                },
                kind: message.kind.as_str(),
                content: message.content.as_str(),
                sender: json(&message.sender)?,
                reply_to: message.reply_to.as_deref(),
                historic: message.historic,
                timestamp: message.timestamp.unwrap_or(now),
                received_at: now,
                placeholder: message.placeholder,
                status: message.status.map(DeliveryStatus::as_str),
            };
            Ok((one.delivery, row))
        })
        .collect::<Result<_, Error>>()?;
    rows.sort_by_key(|(_, row)| row.key);
    let (deliveries, rows): (Vec<_>, Vec<_>) = rows.into_iter().unzip();
    let stored = messages::insert(session, &rows).await?;

    let mut by_conversation = BTreeMap::new();
    let mut by_inbox = BTreeMap::new();
    let mut changes = Changes::none();
    for ((delivery, row), stored) in deliveries.iter().zip(&rows).zip(stored) {
        if stored {
            outcomes[*delivery].stored += 1;
            if row.historic {
                changes.accounts.insert(row.key.account.clone());
            } else {
                changes.events.push(created(row));
            }
            *by_conversation
                .entry((row.key.account, row.conversation))
                .or_default() += 1;
            *by_inbox
                .entry((row.key.account, row.key.inbox))
                .or_default() += 1;
        } else {
            outcomes[*delivery].known += 1;
        }
    }
    let counts = by_conversation.iter().map(|(&(a, c), &more)| (a, c, more));
    conversations::count(session, counts, now).await?;
    let counts = by_inbox.iter().map(|(&(a, i), &more)| (a, i, more));
    inboxes::count(session, counts).await?;
    changes.events.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(changes)
}

fn created(row: &NewMessage<'_>) -> Event {
    Event {
        id: EventId::from(&row.id),
        account: row.key.account.clone(),
        inbox: row.key.inbox.clone(),
        what: What::MessageCreated {
            conversation: row.conversation.clone(),
            message: row.id.clone(),
        },
    }
}

/// Keeps what happened to messages, known or not yet: reading a message folds its changes in.
async fn store_changes(
    context: &Context,
    session: &mut Session,
    batch: &[Vec<&Arrival>],
    now: i64,
    outcomes: &mut [Outcome],
) -> Result<Vec<Event>, Error> {
    let mut changes = Vec::new();
    for (delivery, arrivals) in batch.iter().enumerate() {
        for arrival in arrivals {
            for item in &arrival.items {
                match item {
                    Item::Message(_) | Item::Unreadable { .. } => {}
                    Item::Ignored { .. } => outcomes[delivery].ignored += 1,
                    Item::Blocked { contact, blocked } => {
                        let key = contacts::Key {
                            account: &arrival.account,
                            channel: arrival.channel,
                            contact,
                        };
                        // Somebody who never wrote is no contact.
                        match contacts::block(session, &key, blocked.then_some(now)).await? {
                            true => outcomes[delivery].changes += 1,
                            false => outcomes[delivery].ignored += 1,
                        }
                    }
                    item => match change(context, arrival, item, now)? {
                        Some(change) => changes.push((delivery, change)),
                        None => outcomes[delivery].ignored += 1,
                    },
                }
            }
        }
    }
    changes.sort_by(|(_, a), (_, b)| (a.key, a.kind, &a.part).cmp(&(b.key, b.kind, &b.part)));
    let (deliveries, changes): (Vec<_>, Vec<_>) = changes.into_iter().unzip();
    let news = messages::change(session, &changes).await?;
    let mut fresh = Vec::with_capacity(changes.len());
    for ((delivery, change), is_news) in deliveries.into_iter().zip(changes).zip(news) {
        if is_news {
            outcomes[delivery].changes += 1;
            fresh.push(change);
        } else {
            outcomes[delivery].known += 1;
        }
    }
    changed(session, &fresh).await
}

/// That something happened to messages, those that are stored.
async fn changed(
    session: &mut Session,
    changes: &[messages::NewChange<'_>],
) -> Result<Vec<Event>, Error> {
    let keys: Vec<_> = changes.iter().map(|change| change.key).collect();
    let found = messages::find_each_by_provider_id(session, &keys).await?;
    let mut events: Vec<_> = changes
        .iter()
        .zip(found)
        .filter_map(|(change, found)| {
            let (message, conversation) = found?;
            Some(Event {
                id: change.id.clone(),
                account: change.key.account.clone(),
                inbox: change.key.inbox.clone(),
                what: What::MessageChanged {
                    conversation,
                    message,
                },
            })
        })
        .collect();
    events.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(events)
}

fn change<'a>(
    context: &Context,
    arrival: &'a Arrival,
    item: &'a Item,
    now: i64,
) -> Result<Option<messages::NewChange<'a>>, Error> {
    let (provider_id, kind, part, value, timestamp) = match item {
        Item::Status(status) => (
            &status.provider_id,
            "status",
            status.status.as_str().to_owned(),
            status.error.as_deref(),
            status.timestamp,
        ),
        Item::Reaction(reaction) => (
            &reaction.provider_id,
            "reaction",
            reaction.by.clone(),
            reaction.emoji.as_deref(),
            reaction.timestamp,
        ),
        Item::Edit(edit) => {
            // Without the new text there is nothing to keep.
            let Some(content) = &edit.content else {
                return Ok(None);
            };
            let content = content.as_str();
            let stamp = edit.timestamp.unwrap_or_default();
            let print = Sha256::digest(format!("{stamp} {content}"));
            let print = data_encoding::HEXLOWER.encode(&print[..16]);
            (
                &edit.provider_id,
                "edit",
                print,
                Some(content),
                edit.timestamp,
            )
        }
        Item::Revoke(revoke) => (
            &revoke.provider_id,
            "revoke",
            String::new(),
            None,
            revoke.timestamp,
        ),
        Item::Message(_)
        | Item::Unreadable { .. }
        | Item::Blocked { .. }
        | Item::Ignored { .. } => {
            return Ok(None);
        }
    };
    Ok(Some(messages::NewChange {
        key: messages::Key {
            account: &arrival.account,
            inbox: &arrival.inbox,
            provider_id,
        },
        kind,
        part,
        id: EventId::new(&context.clock),
        value,
        timestamp: timestamp.unwrap_or(now),
        received_at: now,
    }))
}

/// Sets aside what could not be understood: the whole delivery, since an item alone may not make sense later.
async fn store_unreadable(
    context: &Context,
    session: &mut Session,
    batch: &[Vec<&Arrival>],
    now: i64,
    outcomes: &mut [Outcome],
) -> Result<(), Error> {
    for (delivery, arrivals) in batch.iter().enumerate() {
        for arrival in arrivals {
            let mut first = None;
            let mut items = 0;
            for item in &arrival.items {
                if let Item::Unreadable { reason, count } = item {
                    first = first.or(Some(reason));
                    items += count;
                }
            }
            let Some(reason) = first else {
                continue;
            };
            let source = &arrival.source;
            let entry = quarantine::NewEntry {
                id: QuarantineId::new(&context.clock),
                account: &arrival.account,
                inbox: &arrival.inbox,
                channel: arrival.channel,
                reason,
                headers: &source.headers,
                body: &source.body,
                body_hash: Sha256::digest(&source.body).into(),
                received_at: now,
            };
            if quarantine::insert(session, &entry).await? {
                tracing::warn!(inbox = %arrival.inbox, %reason, "set aside in quarantine");
                outcomes[delivery].quarantined += items;
            } else {
                outcomes[delivery].known += items;
            }
        }
    }
    Ok(())
}

fn json(value: &impl serde::Serialize) -> Result<String, Error> {
    serde_json::to_string(value).map_err(|error| Error::Internal(error.to_string()))
}
