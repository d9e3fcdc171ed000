//! `inboxd inbox queue`: what is done with messages that are held. It passes the same body as the API's
//! `POST /inboxes/{id}/queue`.

use super::{failure::Failure, output::Output, settings::Within};
use crate::{
    id::InboxId,
    ops::{Context, outbox},
    store::accounts::Thing,
};
use clap::Args;
use serde_json::{Map, Value};

#[derive(Args)]
pub(super) struct Queue {
    #[command(flatten)]
    within: Within,
    /// The inbox's id
    id: String,
    /// Send these messages: all, or their ids, separated by commas
    #[arg(
        long,
        value_name = "all|IDS",
        conflicts_with = "discard",
        required_unless_present = "discard"
    )]
    send: Option<String>,
    /// Take these messages back: all, or their ids, separated by commas
    #[arg(long, value_name = "all|IDS")]
    discard: Option<String>,
}

impl Queue {
    pub(super) async fn run(self, context: &Context, output: &Output) -> Result<(), Failure> {
        let id = InboxId::from_text(self.id);
        let account = self.within.holder(context, Thing::Inbox(&id)).await?;
        let given = [("send", self.send), ("discard", self.discard)];
        let given = given.into_iter().filter_map(|(name, which)| {
            let which = which?;
            let which = match &*which {
                "all" => Value::from(which),
                ids => ids.split(',').map(str::trim).collect(),
            };
            Some((name.to_owned(), which))
        });
        let body = Map::from_iter(given);
        let done = outbox::change_queue(context, &account, &id, body).await?;
        output.one(&done, || {
            vec![
                ("released", done.released.to_string()),
                ("discarded", done.discarded.to_string()),
            ]
        })
    }
}
