//! What the benchmarks of ingest, reading and sending measure with: `deliver`, `get` and `send` load a server, `bare` writes the
//! rows without one, and `provide` plays the provider that messages are sent to.
//!
//! Each command but the last prints one line of JSON: how many, in how many seconds, and how long an answer took (milliseconds).
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "its results are its output"
)]

mod bare;
mod client;
mod provider;
mod workload;

use clap::{Args, Parser, Subcommand};
use client::Pace;
use serde_json::{Value, json};
use std::{error::Error, rc::Rc, time::Duration};
use workload::Message;

/// Loads an inboxd, or writes the rows that it would write.
#[derive(Parser)]
enum Command {
    /// Delivers WhatsApp messages to a server
    Deliver(Deliver),
    /// Asks a server for one path, again and again
    Get(Get),
    /// Has a server send messages
    Send(Send),
    /// Takes the messages that a server sends, until it is ended
    Provide(Provide),
    /// Writes the rows of messages in a bare loop
    #[command(subcommand)]
    Bare(Bare),
}

#[derive(Args)]
struct Target {
    /// Where the server listens on this machine
    #[arg(long)]
    port: u16,
    /// Connections, kept open
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// Requests a second; without it, as many as are answered
    #[arg(long)]
    rate: Option<f64>,
    /// How many requests
    #[arg(long)]
    count: u64,
}

#[derive(Args)]
struct Deliver {
    #[command(flatten)]
    target: Target,
    /// The `phone_number_id` of each inbox
    #[arg(long, value_delimiter = ',')]
    numbers: Vec<String>,
    /// The app secret of all of them
    #[arg(long)]
    secret: String,
    /// The number of the first message: one that was sent before is a redelivery
    #[arg(long)]
    first: u64,
    /// The number with which those who write began: a multiple of ten, at most that of the first message
    #[arg(long, default_value_t = 0)]
    since: u64,
}

#[derive(Args)]
struct Get {
    #[command(flatten)]
    target: Target,
    /// The path with its query
    #[arg(long)]
    path: String,
    /// The API key
    #[arg(long)]
    key: String,
}

#[derive(Args)]
struct Send {
    #[command(flatten)]
    target: Target,
    /// The API key
    #[arg(long)]
    key: String,
    /// A file with the body of a message in each line: they take turns
    #[arg(long)]
    bodies: String,
    /// Also print each message's id and conversation, and when its answer was there, in microseconds since 1970
    #[arg(long)]
    each: bool,
}

#[derive(Args)]
struct Provide {
    /// Where to listen on this machine
    #[arg(long)]
    port: u16,
    /// How long an answer takes, in milliseconds
    #[arg(long, default_value_t = 50)]
    delay: u64,
}

#[derive(Subcommand)]
enum Bare {
    /// Into SQLite
    Sqlite {
        /// The database file
        #[arg(long)]
        path: String,
        #[command(flatten)]
        rows: bare::Rows,
    },
    /// Into PostgreSQL
    Postgres {
        /// The database's URL
        #[arg(long)]
        url: String,
        #[command(flatten)]
        rows: bare::Rows,
    },
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    match Command::parse() {
        Command::Deliver(deliver) => {
            let range = deliver.first..deliver.first + deliver.target.count;
            let message = |number| delivery(&deliver, &Message::new(number, deliver.since));
            send(&deliver.target, range.map(message).collect(), false).await
        }
        Command::Get(get) => {
            let text = format!(
                "GET {} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\r\n",
                get.path, get.key
            );
            let requests = vec![text.into_bytes(); get.target.count as usize];
            send(&get.target, requests, false).await
        }
        Command::Send(messages) => {
            let bodies = std::fs::read_to_string(&messages.bodies)?;
            let bodies = bodies.lines().cycle().take(messages.target.count as usize);
            let requests = bodies.map(|body| message(&messages.key, body)).collect();
            send(&messages.target, requests, messages.each).await
        }
        Command::Provide(provide) => {
            let delay = Duration::from_millis(provide.delay);
            Ok(provider::provide(provide.port, delay).await?)
        }
        Command::Bare(Bare::Sqlite { path, rows }) => {
            report(rows.count, bare::sqlite::write(&path, &rows)?);
            Ok(())
        }
        Command::Bare(Bare::Postgres { url, rows }) => {
            report(rows.count, bare::postgres::write(&url, &rows).await?);
            Ok(())
        }
    }
}

/// A delivery as Meta sends it, signed.
fn delivery(deliver: &Deliver, message: &Message) -> Vec<u8> {
    let number = &deliver.numbers[message.inbox(deliver.numbers.len())];
    let body = message.body(number);
    let signature = channels::signature::sign_meta(deliver.secret.as_bytes(), body.as_bytes());
    format!(
        "POST /hooks/whatsapp HTTP/1.1\r\nHost: inbox.example.com\r\nUser-Agent: facebookexternalua\r\n\
        Content-Type: application/json\r\nAccept: */*\r\nX-Hub-Signature-256: {signature}\r\n\
        Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// A request to send a message.
fn message(key: &str, body: &str) -> Vec<u8> {
    format!(
        "POST /messages HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n\
        Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

async fn send(target: &Target, requests: Vec<Vec<u8>>, each: bool) -> Result<(), Box<dyn Error>> {
    let count = requests.len();
    let pace = target.rate.map_or(Pace::Busy, Pace::Rate);
    let requests = Rc::new(requests);
    let outcome = client::send(target.port, requests, target.connections, pace, each).await?;
    let share = |part: f64| {
        let at = ((count as f64 * part) as usize).min(count - 1);
        outcome.waits[at].as_secs_f64() * 1000.0
    };
    let mut told = json!({
        "count": count, "seconds": outcome.seconds, "wrong": outcome.wrong,
        "p50": share(0.5), "p99": share(0.99), "max": share(1.0),
    });
    if each {
        told["each"] = outcome.answers.iter().map(accepted).collect();
    }
    println!("{told}");
    Ok(())
}

/// What was said of a message that was accepted, and when.
fn accepted((at, answer): &(u64, Vec<u8>)) -> Value {
    let body = answer.windows(4).position(|four| four == b"\r\n\r\n");
    let body = body.and_then(|end| serde_json::from_slice::<Value>(&answer[end + 4..]).ok());
    let data = &body.unwrap_or_default()["data"];
    json!([data["id"], data["conversation_id"], at])
}

fn report(count: u64, seconds: f64) {
    println!("{}", json!({"count": count, "seconds": seconds}));
}
