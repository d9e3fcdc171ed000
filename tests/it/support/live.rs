//! What stays open: a stream of events, and a live-chat visitor's socket.

use super::client;
use futures_util::{SinkExt, StreamExt};
use reqwest::Response;
use serde_json::{Value, json};
use std::{net::SocketAddr, time::Duration};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async, tungstenite::Message as Frame,
};

/// A stream that is being read.
pub(crate) struct Stream {
    response: Response,
    text: String,
}

impl Stream {
    pub(crate) async fn open(server: SocketAddr, key: &str, last: Option<&str>) -> Self {
        let mut request = client()
            .get(format!("http://{}/events", server))
            .bearer_auth(key);
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let response = request.send().await.expect("an answer");
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Stream {
            response,
            text: String::new(),
        }
    }

    /// The next event: its name, id and data. `None` at the end.
    pub(crate) async fn next(&mut self) -> Option<(String, String, Value)> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| {
                    let line = event.lines().find_map(|line| line.strip_prefix(name));
                    line.map(|value| value.trim().to_owned())
                };
                let found = (field("event:"), field("id:"), field("data:"));
                self.text = rest.to_owned();
                if let (Some(name), Some(id), Some(data)) = found {
                    return Some((name, id, data.parse().expect("data is JSON")));
                }
                continue;
            }
            let chunk = timeout(Duration::from_secs(30), self.response.chunk());
            let chunk = chunk.await.expect("something happens").ok().flatten()?;
            self.text
                .push_str(std::str::from_utf8(&chunk).expect("text"));
        }
    }
}

/// A visitor's socket.
pub(crate) struct Socket(pub(crate) WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Socket {
    pub(crate) async fn open(server: SocketAddr, inbox: &str) -> Self {
        let opened = Self::try_open(server, inbox).await;
        opened.expect("the socket opens")
    }

    /// `None` if the server refuses.
    pub(crate) async fn try_open(server: SocketAddr, inbox: &str) -> Option<Self> {
        let url = format!("ws://{server}/livechat/{inbox}/socket");
        let (socket, _) = connect_async(url).await.ok()?;
        Some(Socket(socket))
    }

    pub(crate) async fn hello(
        server: SocketAddr,
        inbox: &str,
        token: &str,
        after: Option<&str>,
    ) -> Self {
        let mut socket = Self::open(server, inbox).await;
        socket
            .send(&json!({"type": "hello", "token": token, "after": after}))
            .await;
        assert_eq!(socket.next().await["type"], "welcome");
        socket
    }

    pub(crate) async fn send(&mut self, frame: &Value) {
        self.raw(Frame::text(frame.to_string())).await;
    }

    pub(crate) async fn raw(&mut self, frame: Frame) {
        self.0.send(frame).await.expect("sent");
    }

    /// The next frame that says something. `Null` at the end.
    pub(crate) async fn next(&mut self) -> Value {
        loop {
            let frame = timeout(Duration::from_secs(30), self.0.next());
            match frame.await.expect("something happens") {
                Some(Ok(Frame::Text(text))) => return serde_json::from_str(&text).expect("JSON"),
                Some(Ok(Frame::Ping(_) | Frame::Pong(_))) => {}
                _ => return Value::Null,
            }
        }
    }

    /// The next frame of this type.
    pub(crate) async fn next_of(&mut self, kind: &str) -> Value {
        loop {
            let frame = self.next().await;
            assert!(
                !frame.is_null(),
                "the socket ended before a frame of type {kind}"
            );
            if frame["type"] == kind {
                return frame;
            }
        }
    }
}
