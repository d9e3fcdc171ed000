//! `inboxd contact`: what the API does with contacts, on the command line.

use crate::support::{Shell, Store, on_both_stores, program::text};
use serde_json::json;

on_both_stores![contacts_are_managed_without_a_server, wrong_flags_are_named,];

async fn contacts_are_managed_without_a_server(store: Store) {
    let shell = Shell::ready(store).await;
    shell.account("Toko Biru");
    let added = shell.json(&[
        "contact",
        "set",
        "--external-id",
        "17",
        "--phone",
        "+628111111",
        "--name",
        "Ayu Lestari",
        "--attribute",
        "plan=gold",
        "--attribute",
        "orders=3",
    ]);
    assert_eq!(added["attributes"], json!({"plan": "gold", "orders": 3}));
    let id = text(&added["id"]);
    let set = ["contact", "set", &id, "--muted", "true", "--remove", "name"];
    let changed = shell.json(&set);
    assert_eq!(
        (&changed["muted"], changed.get("name")),
        (&json!(true), None)
    );
    let other = shell.json(&["contact", "set", "--external-id", "18", "--email", "ayu@b"]);
    let listed = shell.json(&["contact", "list", "--q", "ayu"]);
    assert_eq!(listed.as_array().map(Vec::len), Some(1));
    assert_eq!(listed[0]["id"], other["id"]);
    let other = text(&other["id"]);
    let merged = shell.json(&["contact", "merge", &id, "--from", &other]);
    assert_eq!(
        (&merged["email"], &merged["former_ids"]),
        (&json!("ayu@b"), &json!([other]))
    );
    assert_eq!(shell.json(&["contact", "show", &other]), merged);
    let listed = shell.done(&["contact", "list"]);
    assert!(listed.contains("+628111111"), "{listed}");
    assert_eq!(shell.json(&["verify"])["ok"], true);
}

async fn wrong_flags_are_named(store: Store) {
    let shell = Shell::ready(store).await;
    shell.account("Toko Biru");
    let wrong = shell.run(&["contact", "set", "--external-id", "17", "--email", "nobody"]);
    wrong.assert_error(2, &["--email: must be an e-mail address"]);
    let wrong = shell.run(&["contact", "set", "--name", "Ayu"]);
    wrong.assert_code(2);
    let unknown = shell.run(&["contact", "show", "contact_x"]);
    unknown.assert_error(1, &["contact not found"]);
}
