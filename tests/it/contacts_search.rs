//! `GET /contacts?q=`: found by the beginnings of words, at a bounded cost, and only by what is known now.

use crate::{
    contacts::Contacts,
    support::{
        Store, TestApp, eventually, on_both_stores,
        whatsapp::{hello, text, update},
    },
};
use db::Sql;
use inboxd::{domain::Scope, ops};
use serde_json::{Value, json};
use std::collections::BTreeSet;

on_both_stores![
    a_contact_is_found_by_all_that_is_known_of_it,
    pages_hold_each_contact_once,
    a_search_of_ten_thousand_with_one_beginning_is_bounded,
    contacts_of_before_are_found_once_a_job_has_read_them,
    a_removed_inbox_takes_its_contacts_with_it_but_those_that_were_saved,
    damaged_words_are_noticed_and_repaired,
];

async fn a_contact_is_found_by_all_that_is_known_of_it(store: Store) {
    let contacts = Contacts::start(store).await;
    contacts.app.whatsapp("1001").await;
    let mut payload = update("1001", &[text("628111111111", "wamid.1", "Hello")]);
    let value = &mut payload["entry"][0]["changes"][0]["value"];
    value["messages"][0]["from_user_id"] = "ID.900".into();
    value["contacts"][0]["user_id"] = "ID.900".into();
    value["contacts"][0]["profile"] = json!({"name": "José Ångström", "username": "joselito"});
    contacts.deliver(&payload).await;
    let id = contacts.list("").await[0]["id"].clone();
    contacts
        .change(&id, &json!({"email": "jose@toko-biru.example"}))
        .await
        .assert_status(200);
    contacts
        .add(&json!({"external_id": "17", "name": "Budi"}))
        .await
        .assert_status(201);
    for q in [
        "jose",
        "JOS%C3%89",
        "ang",
        "%C3%A5ngstr%C3%B6m+JOS",
        "62811",
        "%2B62+811-1111",
        "900",
        "josel",
        "jose%40toko",
        "biru",
    ] {
        let found = contacts.list(&format!("q={q}")).await;
        assert_eq!(found.len(), 1, "{q}");
        assert_eq!(found[0]["id"], id, "{q}");
    }
    for q in ["ose", "jose+budi", "8111", "josef", "jose+angstroms"] {
        assert_eq!(contacts.list(&format!("q={q}")).await.len(), 0, "{q}");
    }
    // What it was called before leads to it no more.
    contacts
        .change(&id, &json!({"name": "Pepe", "email": null}))
        .await
        .assert_status(200);
    for (q, count) in [("pepe", 1), ("angs", 0), ("biru", 0), ("josel", 1)] {
        assert_eq!(contacts.list(&format!("q={q}")).await.len(), count, "{q}");
    }
    contacts.app.verify().await;
}

/// The ids of all pages of a list, and how many pages there were.
async fn walk(contacts: &Contacts, query: &str) -> (Vec<String>, usize) {
    let (mut ids, mut pages, mut cursor) = (Vec::new(), 0, String::new());
    loop {
        let page = contacts
            .get(&format!("/contacts?{query}{cursor}"))
            .await
            .json();
        let rows = page["data"].as_array().expect("a list");
        ids.extend(rows.iter().map(|row| row["id"].to_string()));
        pages += 1;
        let next = page["pagination"].get("next_cursor");
        assert_eq!(page["pagination"]["has_more"], next.is_some());
        match next {
            None => return (ids, pages),
            Some(next) => cursor = format!("&cursor={}", next.as_str().expect("a cursor")),
        }
    }
}

async fn pages_hold_each_contact_once(store: Store) {
    let contacts = Contacts::start(store).await;
    for number in 0..7 {
        let body = json!({"external_id": number.to_string(), "name": "Ann Anna Annabel", "email": "ann@an.example"});
        contacts.add(&body).await.assert_status(201);
    }
    for (query, newest_first) in [
        ("limit=3", true),
        ("limit=3&q=an", false),
        ("limit=7&q=ann+ann", false),
    ] {
        let (ids, pages) = walk(&contacts, query).await;
        let set: BTreeSet<_> = ids.iter().collect();
        assert_eq!((ids.len(), set.len()), (7, 7), "{query}");
        assert!(ids.is_sorted_by(|a, b| (a > b) == newest_first), "{query}");
        assert!(pages <= 3, "{query}: {pages}");
    }
}

/// Contacts of whom nothing was read, as they were there before there was a search.
async fn fill(app: &TestApp, count: usize, name: &str) {
    let account = &app.account;
    let text = format!(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})
        INSERT INTO contacts (account_id, id, channel, provider_id, is_group, name, created_at, saved)
        SELECT '{account}', 'contact_' || CAST(100000 + i AS TEXT), 'whatsapp', '', 0, {name}, 0, 1 FROM n"
    );
    let mut session = app.context.db.write().await.expect("a session");
    session
        .batch(&Sql::same(text.leak()))
        .await
        .expect("rows go in");
    session.commit().await.expect("committed");
}

async fn a_search_of_ten_thousand_with_one_beginning_is_bounded(store: Store) {
    let contacts = Contacts::start(store).await;
    fill(
        &contacts.app,
        10_000,
        "'Annika ' || CASE WHEN i = 9999 THEN 'Lee' ELSE 'Abel' END",
    )
    .await;
    let node = contacts.app.another_node().await;
    eventually("all are read", async || {
        contacts.app.count("contacts WHERE words IS NULL").await == 0
    })
    .await;
    let first = contacts.get("/contacts?q=ann&limit=100").await.json();
    assert_eq!(first["data"].as_array().map(Vec::len), Some(100));
    assert_eq!(first["pagination"]["has_more"], true);
    // Walked by the word that most have: each page reads 2,000 rows, and ends early.
    let (found, pages) = walk(&contacts, "q=annika+lee").await;
    assert_eq!((found.len(), pages), (1, 6));
    let (found, pages) = walk(&contacts, "q=annika+nobody").await;
    assert_eq!((found.len(), pages), (0, 1));
    let (all, pages) = walk(&contacts, "q=a&limit=100").await;
    let set: BTreeSet<_> = all.iter().collect();
    assert_eq!((all.len(), set.len()), (10_000, 10_000));
    assert!(pages < 120, "{pages}");
    node.stop().await;
    contacts.app.verify().await;
}

async fn contacts_of_before_are_found_once_a_job_has_read_them(store: Store) {
    let app = TestApp::start(store).await;
    fill(&app, 1200, "'Ayu ' || CAST(i AS TEXT)").await;
    app.verify().await;
    // The next server does the work.
    let node = app.another_node().await;
    let key = app.key(&[Scope::Read]).await;
    eventually("they are found", async || {
        let found = app
            .get("/contacts?q=ayu+1200")
            .key(&key)
            .send()
            .await
            .data();
        found.as_array().map(Vec::len) == Some(1)
    })
    .await;
    eventually("all are read", async || {
        app.count("contacts WHERE words IS NULL").await == 0
    })
    .await;
    assert_eq!(app.count("contact_words").await, 2400);
    node.stop().await;
    app.verify().await;
}

async fn a_removed_inbox_takes_its_contacts_with_it_but_those_that_were_saved(store: Store) {
    let contacts = Contacts::start(store).await;
    let app = &contacts.app;
    let inbox = app.whatsapp("1001").await;
    contacts.deliver(&hello("wamid.1")).await;
    let other = update("1001", &[text("628222", "wamid.2", "Hello")]);
    contacts.deliver(&other).await;
    let saved = contacts.list("phone=%2B6282220").await;
    assert_eq!(saved, [Value::Null; 0]);
    let kept = contacts.list("q=628222").await[0]["id"].clone();
    contacts
        .change(&kept, &json!({"note": "VIP"}))
        .await
        .assert_status(200);
    let key = app.key(&[Scope::Write]).await;
    let path = format!("/inboxes/{inbox}?purge=true");
    app.delete(&path).key(&key).send().await.assert_status(204);
    // At once, and after its data is gone.
    for _ in 0..2 {
        let left = contacts.list("").await;
        assert_eq!(left.len(), 1);
        assert_eq!(left[0]["id"], kept);
        assert_eq!(contacts.list("q=customer").await, left);
        assert_eq!(contacts.one(&kept).await["conversations"], json!([]));
        eventually("it is removed", async || app.count("inboxes").await == 0).await;
    }
    assert_eq!(app.count("contacts").await, 1);
    assert_eq!(app.count("contact_words WHERE word = '628111'").await, 0);
    app.verify().await;
}

async fn damaged_words_are_noticed_and_repaired(store: Store) {
    let contacts = Contacts::start(store).await;
    let app = &contacts.app;
    for (id, name) in [("1", "Ayu"), ("2", "Budi"), ("3", "Citra")] {
        contacts
            .add(&json!({"external_id": id, "name": name}))
            .await
            .assert_status(201);
    }
    let mut session = app.context.db.write().await.expect("a session");
    for damage in [
        "DELETE FROM contact_words WHERE word = 'ayu'",
        "UPDATE contacts SET name = 'Bude' WHERE name = 'Budi'",
        "INSERT INTO contact_words (account_id, word, contact_id) SELECT account_id, 'x', id FROM contacts WHERE name = 'Citra'",
        "INSERT INTO contact_words (account_id, word, contact_id) VALUES ('acc_1', 'x', 'contact_1')",
    ] {
        session
            .execute(&Sql::same(damage), &[])
            .await
            .expect("damaged");
    }
    session.commit().await.expect("committed");
    let breaches = async || {
        let checks = ops::verify::run(&app.context).await.expect("checked");
        checks
            .iter()
            .map(|check| check.breaches.len())
            .sum::<usize>()
    };
    assert_eq!(breaches().await, 4);
    ops::verify::repair(&app.context).await.expect("repaired");
    assert_eq!(breaches().await, 0);
    for q in ["ayu", "bude", "citra"] {
        assert_eq!(contacts.list(&format!("q={q}")).await.len(), 1, "{q}");
    }
}
