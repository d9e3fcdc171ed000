//! The commands `inboxd message …`. They pass the same bodies to the same functions as the API's `/messages`.

use super::{
    Global,
    failure::Failure,
    output::{Output, or_dash},
    settings::{Within, read_secret, send_patience},
};
use crate::{
    domain::{self, SentBy},
    error::Error,
    id::{AccountId, ConversationId, InboxId, MessageId},
    ops::{
        Context,
        messages::{self, NewMessage},
        outbox,
    },
    store::accounts::Thing,
};
use clap::{Args, Subcommand};
use db::Missing;
use serde_json::{Map, Value};
use std::time::Duration;

#[derive(Subcommand)]
pub(super) enum Message {
    /// Send a text. A running server sends it, within a second
    Send(Send),
    /// Try a message again that is failed or unknown. One that is unknown may arrive twice
    Retry {
        #[command(flatten)]
        one: One,
        #[command(flatten)]
        patience: Patience,
    },
    /// Take back a message that is queued, unless it is being sent at this moment
    Cancel(One),
    /// Say what came of a message that is unknown
    Settle {
        #[command(flatten)]
        one: One,
        /// sent or failed
        #[arg(long)]
        status: String,
    },
}

/// A message that is there.
#[derive(Args)]
pub(super) struct One {
    #[command(flatten)]
    within: Within,
    /// The message's id
    id: String,
}

#[derive(Args)]
pub(super) struct Patience {
    /// How long to keep trying while the message cannot be sent
    #[arg(long, env = "INBOXD_SEND_PATIENCE", default_value = "24h", value_parser = send_patience, value_name = "DURATION")]
    send_patience: Duration,
}

#[derive(Args)]
pub(super) struct Send {
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
    #[command(flatten)]
    patience: Patience,
}

impl Message {
    pub(super) async fn run(self, global: &Global, output: &Output) -> Result<(), Failure> {
        let mut context = global.open(Missing::Fail).await?;
        let message = match self {
            Message::Send(send) => send.run(&mut context).await?,
            Message::Retry { one, patience } => {
                context.send_patience = patience.send_patience;
                let (account, id) = one.find(&context).await?;
                outbox::retry(&context, &account, &id, None).await?
            }
            Message::Cancel(one) => {
                let (account, id) = one.find(&context).await?;
                outbox::cancel(&context, &account, None, &id, None).await?
            }
            Message::Settle { one, status } => {
                let (account, id) = one.find(&context).await?;
                let body = Map::from_iter([("status".to_owned(), status.into())]);
                outbox::settle(&context, &account, &id, body, None).await?
            }
        };
        output.one(&message, || {
            vec![
                ("id", message.id.to_string()),
                ("conversation_id", message.conversation_id.to_string()),
                (
                    "status",
                    or_dash(message.status.as_deref().map(str::to_owned)),
                ),
            ]
        })
    }
}

impl One {
    async fn find(self, context: &Context) -> Result<(AccountId, MessageId), Error> {
        let id = MessageId::from_text(self.id);
        let account = self.within.holder(context, Thing::Message(&id)).await?;
        Ok((account, id))
    }
}

impl Send {
    async fn run(self, context: &mut Context) -> Result<domain::Message<'static>, Failure> {
        let Send {
            within,
            conversation_id,
            inbox_id,
            to,
            text,
            text_file,
            reply_to,
            patience,
        } = self;
        context.send_patience = patience.send_patience;
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
        let account = within.holder(context, thing).await?;
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
        Ok(messages::send(context, &account, &sent_by, new, None, None).await?)
    }
}
