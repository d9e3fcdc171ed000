//! What happens when the store fails: nothing is accepted that is not kept, and nobody has to restart anything. Kills,
//! and all of it under load, are in `faults_under_load`.

use crate::support::{
    Answer, Shell, Store, TestApp, on_both_stores,
    whatsapp::{self, update},
};
use db::{Database, Missing, Sql};
use inboxd::domain::Scope;
use serde_json::{Value, json};
use std::{fs, path::Path, process::Command, time::Duration};

on_both_stores![a_log_that_cannot_be_written_stops_nothing,];

/// The documented answer while the store is away.
#[track_caller]
fn assert_unavailable(answer: &Answer) {
    answer.assert_error(
        503,
        "UNAVAILABLE",
        "The service is temporarily unavailable: nothing was accepted, try again",
    );
    let seconds: u32 = answer.header("retry-after").parse().expect("seconds");
    assert!((1..=60).contains(&seconds));
}

fn hello(id: &str) -> Value {
    update("42", &[whatsapp::text("628111", id, "Hello")])
}

#[tokio::test]
async fn a_sqlite_file_that_another_program_locks_is_a_503_and_then_fine_again() {
    let app = TestApp::start(Store::Sqlite).await;
    let key = app.key(&[Scope::Read, Scope::Write]).await;
    app.whatsapp("42").await;
    let other = Database::open(&app.place().address(), Missing::Fail).await;
    let other = other.expect("the file opens");
    let lock = other.write().await.expect("nobody else writes");

    let refused = app.deliver(&hello("wamid.1")).await;
    assert_unavailable(&refused);
    let listed = app.get("/inboxes").key(&key).send().await;
    assert_eq!(listed.data()[0]["messages_count"], 0, "reading goes on");

    drop(lock);
    app.deliver(&hello("wamid.1")).await.assert_status(200);
    assert_eq!(app.listing().await[0]["messages_count"], 1);
    app.stop().await;
}

/// Twelve that wait for five seconds each would take a minute.
#[tokio::test]
async fn writes_that_wait_for_a_locked_sqlite_file_wait_together() {
    let app = TestApp::start(Store::Sqlite).await;
    let key = app.key(&[Scope::Write]).await;
    let other = Database::open(&app.place().address(), Missing::Fail).await;
    let other = other.expect("the file opens");
    let lock = other.write().await.expect("nobody else writes");
    let body = json!({"name": "Website", "type": "livechat"});
    let waiting: Vec<_> = (0..12)
        .map(|_| tokio::spawn(app.post("/inboxes").key(&key).json(&body).send()))
        .collect();
    let answers = async {
        for answer in waiting {
            assert_unavailable(&answer.await.expect("a task ends well"));
        }
    };
    let all = tokio::time::timeout(Duration::from_secs(40), answers).await;
    all.expect("nobody waits for all the others");

    drop(lock);
    let made = app.post("/inboxes").key(&key).json(&body).send().await;
    made.assert_status(201);
}

#[tokio::test]
async fn a_sqlite_file_that_is_moved_away_is_a_503_until_it_is_back() {
    let app = TestApp::start(Store::Sqlite).await;
    let key = app.key(&[Scope::Read, Scope::Write]).await;
    app.whatsapp("42").await;
    app.deliver(&hello("wamid.1")).await.assert_status(200);
    let create = async || {
        let body = json!({"name": "Website", "type": "livechat"});
        app.post("/inboxes").key(&key).json(&body).send().await
    };
    let file = app.place().url().trim_start_matches("sqlite:").to_owned();
    let away = format!("{file}.away");

    fs::rename(&file, &away).expect("it can be moved");
    assert_unavailable(&app.get("/readyz").send().await);
    assert_unavailable(&app.deliver(&hello("wamid.2")).await);
    assert_unavailable(&create().await);
    app.get("/healthz").send().await.assert_status(200);
    // Another file under its name is not it.
    fs::write(&file, "").expect("a file can be written");
    assert_unavailable(&app.deliver(&hello("wamid.2")).await);
    assert_eq!(fs::read(&file).expect("a file"), b"");

    fs::rename(&away, &file).expect("it can be moved back");
    app.get("/readyz").send().await.assert_status(200);
    app.deliver(&hello("wamid.2")).await.assert_status(200);
    create().await.assert_status(201);
    let listed = app.listing().await;
    assert_eq!(listed[0]["messages_count"], 2);
    assert_eq!(listed[1]["name"], "Website");
}

/// The disk is full for a process once its files may not grow any more.
#[tokio::test]
async fn a_full_disk_is_a_503_and_then_fine_again_without_a_restart() {
    const ROOM: u64 = 400 * 1024;
    let shell = Shell::ready(Store::Sqlite).await;
    shell.account("Toko Biru");
    shell.whatsapp("42");
    let key = shell.key();
    // Without `trap` the kernel would end a process that reaches the bound.
    let script = "trap '' XFSZ; bound=$0; exec prlimit --fsize=\"$bound\":unlimited -- \"$@\"";
    let program = env!("CARGO_BIN_EXE_inboxd");
    let bound = ROOM.to_string();
    let arguments = ["-c", script, &bound, program, "serve"];
    let mut command = shell.wrapped("sh", &arguments);
    command.env("INBOXD_LISTEN", "127.0.0.1:0");
    let server = shell.start(command);
    let long = |number: usize| {
        let words = "A long story. ".repeat(250);
        let message = whatsapp::text("628111", &format!("wamid.{number}"), &words);
        update("42", &[message])
    };
    let count = async || {
        let listed = server.get("/inboxes").key(&key).send().await.data();
        listed[0]["messages_count"].as_u64().expect("a number")
    };

    let mut acknowledged = 0;
    loop {
        let answer = server.deliver(&long(acknowledged)).await;
        if answer.status != 200 {
            assert_unavailable(&answer);
            break;
        }
        acknowledged += 1;
        assert!(acknowledged < 1000, "the disk is never full");
    }
    assert!(acknowledged > 0, "there was room for some");
    for number in acknowledged..acknowledged + 3 {
        assert_unavailable(&server.deliver(&long(number)).await);
    }
    assert_unavailable(&server.get("/readyz").send().await);
    assert_eq!(count().await, acknowledged as u64);
    // This folds the log, and so makes room.
    assert_eq!(rows(&shell).await.len(), acknowledged);

    let process = server.process().to_string();
    let more = Command::new("prlimit")
        .args(["--pid", &process, "--fsize=unlimited"])
        .status();
    assert!(more.expect("prlimit").success());
    server.get("/readyz").send().await.assert_status(200);
    for number in 0..acknowledged + 3 {
        server.deliver(&long(number)).await.assert_status(200);
    }
    assert_eq!(count().await, acknowledged as u64 + 3);
    server.stop().await;
    assert_eq!(rows(&shell).await.len(), acknowledged + 3);
}

#[cfg(feature = "postgres-tests")]
#[tokio::test]
async fn an_inbox_whose_updates_wait_holds_up_no_other() {
    let app = TestApp::start(Store::Postgres).await;
    let busy = app.whatsapp("42").await;
    for number in ["43", "44"] {
        app.whatsapp(number).await;
    }
    let other = Database::open(&app.place().address(), Missing::Fail).await;
    let mut lock = other.expect("an address").write().await.expect("it is up");
    let row = Sql::same("SELECT id FROM inboxes WHERE id = $1 FOR UPDATE");
    let locked = lock.execute(&row, &[(&busy).into()]).await;
    assert_eq!(locked.expect("it is there"), 1);

    let app = std::sync::Arc::new(app);
    let waiting: Vec<_> = (0..8)
        .map(|number| {
            let app = app.clone();
            tokio::spawn(async move { app.deliver(&hello(&format!("wamid.{number}"))).await })
        })
        .collect();
    for number in ["43", "44", "43"] {
        let id = format!("wamid.{number}");
        let body = update(number, &[whatsapp::text("628111", &id, "Hello")]);
        app.deliver(&body).await.assert_status(200);
    }
    assert!(waiting.iter().all(|one| !one.is_finished()));
    drop(lock);
    for one in waiting {
        one.await.expect("a task ends well").assert_status(200);
    }
}

#[cfg(feature = "postgres-tests")]
#[tokio::test]
async fn a_postgres_that_stops_is_a_503_and_fine_again_once_it_is_back() {
    let postgres = crate::support::Postgres::start();
    let shell = Shell::on(&postgres);
    shell.account("Toko Biru");
    shell.whatsapp("42");
    let key = shell.key();
    let server = shell.serve();
    let list = async || server.get("/inboxes").key(&key).send().await;
    for round in 0..2 {
        let kept = format!("wamid.kept.{round}");
        let late = format!("wamid.late.{round}");
        server.deliver(&hello(&kept)).await.assert_status(200);
        list().await.assert_success();

        postgres.halt();
        assert_unavailable(&server.deliver(&hello(&late)).await);
        assert_unavailable(&list().await);
        assert_unavailable(&server.get("/readyz").send().await);
        server.get("/healthz").send().await.assert_status(200);
        shell
            .run(&["inbox", "list"])
            .assert_error(1, &["the store is not available"]);

        postgres.resume();
        crate::support::eventually("the server has found it again", async || {
            server.get("/readyz").send().await.status == 200
        })
        .await;
        let listed = list().await.data();
        assert_eq!(listed[0]["messages_count"], 2 * round + 1);
        server.deliver(&hello(&late)).await.assert_status(200);
        assert_eq!(list().await.data()[0]["messages_count"], 2 * round + 2);
    }
    server.stop().await;
}

/// A full disk takes the log, too.
async fn a_log_that_cannot_be_written_stops_nothing(store: Store) {
    let shell = Shell::ready(store).await;
    shell.account("Toko Biru");
    shell.whatsapp("42");
    let key = shell.key();
    let command = shell.command(&["serve", "--listen", "127.0.0.1:0"]);
    let mut server = shell.start_with_log(command, Path::new("/dev/full"));
    server.deliver(&hello("wamid.1")).await.assert_status(200);
    let listed = server.get("/inboxes").key(&key).send().await.data();
    assert_eq!(listed[0]["messages_count"], 1);
    server.get("/nowhere").send().await.assert_status(404);
    server.signal("TERM");
    assert_eq!(server.ended().await.0.code(), Some(0));
}

/// The provider ids of all stored messages, in order.
async fn rows(shell: &Shell) -> Vec<String> {
    const IDS: Sql = Sql::same("SELECT provider_id FROM messages");
    let db = Database::open(&shell.place().address(), Missing::Fail).await;
    let db = db.expect("the store opens");
    let mut session = db.read().await.expect("the store answers");
    let found = session.query(&IDS, &[], |row| row.get::<String>(0)).await;
    let mut found = found.expect("a good statement");
    drop(session);
    db.close().await;
    found.sort_unstable();
    found
}
