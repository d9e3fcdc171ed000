//! What the program does, in plain functions. The REST API and the command line both call these, and
//! nothing else reaches the store. Nothing here knows HTTP.

pub mod accounts;
pub mod changes;
pub mod connect;
pub mod conversations;
pub mod credentials;
pub mod destinations;
pub mod events;
pub mod fields;
pub mod health;
pub mod hooks;
pub mod inboxes;
pub mod ingest;
pub mod keys;
pub mod livechat;
pub mod messages;
pub mod purge;
pub mod quarantine;
pub mod setup;
pub mod test_update;
pub mod verify;

use crate::{
    cache::Cache, clock::Clock, config, error::Error, provider::Providers, store, vault::Vault,
};
use db::{Address, Database, EngineKind, Missing};
use events::Events;
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio::sync::Notify;

/// Under which name the store keeps a mark of the secret key.
const SECRET_KEY_CHECK: &str = "secret_key_check";

/// Everything that an operation needs from the outside. Cheap to clone.
#[derive(Clone)]
pub struct Context {
    /// The store.
    pub db: Database,
    /// The time.
    pub clock: Clock,
    /// The secrets.
    pub vault: Vault,
    /// The address under which providers and browsers reach the server, without a trailing slash.
    pub public_url: String,
    /// What happens.
    pub events: Events,
    /// The way to the providers. At their usual addresses, unless it is replaced.
    pub providers: Providers,
    /// What need not be read again.
    pub cache: Cache,
    /// Notified when an inbox was deleted, so that what it held is removed.
    pub inbox_deleted: Arc<Notify>,
    /// Whether this is a command beside the servers: it then waits until they have heard what it changed.
    pub command: bool,
}

impl Context {
    /// Makes room for so many bytes in the cache. Without it nothing is cached.
    pub fn set_cache(&mut self, bytes: u64) {
        self.cache = Cache::new(&self.db, bytes);
    }

    /// Asks the providers at these addresses from now on.
    pub fn set_providers(&mut self, config: config::Providers) {
        self.providers = Providers::new(config);
    }
}

/// Where the key that seals secrets comes from.
#[derive(Debug, Clone)]
pub enum SecretKey {
    /// Written out: 64 hex digits or base64.
    Text(String),
    /// In a file.
    File(PathBuf),
    /// In a file beside the embedded database, made if it is not there.
    BesideDatabase,
}

/// Why the program cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The database.
    #[error(transparent)]
    Database(#[from] db::Error),
    /// The key that seals secrets.
    #[error(transparent)]
    Vault(#[from] crate::vault::Error),
    /// The database is there, and holds nothing of ours.
    #[error(
        "this database holds nothing of inboxd: name another with --database-url, or begin with `inboxd migrate` or `inboxd serve`"
    )]
    Unmigrated,
    /// A PostgreSQL database has no folder to keep a key in.
    #[error(
        "set INBOXD_SECRET_KEY (or INBOXD_SECRET_KEY_FILE) to 32 random bytes, the same on every node: openssl rand -hex 32"
    )]
    NoSecretKey,
    /// The file with the key is gone.
    #[error(
        "{} is gone, and with it the key to this database's secrets: put it back, or set INBOXD_SECRET_KEY to its content", .0.display()
    )]
    LostSecretKey(PathBuf),
    /// The database was set up under another key.
    #[error(
        "this INBOXD_SECRET_KEY is not the one that this database was set up with: its stored secrets cannot be opened"
    )]
    WrongSecretKey,
}

/// Opens the store, brings its schema up to date, and checks that the secret key is the right one. `missing` holds for a
/// database that is there and empty, too.
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
        command: false,
        db,
        clock,
        vault,
        public_url: public_url.to_owned(),
        events: Events::default(),
        providers: Providers::new(config::Providers::default()),
    })
}

/// Brings the schema up to date. Returns the versions that were applied.
pub async fn migrate(db: &Database, clock: &Clock) -> Result<Vec<i64>, db::Error> {
    let applied = db.migrate(store::MIGRATIONS, clock.now()).await?;
    if !applied.is_empty() {
        tracing::info!(?applied, "schema migrated");
    }
    Ok(applied)
}

/// The key in the file beside the embedded database. A new one is made only for a database that never had one:
/// another key than the first could open nothing.
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
    let mut mark = store::instance::find(&mut db.read().await?, SECRET_KEY_CHECK).await?;
    if mark.is_none() {
        let mut session = db.write().await?;
        store::instance::insert(&mut session, SECRET_KEY_CHECK, &vault.mark()).await?;
        // Another node may have been first: what is stored decides, not what was sent.
        mark = store::instance::find(&mut session, SECRET_KEY_CHECK).await?;
        session.commit().await?;
    }
    match mark {
        Some(mark) if vault.recognise(&mark) => Ok(()),
        _ => Err(StartError::WrongSecretKey),
    }
}

/// How the engine is called in texts for people.
pub fn engine_name(context: &Context) -> &'static str {
    match context.db.engine() {
        EngineKind::Sqlite => "SQLite",
        EngineKind::Postgres => "PostgreSQL",
    }
}

/// The rule for what people call things: 1 to 100 characters once surrounding white space is gone, none of them a control character.
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

/// What is not there is reported as that.
fn found<T>(thing: Option<T>, noun: &'static str) -> Result<T, Error> {
    thing.ok_or(Error::NotFound(noun))
}
