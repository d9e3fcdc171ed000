//! The operating system's limit of open files: raised as far as it goes, and what happens under it.

use crate::support::{Running, Shell, Store, eventually, on_both_stores};
use std::{
    fs,
    net::TcpStream,
    process::{Command, Stdio},
};

on_both_stores![
    a_low_limit_is_raised_as_far_as_connections_need,
    a_limit_that_cannot_be_raised_leaves_room_for_the_store,
    a_limit_that_is_reached_is_said_once,
];

/// A server under this limit (soft and hard, as `prlimit` takes it), with room for 1000 connections and 100 streams.
fn serve(shell: &Shell, limit: &str) -> Running {
    let limit = format!("--nofile={limit}");
    let program = env!("CARGO_BIN_EXE_inboxd");
    let mut command = shell.wrapped("prlimit", &[&limit, "--", program, "serve"]);
    command.env("INBOXD_LISTEN", "127.0.0.1:0");
    command.env("INBOXD_MAX_CONNECTIONS", "1000");
    command.env("INBOXD_MAX_STREAMS", "100");
    shell.start(command)
}

fn limit(server: &Running) -> String {
    let limits = fs::read_to_string(format!("/proc/{}/limits", server.process()));
    let limits = limits.expect("it runs");
    let line = limits.lines().find(|line| line.contains("open files"));
    let numbers = line.expect("a limit").split_whitespace();
    numbers.skip(3).take(2).collect::<Vec<_>>().join(":")
}

async fn a_low_limit_is_raised_as_far_as_connections_need(store: Store) {
    let shell = Shell::ready(store).await;
    let server = serve(&shell, "256:4096");
    assert_eq!(limit(&server), "1228:4096");
    server.stop().await;
    assert!(!shell.log().contains("limit of open files"));
}

async fn a_limit_that_cannot_be_raised_leaves_room_for_the_store(store: Store) {
    let shell = Shell::ready(store).await;
    shell.account("Toko Biru");
    let key = shell.key();
    let server = serve(&shell, "200:200");
    eventually("it says for how many there is room", async || {
        let log = server.log();
        log.contains("limit of open files is too low") && log.contains("\"room\":100")
    })
    .await;

    // More than there is room for: some wait, and the store can still open what it needs.
    let connect = || TcpStream::connect(server.address).expect("it listens");
    let mut open: Vec<_> = (0..150).map(|_| connect()).collect();
    open.truncate(50);
    for _ in 0..20 {
        let listed = server.get("/inboxes").key(&key).send().await;
        listed.assert_status(200);
    }
    drop(open);
    server.stop().await;
    assert!(!shell.log().contains("ERROR"), "{}", shell.log());
}

async fn a_limit_that_is_reached_is_said_once(store: Store) {
    let shell = Shell::ready(store).await;
    let server = serve(&shell, "4096:4096");
    // This connection is there already, and stays.
    server.get("/readyz").send().await.assert_status(200);
    let allow = |number: &str| {
        let process = server.process().to_string();
        let nofile = format!("--nofile={number}:4096");
        let set = Command::new("prlimit")
            .args(["--pid", &process, &nofile])
            .stdout(Stdio::null())
            .status();
        assert!(set.expect("prlimit").success());
    };
    allow("5");
    let waits = TcpStream::connect(server.address).expect("the kernel has room");
    let failures = async || {
        let metrics = server.get("/metrics").send().await;
        let metrics = metrics.text().to_owned();
        let line = metrics
            .lines()
            .find_map(|line| line.strip_prefix("inboxd_accept_failures_total "));
        line.map_or(0, |count| count.parse().expect("a number"))
    };
    eventually("it has failed some times", async || failures().await > 3).await;
    allow("4096");
    drop(waits);
    let answered = async || {
        let stream = TcpStream::connect(server.address);
        stream.is_ok() && server.get("/readyz").send().await.status == 200
    };
    eventually("it accepts again", answered).await;
    server.stop().await;
    let log = shell.log();
    let said = log.matches("connections cannot be accepted").count();
    assert_eq!(said, 1, "{log}");
}
