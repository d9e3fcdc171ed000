//! What can go wrong, in the words that users read. The front doors (`http::envelope`, `cli`) choose the HTTP
//! status and the exit code of each error.
//!
//! Invariant: the public text of a variant holds only what an outsider may read. The cause of an internal failure is
//! kept beside it, for the log only.

use crate::domain::Scope;
use channels::api::{Api, Failure};
use serde::Serialize;
use utoipa::ToSchema;

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Parameters or body fields are wrong: all of them, not just the first.
    #[error("{}", list(.0))]
    Validation(Vec<FieldError>),
    /// The key is missing, malformed, unknown, revoked or expired. One variant, so that no answer tells these cases apart.
    #[error("Invalid or expired API key")]
    Unauthorized,
    /// The key is good, but lacks this scope.
    #[error("This API key lacks the scope '{0}'")]
    Forbidden(Scope),
    /// The visitor's token is missing, wrong, or of another inbox.
    #[error("The visitor's token is missing or wrong")]
    UnknownVisitor,
    /// The page that embeds the chat is not among the allowed origins.
    #[error("This page may not use this chat")]
    Origin,
    /// Too many requests. The number is how many seconds to wait.
    #[error("Too many requests: wait, and try again")]
    RateLimited(u64),
    /// Too many wrong keys from one address. The number is how many seconds to wait.
    #[error("Too many wrong API keys from this address: wait, and try again")]
    TooManyFailures(u64),
    /// No such thing in this account.
    #[error("{0} not found")]
    NotFound(&'static str),
    /// The thing is not in a state that allows this: why in a word for programs, and for people.
    #[error("{1}")]
    Conflict(Reason, String),
    /// The store cannot be reached or written: nothing was accepted, and a later try may work.
    #[error("The service is temporarily unavailable: nothing was accepted, try again")]
    Unavailable(String),
    /// The store gave up a transaction that waited for another one, again and again: nothing was accepted.
    #[error("The service is temporarily unavailable: nothing was accepted, try again")]
    Deadlock(String),
    /// A provider cannot be reached, or does not answer clearly. Nothing was changed here, and a later try may work.
    #[error(
        "{provider} cannot be reached, or gives no clear answer: nothing was changed, try again"
    )]
    ProviderAway {
        /// The provider's name, for people.
        provider: &'static str,
        /// What happened, for the log.
        cause: String,
        /// How many seconds the provider asks us to wait, if it says so.
        retry_after: Option<u64>,
    },
    /// An update that would be kept for more inboxes than there is room for.
    #[error("The update is too large for so many inboxes: nothing was accepted")]
    TooLarge,
    /// An internal failure. The text is for the log.
    #[error("An unexpected error occurred")]
    Internal(String),
}

/// Why the state of a thing does not allow what was asked. Programs may rely on these words: they never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The channel address belongs to another inbox of this server.
    AddressTaken,
    /// The channel address of an inbox cannot be changed to this one: another address is another inbox.
    AddressFixed,
    /// The inbox holds messages.
    HasMessages,
    /// The credential that this needs is not set.
    CredentialMissing,
    /// The credential was replaced while its provider was asked about it.
    CredentialReplaced,
    /// The credential is good, and belongs to another address than the inbox's.
    CredentialOfAnother,
    /// The provider says no; the message has its words.
    ProviderRefused,
    /// What is in quarantine still cannot be read.
    Unreadable,
    /// The contact has not written for so long that only a template may be sent.
    OutsideWindow,
    /// The conversation has a newer message than the one that was named.
    Moved,
    /// The external id leads to another contact.
    ExternalIdTaken,
    /// The external id and the phone number lead to different contacts.
    DifferentContacts,
    /// The contact has another phone number.
    OtherPhone,
    /// Both contacts have a conversation in the same inbox.
    SameInbox,
    /// Both contacts have an address of the same kind, and an answer could go to the wrong one.
    TwoAddresses,
    /// The inbox is switched off.
    InboxInactive,
    /// Not in the state in which it is.
    NotNow,
    /// The idempotency key was used for another request.
    KeyReused,
    /// A request with the same idempotency key is being carried out.
    InFlight,
    /// A request with the same idempotency key was begun, and its end is not known.
    OutcomeUnknown,
}

/// One wrong field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct FieldError {
    /// The parameter or body field, with dots for nesting.
    #[schema(example = "limit")]
    pub field: String,
    /// What is wrong with it.
    #[schema(example = "must be a whole number from 1 to 100")]
    pub message: String,
}

impl FieldError {
    /// `field` is wrong because of `message`.
    pub fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        FieldError {
            field: field.into(),
            message: message.into(),
        }
    }
}

impl Error {
    /// A validation error with one wrong field.
    pub fn field(field: &str, message: impl Into<String>) -> Self {
        Error::Validation(vec![FieldError::new(field, message)])
    }

    /// A provider's refusal of `what`, or its silence about it.
    pub fn from_provider(api: Api, failure: Failure, what: &str) -> Self {
        let provider = api.provider();
        match failure {
            Failure::Refused(said) => Error::Conflict(
                Reason::ProviderRefused,
                format!("{provider} refuses {what}. It says: {said}"),
            ),
            Failure::Unclear { cause, retry_after } => Error::ProviderAway {
                provider,
                cause: format!("{provider}: {cause}"),
                retry_after,
            },
        }
    }

    /// The cause, which belongs in the log and nowhere else.
    pub fn cause(&self) -> Option<&str> {
        match self {
            Error::Unavailable(cause)
            | Error::Deadlock(cause)
            | Error::ProviderAway { cause, .. }
            | Error::Internal(cause) => Some(cause),
            _ => None,
        }
    }
}

fn list(fields: &[FieldError]) -> String {
    let lines: Vec<_> = fields
        .iter()
        .map(|error| format!("{}: {}", error.field, error.message))
        .collect();
    lines.join("; ")
}

impl From<db::Error> for Error {
    fn from(error: db::Error) -> Self {
        match error {
            db::Error::Unavailable(cause) => Error::Unavailable(cause),
            db::Error::Deadlock(cause) => Error::Deadlock(cause),
            other => Error::Internal(other.to_string()),
        }
    }
}
