//! Stores the updates of providers. All updates that are waiting share one transaction, and so one wait for the disk.
//!
//! `hooks` checks and parses updates. `batch` writes them.
//!
//! Invariant: when [`Ingest::deliver`] returns `Ok`, each message is durably stored, once, and was counted in the same
//! transaction.

mod arrival;
mod batch;
mod business;
mod contacts;
mod conversations;
mod incoming;
mod message_changes;
mod messages;
mod own;
mod people;
mod pieces;
mod quarantine;
mod queue;

pub use arrival::{Arrival, Outcome, Source};
pub(super) use batch::{Stored, contention, store_in};
pub(super) use message_changes::announce;
pub(super) use pieces::PIECE;

use super::{Context, on_blocking_thread};
use crate::error::Error;
use queue::{Batch, Queue};
use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot},
    task::{JoinHandle, JoinSet},
};

/// The maximum number of updates in one transaction. With more, the wait for the disk is only a small part of the cost.
const BATCH: usize = 256;

/// The maximum weight of a batch that a thread of the runtime stores. A heavier one would block the thread for too long.
const LIGHT: usize = 50;

/// The queue of updates that wait for the store. Cheap to clone.
#[derive(Clone)]
pub struct Ingest {
    sender: mpsc::UnboundedSender<Waiting>,
    /// The free places of the queue, which bound it.
    room: Arc<Semaphore>,
}

struct Waiting {
    arrivals: Vec<Arrival>,
    answer: oneshot::Sender<Result<Outcome, Error>>,
    /// Its place in the queue.
    _place: OwnedSemaphorePermit,
}

impl Ingest {
    /// Starts a queue of at most `room` updates. The task ends when every handle is dropped and the queue is empty.
    pub fn start(context: Context, room: usize) -> (Self, JoinHandle<()>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let room = Arc::new(Semaphore::new(room));
        (
            Ingest { sender, room },
            tokio::spawn(work(context, receiver)),
        )
    }

    /// Stores an update, and returns when it is durable. If the queue is full, returns [`Error::Unavailable`] at once.
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
        self.sender.send(waiting).map_err(|_| stopping())?;
        answered.await.map_err(|_| stopping())?
    }
}

/// Stores waiting updates whenever a writer is free.
async fn work(context: Context, mut receiver: mpsc::UnboundedReceiver<Waiting>) {
    let mut queue = Queue::new();
    let mut writers = JoinSet::new();
    // Kept outside the tasks, so that the inboxes of a task that panics are released.
    let mut busy = HashMap::new();
    // Batches that are stored in pieces, one batch after the other. They do not count as writers, since others can write
    // between two pieces.
    let mut long = VecDeque::new();
    let mut storing_long = None;
    let mut open = true;
    while open || !writers.is_empty() {
        tokio::select! {
            received = receiver.recv(), if open => match received {
                Some(waiting) => push(&mut queue, waiting),
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
                storing_long = storing_long.filter(|long| *long != task);
                queue.release(busy.remove(&task).unwrap_or_default());
            }
        }
        while let Ok(waiting) = receiver.try_recv() {
            push(&mut queue, waiting);
        }
        let mut begin = |writers: &mut JoinSet<()>, batch: Batch<Waiting>| {
            let writer = writers.spawn(store(context.clone(), batch.taken, batch.weight));
            busy.insert(writer.id(), batch.inboxes);
            writer.id()
        };
        while writers.len() < context.db.writers() + usize::from(storing_long.is_some())
            && let Some(batch) = queue.take(BATCH, PIECE)
        {
            if batch.weight > PIECE {
                long.push_back(batch);
            } else {
                begin(&mut writers, batch);
            }
        }
        if storing_long.is_none()
            && let Some(batch) = long.pop_front()
        {
            storing_long = Some(begin(&mut writers, batch));
        }
    }
}

/// Adds an update to the queue. If it is for several inboxes, it waits in the queue of the first one.
fn push(queue: &mut Queue<Waiting>, waiting: Waiting) {
    let inbox = waiting.arrivals.first().map(|one| one.inbox.clone());
    let weight = waiting.arrivals.iter().map(Arrival::weight).sum();
    queue.push(inbox, weight, waiting);
}

/// Stores a batch of this weight, and answers all who wait for it.
async fn store(context: Context, batch: Vec<Waiting>, weight: usize) {
    let stored = answer(context, batch, weight);
    if weight <= LIGHT {
        return stored.await;
    }
    let done = on_blocking_thread(async move {
        stored.await;
        Ok(())
    });
    if let Err(error) = done.await {
        tracing::error!(cause = error.cause(), "storing a batch failed");
    }
}

async fn answer(context: Context, batch: Vec<Waiting>, weight: usize) {
    metrics::histogram!("inboxd_ingest_batch_updates").record(batch.len() as f64);
    let (arrivals, answers): (Vec<_>, Vec<_>) = batch
        .into_iter()
        .map(|waiting| (waiting.arrivals, waiting.answer))
        .unzip();
    let mut answers = answers.into_iter();
    let mut answer = |outcome| {
        if let Some(answer) = answers.next() {
            // If the connection is gone, the provider will send the update again.
            answer.send(outcome).ok();
        }
    };
    if weight > PIECE {
        return pieces::store(&context, arrivals, answer).await;
    }
    let batch: Vec<_> = arrivals.iter().map(Vec::as_slice).collect();
    match batch::store(&context, &batch).await {
        Ok(outcomes) => outcomes
            .iter()
            .for_each(|outcome| answer(outcome.arrived())),
        Err(Error::Unavailable(cause)) => arrivals
            .iter()
            .for_each(|_| answer(Err(Error::Unavailable(cause.clone())))),
        Err(_) => pieces::store(&context, arrivals, answer).await,
    }
}
