//! A connection: the head of a request, what follows it, and the frames of a live chat, as a stranger sends them to a real
//! server. Whatever it is, it gets an answer, and nothing panics. (A panic of a handler ends the fuzzing, too.)
//!
//! In the bytes `KEY!` stands for a good API key, and `CHAT` for the id of a live-chat inbox.
#![no_main]

use db::{Address, Missing};
use inboxd::{
    clock::Clock,
    config::{CACHE, Config, Limits},
    domain::Scope,
    ops::{self, SecretKey, accounts, inboxes, keys::{self, NewKey}},
    serve::Server,
};
use libfuzzer_sys::fuzz_target;
use serde_json::json;
use std::{
    env,
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    process,
    sync::LazyLock,
    time::Duration,
};
use tokio::runtime::Runtime;

struct Served {
    address: SocketAddr,
    key: String,
    chat: String,
    _server: Server,
    _runtime: Runtime,
}

static SERVED: LazyLock<Served> = LazyLock::new(|| {
    let runtime = Runtime::new().expect("a runtime");
    let (server, key, chat) = runtime.block_on(serve());
    Served {
        address: server.address(),
        key,
        chat,
        _server: server,
        _runtime: runtime,
    }
});

async fn serve() -> (Server, String, String) {
    let file = env::temp_dir().join(format!("inboxd-fuzz-{}.db", process::id()));
    let address: Address = format!("sqlite:{}", file.display())
        .parse()
        .expect("an address");
    let config = Config {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        public_url: "https://inbox.example.com".to_owned(),
        limits: Limits {
            rate_limit: 0,
            auth_failures: 0,
            ..Limits::default()
        },
        cache: CACHE,
    };
    let secret = SecretKey::Text("07".repeat(32));
    let context = ops::open(
        &address,
        Missing::Create,
        &secret,
        &config.public_url,
        Clock::system(),
    )
    .await
    .expect("a store");
    let account = accounts::create(&context, "Toko Biru")
        .await
        .expect("an account")
        .id;
    let new = NewKey {
        name: "a key",
        scopes: &Scope::ALL,
        expires_in: None,
        rate_limit: None,
    };
    let key = keys::create(&context, &account, &new).await;
    let chat = json!({"name": "Chat", "type": "livechat"});
    let chat = inboxes::create(
        &context,
        &account,
        chat.as_object().expect("an object").clone(),
    )
    .await;
    let server = Server::start(context, &config).await.expect("a server");
    let key = secrecy::ExposeSecret::expose_secret(&key.expect("a key").1).to_owned();
    (server, key, chat.expect("an inbox").id.to_string())
}

fn replaced(mut bytes: Vec<u8>, name: &[u8], by: &str) -> Vec<u8> {
    while let Some(at) = bytes.windows(name.len()).position(|window| window == name) {
        bytes.splice(at..at + name.len(), by.bytes());
    }
    bytes
}

fuzz_target!(|data: &[u8]| {
    let served = &*SERVED;
    let bytes = replaced(data.to_vec(), b"KEY!", &served.key);
    let bytes = replaced(bytes, b"CHAT", &served.chat);
    let mut stream = TcpStream::connect(served.address).expect("it listens");
    let patience = Some(Duration::from_secs(20));
    stream.set_read_timeout(patience).expect("a time");
    // It may have said its last already.
    stream.write_all(&bytes).ok();
    stream.shutdown(Shutdown::Write).ok();
    let mut answer = Vec::new();
    if let Err(error) = stream.read_to_end(&mut answer) {
        assert_ne!(error.kind(), std::io::ErrorKind::WouldBlock, "no end");
    }
    let asked = bytes.iter().any(|byte| !b"\r\n".contains(byte));
    let text = String::from_utf8_lossy(&answer);
    let whole = text.starts_with("HTTP/1.") && text.contains("\r\nx-request-id: ");
    assert!(!asked || whole, "{text}");
});
