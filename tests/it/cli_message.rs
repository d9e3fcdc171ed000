//! `inboxd message send`, beside a running server.

use crate::support::{
    Shell, Store, counting::Counting, eventually, on_both_stores, program::text, whatsapp,
};

on_both_stores![a_command_sends_through_the_running_server];

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
