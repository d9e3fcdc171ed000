//! Receives the notifications of other processes, over a connection of its own that runs LISTEN.
//!
//! The connection also sends heartbeats to itself and waits for them. PostgreSQL delivers notifications in the order of
//! their commits. So a heartbeat that arrives proves that every notification that was committed before it has arrived,
//! even that of a commit which others could see but which was not acknowledged yet. The answer to a plain query would
//! not prove that. If a pooler gives each transaction another backend, no notification arrives at all, and neither does
//! the heartbeat.
//!
//! Invariant: when a listener reports that it was alive at a moment, it has returned every notification since its start
//! whose commit could be seen before that moment.

use super::{Postgres, WAIT, explain, no_answer, tls};
use crate::Error;
use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream::poll_fn};
use std::{pin::pin, sync::Arc, time::Duration};
use tokio::{
    sync::mpsc::{self, Receiver},
    task::AbortHandle,
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_postgres::{AsyncMessage, Client, Config, Notification};

/// The pause between the arrival of a heartbeat and the next one.
const HEARTBEAT_PAUSE: Duration = Duration::from_millis(200);
/// How long a heartbeat may take before the connection counts as dead.
const HEARTBEAT_LIMIT: Duration = Duration::from_secs(3);
/// How many notifications may wait to be read. A listener that falls further behind is closed, and its owner has to
/// read the changes from the store.
const BACKLOG: usize = 4096;

/// What a [`Listener`] receives.
#[derive(Debug, PartialEq, Eq)]
pub enum Received {
    /// The text that a process, possibly this one, sent with `Session::notify`.
    Notice(String),
    /// Every notification whose commit could be seen before this moment has been returned.
    Alive(Instant),
}

/// A connection that receives notifications.
pub struct Listener {
    client: Arc<Client>,
    /// Notifications in the order of their commits.
    notices: Receiver<Notification>,
    connection: AbortHandle,
    /// The channel of this listener's heartbeats.
    own_channel: String,
    /// The heartbeat that is due or on its way: its number, and the time at which it is sent.
    heartbeat: (u64, Instant),
    /// The sending of that heartbeat, until it is done.
    sending: Option<BoxFuture<'static, Result<(), Error>>>,
}

impl Postgres {
    pub(crate) async fn listen(&self, channel: &str) -> Result<Listener, Error> {
        let mut config = Config::clone(&self.config);
        config.application_name(name(channel));
        let opened = timeout(WAIT, config.connect(tls()?)).await;
        let (client, mut connection) = opened.map_err(|_| no_answer())?.map_err(explain)?;
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
                    tracing::debug!(%error, "a listening connection is closed, because too many notifications are waiting");
                    return;
                }
            }
        });
        let mut listener = Listener {
            client: Arc::new(client),
            notices,
            connection: connection.abort_handle(),
            own_channel: String::new(),
            heartbeat: (0, Instant::now()),
            sending: None,
        };
        // Both channel names come from this program, never from a client, so that they need no quoting.
        let backend = in_time(listener.client.query_one("SELECT pg_backend_pid()", &[])).await?;
        listener.own_channel = format!("{channel}_{}", backend.get::<_, i32>(0));
        let listen = format!("LISTEN {channel}; LISTEN {}", listener.own_channel);
        in_time(listener.client.batch_execute(&listen)).await?;
        listener.schedule_heartbeat(Duration::ZERO);
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

/// The connection's application name at the server, by which listeners are counted.
fn name(channel: &str) -> String {
    format!("inboxd listens to {channel}")
}

impl Listener {
    /// Waits for the next notification or heartbeat. After an error the listener receives nothing more.
    pub async fn next(&mut self) -> Result<Received, Error> {
        loop {
            let lost = self.heartbeat.1 + HEARTBEAT_LIMIT;
            tokio::select! {
                biased;
                notice = self.notices.recv() => {
                    let notice = notice.ok_or_else(gone)?;
                    if notice.channel() != self.own_channel {
                        return Ok(Received::Notice(notice.payload().to_owned()));
                    }
                    let (number, since) = self.heartbeat;
                    if notice.payload() == number.to_string() {
                        self.schedule_heartbeat(HEARTBEAT_PAUSE);
                        return Ok(Received::Alive(since));
                    }
                }
                sent = sent(&mut self.sending) => {
                    self.sending = None;
                    sent?;
                }
                () = sleep_until(lost) => return Err(Error::Unavailable(
                    "the listening connection is dead, or goes through a pooler that does not support LISTEN".into(),
                )),
            }
        }
    }

    /// Sends a text on a channel, over this connection.
    pub async fn notify(&mut self, channel: &str, text: &str) -> Result<(), Error> {
        const NOTIFY: &str = "SELECT pg_notify($1, $2)";
        in_time(self.client.query(NOTIFY, &[&channel, &text])).await?;
        Ok(())
    }

    /// Schedules the next heartbeat, after a pause.
    fn schedule_heartbeat(&mut self, pause: Duration) {
        let (number, _) = self.heartbeat;
        let at = Instant::now() + pause;
        self.heartbeat = (number + 1, at);
        let notify = format!("NOTIFY {}, '{}'", self.own_channel, number + 1);
        let client = self.client.clone();
        let sending = async move {
            sleep(at.saturating_duration_since(Instant::now())).await;
            in_time(client.batch_execute(&notify)).await
        };
        self.sending = Some(sending.boxed());
    }
}

/// Waits until the heartbeat is sent. If none is being sent, it waits for ever.
async fn sent(sending: &mut Option<BoxFuture<'static, Result<(), Error>>>) -> Result<(), Error> {
    match sending {
        Some(sending) => sending.await,
        None => std::future::pending().await,
    }
}

/// Waits for an answer up to [`HEARTBEAT_LIMIT`].
async fn in_time<T>(
    asked: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, Error> {
    let answered = timeout(HEARTBEAT_LIMIT, asked).await;
    answered.map_err(|_| no_answer())?.map_err(explain)
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

fn gone() -> Error {
    Error::Unavailable("the listening connection is closed".into())
}
