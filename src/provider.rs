//! Sends requests to the providers' APIs over HTTP. The crate `channels` builds the requests and reads the answers;
//! `ops` decides what follows from them. Test updates to our own hooks go the same way.
//!
//! Invariants: a request ends within the time that it was given; an answer takes a bounded amount of memory; and no URL
//! leaves this file, since Telegram's URLs contain the bot's token.

use crate::config;
use channels::api::{Api, Call, Failure};
use reqwest::{Client, Method, RequestBuilder, Url, header, redirect};
use rustls::{ClientConfig, RootCertStore};
use std::{
    error::Error as _,
    net::IpAddr,
    sync::{Arc, OnceLock},
    time::Duration,
};
use tokio::time::timeout;

/// The longest answer that is read, in bytes. Expected answers have a few hundred.
const MAX_ANSWER: usize = 64 * 1024;
/// How long a connection may take to be made: the name, the connection itself, and TLS.
const CONNECT: Duration = Duration::from_secs(5);
/// How long an idle connection is kept. Calls that belong together follow each other faster.
const KEPT: Duration = Duration::from_secs(10);

/// A client for the providers' APIs. Cheap to clone.
#[derive(Clone)]
pub struct Providers(Arc<Parts>);

struct Parts {
    config: config::Providers,
    /// Created at the first call: most processes never make one, and reading the system's root certificates takes a moment.
    client: OnceLock<Result<Client, String>>,
}

impl Providers {
    /// A client for the APIs at these addresses.
    pub fn new(config: config::Providers) -> Self {
        Providers(Arc::new(Parts {
            config,
            client: OnceLock::new(),
        }))
    }

    fn client(&self) -> &Result<Client, String> {
        self.0.client.get_or_init(|| client(&self.0.config))
    }

    /// Sends a call that a change depends on, with the longer time limit.
    pub async fn ask<T>(&self, call: &Call<T>) -> Result<T, Failure> {
        self.within(self.0.config.patience, call).await
    }

    /// Sends a call that only informs a reader, with the shorter time limit.
    pub async fn look<T>(&self, call: &Call<T>) -> Result<T, Failure> {
        self.within(self.0.config.glance, call).await
    }

    async fn within<T>(&self, time: Duration, call: &Call<T>) -> Result<T, Failure> {
        match timeout(time, self.exchange(call)).await {
            Ok(Ok((status, body))) => call.read(status, &body),
            Ok(Err(cause)) => Err(Failure::unclear(cause)),
            Err(_) => Err(Failure::unclear(format!("no answer within {time:?}"))),
        }
    }

    /// Sends a request that must not be repeated unless it is certain that the provider does not have it.
    pub async fn send<T>(&self, call: &Call<T>) -> Sent {
        let client = match self.client() {
            Ok(client) => client,
            Err(cause) => return Sent::Not(cause.clone()),
        };
        let time = self.0.config.send;
        match timeout(time, receive(self.request(client, call))).await {
            Ok(Ok((status, body))) => Sent::Answered(status, body),
            Ok(Err(error)) if error.is_unsent => Sent::Not(error.cause),
            Ok(Err(error)) => Sent::Perhaps(error.cause),
            Err(_) => Sent::Perhaps(format!("no answer within {time:?}")),
        }
    }

    /// How long after its beginning a request that sends a message is over, whatever came of it.
    pub fn send_limit(&self) -> Duration {
        self.0.config.send
    }

    /// Posts a JSON body to one of our own servers, as a provider would. Returns the answer's status and body, or why
    /// there is no answer.
    pub async fn post(&self, server: &str, request: &Request) -> Result<(u16, Vec<u8>), String> {
        let client = self.client().as_ref()?;
        let mut post = client
            .post(format!("{server}{}", request.path))
            .header(header::CONTENT_TYPE, "application/json")
            .body(request.body.clone());
        for (name, value) in &request.headers {
            post = post.header(*name, value);
        }
        let time = self.0.config.patience;
        match timeout(time, receive(post)).await {
            Ok(answer) => answer.map_err(|error| error.cause),
            Err(_) => Err(format!("no answer within {time:?}")),
        }
    }

    /// True if the Bot API is Telegram's own server, which refuses webhooks that another one may take.
    pub fn is_telegrams_own(&self) -> bool {
        self.0.config.telegram_url == config::Providers::default().telegram_url
    }

    /// Sends a call, and returns the answer's status and body, or why there is no answer.
    async fn exchange<T>(&self, call: &Call<T>) -> Result<(u16, Vec<u8>), String> {
        let client = self.client().as_ref()?;
        let received = receive(self.request(client, call)).await;
        received.map_err(|error| error.cause)
    }

    fn request<T>(&self, client: &Client, call: &Call<T>) -> RequestBuilder {
        let base = match call.api {
            Api::Telegram => &self.0.config.telegram_url,
            Api::Graph => &self.0.config.graph_url,
            Api::Instagram => &self.0.config.instagram_url,
        };
        let url = format!("{base}{}", call.path);
        let mut request = match &call.body {
            None => client.request(Method::GET, url),
            Some(body) => client
                .request(Method::POST, url)
                .header(header::CONTENT_TYPE, "application/json")
                .body(body.clone()),
        };
        if let Some(token) = &call.bearer {
            request = request.bearer_auth(token);
        }
        request
    }
}

/// What became of a request.
#[derive(Debug)]
pub enum Sent {
    /// No byte of it left: there was no connection. Why.
    Not(String),
    /// There is an answer: its status and body.
    Answered(u16, Vec<u8>),
    /// Some of it left, and no whole answer came: the provider may have carried it out. What happened.
    Perhaps(String),
}

/// Why there is no answer.
struct Unanswered {
    cause: String,
    /// Whether no byte of the request left.
    is_unsent: bool,
}

impl From<reqwest::Error> for Unanswered {
    fn from(error: reqwest::Error) -> Self {
        Unanswered {
            // A name that is not found and a failed TLS handshake are failures to connect, too.
            is_unsent: error.is_connect() || error.is_builder(),
            cause: cause(error),
        }
    }
}

/// A POST to one of our own hooks.
#[derive(Debug, Clone)]
pub struct Request {
    /// The URL's path.
    pub path: String,
    /// Headers beside the body's type.
    pub headers: Vec<(&'static str, String)>,
    /// A JSON text.
    pub body: String,
}

/// Sends a request, and reads the answer as far as it may be long.
async fn receive(request: RequestBuilder) -> Result<(u16, Vec<u8>), Unanswered> {
    let mut response = request.send().await?;
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await? {
        if body.len() + piece.len() > MAX_ANSWER {
            return Err(Unanswered {
                cause: format!("an answer of more than {MAX_ANSWER} bytes"),
                is_unsent: false,
            });
        }
        body.extend_from_slice(&piece);
    }
    Ok((response.status().as_u16(), body))
}

/// Checks the base address of an API, and returns it without a trailing slash.
pub fn base_address(text: &str) -> Result<String, &'static str> {
    const RULE: &str = "must be an address like https://api.example.com, without a query";
    let url = Url::parse(text).map_err(|_| RULE)?;
    let plain = matches!(url.scheme(), "http" | "https")
        && url.host_str().is_some_and(|host| !host.is_empty())
        && url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    if plain {
        Ok(text.trim().trim_end_matches('/').to_owned())
    } else {
        Err(RULE)
    }
}

fn client(config: &config::Providers) -> Result<Client, String> {
    let apis = [
        &config.telegram_url,
        &config.graph_url,
        &config.instagram_url,
    ];
    let mut builder = Client::builder();
    // A proxy is for what is far away.
    if apis.into_iter().all(|url| is_loopback(url)) {
        builder = builder.no_proxy();
    }
    builder
        .user_agent(concat!("inboxd/", env!("CARGO_PKG_VERSION")))
        .tls_backend_preconfigured(tls()?)
        // The APIs do not redirect, and a credential must never be sent to another host.
        .redirect(redirect::Policy::none())
        // Whether a request may be repeated is not for the client to decide.
        .retry(reqwest::retry::never())
        .connect_timeout(CONNECT)
        .pool_idle_timeout(KEPT)
        .build()
        .map_err(cause)
}

/// Whether a server at this address is on this machine.
fn is_loopback(url: &str) -> bool {
    let url = Url::parse(url).ok();
    let host = url.as_ref().and_then(Url::host_str).unwrap_or_default();
    let ip = host.trim_matches(['[', ']']).parse::<IpAddr>();
    ip.map_or(host == "localhost", |ip| ip.is_loopback())
}

/// Certificates are checked against the system's roots, to which an operator can add one. A system without roots, such
/// as a bare container, gets Mozilla's.
fn tls() -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    // The provider is named here, not taken from a process-wide default: every TLS connection uses this one.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(config)
}

/// The error with its chain of causes, and without the URL.
fn cause(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut behind = error.source();
    while let Some(error) = behind {
        text = format!("{text}: {error}");
        behind = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_on_this_machine_is_known_by_its_address() {
        for here in [
            "http://127.0.0.1:1/a",
            "http://[::1]:1",
            "http://localhost:8081",
        ] {
            assert!(is_loopback(here), "{here}");
        }
        for there in [
            "https://api.telegram.org",
            "http://127.0.0.1.example.com",
            "http://10.0.0.1",
        ] {
            assert!(!is_loopback(there), "{there}");
        }
    }

    #[test]
    fn a_base_address_is_http_and_nothing_but_an_address() {
        for (text, base) in [
            ("https://api.telegram.org", "https://api.telegram.org"),
            ("http://127.0.0.1:8081/", "http://127.0.0.1:8081"),
            (
                "https://proxy.example/telegram/",
                "https://proxy.example/telegram",
            ),
        ] {
            assert_eq!(base_address(text).as_deref(), Ok(base));
        }
        for wrong in [
            "",
            "api.telegram.org",
            "https://",
            "https://a:port",
            "ftp://a",
            "https://user:secret@a",
            "https://a?b",
            "https://a#b",
        ] {
            assert!(base_address(wrong).is_err(), "{wrong}");
        }
    }
}
