//! How much memory the bodies of requests and of long answers may take, in all and for one network.
//!
//! One half is for bytes that have arrived, the other for the values that are parsed from them. They are separate so that
//! complete bodies never take the memory that is needed to parse them. Answers have a part of their own, as large as a half.
//! One network ([`super::client::network`]) gets an eighth of each part. A single body may take more if its network has no
//! other, so that the largest allowed body still gets through.
//!
//! If there is no room for arriving bytes, the slowest body is evicted: its request is refused, and its memory is freed. A
//! body is judged only when it is older than a second. If all bodies are younger, none is evicted, and the new one is
//! refused.
//!
//! Invariant: no part is exceeded. Memory is free again when its request is answered or gone, or its answer was received.

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

/// One network may take this fraction of each half: an eighth.
const SHARE: usize = 8;

/// The time limits.
#[derive(Debug, Clone, Copy)]
struct Times {
    /// The age from which a body can be evicted.
    min_age: Duration,
    /// How long a body waits for the memory of an evicted one.
    eviction: Duration,
    /// How long a complete body waits for memory to be parsed into.
    parsing: Duration,
}

const TIMES: Times = Times {
    min_age: Duration::from_secs(1),
    eviction: Duration::from_secs(1),
    parsing: Duration::from_secs(5),
};

/// The memory for bodies of one server. Cheap to clone.
#[derive(Clone)]
pub struct BodyMemory(Arc<Inner>);

struct Inner {
    times: Times,
    state: Mutex<State>,
    /// Notified whenever memory was freed.
    freed: Notify,
}

struct State {
    arrived: Half,
    parsed: Half,
    answered: Half,
    /// Bodies that have not arrived completely, by their ids.
    arriving: HashMap<u64, Arriving>,
    last_id: u64,
}

/// A body that has not arrived completely.
struct Arriving {
    network: u128,
    since: Instant,
    evicted: bool,
    shared: Arc<Shared>,
}

/// The state that an arriving body shares with its [`Reservation`].
#[derive(Default)]
struct Shared {
    /// How many bytes have arrived.
    received: AtomicUsize,
    /// Notified when the body is evicted.
    eviction: Notify,
}

/// A part of the memory.
struct Half {
    size: usize,
    taken: usize,
    networks: HashMap<u128, usize>,
}

/// Why there is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Full {
    /// The whole half is taken.
    All,
    /// The network has used up its share.
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
    /// Evicts the slowest body, to free memory for the body with this id. An error if there is none to evict, or if the body
    /// itself is the slowest.
    fn evict_slowest(
        &mut self,
        id: u64,
        network: u128,
        full: Full,
        min_age: Duration,
    ) -> Result<(), Refusal> {
        let helps = |body: &Arriving| full == Full::All || body.network == network;
        let mut bodies = self.arriving.values();
        if bodies.any(|body| body.evicted && helps(body)) {
            // Its memory will be free in a moment.
            return Ok(());
        }
        let now = Instant::now();
        let judged = self.arriving.iter_mut().filter_map(|(id, body)| {
            let age = now.saturating_duration_since(body.since);
            let bytes = body.shared.received.load(Ordering::Relaxed);
            let can_be_evicted = helps(body) && age >= min_age && bytes > 0;
            can_be_evicted.then(|| (bytes as f64 / age.as_secs_f64(), *id, body))
        });
        match judged.min_by(|(one, ..), (other, ..)| one.total_cmp(other)) {
            None => Err(Refusal::TooManyBodies),
            Some((_, slowest, _)) if slowest == id => Err(Refusal::BodyTooSlow),
            Some((_, _, body)) => {
                body.evicted = true;
                body.shared.eviction.notify_one();
                Ok(())
            }
        }
    }
}

impl BodyMemory {
    /// Creates a memory of this many bytes.
    pub fn new(bytes: usize) -> Self {
        Self::with(bytes, TIMES)
    }

    fn with(bytes: usize, times: Times) -> Self {
        BodyMemory(Arc::new(Inner {
            times,
            state: Mutex::new(State {
                arrived: Half::new(bytes / 2),
                parsed: Half::new(bytes / 2),
                answered: Half::new(bytes / 2),
                arriving: HashMap::new(),
                last_id: 0,
            }),
            freed: Notify::new(),
        }))
    }

    /// Registers a body that begins to arrive from this network. Nothing is reserved for it yet.
    pub fn begin(&self, network: u128) -> Reservation {
        let shared = Arc::<Shared>::default();
        let mut state = self.state();
        state.last_id += 1;
        let id = state.last_id;
        let body = Arriving {
            network,
            since: Instant::now(),
            evicted: false,
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

    /// The number of reserved bytes.
    pub fn taken(&self) -> usize {
        let state = self.state();
        state.arrived.taken + state.parsed.taken + state.answered.taken
    }

    /// Reserves memory for an answer of this many bytes to a network. Its only answer may take more than its share.
    pub fn answer(&self, network: u128, bytes: usize) -> Result<AnswerMemory, Refusal> {
        let mut state = self.state();
        let alone = state.answered.has(network) == 0;
        let took = state.answered.take(network, bytes, alone);
        took.map_err(|_| Refusal::TooManyBodies)?;
        Ok(AnswerMemory {
            memory: self.clone(),
            network,
            bytes,
        })
    }

    /// Calls `attempt` until it returns true, again whenever memory was freed.
    async fn when_free(
        &self,
        patience: Duration,
        mut attempt: impl FnMut(&mut State) -> Result<bool, Refusal>,
    ) -> Result<(), Refusal> {
        let deadline = Instant::now() + patience;
        loop {
            let mut freed = pin!(self.0.freed.notified());
            // Registers before the attempt, so that no notification is missed.
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
        // No code that can panic runs while the state is half-changed.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The memory of one body, and of the values that are parsed from it. Dropping this frees it.
pub struct Reservation {
    memory: BodyMemory,
    network: u128,
    id: u64,
    shared: Arc<Shared>,
    arrived: usize,
    parsed: usize,
}

impl Reservation {
    /// Waits until the body is evicted.
    pub fn evicted(&self) -> impl Future<Output = ()> + use<> {
        let shared = self.shared.clone();
        async move { shared.eviction.notified().await }
    }

    /// Records that this many more bytes of the body have arrived.
    pub fn received(&self, bytes: usize) {
        self.shared.received.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Reserves this many more bytes for the body. If there is no room, the slowest body is evicted.
    pub async fn reserve(&mut self, bytes: usize) -> Result<(), Refusal> {
        let memory = self.memory.clone();
        let times = memory.0.times;
        let took = memory.when_free(times.eviction, |state| {
            let alone = state.arrived.has(self.network) == self.arrived;
            match state.arrived.take(self.network, bytes, alone) {
                Ok(()) => Ok(true),
                Err(full) => state
                    .evict_slowest(self.id, self.network, full, times.min_age)
                    .map(|()| false),
            }
        });
        took.await?;
        self.arrived += bytes;
        Ok(())
    }

    /// Records that the body has arrived completely. It cannot be evicted any more.
    pub fn complete(&mut self) {
        self.memory.state().arriving.remove(&self.id);
    }

    /// Reserves this many bytes for the values that are parsed from the body, and waits until they are free. A larger number
    /// than the whole half means all of it.
    pub async fn reserve_for_parsing(&mut self, bytes: usize) -> Result<(), Refusal> {
        let memory = self.memory.clone();
        let bytes = bytes.min(memory.state().parsed.size);
        let took = memory.when_free(memory.0.times.parsing, |state| {
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

/// The memory of an answer, which is free again when this is dropped.
pub struct AnswerMemory {
    memory: BodyMemory,
    network: u128,
    bytes: usize,
}

impl Drop for AnswerMemory {
    fn drop(&mut self) {
        let mut state = self.memory.state();
        state.answered.free(self.network, self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: usize = 1024;

    /// Half of 64 KiB, of which a network's share is 4 KiB. A body is judged at once, or never.
    fn memory(min_age: Duration) -> BodyMemory {
        let times = Times { min_age, ..TIMES };
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
        let told = slow.evicted();
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
    async fn a_body_that_needs_more_and_is_the_slowest_is_refused_itself() {
        let memory = memory(Duration::ZERO);
        let mut slow = body(&memory, 1, 10).await.expect("it fits");
        let fast = body(&memory, 1, 4 * KIB - 10).await.expect("it fits");
        assert_eq!(slow.reserve(KIB).await, Err(Refusal::BodyTooSlow));
        drop(fast);
        slow.reserve(KIB).await.expect("it fits");
    }

    #[tokio::test]
    async fn a_complete_body_is_not_evicted() {
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
