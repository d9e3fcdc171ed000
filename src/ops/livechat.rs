//! Live chat: visitors, the messages that they send, and the messages that they receive.
//!
//! A visitor is anonymous until the website proves who it is. Nothing about a visitor is stored before its first
//! message. `sessions` says who a visitor is and how long, `receipts` what its pages have received and shown.
//!
//! Invariant: a visitor has access only to its own conversation.

mod input;
mod receipts;
mod sessions;
mod tokens;

pub use input::{After, Hello, NewReceipt, NewSession, NewVisitorMessage, VisitorText};
pub use receipts::acknowledge;
pub use sessions::{
    Entered, authenticate, check, create_session, end_session, forget_sessions, identity_secret,
};
pub use tokens::issue;

pub(super) use sessions::vouched_visitor;

use super::{
    Context,
    ingest::{Arrival, Ingest, Outcome, Source},
    messages,
};
use crate::{
    domain::{self, Channel, Content, Message},
    error::Error,
    id::{AccountId, ConversationId, InboxId, MessageId},
    store::{conversations, messages as stored},
};
use channels::{Contact, Direction, Identity, IdentityKind, Item, Kind, Sender};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, value::RawValue};
use std::{borrow::Cow, sync::Arc};
use utoipa::ToSchema;

/// What a visitor's id begins with whom the website vouches for.
const USER: &str = "user:";

/// A visitor of a website.
#[derive(Debug, Clone)]
pub struct Visitor {
    /// The account that owns the inbox.
    pub account: AccountId,
    /// The live-chat inbox that the visitor uses.
    pub inbox: InboxId,
    /// The visitor's identity.
    pub identity: VisitorIdentity,
    /// The session that its token is for. A vouched visitor has one for each time that it logged in.
    pub session: String,
}

/// A visitor's identity, as its token contains it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VisitorIdentity {
    /// The visitor's id: one that this program made, or `user:` and the website's own id.
    pub id: String,
    /// The visitor's name, if it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

impl Visitor {
    /// What the visitor is known by. A website vouches for its users in one inbox.
    fn provider_identity(&self) -> Identity {
        let (kind, value) = match self.user() {
            Some(user) => (IdentityKind::UserId, user),
            None => (IdentityKind::Visitor, self.identity.id.as_str()),
        };
        Identity::within(Some(self.inbox.as_str().into()), kind, value)
    }

    /// The website's id of the visitor, if the website vouches for it.
    fn user(&self) -> Option<&str> {
        self.identity.id.strip_prefix(USER)
    }

    /// What happens in the visitor's inbox, as its channel would report it.
    fn arrival(&self, items: Vec<Item>) -> Arrival {
        Arrival {
            source: Arc::new(Source::default()),
            account: self.account.clone(),
            inbox: self.inbox.clone(),
            channel: Channel::Livechat,
            proved: true,
            items,
        }
    }
}

/// A message as its visitor sees it.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct VisitorMessage {
    /// Its id.
    #[schema(value_type = String, example = "msg_06cqm0d4vdtqf5b5r9e2k8a1p4")]
    pub id: MessageId,
    /// The visitor's own id for the message. Only messages of the visitor have it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "b8f1c2")]
    pub client_id: Option<String>,
    /// `inbound` (from the visitor) or `outbound` (to the visitor).
    #[schema(schema_with = domain::directions)]
    pub direction: String,
    /// The message's type.
    #[serde(rename = "type")]
    #[schema(schema_with = domain::kinds)]
    pub kind: String,
    /// How far an answer came: `sent`, `delivered` (a page has it) or `read` (it was seen). Only answers have it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = domain::statuses)]
    pub status: Option<String>,
    /// The content.
    #[schema(value_type = Content)]
    pub content: Box<RawValue>,
    /// When the message was written, in seconds since 1970.
    #[serde(serialize_with = "crate::clock::serialize")]
    #[schema(value_type = String, format = DateTime, example = "2025-01-15T08:00:00Z")]
    pub timestamp: i64,
}

/// Stores a visitor's message, and returns when it is durable. Returns the message, and true if it is new. The same
/// `client_id` again means the same message, however often it is sent.
pub async fn store_message(
    context: &Context,
    ingest: &Ingest,
    visitor: &Visitor,
    body: Map<String, Value>,
) -> Result<(VisitorMessage, bool), Error> {
    let NewVisitorMessage { client_id, text } = NewVisitorMessage::parse(body)?;
    let (client_id, text) = (client_id.0, text.0);
    let provider_id = provider_id(visitor, &client_id);
    let message = channels::Message {
        provider_id: provider_id.clone(),
        direction: Direction::Inbound,
        contact: Contact {
            identities: vec![visitor.provider_identity()],
            name: visitor.identity.name.as_deref().map(Arc::from),
            ..Contact::default()
        },
        sender: Sender {
            name: visitor.identity.name.as_deref().map(Arc::from),
            ..Sender::default()
        },
        kind: Kind::Text,
        content: Map::from_iter([("text".to_owned(), Value::from(text))]).into(),
        reply_to: None,
        quoted: None,
        timestamp: Some(context.clock.now()),
        historic: false,
        placeholder: false,
        status: None,
    };
    let arrival = visitor.arrival(vec![message.into()]);
    let Outcome { stored: new, .. } = ingest.deliver(vec![arrival]).await?;

    let mut session = context.db.read().await?;
    let key = stored::Key {
        account: &visitor.account,
        inbox: &visitor.inbox,
        provider_id: &provider_id,
    };
    let found = stored::find_each_by_provider_id(&mut session, &[key]).await?;
    drop(session);
    let found = found.into_iter().flatten().next();
    let found = found.ok_or(Error::NotFound("inbox"))?;
    let message = messages::get(context, &visitor.account, &found.id).await?;
    Ok((shown(message, &provider_id), new > 0))
}

/// The messages of the visitor's conversation after a message, or from the start, in the order in which they were
/// received. At most `limit`.
pub async fn messages_after(
    context: &Context,
    visitor: &Visitor,
    after: Option<&MessageId>,
    limit: i64,
) -> Result<Vec<VisitorMessage>, Error> {
    let Some(conversation) = conversation(context, visitor).await? else {
        return Ok(Vec::new());
    };
    let account = &visitor.account;
    let read = messages::after(context, account, &conversation, after, limit).await?;
    Ok(read
        .into_iter()
        .map(|(message, provider_id)| shown(message, &provider_id))
        .collect())
}

/// The visitor's conversation. `None` before the visitor's first message.
pub async fn conversation(
    context: &Context,
    visitor: &Visitor,
) -> Result<Option<ConversationId>, Error> {
    let mut session = context.db.read().await?;
    let (account, inbox) = (&visitor.account, &visitor.inbox);
    Ok(
        conversations::find_of_visitor(&mut session, account, inbox, &visitor.provider_identity())
            .await?,
    )
}

/// The provider id of a visitor's message. A client's id has no space, so it is different for every visitor and id.
pub(super) fn provider_id(visitor: &Visitor, client_id: &str) -> String {
    format!("{client_id} {}", visitor.identity.id)
}

/// How far an answer has come. `None` if there is no such message.
pub async fn status(
    context: &Context,
    visitor: &Visitor,
    id: &MessageId,
) -> Result<Option<String>, Error> {
    match messages::get_listed(context, &visitor.account, id).await {
        Ok(message) => Ok(message.status.map(Cow::into_owned)),
        Err(Error::NotFound(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

fn shown(message: Message<'_>, provider_id: &str) -> VisitorMessage {
    // Also what it wrote before it logged in.
    let own = (message.direction == "inbound").then(|| provider_id.split_once(' '));
    VisitorMessage {
        id: MessageId::from_text(message.id),
        client_id: own.flatten().map(|(client_id, _)| client_id.to_owned()),
        direction: message.direction.into_owned(),
        kind: message.kind.into_owned(),
        status: message.status.map(Cow::into_owned),
        content: message.content.into_owned(),
        timestamp: message.timestamp,
    }
}
