//! Hearing what other processes say: a connection of its own, with LISTEN on it, that says something itself all the
//! time and waits to hear that, too.
//!
//! Notices are heard in the order of their commits. So an echo proves that all that was committed before it has been
//! heard, down to what could be seen by then but was not yet acknowledged; an answer to a mere question would not. Nor
//! is there an echo where a pooler gives each transaction another backend, and nothing at all would be heard.
//!
//! Invariant: when a listener says that it was alive at a moment, it has handed out every notice whose commit could be
//! seen before that moment, since it began to listen.

use super::{Postgres, WAIT, explain, tls};
use crate::Error;
use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream::poll_fn};
use std::{pin::pin, sync::Arc, time::Duration};
use tokio::{
    sync::mpsc::{self, Receiver},
    task::AbortHandle,
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_postgres::{AsyncMessage, Client, Config, Notification};

/// How long after an echo the next word is said.
const PULSE: Duration = Duration::from_millis(200);
/// How long an echo may take before the connection counts as dead.
const PATIENCE: Duration = Duration::from_secs(3);
/// Notices that may wait to be handed out. Who falls further behind is cut off, and finds the rest in the store.
const BACKLOG: usize = 4096;

/// What a [`Listener`] hears.
#[derive(Debug, PartialEq, Eq)]
pub enum Heard {
    /// What a process said with `Session::notify`, itself included.
    Notice(String),
    /// Everything whose commit could be seen before this moment has been heard.
    Alive(Instant),
}

/// A connection that listens.
pub struct Listener {
    client: Arc<Client>,
    /// In the order of their commits.
    notices: Receiver<Notification>,
    connection: AbortHandle,
    /// Where it alone speaks to itself.
    own: String,
    /// What it says next, or has said and not heard yet: a number, and when that was begun.
    word: (u64, Instant),
    /// The saying of it, while that is under way.
    saying: Option<BoxFuture<'static, Result<(), Error>>>,
}

impl Postgres {
    pub(crate) async fn listen(&self, channel: &str) -> Result<Listener, Error> {
        let mut config = Config::clone(&self.config);
        config.application_name(name(channel));
        let opened = timeout(WAIT, config.connect(tls()?)).await;
        let (client, mut connection) = opened
            .map_err(|_| Error::Unavailable("the PostgreSQL server does not answer".into()))?
            .map_err(explain)?;
        let (hand_over, notices) = mpsc::channel(BACKLOG);
        let connection = tokio::spawn(async move {
            let mut messages = pin!(poll_fn(move |context| connection.poll_message(context)));
            while let Some(message) = messages.next().await {
                let heard = match message {
                    Ok(AsyncMessage::Notification(notice)) => notice,
                    Ok(_) => continue,
                    Err(error) => {
                        tracing::debug!(%error, "a listening connection ended");
                        return;
                    }
                };
                if let Err(error) = hand_over.try_send(heard) {
                    tracing::debug!(%error, "a listening connection is left");
                    return;
                }
            }
        });
        let mut listener = Listener {
            client: Arc::new(client),
            notices,
            connection: connection.abort_handle(),
            own: String::new(),
            word: (0, Instant::now()),
            saying: None,
        };
        // Both channels have names of ours, never a client's.
        let backend = in_time(listener.client.query_one("SELECT pg_backend_pid()", &[])).await?;
        listener.own = format!("{channel}_{}", backend.get::<_, i32>(0));
        let listen = format!("LISTEN {channel}; LISTEN {}", listener.own);
        in_time(listener.client.batch_execute(&listen)).await?;
        listener.speak(Duration::ZERO);
        Ok(listener)
    }

    pub(crate) async fn listeners(&self, channel: &str) -> Result<usize, Error> {
        const COUNT: &str = "SELECT COUNT(*) FROM pg_stat_activity
            WHERE datname = current_database() AND application_name = $1";
        let name = name(channel);
        let session = self.read().await?;
        let count = session
            .query(COUNT, &[(&name).into()], &mut |row| row.get::<i64>(0))
            .await?;
        Ok(count
            .first()
            .map_or(0, |count| count.unsigned_abs() as usize))
    }
}

/// What the connection is called at the server, so that listeners can be counted.
fn name(channel: &str) -> String {
    format!("inboxd listens to {channel}")
}

impl Listener {
    /// The next thing that is heard. An error is the end: what is said from then on is not heard.
    pub async fn next(&mut self) -> Result<Heard, Error> {
        loop {
            let lost = self.word.1 + PATIENCE;
            tokio::select! {
                biased;
                notice = self.notices.recv() => {
                    let notice = notice.ok_or_else(gone)?;
                    if notice.channel() != self.own {
                        return Ok(Heard::Notice(notice.payload().to_owned()));
                    }
                    let (number, since) = self.word;
                    if notice.payload() == number.to_string() {
                        self.speak(PULSE);
                        return Ok(Heard::Alive(since));
                    }
                }
                said = said(&mut self.saying) => {
                    self.saying = None;
                    said?;
                }
                () = sleep_until(lost) => return Err(Error::Unavailable(
                    "the listening connection is dead, or leads through a pooler that does not carry LISTEN".into(),
                )),
            }
        }
    }

    /// Says something on another channel, over this connection.
    pub async fn say(&mut self, channel: &str, word: &str) -> Result<(), Error> {
        const NOTIFY: &str = "SELECT pg_notify($1, $2)";
        in_time(self.client.query(NOTIFY, &[&channel, &word])).await?;
        Ok(())
    }

    /// Says the next word to itself, after a pause.
    fn speak(&mut self, pause: Duration) {
        let (number, _) = self.word;
        let at = Instant::now() + pause;
        self.word = (number + 1, at);
        let notify = format!("NOTIFY {}, '{}'", self.own, number + 1);
        let client = self.client.clone();
        let saying = async move {
            sleep(at.saturating_duration_since(Instant::now())).await;
            in_time(client.batch_execute(&notify)).await
        };
        self.saying = Some(saying.boxed());
    }
}

/// Waits until something was said, or for ever if nothing is being said.
async fn said(saying: &mut Option<BoxFuture<'static, Result<(), Error>>>) -> Result<(), Error> {
    match saying {
        Some(saying) => saying.await,
        None => std::future::pending().await,
    }
}

/// The answer, if it comes in time.
async fn in_time<T>(
    asked: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, Error> {
    match timeout(PATIENCE, asked).await {
        Ok(answered) => answered.map_err(explain),
        Err(_) => Err(Error::Unavailable(
            "the PostgreSQL server does not answer".into(),
        )),
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

fn gone() -> Error {
    Error::Unavailable("the listening connection is closed".into())
}
