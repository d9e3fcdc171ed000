//! Taking in what providers deliver: everything that is waiting shares one transaction and one wait for the disk.
//!
//! How an update is signed and read is not decided here, but at its hook; how it is stored is in `batch`.
//!
//! Invariant: whoever gets `Ok` from [`Ingest::deliver`] can lose power the same instant: each message is
//! stored, once, and counted in the same transaction.

mod arrival;
mod batch;
mod business;
mod changes;
mod contacts;
mod conversations;
mod incoming;
mod line;
mod messages;
mod people;
mod quarantine;
mod refused;

pub use arrival::{Arrival, Outcome, Source};
pub(super) use batch::{faster, store_in};

use super::Context;
use crate::error::Error;
use line::{Batch, Line};
use std::{collections::HashMap, sync::Arc};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot},
    task::{JoinHandle, JoinSet},
};

/// Updates in one transaction. Beyond this the wait for the disk is a small part of the cost already.
const BATCH: usize = 256;

/// The line in which updates wait for the store. Cheap to clone.
#[derive(Clone)]
pub struct Ingest {
    line: mpsc::UnboundedSender<Waiting>,
    /// Places in the line, which is bounded by them.
    room: Arc<Semaphore>,
}

struct Waiting {
    arrivals: Vec<Arrival>,
    answer: oneshot::Sender<Result<Outcome, Error>>,
    /// Held until it is its turn.
    _place: OwnedSemaphorePermit,
}

impl Ingest {
    /// Opens the line, with room for `room` updates. The task ends once every handle is gone and the line is empty.
    pub fn start(context: Context, room: usize) -> (Self, JoinHandle<()>) {
        let (line, coming) = mpsc::unbounded_channel();
        let room = Arc::new(Semaphore::new(room));
        (Ingest { line, room }, tokio::spawn(work(context, coming)))
    }

    /// Stores an update, and returns when it is durable. A full line is [`Error::Unavailable`] at once.
    pub async fn deliver(&self, arrivals: Vec<Arrival>) -> Result<Outcome, Error> {
        let stopping = || Error::Unavailable("the server is stopping".into());
        let (answer, answered) = oneshot::channel();
        let place = self.room.clone().try_acquire_owned();
        let place = place.map_err(|_| Error::Unavailable("too many updates are waiting".into()))?;
        let waiting = Waiting {
            arrivals,
            answer,
            _place: place,
        };
        self.line.send(waiting).map_err(|_| stopping())?;
        answered.await.map_err(|_| stopping())?
    }
}

/// Stores whatever is there as soon as a writer is free, and waits only while nothing is.
async fn work(context: Context, mut coming: mpsc::UnboundedReceiver<Waiting>) {
    let mut line = Line::new();
    let mut writers = JoinSet::new();
    // Apart from the tasks: one that panics must not keep its inboxes.
    let mut away = HashMap::new();
    let mut open = true;
    while open || !writers.is_empty() {
        tokio::select! {
            came = coming.recv(), if open => match came {
                Some(waiting) => join(&mut line, waiting),
                None => open = false,
            },
            Some(ended) = writers.join_next_with_id() => {
                let task = match ended {
                    Ok((task, ())) => task,
                    Err(error) => {
                        tracing::error!(%error, "storing a batch failed");
                        error.id()
                    }
                };
                line.come_back(away.remove(&task).unwrap_or_default());
            }
        }
        while let Ok(waiting) = coming.try_recv() {
            join(&mut line, waiting);
        }
        while writers.len() < context.db.writers()
            && let Some(Batch { taken, inboxes }) = line.leave(BATCH)
        {
            let writer = writers.spawn(answer(context.clone(), taken));
            away.insert(writer.id(), inboxes);
        }
    }
}

/// What is for several inboxes waits with the first of them.
fn join(line: &mut Line<Waiting>, waiting: Waiting) {
    let inbox = waiting.arrivals.first().map(|one| one.inbox.clone());
    line.join(inbox, waiting);
}

/// Stores a batch, and tells each of those who wait for it.
async fn answer(context: Context, batch: Vec<Waiting>) {
    metrics::histogram!("inboxd_ingest_batch_updates").record(batch.len() as f64);
    let (arrivals, answers): (Vec<_>, Vec<_>) = batch
        .into_iter()
        .map(|waiting| (waiting.arrivals, waiting.answer))
        .unzip();
    let mut answers = answers.into_iter();
    let mut answer = |outcome| {
        if let Some(answer) = answers.next() {
            // A connection that is gone has nobody to tell; its provider will deliver again.
            answer.send(outcome).ok();
        }
    };
    let at_once: Vec<_> = arrivals.iter().map(Vec::as_slice).collect();
    match batch::store(&context, &at_once).await {
        Ok(outcomes) => outcomes
            .iter()
            .for_each(|outcome| answer(outcome.arrived())),
        Err(Error::Unavailable(cause)) => arrivals
            .iter()
            .for_each(|_| answer(Err(Error::Unavailable(cause.clone())))),
        Err(_) => refused::store(&context, arrivals, answer).await,
    }
}
