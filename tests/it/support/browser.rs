//! A real browser: Chromium, driven over WebDriver (<https://www.w3.org/TR/webdriver2/>) by plain requests.
//!
//! It runs without a window, with a profile of its own, and is gone when this is dropped, also after a panic.

use super::{client, program::PATIENCE};
use data_encoding::BASE64;
use reqwest::{Client, Method};
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};
use std::{
    env, fs,
    io::{BufRead, BufReader},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc::channel,
    thread,
    time::Duration,
};
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

/// What WebDriver calls the id of an element.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A browser with one or more pages, of which one is driven at a time.
pub(crate) struct Browser {
    driver: Child,
    client: Client,
    /// The address of its session.
    session: String,
    /// Its profile is removed last.
    _profile: TempDir,
}

/// The name of a page in a browser.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Page(String);

impl Browser {
    /// Starts a browser with an empty page.
    pub(crate) async fn start() -> Self {
        let (driver, browser) = (program("chromedriver"), program("chromium"));
        let profile = tempfile::tempdir().expect("a folder for the profile");
        let mut driver = Command::new(driver)
            .arg("--port=0")
            .env("TMPDIR", profile.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            // What it starts is in this group, and ends with it.
            .process_group(0)
            .spawn()
            .expect("chromedriver runs");
        let port = port(&mut driver);
        let mut started = Browser {
            driver,
            client: client(),
            session: format!("http://127.0.0.1:{port}/session"),
            _profile: profile,
        };
        let folder = format!("--user-data-dir={}", started._profile.path().display());
        let arguments = [
            "--headless",
            // Root has no sandbox.
            "--no-sandbox",
            "--disable-dev-shm-usage",
            "--disable-gpu",
            "--disable-breakpad",
            "--disable-background-networking",
            "--no-first-run",
            "--window-size=900,700",
            &folder,
        ];
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": {"binary": browser, "args": arguments},
            "goog:loggingPrefs": {"browser": "ALL"},
        }}});
        let made = started.call(Method::POST, "", wanted).await;
        let id = made["sessionId"].as_str().expect("a session");
        started.session = format!("{}/{id}", started.session);
        started
    }

    /// Opens an address in the page.
    pub(crate) async fn goto(&self, url: &str) {
        self.post("url", json!({"url": url})).await;
    }

    /// Loads the page again.
    pub(crate) async fn reload(&self) {
        self.post("refresh", json!({})).await;
    }

    /// The page that is driven.
    pub(crate) async fn page(&self) -> Page {
        let name = self.call(Method::GET, "/window", Value::Null).await;
        Page(name.as_str().expect("a name").to_owned())
    }

    /// Opens another empty page, and drives it.
    pub(crate) async fn new_page(&self) -> Page {
        let made = self.post("window/new", json!({"type": "window"})).await;
        let page = Page(made["handle"].as_str().expect("a name").to_owned());
        self.switch(&page).await;
        page
    }

    /// Drives this page from now on.
    pub(crate) async fn switch(&self, page: &Page) {
        self.post("window", json!({"handle": page.0})).await;
    }

    /// Clicks on what a CSS selector finds, as a person does: it must be there and not be covered.
    pub(crate) async fn click(&self, selector: &str) {
        let element = self.element(selector).await;
        let path = format!("element/{element}/click");
        self.post(&path, json!({})).await;
    }

    /// Types into what a CSS selector finds, key by key. `\u{e007}` is the return key.
    pub(crate) async fn type_into(&self, selector: &str, text: &str) {
        let element = self.element(selector).await;
        let path = format!("element/{element}/value");
        self.post(&path, json!({"text": text})).await;
    }

    /// Runs the body of a function in the page, and waits for what it promises. Its `arguments` are these.
    pub(crate) async fn run(&self, script: &str, arguments: Value) -> Value {
        let body = json!({"script": script, "args": arguments});
        self.post("execute/sync", body).await
    }

    /// Waits until an expression of JavaScript is true in the page.
    pub(crate) async fn until(&self, condition: &str) {
        let script = format!("return Boolean({condition})");
        let held = async {
            while self.run(&script, json!([])).await != true {
                sleep(Duration::from_millis(20)).await;
            }
        };
        if timeout(PATIENCE, held).await.is_err() {
            self.give_up(condition).await;
        }
    }

    /// What has gone wrong in the page since it was last asked, as its console shows it: failed requests, too.
    pub(crate) async fn errors(&self) -> Vec<String> {
        let log = self.post("se/log", json!({"type": "browser"})).await;
        let entries = log.as_array().expect("a list").iter();
        let errors = entries.filter(|entry| entry["level"] == "SEVERE");
        errors.map(|entry| entry["message"].to_string()).collect()
    }

    /// Keeps a picture of the page below the target folder. Returns where.
    pub(crate) async fn screenshot(&self, name: &str) -> PathBuf {
        let picture = self.call(Method::GET, "/screenshot", Value::Null).await;
        let picture = picture.as_str().expect("a picture").as_bytes();
        let picture = BASE64.decode(picture).expect("base64");
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("screenshots");
        fs::create_dir_all(&folder).expect("a folder for pictures");
        let path = folder.join(format!("{name}.png"));
        fs::write(&path, picture).expect("a picture can be written");
        path
    }

    async fn give_up(&self, condition: &str) -> ! {
        let picture = self.screenshot("given-up").await;
        let text = self.run("return document.body.innerText", json!([])).await;
        let errors = self.errors().await;
        panic!(
            "waited in vain for {condition}: {text} {errors:?} {}",
            picture.display()
        );
    }

    async fn element(&self, selector: &str) -> String {
        let body = json!({"using": "css selector", "value": selector});
        let found = self.post("element", body).await;
        found[ELEMENT].as_str().expect("an element").to_owned()
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        self.call(Method::POST, &format!("/{path}"), body).await
    }

    async fn call(&self, method: Method, path: &str, body: Value) -> Value {
        let request = self
            .client
            .request(method.clone(), format!("{}{path}", self.session));
        let request = match body {
            Value::Null => request,
            body => request.json(&body),
        };
        let answer = request.timeout(PATIENCE).send().await;
        let mut answer: Value = answer
            .expect("chromedriver answers")
            .json()
            .await
            .expect("JSON");
        let value = answer["value"].take();
        let error = &value["error"];
        assert!(
            error.is_null(),
            "{method} {path}: {error} {}",
            value["message"]
        );
        value
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let group = i32::try_from(self.driver.id()).ok().and_then(Pid::from_raw);
        if let Some(group) = group {
            // It may have ended already.
            kill_process_group(group, Signal::KILL).ok();
        }
        self.driver.wait().ok();
    }
}

/// The port on which the driver says that it listens.
fn port(driver: &mut Child) -> u16 {
    let out = BufReader::new(driver.stdout.take().expect("a pipe"));
    let (lines, said) = channel();
    thread::spawn(move || {
        for line in out.lines().map_while(Result::ok) {
            // Nobody reads on once the port is known.
            lines.send(line).ok();
        }
    });
    loop {
        let line = said.recv_timeout(PATIENCE).expect("chromedriver starts");
        if let Some((_, port)) = line.split_once("successfully on port ") {
            return port.trim_end_matches('.').parse().expect("a port");
        }
    }
}

fn program(name: &str) -> PathBuf {
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file());
    found.unwrap_or_else(|| {
        panic!("{name} is not installed. On Debian: apt-get install chromium chromium-driver")
    })
}
