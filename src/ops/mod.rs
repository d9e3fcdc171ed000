//! The operations of the program, as plain functions. The REST API and the command line both call them, and only they
//! access the store. Nothing here knows HTTP.

pub mod accounts;
pub mod changes;
pub mod connect;
pub mod contacts;
pub mod conversations;
pub mod credentials;
pub mod destinations;
pub mod events;
pub mod health;
pub mod hooks;
pub mod idempotency;
pub mod inboxes;
pub mod ingest;
pub mod joins;
pub mod keys;
pub mod livechat;
pub mod messages;
pub mod outbox;
pub mod page;
mod pieces;
pub mod purge;
pub mod quarantine;
mod route;
pub mod setup;
pub mod signals;
mod standing;
pub mod test_update;
pub mod transaction;
pub mod verify;

use crate::{
    cache::Cache, clock::Clock, config, error::Error, provider::Providers, store, vault::Vault,
};
use db::{Address, Database, EngineKind, Missing};
use events::Events;
use signals::Signals;
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::{runtime::Handle, sync::Notify, task::spawn_blocking};

/// The name under which the store keeps a check value of the secret key.
const SECRET_KEY_CHECK: &str = "secret_key_check";

/// Everything that an operation needs. Cheap to clone.
#[derive(Clone)]
pub struct Context {
    /// The store.
    pub db: Database,
    /// The source of time and ids.
    pub clock: Clock,
    /// The secret key, which seals credentials and signs tokens.
    pub vault: Vault,
    /// The URL under which providers and browsers reach the server, without a trailing slash.
    pub public_url: String,
    /// The stream of events of this process.
    pub events: Events,
    /// The client for the providers' APIs. It uses their usual URLs unless it is replaced.
    pub providers: Providers,
    /// The cache of this process.
    pub cache: Cache,
    /// Notified when an inbox was deleted, so that what it held is removed.
    pub inbox_deleted: Arc<Notify>,
    /// Notified when contacts are to be joined, so that the rest of it is done.
    pub joins_left: Arc<Notify>,
    /// Notified when something was put into the outbox.
    pub outbox_filled: Arc<Notify>,
    /// What is told beside messages.
    pub signals: Arc<Signals>,
    /// How long a message that cannot be sent is tried.
    pub send_patience: Duration,
    /// Whether this is a command beside the servers: it then waits until they have heard what it changed.
    pub command: bool,
}

impl Context {
    /// Replaces the cache by one of at most this many bytes. Until then nothing is cached.
    pub fn set_cache(&mut self, bytes: u64) {
        self.cache = Cache::new(&self.db, bytes);
    }

    /// Uses the providers' APIs at these addresses from now on.
    pub fn set_providers(&mut self, config: config::Providers) {
        self.providers = Providers::new(config);
    }
}

/// The source of the secret key, which seals stored credentials.
#[derive(Debug, Clone)]
pub enum SecretKey {
    /// The key itself, as 64 hex digits or base64.
    Text(String),
    /// A file with the key.
    File(PathBuf),
    /// A file beside the SQLite database. It is created if it is missing.
    BesideDatabase,
}

/// Why the program cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The database cannot be opened.
    #[error(transparent)]
    Database(#[from] db::Error),
    /// The secret key cannot be used.
    #[error(transparent)]
    Vault(#[from] crate::vault::Error),
    /// The database exists, but was never migrated by this program.
    #[error(
        "this is not a database of inboxd: choose another with --database-url, or set this one up with `inboxd migrate` or `inboxd serve`"
    )]
    Unmigrated,
    /// A PostgreSQL database has no folder for a key file, and no key was given.
    #[error(
        "set INBOXD_SECRET_KEY (or INBOXD_SECRET_KEY_FILE) to 32 random bytes, the same on every node: openssl rand -hex 32"
    )]
    NoSecretKey,
    /// The key file is missing.
    #[error(
        "{} is missing. It holds the key to this database's secrets: put it back, or set INBOXD_SECRET_KEY to its content", .0.display()
    )]
    LostSecretKey(PathBuf),
    /// The database was set up with a different key.
    #[error(
        "this database was set up with a different INBOXD_SECRET_KEY: its stored secrets cannot be opened with this one"
    )]
    WrongSecretKey,
}

/// Opens the store, migrates its schema, and checks the secret key. `missing` also applies to a database that exists
/// but is empty.
pub async fn open(
    address: &Address,
    missing: Missing,
    secret_key: &SecretKey,
    public_url: &str,
    clock: Clock,
) -> Result<Context, StartError> {
    let given = match (secret_key, address) {
        (SecretKey::Text(text), _) => Some(Vault::from_text(text)?),
        (SecretKey::File(path), _) => Some(Vault::from_file(path)?),
        (SecretKey::BesideDatabase, Address::Postgres(_)) => return Err(StartError::NoSecretKey),
        (SecretKey::BesideDatabase, Address::Sqlite(_)) => None,
    };
    let db = Database::open(address, missing).await?;
    if missing == Missing::Fail && !db.migrated().await? {
        return Err(StartError::Unmigrated);
    }
    migrate(&db, &clock).await?;
    let vault = match (given, address) {
        (Some(vault), _) => vault,
        (None, Address::Sqlite(path)) => vault_beside(&db, path).await?,
        (None, Address::Postgres(_)) => return Err(StartError::NoSecretKey),
    };
    check_secret_key(&db, &vault).await?;
    Ok(Context {
        cache: Cache::new(&db, 0),
        inbox_deleted: Arc::default(),
        joins_left: Arc::default(),
        outbox_filled: Arc::default(),
        signals: Arc::default(),
        send_patience: config::SEND_PATIENCE,
        command: false,
        db,
        clock,
        vault,
        public_url: public_url.to_owned(),
        events: Events::default(),
        providers: Providers::new(config::Providers::default()),
    })
}

/// Migrates the schema to the newest version. Returns the versions that were applied.
pub async fn migrate(db: &Database, clock: &Clock) -> Result<Vec<i64>, db::Error> {
    let applied = db.migrate(store::MIGRATIONS, clock.now()).await?;
    if !applied.is_empty() {
        tracing::info!(?applied, "schema migrated");
    }
    Ok(applied)
}

/// Reads the key file beside the SQLite database. A new key is created only for a database that never had one, since a
/// different key could not open its secrets.
async fn vault_beside(db: &Database, database: &Path) -> Result<Vault, StartError> {
    let file = key_file(database);
    let known = store::instance::find(&mut db.read().await?, SECRET_KEY_CHECK).await?;
    if known.is_some() && !file.exists() {
        return Err(StartError::LostSecretKey(file));
    }
    Ok(Vault::from_file_or_new(&file)?)
}

fn key_file(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(".key");
    name.into()
}

async fn check_secret_key(db: &Database, vault: &Vault) -> Result<(), StartError> {
    let mut stored = store::instance::find(&mut db.read().await?, SECRET_KEY_CHECK).await?;
    if stored.is_none() {
        let mut session = db.write().await?;
        store::instance::insert(&mut session, SECRET_KEY_CHECK, &vault.check_value()).await?;
        // Another node may have been first. Its stored check value is the one that counts.
        stored = store::instance::find(&mut session, SECRET_KEY_CHECK).await?;
        session.commit().await?;
    }
    match stored {
        Some(value) if vault.made_check_value(&value) => Ok(()),
        _ => Err(StartError::WrongSecretKey),
    }
}

/// The engine's name in texts for people.
pub fn engine_name(context: &Context) -> &'static str {
    match context.db.engine() {
        EngineKind::Sqlite => "SQLite",
        EngineKind::Postgres => "PostgreSQL",
    }
}

/// What the document says of such a name. It allows no more than [`check_name`] does.
pub const NAME_PATTERN: &str =
    r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$";

/// Checks a name that a person has chosen, and removes surrounding white space. It must have 1 to 100 characters and no
/// control characters.
pub fn check_name(name: &str) -> Result<String, &'static str> {
    let name = name.trim();
    if name.is_empty() || name.chars().count() > 100 {
        return Err("must have 1 to 100 characters");
    }
    if name.chars().any(char::is_control) {
        return Err("must not contain control characters");
    }
    Ok(name.to_owned())
}

/// Runs work on a thread that may block. On SQLite a statement runs on the thread that calls it, so long work would block
/// everything else on a thread of the runtime.
async fn on_blocking_thread<T: Send + 'static>(
    work: impl Future<Output = Result<T, Error>> + Send + 'static,
) -> Result<T, Error> {
    let runtime = Handle::current();
    let done = spawn_blocking(move || runtime.block_on(work)).await;
    done.unwrap_or_else(|error| Err(Error::Internal(error.to_string())))
}

/// Returns [`Error::NotFound`] for `None`.
fn found<T>(thing: Option<T>, noun: &'static str) -> Result<T, Error> {
    thing.ok_or(Error::NotFound(noun))
}
