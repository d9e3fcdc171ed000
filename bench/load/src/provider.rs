//! A provider that takes WhatsApp messages: it answers each after a while, and counts them.
//!
//! `GET /counted` and `GET /arrivals` tell what came, `POST /refuse` has it refuse every message from then on as Meta refuses
//! a dead token, and `POST /take` has it forget what came and take messages again.
//!
//! Invariant: a message is counted by the id that inboxd gave it, so one that is sent twice is noticed.

use crate::client::micros;
use serde_json::{Map, Value, json};
use std::{cell::RefCell, collections::HashMap, io, rc::Rc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::{LocalSet, spawn_local},
    time::sleep,
};

#[derive(Default)]
struct Counted {
    refuses: bool,
    refused: u64,
    twice: u64,
    /// When the first byte of each message came, in microseconds since 1970.
    taken: HashMap<String, u64>,
    first: u64,
    last: u64,
}

/// Answers until the process is ended.
pub(crate) async fn provide(port: u16, delay: Duration) -> io::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    let counted = Rc::new(RefCell::new(Counted::default()));
    LocalSet::new()
        .run_until(async {
            loop {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                let counted = counted.clone();
                spawn_local(async move {
                    if let Err(error) = converse(stream, &counted, delay).await {
                        eprintln!("a connection ended: {error}");
                    }
                });
            }
        })
        .await
}

async fn converse(
    mut stream: TcpStream,
    counted: &RefCell<Counted>,
    delay: Duration,
) -> io::Result<()> {
    let mut received = Vec::with_capacity(4096);
    while let Some((at, length)) = request(&mut stream, &mut received).await? {
        let text = String::from_utf8_lossy(&received[..length]).into_owned();
        received.drain(..length);
        let (status, body) = match text.split(' ').nth(1).unwrap_or_default() {
            "/counted" => (200, counted.borrow().told()),
            "/arrivals" => {
                let counted = counted.borrow();
                let each = counted
                    .taken
                    .iter()
                    .map(|(id, at)| (id.clone(), Value::from(*at)));
                (200, Value::from(each.collect::<Map<_, _>>()))
            }
            "/take" => {
                *counted.borrow_mut() = Counted::default();
                (200, json!({}))
            }
            "/refuse" => {
                counted.borrow_mut().refuses = true;
                (200, json!({}))
            }
            _ => {
                let answer = counted.borrow_mut().take(&text, at);
                sleep(delay).await;
                answer
            }
        };
        let body = body.to_string();
        let answer = format!(
            "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(answer.as_bytes()).await?;
    }
    Ok(())
}

impl Counted {
    fn told(&self) -> Value {
        json!({
            "taken": self.taken.len(), "twice": self.twice, "refused": self.refused,
            "seconds": (self.last - self.first) as f64 / 1e6,
        })
    }

    /// Counts a message. Returns the answer.
    fn take(&mut self, request: &str, at: u64) -> (u16, Value) {
        if self.refuses {
            self.refused += 1;
            let error =
                json!({"message": "Session has expired", "type": "OAuthException", "code": 190});
            return (401, json!({"error": error}));
        }
        // Our id and the number of the attempt. Found as text: parsing would take the server's share of the machine.
        let id = request.split_once("\"biz_opaque_callback_data\":\"");
        let id = id
            .and_then(|(_, rest)| rest.split([':', '"']).next())
            .unwrap_or_default();
        let number = self.taken.len();
        if number == 0 {
            self.first = at;
        }
        self.last = at;
        if self.taken.insert(id.to_owned(), at).is_some() {
            self.twice += 1;
        }
        (
            200,
            json!({"messaging_product": "whatsapp", "messages": [{"id": format!("wamid.{id}")}]}),
        )
    }
}

/// Reads a request. Returns when its first byte came, in microseconds since 1970, and its length. `None` at the end.
async fn request(
    stream: &mut TcpStream,
    received: &mut Vec<u8>,
) -> io::Result<Option<(u64, usize)>> {
    let mut at = micros();
    loop {
        if let Some(end) = received.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&received[..end]);
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                let is_length = name.eq_ignore_ascii_case("content-length");
                is_length.then(|| value.trim().parse::<usize>().ok())?
            });
            let all = end + 4 + length.unwrap_or(0);
            if received.len() >= all {
                return Ok(Some((at, all)));
            }
        }
        let was_empty = received.is_empty();
        if stream.read_buf(received).await? == 0 {
            return Ok(None);
        }
        if was_empty {
            at = micros();
        }
    }
}
