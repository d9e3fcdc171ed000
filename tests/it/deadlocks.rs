//! Transactions that wait for each other: those that exchange addresses do not, and what the store gives up is done again.

use crate::support::{Store, TestApp, on_both_stores};
use futures_util::future::join_all;
use inboxd::domain::Scope;
use serde_json::json;

on_both_stores![inboxes_that_exchange_their_numbers_get_a_clear_answer];

/// Three inboxes move among four numbers, on two nodes at once.
async fn inboxes_that_exchange_their_numbers_get_a_clear_answer(store: Store) {
    let app = TestApp::start(store).await;
    let other = app.another_node().await;
    let key = app.key(&[Scope::Write]).await;
    let mut inboxes = Vec::new();
    for number in ["1001", "1002", "1003"] {
        inboxes.push(app.whatsapp(number).await);
    }
    let mut moved = 0;
    for round in 0..20 {
        let calls = (0..12_usize).map(|at| {
            let node = if at % 2 == 0 { &app } else { &other };
            let number = format!("100{}", 1 + (at + round) % 4);
            let path = format!("/inboxes/{}", inboxes[at % 3]);
            let body = json!({"channel": {"phone_number_id": number}});
            node.patch(&path).key(&key).json(&body).send()
        });
        for answer in join_all(calls).await {
            match answer.json()["success"].as_bool() {
                Some(true) => moved += 1,
                _ => answer.assert_status(409),
            }
        }
    }
    assert!(moved > 0);
    assert_eq!(app.count("channel_addresses").await, 3);
    app.verify().await;
    other.stop().await;
}

#[cfg(feature = "postgres-tests")]
#[tokio::test]
async fn a_transaction_that_the_store_gives_up_is_done_again() {
    use db::Sql;
    use inboxd::ops::transaction::again;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::sync::Barrier;

    let app = TestApp::start(Store::Postgres).await;
    let (one, two) = (app.livechat("One").await, app.livechat("Two").await);
    let rename = |id| {
        let text = format!("UPDATE inboxes SET name = name || '!' WHERE id = '{id}'");
        Sql::same(text.leak())
    };
    let (one, two) = (rename(one), rename(two));
    let both_have_one = Barrier::new(2);
    let begun = AtomicUsize::new(0);
    let both = async |first: &Sql, second: &Sql| {
        let waited = AtomicUsize::new(0);
        let done = again(|| async {
            begun.fetch_add(1, Ordering::Relaxed);
            let mut session = app.context.db.write().await?;
            session.execute(first, &[]).await?;
            if waited.fetch_add(1, Ordering::Relaxed) == 0 {
                both_have_one.wait().await;
            }
            session.execute(second, &[]).await?;
            Ok(session.commit().await?)
        });
        done.await.expect("done in the end");
    };
    tokio::join!(both(&one, &two), both(&two, &one));
    assert_eq!(begun.load(Ordering::Relaxed), 3, "one of them twice");
    assert_eq!(
        app.count("inboxes WHERE name LIKE '%!!' AND name NOT LIKE '%!!!'")
            .await,
        2
    );
    assert!(!app.context.db.writes_fail());
}
