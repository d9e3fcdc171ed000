//! The commands `inboxd conversation …`. They pass the same bodies to the same functions as the API's `/conversations`.

use super::{
    Global,
    failure::Failure,
    output::{Output, or_dash},
    settings::Within,
};
use crate::{clock::rfc3339, id::ConversationId, ops::conversations, store::accounts::Thing};
use clap::{Args, Subcommand};
use db::Missing;
use serde_json::{Map, Value};

#[derive(Subcommand)]
pub(super) enum Conversation {
    /// Your team is done with it, until the contact writes again
    Resolve(Which),
    /// Open it again
    Reopen(Which),
}

#[derive(Args)]
pub(super) struct Which {
    #[command(flatten)]
    within: Within,
    /// The conversation's id
    id: String,
}

impl Conversation {
    pub(super) async fn run(self, global: &Global, output: &Output) -> Result<(), Failure> {
        let context = global.open(Missing::Fail).await?;
        let (which, status) = match self {
            Conversation::Resolve(which) => (which, "resolved"),
            Conversation::Reopen(which) => (which, "open"),
        };
        let id = ConversationId::from_text(which.id);
        let account = which
            .within
            .holder(&context, Thing::Conversation(&id))
            .await?;
        let body = Map::from_iter([("status".to_owned(), Value::from(status))]);
        let changed = conversations::update(&context, &account, &id, body, None).await?;
        output.one(&changed, || {
            vec![
                ("id", changed.id.to_string()),
                ("status", changed.status.to_string()),
                ("waiting_since", or_dash(changed.waiting_since.map(rfc3339))),
            ]
        })
    }
}
