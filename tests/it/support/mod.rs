//! What all tests stand on: a real server on a real store, and a client that talks to it over a socket.

pub(crate) mod bodies;
#[cfg(feature = "browser-tests")]
pub(crate) mod browser;
pub(crate) mod counting;
mod http;
pub(crate) mod live;
#[cfg_attr(
    not(feature = "postgres-tests"),
    allow(dead_code, reason = "without the feature nothing starts one")
)]
mod postgres;
pub(crate) mod program;
pub(crate) mod provider;
mod some;
mod store;
pub(crate) mod three;
mod usage;
pub(crate) mod whatsapp;

pub(crate) use bodies::whatsapp_body;
pub(crate) use http::{Answer, Call, client, read_all};
#[cfg(feature = "postgres-tests")]
pub(crate) use postgres::Postgres;
pub(crate) use program::{Done, Running, Shell, eventually};
pub(crate) use some::for_some;
pub(crate) use store::{SECRET_KEY, Store, TempDatabase, on_both_stores};

use db::{Missing, Sql};
use inboxd::{
    clock::Clock,
    config::{CACHE, Config, Limits, Providers},
    domain::Scope,
    http::{App, Parts, body_memory::BodyMemory, bounds::Bounds, rates::Rates},
    id::{AccountId, EventId, InboxId},
    ops::{
        self, Context, SecretKey, accounts,
        events::{Event, Live},
        inboxes,
        ingest::Ingest,
        keys::{self, NewKey, Uses},
    },
    serve::Server,
};
use metrics_exporter_prometheus::PrometheusBuilder;
use reqwest::{Client, Method};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use std::{net::SocketAddr, sync::Arc};
use tokio::sync::{broadcast::Receiver, watch};

/// The moment at which the clock of every [`TestApp`] stands: 2025-01-15T08:00:00Z.
pub(crate) const START: i64 = 1_736_928_000;
/// A key that may read, and never expires.
pub(crate) const READER: NewKey<'static> = NewKey {
    name: "k",
    scopes: &[Scope::Read],
    expires_in: None,
    rate_limit: None,
};

/// A running server with one account on an otherwise empty store.
pub(crate) struct TestApp {
    pub(crate) context: Context,
    /// The account that is meant where none is named.
    pub(crate) account: AccountId,
    pub(crate) address: SocketAddr,
    server: Server,
    limits: Limits,
    providers: Providers,
    client: Client,
    /// Its data is removed last.
    place: Arc<TempDatabase>,
}

impl TestApp {
    pub(crate) async fn start(store: Store) -> Self {
        Self::with(store, |_| {}).await
    }

    /// A server with other limits. Only who sets them has limits on keys: a test's clock stands still, and no minute ends.
    pub(crate) async fn with(store: Store, change: impl FnOnce(&mut Limits)) -> Self {
        let mut limits = Limits {
            rate_limit: 0,
            auth_failures: 0,
            ..Limits::default()
        };
        change(&mut limits);
        Self::new(store, limits, provider::nowhere()).await
    }

    /// A server that asks providers at other addresses: by itself it would find nobody there.
    pub(crate) async fn asking(store: Store, providers: Providers) -> Self {
        Self::new(store, Limits::default(), providers).await
    }

    async fn new(store: Store, limits: Limits, providers: Providers) -> Self {
        let place = Arc::new(TempDatabase::migrated(store).await);
        let config = Self::config(limits);
        let app = Self::on(place, config, providers, Clock::manual(START)).await;
        let account = accounts::create(&app.context, "Toko Biru").await;
        TestApp {
            account: account.expect("an account").id,
            ..app
        }
    }

    /// A second server on the same store with the same limits, that shares nothing else with this one but the time.
    pub(crate) async fn another_node(&self) -> Self {
        self.another_node_with(CACHE).await
    }

    /// The same, with so many bytes of memory.
    pub(crate) async fn another_node_with(&self, cache: u64) -> Self {
        let clock = self.context.clock.clone();
        let config = Config {
            cache,
            ..Self::config(self.limits.clone())
        };
        let app = Self::on(self.place.clone(), config, self.providers.clone(), clock).await;
        TestApp {
            account: self.account.clone(),
            ..app
        }
    }

    /// The same, with a clock of its own.
    #[cfg(feature = "postgres-tests")]
    pub(crate) async fn another_node_at(&self, clock: Clock) -> Self {
        let config = Self::config(self.limits.clone());
        let app = Self::on(self.place.clone(), config, self.providers.clone(), clock).await;
        TestApp {
            account: self.account.clone(),
            ..app
        }
    }

    fn config(limits: Limits) -> Config {
        Config {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            public_url: "https://inbox.example.com".to_owned(),
            limits,
            cache: CACHE,
        }
    }

    async fn on(
        place: Arc<TempDatabase>,
        config: Config,
        providers: Providers,
        clock: Clock,
    ) -> Self {
        let key = SecretKey::Text(SECRET_KEY.to_owned());
        let url = &config.public_url;
        let mut context = ops::open(&place.address(), Missing::Create, &key, url, clock)
            .await
            .expect("the store opens");
        context.set_cache(config.cache);
        context.set_providers(providers.clone());
        let server = Server::start(context.clone(), &config)
            .await
            .expect("the server starts");
        TestApp {
            account: AccountId::from_text(""),
            address: server.address(),
            client: client(),
            context,
            server,
            limits: config.limits,
            providers,
            place,
        }
    }

    /// What a handler can reach, for routes of a test's own.
    pub(crate) fn parts(&self) -> App {
        let (ingest, _) = Ingest::start(self.context.clone(), 1);
        let recorder = PrometheusBuilder::new().build_recorder();
        let (_, stopped) = watch::channel(false);
        App::new(Parts {
            context: self.context.clone(),
            ingest,
            bounds: Bounds::new(1, 1),
            body_memory: BodyMemory::new(self.limits.body_memory),
            rates: Rates::new(&self.limits),
            uses: Uses::default(),
            limits: self.limits.clone(),
            stopped,
            metrics: recorder.handle(),
        })
    }

    /// Stops the server as a signal would. What it holds is gone after that.
    pub(crate) async fn stop(self) {
        self.server.stop().await;
    }

    /// That nothing is wrong with the data, as `inboxd verify` finds.
    pub(crate) async fn verify(&self) {
        let checks = ops::verify::run(&self.context).await;
        for check in checks.expect("the store answers") {
            assert_eq!(check.breaches, [""; 0], "{}", check.promise);
        }
    }

    /// Where its data is.
    pub(crate) fn place(&self) -> &TempDatabase {
        &self.place
    }

    pub(crate) async fn another_account(&self) -> AccountId {
        let account = accounts::create(&self.context, "Warung Merah").await;
        account.expect("an account").id
    }

    /// A key of the account, with these scopes.
    pub(crate) async fn key(&self, scopes: &[Scope]) -> String {
        self.key_of(&self.account, scopes).await
    }

    pub(crate) async fn key_of(&self, account: &AccountId, scopes: &[Scope]) -> String {
        let new = NewKey {
            name: "a key",
            scopes,
            ..READER
        };
        let made = keys::create(&self.context, account, &new).await;
        made.expect("a key").1.expose_secret().to_owned()
    }

    /// Makes an inbox of the account, at this moment of its clock.
    pub(crate) async fn inbox(&self, body: Value) -> InboxId {
        self.inbox_of(&self.account, body).await
    }

    pub(crate) async fn inbox_of(&self, account: &AccountId, body: Value) -> InboxId {
        let body = body.as_object().expect("an object").clone();
        let made = inboxes::create(&self.context, account, body, None).await;
        made.expect("an inbox").id
    }

    /// Makes a WhatsApp inbox that has this `phone_number_id` and the usual secret.
    pub(crate) async fn whatsapp(&self, phone_number_id: &str) -> InboxId {
        self.inbox(whatsapp_body(phone_number_id)).await
    }

    pub(crate) async fn livechat(&self, name: &str) -> InboxId {
        self.inbox(json!({"name": name, "type": "livechat"})).await
    }

    pub(crate) fn get(&self, path: &str) -> Call {
        self.call(Method::GET, path)
    }

    pub(crate) fn post(&self, path: &str) -> Call {
        self.call(Method::POST, path)
    }

    pub(crate) fn patch(&self, path: &str) -> Call {
        self.call(Method::PATCH, path)
    }

    pub(crate) fn delete(&self, path: &str) -> Call {
        self.call(Method::DELETE, path)
    }

    pub(crate) fn call(&self, method: Method, path: &str) -> Call {
        Call::new(&self.client, self.address, method, path)
    }

    /// The account's inboxes as the API shows them.
    pub(crate) async fn listing(&self) -> Value {
        let key = self.key(&[Scope::Read]).await;
        self.get("/inboxes?limit=100").key(&key).send().await.data()
    }

    /// One inbox as the API shows it.
    pub(crate) async fn shown(&self, id: &InboxId) -> Value {
        let key = self.key(&[Scope::Read]).await;
        let path = format!("/inboxes/{id}");
        self.get(&path).key(&key).send().await.data()
    }

    /// How many rows of the whole store `FROM …` finds.
    pub(crate) async fn count(&self, from: &str) -> i64 {
        let sql = Sql::same(format!("SELECT count(*) FROM {from}").leak());
        let mut session = self.context.db.read().await.expect("the store answers");
        let count = session.query_opt(&sql, &[], |row| row.get::<i64>(0)).await;
        count.expect("a good statement").expect("a count")
    }
}

/// The next event after this one. On PostgreSQL it takes the way through the database.
pub(crate) async fn next_event(events: &mut Receiver<Live>, after: &EventId) -> Event {
    let next = async {
        loop {
            match events.recv().await.expect("the server goes on") {
                Live::Happened(event) if event.id > *after => return event,
                _ => {}
            }
        }
    };
    let next = tokio::time::timeout(program::PATIENCE, next).await;
    next.expect("an event")
}
