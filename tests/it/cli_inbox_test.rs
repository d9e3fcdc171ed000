//! `inboxd inbox test`: an inbox is tried without its provider.

use crate::{
    cli::{one_of_each_type, with_account},
    support::{Done, Running, Shell, Store, on_both_stores, program::text},
};
use serde_json::{Value, json};

on_both_stores![
    a_test_is_stored_as_a_message_on_every_channel,
    a_test_proves_nothing,
    tests_of_an_inbox_are_one_conversation,
    without_a_server_it_says_so,
    a_server_on_another_database_is_told_apart,
    a_text_that_cannot_be_said_is_refused,
];

/// Tries this inbox on this server.
async fn test(shell: &Shell, server: &Running, inbox: &Value, more: &[&str]) -> Done {
    let (id, url) = (text(&inbox["id"]), format!("http://{}", server.address));
    let arguments = [&["inbox", "test", &id, "--json", "--url", &url], more].concat();
    shell.run_async(&arguments).await
}

async fn a_test_is_stored_as_a_message_on_every_channel(store: Store) {
    let shell = with_account(store).await;
    let key = shell.key();
    let inboxes = one_of_each_type(&shell);
    let server = shell.serve();
    for inbox in &inboxes {
        let said = "Is the \"blue\" one there? \u{1f64f}";
        let made = test(&shell, &server, inbox, &["--text", said]).await.json();
        assert_eq!(made["id"], inbox["id"]);
        let path = format!("/messages/{}", text(&made["message_id"]));
        let message = server.get(&path).key(&key).send().await.data();
        assert_eq!(message["inbox_id"], inbox["id"]);
        assert_eq!(message["conversation_id"], made["conversation_id"]);
        assert_eq!(message["direction"], "inbound");
        assert_eq!(message["type"], "text");
        assert_eq!(message["content"]["text"], said);
        let shown = shell.json(&["inbox", "show", &text(&inbox["id"])]);
        assert_eq!(shown["messages_count"], 1);
    }
    // A page that may embed the chat is named where only some may.
    let origin = ["--allowed-origin", "https://www.example.com"];
    let livechat = text(&inboxes[2]["id"]);
    shell.json(&[&["inbox", "update", &livechat], &origin[..]].concat());
    test(&shell, &server, &inboxes[2], &[]).await.assert_code(0);
    server.stop().await;
}

async fn a_test_proves_nothing(store: Store) {
    let shell = with_account(store).await;
    let inboxes = one_of_each_type(&shell);
    let server = shell.serve();
    for inbox in &inboxes {
        test(&shell, &server, inbox, &[]).await.assert_code(0);
        let id = text(&inbox["id"]);
        assert_eq!(
            shell.json(&["inbox", "show", &id])["status"],
            inbox["status"]
        );
    }
    server.stop().await;
}

async fn tests_of_an_inbox_are_one_conversation(store: Store) {
    let shell = with_account(store).await;
    let inboxes = one_of_each_type(&shell);
    let server = shell.serve();
    for inbox in &inboxes {
        let first = test(&shell, &server, inbox, &[]).await.json();
        let second = test(&shell, &server, inbox, &[]).await.json();
        assert_eq!(first["conversation_id"], second["conversation_id"]);
        assert_ne!(first["message_id"], second["message_id"]);
    }
    server.stop().await;
}

async fn without_a_server_it_says_so(store: Store) {
    let shell = with_account(store).await;
    let [whatsapp, ..] = one_of_each_type(&shell);
    let id = text(&whatsapp["id"]);
    let away = ["inbox", "test", &id, "--listen", "127.0.0.1:1"];
    shell.run(&away).assert_error(
        1,
        &[
            "no server answers at http://127.0.0.1:1",
            "inboxd serve",
            "--url",
        ],
    );
    assert_eq!(shell.json(&["inbox", "show", &id]), whatsapp);
}

async fn a_server_on_another_database_is_told_apart(store: Store) {
    let (here, there) = (with_account(store).await, with_account(store).await);
    let mine = one_of_each_type(&here);
    let server = there.serve();
    let run = async |inbox: &Value| test(&here, &server, inbox, &[]).await;
    for inbox in &mine {
        let words = ["does not know this inbox", "another database", "--url"];
        run(inbox).await.assert_error(1, &words);
    }

    // The same number there, with another secret, and then with the same one.
    let create = ["inbox", "create", "--type", "whatsapp", "--name", "Support"];
    let number = ["--phone-number", "+62812345678", "--phone-number-id", "42"];
    let other = ["--app-secret", "an0ther"];
    let id = text(&there.json(&[&create[..], &number, &other].concat())["id"]);
    let refused = ["refuses the update", "Its secret is not the one"];
    run(&mine[0]).await.assert_error(1, &refused);
    there.json(&["inbox", "update", &id, "--app-secret", "s3cret"]);
    let elsewhere = ["took the update", "not in this database"];
    run(&mine[0]).await.assert_error(1, &elsewhere);
    assert_eq!(there.json(&["inbox", "show", &id])["messages_count"], 1);
    server.stop().await;
}

async fn a_text_that_cannot_be_said_is_refused(store: Store) {
    let shell = with_account(store).await;
    let [whatsapp, ..] = one_of_each_type(&shell);
    let id = text(&whatsapp["id"]);
    for wrong in [" ".to_owned(), "x".repeat(4097)] {
        let refused = shell.run(&["inbox", "test", &id, "--text", &wrong]);
        refused.assert_error(2, &["--text: must"]);
    }
    assert_eq!(
        shell.json(&["inbox", "show", &id])["messages_count"],
        json!(0)
    );
}
