//! The example of docs/livechat.md, as it stands there, in a real browser: two pages of one visitor, an answer, a server that
//! stops, a log-in and a log-out.

use crate::support::{
    Running, Shell, Store,
    browser::{Browser, Page},
    eventually,
    program::text,
};
use axum::{Router, http::header, routing::get};
use reqwest::Method;
use serde_json::{Value, json};
use std::{fs, net::SocketAddr, path::Path};
use tokio::net::TcpListener;

/// The return key.
const RETURN: &str = "\u{e007}";

/// A website with the example, for an inbox that allows its pages.
struct Site {
    shell: Shell,
    server: Running,
    inbox: String,
    key: String,
    website: SocketAddr,
    browser: Browser,
}

impl Site {
    async fn start() -> Self {
        let shell = Shell::ready(Store::Sqlite).await;
        shell.account("Toko Biru");
        let server = shell.serve();
        let listener = listen().await;
        let website = listener.local_addr().expect("an address");
        let origin = format!("http://{website}");
        let create = ["inbox", "create", "--type", "livechat", "--name", "Website"];
        let inbox = shell.json(&[&create[..], &["--allowed-origin", &origin]].concat());
        let scopes = ["--scope", "read", "--scope", "write", "--scope", "send"];
        let key = shell.json(&[&["key", "create", "--name", "a key"][..], &scopes].concat());
        let (inbox, key) = (text(&inbox["id"]), text(&key["key"]));
        serve(listener, server.address, &inbox);
        Site {
            browser: Browser::start().await,
            shell,
            server,
            inbox,
            key,
            website,
        }
    }

    async fn data(&self, path: &str) -> Value {
        self.server.get(path).key(&self.key).send().await.data()
    }

    async fn messages(&self) -> Vec<Value> {
        let path = format!("/messages?inbox_id={}", self.inbox);
        let listed = self.data(&path).await;
        listed.as_array().expect("a list").clone()
    }

    /// Answers in the inbox's only conversation. Returns the message's id.
    async fn answer(&self, words: &str) -> String {
        let conversations = self.data("/conversations").await;
        let body = json!({"conversation_id": conversations[0]["id"], "type": "text", "content": {"text": words}});
        let call = self.server.post("/messages").key(&self.key);
        let sent = call.json(&body).send().await;
        sent.assert_status(201);
        text(&sent.data()["id"])
    }

    async fn becomes(&self, id: &str, status: &str) {
        eventually("an answer has another status", async || {
            self.data(&format!("/messages/{id}")).await["status"] == status
        })
        .await;
    }

    async fn open(&self) {
        self.browser
            .goto(&format!("http://{}/", self.website))
            .await;
    }

    /// Waits until each page shows just these messages.
    async fn show(&self, pages: &[&Page], words: &[&str]) {
        for page in pages {
            self.browser.switch(page).await;
            let expected = json!(words);
            let shown =
                "JSON.stringify([...document.querySelectorAll('li')].map(li => li.textContent))";
            let condition = format!("{shown} === {:?}", expected.to_string());
            self.browser.until(&condition).await;
        }
    }

    /// Whether the page is in front, as far as it can tell.
    async fn set_visible(&self, page: &Page, visible: bool) {
        let script = "Object.defineProperty(document, 'visibilityState', {value: arguments[0], configurable: true});
            document.dispatchEvent(new Event('visibilitychange'))";
        let state = if visible { "visible" } else { "hidden" };
        self.browser.switch(page).await;
        self.browser.run(script, json!([state])).await;
    }

    async fn say(&self, words: &str) {
        self.browser.type_into("#text", words).await;
        self.browser.click("button").await;
    }
}

async fn listen() -> TcpListener {
    let listener = TcpListener::bind("127.0.0.1:0").await;
    listener.expect("a free port")
}

/// Serves the example of the document, with an inbox and a server put in.
fn serve(listener: TcpListener, server: SocketAddr, inbox: &str) {
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/livechat.md");
    let document = fs::read_to_string(document).expect("the document");
    let (_, example) = document.split_once("## An example").expect("an example");
    let block = |language: &str| {
        let (_, block) = example.split_once(&format!("```{language}\n"))?;
        Some(block.split_once("```")?.0.to_owned())
    };
    let page = block("html").expect("a page");
    let script = block("javascript").expect("a script");
    let base = "'https://inbox.example.com/livechat/ID'";
    assert!(script.contains(base), "the address is named once");
    let script = script.replace(base, &format!("'http://{server}/livechat/{inbox}'"));
    let kind = |kind: &'static str, body: String| {
        get(async move || ([(header::CONTENT_TYPE, kind)], body))
    };
    let router = Router::new()
        .route("/", kind("text/html", page))
        .route("/chat.js", kind("text/javascript", script))
        // A browser asks for it by itself.
        .route("/favicon.ico", kind("image/x-icon", String::new()));
    tokio::spawn(async move { axum::serve(listener, router).await });
}

#[tokio::test]
async fn a_visitor_chats_in_two_pages_logs_in_and_logs_out() {
    let mut site = Site::start().await;
    let browser = &site.browser;
    site.open().await;
    let first = browser.page().await;
    site.say("Is it in stock?").await;
    site.show(&[&first], &["Is it in stock?"]).await;
    let second = browser.new_page().await;
    site.open().await;
    site.show(&[&second], &["Is it in stock?"]).await;

    // An answer reaches both pages, and is read once one of them is in front.
    site.set_visible(&first, false).await;
    site.set_visible(&second, false).await;
    let answer = site.answer("Yes, it is.").await;
    let both = ["Is it in stock?", "Yes, it is."];
    site.show(&[&first, &second], &both).await;
    site.becomes(&answer, "delivered").await;
    browser.until("document.title === '(1) Chat'").await;
    site.set_visible(&first, true).await;
    site.becomes(&answer, "read").await;
    for page in [&first, &second] {
        browser.switch(page).await;
        browser.until("document.title === 'Chat'").await;
    }
    browser.screenshot("livechat-answered").await;

    // All of it is still there after a reload.
    browser.reload().await;
    site.show(&[&second], &both).await;
    assert_eq!(browser.errors().await, [""; 0]);

    // The server is away for a while: what is said meanwhile arrives afterwards, once.
    let address = site.server.address;
    site.server.signal("TERM");
    site.server.ended().await;
    let browser = &site.browser;
    browser.until("socket.readyState === 3").await;
    browser
        .type_into("#text", &format!("Then I take two{RETURN}"))
        .await;
    let listen = address.to_string();
    site.server = site
        .shell
        .start(site.shell.command(&["serve", "--listen", &listen]));
    let three = ["Is it in stock?", "Yes, it is.", "Then I take two"];
    site.show(&[&first, &second], &three).await;
    assert_eq!(site.messages().await.len(), 3);
    site.answer("Gladly.").await;
    let four = [&three[..], &["Gladly."]].concat();
    site.show(&[&first, &second], &four).await;

    log_in_and_out(&site, &first, &second, &four).await;
    assert_eq!(
        site.data("/conversations").await.as_array().map(Vec::len),
        Some(1)
    );
    site.server.stop().await;
    site.shell.done(&["verify"]);
}

/// The conversation goes along into the user's account, and stays there.
async fn log_in_and_out(site: &Site, first: &Page, second: &Page, written: &[&str]) {
    let browser = &site.browser;
    let setup = site.data(&format!("/inboxes/{}/setup", site.inbox)).await;
    let secret = text(&setup["identity_secret"]);
    let hash = channels::signature::sign_meta(secret.as_bytes(), b"customer-17");
    let hash = hash.strip_prefix("sha256=").expect("a prefix");
    let user = json!(["customer-17", hash]);
    browser.switch(first).await;
    browser
        .run("return logIn(...arguments)", user.clone())
        .await;
    // The other page notices by itself.
    site.show(&[first, second], written).await;
    browser.until("visitor === 'user:customer-17'").await;
    site.say("It is me").await;
    let five = [written, &["It is me"]].concat();
    site.show(&[first, second], &five).await;
    let conversation = site.data("/conversations").await[0].clone();
    assert_eq!(conversation["messages_count"], 5);

    browser.switch(first).await;
    browser.run("return logOut()", json!([])).await;
    site.show(&[first, second], &[]).await;
    // Both pages are the same visitor again, whichever was faster.
    for page in [first, second, first] {
        browser.switch(page).await;
        browser.until("visitor === stored()?.visitor_id").await;
    }
    browser.switch(second).await;
    site.say("Somebody else").await;
    site.show(&[second, first], &["Somebody else"]).await;
    browser.screenshot("livechat-logged-out").await;
    browser.run("return logIn(...arguments)", user).await;
    // What was written in between goes along, too.
    let six = [&five[..], &["Somebody else"]].concat();
    site.show(&[first, second], &six).await;
}

#[tokio::test]
async fn a_page_of_another_origin_is_refused() {
    let site = Site::start().await;
    let browser = &site.browser;
    let listener = listen().await;
    let elsewhere = listener.local_addr().expect("an address");
    serve(listener, site.server.address, &site.inbox);
    browser.goto(&format!("http://{elsewhere}/")).await;
    browser.until("wait > 1000").await;
    let errors = browser.errors().await;
    assert!(
        errors.iter().any(|error| error.contains("403")),
        "{errors:?}"
    );
    assert_eq!(browser.run("return stored()", json!([])).await, Value::Null);
    // With a token of an allowed page it is no better off.
    let call = site
        .server
        .call(Method::POST, &format!("/livechat/{}/sessions", site.inbox));
    let origin = format!("http://{}", site.website);
    let made = call.header("origin", &origin).json(&json!({})).send().await;
    let session = made.data();
    browser.run("store(arguments[0])", json!([session])).await;
    browser.reload().await;
    browser.until("wait > 1000").await;
    site.browser
        .type_into("#text", &format!("Hello{RETURN}"))
        .await;
    browser.until("wait > 2000").await;
    browser.screenshot("livechat-refused").await;
    assert!(site.messages().await.is_empty());
}
