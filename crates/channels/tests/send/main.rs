//! Sending: what is asked of the providers, byte by byte, and what their answers mean, row by row.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod answers;
mod limits;
mod requests;

use channels::{
    api::Call,
    send::{
        self, Route,
        outcome::{DeliveryError, ErrorCode, Outcome, Taken, Wait},
        outgoing::Outgoing,
    },
    telegram,
    whatsapp::{self, send::To},
};
use serde_json::{Value, json};

const TOKEN: &str = "110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw";
const ADA: Route<'_> = Route::Whatsapp {
    number_id: "106540352242922",
    to: To::Phone("+16505551234"),
};
const BAYU: Route<'_> = Route::Instagram {
    account_id: "17841405822304914",
    to: "526",
};
const CITRA: telegram::send::To<'_> = telegram::send::To {
    chat_id: 55,
    message_thread_id: None,
    direct_messages_topic_id: None,
    business_connection_id: None,
};

fn text(text: &str) -> Outgoing {
    Outgoing::Text {
        text: text.to_owned(),
        preview_url: None,
    }
}

fn location(name: Option<&str>, address: Option<&str>) -> Outgoing {
    Outgoing::Location {
        latitude: 37.442_162,
        longitude: -122.161_538,
        name: name.map(str::to_owned),
        address: address.map(str::to_owned),
    }
}

fn call(route: Route<'_>) -> Call<Outcome> {
    send::message(TOKEN, route, &text("Hi"), None, "msg_1 1").unwrap()
}
