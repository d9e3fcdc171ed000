//! API keys: making them, checking them, limiting and revoking them.
//!
//! Invariant: the key itself is nowhere but in the answer to its creation. The store has its SHA-256,
//! which is enough for 256 random bits.

use super::{
    Context,
    changes::{Changes, commit},
    check_name, found,
    memory::{self, KeyHash, Sight},
};
use crate::{
    clock,
    domain::{ApiKey, Scope},
    error::Error,
    id::{AccountId, KeyId},
    store::keys,
};
use data_encoding::BASE32_DNSSEC;
use db::Session;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash, Hasher},
    ops::Bound::{Excluded, Unbounded},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

const PREFIX: &str = "ibx_";
/// 32 random bytes in base32.
const RANDOM: usize = 52;
/// 4 bytes of CRC-32 in base32.
const CHECKSUM: usize = 7;
/// How exact `last_used_at` is, in seconds: a write for each request would cost more than the request.
const USE_GRAIN: i64 = 60;
/// Uses that wait to be written. Beyond that one is noted when its key is used again.
const USES: usize = 65_536;
/// Uses in one transaction: deliveries wait for it.
const FLUSH: usize = 256;
/// Transactions of one flush.
const FLUSHES: usize = 4;
/// How exact it is when a key came from where, in seconds: see [`Caller::comes_anew`].
pub const HOUR: i64 = 60 * 60;
/// The highest limit that can be set, in requests a minute.
pub const MOST_REQUESTS: i64 = 1_000_000_000;

/// What the store says of a key, and what was last noted of it.
#[derive(Debug, Clone, Copy)]
pub struct Known {
    /// What [`super::memory::Memory::keys_era`] said before the store was asked.
    pub era: u64,
    scopes: Scopes,
    rate_limit: Option<i64>,
    expires_at: Option<i64>,
    /// When a use of it was last noted; 0 for never.
    noted: i64,
    /// Where it last came from, and in which hour, as a fingerprint.
    came: u64,
}

/// A set of scopes, without a list elsewhere in memory.
#[derive(Debug, Clone, Copy)]
struct Scopes(u8);

impl Scopes {
    fn of(scopes: &[Scope]) -> Self {
        Scopes(scopes.iter().fold(0, |set, scope| set | 1 << *scope as u8))
    }

    fn contains(self, scope: Scope) -> bool {
        self.0 & 1 << scope as u8 != 0
    }
}

/// What a key was checked to be.
#[derive(Clone)]
pub struct Caller {
    hash: KeyHash,
    known: Known,
    whose: Whose,
}

#[derive(Clone)]
enum Whose {
    /// Of an account of which more is kept in memory.
    Kept(Arc<memory::Account>),
    /// Of this account, under this id: memory may not be used.
    Read(AccountId, KeyId),
}

impl Caller {
    /// The account that it acts for.
    pub fn account(&self) -> &AccountId {
        match &self.whose {
            Whose::Kept(account) => account.id(),
            Whose::Read(account, _) => account,
        }
    }

    /// What is kept in memory for answering it, if that may be used.
    pub fn kept(&self) -> Option<&Arc<memory::Account>> {
        match &self.whose {
            Whose::Kept(account) => Some(account),
            Whose::Read(..) => None,
        }
    }

    /// Requests a minute that it may make; 0 is no limit, and without a value the server's own limit counts.
    pub fn rate_limit(&self) -> Option<i64> {
        self.known.rate_limit
    }

    /// That it has this scope.
    pub fn may(&self, scope: Scope) -> Result<(), Error> {
        if self.known.scopes.contains(scope) {
            Ok(())
        } else {
            Err(Error::Forbidden(scope))
        }
    }

    /// Whether its key came from elsewhere before, or in another hour: [`HOUR`]. Whoever remembers where keys come from need
    /// not be told at each request.
    pub fn comes_anew(&self, from: u128, now: i64) -> bool {
        let mut hasher = DefaultHasher::new();
        (from, now / HOUR).hash(&mut hasher);
        let came = hasher.finish();
        let anew = self.known.came != came;
        if anew && let Whose::Kept(account) = &self.whose {
            account.amend(&self.hash, |_, known| known.came = came);
        }
        anew
    }

    fn has_expired(&self, now: i64) -> bool {
        self.known.expires_at.is_some_and(|end| now >= end)
    }

    fn note_use(&self, uses: &Uses, now: i64) {
        if now - self.known.noted < USE_GRAIN || uses.are_full() {
            return;
        }
        match &self.whose {
            Whose::Kept(account) => account.amend(&self.hash, |id, known| {
                if uses.note(account.id(), id, now) {
                    known.noted = now;
                }
            }),
            Whose::Read(account, id) => {
                uses.note(account, id, now);
            }
        }
    }

    /// What its key is told apart by where keys are counted.
    pub fn fingerprint(&self) -> u128 {
        shortened(&self.hash)
    }
}

/// The [`Caller::fingerprint`] that a presented key would have, if it can be a key at all. Whether it is one is not asked.
pub fn fingerprint(presented: &str) -> Option<u128> {
    well_formed(presented).then(|| shortened(&hash(presented)))
}

/// Half of a hash is still far too much for two keys to share.
fn shortened(hash: &[u8; 32]) -> u128 {
    let (half, _) = hash.split_at(16);
    half.iter()
        .fold(0, |bits, byte| bits << 8 | u128::from(*byte))
}

/// Makes a key. The second value is the key itself, shown this once. `expires_in` is in seconds.
pub async fn create(
    context: &Context,
    account: &AccountId,
    name: &str,
    scopes: &[Scope],
    expires_in: Option<i64>,
) -> Result<(ApiKey, SecretString), Error> {
    create_limited(context, account, name, scopes, expires_in, None).await
}

/// The same, with a limit of its own: see [`limit`].
pub async fn create_limited(
    context: &Context,
    account: &AccountId,
    name: &str,
    scopes: &[Scope],
    expires_in: Option<i64>,
    rate_limit: Option<i64>,
) -> Result<(ApiKey, SecretString), Error> {
    let mut session = context.db.write().await?;
    let made = create_in(
        context,
        &mut session,
        account,
        name,
        scopes,
        expires_in,
        rate_limit,
    )
    .await?;
    // No key that anybody could know is another now.
    commit(context, session, Changes::none()).await?;
    Ok(made)
}

/// The same, in a transaction that is open already.
pub(super) async fn create_in(
    context: &Context,
    session: &mut Session,
    account: &AccountId,
    name: &str,
    scopes: &[Scope],
    expires_in: Option<i64>,
    rate_limit: Option<i64>,
) -> Result<(ApiKey, SecretString), Error> {
    check_limit(rate_limit)?;
    let name = check_name(name).map_err(|rule| Error::field("name", rule))?;
    let mut scopes = scopes.to_vec();
    scopes.sort_unstable();
    scopes.dedup();
    if scopes.is_empty() {
        return Err(Error::field("scope", "give at least one"));
    }
    let secret = generate();
    let now = context.clock.now();
    let key = ApiKey {
        id: KeyId::new(&context.clock),
        name,
        scopes,
        created_at: now,
        expires_at: expires_in.map(|seconds| now.saturating_add(seconds)),
        rate_limit,
        revoked_at: None,
        last_used_at: None,
    };
    keys::insert(session, account, &key, &hash(secret.expose_secret())).await?;
    Ok((key, secret))
}

/// All keys of an account, oldest first, the revoked and expired ones too.
pub async fn list(context: &Context, account: &AccountId) -> Result<Vec<ApiKey>, Error> {
    Ok(keys::list(&mut context.db.read().await?, account).await?)
}

/// Sets how many requests a minute a key may make, from the very next request on. 0 is no limit, `None` the server's own.
pub async fn limit(
    context: &Context,
    account: &AccountId,
    id: &KeyId,
    rate_limit: Option<i64>,
) -> Result<ApiKey, Error> {
    check_limit(rate_limit)?;
    let mut session = context.db.write().await?;
    let key = found(
        keys::limit(&mut session, account, id, rate_limit).await?,
        "API key",
    )?;
    commit(context, session, Changes::of_keys()).await?;
    Ok(key)
}

fn check_limit(rate_limit: Option<i64>) -> Result<(), Error> {
    match rate_limit {
        None | Some(0..=MOST_REQUESTS) => Ok(()),
        Some(_) => {
            let rule = format!("must be a whole number from 0 to {MOST_REQUESTS}");
            Err(Error::field("rate_limit", rule))
        }
    }
}

/// Revokes a key: it stops working with the very next request. Revoking it again changes nothing.
pub async fn revoke(context: &Context, account: &AccountId, id: &KeyId) -> Result<ApiKey, Error> {
    let mut session = context.db.write().await?;
    let key = keys::revoke(&mut session, account, id, context.clock.now()).await?;
    let key = found(key, "API key")?;
    commit(context, session, Changes::of_keys()).await?;
    Ok(key)
}

/// Whose key this is, if it is good now.
pub async fn authenticate(
    context: &Context,
    uses: &Uses,
    presented: &str,
) -> Result<Caller, Error> {
    if !well_formed(presented) {
        return Err(Error::Unauthorized);
    }
    let caller = look_up(context, hash(presented)).await?;
    caller.note_use(uses, context.clock.now());
    Ok(caller)
}

/// The same at once, from memory. `None` if only [`authenticate`] can tell, or if it will refuse.
pub fn recall(context: &Context, uses: &Uses, presented: &str, now: i64) -> Option<Caller> {
    if !well_formed(presented) {
        return None;
    }
    let caller = remember(context, context.memory.sight(), hash(presented))?;
    if caller.has_expired(now) {
        return None;
    }
    caller.note_use(uses, now);
    Some(caller)
}

/// Whether the key of a caller that was let in some time ago is still good.
pub async fn recheck(context: &Context, caller: &Caller) -> Result<Caller, Error> {
    look_up(context, caller.hash).await
}

async fn look_up(context: &Context, hash: KeyHash) -> Result<Caller, Error> {
    let sight = context.memory.sight();
    let caller = match remember(context, sight, hash) {
        Some(caller) => caller,
        None => ask(context, sight, hash).await?,
    };
    if caller.has_expired(context.clock.now()) {
        return Err(Error::Unauthorized);
    }
    Ok(caller)
}

fn remember(context: &Context, sight: Sight, hash: KeyHash) -> Option<Caller> {
    let (known, account) = context.memory.key(sight, &hash)?;
    let whose = Whose::Kept(account);
    Some(Caller { hash, known, whose })
}

async fn ask(context: &Context, sight: Sight, hash: KeyHash) -> Result<Caller, Error> {
    let memory = &context.memory;
    let era = memory.keys_era();
    let found = keys::find_by_hash(&mut context.db.read().await?, &hash).await?;
    let (key, account) = found.ok_or(Error::Unauthorized)?;
    if key.revoked_at.is_some() {
        return Err(Error::Unauthorized);
    }
    let known = Known {
        era,
        scopes: Scopes::of(&key.scopes),
        rate_limit: key.rate_limit,
        expires_at: key.expires_at,
        noted: key.last_used_at.unwrap_or(0),
        came: 0,
    };
    let whose = match memory.keep_key(sight, hash, &account, &key.id, known) {
        Some(kept) => Whose::Kept(kept),
        None => Whose::Read(account, key.id),
    };
    Ok(Caller { hash, known, whose })
}

/// Uses of keys that are not in the store yet. Cheap to clone.
#[derive(Clone, Default)]
pub struct Uses(Arc<Inner>);

#[derive(Default)]
struct Inner {
    /// Whether there is no room. With very many keys that is so nearly always, and each request asks.
    full: AtomicBool,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    uses: BTreeMap<KeyId, (AccountId, i64)>,
    /// The last that was written: those after it are next, so that each has its turn.
    written: Option<KeyId>,
}

impl Uses {
    /// Whether there was room for it.
    fn note(&self, account: &AccountId, key: &KeyId, at: i64) -> bool {
        let uses = &mut self.held().uses;
        let room = uses.len() < USES;
        if room {
            uses.insert(key.clone(), (account.clone(), at));
        }
        self.say_whether_full(uses.len());
        room
    }

    fn say_whether_full(&self, waiting: usize) {
        self.0.full.store(waiting >= USES, Ordering::Relaxed);
    }

    fn are_full(&self) -> bool {
        self.0.full.load(Ordering::Relaxed)
    }

    fn held(&self) -> MutexGuard<'_, Waiting> {
        // A panic cannot leave a map half-changed here.
        self.0
            .waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes those whose turn it is to the store. However many keys are in use, that is little work. What cannot be
    /// written is kept for the next time.
    pub async fn flush(&self, context: &Context) -> Result<(), Error> {
        for _ in 0..FLUSHES {
            if self.flush_some(context).await? < FLUSH {
                break;
            }
        }
        Ok(())
    }

    /// Writes all.
    pub async fn flush_all(&self, context: &Context) -> Result<(), Error> {
        while self.flush_some(context).await? > 0 {}
        Ok(())
    }

    /// Writes some in one transaction. Returns how many.
    async fn flush_some(&self, context: &Context) -> Result<usize, Error> {
        let uses = self.held().next();
        let Some((_, last, _)) = uses.last() else {
            return Ok(0);
        };
        let mut session = context.db.write().await?;
        keys::touch(&mut session, &uses).await?;
        commit(context, session, Changes::none()).await?;
        let mut held = self.held();
        held.written = Some(last.clone());
        for (_, key, at) in &uses {
            if held.uses.get(key).is_some_and(|(_, last)| last == at) {
                held.uses.remove(key);
            }
        }
        self.say_whether_full(held.uses.len());
        Ok(uses.len())
    }
}

impl Waiting {
    fn next(&self) -> Vec<(AccountId, KeyId, i64)> {
        let written = self.written.as_ref();
        let after = written.map_or(Unbounded, Excluded);
        let later = self.uses.range((after, Unbounded));
        let earlier = written.map(|last| self.uses.range(..=last));
        later
            .chain(earlier.into_iter().flatten())
            .take(FLUSH)
            .map(|(key, (account, at))| (account.clone(), key.clone(), *at))
            .collect()
    }
}

fn generate() -> SecretString {
    let mut key = format!("{PREFIX}{}", BASE32_DNSSEC.encode(&clock::random::<32>()));
    key.extend(checksum(&key).map(char::from));
    SecretString::from(key)
}

fn checksum(text: &str) -> [u8; CHECKSUM] {
    let mut sum = [0; CHECKSUM];
    BASE32_DNSSEC.encode_mut(&crc32fast::hash(text.as_bytes()).to_be_bytes(), &mut sum);
    sum
}

/// Whether this can be a key at all: a mistyped one is refused without asking the store.
fn well_formed(key: &str) -> bool {
    key.len() == PREFIX.len() + RANDOM + CHECKSUM
        && key.is_ascii()
        && key.starts_with(PREFIX)
        && key
            .split_at_checked(PREFIX.len() + RANDOM)
            .is_some_and(|(body, sum)| checksum(body) == sum.as_bytes())
}

fn hash(key: &str) -> KeyHash {
    Sha256::digest(key.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{clock::Clock, ops::migrate};
    use db::{Address, Database, Missing};
    use memory::Memory;
    use std::collections::HashSet;

    #[test]
    fn however_many_keys_are_in_use_each_has_its_turn() {
        let clock = Clock::manual(1_700_000_000);
        let account = AccountId::new(&clock);
        let keys: Vec<_> = (0..3 * FLUSH).map(|_| KeyId::new(&clock)).collect();
        let uses = Uses::default();
        let mut written = HashSet::new();
        for _ in 0..3 {
            // Whoever was written is in use again at once.
            for key in &keys {
                assert!(uses.note(&account, key, clock.now()));
            }
            let next = uses.held().next();
            assert_eq!(next.len(), FLUSH);
            uses.held().written = next.last().map(|(_, key, _)| key.clone());
            written.extend(next.into_iter().map(|(_, key, _)| key));
        }
        assert_eq!(written.len(), keys.len());
        let (few, used) = (Uses::default(), clock.now());
        assert!(few.note(&account, &keys[0], used));
        few.held().written = Some(keys[1].clone());
        assert_eq!(
            few.held().next(),
            [(account.clone(), keys[0].clone(), used)]
        );
        for _ in 0..USES - 1 {
            assert!(few.note(&account, &KeyId::new(&clock), used));
        }
        assert!(few.are_full());
        assert!(!few.note(&account, &KeyId::new(&clock), used), "no room");
    }

    #[tokio::test]
    async fn keys_whose_hashes_begin_alike_are_told_apart() {
        let folder = tempfile::tempdir().expect("a folder");
        let address = Address::Sqlite(folder.path().join("inboxd.db"));
        let db = Database::open(&address, Missing::Create).await;
        let db = db.expect("a database");
        let clock = Clock::system();
        migrate(&db, &clock).await.expect("tables");
        let memory = Memory::new(&db, 1 << 20);
        assert_eq!(memory.sight(), Sight::Clear);
        let known = Known {
            era: memory.keys_era(),
            scopes: Scopes::of(&[Scope::Read]),
            rate_limit: None,
            expires_at: None,
            noted: 0,
            came: 0,
        };
        let [mut first, second] = [[7; 32]; 2];
        first[31] = 8;
        let keep = |hash| {
            let (account, key) = (AccountId::new(&clock), KeyId::new(&clock));
            let kept = memory.keep_key(memory.sight(), hash, &account, &key, known);
            assert!(kept.is_some_and(|kept| *kept.id() == account));
            account
        };
        let find = |hash| {
            let (_, account) = memory.key(memory.sight(), &hash)?;
            Some(account.id().clone())
        };
        let one = keep(first);
        assert_eq!((find(first), find(second)), (Some(one), None));
        let other = keep(second);
        assert_eq!((find(first), find(second)), (None, Some(other)));
        let one = keep(first);
        assert_eq!((find(first), find(second)), (Some(one), None));
    }

    #[test]
    fn a_mistyped_key_is_not_well_formed() {
        let key = generate();
        let key = key.expose_secret();
        assert!(well_formed(key), "{key}");
        for at in 0..key.len() {
            let mut wrong = key.to_owned();
            let other = if &key[at..=at] == "7" { "8" } else { "7" };
            wrong.replace_range(at..=at, other);
            assert!(!well_formed(&wrong), "{wrong}");
        }
        assert!(!well_formed(&key[1..]));
        assert!(!well_formed(&"ü".repeat(63)));
    }
}
