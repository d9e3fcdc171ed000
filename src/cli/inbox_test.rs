//! `inboxd inbox test`: what came of a test update, in words that say what to do.

use super::{
    failure::Failure,
    output::Output,
    serve::{reachable, socket_address},
    settings::{Within, public_url},
};
use crate::{
    id::InboxId,
    ops::{
        Context,
        test_update::{self, Outcome},
    },
    store::accounts::Thing,
};
use clap::Args;
use serde_json::json;
use std::net::SocketAddr;

#[derive(Args)]
pub(super) struct Test {
    #[command(flatten)]
    within: Within,
    /// The inbox's id
    id: String,
    /// What the message says
    #[arg(long, default_value = "A test message from inboxd inbox test")]
    text: String,
    /// The server to send it to. Without it, where `serve` listens
    #[arg(long, env = "INBOXD_PUBLIC_URL", value_name = "URL", value_parser = public_url)]
    url: Option<String>,
    /// Where `serve` listens, if not at its usual address
    #[arg(
        long,
        env = "INBOXD_LISTEN",
        default_value = "127.0.0.1:8080",
        value_parser = socket_address,
        value_name = "ADDRESS"
    )]
    listen: SocketAddr,
}

impl Test {
    pub(super) async fn run(self, context: &Context, output: &Output) -> Result<(), Failure> {
        let id = InboxId::from_text(self.id);
        let account = self.within.holder(context, Thing::Inbox(&id)).await?;
        let listen = self.listen;
        let own = || format!("http://{}", reachable(listen));
        let url = self.url.unwrap_or_else(own);
        let outcome = test_update::send(context, &account, &id, &url, &self.text).await?;
        let (message, conversation) = match outcome {
            Outcome::Stored {
                message,
                conversation,
            } => (message, conversation),
            other => return Err(Failure::Failed(wrong(&url, &other))),
        };
        let shown = json!({
            "id": id,
            "url": url,
            "message_id": message,
            "conversation_id": conversation,
            "text": self.text,
        });
        output.one(&shown, || {
            vec![
                ("id", id.to_string()),
                ("url", url.clone()),
                ("message_id", message.to_string()),
                ("conversation_id", conversation.to_string()),
                ("text", self.text.clone()),
            ]
        })
    }
}

/// What is wrong if the message is not there.
fn wrong(url: &str, outcome: &Outcome) -> String {
    match outcome {
        Outcome::Unreachable(cause) => format!(
            "no server answers at {url}: {cause}. Is `inboxd serve` running? Say where with --url"
        ),
        Outcome::Refused {
            status: 401 | 403,
            message,
        } => format!(
            "the server at {url} refuses the update{}. Its secret is not the one in this database: does it run on another one, or with another secret key?",
            said(message)
        ),
        Outcome::Refused {
            status: 404,
            message,
        } => format!(
            "the server at {url} does not know this inbox{}. Does it run on another database, or is it another program? Say where inboxd is with --url",
            said(message)
        ),
        Outcome::Refused { status, message } => {
            format!("the server at {url} answers {status}{}", said(message))
        }
        Outcome::Stored { .. } | Outcome::Elsewhere => format!(
            "the server at {url} took the update, and it is not in this database: does it run on another one, or is it another program?"
        ),
    }
}

fn said(message: &Option<String>) -> String {
    message
        .as_ref()
        .map(|message| format!(": {message}"))
        .unwrap_or_default()
}
