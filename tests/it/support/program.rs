//! The program itself, run as its users run it: commands that end, and a server that answers until it is told to stop.

use super::{
    Answer, Call,
    bodies::phone_number,
    client,
    store::{SECRET_KEY, Store, TempDatabase},
    whatsapp,
};
use reqwest::{Client, Method};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::Value;
use std::{
    env, fs,
    io::{BufRead, BufReader, Write},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::{
        Mutex,
        mpsc::{Receiver, channel},
    },
    thread,
    time::Duration,
};
use tempfile::TempDir;
use tokio::time::sleep;

/// How long anything may take before a test gives up on it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A place to run commands in: a database, its secret key, and a working folder of its own.
pub(crate) struct Shell {
    pub(crate) url: String,
    folder: TempDir,
    /// Its data is removed last.
    place: Option<TempDatabase>,
}

impl Shell {
    /// With a database that is not there yet, or is empty.
    pub(crate) async fn empty(store: Store) -> Self {
        let place = TempDatabase::empty(store).await;
        let shell = Self::at(&place.url());
        Shell {
            place: Some(place),
            ..shell
        }
    }

    /// With a database that is ready, and nothing in it.
    pub(crate) async fn ready(store: Store) -> Self {
        let place = TempDatabase::migrated(store).await;
        let shell = Self::at(&place.url());
        if store == Store::Sqlite {
            shell.done(&["migrate"]);
        }
        Shell {
            place: Some(place),
            ..shell
        }
    }

    /// With a database that is ready, on a server of the test's own.
    #[cfg(feature = "postgres-tests")]
    pub(crate) fn on(server: &super::Postgres) -> Self {
        let shell = Self::at(&server.url("postgres"));
        shell.done(&["migrate"]);
        shell
    }

    /// With the database of this URL.
    pub(crate) fn at(url: &str) -> Self {
        Shell {
            url: url.to_owned(),
            folder: tempfile::tempdir().expect("a folder for the test"),
            place: None,
        }
    }

    /// The working folder.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Where the data is.
    pub(crate) fn place(&self) -> &TempDatabase {
        self.place.as_ref().expect("a place of its own")
    }

    /// Writes a file in the working folder.
    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.folder().join(name), text).expect("a file can be written");
    }

    /// `inboxd` with these arguments, ready to be run.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        self.wrapped(env!("CARGO_BIN_EXE_inboxd"), arguments)
    }

    /// Any program, in the same surroundings.
    pub(crate) fn wrapped(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        for (name, _) in env::vars_os() {
            if name.to_string_lossy().starts_with("INBOXD_") {
                command.env_remove(name);
            }
        }
        command
            .args(arguments)
            .current_dir(self.folder())
            .env("INBOXD_DATABASE_URL", &self.url)
            .env("INBOXD_SECRET_KEY", SECRET_KEY)
            // A test may ask as often as it likes, unless it is about that.
            .env("INBOXD_RATE_LIMIT", "0")
            .env("INBOXD_AUTH_FAILURES", "0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs `inboxd` with these arguments, however it ends.
    pub(crate) fn run(&self, arguments: &[&str]) -> Done {
        Done::of(&mut self.command(arguments))
    }

    /// The same, while the test goes on: for what the program wants to know from it.
    pub(crate) async fn run_async(&self, arguments: &[&str]) -> Done {
        Done::of_async(self.command(arguments)).await
    }

    /// Runs it with this text on its standard input.
    pub(crate) fn run_with(&self, arguments: &[&str], input: &str) -> Done {
        let mut command = self.command(arguments);
        let mut child = command.stdin(Stdio::piped()).spawn().expect("inboxd runs");
        let mut pipe = child.stdin.take().expect("a pipe");
        pipe.write_all(input.as_bytes()).expect("it listens");
        drop(pipe);
        Done::from(child.wait_with_output().expect("inboxd ends"))
    }

    /// Runs it, and expects that it does as it was told. Returns what it printed.
    #[track_caller]
    pub(crate) fn done(&self, arguments: &[&str]) -> String {
        let done = self.run(arguments);
        done.assert_code(0);
        done.stdout
    }

    /// The same with `--json`. Returns the value.
    #[track_caller]
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let arguments = [arguments, &["--json"]].concat();
        self.run(&arguments).json()
    }

    /// Makes an account. Returns its id.
    pub(crate) fn account(&self, name: &str) -> String {
        text(&self.json(&["account", "create", "--name", name])["id"])
    }

    /// Makes a key of the only account, with every scope.
    pub(crate) fn key(&self) -> String {
        let scopes = ["--scope", "read", "--scope", "write"];
        let create = [&["key", "create", "--name", "a key"][..], &scopes].concat();
        text(&self.json(&create)["key"])
    }

    /// Makes a WhatsApp inbox of the only account, with the usual secret. Returns its id.
    pub(crate) fn whatsapp(&self, phone_number_id: &str) -> String {
        let create = ["inbox", "create", "--type", "whatsapp", "--name", "Support"];
        let number = phone_number(phone_number_id);
        let fields = ["--phone-number", &number, "--app-secret"];
        let values = [whatsapp::APP_SECRET, "--phone-number-id", phone_number_id];
        text(&self.json(&[&create[..], &fields, &values].concat())["id"])
    }

    /// Starts a server on a free port, and waits until it says that it is ready.
    pub(crate) fn serve(&self) -> Running {
        self.start(self.command(&["serve", "--listen", "127.0.0.1:0"]))
    }

    /// Waits for the server that this command starts.
    pub(crate) fn start(&self, command: Command) -> Running {
        self.start_with_log(command, &self.folder().join("log"))
    }

    /// What the servers that ended here have logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder().join("log")).expect("a log")
    }

    /// The same with the log in this file.
    pub(crate) fn start_with_log(&self, command: Command, log: &Path) -> Running {
        Running::start(command, log.to_owned())
    }
}

/// A command that ended.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl From<Output> for Done {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("what it prints is text");
        Done {
            code: output.status.code(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }
}

impl Done {
    pub(crate) fn of(command: &mut Command) -> Self {
        Done::from(command.output().expect("it runs"))
    }

    /// The same, while the test goes on.
    pub(crate) async fn of_async(mut command: Command) -> Self {
        let done = tokio::task::spawn_blocking(move || Done::of(&mut command));
        done.await.expect("a command ends")
    }

    #[track_caller]
    pub(crate) fn assert_code(&self, code: i32) {
        assert_eq!(self.code, Some(code), "{self:?}");
    }

    /// That it ended with this code, said nothing on standard output, and said all of this on standard error.
    #[track_caller]
    pub(crate) fn assert_error(&self, code: i32, words: &[&str]) {
        self.assert_code(code);
        assert_eq!(self.stdout, "");
        for word in words {
            assert!(self.stderr.contains(word), "no {word:?} in {self:?}");
        }
    }

    /// The one JSON value on standard output of a command that did as it was told.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        self.assert_code(0);
        assert_eq!(self.stderr, "");
        serde_json::from_str(&self.stdout).expect("exactly one JSON value")
    }
}

/// A server that answers. It is killed when this is dropped.
pub(crate) struct Running {
    child: Child,
    pub(crate) address: SocketAddr,
    /// What it said before it was ready, line by line.
    pub(crate) said: Vec<String>,
    rest: Mutex<Receiver<String>>,
    log: PathBuf,
    client: Client,
}

impl Running {
    fn start(mut command: Command, log: PathBuf) -> Self {
        let errors = fs::File::options().create(true).append(true).open(&log);
        let errors = errors.expect("a file for the log");
        let mut child = command.stderr(errors).spawn().expect("inboxd runs");
        let out = BufReader::new(child.stdout.take().expect("a pipe"));
        let (lines, rest) = channel();
        thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                // Nobody reads on once the test is over.
                lines.send(line).ok();
            }
        });
        let mut said = Vec::new();
        let address = loop {
            let Ok(line) = rest.recv_timeout(PATIENCE) else {
                child.kill().expect("it can be killed");
                let log = fs::read_to_string(&log).unwrap_or_default();
                panic!("the server does not get ready: {said:?} {log}");
            };
            if let Some(address) = line.strip_prefix("inboxd is ready at http://") {
                break address.parse().expect("an address");
            }
            said.push(line);
        };
        Running {
            child,
            address,
            said,
            rest: Mutex::new(rest),
            log,
            client: client(),
        }
    }

    /// What it has written to standard error so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).expect("a log")
    }

    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn call(&self, method: Method, path: &str) -> Call {
        Call::new(&self.client, self.address, method, path)
    }

    pub(crate) fn get(&self, path: &str) -> Call {
        self.call(Method::GET, path)
    }

    pub(crate) fn post(&self, path: &str) -> Call {
        self.call(Method::POST, path)
    }

    /// An update as Meta sends it, signed with the usual secret.
    pub(crate) fn update(&self, payload: &Value) -> Call {
        let body = payload.to_string();
        let signature = whatsapp::sign(whatsapp::APP_SECRET, body.as_bytes());
        let call = self.post("/hooks/whatsapp");
        call.header("x-hub-signature-256", &signature)
            .raw_json(body)
    }

    /// Delivers, and gets the answer.
    pub(crate) async fn deliver(&self, payload: &Value) -> Answer {
        self.update(payload).send().await
    }

    /// Sends it a signal: `TERM`, `INT`, `KILL`.
    pub(crate) fn signal(&self, name: &str) {
        let process = self.process().to_string();
        let sent = Command::new("sh")
            .args(["-c", "kill -s \"$0\" \"$1\"", name, &process])
            .status();
        assert!(sent.expect("sh").success(), "no signal {name}");
    }

    /// Waits until it has ended. Returns how, and what it still said on standard output.
    pub(crate) async fn ended(&mut self) -> (ExitStatus, Vec<String>) {
        let mut status = None;
        eventually("the server ends", async || {
            status = self.child.try_wait().expect("a child of ours");
            status.is_some()
        })
        .await;
        let rest = self.rest.get_mut().expect("no panic inside");
        (status.expect("it ended"), rest.iter().collect())
    }

    /// Stops it as an operator does, and expects a clean end.
    pub(crate) async fn stop(mut self) {
        self.signal("TERM");
        let (status, rest) = self.ended().await;
        assert_eq!(status.code(), Some(0), "{}", self.log());
        assert!(rest.is_empty(), "{rest:?}");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Waits until something holds, and gives up only when it takes absurdly long.
pub(crate) async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    const STEP: Duration = Duration::from_millis(10);
    for _ in 0..PATIENCE.as_millis() / STEP.as_millis() {
        if holds().await {
            return;
        }
        sleep(STEP).await;
    }
    panic!("waited in vain until {what}");
}

/// Raises the limit of open files of the tests themselves.
pub(crate) fn open_as_many_files_as_allowed() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    setrlimit(Resource::Nofile, raised).expect("as high as it goes");
}

/// A JSON string's text.
#[track_caller]
pub(crate) fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

/// The keys of a JSON object, in their order.
#[track_caller]
pub(crate) fn keys(value: &Value) -> Vec<&str> {
    let object = value.as_object().expect("an object");
    object.keys().map(String::as_str).collect()
}
