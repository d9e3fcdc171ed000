//! `POST /inboxes/{id}/connect` for Telegram, and how Telegram sees the inbox afterwards.

use crate::support::{
    Answer, Store, TestApp, eventually, next_event, on_both_stores,
    provider::{Provider, Reply, no, ok},
};
use inboxd::{
    config::Providers,
    domain::Scope,
    id::{EventId, InboxId},
};
use reqwest::Method;
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::sync::Semaphore;

on_both_stores![
    a_bot_is_connected_by_one_call,
    what_telegram_delivers_then_is_counted,
    connecting_again_is_fine,
    an_inbox_that_is_switched_off_stays_off,
    a_wrong_token_is_a_conflict_in_telegrams_words,
    a_refused_webhook_is_a_conflict_in_telegrams_words,
    no_clear_answer_is_a_503_and_changes_nothing,
    no_answer_in_time_is_a_503_and_changes_nothing,
    nobody_there_is_a_503_and_changes_nothing,
    a_busy_provider_says_when_to_come_again,
    a_token_of_another_bot_is_a_conflict,
    a_token_that_is_replaced_meanwhile_is_not_proved_by_the_old_ones_answer,
    an_inbox_that_is_deleted_meanwhile_is_not_found,
    a_new_token_of_the_same_bot_leaves_it_connected,
    setup_shows_what_telegram_reports,
    setup_answers_when_telegram_does_not,
    setup_asks_nobody_before_it_is_connected,
    others_may_not_connect,
    a_body_is_ignored,
    tls_is_spoken_where_the_address_says_so,
];

const TOKEN: &str = "110201543:AAHdqTcvCH1vGWJxfSeof_SAs0K5PAL-Dsaw";
const AWAY: &str =
    "Telegram cannot be reached, or gives no clear answer: nothing was changed, try again";

/// A server, the provider that it asks, and one bot's inbox.
struct Bot {
    app: TestApp,
    provider: Provider,
    inbox: InboxId,
    key: String,
}

impl Bot {
    async fn start(store: Store) -> Self {
        Self::with(store, Provider::settings).await
    }

    async fn with(store: Store, settings: impl FnOnce(&Provider) -> Providers) -> Self {
        let provider = Provider::with_a_bot().await;
        let app = TestApp::asking(store, settings(&provider)).await;
        let inbox = app
            .inbox(json!({"name": "Bot", "type": "telegram", "channel": {"bot_token": TOKEN}}))
            .await;
        let key = app.key(&[Scope::Write]).await;
        Bot {
            app,
            provider,
            inbox,
            key,
        }
    }

    async fn connect(&self) -> Answer {
        connect(&self.app, &self.inbox, &self.key).await
    }

    async fn setup(&self) -> Value {
        let path = format!("/inboxes/{}/setup", self.inbox);
        self.app.get(&path).key(&self.key).send().await.data()
    }

    async fn status(&self) -> Value {
        self.app.shown(&self.inbox).await["status"].clone()
    }

    /// That nothing was changed: it is as it was made.
    async fn assert_untouched(&self) {
        let setup = self.setup().await;
        assert_eq!(setup["status"], "pending");
        for key in ["proved_at", "bot_name", "bot_username", "provider"] {
            assert_eq!(setup.get(key), None, "{setup}");
        }
    }

    async fn change(&self, method: Method, body: &Value) -> Answer {
        let path = format!("/inboxes/{}", self.inbox);
        let call = self.app.call(method, &path).key(&self.key);
        call.json(body).send().await
    }
}

async fn connect(app: &TestApp, inbox: &InboxId, key: &str) -> Answer {
    let path = format!("/inboxes/{inbox}/connect");
    app.post(&path).key(key).send().await
}

fn hook(inbox: &InboxId) -> String {
    format!("https://inbox.example.com/hooks/telegram/{inbox}")
}

#[track_caller]
fn assert_away(answer: &Answer) {
    answer.assert_error(503, "UNAVAILABLE", AWAY);
    let seconds: u32 = answer.header("retry-after").parse().expect("seconds");
    assert!((1..=60).contains(&seconds));
}

async fn a_bot_is_connected_by_one_call(store: Store) {
    let bot = Bot::start(store).await;
    let webhook = json!({"url": hook(&bot.inbox), "has_custom_certificate": false, "pending_update_count": 2});
    bot.provider.replies("getWebhookInfo", ok(webhook));
    bot.app.context.clock.advance(60);
    let mut events = bot.app.context.events.listen();
    let before = EventId::new(&bot.app.context.clock);
    let answer = bot.connect().await;
    let secret = bot.app.context.vault.inbox_token(&bot.inbox);
    let expected = json!({
        "id": bot.inbox.as_str(), "type": "telegram", "status": "active",
        "webhook_url": hook(&bot.inbox), "secret_token": secret,
        "bot_name": "Toko Biru", "bot_username": "toko_biru_bot",
        "credentials": {"bot_token": true},
        "proved_at": "2025-01-15T08:01:00Z",
        "provider": {"checked": "bot_token", "webhook_url": hook(&bot.inbox), "webhook_matches": true,
            "pending_update_count": 2},
    });
    answer.assert_json(200, &json!({"success": true, "data": expected}));
    assert_eq!(bot.status().await, "active");
    let event = next_event(&mut events, &before).await;
    assert_eq!(
        (&event.inbox, event.what.name()),
        (&bot.inbox, "inbox.changed")
    );
    let connected = EventId::new(&bot.app.context.clock);
    bot.app.whatsapp("42").await;
    let next = next_event(&mut events, &event.id).await;
    assert!(next.id > connected, "one event");

    let asked: Vec<_> = bot.provider.questions();
    let path = |method: &str| format!("/bot{TOKEN}/{method}");
    assert_eq!(asked[0].path, path("getMe"));
    assert_eq!(asked[1].path, path("setWebhook"));
    assert_eq!(asked[1].method, Method::POST);
    assert_eq!(asked[1].body["url"], hook(&bot.inbox));
    assert_eq!(asked[1].body["secret_token"], secret);
    assert_eq!(asked[1].body["drop_pending_updates"], false);
    assert_eq!(asked[2].path, path("getWebhookInfo"));
    assert_eq!(asked.len(), 3);
    assert!(
        asked
            .iter()
            .all(|question| question.authorization.is_none())
    );
}

async fn what_telegram_delivers_then_is_counted(store: Store) {
    let bot = Bot::start(store).await;
    bot.connect().await.assert_status(200);
    // As Telegram does: to the address and with the secret that it was given.
    let set = &bot.provider.questions()[1].body;
    let url = set["url"].as_str().expect("a URL");
    let path = url.trim_start_matches("https://inbox.example.com");
    let secret = set["secret_token"].as_str().expect("a secret");
    let update = json!({"update_id": 1, "message": {"message_id": 1, "date": 1_736_928_000, "text": "Halo",
        "chat": {"id": 9, "type": "private"}, "from": {"id": 9, "is_bot": false, "first_name": "Ayu"}}});
    let header = "x-telegram-bot-api-secret-token";
    let update = bot.app.post(path).header(header, secret).json(&update);
    update.send().await.assert_status(200);
    let shown = bot.app.shown(&bot.inbox).await;
    assert_eq!(shown["messages_count"], 1);
    assert_eq!(shown["status"], "active");
}

async fn connecting_again_is_fine(store: Store) {
    let bot = Bot::start(store).await;
    let first = bot.connect().await.data();
    bot.app.context.clock.advance(60);
    let renamed = json!({"id": 110_201_543, "is_bot": true, "first_name": "Toko Biru Baru"});
    bot.provider.replies("getMe", ok(renamed));
    let mut events = bot.app.context.events.listen();
    let before = EventId::new(&bot.app.context.clock);
    let again = bot.connect().await.data();
    assert_eq!(again["proved_at"], first["proved_at"]);
    assert_eq!(again["bot_name"], "Toko Biru Baru");
    assert_eq!(again.get("bot_username"), None);
    bot.app.whatsapp("42").await;
    let next = next_event(&mut events, &before).await;
    assert_ne!(next.inbox, bot.inbox, "nothing of it is in the inbox");
}

async fn an_inbox_that_is_switched_off_stays_off(store: Store) {
    let bot = Bot::start(store).await;
    let off = json!({"status": "inactive"});
    bot.change(Method::PATCH, &off).await.assert_status(200);
    let setup = bot.connect().await.data();
    assert_eq!(setup["status"], "inactive");
    assert_eq!(setup["proved_at"], "2025-01-15T08:00:00Z");
    let on = json!({"status": "active"});
    let shown = bot.change(Method::PATCH, &on).await.data();
    assert_eq!(shown["status"], "active");
}

async fn a_wrong_token_is_a_conflict_in_telegrams_words(store: Store) {
    let bot = Bot::start(store).await;
    bot.provider.replies("getMe", no(401, "Unauthorized"));
    let message = "Telegram refuses this bot_token. It says: Unauthorized";
    bot.connect()
        .await
        .assert_conflict("provider_refused", message);
    assert_eq!(bot.provider.asked(), ["getMe"], "nothing was set");
    bot.assert_untouched().await;

    let long = format!("No\u{7}\r\n{}", "!".repeat(5000));
    bot.provider.replies("getMe", no(400, &long));
    let answer = bot.connect().await;
    answer.assert_status(409);
    let message = answer.json()["error"]["message"].clone();
    let message = message.as_str().expect("a text");
    assert!(message.len() < 400 && !message.contains(char::is_control));
}

async fn a_refused_webhook_is_a_conflict_in_telegrams_words(store: Store) {
    let bot = Bot::start(store).await;
    let said = "Bad Request: bad webhook: HTTPS url must be provided for webhook";
    bot.provider.replies("setWebhook", no(400, said));
    let message = format!(
        "Telegram refuses the webhook {}. It says: {said}",
        hook(&bot.inbox)
    );
    bot.connect()
        .await
        .assert_conflict("provider_refused", &message);
    bot.assert_untouched().await;
}

async fn no_clear_answer_is_a_503_and_changes_nothing(store: Store) {
    let bot = Bot::start(store).await;
    let large = "x".repeat(100 * 1024);
    for reply in [
        no(500, "Internal Server Error"),
        Reply::Text(502, "<html>Bad Gateway</html>".to_owned()),
        Reply::Text(401, "<html>Who are you?</html>".to_owned()),
        Reply::Text(200, "{\"ok\":true,\"result\":".to_owned()),
        Reply::Text(200, String::new()),
        Reply::Json(200, json!({"ok": true})),
        Reply::Json(200, json!({"ok": true, "result": {"id": 1}, "more": large})),
        Reply::Redirect("/elsewhere"),
        Reply::Broken,
    ] {
        for method in ["getMe", "setWebhook"] {
            let others = Bot::good(method);
            bot.provider.replies(method, reply.clone());
            assert_away(&bot.connect().await);
            bot.assert_untouched().await;
            bot.provider.replies(method, others);
        }
    }
    let followed = bot.provider.asked().contains(&"elsewhere".to_owned());
    assert!(!followed, "a redirect is not followed");
    bot.connect().await.assert_status(200);
}

impl Bot {
    fn good(method: &str) -> Reply {
        match method {
            "getMe" => ok(json!({"id": 110_201_543, "is_bot": true, "first_name": "Toko Biru"})),
            _ => ok(json!(true)),
        }
    }
}

async fn no_answer_in_time_is_a_503_and_changes_nothing(store: Store) {
    let bot = Bot::with(store, Provider::impatient).await;
    for method in ["getMe", "setWebhook"] {
        bot.provider.replies(method, Reply::Never);
        // On a slow machine the other question may take too long, too: the outcome is the same.
        assert_away(&bot.connect().await);
        bot.assert_untouched().await;
        bot.provider.replies(method, Bot::good(method));
    }
}

async fn nobody_there_is_a_503_and_changes_nothing(store: Store) {
    let bot = Bot::with(store, |_| crate::support::provider::nowhere()).await;
    assert_away(&bot.connect().await);
    bot.assert_untouched().await;
}

async fn a_busy_provider_says_when_to_come_again(store: Store) {
    let bot = Bot::start(store).await;
    let busy = json!({"ok": false, "error_code": 429, "description": "Too Many Requests: retry after 35",
        "parameters": {"retry_after": 35}});
    bot.provider.replies("setWebhook", Reply::Json(429, busy));
    let answer = bot.connect().await;
    assert_away(&answer);
    assert_eq!(answer.header("retry-after"), "35");
    bot.assert_untouched().await;
}

async fn a_token_of_another_bot_is_a_conflict(store: Store) {
    let bot = Bot::start(store).await;
    let other = json!({"id": 5, "is_bot": true, "first_name": "Other"});
    bot.provider.replies("getMe", ok(other));
    let message = "Telegram says that this bot_token belongs to bot 5, and not to the bot whose id it starts with";
    bot.connect()
        .await
        .assert_conflict("credential_of_another", message);
    bot.assert_untouched().await;
}

/// Starts to connect, does something while Telegram takes its time, and gives the answer.
async fn meanwhile(bot: &Bot, what: impl AsyncFnOnce()) -> Answer {
    let gate = Arc::new(Semaphore::new(0));
    let late = Reply::After(gate.clone(), Box::new(ok(json!(true))));
    bot.provider.replies("setWebhook", late);
    let path = format!("/inboxes/{}/connect", bot.inbox);
    let connecting = tokio::spawn(bot.app.post(&path).key(&bot.key).send());
    eventually("Telegram is asked", async || {
        bot.provider.asked().contains(&"setWebhook".to_owned())
    })
    .await;
    what().await;
    gate.add_permits(1);
    connecting.await.expect("a task ends well")
}

async fn a_token_that_is_replaced_meanwhile_is_not_proved_by_the_old_ones_answer(store: Store) {
    let bot = Bot::start(store).await;
    let newer = json!({"channel": {"bot_token": "110201543:AAHnewer"}});
    let answer = meanwhile(&bot, async || {
        bot.change(Method::PATCH, &newer).await.assert_status(200);
    })
    .await;
    let message =
        "The bot_token was replaced while Telegram was checking the old one: connect again";
    answer.assert_conflict("credential_replaced", message);
    bot.assert_untouched().await;
    bot.provider.replies("setWebhook", ok(json!(true)));
    bot.connect().await.assert_status(200);
    let questions = bot.provider.questions();
    let last = questions.last().expect("a question");
    assert!(last.path.starts_with("/bot110201543:AAHnewer/"));
}

async fn an_inbox_that_is_deleted_meanwhile_is_not_found(store: Store) {
    let bot = Bot::start(store).await;
    let answer = meanwhile(&bot, async || {
        let path = format!("/inboxes/{}", bot.inbox);
        let call = bot.app.delete(&path).key(&bot.key);
        call.send().await.assert_status(204);
    })
    .await;
    answer.assert_error(404, "NOT_FOUND", "Inbox not found");
}

async fn a_new_token_of_the_same_bot_leaves_it_connected(store: Store) {
    let bot = Bot::start(store).await;
    bot.connect().await.assert_status(200);
    let newer = json!({"channel": {"bot_token": "110201543:AAHnewer"}});
    bot.change(Method::PATCH, &newer).await.assert_status(200);
    assert_eq!(
        bot.setup().await["bot_name"],
        "Toko Biru",
        "it is the same bot"
    );
    assert_eq!(bot.status().await, "active");
}

async fn setup_shows_what_telegram_reports(store: Store) {
    let bot = Bot::start(store).await;
    bot.connect().await.assert_status(200);
    let said = "Wrong response from the webhook: 401 Unauthorized";
    let webhook = json!({"url": format!("https://old.example/{TOKEN}"), "has_custom_certificate": false,
        "pending_update_count": 12, "last_error_date": 1_736_928_000, "last_error_message": said});
    bot.provider.replies("getWebhookInfo", ok(webhook));
    assert_eq!(
        bot.setup().await["provider"],
        json!({"checked": "bot_token", "webhook_url": "https://old.example/[hidden]", "webhook_matches": false,
            "pending_update_count": 12, "last_error_at": "2025-01-15T08:00:00Z", "last_error_message": said})
    );
    let none = json!({"url": "", "has_custom_certificate": false, "pending_update_count": 0});
    bot.provider.replies("getWebhookInfo", ok(none));
    assert_eq!(
        bot.setup().await["provider"],
        json!({"checked": "bot_token", "webhook_matches": false, "pending_update_count": 0})
    );
}

async fn setup_answers_when_telegram_does_not(store: Store) {
    let bot = Bot::start(store).await;
    bot.connect().await.assert_status(200);
    let refusal = "Telegram refuses this bot_token. It says: Unauthorized";
    for (reply, error) in [
        (no(401, "Unauthorized"), refusal),
        (Reply::Text(502, "<html>".to_owned()), AWAY),
    ] {
        bot.provider.replies("getWebhookInfo", reply);
        let setup = bot.setup().await;
        assert_eq!(setup["provider"], json!({"error": error}));
        assert_eq!(setup["status"], "active");
    }
    // Connected by a node that could wait; asked by one that does not.
    let Bot {
        app,
        provider,
        inbox,
        key,
    } = bot;
    provider.replies("getWebhookInfo", Reply::Never);
    let mut context = app.context.clone();
    context.set_providers(provider.impatient());
    let setup = inboxd::ops::setup::get(&context, &app.account, &inbox).await;
    let report = setup.expect("a setup").provider.expect("a report");
    assert_eq!(report.error.as_deref(), Some(AWAY));
    drop(key);
}

async fn setup_asks_nobody_before_it_is_connected(store: Store) {
    let bot = Bot::start(store).await;
    assert_eq!(bot.setup().await.get("provider"), None);
    assert!(bot.provider.questions().is_empty());
}

async fn others_may_not_connect(store: Store) {
    let bot = Bot::start(store).await;
    let path = format!("/inboxes/{}/connect", bot.inbox);
    bot.app.post(&path).send().await.assert_unauthorized();
    let reader = bot.app.key(&[Scope::Read]).await;
    let message = "This API key lacks the scope 'write'";
    let answer = bot.app.post(&path).key(&reader).send().await;
    answer.assert_error(403, "FORBIDDEN", message);
    let other = bot.app.another_account().await;
    let others = bot.app.key_of(&other, &Scope::ALL).await;
    for path in [
        path.as_str(),
        "/inboxes/inbox_nobodys/connect",
        "/inboxes/%00/connect",
    ] {
        let answer = bot.app.post(path).key(&others).send().await;
        answer.assert_error(404, "NOT_FOUND", "Inbox not found");
    }
    assert!(bot.provider.questions().is_empty());
    bot.assert_untouched().await;
}

async fn a_body_is_ignored(store: Store) {
    let bot = Bot::start(store).await;
    let path = format!("/inboxes/{}/connect", bot.inbox);
    let call = || bot.app.post(&path).key(&bot.key);
    call().json(&json!({})).send().await.assert_status(200);
    call().body("anything").send().await.assert_status(200);
    let large = call().body(vec![b' '; 65 * 1024]).send().await;
    large.assert_status(413);
}

/// The provider does not: what it answers is no TLS, and so no answer.
async fn tls_is_spoken_where_the_address_says_so(store: Store) {
    let secure = |provider: &Provider| Providers {
        telegram_url: provider.url().replace("http://", "https://"),
        ..provider.settings()
    };
    let bot = Bot::with(store, secure).await;
    assert_away(&bot.connect().await);
    assert!(bot.provider.questions().is_empty());
    bot.assert_untouched().await;
}
