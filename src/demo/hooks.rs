//! Sends updates to the hooks of the demonstration's own server, signed as the providers sign theirs.
//!
//! What an update says is not decided here.
//!
//! Invariant: an update counts as sent only if the hook answered 200.

use super::{APP_SECRET, DemoError};
use crate::{domain::Channel, id::InboxId};
use axum::body::Body;
use hyper::{Request, StatusCode, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::{fmt::Display, net::SocketAddr, time::Duration};
use tokio::{net::TcpStream, time::timeout};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// The hooks of a server.
pub(super) struct Hooks {
    server: SocketAddr,
    /// The path of the bot's hook, and the secret that Telegram sends along.
    telegram: (String, String),
}

impl Hooks {
    /// Those of the server at this address, whose bot is in this inbox.
    pub(super) fn new(server: SocketAddr, bot: &InboxId, secret: String) -> Self {
        Hooks {
            server,
            telegram: (format!("/hooks/telegram/{bot}"), secret),
        }
    }

    /// Sends an update.
    ///
    /// # Errors
    /// If there is no connection, or an answer other than 200.
    pub(super) async fn post(&self, channel: Channel, update: &Value) -> Result<(), DemoError> {
        let status = timeout(PATIENCE, self.exchange(channel, update.to_string())).await;
        match status.map_err(failed)?? {
            StatusCode::OK => Ok(()),
            status => Err(failed(format!("the hook answered {status}"))),
        }
    }

    /// A connection for each: so none is open that a stop would have to wait for.
    async fn exchange(&self, channel: Channel, body: String) -> Result<StatusCode, DemoError> {
        let stream = TcpStream::connect(self.server).await.map_err(failed)?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(failed)?;
        let connection = tokio::spawn(connection);
        let (path, proof, value) = match channel {
            Channel::Telegram => {
                let (path, secret) = self.telegram.clone();
                (path, "x-telegram-bot-api-secret-token", secret)
            }
            _ => {
                let path = format!("/hooks/{}", channel.as_str());
                let signature =
                    channels::signature::sign_meta(APP_SECRET.as_bytes(), body.as_bytes());
                (path, "x-hub-signature-256", signature)
            }
        };
        let request = Request::post(path)
            .header(header::HOST, self.server.to_string())
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::CONNECTION, "close")
            .header(proof, value)
            .body(Body::from(body))
            .map_err(failed)?;
        let answer = sender.send_request(request).await.map_err(failed);
        // A hook's answer has no body that matters.
        connection.abort();
        Ok(answer?.status())
    }
}

fn failed(error: impl Display) -> DemoError {
    DemoError::Update(error.to_string())
}
