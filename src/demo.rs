//! `serve --demo`: fills a new server with four inboxes, and sends a few signed WhatsApp updates to its own hook.
//!
//! Invariant: the demonstration uses the same operations and hooks as everybody else. It never writes to the store
//! directly.

use crate::{
    error::Error,
    id::{AccountId, InboxId},
    ops::{Context, inboxes},
};
use axum::body::Body;
use channels::sample::{self, Number, Text};
use http_body_util::BodyExt;
use hyper::{Request, StatusCode, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use serde_json::{Map, Value, json};
use std::net::SocketAddr;
use tokio::net::TcpStream;

const APP_SECRET: &str = "demo-app-secret";
// Other addresses than in the examples of the documentation, which can then be tried here.
const NUMBER: Number<'_> = Number {
    business_account_id: "102290129340398",
    phone_number_id: "100000000000001",
    phone_number: "+62812345678",
};

/// Why the demonstration could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// An inbox could not be created.
    #[error("the demonstration's inboxes: {0}")]
    Inbox(#[from] Error),
    /// An update could not be sent.
    #[error("the demonstration's updates: {0}")]
    Update(String),
}

/// Creates four inboxes, one of each type.
pub async fn make_inboxes(context: &Context, account: &AccountId) -> Result<Vec<InboxId>, Error> {
    let bodies = [
        json!({"name": "Customer Support", "type": "whatsapp", "phone_number": NUMBER.phone_number,
               "channel": {"phone_number_id": NUMBER.phone_number_id, "app_secret": APP_SECRET}}),
        json!({"name": "Instagram DM", "type": "instagram", "instagram_account_id": "ig_789",
               "channel": {"app_secret": APP_SECRET}}),
        json!({"name": "Website", "type": "livechat"}),
        json!({"name": "Telegram", "type": "telegram", "channel": {"bot_token": "100000001:demo-token"}}),
    ];
    let mut made = Vec::new();
    for body in bodies {
        let body: Map<String, Value> =
            serde_json::from_value(body).map_err(|error| Error::Internal(error.to_string()))?;
        made.push(inboxes::create(context, account, body).await?.id);
    }
    Ok(made)
}

/// Sends a short conversation to the WhatsApp hook, as Meta would. `now` is in seconds since 1970.
pub async fn deliver(server: SocketAddr, now: i64) -> Result<(), DemoError> {
    let failed = |error: &dyn std::fmt::Display| DemoError::Update(error.to_string());
    let stream = TcpStream::connect(server).await.map_err(|e| failed(&e))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| failed(&error))?;
    let connection = tokio::spawn(connection);
    for payload in payloads(now) {
        let body = payload.to_string();
        let signature = channels::signature::sign_meta(APP_SECRET.as_bytes(), body.as_bytes());
        let request = Request::post("/hooks/whatsapp")
            .header(header::HOST, server.to_string())
            .header(header::CONTENT_TYPE, "application/json")
            .header("x-hub-signature-256", signature)
            .body(Body::from(body))
            .map_err(|error| failed(&error))?;
        sender.ready().await.map_err(|error| failed(&error))?;
        let response = sender
            .send_request(request)
            .await
            .map_err(|error| failed(&error))?;
        let status = response.status();
        response
            .into_body()
            .collect()
            .await
            .map_err(|error| failed(&error))?;
        if status != StatusCode::OK {
            return Err(DemoError::Update(format!("the hook answered {status}")));
        }
    }
    drop(sender);
    connection
        .await
        .map_err(|error| failed(&error))?
        .map_err(|error| failed(&error))
}

fn payloads(now: i64) -> Vec<Value> {
    let said = [
        (
            628_111_111_111,
            "Ayu",
            "Hello! Is the blue one still available?",
        ),
        (628_122_222_222, "Budi", "Where is my order #1042?"),
        (
            628_111_111_111,
            "Ayu",
            "And do you ship to Bandung? \u{1f64f}",
        ),
    ];
    said.iter()
        .enumerate()
        .map(|(index, (from, name, text))| {
            let id = format!("wamid.demo.{index}");
            let message = Text {
                from: *from,
                name,
                text,
                timestamp: now - 60 + index as i64,
            };
            sample::whatsapp(NUMBER, &id, message)
        })
        .collect()
}
