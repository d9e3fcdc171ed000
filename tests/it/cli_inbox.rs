//! `inboxd inbox`: the same operations as `/inboxes`, with the same keys and the same rules.

use crate::{
    cli::{one_of_each_type, with_account},
    support::{
        Done, SECRET_KEY, Store, on_both_stores,
        program::{keys, text},
        provider::{Provider, no, ok},
        whatsapp,
    },
};
use serde_json::{Value, json};

on_both_stores![
    create_gives_the_keys_of_the_api,
    list_filters_and_has_no_pages,
    show_gives_one,
    setup_says_what_to_paste,
    connect_does_what_the_api_does,
    connect_goes_through_the_proxy_of_the_environment,
    update_changes_what_is_given,
    update_takes_away_what_is_optional,
    delete_keeps_an_inbox_that_holds_messages_unless_purged,
    each_secret_can_come_from_a_file_or_standard_input,
];

const INBOX: [&str; 6] = [
    "id",
    "name",
    "type",
    "status",
    "created_at",
    "messages_count",
];

async fn create_gives_the_keys_of_the_api(store: Store) {
    let shell = with_account(store).await;
    let [whatsapp, instagram, livechat, telegram] = one_of_each_type(&shell);
    let with = |key| [&INBOX[..4], &[key], &INBOX[4..]].concat();
    assert_eq!(keys(&whatsapp), with("phone_number"));
    assert_eq!(keys(&instagram), with("instagram_account_id"));
    assert_eq!(keys(&livechat), INBOX);
    assert_eq!(keys(&telegram), INBOX);
    assert_eq!(whatsapp["status"], "pending");
    assert_eq!(livechat["status"], "active");
}

async fn list_filters_and_has_no_pages(store: Store) {
    let shell = with_account(store).await;
    assert_eq!(shell.json(&["inbox", "list"]), json!([]));
    let made = one_of_each_type(&shell);
    assert_eq!(shell.json(&["inbox", "list"]), json!(made));
    let telegram = shell.json(&["inbox", "list", "--type", "telegram"]);
    assert_eq!(telegram, json!([made[3]]));
    let active = shell.json(&["inbox", "list", "--status", "active"]);
    assert_eq!(active, json!([made[2]]));
    let both = ["--type", "whatsapp", "--status", "active"];
    let none = shell.json(&[&["inbox", "list"], &both[..]].concat());
    assert_eq!(none, json!([]));
    shell
        .run(&["inbox", "list", "--type", "email"])
        .assert_error(2, &["type: must be one of whatsapp"]);
}

async fn show_gives_one(store: Store) {
    let shell = with_account(store).await;
    let [whatsapp, ..] = one_of_each_type(&shell);
    let id = text(&whatsapp["id"]);
    assert_eq!(shell.json(&["inbox", "show", &id]), whatsapp);
    for unknown in ["inbox_unknown", "", "\u{1f4a5}"] {
        shell
            .run(&["inbox", "show", unknown])
            .assert_error(1, &["inbox not found"]);
    }
}

async fn setup_says_what_to_paste(store: Store) {
    let shell = with_account(store).await;
    let [whatsapp, _, livechat, telegram] = one_of_each_type(&shell);
    let public = ["--public-url", "https://inbox.example.com/"];
    let setup = |inbox: &Value| {
        let id = text(&inbox["id"]);
        shell.json(&[&["inbox", "setup", &id], &public[..]].concat())
    };
    let shown = setup(&whatsapp);
    let url = "https://inbox.example.com/hooks/whatsapp";
    assert_eq!(shown["webhook_url"], url);
    assert!(shown["verify_token"].is_string());
    let credentials = json!({"app_secret": true, "access_token": false});
    assert_eq!(shown["credentials"], credentials);
    assert!(shown["missing_proof"].is_string());
    assert!(setup(&telegram)["secret_token"].is_string());
    let snippet = text(&setup(&livechat)["embed_snippet"]);
    assert!(snippet.contains("https://inbox.example.com/livechat/"));

    let table = shell.done(&["inbox", "setup", &text(&whatsapp["id"])]);
    let words = [
        "http://127.0.0.1:8080/hooks/whatsapp",
        "verify_token",
        "access_token: not set",
    ];
    assert!(words.iter().all(|word| table.contains(word)), "{table}");
    assert!(!table.contains("s3cret"), "{table}");
}

async fn connect_does_what_the_api_does(store: Store) {
    let shell = with_account(store).await;
    let provider = Provider::with_a_bot().await;
    shell.write("bot-token", "110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw");
    let create = ["inbox", "create", "--name", "Bot", "--type", "telegram"];
    let file = ["--bot-token-file", "bot-token"];
    let bot = text(&shell.json(&[&create[..], &file].concat())["id"]);
    let public = ["--public-url", "https://inbox.example.com"];
    let url = provider.url();
    let at = ["--telegram-api-url", &url];
    let run = async |what: &str, more: &[&str]| {
        let arguments = [&["inbox", what, &bot], &public[..], &at, more].concat();
        shell.run_async(&arguments).await
    };

    provider.replies("setWebhook", no(400, "Bad Request: bad webhook"));
    let refused = run("connect", &[]).await;
    refused.assert_error(
        1,
        &["Telegram refuses the webhook", "Bad Request: bad webhook"],
    );
    provider.replies("setWebhook", no(500, "Internal Server Error"));
    let away = run("connect", &[]).await;
    away.assert_error(1, &["Telegram cannot be reached", "Internal Server Error"]);
    assert_eq!(shell.json(&["inbox", "show", &bot])["status"], "pending");

    provider.replies("setWebhook", ok(json!(true)));
    let connected = run("connect", &["--json"]).await.json();
    assert_eq!(connected["status"], "active");
    assert_eq!(connected["bot_username"], "toko_biru_bot");
    assert_eq!(connected["provider"]["checked"], "bot_token");
    assert_eq!(shell.json(&["inbox", "show", &bot])["status"], "active");
    assert_eq!(run("setup", &["--json"]).await.json(), connected);
    let table = run("setup", &[]).await.stdout;
    for row in [
        "bot_name",
        "Toko Biru",
        "provider.webhook_matches",
        "provider.pending_update_count",
    ] {
        assert!(table.contains(row), "no {row} in {table}");
    }

    // Without a public URL, Telegram itself is not asked.
    let local = shell.run(&["inbox", "connect", &bot]);
    local.assert_error(1, &["https://", "http://127.0.0.1:8080", "--public-url"]);
    let unknown = shell.run(&["inbox", "connect", "inbox_unknown"]);
    unknown.assert_error(1, &["inbox not found"]);
    for wrong in [
        "telegram",
        "ftp://a",
        "https://user:secret@a",
        "https://a?b",
    ] {
        let wrong = shell.run(&["inbox", "connect", &bot, "--telegram-api-url", wrong]);
        wrong.assert_error(2, &["--telegram-api-url", "must be an address"]);
    }
}

async fn connect_goes_through_the_proxy_of_the_environment(store: Store) {
    let shell = with_account(store).await;
    let proxy = Provider::with_a_bot().await;
    let create = ["inbox", "create", "--name", "Bot", "--type", "telegram"];
    let token = ["--bot-token", "110201543:AAH"];
    let bot = text(&shell.json(&[&create[..], &token].concat())["id"]);
    // Nobody has this name: the proxy is asked to find it.
    let at = ["--telegram-api-url", "http://telegram.invalid", "--json"];
    let mut command = shell.command(&[&["inbox", "connect", &bot][..], &at].concat());
    command
        .env("HTTP_PROXY", proxy.url())
        .env("http_proxy", proxy.url())
        .env("NO_PROXY", "")
        .env("no_proxy", "");
    let connected = Done::of_async(command).await.json();
    assert_eq!(connected["status"], "active");
    assert_eq!(proxy.asked(), ["getMe", "setWebhook", "getWebhookInfo"]);
}

async fn update_changes_what_is_given(store: Store) {
    let shell = with_account(store).await;
    let [whatsapp, _, livechat, _] = one_of_each_type(&shell);
    let id = text(&livechat["id"]);
    let mut expected = livechat;
    expected["name"] = json!("Shop");
    assert_eq!(
        shell.json(&["inbox", "update", &id, "--name", "Shop"]),
        expected
    );
    expected["status"] = json!("inactive");
    let off = shell.json(&["inbox", "update", &id, "--status", "inactive"]);
    assert_eq!(off, expected);
    let token = ["--access-token", "t0ken"];
    let id = text(&whatsapp["id"]);
    shell.json(&[&["inbox", "update", &id], &token[..]].concat());
    let credentials = json!({"app_secret": true, "access_token": true});
    let setup = shell.json(&["inbox", "setup", &id]);
    assert_eq!(setup["credentials"], credentials);
    shell
        .run(&["inbox", "update", &id, "--status", "pending"])
        .assert_error(2, &["status: must be"]);
}

async fn update_takes_away_what_is_optional(store: Store) {
    let shell = with_account(store).await;
    let [whatsapp, _, livechat, _] = one_of_each_type(&shell);
    let update = |inbox: &Value, flags: &[&str]| {
        let id = text(&inbox["id"]);
        shell.run(&[&["inbox", "update", &id], flags].concat())
    };
    let setup = |inbox: &Value| shell.json(&["inbox", "setup", &text(&inbox["id"])]);
    let origin = ["--allowed-origin", "https://www.example.com"];
    update(&livechat, &origin).assert_code(0);
    assert_eq!(setup(&livechat)["allowed_origins"], json!([origin[1]]));
    update(&livechat, &["--clear", "allowed-origin"]).assert_code(0);
    assert_eq!(setup(&livechat)["allowed_origins"], Value::Null);

    let set = ["--access-token", "t0ken", "--business-account-id", "77"];
    update(&whatsapp, &set).assert_code(0);
    let both = ["--clear", "access-token,business-account-id"];
    update(&whatsapp, &both).assert_code(0);
    let shown = setup(&whatsapp);
    assert_eq!(shown["business_account_id"], Value::Null);
    assert_eq!(shown["credentials"]["access_token"], false);

    let contradiction = [&origin[..], &["--clear", "allowed-origin"]].concat();
    update(&livechat, &contradiction).assert_error(2, &["--allowed-origin is given"]);
    update(&whatsapp, &["--clear", "app-secret"]).assert_error(2, &["--clear", "access-token"]);
}

async fn delete_keeps_an_inbox_that_holds_messages_unless_purged(store: Store) {
    let shell = with_account(store).await;
    let empty = shell.whatsapp("1001");
    let used = shell.whatsapp("1002");
    let server = shell.serve();
    let message = whatsapp::text("628111", "wamid.1", "Hello");
    let update = whatsapp::update("1002", &[message]);
    server.deliver(&update).await.assert_status(200);
    server.stop().await;

    let deleted = json!({"id": empty, "deleted": true});
    assert_eq!(shell.json(&["inbox", "delete", &empty]), deleted);
    shell
        .run(&["inbox", "delete", &used])
        .assert_error(1, &["Messages in this inbox: 1.", "inactive", "purge"]);
    let deleted = json!({"id": used, "deleted": true});
    assert_eq!(shell.json(&["inbox", "delete", &used, "--purge"]), deleted);
    assert_eq!(shell.json(&["inbox", "list"]), json!([]));
    shell
        .run(&["inbox", "delete", &used])
        .assert_error(1, &["inbox not found"]);
}

async fn each_secret_can_come_from_a_file_or_standard_input(store: Store) {
    let shell = with_account(store).await;
    shell.write("app-secret", &format!("{}\n", whatsapp::APP_SECRET));
    shell.write("bot-token", "7:abc\n");
    let create = ["inbox", "create", "--name", "A", "--json", "--type"];
    let number = ["--phone-number", "+62812345678", "--phone-number-id", "7"];
    let secrets = ["--app-secret-file", "app-secret", "--access-token-file=-"];
    let arguments = [&create[..], &["whatsapp"], &number, &secrets].concat();
    let made = shell.run_with(&arguments, "t0ken\n").json();
    let setup = shell.json(&["inbox", "setup", &text(&made["id"])]);
    let credentials = json!({"app_secret": true, "access_token": true});
    assert_eq!(setup["credentials"], credentials);
    let bot = ["telegram", "--bot-token-file", "bot-token"];
    shell.run(&[&create[..], &bot].concat()).json();

    // The secret is the file's text without the line's end: what is signed with it is accepted.
    let server = shell.serve();
    let message = whatsapp::text("628111", "wamid.1", "Hello");
    let update = whatsapp::update("7", &[message]);
    server.deliver(&update).await.assert_status(200);
    server.stop().await;

    let both = ["--bot-token", "7:abc", "--bot-token-file", "bot-token"];
    shell
        .run(&[&create[..], &["telegram"], &both].concat())
        .assert_error(2, &["cannot be used with"]);
    let missing = ["telegram", "--bot-token-file", "no-such-file"];
    shell
        .run(&[&create[..], &missing].concat())
        .assert_error(1, &["--bot-token-file no-such-file"]);

    // The database's URL and the secret key are secrets, too.
    shell.write("url", &shell.url);
    shell.write("key", SECRET_KEY);
    let list = ["account", "list", "--json", "--database-url-file", "url"];
    let mut command = shell.command(&[&list[..], &["--secret-key-file", "key"]].concat());
    command
        .env_remove("INBOXD_DATABASE_URL")
        .env_remove("INBOXD_SECRET_KEY");
    assert_eq!(Done::of(&mut command).json()[0]["name"], "Toko Biru");
}
