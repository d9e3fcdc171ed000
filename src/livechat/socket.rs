//! `GET /livechat/{inbox_id}/socket`: saying and hearing over a WebSocket.
//!
//! Every frame is a JSON object with a `type`. The first must be a `hello` with the visitor's token: a browser
//! cannot send headers with a WebSocket, and a token in the URL would land in logs.
//!
//! Invariant: between `welcome` and the end, a socket shows every message of its conversation, once and in order. Nothing
//! is taken or shown once the inbox is gone, or no longer allows the page.

use super::origin;
use crate::{
    error::Error,
    http::{
        App,
        auth::IdPath,
        client::Client,
        envelope::{ApiError, problem},
    },
    id::{ConversationId, InboxId, MessageId},
    ops::{
        events::{self, Event, Live, Told, What},
        fields::{Fields, Given},
        livechat::{self, Heard, Visitor},
    },
};
use axum::{
    body::Bytes,
    extract::{
        State,
        ws::{CloseFrame, Message as Frame, WebSocket, WebSocketUpgrade, close_code},
    },
    http::HeaderMap,
    response::Response,
};
use serde_json::{Map, Value, json};
use std::{net::IpAddr, time::Duration};
use tokio::{
    sync::broadcast::{Receiver, error::RecvError},
    time::{Instant, interval_at, timeout},
};

/// How long a client may take to say `hello`.
const HELLO: Duration = Duration::from_secs(10);
/// How often a silent client is asked whether it is there. One that misses two in a row is gone.
const PULSE: Duration = Duration::from_secs(30);
/// Bytes of one frame: room for the longest text in four-byte characters, escaped or not.
const FRAME: usize = 64 * 1024;
/// Wrong frames in a row after which a client is no longer listened to.
const PATIENCE: u32 = 20;
/// Messages that are read from the store at once.
const PAGE: i64 = 100;

/// A WebSocket
///
/// The protocol is in docs/livechat.md.
#[utoipa::path(
    get, path = "/livechat/{id}/socket", operation_id = "openLivechatSocket", tag = "Live chat", security(()),
    params(("id" = String, Path, description = "Inbox id")),
    responses(
        (status = 101, description = "The socket is open: say `hello`"),
        (status = 400, description = "Not a WebSocket's request", body = crate::http::envelope::Failure),
        (status = 429, description = "Too many sockets from this address. With `Retry-After`", body = crate::http::envelope::Failure)
    )
)]
pub async fn open(
    State(app): State<App>,
    IdPath(id): IdPath,
    Client(address): Client,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, axum::extract::ws::rejection::WebSocketUpgradeRejection>,
) -> Result<Response, ApiError> {
    let upgrade =
        upgrade.map_err(|error| Error::field("upgrade", error.body_text().to_lowercase()))?;
    let places = (app.bounds.socket(address)?, app.bounds.stream()?);
    let origin = origin(&headers).map(str::to_owned);
    let talk = Talk {
        inbox: InboxId::from_text(id),
        origin,
        address,
        wrong: 0,
        last: None,
        told: Told::default(),
        conversation: None,
        app,
    };
    Ok(upgrade
        .max_message_size(FRAME)
        .max_frame_size(FRAME)
        // The defaults are made for throughput, and cost 256 KB a socket.
        .read_buffer_size(4096)
        .write_buffer_size(0)
        .max_write_buffer_size(1024 * 1024)
        .on_upgrade(move |socket| talk.run(socket, places)))
}

/// One socket's side of the conversation.
struct Talk {
    app: App,
    inbox: InboxId,
    origin: Option<String>,
    address: IpAddr,
    /// Wrong frames in a row.
    wrong: u32,
    /// The latest message that was shown.
    last: Option<MessageId>,
    /// What was shown lately.
    told: Told<MessageId>,
    /// The visitor's conversation, once it is known to have one.
    conversation: Option<ConversationId>,
}

/// Why a socket ends.
enum End {
    /// The client is gone, or does not take what it is sent.
    Gone,
    /// With this code and reason. <https://www.rfc-editor.org/rfc/rfc6455#section-7.4.1>
    Close(u16, &'static str),
}

impl Talk {
    async fn run(mut self, mut socket: WebSocket, places: impl Sized) {
        let end = self.converse(&mut socket).await;
        if let End::Close(code, reason) = end {
            let reason = reason.into();
            let frame = Frame::Close(Some(CloseFrame { code, reason }));
            // A client that is gone need not be told.
            socket.send(frame).await.ok();
        }
        drop(places);
    }

    async fn converse(&mut self, socket: &mut WebSocket) -> End {
        let hello = match timeout(HELLO, receive(socket)).await {
            Ok(Some(frame)) => frame,
            Ok(None) => return End::Gone,
            Err(_) => return End::Close(close_code::POLICY, "no hello in time"),
        };
        // Before the visitor is told that it is in, so that nothing falls between.
        let mut live = self.app.context.events.listen();
        let visitor = match self.hello(hello).await {
            Ok(visitor) => visitor,
            Err(error) => return self.refuse(socket, &error).await,
        };
        let welcome = json!({"type": "welcome", "visitor_id": visitor.who.id});
        if self.send(socket, &welcome).await.is_err() || self.show(socket, &visitor).await.is_err()
        {
            return End::Gone;
        }
        self.listen(socket, &visitor, &mut live).await
    }

    async fn listen(
        &mut self,
        socket: &mut WebSocket,
        visitor: &Visitor,
        live: &mut Receiver<Live>,
    ) -> End {
        let mut stopped = self.app.stopped.clone();
        let mut pulse = interval_at(Instant::now() + PULSE, PULSE);
        let mut unanswered = 0;
        loop {
            tokio::select! {
                _ = stopped.changed() => return End::Close(close_code::AWAY, "the server stops"),
                _ = pulse.tick() => {
                    unanswered += 1;
                    if unanswered > 2 || socket.send(Frame::Ping(Bytes::new())).await.is_err() {
                        return End::Gone;
                    }
                }
                frame = receive(socket) => {
                    unanswered = 0;
                    let Some(frame) = frame else { return End::Gone };
                    let answer = match self.take(visitor, frame).await {
                        Ok(Some(answer)) => answer,
                        Ok(None) => continue,
                        Err(end) => return end,
                    };
                    if self.send(socket, &answer).await.is_err() {
                        return End::Gone;
                    }
                }
                event = live.recv() => {
                    let relevant = match event {
                        Ok(Live::Happened(event)) => self.concerns(&event),
                        Ok(Live::KeysChanged) => false,
                        // Too far behind: the store knows what was missed.
                        Ok(Live::Missed) | Err(RecvError::Lagged(_)) => true,
                        Err(RecvError::Closed) => return End::Gone,
                    };
                    if !relevant {
                        continue;
                    }
                    if let Err(error) = self.admit().await {
                        return self.refuse(socket, &error).await;
                    }
                    if self.show(socket, visitor).await.is_err() {
                        return End::Gone;
                    }
                }
            }
        }
    }

    fn concerns(&self, event: &Event) -> bool {
        event.inbox == self.inbox
            && match &event.what {
                // Otherwise each message in the inbox would have every socket look into the store.
                What::MessageCreated { conversation, .. } => self
                    .conversation
                    .as_ref()
                    .is_none_or(|own| own == conversation),
                What::MessageChanged { .. } => false,
                What::InboxChanged | What::InboxDeleted => true,
            }
    }

    /// That the inbox is still there, and still allows the page.
    async fn admit(&self) -> Result<(), Error> {
        let context = &self.app.context;
        livechat::admit(context, &self.inbox, self.origin.as_deref()).await?;
        Ok(())
    }

    /// Tells the client why it is not, or no longer, let in.
    async fn refuse(&self, socket: &mut WebSocket, error: &Error) -> End {
        // A client that is gone need not be told.
        self.send(socket, &failure(error, None)).await.ok();
        End::Close(close_code::POLICY, "no visitor")
    }

    async fn hello(&mut self, frame: Frame) -> Result<Visitor, Error> {
        let mut hello = object(frame)?;
        if type_of(&mut hello).as_deref() != Some("hello") {
            return Err(Error::field("type", "must be hello at first"));
        }
        let mut fields = Fields::new(hello);
        let after = fields.text("after", livechat::after);
        let token = fields.text("token", |token| Ok(token.to_owned()));
        fields.finish()?;
        if let Given::Value(after) = after {
            self.told = Told::from_iter([after.clone()]);
            self.last = Some(after);
        }
        let Given::Value(token) = token else {
            return Err(Error::UnknownVisitor);
        };
        let context = &self.app.context;
        livechat::recognise(context, &self.inbox, self.origin.as_deref(), &token).await
    }

    /// Takes a frame. Returns what to answer, if anything.
    async fn take(&mut self, visitor: &Visitor, frame: Frame) -> Result<Option<Value>, End> {
        if matches!(frame, Frame::Ping(_) | Frame::Pong(_)) {
            return Ok(None);
        }
        let mut client_id = None;
        let taken = match object(frame) {
            Ok(body) => {
                client_id = body
                    .get("client_id")
                    .and_then(Value::as_str)
                    .map(str::to_owned);
                self.obey(visitor, body).await
            }
            Err(error) => Err(error),
        };
        match taken {
            Ok(answer) => {
                self.wrong = 0;
                Ok(Some(answer))
            }
            Err(error) => {
                self.wrong += 1;
                if self.wrong > PATIENCE {
                    return Err(End::Close(close_code::POLICY, "too many wrong frames"));
                }
                if let Some(cause) = error.cause() {
                    tracing::error!(inbox = %self.inbox, cause, "a live-chat message failed");
                }
                Ok(Some(failure(&error, client_id.as_deref())))
            }
        }
    }

    async fn obey(&self, visitor: &Visitor, mut body: Map<String, Value>) -> Result<Value, Error> {
        match type_of(&mut body).as_deref() {
            Some("message") => {
                self.admit().await?;
                self.app.bounds.message(&visitor.who.id, self.address)?;
                let (context, ingest) = (&self.app.context, &self.app.ingest);
                let (message, _) = livechat::say(context, ingest, visitor, body).await?;
                Ok(json!({"type": "ack", "client_id": message.client_id, "message": message}))
            }
            Some("ping") => {
                Fields::new(body).finish()?;
                Ok(json!({"type": "pong"}))
            }
            _ => Err(Error::field("type", "must be message or ping")),
        }
    }

    /// Shows what came after the last message that was shown.
    async fn show(&mut self, socket: &mut WebSocket, visitor: &Visitor) -> Result<(), ()> {
        let overlap = events::overlap(&self.app.context);
        let mut from = self.last.as_ref().map(|last| last.earlier(overlap));
        loop {
            let heard = livechat::hear(&self.app.context, visitor, from.as_ref(), PAGE);
            let page: Vec<Heard> = match heard.await {
                Ok(page) => page,
                Err(error) => {
                    // The client comes back, and goes on where it was.
                    tracing::warn!(cause = error.cause(), "a live-chat socket ends");
                    return Err(());
                }
            };
            if self.conversation.is_none() && !page.is_empty() {
                let found = livechat::conversation(&self.app.context, visitor).await;
                // Not knowing costs look-ups, and nothing else.
                self.conversation = found.ok().flatten();
            }
            let full = page.len() as i64 == PAGE;
            for message in page {
                from = Some(message.id.clone());
                if !self.told.first_time(&message.id) {
                    continue;
                }
                if self.last.as_ref().is_none_or(|last| message.id > *last) {
                    self.last = Some(message.id.clone());
                }
                let frame = json!({"type": "message", "message": message});
                self.send(socket, &frame).await?;
            }
            if !full {
                return Ok(());
            }
        }
    }

    async fn send(&self, socket: &mut WebSocket, body: &Value) -> Result<(), ()> {
        let frame = Frame::Text(body.to_string().into());
        // A client that takes nothing for so long is gone, whatever its connection says.
        match timeout(PULSE, socket.send(frame)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(()),
        }
    }
}

/// The next frame. `None` at the end, and for one that is not a WebSocket's as it should be.
async fn receive(socket: &mut WebSocket) -> Option<Frame> {
    match socket.recv().await? {
        Ok(Frame::Close(_)) | Err(_) => None,
        Ok(frame) => Some(frame),
    }
}

fn object(frame: Frame) -> Result<Map<String, Value>, Error> {
    let Frame::Text(text) = frame else {
        return Err(Error::field("frame", "must be text"));
    };
    match serde_json::from_str(&text) {
        Ok(Value::Object(object)) => Ok(object),
        _ => Err(Error::field("frame", "must be a JSON object")),
    }
}

/// Takes the type out of a frame's object.
fn type_of(body: &mut Map<String, Value>) -> Option<String> {
    match body.shift_remove("type")? {
        Value::String(text) => Some(text),
        _ => None,
    }
}

fn failure(error: &Error, client_id: Option<&str>) -> Value {
    let mut body = json!({"type": "error", "error": problem(error)});
    if let Error::RateLimited(seconds) = error {
        // A frame has no header in which it could say so.
        body["retry_after"] = (*seconds).into();
    }
    if let Some(client_id) = client_id {
        body["client_id"] = client_id.into();
    }
    body
}
