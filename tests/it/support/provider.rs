//! A provider that does as it is told: one server that plays Telegram's Bot API and Meta's Graph API.

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use futures_util::stream;
use inboxd::config::Providers;
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    future::pending,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{net::TcpListener, sync::Semaphore, task::JoinHandle};

/// How a question is answered.
#[derive(Clone)]
pub(crate) enum Reply {
    /// With this status and JSON.
    Json(u16, Value),
    /// With this status and text.
    Text(u16, String),
    /// With a redirect to this path.
    Redirect(&'static str),
    /// With the beginning of an answer, and then with the end of the connection.
    Broken,
    /// Never.
    Never,
    /// With that, once the semaphore has a permit.
    After(Arc<Semaphore>, Box<Reply>),
}

/// A question as it came.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    pub(crate) method: Method,
    /// With the query.
    pub(crate) path: String,
    /// The value of `Authorization`.
    pub(crate) authorization: Option<String>,
    /// `null` if there is none.
    pub(crate) body: Value,
}

/// The provider. It is gone when this is dropped.
pub(crate) struct Provider {
    address: SocketAddr,
    state: Arc<Shared>,
    serving: JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    replies: Mutex<HashMap<String, Reply>>,
    questions: Mutex<Vec<Question>>,
}

impl Provider {
    /// One that knows nobody.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let state = Arc::new(Shared::default());
        let router = Router::new().fallback(answer).with_state(state.clone());
        let serving = tokio::spawn(async move {
            let served = axum::serve(listener, router).await;
            served.expect("it serves");
        });
        Provider {
            address,
            state,
            serving,
        }
    }

    /// One at which bot 110201543 can be connected.
    pub(crate) async fn with_a_bot() -> Self {
        let provider = Self::start().await;
        let bot = json!({"id": 110_201_543, "is_bot": true, "first_name": "Toko Biru", "username": "toko_biru_bot"});
        provider.replies("getMe", ok(bot));
        provider.replies("setWebhook", ok(json!(true)));
        let webhook =
            json!({"url": "", "has_custom_certificate": false, "pending_update_count": 0});
        provider.replies("getWebhookInfo", ok(webhook));
        provider
    }

    /// Answers questions whose path ends with this segment so from now on.
    pub(crate) fn replies(&self, segment: &str, reply: Reply) {
        let mut replies = self.state.replies.lock().expect("no panic inside");
        replies.insert(segment.to_owned(), reply);
    }

    /// What it was asked so far.
    pub(crate) fn questions(&self) -> Vec<Question> {
        let questions = self.state.questions.lock().expect("no panic inside");
        questions.clone()
    }

    /// The last segment of each path that it was asked for.
    pub(crate) fn asked(&self) -> Vec<String> {
        let questions = self.questions();
        questions.iter().map(|q| segment(&q.path)).collect()
    }

    /// The settings of a server that asks this one. It waits long enough never to be the reason why a test fails.
    pub(crate) fn settings(&self) -> Providers {
        at(&self.url(), Duration::from_secs(60))
    }

    /// The same with a server that waits for a moment only.
    pub(crate) fn impatient(&self) -> Providers {
        at(&self.url(), Duration::from_millis(200))
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Settings with which nobody is found: no test asks a real provider by mistake.
pub(crate) fn nowhere() -> Providers {
    // A port on which nobody listens: the system gives none below 1024 to programs that ask for any.
    at("http://127.0.0.1:1", Duration::from_secs(60))
}

fn at(url: &str, patience: Duration) -> Providers {
    Providers {
        telegram_url: url.to_owned(),
        graph_url: url.to_owned(),
        instagram_url: url.to_owned(),
        patience,
        glance: patience,
        send: patience,
    }
}

/// A success of Telegram's.
pub(crate) fn ok(result: Value) -> Reply {
    Reply::Json(200, json!({"ok": true, "result": result}))
}

/// A refusal of Telegram's.
pub(crate) fn no(code: u16, description: &str) -> Reply {
    let body = json!({"ok": false, "error_code": code, "description": description});
    Reply::Json(code, body)
}

/// A refusal of Meta's.
pub(crate) fn graph_error(status: u16, code: i64, message: &str) -> Reply {
    let error =
        json!({"message": message, "type": "OAuthException", "code": code, "fbtrace_id": "A1b2"});
    Reply::Json(status, json!({"error": error}))
}

fn segment(path: &str) -> String {
    let path = path.split('?').next().unwrap_or_default();
    path.rsplit('/').next().unwrap_or_default().to_owned()
}

async fn answer(
    State(state): State<Arc<Shared>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let path = uri.path_and_query().expect("a path").to_string();
    let reply = {
        let replies = state.replies.lock().expect("no panic inside");
        replies.get(&segment(&path)).cloned()
    };
    let authorization = headers.get(header::AUTHORIZATION);
    state
        .questions
        .lock()
        .expect("no panic inside")
        .push(Question {
            method,
            path,
            authorization: authorization.map(|value| value.to_str().expect("text").to_owned()),
            body: serde_json::from_slice(&body).unwrap_or_default(),
        });
    let mut reply = reply.unwrap_or_else(|| no(404, "Not Found"));
    loop {
        reply = match reply {
            Reply::Json(status, body) => return said(status, "application/json", body.to_string()),
            Reply::Text(status, text) => return said(status, "text/html", text),
            Reply::Redirect(to) => {
                return (StatusCode::FOUND, [(header::LOCATION, to)]).into_response();
            }
            Reply::Broken => {
                let pieces = [Ok("{"), Err(io::Error::other("enough"))];
                return Body::from_stream(stream::iter(pieces)).into_response();
            }
            Reply::Never => pending().await,
            Reply::After(gate, then) => {
                gate.acquire().await.expect("it stays open").forget();
                *then
            }
        };
    }
}

fn said(status: u16, kind: &'static str, body: String) -> Response {
    let status = StatusCode::from_u16(status).expect("a status");
    (status, [(header::CONTENT_TYPE, kind)], body).into_response()
}
