//! Live chat: visitors, the messages that they send, and the messages that they receive.
//!
//! A visitor is anonymous until the website proves who it is. Nothing about a visitor is stored before its first
//! message.
//!
//! Invariant: a visitor's token works only in its own inbox, and gives access only to its own conversation.

mod input;

pub use input::{After, Hello, NewSession, NewVisitorMessage, VisitorText};

use super::{
    Context,
    inboxes::read_settings,
    ingest::{Arrival, Ingest, Outcome, Source},
    messages,
};
use crate::{
    domain::{self, Channel, Content, Message},
    error::Error,
    id::{AccountId, ConversationId, InboxId, MessageId, VisitorId},
    input::Given,
    store::{addresses, conversations, inboxes, messages as stored},
};
use channels::{Contact, Direction, Identity, IdentityKind, Kind, Sender, signature};
use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, value::RawValue};
use sha2::Sha256;
use std::sync::Arc;
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
        let (kind, value) = match self.identity.id.strip_prefix(USER) {
            Some(user) => (IdentityKind::UserId, user),
            None => (IdentityKind::Visitor, self.identity.id.as_str()),
        };
        Identity::within(Some(self.inbox.as_str().into()), kind, value)
    }
}

/// The key with which a website proves who its visitors are.
pub fn identity_secret(context: &Context, inbox: &InboxId) -> String {
    context.vault.sign("livechat identity", inbox, "")
}

/// Creates a session for a visitor. The body may have `name`, and `user_id` with `user_hash`. The hash proves the id:
/// it is the HMAC-SHA256 of the id under the inbox's identity secret, in lower-case hex. Returns the visitor and its
/// token.
pub async fn create_session(
    context: &Context,
    inbox: &InboxId,
    origin: Option<&str>,
    body: Map<String, Value>,
) -> Result<(Visitor, String), Error> {
    let account = check_origin(context, inbox, origin).await?;
    let secret = identity_secret(context, inbox);
    let new = NewSession::parse(body, |user, hash| hash_matches(&secret, user, hash))?;
    let id = match new.user_id {
        Given::Value(user) => format!("{USER}{}", user.0),
        Given::Absent | Given::Null => VisitorId::new(&context.clock).to_string(),
    };
    let identity = VisitorIdentity {
        id,
        name: new.name.value().map(|name| name.0),
    };
    with_token(context, account, inbox, identity)
}

/// The visitor that a token belongs to. Returns [`Error::UnknownVisitor`] if the token is wrong.
pub async fn authenticate(
    context: &Context,
    inbox: &InboxId,
    origin: Option<&str>,
    token: &str,
) -> Result<Visitor, Error> {
    let account = check_origin(context, inbox, origin).await?;
    let (payload, proof) = token.split_once('.').ok_or(Error::UnknownVisitor)?;
    let expected = context.vault.sign("livechat visitor", inbox, payload);
    if !signature::equal(expected.as_bytes(), proof.as_bytes()) {
        return Err(Error::UnknownVisitor);
    }
    let identity = BASE64URL_NOPAD
        .decode(payload.as_bytes())
        .ok()
        .and_then(|json| serde_json::from_slice(&json).ok())
        .ok_or(Error::UnknownVisitor)?;
    Ok(Visitor {
        account,
        inbox: inbox.clone(),
        identity,
    })
}

/// A visitor that the website vouches for, and its token. [`create_session`] returns the same for this `user_id` with the
/// right `user_hash`.
pub(super) fn vouched_visitor(
    context: &Context,
    account: &AccountId,
    inbox: &InboxId,
    user_id: &str,
    name: &str,
) -> Result<(Visitor, String), Error> {
    let identity = VisitorIdentity {
        id: format!("{USER}{user_id}"),
        name: Some(name.to_owned()),
    };
    with_token(context, account.clone(), inbox, identity)
}

fn with_token(
    context: &Context,
    account: AccountId,
    inbox: &InboxId,
    identity: VisitorIdentity,
) -> Result<(Visitor, String), Error> {
    let json = serde_json::to_vec(&identity).map_err(|error| Error::Internal(error.to_string()))?;
    let payload = BASE64URL_NOPAD.encode(&json);
    let proof = context.vault.sign("livechat visitor", inbox, &payload);
    let visitor = Visitor {
        account,
        inbox: inbox.clone(),
        identity,
    };
    Ok((visitor, format!("{payload}.{proof}")))
}

/// Checks that the inbox is a live chat, and that a page of this origin may use it. Every call does this, and a socket
/// does it before it stores or sends each message. Returns the account that owns the inbox.
pub async fn check_origin(
    context: &Context,
    inbox: &InboxId,
    origin: Option<&str>,
) -> Result<AccountId, Error> {
    let mut session = context.db.read().await?;
    let found = addresses::find_inbox(&mut session, Channel::Livechat, inbox).await?;
    let account = found.ok_or(Error::NotFound("inbox"))?.account;
    let details = inboxes::find_details(&mut session, &account, inbox).await?;
    let details = details.ok_or(Error::NotFound("inbox"))?;
    if let Some(allowed) = read_settings(&details.settings)?.allowed_origins {
        let origin = origin.unwrap_or_default().to_ascii_lowercase();
        if !allowed.contains(&origin) {
            return Err(Error::Origin);
        }
    }
    Ok(account)
}

fn hash_matches(secret: &str, user: &str, hash: &str) -> bool {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes any key length");
    mac.update(user.as_bytes());
    let expected = HEXLOWER.encode(&mac.finalize().into_bytes());
    signature::equal(expected.as_bytes(), hash.as_bytes())
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
    let arrival = Arrival {
        source: Arc::new(Source::default()),
        account: visitor.account.clone(),
        inbox: visitor.inbox.clone(),
        channel: Channel::Livechat,
        proved: true,
        items: vec![message.into()],
    };
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
    Ok((shown(visitor, message, &provider_id), new > 0))
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
        .map(|(message, provider_id)| shown(visitor, message, &provider_id))
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

fn shown(visitor: &Visitor, message: Message<'_>, provider_id: &str) -> VisitorMessage {
    let own = provider_id.split_once(' ');
    let own = own.filter(|(_, id)| *id == visitor.identity.id);
    VisitorMessage {
        id: MessageId::from_text(message.id),
        client_id: own.map(|(client_id, _)| client_id.to_owned()),
        direction: message.direction.into_owned(),
        kind: message.kind.into_owned(),
        content: message.content.into_owned(),
        timestamp: message.timestamp,
    }
}
