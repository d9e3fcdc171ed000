//! Errors of commands, in the terms of the command line: with flags, not with the fields of the API.

use crate::{
    error::{Error, Reason},
    ops::StartError,
};

/// Why a command failed.
pub(super) enum Failure {
    /// The command line is wrong. Exit code 2.
    Usage(String),
    /// The command did not succeed. Exit code 1.
    Failed(String),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match &error {
            Error::Validation(fields) => {
                let lines: Vec<_> = fields
                    .iter()
                    .map(|error| format!("{}: {}", flag(&error.field), with_flags(&error.message)))
                    .collect();
                Failure::Usage(lines.join("; "))
            }
            Error::Conflict(reason, message) => {
                let advice = advice(*reason, message).map(|advice| format!(". {advice}"));
                Failure::Failed(with_flags(message) + &advice.unwrap_or_default())
            }
            // The user of the command line operates the server, so the internal cause is shown.
            _ => Failure::Failed(match error.cause() {
                Some(cause) => format!("{error} ({cause})"),
                None => error.to_string(),
            }),
        }
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        Failure::Failed(error.to_string())
    }
}

/// The flag that sets this field of the API.
fn flag(field: &str) -> String {
    let name = field.strip_prefix(CHANNEL).or(field.strip_prefix(CONTENT));
    let name = name.unwrap_or(field);
    let name = name.replace('_', "-").replace("origins", "origin");
    format!("--{}", name.replace("attributes", "attribute"))
}

/// The API's prefix for fields of a channel.
const CHANNEL: &str = "channel.";
/// The same for what a message says.
const CONTENT: &str = "content.";

/// Replaces the names of an address' and a channel's fields in a message by their flags.
fn with_flags(message: &str) -> String {
    let mut text = String::new();
    let mut rest = message;
    while let Some(at) = rest.find(CHANNEL) {
        let (before, field) = rest.split_at(at);
        let inside = |char: char| char.is_ascii_alphanumeric() || "_.".contains(char);
        let length = field.find(|char| !inside(char)).unwrap_or(field.len());
        let (field, after) = field.split_at(length);
        text += before;
        text += &flag(field);
        rest = after;
    }
    // The one field of an address outside the channel.
    (text + rest).replace("instagram_account_id", "--instagram-account-id")
}

/// What the user can do about a conflict.
fn advice(reason: Reason, message: &str) -> Option<String> {
    match reason {
        Reason::HasMessages => Some(
            "To keep them, switch it off: inboxd inbox update ID --status inactive. To delete them with it, add --purge".to_owned(),
        ),
        Reason::CredentialMissing => {
            let mut words = message.split(' ');
            let id = words.find(|word| word.starts_with("inbox_")).unwrap_or("ID");
            let flag = match message.contains("bot_token") {
                true => "--bot-token-file",
                false => "--access-token-file",
            };
            Some(format!("Set it: inboxd inbox update {id} {flag} FILE"))
        }
        Reason::InboxInactive => {
            Some("Switch it on: inboxd inbox update ID --status active".to_owned())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_credential_is_set_with_the_flag_of_its_channel() {
        let advice = |name| {
            let message = format!("Inbox inbox_1 has no {name} to send with");
            advice(Reason::CredentialMissing, &message).expect("there is advice")
        };
        let command = "Set it: inboxd inbox update inbox_1";
        let bot = format!("{command} --bot-token-file FILE");
        assert_eq!(advice("bot_token"), bot);
        let meta = format!("{command} --access-token-file FILE");
        assert_eq!(advice("access_token"), meta);
    }

    #[test]
    fn fields_are_named_by_their_flags() {
        assert_eq!(flag("channel.allowed_origins"), "--allowed-origin");
        assert_eq!(
            with_flags("taken (channel.phone_number_id), and channel.bot_token is of bot 7"),
            "taken (--phone-number-id), and --bot-token is of bot 7"
        );
        assert_eq!(
            with_flags("taken (instagram_account_id)"),
            "taken (--instagram-account-id)"
        );
        assert_eq!(with_flags("the channel is away"), "the channel is away");
    }
}
