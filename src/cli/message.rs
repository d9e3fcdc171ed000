//! The commands `inboxd message …`. They pass the same bodies to the same functions as the API's `/messages`.

use super::{
    Global,
    failure::Failure,
    output::{Output, or_dash},
    settings::{Within, read_secret, send_patience},
};
use crate::{
    domain::SentBy,
    id::{ConversationId, InboxId},
    ops::messages::{self, NewMessage},
    store::accounts::Thing,
};
use clap::Subcommand;
use db::Missing;
use serde_json::{Map, Value};
use std::time::Duration;

#[derive(Subcommand)]
pub(super) enum Message {
    /// Send a text. A running server sends it, within a second
    Send {
        #[command(flatten)]
        within: Within,
        /// The conversation to answer in. Give either this, or --inbox-id and --to
        #[arg(long, value_name = "ID", conflicts_with_all = ["inbox_id", "to"], required_unless_present = "to")]
        conversation_id: Option<String>,
        /// whatsapp: the inbox to send from
        #[arg(long, value_name = "ID", requires = "to")]
        inbox_id: Option<String>,
        /// whatsapp: the recipient's phone number, E.164 with +, or WhatsApp user id
        #[arg(long, value_name = "NUMBER", requires = "inbox_id")]
        to: Option<String>,
        /// The text to send. Give either this, or --text-file
        #[arg(
            long,
            required_unless_present = "text_file",
            conflicts_with = "text_file"
        )]
        text: Option<String>,
        /// A file with the text to send (- for standard input)
        #[arg(long, value_name = "FILE")]
        text_file: Option<String>,
        /// The message of the same conversation that it answers
        #[arg(long, value_name = "ID")]
        reply_to: Option<String>,
        /// How long to keep trying while the message cannot be sent
        #[arg(long, env = "INBOXD_SEND_PATIENCE", default_value = "24h", value_parser = send_patience, value_name = "DURATION")]
        send_patience: Duration,
    },
}

impl Message {
    pub(super) async fn run(self, global: &Global, output: &Output) -> Result<(), Failure> {
        let mut context = global.open(Missing::Fail).await?;
        let Message::Send {
            within,
            conversation_id,
            inbox_id,
            to,
            text,
            text_file,
            reply_to,
            send_patience,
        } = self;
        context.send_patience = send_patience;
        let conversation = conversation_id.clone().map(ConversationId::from_text);
        let inbox = inbox_id.clone().map(InboxId::from_text);
        let thing = match (&conversation, &inbox) {
            (Some(id), _) => Thing::Conversation(id),
            (None, Some(id)) => Thing::Inbox(id),
            // The flags require one of them.
            (None, None) => {
                return Err(Failure::Usage("--conversation-id: is required".to_owned()));
            }
        };
        let account = within.holder(&context, thing).await?;
        let text = match (text, text_file) {
            (Some(text), _) => Some(text),
            (None, Some(file)) => Some(read_secret("text-file", &file)?),
            (None, None) => None,
        };
        let content = Map::from_iter(text.map(|text| ("text".to_owned(), Value::from(text))));
        let mut body = Map::from_iter([
            ("type".to_owned(), Value::from("text")),
            ("content".to_owned(), Value::Object(content)),
        ]);
        for (name, value) in [
            ("conversation_id", conversation_id),
            ("inbox_id", inbox_id),
            ("to", to),
            ("reply_to", reply_to),
        ] {
            body.extend(value.map(|value| (name.to_owned(), value.into())));
        }
        let sent_by = SentBy {
            kind: "automation".to_owned(),
            id: "command_line".to_owned(),
            name: "inboxd message send".to_owned(),
        };
        let new = NewMessage::parse(body)?;
        let sent = messages::send(&context, &account, &sent_by, new, None, None).await?;
        output.one(&sent, || {
            vec![
                ("id", sent.id.to_string()),
                ("conversation_id", sent.conversation_id.to_string()),
                ("status", or_dash(sent.status.as_deref().map(str::to_owned))),
            ]
        })
    }
}
