//! How much memory the bodies of requests may take, in all and from one network.
//!
//! Half of it is for bytes that have arrived, half for what is parsed from them. They are apart so that bodies that are
//! complete never take the room that parsing them needs. Of each half one network ([`super::client::network`]) gets an
//! eighth. A single body may take more than that if its network has nothing else there, so that the largest that is allowed
//! still gets through.
//!
//! When arriving bytes find no room, the slowest body is given up to make some. Only a body that has had a moment to arrive
//! is judged, so where all are new there is nothing to give up, and the newcomer is sent away.
//!
//! Invariant: what is reserved never exceeds either half, and is free again when its request is answered or gone.

use super::envelope::Refusal;
use std::{
    collections::HashMap,
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::Notify,
    time::{Instant, timeout_at},
};

/// The part of each half that one network may take.
const SHARE: usize = 8;

/// How long things may take here.
#[derive(Debug, Clone, Copy)]
struct Times {
    /// How old a body is before it is judged by how fast it arrives.
    grace: Duration,
    /// How long a body waits for the room of one that was given up.
    making_room: Duration,
    /// How long a complete body waits for room to be parsed in.
    turn: Duration,
}

const TIMES: Times = Times {
    grace: Duration::from_secs(1),
    making_room: Duration::from_secs(1),
    turn: Duration::from_secs(5),
};

/// The memory for bodies of one server. Cheap to clone.
#[derive(Clone)]
pub struct BodyMemory(Arc<Inner>);

struct Inner {
    times: Times,
    state: Mutex<State>,
    /// Told whenever something was freed.
    freed: Notify,
}

struct State {
    arrived: Half,
    parsed: Half,
    /// Bodies that have not arrived completely.
    arriving: HashMap<u64, Arriving>,
    last: u64,
}

/// A body that has not arrived completely.
struct Arriving {
    network: u128,
    since: Instant,
    /// Whether its room is needed for others.
    given_up: bool,
    shared: Arc<Shared>,
}

/// What a body on its way shares with the memory.
#[derive(Default)]
struct Shared {
    /// Bytes so far.
    received: AtomicUsize,
    /// Told when its room is needed for others.
    given_up: Notify,
}

/// One half of the memory.
struct Half {
    size: usize,
    taken: usize,
    networks: HashMap<u128, usize>,
}

/// Why something does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Full {
    /// All of it is taken.
    All,
    /// The network has its share.
    Share,
}

impl Half {
    fn new(size: usize) -> Self {
        Half {
            size,
            taken: 0,
            networks: HashMap::new(),
        }
    }

    fn take(&mut self, network: u128, bytes: usize, alone: bool) -> Result<(), Full> {
        if !alone && self.has(network).saturating_add(bytes) > self.size / SHARE {
            return Err(Full::Share);
        }
        if self.taken.saturating_add(bytes) > self.size {
            return Err(Full::All);
        }
        self.taken += bytes;
        *self.networks.entry(network).or_default() += bytes;
        Ok(())
    }

    fn free(&mut self, network: u128, bytes: usize) {
        self.taken -= bytes;
        if let Some(has) = self.networks.get_mut(&network) {
            *has -= bytes;
            if *has == 0 {
                self.networks.remove(&network);
            }
        }
    }

    fn has(&self, network: u128) -> usize {
        self.networks.get(&network).copied().unwrap_or(0)
    }
}

impl State {
    /// Gives up the slowest of the bodies whose end makes room for the body with this id. Returns `false`: there is no room
    /// yet.
    fn make_room(
        &mut self,
        id: u64,
        network: u128,
        full: Full,
        grace: Duration,
    ) -> Result<bool, Refusal> {
        let concerned = |body: &Arriving| full == Full::All || body.network == network;
        if self
            .arriving
            .values()
            .any(|body| body.given_up && concerned(body))
        {
            // It leaves in a moment.
            return Ok(false);
        }
        let now = Instant::now();
        let judged = self.arriving.iter_mut().filter_map(|(id, body)| {
            let age = now.saturating_duration_since(body.since);
            let bytes = body.shared.received.load(Ordering::Relaxed);
            let counts = concerned(body) && age >= grace && bytes > 0;
            counts.then(|| (bytes as f64 / age.as_secs_f64(), *id, body))
        });
        match judged.min_by(|(one, ..), (other, ..)| one.total_cmp(other)) {
            None => Err(Refusal::TooManyBodies),
            Some((_, slowest, _)) if slowest == id => Err(Refusal::BodyTooSlow),
            Some((_, _, body)) => {
                body.given_up = true;
                body.shared.given_up.notify_one();
                Ok(false)
            }
        }
    }
}

impl BodyMemory {
    /// With so many bytes in all.
    pub fn new(bytes: usize) -> Self {
        Self::with(bytes, TIMES)
    }

    fn with(bytes: usize, times: Times) -> Self {
        BodyMemory(Arc::new(Inner {
            times,
            state: Mutex::new(State {
                arrived: Half::new(bytes / 2),
                parsed: Half::new(bytes / 2),
                arriving: HashMap::new(),
                last: 0,
            }),
            freed: Notify::new(),
        }))
    }

    /// A body begins to arrive from this network. Nothing is reserved for it yet.
    pub fn begin(&self, network: u128) -> Reservation {
        let shared = Arc::<Shared>::default();
        let mut state = self.state();
        state.last += 1;
        let id = state.last;
        let body = Arriving {
            network,
            since: Instant::now(),
            given_up: false,
            shared: shared.clone(),
        };
        state.arriving.insert(id, body);
        drop(state);
        Reservation {
            memory: self.clone(),
            network,
            id,
            shared,
            arrived: 0,
            parsed: 0,
        }
    }

    /// Bytes that are reserved.
    pub fn taken(&self) -> usize {
        let state = self.state();
        state.arrived.taken + state.parsed.taken
    }

    /// Tries until it is done, again whenever something was freed.
    async fn when_free(
        &self,
        patience: Duration,
        mut attempt: impl FnMut(&mut State) -> Result<bool, Refusal>,
    ) -> Result<(), Refusal> {
        let deadline = Instant::now() + patience;
        loop {
            let mut freed = pin!(self.0.freed.notified());
            // What is freed from here on is not missed.
            freed.as_mut().enable();
            if attempt(&mut self.state())? {
                return Ok(());
            }
            if timeout_at(deadline, freed).await.is_err() {
                return Err(Refusal::TooManyBodies);
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change of it is complete before anything can panic.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The memory of one body, and of what is parsed from it. It is free again when this is dropped.
pub struct Reservation {
    memory: BodyMemory,
    network: u128,
    id: u64,
    shared: Arc<Shared>,
    arrived: usize,
    parsed: usize,
}

impl Reservation {
    /// Ends when the body's room is needed for others.
    pub fn given_up(&self) -> impl Future<Output = ()> + use<> {
        let shared = self.shared.clone();
        async move { shared.given_up.notified().await }
    }

    /// Notes that so many bytes of the body have come.
    pub fn received(&self, bytes: usize) {
        self.shared.received.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Reserves room for so many more bytes of the body. If there is none, the slowest body is given up for it.
    pub async fn reserve(&mut self, bytes: usize) -> Result<(), Refusal> {
        let memory = self.memory.clone();
        let times = memory.0.times;
        let took = memory.when_free(times.making_room, |state| {
            let alone = state.arrived.has(self.network) == self.arrived;
            match state.arrived.take(self.network, bytes, alone) {
                Ok(()) => Ok(true),
                Err(full) => state.make_room(self.id, self.network, full, times.grace),
            }
        });
        took.await?;
        self.arrived += bytes;
        Ok(())
    }

    /// The body has arrived completely: it is not given up any more.
    pub fn complete(&mut self) {
        self.memory.state().arriving.remove(&self.id);
    }

    /// Waits for room for what is parsed from the body, of so many bytes. More than there can be is as much as there can be.
    pub async fn reserve_for_parsing(&mut self, bytes: usize) -> Result<(), Refusal> {
        let memory = self.memory.clone();
        let bytes = bytes.min(memory.state().parsed.size);
        let took = memory.when_free(memory.0.times.turn, |state| {
            let alone = state.parsed.has(self.network) == self.parsed;
            Ok(state.parsed.take(self.network, bytes, alone).is_ok())
        });
        took.await?;
        self.parsed += bytes;
        Ok(())
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let mut state = self.memory.state();
        state.arriving.remove(&self.id);
        state.arrived.free(self.network, self.arrived);
        state.parsed.free(self.network, self.parsed);
        drop(state);
        self.memory.0.freed.notify_waiters();
    }
}

/// The reservations of one request: an extension of each that has a body, held until it is answered. Clones share them.
#[derive(Clone, Default)]
pub struct Reservations(Arc<Mutex<Vec<Reservation>>>);

impl Reservations {
    /// Holds one more.
    pub fn hold(&self, reservation: Reservation) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(reservation);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: usize = 1024;

    /// Half of 64 KiB, of which a network's share is 4 KiB. A body is judged at once, or never.
    fn memory(grace: Duration) -> BodyMemory {
        let times = Times { grace, ..TIMES };
        BodyMemory::with(64 * KIB, times)
    }

    async fn body(
        memory: &BodyMemory,
        network: u128,
        bytes: usize,
    ) -> Result<Reservation, Refusal> {
        let mut body = memory.begin(network);
        body.reserve(bytes).await?;
        body.received(bytes);
        Ok(body)
    }

    #[tokio::test]
    async fn a_network_gets_its_share_or_one_body() {
        let memory = memory(Duration::MAX);
        let one = body(&memory, 1, 3 * KIB).await.expect("it fits");
        let more = body(&memory, 1, 2 * KIB).await;
        assert_eq!(more.err(), Some(Refusal::TooManyBodies));
        let other = body(&memory, 2, 20 * KIB).await.expect("one always fits");
        let all = body(&memory, 3, 20 * KIB).await;
        assert_eq!(all.err(), Some(Refusal::TooManyBodies), "all is taken");
        drop((one, other));
        assert_eq!(memory.taken(), 0);
        body(&memory, 1, 4 * KIB).await.expect("it fits again");
    }

    #[tokio::test]
    async fn the_slowest_makes_room() {
        let memory = memory(Duration::ZERO);
        let slow = body(&memory, 1, 10).await.expect("it fits");
        let fast = body(&memory, 1, 3 * KIB).await.expect("it fits");
        let told = slow.given_up();
        let leave = async move {
            told.await;
            drop(slow);
        };
        let (newcomer, ()) = tokio::join!(body(&memory, 1, KIB), leave);
        let newcomer = newcomer.expect("there is room now");
        assert_eq!(memory.taken(), 4 * KIB);
        drop((fast, newcomer));
        assert_eq!(memory.taken(), 0);
    }

    #[tokio::test]
    async fn a_body_that_needs_more_and_is_the_slowest_gives_way_itself() {
        let memory = memory(Duration::ZERO);
        let mut slow = body(&memory, 1, 10).await.expect("it fits");
        let fast = body(&memory, 1, 4 * KIB - 10).await.expect("it fits");
        assert_eq!(slow.reserve(KIB).await, Err(Refusal::BodyTooSlow));
        drop(fast);
        slow.reserve(KIB).await.expect("it fits");
    }

    #[tokio::test]
    async fn a_complete_body_is_not_given_up() {
        let memory = memory(Duration::ZERO);
        let mut complete = body(&memory, 1, 3 * KIB).await.expect("it fits");
        complete.complete();
        let newcomer = body(&memory, 1, 2 * KIB).await;
        assert_eq!(newcomer.err(), Some(Refusal::TooManyBodies));
    }

    #[tokio::test]
    async fn parsing_waits_for_its_turn_and_not_for_bodies() {
        let memory = memory(Duration::ZERO);
        let mut one = body(&memory, 1, 20 * KIB).await.expect("it fits");
        let mut two = body(&memory, 2, 12 * KIB).await.expect("it fits");
        let endless = usize::MAX;
        one.reserve_for_parsing(endless).await.expect("all of it");
        assert_eq!(memory.taken(), 64 * KIB);
        let leave = async {
            tokio::task::yield_now().await;
            drop(one);
        };
        let (parsing, ()) = tokio::join!(two.reserve_for_parsing(KIB), leave);
        parsing.expect("its turn has come");
    }
}
