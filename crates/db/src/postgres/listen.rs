//! Hearing what other processes say: a connection of its own, with LISTEN on it, that is asked all the time
//! whether it is still there.
//!
//! Invariant: when a listener says that it was alive at a moment, it has handed out every notice that was committed
//! before that moment, since it began to listen.

use super::{PATIENCE, Postgres, WAIT, explain, tls};
use crate::Error;
use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream::poll_fn};
use std::{collections::VecDeque, pin::pin, sync::Arc, time::Duration};
use tokio::{
    sync::mpsc::{UnboundedReceiver, error::TryRecvError, unbounded_channel},
    task::AbortHandle,
    time::{Instant, sleep, timeout},
};
use tokio_postgres::{AsyncMessage, Client};

/// How long after an answer the server is asked again.
const PULSE: Duration = Duration::from_millis(200);

/// What a [`Listener`] hears.
#[derive(Debug, PartialEq, Eq)]
pub enum Heard {
    /// What a process said with `Session::notify`, itself included.
    Notice(String),
    /// Everything that was committed before this moment has been heard.
    Alive(Instant),
}

/// A connection that listens.
pub struct Listener {
    client: Arc<Client>,
    /// Filled in the order of the connection's messages, before the answer to a later question is given.
    notices: UnboundedReceiver<String>,
    connection: AbortHandle,
    /// What is to be handed out next.
    ready: VecDeque<Heard>,
    /// A question under way, and when it was asked.
    asked: Option<BoxFuture<'static, Result<Instant, Error>>>,
}

impl Postgres {
    pub(crate) async fn listen(&self, channel: &str) -> Result<Listener, Error> {
        let mut config = self.config.clone();
        config.application_name(name(channel));
        let opened = timeout(WAIT, config.connect(tls()?)).await;
        let (client, mut connection) = opened
            .map_err(|_| Error::Unavailable("the PostgreSQL server does not answer".into()))?
            .map_err(explain)?;
        let (hand_over, notices) = unbounded_channel();
        let connection = tokio::spawn(async move {
            let mut messages = pin!(poll_fn(move |context| connection.poll_message(context)));
            while let Some(message) = messages.next().await {
                let heard = match message {
                    Ok(AsyncMessage::Notification(notice)) => notice.payload().to_owned(),
                    Ok(_) => continue,
                    Err(error) => {
                        tracing::debug!(%error, "a listening connection ended");
                        return;
                    }
                };
                if hand_over.send(heard).is_err() {
                    return;
                }
            }
        });
        let client = Arc::new(client);
        let listener = Listener {
            // The first question is asked at once.
            asked: Some(ask(client.clone(), Duration::ZERO).boxed()),
            client,
            notices,
            connection: connection.abort_handle(),
            ready: VecDeque::new(),
        };
        // The channel is a name of ours, never a client's.
        let listen = format!("LISTEN {channel}");
        timeout(PATIENCE, listener.client.batch_execute(&listen))
            .await
            .map_err(|_| Error::Unavailable("the PostgreSQL server does not answer".into()))?
            .map_err(explain)?;
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
            if let Some(heard) = self.ready.pop_front() {
                return Ok(heard);
            }
            let client = &self.client;
            let asked = self
                .asked
                .get_or_insert_with(|| ask(client.clone(), PULSE).boxed());
            tokio::select! {
                biased;
                notice = self.notices.recv() => {
                    return notice.map(Heard::Notice).ok_or_else(gone);
                }
                alive = asked => {
                    self.asked = None;
                    let alive = alive?;
                    loop {
                        match self.notices.try_recv() {
                            Ok(notice) => self.ready.push_back(Heard::Notice(notice)),
                            Err(TryRecvError::Empty) => break,
                            Err(TryRecvError::Disconnected) => return Err(gone()),
                        }
                    }
                    self.ready.push_back(Heard::Alive(alive));
                }
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

/// Asks the server whether it is there, after a pause. Returns when it was asked.
///
/// A backend sends the notices that it was signalled of before it says that it is ready for the next question, and
/// whoever commits signals before it is told so.
async fn ask(client: Arc<Client>, pause: Duration) -> Result<Instant, Error> {
    sleep(pause).await;
    let asked = Instant::now();
    match timeout(PATIENCE, client.batch_execute("SELECT 1")).await {
        Ok(answered) => answered.map(|()| asked).map_err(explain),
        Err(_) => Err(Error::Unavailable(
            "the PostgreSQL server does not answer".into(),
        )),
    }
}

fn gone() -> Error {
    Error::Unavailable("the listening connection is closed".into())
}
