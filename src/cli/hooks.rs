//! The commands `inboxd hooks …`: quarantined updates, which were correctly signed but could not be read.

use super::{
    Global,
    failure::Failure,
    output::Output,
    settings::{Whose, Within, within},
};
use crate::{
    clock::rfc3339,
    error::Error,
    id::{AccountId, QuarantineId},
    ops::{Context, quarantine},
    store::{accounts::Thing, quarantine::Entry},
};
use clap::{Args, Subcommand};
use db::Missing;
use serde_json::{Value, json};

#[derive(Subcommand)]
pub(super) enum Hooks {
    /// List the quarantined updates, oldest first
    List {
        #[command(flatten)]
        whose: Whose,
        /// Only updates after this entry
        #[arg(long, value_name = "ID")]
        after: Option<String>,
        /// The most updates to list
        #[arg(long, default_value_t = 1000, value_name = "N", value_parser = |text: &str| within(text, 1, 100_000))]
        limit: i64,
    },
    /// Show an update, with its headers and body
    Show(Which),
    /// Read an update again. What this version can read is stored, once
    Replay(Which),
    /// Delete an update for good
    Discard(Which),
}

/// One quarantined update.
#[derive(Args)]
pub(super) struct Which {
    #[command(flatten)]
    within: Within,
    /// The id of the entry
    id: String,
}

impl Which {
    async fn find(self, context: &Context) -> Result<(AccountId, QuarantineId), Error> {
        let id = QuarantineId::from_text(self.id);
        let thing = Thing::Quarantined(&id);
        Ok((self.within.holder(context, thing).await?, id))
    }
}

impl Hooks {
    pub(super) async fn run(self, global: &Global, output: &Output) -> Result<(), Failure> {
        let context = global.open(Missing::Fail).await?;
        match self {
            Hooks::List {
                whose,
                after,
                limit,
            } => {
                let account = whose.account(&context).await?;
                let after = after.map(QuarantineId::from_text);
                let entries = quarantine::list(&context, &account, after.as_ref(), limit).await?;
                let shown: Vec<_> = entries.iter().map(summary).collect();
                let columns = [
                    "id",
                    "inbox_id",
                    "channel",
                    "reason",
                    "received_at",
                    "bytes",
                ];
                output.many(&shown, &columns, |entry| {
                    columns.iter().map(|column| cell(&entry[*column])).collect()
                })
            }
            Hooks::Show(which) => {
                let (account, id) = which.find(&context).await?;
                let (entry, body) = quarantine::get(&context, &account, &id).await?;
                let body = String::from_utf8_lossy(&body).into_owned();
                let mut shown = summary(&entry);
                shown["headers"] = serde_json::from_str(&entry.headers).unwrap_or(Value::Null);
                shown["body"] = body.clone().into();
                output.one(&shown, || {
                    vec![
                        ("id", entry.id.to_string()),
                        ("inbox_id", entry.inbox.to_string()),
                        ("channel", entry.channel.as_str().to_owned()),
                        ("reason", entry.reason.clone()),
                        ("received_at", rfc3339(entry.received_at)),
                        ("headers", entry.headers.clone()),
                        ("body", body),
                    ]
                })
            }
            Hooks::Replay(which) => {
                let (account, id) = which.find(&context).await?;
                let outcome = quarantine::replay(&context, &account, &id).await?;
                let shown = json!({
                    "id": id,
                    "stored": outcome.stored,
                    "known": outcome.known,
                    "changes": outcome.changes,
                    "still_unreadable": outcome.quarantined,
                });
                output.one(&shown, || {
                    vec![
                        ("id", id.to_string()),
                        ("stored", outcome.stored.to_string()),
                        ("known", outcome.known.to_string()),
                        ("changes", outcome.changes.to_string()),
                        ("still_unreadable", outcome.quarantined.to_string()),
                    ]
                })
            }
            Hooks::Discard(which) => {
                let (account, id) = which.find(&context).await?;
                quarantine::discard(&context, &account, &id).await?;
                output.one(&json!({"id": id, "discarded": true}), || {
                    vec![("id", id.to_string()), ("discarded", "yes".to_owned())]
                })
            }
        }
    }
}

fn summary(entry: &Entry) -> Value {
    json!({
        "id": entry.id,
        "inbox_id": entry.inbox,
        "channel": entry.channel,
        "reason": entry.reason,
        "received_at": rfc3339(entry.received_at),
        "bytes": entry.bytes,
    })
}

fn cell(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
