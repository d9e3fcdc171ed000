//! What can go wrong, in the words of the contract. Which HTTP status and which exit code an error
//! becomes is said at the front doors (`http::envelope`, `cli`), not here.
//!
//! Invariant: what an outsider may read is in the variant's public text; the cause of a failure of ours
//! travels beside it, for the log only.

use crate::domain::Scope;
use serde::Serialize;
use utoipa::ToSchema;

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Parameters or body fields are wrong: all of them, not just the first.
    #[error("{}", list(.0))]
    Validation(Vec<FieldError>),
    /// The key is missing, malformed, unknown, revoked or expired: deliberately one case.
    #[error("Invalid or expired API key")]
    Unauthorized,
    /// A good key, without this scope.
    #[error("This API key lacks the scope '{0}'")]
    Forbidden(Scope),
    /// The visitor's token is missing, wrong, or of another inbox.
    #[error("The visitor's token is missing or wrong")]
    UnknownVisitor,
    /// The page that embeds the chat is not among those that may.
    #[error("This page may not use this chat")]
    Origin,
    /// Too much at once. The number is how many seconds to wait.
    #[error("Too many requests: wait, and try again")]
    RateLimited(u64),
    /// Too many wrong keys from one address. The number is how many seconds to wait.
    #[error("Too many wrong API keys from this address: wait, and try again")]
    TooManyFailures(u64),
    /// No such thing in this account.
    #[error("{0} not found")]
    NotFound(&'static str),
    /// The thing is not in a state that allows this, or its address is taken.
    #[error("{0}")]
    Conflict(String),
    /// The store cannot be reached or written: nothing was accepted, and a later try may work.
    #[error("The service is temporarily unavailable: nothing was accepted, try again")]
    Unavailable(String),
    /// A provider cannot be reached, or does not answer clearly. Nothing was changed here, and a later try may work.
    #[error(
        "{provider} cannot be reached, or gives no clear answer: nothing was changed, try again"
    )]
    ProviderAway {
        /// Who, for people.
        provider: &'static str,
        /// What happened, for the log.
        cause: String,
        /// How many seconds it wants to be left alone, if it says so.
        retry_after: Option<u64>,
    },
    /// A fault of ours. The text is for the log.
    #[error("An unexpected error occurred")]
    Internal(String),
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
    /// One wrong field.
    pub fn field(field: &str, message: impl Into<String>) -> Self {
        Error::Validation(vec![FieldError::new(field, message)])
    }

    /// The cause that belongs in the log and nowhere else.
    pub fn cause(&self) -> Option<&str> {
        match self {
            Error::Unavailable(cause)
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
            other => Error::Internal(other.to_string()),
        }
    }
}
