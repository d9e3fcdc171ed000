//! Test updates: sends a text message to an inbox's hook on a running server, in the provider's format and with a valid
//! signature.
//!
//! Invariant: a test update is handled like any other, except that it does not prove the inbox.

use super::{
    Context, credentials, found,
    hooks::format,
    inboxes::read_settings,
    livechat::{self, VisitorText},
};
use crate::{
    clock::random,
    domain::Channel,
    error::Error,
    id::{AccountId, ConversationId, InboxId, MessageId},
    input,
    provider::Request,
    store::{
        inboxes::{self, Details},
        messages,
    },
};
use channels::{
    Item,
    sample::{self, Number, Text},
    signature,
};
use serde_json::{Value, json};

/// The header that marks a test update.
pub const TEST_HEADER: &str = "x-inboxd-test";

/// The writer's name. The writer is always the same, so that all tests of an inbox are in one conversation.
const NAME: &str = "inboxd test";
/// The writer's id: a phone number that is reserved for fiction, and that no provider uses as an id.
const WRITER: u64 = 12_025_550_199;
/// The writer's id in live chat.
const VISITOR: &str = "inboxd-test";

/// The result of a test.
#[derive(Debug)]
pub enum Outcome {
    /// The message was stored.
    Stored {
        /// Its id.
        message: MessageId,
        /// Its conversation.
        conversation: ConversationId,
    },
    /// The server accepted the message, but it is not in this database.
    Elsewhere,
    /// The server at this URL refused the message.
    Refused {
        /// The HTTP status.
        status: u16,
        /// The message of the error, if there is one.
        message: Option<String>,
    },
    /// There was no answer, for this reason.
    Unreachable(String),
}

/// Sends a test with this text to the server at this URL.
pub async fn send(
    context: &Context,
    account: &AccountId,
    id: &InboxId,
    server: &str,
    text: &str,
) -> Result<Outcome, Error> {
    let text = <VisitorText as input::Text>::parse(text)
        .map_err(|rule| Error::field("text", rule))?
        .0;
    let (request, provider_id) = make(context, account, id, &text).await?;
    let (status, body) = match context.providers.post(server, &request).await {
        Ok(answer) => answer,
        Err(cause) => return Ok(Outcome::Unreachable(cause)),
    };
    if !matches!(status, 200 | 201) {
        let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
        let message = answer["error"]["message"].as_str().map(str::to_owned);
        return Ok(Outcome::Refused { status, message });
    }
    let key = messages::Key {
        account,
        inbox: id,
        provider_id: &provider_id,
    };
    let mut session = context.db.read().await?;
    let stored = messages::find_each_by_provider_id(&mut session, &[key]).await?;
    Ok(match stored.into_iter().flatten().next() {
        Some(found) => Outcome::Stored {
            message: found.id,
            conversation: found.conversation,
        },
        None => Outcome::Elsewhere,
    })
}

/// Makes the request. Also returns the provider's id of its message.
async fn make(
    context: &Context,
    account: &AccountId,
    id: &InboxId,
    text: &str,
) -> Result<(Request, String), Error> {
    let mut session = context.db.read().await?;
    let details = inboxes::find_details(&mut session, account, id).await?;
    let Details {
        inbox, settings, ..
    } = found(details, "inbox")?;
    let secret = credentials::find(context, &mut session, account, id, "app_secret").await?;
    drop(session);
    let settings = read_settings(&settings)?;
    let message = Text {
        from: WRITER,
        name: NAME,
        text,
        timestamp: context.clock.now(),
    };
    let unique = format!("test.{}", context.clock.uuid().simple());
    let update = match inbox.channel {
        Channel::Whatsapp => {
            let to = Number {
                business_account_id: settings.business_account_id.as_deref().unwrap_or("0"),
                phone_number_id: known(settings.phone_number_id.as_deref(), id)?,
                phone_number: known(inbox.phone_number.as_deref(), id)?,
            };
            sample::whatsapp(to, &format!("wamid.{unique}"), message)
        }
        Channel::Instagram => {
            let to = known(inbox.instagram_account_id.as_deref(), id)?;
            sample::instagram(to, &unique, message)
        }
        // Telegram's ids are at most 2^31 - 1.
        Channel::Telegram => sample::telegram(u32::from_be_bytes(random()) >> 1, message),
        Channel::Livechat => {
            let origins = settings.allowed_origins.unwrap_or_default();
            return livechat_request(context, account, id, origins.into_iter().next(), text);
        }
    };
    let body = update.to_string();
    let provider_id = provider_id(inbox.channel, body.as_bytes())?;
    let (path, proof) = match inbox.channel {
        Channel::Telegram => (
            format!("/hooks/telegram/{id}"),
            (
                "x-telegram-bot-api-secret-token",
                context.vault.inbox_token(id),
            ),
        ),
        _ => {
            let secret = known(secret.as_deref(), id)?;
            let signature = signature::sign_meta(secret.as_bytes(), body.as_bytes());
            (
                format!("/hooks/{}", inbox.channel.as_str()),
                ("x-hub-signature-256", signature),
            )
        }
    };
    let request = Request {
        path,
        headers: vec![proof, (TEST_HEADER, "1".to_owned())],
        body,
    };
    Ok((request, provider_id))
}

/// The same for live chat: the request of a logged-in visitor's page.
fn livechat_request(
    context: &Context,
    account: &AccountId,
    id: &InboxId,
    origin: Option<String>,
    text: &str,
) -> Result<(Request, String), Error> {
    let (visitor, token) = livechat::vouched_visitor(context, account, id, VISITOR, NAME)?;
    let client_id = context.clock.uuid().simple().to_string();
    let bearer = ("authorization", format!("Bearer {token}"));
    let origin = origin.map(|origin| ("origin", origin));
    let request = Request {
        path: format!("/livechat/{id}/messages"),
        headers: [bearer].into_iter().chain(origin).collect(),
        body: json!({"client_id": client_id, "text": text}).to_string(),
    };
    Ok((request, livechat::provider_id(&visitor, &client_id)))
}

/// The provider's id of the message in an update.
fn provider_id(channel: Channel, update: &[u8]) -> Result<String, Error> {
    let read = format(channel).and_then(|format| (format.parse)(update).ok());
    let items = read.into_iter().flat_map(|update| update.parts);
    items
        .flat_map(|part| part.items)
        .find_map(|item| match item {
            Item::Message(message) => Some(message.provider_id),
            _ => None,
        })
        .ok_or_else(|| Error::Internal("a test update cannot be read".to_owned()))
}

/// A value that every inbox of this type has.
fn known<'a>(value: Option<&'a str>, inbox: &InboxId) -> Result<&'a str, Error> {
    value.ok_or_else(|| Error::Internal(format!("inbox {inbox} lacks what its type needs")))
}
