//! The command line: every command as it is run, what it prints, and the code with which it ends.
//! `inboxd inbox` has a module of its own.

use crate::support::{
    Done, Shell, Store, on_both_stores,
    program::{keys, text},
};
use db::{Database, Missing, Sql};
use serde_json::{Value, json};

on_both_stores![
    account_create_gives_its_id_name_and_creation,
    account_list_gives_all_accounts,
    key_create_gives_the_key_this_once,
    key_create_takes_scopes_and_an_expiry,
    key_create_and_update_take_a_rate_limit,
    key_revoke_notes_when,
    the_account_may_be_left_out_where_there_is_one,
    an_id_says_whose_it_is,
    without_json_lines_are_printed_that_programs_can_split,
    what_makes_no_sense_ends_with_2_and_says_all_that_is_wrong,
    what_does_not_work_ends_with_1_and_says_why,
    only_serve_and_migrate_make_a_database,
    help_tells_this_commands_flags_from_those_of_every_command,
    migrate_says_what_it_did,
    a_database_from_a_newer_inboxd_is_refused,
    a_wrong_secret_key_is_refused,
];

/// A shell with one account.
pub(crate) async fn with_account(store: Store) -> Shell {
    let shell = Shell::ready(store).await;
    shell.account("Toko Biru");
    shell
}

/// Makes an inbox of each type, in the order of the documentation. Returns what was printed of each.
pub(crate) fn one_of_each_type(shell: &Shell) -> [Value; 4] {
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

/// A command whose secret key is in this file.
fn key_from(shell: &Shell, file: &str) -> Done {
    let mut command = shell.command(&["account", "list", "--secret-key-file", file]);
    Done::of(command.env_remove("INBOXD_SECRET_KEY"))
}

fn is_time(value: &Value) -> bool {
    let text = value.as_str().unwrap_or_default();
    text.len() == "2025-01-15T08:00:00Z".len() && text.ends_with('Z')
}

async fn account_create_gives_its_id_name_and_creation(store: Store) {
    let shell = Shell::ready(store).await;
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
    let later = ["rate_limit", "revoked_at", "last_used_at"];
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
    let listed = [&create[..], &["--scope", "write,read"]].concat();
    assert_eq!(shell.json(&listed)["scopes"], made["scopes"]);
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

async fn key_create_and_update_take_a_rate_limit(store: Store) {
    let shell = with_account(store).await;
    let create = ["key", "create", "--name", "A", "--rate-limit"];
    let made = shell.json(&[&create[..], &["50"]].concat());
    let documented = ["id", "key", "name", "scopes", "created_at", "expires_at"];
    assert_eq!(keys(&made), [&documented[..], &["rate_limit"]].concat());
    assert_eq!(made["rate_limit"], 50);

    let id = text(&made["id"]);
    let update = |limit: &str| shell.json(&["key", "update", &id, "--rate-limit", limit]);
    let listed = || shell.json(&["key", "list"])[0].clone();
    assert_eq!(listed()["rate_limit"], 50);
    for (limit, stored) in [("7", json!(7)), ("0", json!(0)), ("default", Value::Null)] {
        assert_eq!(update(limit), listed());
        assert_eq!(listed()["rate_limit"], stored);
    }
    let table = shell.done(&["key", "list"]);
    assert!(table.contains("rate_limit") && table.contains("default"));

    for wrong in ["-1", "1000000001", "1.5", "many", ""] {
        let flag = format!("--rate-limit={wrong}");
        for command in [&create[..4], &["key", "update", &id]] {
            let arguments = [command, &[flag.as_str()]].concat();
            shell.run(&arguments).assert_error(2, &["--rate-limit"]);
        }
    }
    shell
        .run(&["key", "update", &id])
        .assert_error(2, &["--rate-limit"]);
    shell
        .run(&["key", "update", "key_unknown", "--rate-limit", "1"])
        .assert_error(1, &["API key not found"]);
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

async fn an_id_says_whose_it_is(store: Store) {
    let shell = Shell::ready(store).await;
    let (one, two) = (shell.account("Toko Biru"), shell.account("Warung Merah"));
    let create = ["key", "create", "--name", "A", "--account"];
    let key = text(&shell.json(&[&create[..], &[&two]].concat())["id"]);
    let update = shell.json(&["key", "update", &key, "--rate-limit", "7"]);
    assert_eq!(update["rate_limit"], 7);
    // Who names an account looks nowhere else.
    let elsewhere = ["key", "revoke", &key, "--account", &one];
    shell
        .run(&elsewhere)
        .assert_error(1, &["API key not found"]);
    assert!(is_time(&shell.json(&["key", "revoke", &key])["revoked_at"]));

    let create = ["inbox", "create", "--type", "livechat", "--name", "A"];
    let inbox = text(&shell.json(&[&create[..], &["--account", &two]].concat())["id"]);
    for command in [
        &["show", &inbox][..],
        &["setup", &inbox],
        &["update", &inbox, "--name", "B"],
        &["delete", &inbox],
    ] {
        assert_eq!(shell.json(&[&["inbox"], command].concat())["id"], inbox);
    }
    for command in [
        &["key", "revoke", "key_unknown"][..],
        &["inbox", "show", "inbox_unknown"],
        &["inbox", "test", "inbox_unknown"],
        &["hooks", "show", "quar_unknown"],
        &["hooks", "replay", "quar_unknown"],
        &["hooks", "discard", "quar_unknown"],
    ] {
        shell.run(command).assert_error(1, &["not found"]);
    }
}

async fn without_json_lines_are_printed_that_programs_can_split(store: Store) {
    let shell = with_account(store).await;
    let [whatsapp, ..] = one_of_each_type(&shell);
    let id = text(&whatsapp["id"]);
    let lines = |arguments: &[&str]| {
        let printed = shell.done(arguments);
        let line = |line: &str| line.split('\t').map(str::to_owned).collect();
        printed.lines().map(line).collect::<Vec<Vec<String>>>()
    };
    let listed = lines(&["inbox", "list"]);
    let columns = [
        "id",
        "name",
        "type",
        "status",
        "address",
        "created_at",
        "messages",
    ];
    assert_eq!(listed[0], columns);
    let row = [&id, "Support", "whatsapp", "pending", "+62812345678"];
    assert_eq!(listed[1][..5], row);
    assert_eq!(listed.len(), 5);
    assert_eq!(lines(&["account", "list"])[1][1], "Toko Biru");

    let shown = lines(&["inbox", "show", &id]);
    assert_eq!(shown[0], ["id", &id]);
    assert!(shown.iter().all(|line| line.len() == 2), "{shown:?}");
    let migrated = lines(&["migrate"]);
    assert_eq!(migrated[1], ["applied", "0 migrations"]);
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
    shell
        .run(&["account", "list", "--secret-key", "abc"])
        .assert_error(2, &["--secret-key: must be 32 bytes"]);
    key_from(&shell, "-").assert_error(2, &["--secret-key-file: must be 32 bytes"]);
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
        .assert_error(1, &["already connected", "(--phone-number-id)"]);
    key_from(&shell, "no-such-file").assert_error(1, &["no-such-file"]);
    let away = ["--database-url", "postgres://nobody:hush@127.0.0.1:1/none"];
    let away = shell.run(&[&["account", "list"], &away[..]].concat());
    away.assert_error(1, &["not available"]);
    assert!(!away.stderr.contains("hush"), "{away:?}");
    let folder = ["--database-url", "sqlite:no/such/folder/inboxd.db"];
    shell
        .run(&[&["migrate"], &folder[..]].concat())
        .assert_error(1, &["no/such/folder/inboxd.db"]);
}

async fn only_serve_and_migrate_make_a_database(store: Store) {
    let shell = Shell::empty(store).await;
    for command in [
        &["account", "create", "--name", "A"][..],
        &["account", "list"],
        &["key", "list"],
        &["inbox", "list"],
        &["hooks", "list"],
        &["verify"],
    ] {
        let words = ["--database-url", "inboxd migrate", "inboxd serve"];
        shell.run(command).assert_error(1, &words);
        // A file that is there, and holds nothing, is no database either.
        shell.write("empty.db", "");
        let empty = ["--database-url", "sqlite:empty.db"];
        shell
            .run(&[command, &empty].concat())
            .assert_error(1, &words);
        let nowhere = ["--database-url", "sqlite:nowhere.db"];
        shell
            .run(&[command, &nowhere].concat())
            .assert_error(1, &["there is no database at nowhere.db", words[0]]);
    }
    assert!(!shell.folder().join("nowhere.db").exists());
    shell.done(&["migrate"]);
    assert_eq!(shell.json(&["account", "list"]), json!([]));
}

async fn help_tells_this_commands_flags_from_those_of_every_command(store: Store) {
    let shell = Shell::at("sqlite:never-opened.db");
    for command in [&["key", "create"][..], &["inbox", "update"], &["serve"]] {
        let help = shell.done(&[command, &["--help"]].concat());
        let (own, global) = help
            .split_once("\nOptions of every command:\n")
            .unwrap_or_else(|| panic!("{store:?}: {help}"));
        for flag in ["--database-url", "--secret-key-file", "--json", "--log"] {
            assert!(!own.contains(&format!("{flag} ")), "{flag} in {own}");
            assert!(global.contains(flag), "no {flag} in {global}");
        }
        assert!(!global.contains("--name") && !global.contains("--listen"));
    }
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
    with(&"ab".repeat(32)).assert_error(1, &["set up with a different INBOXD_SECRET_KEY"]);
    shell.write("key", "too short");
    key_from(&shell, "key").assert_error(1, &["file key: must be 32 bytes"]);
}
