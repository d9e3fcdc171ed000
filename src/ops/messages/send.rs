//! Accepting a message to send. It is sent later: see `outbox`.
//!
//! Invariant: what is answered is stored, counted, and in the outbox, by one transaction; or nothing is.

use super::{
    input::NewMessage,
    outgoing::{self, Way},
};
use crate::{
    domain::{self, Channel, Message, SentBy},
    error::{Error, FieldError, Reason},
    id::{AccountId, ContactId, ConversationId, EventId, InboxId, MessageId},
    ops::{
        Context,
        changes::{Changes, commit},
        credentials,
        events::{Event, Live, What},
        found,
        idempotency::Request,
        inboxes::read_settings,
    },
    store::{
        contacts,
        conversations::{self, Growth, Target},
        identities, inboxes,
        messages::{self, NewOutgoing},
        outbox::{self, NewEntry},
    },
};
use channels::{Identity, IdentityKind};
use db::Session;
use serde::Deserialize;
use serde_json::{Map, Value, value::RawValue};
use std::time::Duration;
use tokio::{
    sync::broadcast::{Receiver, error::RecvError},
    time::timeout,
};

/// How long after a contact's last message the business may write what it likes, in seconds.
pub const WINDOW: i64 = 24 * 3600;

/// Accepts a message to send, by the body of `POST /messages`; if it is the same `request` again, that is all that happens.
/// Returns the message as it is then; or, with `wait`, as it is once the
/// provider has answered, at most so much later.
///
/// # Errors
/// [`Error::Validation`] with all that is wrong with the body, and with what the channel does not take;
/// [`Error::Conflict`] if nothing can be sent there now.
pub async fn send(
    context: &Context,
    account: &AccountId,
    sent_by: &SentBy,
    body: Map<String, Value>,
    request: Option<&Request>,
    wait: Option<Duration>,
) -> Result<Sent, Error> {
    let new = NewMessage::parse(body)?;
    if let Some(answer) = replay(context, account, request).await? {
        return Ok(answer);
    }
    // Before anything can happen to it.
    let events = context.events.listen();
    let mut session = context.db.write().await?;
    let (id, changes) = queue(context, &mut session, account, sent_by, &new).await?;
    let accepted = json(&super::read_one(&mut session, account, &id).await?)?;
    if let Some(request) = request
        && !request
            .keep(context, &mut session, account, accepted.get())
            .await?
    {
        // An equal request was faster: what this one did is taken back.
        drop(session);
        let answer = replay(context, account, Some(request)).await?;
        return answer.ok_or_else(in_flight);
    }
    commit(context, session, changes).await?;
    if wait.is_none() {
        return Ok(Sent::new(id, accepted, false));
    }
    if let Some(wait) = wait {
        // The answer is then as far as it is.
        timeout(wait, until_answered(context, account, &id, events))
            .await
            .ok();
    }
    let message = json(&super::get(context, account, &id).await?)?;
    Ok(Sent::new(id, message, false))
}

/// A message that was accepted.
#[derive(Debug)]
pub struct Sent {
    /// Its id.
    pub id: MessageId,
    /// As it is shown.
    pub message: Box<RawValue>,
    /// Whether that is the answer to an earlier request.
    pub is_replayed: bool,
}

impl Sent {
    fn new(id: MessageId, message: Box<RawValue>, is_replayed: bool) -> Self {
        Sent {
            id,
            message,
            is_replayed,
        }
    }
}

/// What an equal request was answered.
async fn replay(
    context: &Context,
    account: &AccountId,
    request: Option<&Request>,
) -> Result<Option<Sent>, Error> {
    let Some(request) = request else {
        return Ok(None);
    };
    let Some(answer) = request.answer(context, account).await? else {
        return Ok(None);
    };
    #[derive(Deserialize)]
    struct Answer {
        id: MessageId,
    }
    let Answer { id } = serde_json::from_str(&answer).map_err(internal)?;
    let message = RawValue::from_string(answer).map_err(internal)?;
    Ok(Some(Sent::new(id, message, true)))
}

fn in_flight() -> Error {
    Error::Conflict(
        Reason::InFlight,
        "A request with this Idempotency-Key is being carried out: try again".to_owned(),
    )
}

fn json(message: &Message<'_>) -> Result<Box<RawValue>, Error> {
    serde_json::value::to_raw_value(message).map_err(internal)
}

/// Returns once a message is not queued any more, or if that cannot be seen.
async fn until_answered(
    context: &Context,
    account: &AccountId,
    id: &MessageId,
    mut events: Receiver<Live>,
) {
    let is_queued = async || {
        let message = super::get(context, account, id).await;
        message.is_ok_and(|message| message.status.as_deref() == Some("queued"))
    };
    while is_queued().await {
        loop {
            match events.recv().await {
                Ok(Live::Happened(event)) => match &event.what {
                    What::MessageChanged { message, .. } if message == id => break,
                    _ => {}
                },
                Ok(Live::Missed) | Err(RecvError::Lagged(_)) => break,
                Ok(Live::KeysChanged) => {}
                Err(RecvError::Closed) => return,
            }
        }
    }
}

/// Stores a message to send in an open transaction. Returns its id, and what is to be told with the commit.
pub(in crate::ops) async fn queue(
    context: &Context,
    session: &mut Session,
    account: &AccountId,
    sent_by: &SentBy,
    new: &NewMessage,
) -> Result<(MessageId, Changes), Error> {
    let conversation = conversation(context, session, account, new).await?;
    let target = conversations::find_target(session, account, &conversation).await?;
    let target = found(target, "conversation")?;
    check(new, &target)?;
    check_sending(context, session, account, &target).await?;
    check_last(&target, new)?;

    let quoted = quoted(session, account, new, &conversation).await?;
    let mut way = match (&quoted, &target.last_inbound) {
        (Some((key, content)), _) => Way::of(target.channel, key, content),
        (None, Some(last)) => {
            let last = messages::find_quotable(session, account, last, &conversation).await?;
            last.map_or_else(Way::default, |(key, content)| {
                Way::of(target.channel, &key, &content)
            })
        }
        (None, None) => Way::default(),
    };
    if let channels::send::outgoing::Outgoing::Text { preview_url, .. } = &new.outgoing {
        way.preview_url = *preview_url;
    }
    // Made inside the transaction, so that ids and commits have the same order.
    let id = MessageId::new(&context.clock);
    let now = context.clock.now();
    let key = messages::own_key(&id);
    let is_sent = target.channel == Channel::Livechat;
    let (sent_by, way) = (
        serde_json::to_string(sent_by).map_err(internal)?,
        way.write()?,
    );
    let message = NewOutgoing {
        key: messages::Key {
            account,
            inbox: &target.inbox,
            provider_id: &key,
        },
        id: &id,
        conversation: &conversation,
        kind: outgoing::kind(&new.outgoing),
        content: &outgoing::content(&new.outgoing),
        reply_to: quoted.as_ref().map(|(key, _)| key.as_str()),
        now,
        status: if is_sent { "sent" } else { "queued" },
        sent_by: &sent_by,
        metadata: new.metadata.as_deref(),
        way: way.as_deref(),
    };
    messages::insert_outgoing(session, &message).await?;
    if !is_sent {
        let entry = NewEntry {
            account,
            message: &id,
            inbox: &target.inbox,
            conversation: &conversation,
            position: &id,
            now: context.clock.millis(),
            expires_at: outgoing::expiry(context),
        };
        outbox::insert(session, &entry).await?;
    }
    let mut growth = Growth::default();
    growth.add(now, &id, false);
    conversations::grow(
        session,
        [(account, &conversation, &growth)].into_iter(),
        now,
    )
    .await?;
    inboxes::count(session, [(account, &target.inbox, 1)].into_iter()).await?;
    let mut changes = Changes::of(vec![Event {
        id: EventId::from(&id),
        account: account.clone(),
        inbox: target.inbox,
        what: What::MessageCreated {
            conversation,
            message: id.clone(),
        },
    }]);
    changes.queued = !is_sent;
    Ok((id, changes))
}

/// The conversation that a message goes to. Its inbox is locked from here on, so that nothing is stored there meanwhile.
async fn conversation(
    context: &Context,
    session: &mut Session,
    account: &AccountId,
    new: &NewMessage,
) -> Result<ConversationId, Error> {
    match (&new.conversation, &new.inbox, &new.to) {
        (Some(conversation), _, _) => {
            let target = conversations::find_target(session, account, conversation).await?;
            let target = found(target, "conversation")?;
            lock(session, account, &target.inbox, "conversation").await?;
            Ok(conversation.clone())
        }
        (None, Some(inbox), Some(to)) => {
            lock(session, account, inbox, "inbox").await?;
            open(context, session, account, inbox, to).await
        }
        _ => Err(Error::Internal("a message without a recipient".into())),
    }
}

async fn lock(
    session: &mut Session,
    account: &AccountId,
    inbox: &InboxId,
    noun: &'static str,
) -> Result<(), Error> {
    let there = inboxes::lock(session, &[(account, inbox)]).await?;
    found(there.into_iter().find(|there| *there), noun).map(|_| ())
}

/// Finds or opens the conversation with whom may never have written.
async fn open(
    context: &Context,
    session: &mut Session,
    account: &AccountId,
    inbox: &InboxId,
    to: &str,
) -> Result<ConversationId, Error> {
    let details = inboxes::find_details(session, account, inbox).await?;
    let details = found(details, "inbox")?;
    let channel = details.inbox.channel;
    if channel != Channel::Whatsapp {
        let rule = format!(
            "type {} can only answer: give the conversation_id",
            channel.as_str()
        );
        return Err(Error::field("to", rule));
    }
    let number = to.strip_prefix('+');
    let identity = match number {
        Some(number) => Identity::new(IdentityKind::Phone, number),
        None => {
            let business = read_settings(&details.settings)?.business_account_id;
            Identity::within(business.map(Into::into), IdentityKind::UserId, to)
        }
    };
    let contact = channels::Contact {
        identities: vec![identity.clone()],
        phone: number.map(|_| to.to_owned()),
        ..channels::Contact::default()
    };
    let key = identities::Key {
        account,
        channel,
        identity,
    };
    let now = context.clock.now();
    let known = identities::find_each(session, &[(inbox, &key)]).await?;
    let id = match known.into_iter().flatten().next() {
        Some(holder) => holder.contact.id,
        None => {
            let new = ContactId::new(&context.clock);
            let claims = [(&key, &new, identities::State::default())];
            let holder = identities::claim_each(session, &claims).await?;
            let holder = holder.into_iter().next().unwrap_or_else(|| new.clone());
            if holder == new {
                let said = contacts::Said {
                    account,
                    channel,
                    id: &new,
                    contact: &contact,
                    with_phone: true,
                };
                contacts::insert_each(session, &[said], now).await?;
                contacts::show_identities(session, &[(account, &new)]).await?;
            }
            holder
        }
    };
    let key = conversations::Key {
        account: account.clone(),
        inbox: inbox.clone(),
        contact: id,
    };
    let new = [(key, ConversationId::new(&context.clock))];
    let opened = conversations::claim_each(session, &new, now).await?;
    found(opened.into_iter().next(), "conversation")
}

/// Whether the channel takes the message.
fn check(new: &NewMessage, target: &Target) -> Result<(), Error> {
    let checked = outgoing::limits(target.channel).check(&new.outgoing);
    checked.map_err(|wrong| {
        let wrong = wrong.into_iter();
        Error::Validation(
            wrong
                .map(|(field, rule)| FieldError::new(field, rule))
                .collect(),
        )
    })
}

/// Whether the inbox can send something to the contact now.
pub(in crate::ops) async fn check_sending(
    context: &Context,
    session: &mut Session,
    account: &AccountId,
    target: &Target,
) -> Result<(), Error> {
    if target.inbox_status == "inactive" {
        return Err(Error::Conflict(
            Reason::InboxInactive,
            "This inbox is switched off".to_owned(),
        ));
    }
    if let Some(name) = credentials::to_call(target.channel) {
        let token = credentials::find(context, session, account, &target.inbox, name).await?;
        if token.is_none() {
            return Err(Error::Conflict(
                Reason::CredentialMissing,
                format!("This inbox has no {name} to send with"),
            ));
        }
    }
    let now = context.clock.now();
    match window(target.channel, target.last_inbound_at) {
        // Nobody here knows when the contact wrote last.
        Window::Unknown if now < target.inbox_created_at + WINDOW => Ok(()),
        Window::None => Ok(()),
        Window::Until(end) if now < end => Ok(()),
        Window::Until(_) | Window::Unknown => Err(Error::Conflict(
            Reason::OutsideWindow,
            "The contact has not written within 24 hours: until it writes again, only a template can be sent"
                .to_owned(),
        )),
    }
}

/// Until when a business may write what it likes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::ops) enum Window {
    /// The channel has no such rule.
    None,
    /// The contact has not written here.
    Unknown,
    /// Until then, in seconds since 1970.
    Until(i64),
}

impl Window {
    /// As it is shown at this time, where it is known.
    pub(in crate::ops) fn at(self, now: i64) -> Option<domain::Window> {
        match self {
            Window::None | Window::Unknown => None,
            Window::Until(closes_at) => Some(domain::Window {
                open: now < closes_at,
                closes_at,
            }),
        }
    }
}

/// The window of a conversation, by its channel and when the contact wrote last (0 if it did not).
pub(in crate::ops) fn window(channel: Channel, last_inbound_at: i64) -> Window {
    match channel {
        Channel::Telegram | Channel::Livechat => Window::None,
        Channel::Whatsapp | Channel::Instagram => match last_inbound_at {
            0 => Window::Unknown,
            at => Window::Until(at.saturating_add(WINDOW)),
        },
    }
}

/// Whether the sender has seen the last message, if it says which it saw.
fn check_last(target: &Target, new: &NewMessage) -> Result<(), Error> {
    match &new.if_last_message {
        Some(seen) if *seen != target.last_message => Err(Error::Conflict(
            Reason::Moved,
            format!(
                "The conversation's last message is {}: nothing was sent",
                target.last_message
            ),
        )),
        _ => Ok(()),
    }
}

/// The key and content of the message that is answered.
async fn quoted(
    session: &mut Session,
    account: &AccountId,
    new: &NewMessage,
    conversation: &ConversationId,
) -> Result<Option<(String, String)>, Error> {
    let Some(id) = &new.reply_to else {
        return Ok(None);
    };
    let quoted = messages::find_quotable(session, account, id, conversation).await?;
    let rule = "must be the id of a message of this conversation";
    quoted
        .map(Some)
        .ok_or_else(|| Error::field("reply_to", rule))
}

fn internal(error: serde_json::Error) -> Error {
    Error::Internal(error.to_string())
}
