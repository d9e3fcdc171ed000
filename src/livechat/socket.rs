//! `GET /livechat/{inbox_id}/socket`: sends and receives messages over a WebSocket.
//!
//! Every frame is a JSON object with a `type`. The first frame must be a `hello` with the visitor's token: a browser
//! cannot send headers with a WebSocket, and a token in the URL would end up in logs.
//!
//! Invariant: from `welcome` to its end, a socket sends every message of its conversation once and in order. It neither
//! stores nor sends a message after the session ended, the inbox was deleted, or the inbox no longer allows the page.

mod shown;

use super::origin;
use crate::{
    error::Error,
    http::{
        App,
        auth::IdPath,
        body::strict,
        client::Client,
        envelope::{ApiError, problem},
    },
    id::{InboxId, MessageId},
    input::{self, Given},
    ops::{
        events::Live,
        livechat::{self, After, Hello, NewReceipt, Visitor},
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
use channels::DeliveryStatus;
use serde_json::{Map, Value, json};
use shown::{News, Shown};
use std::{net::IpAddr, time::Duration};
use tokio::{
    sync::broadcast::{Receiver, error::RecvError},
    time::{Instant, interval_at, timeout},
};

/// How long a client may take to send `hello`.
const HELLO: Duration = Duration::from_secs(10);
/// How often a client without traffic is pinged. If it misses two pings in a row, the socket is closed.
const PING: Duration = Duration::from_secs(30);
/// The longest frame, in bytes: enough for the longest text in four-byte characters, with or without JSON escapes.
const FRAME: usize = 64 * 1024;
/// How many wrong frames in a row are accepted before the socket is closed.
const MAX_WRONG: u32 = 20;

/// Open a visitor's WebSocket
///
/// The protocol is described in docs/livechat.md.
#[utoipa::path(
    get, path = "/livechat/{id}/socket", operation_id = "openLivechatSocket", tag = "Live chat", security(()),
    params(("id" = String, Path, description = "Inbox id")),
    responses(
        (status = 101, description = "The socket is open. The first frame must be `hello`"),
        (status = 400, description = "Not a WebSocket request", body = crate::http::envelope::Failure),
        (status = 429, description = "Too many sockets from this address. With `Retry-After`", body = crate::http::envelope::Failure)
    )
)]
pub async fn open(
    State(app): State<App>,
    IdPath(inbox): IdPath<InboxId>,
    Client(address): Client,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, axum::extract::ws::rejection::WebSocketUpgradeRejection>,
) -> Result<Response, ApiError> {
    let upgrade =
        upgrade.map_err(|error| Error::field("upgrade", error.body_text().to_lowercase()))?;
    let places = (app.bounds.socket(address)?, app.bounds.stream()?);
    let origin = origin(&headers).map(str::to_owned);
    let session = Session {
        inbox,
        origin,
        address,
        wrong: 0,
        shown: Shown::default(),
        app,
    };
    Ok(upgrade
        .max_message_size(FRAME)
        .max_frame_size(FRAME)
        // The default sizes favour throughput, and take 256 KB per socket.
        .read_buffer_size(4096)
        .write_buffer_size(0)
        .max_write_buffer_size(1024 * 1024)
        .on_upgrade(move |socket| session.run(socket, places)))
}

/// The state of one socket.
struct Session {
    app: App,
    inbox: InboxId,
    origin: Option<String>,
    address: IpAddr,
    /// The number of wrong frames in a row.
    wrong: u32,
    shown: Shown,
}

/// Why a socket ends.
enum End {
    /// The client is gone, or does not read what it is sent.
    Gone,
    /// The server closes it with this code and reason. <https://www.rfc-editor.org/rfc/rfc6455#section-7.4.1>
    Close(u16, &'static str),
}

impl Session {
    async fn run(mut self, mut socket: WebSocket, places: impl Sized) {
        let end = self.serve(&mut socket).await;
        if let End::Close(code, reason) = end {
            let reason = reason.into();
            let frame = Frame::Close(Some(CloseFrame { code, reason }));
            // If the client is gone, there is nobody to tell.
            socket.send(frame).await.ok();
        }
        drop(places);
    }

    async fn serve(&mut self, socket: &mut WebSocket) -> End {
        let hello = match timeout(HELLO, receive(socket)).await {
            Ok(Some(frame)) => frame,
            Ok(None) => return End::Gone,
            Err(_) => return End::Close(close_code::POLICY, "no hello in time"),
        };
        // Listening starts before `welcome` is sent, so that no message is missed in between.
        let mut live = self.app.context.events.listen();
        let visitor = match self.hello(hello).await {
            Ok(visitor) => visitor,
            Err(error) => return self.refuse(socket, &error).await,
        };
        let token = match livechat::issue(&self.app.context, &visitor) {
            Ok(token) => token,
            Err(error) => return self.refuse(socket, &error).await,
        };
        let welcome = json!({"type": "welcome", "visitor_id": visitor.identity.id, "token": token});
        if self.send(socket, &welcome).await.is_err()
            || self.send_new(socket, &visitor, false).await.is_err()
        {
            return End::Gone;
        }
        self.run_loop(socket, &visitor, &mut live).await
    }

    async fn run_loop(
        &mut self,
        socket: &mut WebSocket,
        visitor: &Visitor,
        live: &mut Receiver<Live>,
    ) -> End {
        let mut stopped = self.app.stopped.clone();
        let mut ping = interval_at(Instant::now() + PING, PING);
        let mut unanswered = 0;
        loop {
            tokio::select! {
                _ = stopped.changed() => return End::Close(close_code::AWAY, "the server stops"),
                _ = ping.tick() => {
                    unanswered += 1;
                    if unanswered > 2 || socket.send(Frame::Ping(Bytes::new())).await.is_err() {
                        return End::Gone;
                    }
                }
                frame = receive(socket) => {
                    unanswered = 0;
                    let Some(frame) = frame else { return End::Gone };
                    let answer = match self.handle_frame(visitor, frame).await {
                        Ok(Some(answer)) => answer,
                        Ok(None) => continue,
                        Err(end) => return end,
                    };
                    if self.send(socket, &answer).await.is_err() {
                        return End::Gone;
                    }
                }
                event = live.recv() => {
                    let (news, missed) = match event {
                        Ok(Live::Happened(event)) => (self.shown.news(&self.inbox, &event), false),
                        Ok(Live::ConversationGone(conversation)) => {
                            (self.shown.gone(&conversation), false)
                        }
                        Ok(Live::SessionEnded(session)) if session == visitor.session => {
                            (News::Messages, false)
                        }
                        Ok(Live::KeysChanged | Live::SessionEnded(_)) => (News::None, false),
                        // Events may be missing. The store has them.
                        Ok(Live::Missed) | Err(RecvError::Lagged(_)) => (News::Messages, true),
                        Err(RecvError::Closed) => return End::Gone,
                    };
                    if news == News::None {
                        continue;
                    }
                    if let Err(error) = self.check_page(visitor).await {
                        return self.refuse(socket, &error).await;
                    }
                    let told = match news {
                        News::Status(id) => self.send_status(socket, visitor, &id).await,
                        _ => self.send_new(socket, visitor, missed).await,
                    };
                    if told.is_err() {
                        return End::Gone;
                    }
                }
            }
        }
    }

    /// Checks that the inbox still exists and allows the page, and that the session has not ended.
    async fn check_page(&self, visitor: &Visitor) -> Result<(), Error> {
        livechat::check(&self.app.context, visitor, self.origin.as_deref()).await
    }

    /// Sends the client the error, and closes the socket.
    async fn refuse(&self, socket: &mut WebSocket, error: &Error) -> End {
        // If the client is gone, there is nobody to tell.
        self.send(socket, &failure(error, None)).await.ok();
        End::Close(close_code::POLICY, "no visitor")
    }

    async fn hello(&mut self, frame: Frame) -> Result<Visitor, Error> {
        let mut hello = object(frame)?;
        if type_of(&mut hello).as_deref() != Some("hello") {
            return Err(Error::field("type", "must be hello at first"));
        }
        let hello = Hello::parse(hello)?;
        if let Given::Value(After(after)) = hello.after {
            self.shown.begin_after(after);
        }
        let token = hello.token.value().ok_or(Error::UnknownVisitor)?.0;
        let context = &self.app.context;
        livechat::authenticate(context, &self.inbox, self.origin.as_deref(), &token).await
    }

    /// Handles a frame. Returns the answer, if there is one.
    async fn handle_frame(
        &mut self,
        visitor: &Visitor,
        frame: Frame,
    ) -> Result<Option<Value>, End> {
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
                self.handle(visitor, body).await
            }
            Err(error) => Err(error),
        };
        match taken {
            Ok(answer) => {
                self.wrong = 0;
                Ok(answer)
            }
            Err(error) => {
                self.wrong += 1;
                if self.wrong > MAX_WRONG {
                    return Err(End::Close(close_code::POLICY, "too many wrong frames"));
                }
                if let Some(cause) = error.cause() {
                    tracing::error!(inbox = %self.inbox, cause, "a live-chat message failed");
                }
                Ok(Some(failure(&error, client_id.as_deref())))
            }
        }
    }

    async fn handle(
        &self,
        visitor: &Visitor,
        mut body: Map<String, Value>,
    ) -> Result<Option<Value>, Error> {
        match type_of(&mut body).as_deref() {
            Some("message") => {
                self.check_page(visitor).await?;
                self.app
                    .bounds
                    .message(&visitor.inbox, &visitor.identity.id, self.address)?;
                let (context, ingest) = (&self.app.context, &self.app.ingest);
                let (message, _) = livechat::store_message(context, ingest, visitor, body).await?;
                let ack =
                    json!({"type": "ack", "client_id": message.client_id, "message": message});
                Ok(Some(ack))
            }
            Some("delivered") => {
                self.acknowledge(visitor, DeliveryStatus::Delivered, body)
                    .await
            }
            Some("read") => self.acknowledge(visitor, DeliveryStatus::Read, body).await,
            Some("ping") => {
                // It says nothing else.
                input::read(body, |_| Some(()))?;
                Ok(Some(json!({"type": "pong"})))
            }
            _ => Err(Error::field(
                "type",
                "must be message, delivered, read or ping",
            )),
        }
    }

    /// Notes what the page has received or shown. What is new about it comes as `status` frames, to all pages.
    async fn acknowledge(
        &self,
        visitor: &Visitor,
        status: DeliveryStatus,
        body: Map<String, Value>,
    ) -> Result<Option<Value>, Error> {
        self.check_page(visitor).await?;
        self.app
            .bounds
            .receipt(&visitor.inbox, &visitor.identity.id, self.address)?;
        let until = NewReceipt::parse(body)?.id.0;
        let (context, ingest) = (&self.app.context, &self.app.ingest);
        livechat::acknowledge(context, ingest, visitor, status, &until).await?;
        Ok(None)
    }

    /// Sends the client every message after the last one that was sent. If events were `missed`, also the statuses that have
    /// changed.
    async fn send_new(
        &mut self,
        socket: &mut WebSocket,
        visitor: &Visitor,
        missed: bool,
    ) -> Result<(), ()> {
        let context = self.app.context.clone();
        let mut from = self.shown.begin(&context, missed);
        loop {
            let page = self.shown.page(&context, visitor, from.as_ref()).await;
            let page = page.map_err(|error| cannot_read(&error))?;
            for frame in &page.frames {
                self.send(socket, frame).await?;
            }
            match page.next {
                Some(next) => {
                    // It took time to send these. If the page may not go on, its next connection is told why.
                    self.check_page(visitor).await.map_err(|_| ())?;
                    from = Some(next);
                }
                None => return Ok(()),
            }
        }
    }

    /// Sends the client the status of an answer, if it is new.
    async fn send_status(
        &mut self,
        socket: &mut WebSocket,
        visitor: &Visitor,
        id: &MessageId,
    ) -> Result<(), ()> {
        let context = &self.app.context;
        let frame = self.shown.status(context, visitor, id).await;
        match frame.map_err(|error| cannot_read(&error))? {
            Some(frame) => self.send(socket, &frame).await,
            None => Ok(()),
        }
    }

    async fn send(&self, socket: &mut WebSocket, body: &Value) -> Result<(), ()> {
        let frame = Frame::Text(body.to_string().into());
        // A client that reads nothing for this long is gone, whatever its connection says.
        match timeout(PING, socket.send(frame)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(()),
        }
    }
}

/// The client will connect again, and continue after its last message.
fn cannot_read(error: &Error) {
    tracing::warn!(
        cause = error.cause(),
        "a live-chat socket is closed, because its messages cannot be read"
    );
}

/// The next frame. `None` if the connection has ended, or if the frame breaks the WebSocket protocol.
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
    match strict(text.as_bytes()) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(Error::field("frame", "must be a JSON object")),
        Err(error) => Err(Error::field("frame", format!("is not valid JSON: {error}"))),
    }
}

/// Removes and returns the type of a frame's object.
fn type_of(body: &mut Map<String, Value>) -> Option<String> {
    match body.shift_remove("type")? {
        Value::String(text) => Some(text),
        _ => None,
    }
}

fn failure(error: &Error, client_id: Option<&str>) -> Value {
    let mut body = json!({"type": "error", "error": problem(error)});
    if let Error::RateLimited(seconds) = error {
        // In HTTP this is a header, which a frame does not have.
        body["retry_after"] = (*seconds).into();
    }
    if let Some(client_id) = client_id {
        body["client_id"] = client_id.into();
    }
    body
}
