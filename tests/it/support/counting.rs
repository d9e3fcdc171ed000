//! A provider that counts what it takes: one server over plain sockets that plays Graph and the Bot API, and breaks
//! connections wherever it is told to.

use inboxd::config::Providers;
use serde_json::{Value, json};
use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Notify,
    task::JoinHandle,
    time::sleep,
};

/// What the provider does with a request.
#[derive(Debug, Clone)]
pub(crate) enum Does {
    /// Takes the message, and says so.
    Take,
    /// The same after a while.
    TakeLate(Duration),
    /// Takes it, and ends the connection without a word.
    TakeAndCut,
    /// Takes it, and ends the connection within the answer.
    TakeAndBreak,
    /// Does not take it, and answers with this status and body.
    Answer(u16, Value),
    /// The same once it is told to.
    AnswerWhen(Arc<Notify>, u16, Value),
    /// Reads it, and ends the connection.
    Cut,
    /// Never answers.
    Nothing,
}

/// A message that the provider took.
#[derive(Debug, Clone)]
pub(crate) struct Took {
    /// The path of the request.
    pub(crate) path: String,
    /// Its body.
    pub(crate) body: Value,
    /// What the provider calls it.
    pub(crate) id: String,
}

impl Took {
    /// What it says.
    pub(crate) fn text(&self) -> String {
        let text = &self.body["text"];
        let text = text.as_str().or(text["body"].as_str());
        text.unwrap_or_default().to_owned()
    }
}

/// Decides, by the body and how many requests came before.
type Plan = Box<dyn FnMut(&Value, usize) -> Does + Send>;

/// The provider. It is gone when this is dropped.
pub(crate) struct Counting {
    address: SocketAddr,
    state: Arc<State>,
    serving: Mutex<JoinHandle<()>>,
}

struct State {
    plan: Mutex<Plan>,
    asked: Mutex<usize>,
    took: Mutex<Vec<Took>>,
    /// What it says to what is told beside messages, and what that was.
    says: Mutex<(u16, Value)>,
    told: Mutex<Vec<(String, Value)>>,
}

impl Counting {
    /// One that takes everything.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let state = Arc::new(State {
            plan: Mutex::new(Box::new(|_, _| Does::Take)),
            asked: Mutex::default(),
            took: Mutex::default(),
            says: Mutex::new((200, json!({"success": true, "ok": true, "result": true}))),
            told: Mutex::default(),
        });
        let serving = Mutex::new(serve(listener, state.clone()));
        Counting {
            address,
            state,
            serving,
        }
    }

    /// Takes no connections any more, and ends those that there are.
    pub(crate) fn leave(&self) {
        self.does(|_, _| Does::Cut);
        lock(&self.serving).abort();
    }

    /// Takes connections again, at the same address.
    pub(crate) async fn come_back(&self) {
        let listener = TcpListener::bind(self.address).await.expect("its port");
        *lock(&self.serving) = serve(listener, self.state.clone());
    }

    /// Does so from now on.
    pub(crate) fn does(&self, plan: impl FnMut(&Value, usize) -> Does + Send + 'static) {
        *lock(&self.state.plan) = Box::new(plan);
    }

    /// What it was told beside messages so far (read marks, and that somebody types): paths and bodies. It counts these apart.
    pub(crate) fn told(&self) -> Vec<(String, Value)> {
        lock(&self.state.told).clone()
    }

    /// Answers to what it is told beside messages so from now on.
    pub(crate) fn says(&self, status: u16, body: Value) {
        *lock(&self.state.says) = (status, body);
    }

    /// What it took so far.
    pub(crate) fn took(&self) -> Vec<Took> {
        lock(&self.state.took).clone()
    }

    /// The texts that it took so far.
    pub(crate) fn texts(&self) -> Vec<String> {
        self.took().iter().map(Took::text).collect()
    }

    /// How many requests came so far.
    pub(crate) fn asked(&self) -> usize {
        *lock(&self.state.asked)
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The settings of a server that sends to this one, and waits so long for an answer.
    pub(crate) fn settings(&self, patience: Duration) -> Providers {
        Providers {
            telegram_url: self.url(),
            graph_url: self.url(),
            instagram_url: self.url(),
            patience,
            glance: patience,
            send: patience,
        }
    }
}

impl Drop for Counting {
    fn drop(&mut self) {
        lock(&self.serving).abort();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no panic inside")
}

fn serve(listener: TcpListener, state: Arc<State>) -> JoinHandle<()> {
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(converse(stream, state.clone()));
        }
    })
}

/// Answers one request after the other, until the connection ends.
async fn converse(mut stream: TcpStream, state: Arc<State>) {
    let mut received = Vec::new();
    while let Some((path, body)) = request(&mut stream, &mut received).await {
        if is_beside(&path, &body) {
            lock(&state.told).push((path, body));
            let (status, answer) = lock(&state.says).clone();
            let body = answer.to_string();
            let answer = head(status, body.len()) + &body;
            if stream.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
            continue;
        }
        let before = {
            let mut asked = lock(&state.asked);
            *asked += 1;
            *asked - 1
        };
        let does = (lock(&state.plan))(&body, before);
        let (status, answer) = match does {
            Does::Take => (200, take(&state, path, body)),
            Does::TakeLate(time) => {
                let answer = take(&state, path, body);
                sleep(time).await;
                (200, answer)
            }
            Does::TakeAndCut => {
                take(&state, path, body);
                return;
            }
            Does::TakeAndBreak => {
                let answer = head(200, 1000) + &take(&state, path, body).to_string();
                stream.write_all(answer.as_bytes()).await.ok();
                return;
            }
            Does::Answer(status, answer) => (status, answer),
            Does::AnswerWhen(told, status, answer) => {
                told.notified().await;
                (status, answer)
            }
            Does::Cut => return,
            Does::Nothing => {
                sleep(Duration::from_secs(3600)).await;
                return;
            }
        };
        let body = answer.to_string();
        let answer = head(status, body.len()) + &body;
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// Whether a request tells something beside messages.
fn is_beside(path: &str, body: &Value) -> bool {
    let methods = ["/sendChatAction", "/readBusinessMessage"];
    let of_telegram = methods.iter().any(|method| path.ends_with(method));
    of_telegram || body["status"] == "read" || !body["sender_action"].is_null()
}

fn head(status: u16, length: usize) -> String {
    format!(
        "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    )
}

/// Counts a message. Returns how the provider says that it took it.
fn take(state: &State, path: String, body: Value) -> Value {
    let mut took = lock(&state.took);
    let number = took.len() + 1;
    let (id, answer) = if path.starts_with("/bot") {
        let chat = body["chat_id"].clone();
        let id = format!("{chat}:{number}");
        let result =
            json!({"message_id": number, "date": 1, "chat": {"id": chat, "type": "private"}});
        (id, json!({"ok": true, "result": result}))
    } else if body.get("messaging_product").is_some() {
        let id = format!("wamid.out{number}");
        (
            id.clone(),
            json!({"messaging_product": "whatsapp", "messages": [{"id": id}]}),
        )
    } else {
        let id = format!("mid.out{number}");
        let recipient = body["recipient"]["id"].clone();
        (
            id.clone(),
            json!({"recipient_id": recipient, "message_id": id}),
        )
    };
    took.push(Took { path, body, id });
    answer
}

/// The next request: its path and body. `None` once the connection has ended.
async fn request(stream: &mut TcpStream, received: &mut Vec<u8>) -> Option<(String, Value)> {
    loop {
        if let Some(end) = received.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&received[..end]).into_owned();
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                let is_length = name.eq_ignore_ascii_case("content-length");
                is_length.then(|| value.trim().parse::<usize>().expect("a length"))
            });
            let all = end + 4 + length.unwrap_or(0);
            if received.len() >= all {
                let body = serde_json::from_slice(&received[end + 4..all]).unwrap_or_default();
                received.drain(..all);
                let path = head.split(' ').nth(1).expect("a path").to_owned();
                return Some((path, body));
            }
        }
        let mut piece = [0; 4096];
        match stream.read(&mut piece).await {
            Ok(0) | Err(_) => return None,
            Ok(length) => received.extend_from_slice(&piece[..length]),
        }
    }
}
