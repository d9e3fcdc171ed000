//! Sending: what is heard late, of an attempt or of a credential that another one has replaced since.

use crate::{
    sending::{Sending, status},
    support::{Store, counting::Does, eventually, on_both_stores, program::text},
};
use db::Sql;
use inboxd::{
    domain::Scope,
    id::{AccountId, ConversationId, InboxId, MessageId},
    ops::outbox::{Conclusion, Ended, Traffic, Which, conclude},
};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use tokio::sync::Notify;

on_both_stores![
    a_late_word_on_an_old_token_does_not_stop_the_new_one,
    attempts_have_numbers_that_only_grow,
    what_is_late_does_not_end_what_waits,
    messages_leave_in_order_whatever_the_clock_says,
];

async fn a_late_word_on_an_old_token_does_not_stop_the_new_one(store: Store) {
    let sending = Sending::start(store).await;
    let conversation = sending.greeted().await;
    let told = Arc::new(Notify::new());
    let dead = json!({"error": {"code": 190, "message": "Error validating access token"}});
    let (when, answer) = (told.clone(), dead.clone());
    sending.provider.does(move |_, before| match before {
        0 => Does::AnswerWhen(when.clone(), 401, answer.clone()),
        _ => Does::Take,
    });
    let message = sending.say(&conversation, "One").await;
    eventually("it is under way", async || sending.provider.asked() == 1).await;
    let path = format!("/inboxes/{}", sending.inbox);
    let token = json!({"channel": {"access_token": "EAAG2"}});
    let writer = sending.app.key(&[Scope::Write]).await;
    let patched = sending.app.patch(&path).key(&writer).json(&token);
    let patched = patched.send().await;
    patched.assert_status(200);
    told.notify_one();
    sending.reaches(&message, "sent").await;
    let setup = async || {
        let setup = sending.app.get(&format!("{path}/setup")).key(&writer);
        setup.send().await.data()
    };
    assert_eq!(setup().await["sending"], Value::Null);
    // The new one is not valid, either.
    sending
        .provider
        .does(move |_, _| Does::Answer(401, dead.clone()));
    sending.say(&conversation, "Two").await;
    eventually("sending is stopped", async || {
        setup().await["sending"]["error"]["code"] == "credential"
    })
    .await;
    sending.app.verify().await;
}

async fn attempts_have_numbers_that_only_grow(store: Store) {
    let sending = Sending::patient(store, Duration::from_millis(300)).await;
    let conversation = sending.greeted().await;
    sending.provider.does(|_, before| match before {
        0 | 1 => Does::TakeAndCut,
        _ => Does::Answer(
            400,
            json!({"error": {"code": 131_026, "message": "Message undeliverable"}}),
        ),
    });
    let message = sending.say(&conversation, "One").await;
    sending.reaches(&message, "unknown").await;
    let path = format!("/messages/{}/settle", text(&message["id"]));
    let settle = sending.app.post(&path).key(&sending.key);
    let settle = settle.json(&json!({"status": "failed"})).send().await;
    settle.assert_status(200);
    sending.act(&message, "retry").await.assert_status(200);
    sending.reaches(&message, "unknown").await;
    // The first attempt failed after all. That says nothing about the second.
    let ours = |attempt: i64| format!("{}:{attempt}", text(&message["id"]));
    let late = status("wamid.first", "failed", Some(&ours(1)));
    sending.app.deliver(&late).await.assert_status(200);
    assert_eq!(sending.get(&message).await["status"], "unknown");
    sending.act(&message, "retry").await.assert_status(200);
    sending.reaches(&message, "failed").await;
    sending.provider.does(|_, _| Does::Take);
    sending.act(&message, "retry").await.assert_status(200);
    sending.reaches(&message, "sent").await;
    let took = sending.provider.took();
    let numbers: Vec<_> = took
        .iter()
        .map(|took| took.body["biz_opaque_callback_data"].clone())
        .collect();
    assert_eq!(numbers, [ours(1), ours(2), ours(4)]);
    sending.app.verify().await;
}

async fn what_is_late_does_not_end_what_waits(store: Store) {
    let sending = Sending::start(store).await;
    let conversation = sending.greeted().await;
    let busy = json!({"error": {"code": 131_016, "message": "Service unavailable"}});
    sending
        .provider
        .does(move |_, _| Does::Answer(400, busy.clone()));
    let message = sending.say(&conversation, "One").await;
    sending.comes_to_rest().await;
    // Another node believed the attempt lost just before its end was stored.
    let lost = Conclusion {
        of: Which {
            account: AccountId::from_text(sending.app.account.as_str()),
            inbox: InboxId::from_text(sending.inbox.as_str()),
            conversation: ConversationId::from_text(conversation.as_str()),
            message: MessageId::from_text(text(&message["id"])),
            number: 1,
        },
        ended: Ended::Lost,
        credential: None,
    };
    let stored = conclude(&sending.app.context, &mut Traffic::default(), &[lost]).await;
    stored.expect("it is stored");
    assert_eq!(sending.get(&message).await["status"], "queued");
    sending.app.verify().await;
}

async fn messages_leave_in_order_whatever_the_clock_says(store: Store) {
    let sending = Sending::start(store).await;
    let conversation = sending.greeted().await;
    let busy = json!({"error": {"code": 131_016, "message": "Service unavailable"}});
    sending.provider.does(move |_, before| match before {
        0 => Does::Answer(400, busy.clone()),
        _ => Does::Take,
    });
    let first = sending.say(&conversation, "1").await;
    sending.comes_to_rest().await;
    // As if the clock of the node that took the first were fast.
    let mut session = sending.app.context.db.write().await.expect("a session");
    let ahead = Sql::same("UPDATE outbox SET position = 'msg_zz'");
    session
        .execute(&ahead, &[])
        .await
        .expect("a good statement");
    session.commit().await.expect("committed");
    let mut last = first;
    for words in ["2", "3", "4"] {
        last = sending.say(&conversation, words).await;
    }
    sending.app.context.clock.advance(60);
    sending.reaches(&last, "sent").await;
    assert_eq!(sending.provider.texts(), ["1", "2", "3", "4"]);
    sending.app.verify().await;
}
