//! Putting a message into the outbox: where it goes, whether it can, and what is stored of it.
//!
//! Invariant: message, counts and outbox row are written by one transaction, which has locked the inbox before it looked.

use super::{
    input::NewMessage,
    outgoing::{self, Way},
};
use crate::{
    domain::{self, Channel, SentBy},
    error::{Error, FieldError, Reason},
    id::{AccountId, ContactId, ConversationId, EventId, InboxId, MessageId},
    ops::{
        Context,
        changes::Changes,
        contacts::words,
        credentials,
        events::{Event, What},
        found,
        inboxes::read_settings,
    },
    store::{
        contacts,
        conversations::{self, Growth, Origin, Target},
        identities, inboxes,
        messages::{self, NewOutgoing},
        outbox::{self, NewEntry},
    },
};
use channels::{Identity, IdentityKind, send::outgoing::Outgoing};
use db::Session;

/// How long after a contact's last message the business may write what it likes, in seconds.
const WINDOW: i64 = 24 * 3600;

/// Stores a message to send in an open transaction. Returns its id, and what is to be told with the commit.
pub(super) async fn queue(
    context: &Context,
    session: &mut Session,
    account: &AccountId,
    sent_by: &SentBy,
    new: &NewMessage,
) -> Result<(MessageId, Changes), Error> {
    let conversation = conversation(context, session, account, new).await?;
    let target = conversations::find_target(session, account, &conversation).await?;
    let target = found(target, "conversation")?;
    let conversation = target.id.clone();
    if let Some(receiver) = &new.receiver {
        check_receiver(session, account, &target, receiver).await?;
    }
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
    if let Outgoing::Text { preview_url, .. } = &new.outgoing {
        way.preview_url = *preview_url;
    }
    // Made inside the transaction, so that ids and commits have the same order.
    let id = MessageId::new_after(&context.clock, target.last_inbound.as_ref());
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
            attempts: 0,
        };
        outbox::insert(session, &entry).await?;
    }
    let mut growth = Growth::default();
    growth.add(now, &id, Origin::Here);
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
    let identity = identity(to, &details.settings)?;
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
                words::index(session, &[(account, &new)]).await?;
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

/// By what a contact of WhatsApp's is known: a number with `+`, or a user id, of the inbox's business account.
fn identity(to: &str, settings: &str) -> Result<Identity, Error> {
    Ok(match to.strip_prefix('+') {
        Some(number) => Identity::new(IdentityKind::Phone, number),
        None => {
            let business = read_settings(settings)?.business_account_id;
            Identity::within(business.map(Into::into), IdentityKind::UserId, to)
        }
    })
}

/// Whether the conversation is one of WhatsApp's, with this contact.
async fn check_receiver(
    session: &mut Session,
    account: &AccountId,
    target: &Target,
    receiver: &str,
) -> Result<(), Error> {
    if target.channel != Channel::Whatsapp {
        let rule = "must be a conversation of an inbox of type whatsapp";
        return Err(Error::field("conversation_id", rule));
    }
    let key = identities::Key {
        account,
        channel: target.channel,
        identity: identity(receiver, &target.settings)?,
    };
    let known = identities::find_each(session, &[(&target.inbox, &key)]).await?;
    let conversation = known.into_iter().flatten().find_map(|one| one.conversation);
    if conversation.as_ref() != Some(&target.id) {
        let rule = "must be the contact of the conversation";
        return Err(Error::field("receiver", rule));
    }
    Ok(())
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
                format!("Inbox {} has no {name} to send with", target.inbox),
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
