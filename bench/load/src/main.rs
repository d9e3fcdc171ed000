//! What the benchmark of ingest measures with: `deliver` and `get` load a server, `bare` writes the rows without one.
//!
//! Each command prints one line of JSON: how many, in how many seconds, and how long an answer took (milliseconds).
#![allow(clippy::print_stdout, reason = "its results are its output")]

mod bare;
mod client;
mod workload;

use clap::{Args, Parser, Subcommand};
use client::Pace;
use serde_json::json;
use std::{error::Error, rc::Rc};
use workload::Message;

/// Loads an inboxd, or writes the rows that it would write.
#[derive(Parser)]
enum Command {
    /// Delivers WhatsApp messages to a server
    Deliver(Deliver),
    /// Asks a server for one path, again and again
    Get(Get),
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
            send(&deliver.target, range.map(message).collect()).await
        }
        Command::Get(get) => {
            let text = format!(
                "GET {} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\r\n",
                get.path, get.key
            );
            let requests = vec![text.into_bytes(); get.target.count as usize];
            send(&get.target, requests).await
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

async fn send(target: &Target, requests: Vec<Vec<u8>>) -> Result<(), Box<dyn Error>> {
    let count = requests.len();
    let pace = target.rate.map_or(Pace::Busy, Pace::Rate);
    let outcome = client::send(target.port, Rc::new(requests), target.connections, pace).await?;
    let share = |part: f64| {
        let at = ((count as f64 * part) as usize).min(count - 1);
        outcome.waits[at].as_secs_f64() * 1000.0
    };
    println!(
        "{}",
        json!({
            "count": count, "seconds": outcome.seconds, "wrong": outcome.wrong,
            "p50": share(0.5), "p99": share(0.99), "max": share(1.0),
        })
    );
    Ok(())
}

fn report(count: u64, seconds: f64) {
    println!("{}", json!({"count": count, "seconds": seconds}));
}
