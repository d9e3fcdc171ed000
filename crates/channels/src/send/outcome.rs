//! What came of a message that was given to a provider.
//!
//! What each provider's codes mean stands beside its requests, in `whatsapp::send`, `instagram::send` and
//! `telegram::send`. What follows from an outcome is not decided here.
//!
//! Invariant: [`Outcome::Again`] is only what the provider did not take. Where that is not certain, it is
//! [`Outcome::Perhaps`].

/// What a provider's answer to a message means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The provider has the message.
    Taken(Taken),
    /// The provider did not take it now. The same request may be sent again.
    Again {
        /// Seconds to wait at least, if the provider says so.
        after: Option<u64>,
        /// What has to wait.
        wait: Wait,
        /// Why.
        error: DeliveryError,
    },
    /// The provider did not take it, and will not.
    Refused(DeliveryError),
    /// The provider takes nothing from this inbox until a person has done something about it. It did not take this
    /// message.
    Stopped(DeliveryError),
    /// The group has become another chat, with this id (Telegram). The message belongs there; it was not taken.
    Moved {
        /// The new chat's id.
        chat_id: i64,
    },
    /// The provider may have the message, or may not.
    Perhaps {
        /// What happened. It contains no URL and no credential.
        cause: String,
    },
}

impl Outcome {
    /// Of an answer with this status that is not in the provider's own form.
    ///
    /// A refusal as HTTP knows it (4xx) comes before anything is taken. A gateway's failure may come after it.
    pub(crate) fn of_status(status: u16) -> Outcome {
        let message = format!("status {status} without an answer in the provider's form");
        let error = |code| DeliveryError {
            code,
            message: message.clone(),
            provider_code: None,
        };
        match status {
            429 => Outcome::Again {
                after: None,
                wait: Wait::Inbox,
                error: error(ErrorCode::RateLimited),
            },
            401 => Outcome::Refused(error(ErrorCode::Credential)),
            400..500 => Outcome::Refused(error(ErrorCode::Rejected)),
            _ => Outcome::Perhaps { cause: message },
        }
    }
}

/// What a provider says of a message that it took.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Taken {
    /// Its id: as [`crate::Message::provider_id`] is when the provider shows the message in an update.
    pub provider_id: String,
    /// Further ids of the same message.
    pub also: Vec<String>,
    /// The number that it was sent to and how WhatsApp spells it, both without `+`, if that is not the same.
    pub respelled: Option<(String, String)>,
}

/// What has to wait before the same request is sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// Just this message, and so what follows it in its conversation.
    Message,
    /// Everything to this recipient: it got too much at once.
    Recipient,
    /// Everything from this inbox: it sends too much.
    Inbox,
}

/// Why a message was not delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryError {
    /// Ours: the same word on every channel.
    pub code: ErrorCode,
    /// The provider's words, on one line. May be empty.
    pub message: String,
    /// The provider's code, as `131047`, or `10/2534022` with its subcode.
    pub provider_code: Option<String>,
}

/// Why a message was not delivered, in words that are the same on every channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    /// The contact has not written for so long that only a template may be sent.
    OutsideWindow,
    /// There is nobody under this address, or nobody whom the provider can reach.
    RecipientUnreachable,
    /// The contact has blocked the business.
    Blocked,
    /// The contact wants no marketing messages.
    OptedOut,
    /// Too much was sent in too short a time.
    RateLimited,
    /// The provider had trouble of its own.
    Unavailable,
    /// The access token is not valid any more.
    Credential,
    /// The access token lacks a permission, or its owner has withdrawn one.
    Permission,
    /// The business's account at the provider is locked, restricted or not paid for.
    AccountRestricted,
    /// The template, its state or its parameters are not what the provider knows.
    Template,
    /// The channel or the recipient cannot do this.
    Unsupported,
    /// The provider refuses it for another reason.
    Rejected,
    /// Its time ran out before it could be sent.
    Expired,
}

impl ErrorCode {
    /// All of them.
    pub const ALL: [ErrorCode; 13] = [
        ErrorCode::OutsideWindow,
        ErrorCode::RecipientUnreachable,
        ErrorCode::Blocked,
        ErrorCode::OptedOut,
        ErrorCode::RateLimited,
        ErrorCode::Unavailable,
        ErrorCode::Credential,
        ErrorCode::Permission,
        ErrorCode::AccountRestricted,
        ErrorCode::Template,
        ErrorCode::Unsupported,
        ErrorCode::Rejected,
        ErrorCode::Expired,
    ];

    /// The name under which it is stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            ErrorCode::OutsideWindow => "outside_window",
            ErrorCode::RecipientUnreachable => "recipient_unreachable",
            ErrorCode::Blocked => "blocked",
            ErrorCode::OptedOut => "opted_out",
            ErrorCode::RateLimited => "rate_limited",
            ErrorCode::Unavailable => "unavailable",
            ErrorCode::Credential => "credential",
            ErrorCode::Permission => "permission",
            ErrorCode::AccountRestricted => "account_restricted",
            ErrorCode::Template => "template",
            ErrorCode::Unsupported => "unsupported",
            ErrorCode::Rejected => "rejected",
            ErrorCode::Expired => "expired",
        }
    }
}
