//! The command line: every command as it is run, what it prints, and the code with which it ends.

use crate::support::{
    Done, Shell, Store, on_both_stores,
    program::{keys, text},
    whatsapp,
};
use db::{Database, Missing, Sql};
use serde_json::{Value, json};

on_both_stores![
    account_create_gives_its_id_name_and_creation,
    account_list_gives_all_accounts,
    key_create_gives_the_key_this_once,
    key_create_takes_scopes_and_an_expiry,
    key_revoke_notes_when,
    inbox_create_gives_the_keys_of_the_api,
    inbox_list_filters_and_has_no_pages,
    inbox_show_gives_one,
    inbox_setup_says_what_to_paste,
    inbox_update_changes_what_is_given,
    inbox_delete_keeps_an_inbox_that_holds_messages_unless_purged,
    each_secret_can_come_from_a_file_or_standard_input,
    the_account_may_be_left_out_where_there_is_one,
    without_json_a_table_is_printed,
    what_makes_no_sense_ends_with_2_and_says_all_that_is_wrong,
    what_does_not_work_ends_with_1_and_says_why,
    migrate_says_what_it_did,
    a_database_from_a_newer_inboxd_is_refused,
    a_wrong_secret_key_is_refused,
];

const INBOX: [&str; 6] = [
    "id",
    "name",
    "type",
    "status",
    "created_at",
    "messages_count",
];

/// A shell with one account.
async fn with_account(store: Store) -> Shell {
    let shell = Shell::ready(store).await;
    shell.account("Toko Biru");
    shell
}

/// Makes an inbox of each type, in the order of the documentation. Returns what was printed of each.
fn one_of_each_type(shell: &Shell) -> [Value; 4] {
    let secret = ["--app-secret", "s3cret"];
    let create = |rest: &[&str]| shell.json(&[&["inbox", "create"], rest].concat());
    let whatsapp = ["--type", "whatsapp", "--name", "Support"];
    let number = ["--phone-number", "+62812345678", "--phone-number-id", "42"];
    let instagram = ["--type", "instagram", "--name", "Instagram DM"];
    let id = ["--instagram-account-id", "ig_789"];
    let telegram = ["--type", "telegram", "--name", "Bot", "--bot-token", "1:a"];
    [
        create(&[&whatsapp[..], &number, &secret].concat()),
        create(&[&instagram[..], &id, &secret].concat()),
        create(&["--type", "livechat", "--name", "Website"]),
        create(&telegram),
    ]
}

fn is_time(value: &Value) -> bool {
    let text = value.as_str().unwrap_or_default();
    text.len() == "2025-01-15T08:00:00Z".len() && text.ends_with('Z')
}

async fn account_create_gives_its_id_name_and_creation(store: Store) {
    let shell = Shell::empty(store).await;
    let made = shell.json(&["account", "create", "--name", " Toko Biru "]);
    assert_eq!(keys(&made), ["id", "name", "created_at"]);
    assert!(text(&made["id"]).starts_with("acc_"));
    assert_eq!(made["name"], "Toko Biru");
    assert!(is_time(&made["created_at"]), "{made}");
}

async fn account_list_gives_all_accounts(store: Store) {
    let shell = Shell::ready(store).await;
    assert_eq!(shell.json(&["account", "list"]), json!([]));
    shell.account("Toko Biru");
    shell.account("Warung Merah");
    let all = shell.json(&["account", "list"]);
    assert_eq!(keys(&all[0]), ["id", "name", "created_at"]);
    assert_eq!(
        (&all[0]["name"], &all[1]["name"]),
        (&json!("Toko Biru"), &json!("Warung Merah"))
    );
    assert_eq!(all[2], Value::Null);
}

async fn key_create_gives_the_key_this_once(store: Store) {
    let shell = with_account(store).await;
    let made = shell.json(&["key", "create", "--name", "Website"]);
    let documented = ["id", "key", "name", "scopes", "created_at", "expires_at"];
    assert_eq!(keys(&made), documented);
    let key = text(&made["key"]);
    assert!(key.starts_with("ibx_"), "{key}");
    assert_eq!(made["scopes"], json!(["read"]));
    assert_eq!(made["expires_at"], Value::Null);

    let listed = shell.json(&["key", "list"]);
    let columns = ["id", "name", "scopes", "created_at", "expires_at"];
    let later = ["revoked_at", "last_used_at"];
    assert_eq!(keys(&listed[0]), [&columns[..], &later].concat());
    assert_eq!(listed[0]["id"], made["id"]);
    assert!(!listed.to_string().contains(&key));
    assert!(!shell.done(&["key", "list"]).contains(&key));
}

async fn key_create_takes_scopes_and_an_expiry(store: Store) {
    let shell = with_account(store).await;
    let scopes = ["--scope", "write", "--scope", "read", "--scope", "write"];
    let create = ["key", "create", "--name", "A", "--expires-in", "90d"];
    let made = shell.json(&[&create[..], &scopes].concat());
    assert_eq!(made["scopes"], json!(["read", "write"]));
    let seconds = |value: &Value| {
        let time: jiff::Timestamp = text(value).parse().expect("a time");
        time.as_second()
    };
    let lasts = seconds(&made["expires_at"]) - seconds(&made["created_at"]);
    assert_eq!(lasts, 90 * 24 * 60 * 60);
    for wrong in ["90", "0d", "-1d", "soon", "1.5h", ""] {
        let flag = format!("--expires-in={wrong}");
        shell
            .run(&["key", "create", "--name", "A", &flag])
            .assert_error(2, &["--expires-in"]);
    }
    shell
        .run(&["key", "create", "--name", "A", "--scope", "root"])
        .assert_error(2, &["--scope", "read, write, admin"]);
}

async fn key_revoke_notes_when(store: Store) {
    let shell = with_account(store).await;
    let made = shell.json(&["key", "create", "--name", "Website"]);
    let id = text(&made["id"]);
    let revoked = shell.json(&["key", "revoke", &id]);
    assert_eq!(revoked["id"], made["id"]);
    assert!(is_time(&revoked["revoked_at"]), "{revoked}");
    assert_eq!(shell.json(&["key", "revoke", &id]), revoked, "once more");
    assert_eq!(shell.json(&["key", "list"]), json!([revoked]));
    shell
        .run(&["key", "revoke", "key_unknown"])
        .assert_error(1, &["API key not found"]);
}

async fn inbox_create_gives_the_keys_of_the_api(store: Store) {
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

async fn inbox_list_filters_and_has_no_pages(store: Store) {
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

async fn inbox_show_gives_one(store: Store) {
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

async fn inbox_setup_says_what_to_paste(store: Store) {
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

async fn inbox_update_changes_what_is_given(store: Store) {
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

async fn inbox_delete_keeps_an_inbox_that_holds_messages_unless_purged(store: Store) {
    let shell = with_account(store).await;
    let empty = shell.whatsapp("1001");
    let used = shell.whatsapp("1002");
    let server = shell.serve();
    let message = whatsapp::text("628111", "wamid.1", "Hello");
    let delivery = whatsapp::delivery("1002", &[message]);
    server.deliver(&delivery).await.assert_status(200);
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
    let delivery = whatsapp::delivery("7", &[message]);
    server.deliver(&delivery).await.assert_status(200);
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
    shell.write("key", crate::support::SECRET_KEY);
    let list = ["account", "list", "--json", "--database-url-file", "url"];
    let mut command = shell.command(&[&list[..], &["--secret-key-file", "key"]].concat());
    command
        .env_remove("INBOXD_DATABASE_URL")
        .env_remove("INBOXD_SECRET_KEY");
    assert_eq!(Done::of(&mut command).json()[0]["name"], "Toko Biru");
}

async fn the_account_may_be_left_out_where_there_is_one(store: Store) {
    let shell = Shell::ready(store).await;
    let create = ["key", "create", "--name", "A"];
    shell
        .run(&create)
        .assert_error(2, &["there is none yet: inboxd account create"]);
    let one = shell.account("Toko Biru");
    shell.json(&create);
    let two = shell.account("Warung Merah");
    let several = ["there are several", "--account"];
    for command in [
        &create[..],
        &["key", "list"],
        &["inbox", "list"],
        &["inbox", "create", "--type", "livechat", "--name", "A"],
    ] {
        shell.run(command).assert_error(2, &several);
    }
    let of = |account: &str| shell.json(&["key", "list", "--account", account]);
    assert_eq!(of(&one).as_array().map(Vec::len), Some(1));
    assert_eq!(of(&two), json!([]));
    shell
        .run(&["key", "list", "--account", "acc_unknown"])
        .assert_error(1, &["account not found"]);
    // One account's inbox is not there for another.
    let inbox = ["--type", "livechat", "--name", "A", "--account", &one];
    let made = shell.json(&[&["inbox", "create"], &inbox[..]].concat());
    shell
        .run(&["inbox", "show", &text(&made["id"]), "--account", &two])
        .assert_error(1, &["inbox not found"]);
}

async fn without_json_a_table_is_printed(store: Store) {
    let shell = with_account(store).await;
    let [whatsapp, ..] = one_of_each_type(&shell);
    let id = text(&whatsapp["id"]);
    let commands: [(&[&str], &[&str]); 6] = [
        (&["account", "list"], &["created_at", "Toko Biru"]),
        (&["account", "create", "--name", "B"], &["id", "acc_", "B"]),
        (&["inbox", "list", "--help"], &["--type", "--status"]),
        (&["migrate"], &["version", "0 migrations"]),
        (&["--version"], &["inboxd 0."]),
        (
            &["--help"],
            &["serve", "migrate", "account", "key", "inbox"],
        ),
    ];
    let listed = shell.done(&["inbox", "list"]);
    let words = ["messages", "+62812345678", "ig_789", "Website", &id];
    assert!(words.iter().all(|word| listed.contains(word)), "{listed}");
    let shown = shell.done(&["inbox", "show", &id]);
    assert!(shown.contains("messages_count"), "{shown}");
    for (command, words) in commands {
        let table = shell.done(command);
        assert!(words.iter().all(|word| table.contains(word)), "{table}");
        assert!(serde_json::from_str::<Value>(&table).is_err());
    }
}

async fn what_makes_no_sense_ends_with_2_and_says_all_that_is_wrong(store: Store) {
    let shell = with_account(store).await;
    let usage: [&[&str]; 5] = [
        &[],
        &["frobnicate"],
        &["inbox", "create"],
        &["inbox", "list", "--no-such-flag"],
        &["account", "create"],
    ];
    for arguments in usage {
        shell.run(arguments).assert_error(2, &["Usage"]);
    }
    let create = ["inbox", "create", "--type", "whatsapp", "--name", " "];
    let number = ["--phone-number", "0812", "--json"];
    let fields = ["--name:", "--phone-number:", "--app-secret:"];
    shell
        .run(&[&create[..], &number].concat())
        .assert_error(2, &fields);
    shell
        .run(&["account", "create", "--name", "a\u{7}"])
        .assert_error(2, &["--name: must not contain control characters"]);
    shell
        .run(&["account", "list", "--database-url", "mysql://localhost"])
        .assert_error(2, &["must start with sqlite: or postgres://"]);
    assert_eq!(shell.json(&["inbox", "list"]), json!([]));
}

async fn what_does_not_work_ends_with_1_and_says_why(store: Store) {
    let shell = with_account(store).await;
    shell.whatsapp("42");
    let number = ["--phone-number", "+62899999999", "--phone-number-id", "42"];
    let create = ["inbox", "create", "--type", "whatsapp", "--name", "B"];
    let secret = ["--app-secret", "s3cret", "--json"];
    shell
        .run(&[&create[..], &number, &secret].concat())
        .assert_error(1, &["already connected", "channel.phone_number_id"]);
    let nowhere = ["--database-url", "sqlite:nowhere.db"];
    for command in [["account", "list"], ["key", "list"], ["inbox", "list"]] {
        shell
            .run(&[&command, &nowhere[..]].concat())
            .assert_error(1, &["there is no database at nowhere.db", "inboxd migrate"]);
    }
    assert!(!shell.folder().join("nowhere.db").exists());
    let away = ["--database-url", "postgres://nobody:hush@127.0.0.1:1/none"];
    let away = shell.run(&[&["account", "list"], &away[..]].concat());
    away.assert_error(1, &["not available"]);
    assert!(!away.stderr.contains("hush"), "{away:?}");
    let folder = ["--database-url", "sqlite:no/such/folder/inboxd.db"];
    shell
        .run(&[&["migrate"], &folder[..]].concat())
        .assert_error(1, &["no/such/folder/inboxd.db"]);
}

async fn migrate_says_what_it_did(store: Store) {
    let shell = Shell::empty(store).await;
    let first = shell.json(&["migrate"]);
    assert_eq!(keys(&first), ["version", "applied"]);
    let version = first["version"].as_i64().expect("a number");
    let all: Vec<_> = (1..=version).collect();
    assert_eq!(first["applied"], json!(all));
    let again = shell.json(&["migrate"]);
    assert_eq!(again, json!({"version": version, "applied": []}));
}

async fn a_database_from_a_newer_inboxd_is_refused(store: Store) {
    const NEWER: Sql = Sql::same(
        "INSERT INTO schema_migrations (version, name, applied_at) VALUES (999, 'later', 0)",
    );
    let shell = with_account(store).await;
    let db = Database::open(&shell.place().address(), Missing::Fail).await;
    let db = db.expect("the store opens");
    let mut session = db.write().await.expect("the store answers");
    session.execute(&NEWER, &[]).await.expect("a row");
    session.commit().await.expect("a commit");
    db.close().await;
    let newer = ["schema version 999", "newer", "run a newer inboxd"];
    for command in [&["migrate"][..], &["account", "list"], &["serve"]] {
        shell.run(command).assert_error(1, &newer);
    }
}

async fn a_wrong_secret_key_is_refused(store: Store) {
    let shell = with_account(store).await;
    let with = |key: &str| shell.run(&["inbox", "list", "--secret-key", key]);
    with(&"ab".repeat(32)).assert_error(1, &["INBOXD_SECRET_KEY is not the one"]);
    with("too short").assert_error(1, &["64 hex digits or as base64"]);
}
