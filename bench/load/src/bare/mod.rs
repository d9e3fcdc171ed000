//! A bare loop that writes the rows of messages: the bar that the server's ingest is held to.
//!
//! It does what the schema asks for and nothing else, and does it well: everybody who wrote before is remembered in
//! memory, statements are prepared once, 256 messages share a transaction, and counts are written once in each. The
//! unique key still decides whether a message is new, as it must in a store that promises each message once.
//!
//! Invariant: `inboxd verify` finds nothing wrong with what it has written.

pub(crate) mod postgres;
pub(crate) mod sqlite;

use crate::workload::Message;
use clap::Args;
use inboxd::{
    clock::Clock,
    id::{ContactId, ConversationId, MessageId},
};
use serde_json::json;
use std::collections::{BTreeMap, HashMap};

/// Messages in one transaction.
const BATCH: u64 = 256;

/// Which rows, and whose.
#[derive(Args)]
pub(crate) struct Rows {
    /// The account of the inboxes
    #[arg(long)]
    account: String,
    /// The id of each inbox
    #[arg(long, value_delimiter = ',')]
    inboxes: Vec<String>,
    /// The number of the first message
    #[arg(long)]
    first: u64,
    /// How many messages are written and measured
    #[arg(long)]
    pub(crate) count: u64,
}

const CLAIM_IDENTITY: &str =
    "INSERT INTO identities (account_id, channel, kind, value, scope, contact_id)
    VALUES ($1, 'whatsapp', 'phone', $2, '', $3)";
const ADD_CONTACT: &str =
    "INSERT INTO contacts (account_id, id, channel, provider_id, is_group, name, phone, username, created_at, identities)
    VALUES ($1, $2, 'whatsapp', $3, 0, $4, $5, NULL, $6,
        '[{\"channel\":\"whatsapp\",\"kind\":\"phone\",\"value\":\"' || CAST($3 AS TEXT) || '\"}]')";
const ADD_CONVERSATION: &str =
    "INSERT INTO conversations (account_id, inbox_id, contact_id, id, status, created_at, updated_at)
    VALUES ($1, $2, $3, $4, 'open', $5, $5)";
const ADD_MESSAGE: &str =
    "INSERT INTO messages (account_id, inbox_id, provider_id, id, conversation_id, direction, type, content,
        sender, reply_to, historic, timestamp, received_at)
    VALUES ($1, $2, $3, $4, $5, 'inbound', 'text', $6, $7, NULL, 0, $8, $9)
    ON CONFLICT (account_id, inbox_id, provider_id) DO NOTHING";
const COUNT_CONVERSATION: &str =
    "UPDATE conversations SET messages_count = messages_count + $1, updated_at = $2,
        last_message_at = $3, last_message_id = $4
    WHERE account_id = $5 AND id = $6";
const COUNT_INBOX: &str =
    "UPDATE inboxes SET messages_count = messages_count + $1 WHERE account_id = $2 AND id = $3";
const KNOWN: &str = "SELECT p.provider_id, v.id FROM contacts p
    JOIN conversations v ON v.account_id = p.account_id AND v.contact_id = p.id WHERE p.account_id = $1";

/// Who has written before: the id that WhatsApp has for them, and their conversation here.
type People = HashMap<String, String>;

/// The rows of a batch, in the order in which they are written.
#[derive(Default)]
struct Batch {
    newcomers: Vec<Newcomer>,
    messages: Vec<Row>,
    by_conversation: BTreeMap<String, Growth>,
    by_inbox: BTreeMap<String, i64>,
}

/// The messages of a conversation, and the last of them: they come in order.
#[derive(Default)]
struct Growth {
    count: i64,
    last_at: i64,
    last: String,
}

struct Newcomer {
    contact: String,
    conversation: String,
    inbox: String,
    from: String,
    name: String,
    phone: String,
}

struct Row {
    inbox: String,
    provider_id: String,
    id: String,
    conversation: String,
    content: String,
    sender: String,
    timestamp: i64,
}

/// Puts the rows of these messages together, and remembers who is new among their writers.
fn batch(clock: &Clock, rows: &Rows, people: &mut People, numbers: std::ops::Range<u64>) -> Batch {
    let mut batch = Batch::default();
    for number in numbers {
        let message = Message::new(number, 0);
        let inbox = &rows.inboxes[message.inbox(rows.inboxes.len())];
        let (from, name) = (message.from(), message.name());
        let phone = format!("+{from}");
        let sender = json!({"name": name, "phone": phone}).to_string();
        let conversation = match people.get(&from) {
            Some(conversation) => conversation.clone(),
            None => {
                let conversation = ConversationId::new(clock).to_string();
                people.insert(from.clone(), conversation.clone());
                batch.newcomers.push(Newcomer {
                    contact: ContactId::new(clock).to_string(),
                    conversation: conversation.clone(),
                    inbox: inbox.clone(),
                    from,
                    name,
                    phone,
                });
                conversation
            }
        };
        let id = MessageId::new(clock).to_string();
        let growth = batch.by_conversation.entry(conversation.clone());
        let growth = growth.or_default();
        growth.count += 1;
        growth.last_at = message.timestamp();
        growth.last.clone_from(&id);
        *batch.by_inbox.entry(inbox.clone()).or_default() += 1;
        batch.messages.push(Row {
            inbox: inbox.clone(),
            provider_id: message.provider_id.clone(),
            id,
            conversation,
            content: json!({"text": message.text()}).to_string(),
            sender,
            timestamp: message.timestamp(),
        });
    }
    batch
}
