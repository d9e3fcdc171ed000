//! `inboxd serve`: how it starts, what it says, what it notices while it runs, and how it stops.

use crate::support::{
    Done, Running, Shell, Store, eventually, on_both_stores,
    program::{keys, open_as_many_files_as_allowed, text},
    whatsapp,
};
use db::{Database, Missing, Sql};
use reqwest::Method;
use serde_json::{Value, json};
use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::fs::PermissionsExt,
    path::PathBuf,
};

on_both_stores![
    an_empty_database_gets_an_account_and_a_key_that_is_said_once,
    a_first_key_that_was_never_shown_is_said_once,
    one_line_says_that_it_is_ready,
    sigterm_and_sigint_end_it_with_0,
    a_request_in_flight_at_a_stop_finishes,
    who_has_just_connected_at_a_stop_is_answered,
    who_has_asked_on_an_idle_connection_at_a_stop_is_answered,
    who_waits_to_be_accepted_at_a_stop_is_answered,
    what_the_command_line_changes_holds_from_the_next_request,
    a_wrong_secret_key_is_an_error_at_the_start,
    a_taken_port_is_an_error_at_the_start,
    wrong_flags_are_an_error_at_the_start,
    flags_can_be_variables,
    a_flag_goes_on_to_work_under_its_former_name,
    updates_are_there_after_a_restart,
];

async fn an_empty_database_gets_an_account_and_a_key_that_is_said_once(store: Store) {
    let shell = Shell::empty(store).await;
    let server = shell.serve();
    let said = server.said.join("\n");
    let curl = said
        .lines()
        .map(str::trim)
        .find(|line| line.starts_with("curl "))
        .expect("a line to paste");
    let url = format!("http://{}/inboxes", server.address);
    let start = format!("curl -X GET \"{url}\" -H \"Authorization: Bearer ");
    let key = curl.strip_prefix(&start).and_then(|k| k.strip_suffix('"'));
    let key = key.expect("the page's own curl line");
    server
        .get("/inboxes")
        .key(key)
        .send()
        .await
        .assert_status(200);
    assert!(!server.log().contains(key));
    server.stop().await;
    assert_eq!(said.matches(key).count(), 2, "shown, and in the curl line");
    let accounts = shell.json(&["account", "list"]);
    assert_eq!(accounts.as_array().map(Vec::len), Some(1));

    let again = shell.serve();
    assert_eq!(again.said, [""; 0], "nothing to welcome anybody to");
    again
        .get("/inboxes")
        .key(key)
        .send()
        .await
        .assert_status(200);
    again.stop().await;
    assert_eq!(shell.json(&["account", "list"]), accounts);
}

/// A kill between the commit and the words leaves a key that nobody has.
async fn a_first_key_that_was_never_shown_is_said_once(store: Store) {
    let shell = Shell::empty(store).await;
    shell.serve().stop().await;
    let key = "UPDATE instance SET value = $1 WHERE name = 'first_account'";
    let db = Database::open(&shell.place().address(), Missing::Fail).await;
    let db = db.expect("it opens");
    let mut session = db.write().await.expect("a session");
    let unseen = b"its key was not shown yet".as_slice();
    let changed = session.execute(&Sql::same(key), &[unseen.into()]).await;
    assert_eq!(changed.expect("a good statement"), 1);
    session.commit().await.expect("committed");
    db.close().await;

    for _ in 0..2 {
        shell.serve().stop().await;
        let said = shell.log().matches("inboxd key create").count();
        assert_eq!(said, 1);
    }
}

async fn one_line_says_that_it_is_ready(store: Store) {
    let shell = Shell::ready(store).await;
    shell.account("Toko Biru");
    // `serve` waits for exactly that line, and `stop` sees that no other follows.
    let server = shell.serve();
    assert_eq!(server.said, [""; 0]);
    server.get("/readyz").send().await.assert_status(200);
    server.stop().await;
}

async fn sigterm_and_sigint_end_it_with_0(store: Store) {
    let shell = Shell::ready(store).await;
    for signal in ["TERM", "INT"] {
        let mut server = shell.serve();
        server.get("/healthz").send().await.assert_status(200);
        server.signal(signal);
        let (status, _) = server.ended().await;
        assert_eq!(status.code(), Some(0), "{signal}: {}", server.log());
        if store == Store::Sqlite {
            let log = fs::metadata(format!("{}-wal", shell.file().display()));
            assert!(log.is_err(), "all is in the one file");
        }
    }
}

async fn a_request_in_flight_at_a_stop_finishes(store: Store) {
    let shell = Shell::ready(store).await;
    shell.account("Toko Biru");
    let key = shell.key();
    let mut server = shell.serve();
    let body = json!({"name": "Made at the last moment", "type": "livechat"}).to_string();
    let mut stream = TcpStream::connect(server.address).expect("it listens");
    write!(
        stream,
        "POST /inboxes HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\nexpect: 100-continue\r\n\r\n",
        body.len()
    )
    .expect("it reads");
    // It asks for the body, so the request is in flight.
    let mut asked = [0; 25];
    stream.read_exact(&mut asked).expect("it asks for the body");
    assert_eq!(&asked[..21], b"HTTP/1.1 100 Continue");
    server.signal("TERM");
    let address = server.address;
    eventually("it takes no new connections", async || {
        TcpStream::connect(address).is_err()
    })
    .await;
    stream.write_all(body.as_bytes()).expect("it reads on");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    assert!(answer.starts_with("HTTP/1.1 201 Created"), "{answer}");
    let (status, _) = server.ended().await;
    assert_eq!(status.code(), Some(0));
    let listed = shell.json(&["inbox", "list"]);
    assert_eq!(listed[0]["name"], "Made at the last moment");
}

/// A client between its connection and its request cannot know that the server is stopping.
async fn who_has_just_connected_at_a_stop_is_answered(store: Store) {
    let shell = Shell::ready(store).await;
    shell.account("Toko Biru");
    let mut server = shell.serve();
    let mut stream = TcpStream::connect(server.address).expect("it listens");
    // Once it has answered a later one, it has accepted this one.
    server.get("/healthz").send().await.assert_status(200);
    server.signal("TERM");
    let address = server.address;
    eventually("it takes no new connections", async || {
        TcpStream::connect(address).is_err()
    })
    .await;
    write!(stream, "GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");
    assert_eq!(server.ended().await.0.code(), Some(0));
}

/// The server may hear of the signal before it hears of what was sent before it.
async fn who_has_asked_on_an_idle_connection_at_a_stop_is_answered(store: Store) {
    const ASK: &[u8] = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n";
    open_as_many_files_as_allowed();
    let shell = Shell::ready(store).await;
    shell.account("Toko Biru");
    let mut server = shell.serve();
    let mut streams: Vec<_> = (0..1500)
        .map(|_| TcpStream::connect(server.address).expect("it listens"))
        .collect();
    let mut room = [0; 4096];
    for stream in &mut streams {
        stream.write_all(ASK).expect("it reads");
        let read = stream.read(&mut room).expect("it answers");
        assert!(room[..read].starts_with(b"HTTP/1.1 200 OK"));
    }
    server.signal("STOP");
    for stream in &mut streams {
        stream.write_all(ASK).expect("the kernel takes it");
    }
    server.signal("TERM");
    server.signal("CONT");
    for mut stream in streams {
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    }
    assert_eq!(server.ended().await.0.code(), Some(0));
}

/// The kernel takes connections for a server that is busy. They are as good as any other.
async fn who_waits_to_be_accepted_at_a_stop_is_answered(store: Store) {
    let shell = Shell::ready(store).await;
    shell.account("Toko Biru");
    let mut server = shell.serve();
    server.signal("STOP");
    let mut streams: Vec<_> = (0..60)
        .map(|_| TcpStream::connect(server.address).expect("the kernel listens"))
        .collect();
    for stream in &mut streams {
        write!(
            stream,
            "GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
        )
        .expect("the kernel reads");
    }
    server.signal("TERM");
    server.signal("CONT");
    for mut stream in streams {
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    }
    assert_eq!(server.ended().await.0.code(), Some(0));
}

async fn what_the_command_line_changes_holds_from_the_next_request(store: Store) {
    let shell = Shell::ready(store).await;
    shell.account("Toko Biru");
    let server = shell.serve();
    let made = shell.json(&["key", "create", "--name", "A"]);
    let (id, key) = (text(&made["id"]), text(&made["key"]));
    let list = async || server.get("/inboxes").key(&key).send().await;
    assert_eq!(list().await.data(), json!([]));
    let create = ["inbox", "create", "--type", "livechat", "--name", "Website"];
    let inbox = shell.json(&create);
    assert_eq!(list().await.data(), json!([inbox]));
    let inbox_id = text(&inbox["id"]);
    let off = shell.json(&["inbox", "update", &inbox_id, "--status", "inactive"]);
    assert_eq!(list().await.data(), json!([off]));
    shell.json(&["inbox", "delete", &inbox_id]);
    assert_eq!(list().await.data(), json!([]));
    shell.whatsapp("42");
    let message = whatsapp::text("628111", "wamid.1", "Hello");
    let update = whatsapp::update("42", &[message]);
    server.deliver(&update).await.assert_status(200);
    assert_eq!(list().await.data()[0]["messages_count"], 1);
    assert_eq!(shell.json(&["inbox", "list"])[0]["messages_count"], 1);
    shell.json(&["key", "revoke", &id]);
    list().await.assert_unauthorized();
    server.stop().await;
}

async fn a_wrong_secret_key_is_an_error_at_the_start(store: Store) {
    let shell = Shell::ready(store).await;
    shell.account("Toko Biru");
    let serve = ["serve", "--listen", "127.0.0.1:0"];
    let with = |key: &str| shell.run(&[&serve[..], &["--secret-key", key]].concat());
    with(&"ab".repeat(32)).assert_error(1, &["set up with a different INBOXD_SECRET_KEY"]);
    with("abc").assert_error(2, &["--secret-key: must be 32 bytes"]);
    // The right one still works.
    shell.serve().stop().await;
}

async fn a_taken_port_is_an_error_at_the_start(store: Store) {
    let shell = Shell::ready(store).await;
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    shell
        .run(&["serve", "--listen", &address])
        .assert_error(1, &["cannot listen on", &address, "--listen"]);
    // Nobody was welcomed, so the next start does.
    assert_eq!(shell.json(&["account", "list"]), json!([]));
}

async fn wrong_flags_are_an_error_at_the_start(store: Store) {
    let shell = Shell::ready(store).await;
    for (flag, value) in [
        ("--listen", "nowhere"),
        ("--public-url", "inbox.example.com"),
        ("--max-connections", "0"),
        ("--max-header-bytes", "1"),
        ("--header-timeout", "10"),
        ("--cache-bytes", "-1"),
        ("--rate-limit", "many"),
    ] {
        let flag_and_value = format!("{flag}={value}");
        shell
            .run(&["serve", &flag_and_value])
            .assert_error(2, &[flag, "must be"]);
    }
}

async fn flags_can_be_variables(store: Store) {
    let shell = Shell::ready(store).await;
    shell.account("Toko Biru");
    let inbox = shell.whatsapp("42");
    let mut command = shell.command(&["serve"]);
    command
        .env("INBOXD_LISTEN", "127.0.0.1:0")
        .env("INBOXD_PUBLIC_URL", "https://inbox.example.com")
        .env("INBOXD_MAX_BODY_BYTES", "1024");
    let server = shell.start(command);
    let key = shell.key();
    let setup = server.get(&format!("/inboxes/{inbox}/setup")).key(&key);
    assert_eq!(
        setup.send().await.data()["webhook_url"],
        "https://inbox.example.com/hooks/whatsapp"
    );
    let large = server.post("/inboxes").key(&key).raw_json(vec![b' '; 1025]);
    large.send().await.assert_status(413);
    server.stop().await;
}

async fn a_flag_goes_on_to_work_under_its_former_name(store: Store) {
    let shell = Shell::ready(store).await;
    shell.account("Toko Biru");
    let size = ["--max-delivery-bytes", "1024"];
    let by_flag = [&["serve", "--listen", "127.0.0.1:0"], &size[..]].concat();
    let mut by_variable = shell.command(&["serve", "--listen", "127.0.0.1:0"]);
    by_variable.env("INBOXD_MAX_DELIVERY_BYTES", "1024");
    for command in [shell.command(&by_flag), by_variable] {
        let server = shell.start(command);
        let large = server.post("/hooks/whatsapp");
        let large = large.header("x-hub-signature-256", "sha256=0");
        large
            .raw_json(vec![b' '; 1025])
            .send()
            .await
            .assert_status(413);
        server.stop().await;
    }
    let help = shell.done(&["serve", "--help"]);
    assert!(!help.contains("delivery"), "{help}");
}

async fn updates_are_there_after_a_restart(store: Store) {
    let shell = Shell::ready(store).await;
    shell.account("Toko Biru");
    let inbox = shell.whatsapp("42");
    let key = shell.key();
    let update = whatsapp::update(
        "42",
        &[
            whatsapp::text("628111", "wamid.1", "Hello"),
            whatsapp::text("628111", "wamid.2", "Anybody there?"),
        ],
    );
    let server = shell.serve();
    server.deliver(&update).await.assert_status(200);
    server.stop().await;
    let server = shell.serve();
    server.deliver(&update).await.assert_status(200);
    let shown = server.get(&format!("/inboxes/{inbox}")).key(&key);
    let shown = shown.send().await.data();
    assert_eq!(shown["messages_count"], 2);
    assert_eq!(shown["status"], "active");
    server.stop().await;
}

#[tokio::test]
async fn sqlite_in_the_working_folder_is_the_default() {
    let shell = Shell::at("");
    let mut command = shell.command(&["serve", "--listen", "127.0.0.1:0"]);
    command
        .env_remove("INBOXD_DATABASE_URL")
        .env_remove("INBOXD_SECRET_KEY");
    let server = shell.start(command);
    server.get("/readyz").send().await.assert_status(200);
    server.stop().await;
    let key = shell.folder().join("inboxd.db.key");
    let mode = fs::metadata(&key).expect("a key was made").permissions();
    assert_eq!(mode.mode() & 0o777, 0o600);
    let made = fs::read_to_string(&key).expect("a text");
    assert_eq!(made.trim().len(), 64);

    // The next start uses it; without it nothing that it sealed could be opened, and that is said.
    fs::write(&key, "00".repeat(32)).expect("a file can be written");
    let mut command = shell.command(&["account", "list"]);
    command
        .env_remove("INBOXD_DATABASE_URL")
        .env_remove("INBOXD_SECRET_KEY");
    let wrong = crate::support::Done::of(&mut command);
    wrong.assert_error(1, &["set up with a different INBOXD_SECRET_KEY"]);
}

#[tokio::test]
async fn the_demo_lists_four_inboxes_and_leaves_nothing_behind() {
    let shell = Shell::at("");
    let temporary = shell.folder().join("tmp");
    fs::create_dir(&temporary).expect("a folder");
    let mut command = shell.command(&["serve", "--demo", "--listen", "127.0.0.1:0"]);
    command
        .env_remove("INBOXD_DATABASE_URL")
        .env_remove("INBOXD_SECRET_KEY")
        .env("TMPDIR", &temporary);
    let server = shell.start(command);
    let listed = list_with_the_key_that_was_said(&server).await;
    let of = |key: &str| {
        let inboxes = listed.as_array().expect("a list").iter();
        inboxes.map(|inbox| inbox[key].clone()).collect::<Vec<_>>()
    };
    assert_eq!(
        of("type"),
        ["whatsapp", "instagram", "livechat", "telegram"]
    );
    assert_eq!(of("messages_count"), [3, 1, 0, 1]);
    assert_eq!(of("status"), ["active"; 4]);
    assert!(keys(&listed[0]).contains(&"phone_number"));

    // What was said stays on the screen, and tells commands where the data is.
    assert!(!server.log().contains("/inboxes"), "{}", server.log());
    let mut lines = server.said.iter().map(|line| line.trim());
    let line = lines.find(|line| line.starts_with("inboxd inbox list"));
    let line: Vec<_> = line.expect("a line to paste").split(' ').collect();
    let mut command = shell.command(&[&line[1..], &["--json"]].concat());
    command.env_remove("INBOXD_SECRET_KEY");
    assert_eq!(Done::of(&mut command).json(), listed);

    assert_eq!(fs::read_dir(&temporary).expect("a folder").count(), 1);
    server.stop().await;
    assert_eq!(fs::read_dir(&temporary).expect("a folder").count(), 0);
    let left = fs::read_dir(shell.folder()).expect("a folder");
    let mut left: Vec<_> = left
        .map(|entry| entry.expect("a name").file_name())
        .collect();
    left.sort();
    assert_eq!(left, ["log", "tmp"], "the working folder is not touched");
}

async fn list_with_the_key_that_was_said(server: &Running) -> Value {
    let said = server.said.join("\n");
    let key = said
        .split_whitespace()
        .find(|word| word.starts_with("ibx_"));
    let list = server.call(Method::GET, "/inboxes");
    list.key(key.expect("a key")).send().await.data()
}

impl Shell {
    /// The embedded database's file.
    fn file(&self) -> PathBuf {
        self.url.trim_start_matches("sqlite:").into()
    }
}
