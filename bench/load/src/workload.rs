//! Which messages there are: message `n` is the same for whoever delivers it and for whoever writes its row.
//!
//! Invariant: what a message says, by whom and to which inbox follows from its number and from that of the first message of
//! its people alone, and no two numbers share an id.

use data_encoding::HEXUPPER;
use serde_json::json;
use sha2::{Digest, Sha256};

/// Of so many messages one is from somebody who never wrote before.
const NEWCOMERS: u64 = 10;

/// One message.
pub(crate) struct Message {
    number: u64,
    /// Who wrote it: people are numbered by when they first write.
    pub(crate) person: u64,
    /// The provider's id. Like a real one it says nothing about when the message was written.
    pub(crate) provider_id: String,
}

impl Message {
    /// The message with this number, of people who begin to write with the one with the number `since`.
    pub(crate) fn new(number: u64, since: u64) -> Self {
        let print = Sha256::digest(number.to_be_bytes());
        let chance = u64::from_be_bytes(print[..8].try_into().expect("eight bytes"));
        let (oldest, newest) = (since / NEWCOMERS, number / NEWCOMERS);
        let person = match number % NEWCOMERS {
            0 => newest,
            _ => oldest + chance % (newest - oldest + 1),
        };
        Message {
            number,
            person,
            provider_id: format!("wamid.HBgN{}", HEXUPPER.encode(&print[..22])),
        }
    }

    /// To which of `inboxes` inboxes it goes: a person writes to one only.
    pub(crate) fn inbox(&self, inboxes: usize) -> usize {
        self.person as usize % inboxes
    }

    /// The person's number, as WhatsApp writes it.
    pub(crate) fn from(&self) -> String {
        format!("62812{:08}", self.person)
    }

    /// What the person is called.
    pub(crate) fn name(&self) -> String {
        format!("Customer {}", self.person)
    }

    /// What it says.
    pub(crate) fn text(&self) -> String {
        format!(
            "Is the blue one still available? I saw it in your shop, number {}.",
            self.number
        )
    }

    /// When it was written, by the provider's clock.
    pub(crate) fn timestamp(&self) -> i64 {
        1_736_928_000 + (self.number / 1000) as i64
    }

    /// The body of its delivery to the inbox with this `phone_number_id`.
    pub(crate) fn body(&self, phone_number_id: &str) -> String {
        let from = self.from();
        let message = json!({
            "from": from, "id": self.provider_id, "timestamp": self.timestamp().to_string(), "type": "text",
            "text": {"body": self.text()},
        });
        let value = json!({
            "messaging_product": "whatsapp",
            "metadata": {"display_phone_number": "62812345678", "phone_number_id": phone_number_id},
            "contacts": [{"profile": {"name": self.name()}, "wa_id": from}],
            "messages": [message],
        });
        let change = json!({"value": value, "field": "messages"});
        json!({"object": "whatsapp_business_account", "entry": [{"id": "102290129340398", "changes": [change]}]})
            .to_string()
    }
}
