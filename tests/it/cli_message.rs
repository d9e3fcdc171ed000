//! `inboxd message send`, beside a running server.

use crate::support::{
    Shell, Store,
    counting::{Counting, Does},
    eventually, on_both_stores,
    program::text,
    whatsapp,
};

on_both_stores![
    a_command_sends_through_the_running_server,
    a_person_decides_about_messages_on_the_command_line,
];

async fn a_command_sends_through_the_running_server(store: Store) {
    let provider = Counting::start().await;
    let shell = Shell::ready(store).await;
    shell.account("Toko Biru");
    let inbox = shell.whatsapp("1001");
    shell.done(&["inbox", "update", &inbox, "--access-token", "EAAG"]);
    let url = provider.url();
    let server = ["serve", "--listen", "127.0.0.1:0", "--graph-api-url", &url];
    let server = [&server[..], &["--send-patience", "1h"]].concat();
    let server = shell.start(shell.command(&server));
    // A conversation or an inbox says whose it is, however many accounts there are.
    shell.done(&["account", "create", "--name", "Toko Merah"]);
    let send = ["message", "send", "--json", "--inbox-id", &inbox];
    let send = [&send[..], &["--to", "+6289990001", "--text", "Hello"]].concat();
    let sent = shell.run_async(&send).await.json();
    assert_eq!(sent["status"], "queued");
    assert_eq!(sent["sent_by"]["type"], "automation");
    eventually("it is sent", async || provider.texts() == ["Hello"]).await;
    let conversation = text(&sent["conversation_id"]);
    let send = ["message", "send", "--conversation-id", &conversation];
    let from_file = [&send[..], &["--text-file", "-"]].concat();
    shell.run_with(&from_file, "Again\n").assert_code(0);
    eventually("it is sent", async || {
        provider.texts() == ["Hello", "Again"]
    })
    .await;
    // What is wrong is said in the command line's words.
    let long = "x".repeat(4097);
    let long = [&send[..], &["--text", &long]].concat();
    shell
        .run(&long)
        .assert_error(2, &["--text", "4096 characters"]);
    let nobody = ["message", "send", "--text", "x"];
    shell.run(&nobody).assert_error(2, &["--conversation-id"]);
    shell.done(&["inbox", "update", &inbox, "--status", "inactive"]);
    let off = [&send[..], &["--text", "x"]].concat();
    let advice = "inboxd inbox update ID --status active";
    shell.run(&off).assert_error(1, &[advice]);
    let hello = whatsapp::hello("wamid.in1");
    server.deliver(&hello).await.assert_status(200);
    let asks = |what: &str| shell.json(&["conversation", what, &conversation]);
    assert_eq!(asks("resolve")["status"], "resolved");
    assert_eq!(asks("reopen")["status"], "open");
    shell
        .run(&["conversation", "resolve", "conv_x"])
        .assert_error(1, &["conversation not found"]);
    server.stop().await;
    assert_eq!(shell.json(&["verify"])["ok"], true);
}

async fn a_person_decides_about_messages_on_the_command_line(store: Store) {
    let provider = Counting::start().await;
    let shell = Shell::ready(store).await;
    shell.account("Toko Biru");
    let inbox = shell.whatsapp("1001");
    let update = ["inbox", "update", &inbox];
    shell.done(&[&update[..], &["--access-token", "EAAG", "--pace", "20"]].concat());
    let setup = || shell.json(&["inbox", "setup", &inbox]);
    assert_eq!(setup()["pace"], 20);
    shell.done(
        &[
            &update[..],
            &["--clear", "pace", "--read-receipts", "never"],
        ]
        .concat(),
    );
    assert_eq!(setup().get("pace"), None);
    assert_eq!(setup()["read_receipts"], "never");
    shell
        .run(&[&update[..], &["--pace", "0"]].concat())
        .assert_error(2, &["--pace", "1 to 1000"]);
    shell
        .run(&[&update[..], &["--pace", "2", "--clear", "pace"]].concat())
        .assert_error(2, &["--clear"]);

    let url = provider.url();
    let server = ["serve", "--listen", "127.0.0.1:0", "--graph-api-url", &url];
    let server = shell.start(shell.command(&server));
    let send = |words: &str| {
        let send = [
            "message",
            "send",
            "--inbox-id",
            &inbox,
            "--to",
            "+6289990001",
        ];
        let sent = shell.json(&[&send[..], &["--text", words]].concat());
        text(&sent["id"])
    };
    let status = |id: &str| {
        let shown = shell.run(&["message", "settle", id, "--status", "failed"]);
        shown.code == Some(0)
    };
    provider.does(|_, _| Does::TakeAndCut);
    let id = send("Hello");
    eventually("it is unknown, and settled", async || status(&id)).await;
    provider.does(|_, _| Does::Take);
    let retried = shell.json(&["message", "retry", &id]);
    assert_eq!(retried["status"], "queued");
    eventually("it is sent again", async || provider.took().len() == 2).await;
    shell
        .run(&["message", "cancel", &id])
        .assert_error(1, &["Only what is queued can be canceled"]);
    shell
        .run(&["message", "cancel", "msg_x"])
        .assert_error(1, &["message"]);
    shell.done(&["inbox", "update", &inbox, "--status", "inactive"]);
    shell.done(&["inbox", "update", &inbox, "--status", "active"]);
    let done = shell.json(&["inbox", "queue", &inbox, "--send", "all"]);
    assert_eq!(done, serde_json::json!({"released": 0, "discarded": 0}));
    let done = shell.json(&["inbox", "queue", &inbox, "--send", "msg_1, msg_2"]);
    assert_eq!(done["released"], 0);
    shell
        .run(&["inbox", "queue", &inbox])
        .assert_error(2, &["--send"]);
    let both = [
        "inbox",
        "queue",
        &inbox,
        "--send",
        "all",
        "--discard",
        "all",
    ];
    shell.run(&both).assert_error(2, &["--discard"]);
    server.stop().await;
    assert_eq!(shell.json(&["verify"])["ok"], true);
}
