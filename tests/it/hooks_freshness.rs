//! Where updates go is kept in memory: every update goes by the last change that was acknowledged before it came.

use crate::{
    freshness::{shell, within},
    support::{
        Answer, Store, TestApp, eventually, on_both_stores,
        whatsapp::{APP_SECRET, text, update},
        whatsapp_body,
    },
};
use inboxd::{domain::Scope, id::InboxId};
use serde_json::{Value, json};

on_both_stores![
    a_changed_app_secret_counts_from_the_very_next_update,
    a_changed_address_counts_from_the_very_next_update,
    a_deleted_inbox_takes_no_update_and_its_address_is_free,
    a_deleted_bot_takes_no_update,
    a_first_update_proves_its_inbox_once,
    without_memory_every_update_finds_its_inbox,
];

/// Two nodes that have in memory where updates go.
struct Nodes {
    store: Store,
    app: TestApp,
    other: TestApp,
    key: String,
    sent: u64,
}

impl Nodes {
    async fn start(store: Store) -> Self {
        let app = TestApp::start(store).await;
        Nodes {
            store,
            other: app.another_node().await,
            key: app.key(&[Scope::Read, Scope::Write]).await,
            app,
            sent: 0,
        }
    }

    fn both(&self) -> [&TestApp; 2] {
        [&self.app, &self.other]
    }

    fn hello(&mut self, number: &str) -> Vec<u8> {
        self.sent += 1;
        let message = text("628111", &format!("wamid.{}", self.sent), "Hello");
        update(number, &[message]).to_string().into_bytes()
    }

    /// Delivers to both until both have in memory where this goes.
    async fn warm(&mut self, number: &str, secret: &str) {
        let hello = self.hello(number);
        for node in self.both() {
            eventually("it is kept where updates go", async || {
                let answer = node.deliver_bytes(&hello, secret).await;
                answer.assert_status(200);
                node.context.cache.figures().destinations > 0
            })
            .await;
        }
    }

    /// That from here on updates with this secret get this answer, and with that one that answer.
    async fn assert_answers(&mut self, number: &str, by_command: bool, wanted: [(&str, u16); 2]) {
        for (secret, status) in wanted {
            let hello = self.hello(number);
            let answer = self.app.deliver_bytes(&hello, secret).await;
            assert_eq!(answer.status, status, "{answer:?}");
            // A command has waited for all nodes.
            if by_command {
                let answer = self.other.deliver_bytes(&hello, secret).await;
                assert_eq!(answer.status, status, "{answer:?}");
            }
            within(self.store, "a node goes by what was", async || {
                let answer = self.other.deliver_bytes(&hello, secret).await;
                answer.status == status
            })
            .await;
        }
    }

    async fn patch(&self, inbox: &InboxId, body: Value) {
        let path = format!("/inboxes/{inbox}");
        let changed = self.app.patch(&path).key(&self.key).json(&body);
        changed.send().await.assert_status(200);
    }
}

async fn a_changed_app_secret_counts_from_the_very_next_update(store: Store) {
    let mut nodes = Nodes::start(store).await;
    let inbox = nodes.app.whatsapp("1001").await;
    let mut old = APP_SECRET.to_owned();
    for round in 0..4 {
        let new = format!("another-secret-{round}");
        nodes.warm("1001", &old).await;
        let by_command = round % 2 == 1;
        if by_command {
            let shell = shell(&nodes.app);
            let update = ["inbox", "update", inbox.as_str(), "--app-secret", &new];
            shell.run_async(&update).await.assert_code(0);
        } else {
            let body = json!({"channel": {"app_secret": new}});
            nodes.patch(&inbox, body).await;
        }
        let wanted = [(old.as_str(), 401), (new.as_str(), 200)];
        nodes.assert_answers("1001", by_command, wanted).await;
        old = new;
    }
    nodes.app.verify().await;
}

async fn a_changed_address_counts_from_the_very_next_update(store: Store) {
    let mut nodes = Nodes::start(store).await;
    let inbox = nodes.app.whatsapp("1001").await;
    for (old, new) in [("1001", "1002"), ("1002", "1001")] {
        nodes.warm(old, APP_SECRET).await;
        let body = json!({"channel": {"phone_number_id": new}});
        nodes.patch(&inbox, body).await;
        let wanted = [(APP_SECRET, 404), ("wrong", 404)];
        nodes.assert_answers(old, false, wanted).await;
        let wanted = [(APP_SECRET, 200), ("wrong", 401)];
        nodes.assert_answers(new, false, wanted).await;
    }
    nodes.app.verify().await;
}

async fn a_deleted_inbox_takes_no_update_and_its_address_is_free(store: Store) {
    let mut nodes = Nodes::start(store).await;
    let mut account = nodes.app.account.clone();
    let mut old = nodes.app.whatsapp("1001").await;
    for by_command in [false, true] {
        nodes.warm("1001", APP_SECRET).await;
        if by_command {
            let shell = shell(&nodes.app);
            let delete = ["inbox", "delete", old.as_str(), "--purge", "--account"];
            let delete = [&delete[..], &[account.as_str()]].concat();
            shell.run_async(&delete).await.assert_code(0);
        } else {
            let path = format!("/inboxes/{old}?purge=true");
            let deleted = nodes.app.delete(&path).key(&nodes.key).send().await;
            deleted.assert_status(204);
        }
        let wanted = [(APP_SECRET, 404), ("wrong", 404)];
        nodes.assert_answers("1001", by_command, wanted).await;
        // Somebody else's now.
        account = nodes.app.another_account().await;
        old = nodes.app.inbox_of(&account, whatsapp_body("1001")).await;
        let wanted = [(APP_SECRET, 200), ("wrong", 401)];
        nodes.assert_answers("1001", false, wanted).await;
    }
    nodes.app.verify().await;
}

async fn a_deleted_bot_takes_no_update(store: Store) {
    let nodes = Nodes::start(store).await;
    let body =
        json!({"name": "Bot", "type": "telegram", "channel": {"bot_token": "110201543:AAH"}});
    let inbox = nodes.app.inbox(body).await;
    let token = nodes.app.context.vault.inbox_token(&inbox);
    for node in nodes.both() {
        eventually("it is kept where updates go", async || {
            tell(node, &inbox, &token).await.assert_status(200);
            node.context.cache.figures().destinations > 0
        })
        .await;
    }
    tell(&nodes.app, &inbox, "wrong").await.assert_status(401);
    let path = format!("/inboxes/{inbox}?purge=true");
    let deleted = nodes.app.delete(&path).key(&nodes.key).send().await;
    deleted.assert_status(204);
    tell(&nodes.app, &inbox, &token).await.assert_status(404);
    within(store, "a deleted bot is told", async || {
        tell(&nodes.other, &inbox, &token).await.status == 404
    })
    .await;
    nodes.app.verify().await;
}

/// An update of a bot.
async fn tell(app: &TestApp, inbox: &InboxId, token: &str) -> Answer {
    let update = json!({"update_id": 1, "message": {"message_id": 1, "date": 1_736_928_000,
        "chat": {"id": 7, "type": "private"}, "from": {"id": 7, "is_bot": false}, "text": "hola"}});
    app.post(&format!("/hooks/telegram/{inbox}"))
        .header("x-telegram-bot-api-secret-token", token)
        .json(&update)
        .send()
        .await
}

/// What was read of an inbox before it was proved is not kept beyond that.
async fn a_first_update_proves_its_inbox_once(store: Store) {
    let mut nodes = Nodes::start(store).await;
    let inbox = nodes.app.whatsapp("1001").await;
    assert_eq!(nodes.app.shown(&inbox).await["status"], "pending");
    let changed = async |nodes: &Nodes| {
        let sql = db::Sql::same("SELECT change_id FROM inboxes");
        let mut session = nodes.app.context.db.read().await.expect("it answers");
        let change = session.query_opt(&sql, &[], |row| row.get::<String>(0));
        change.await.expect("it answers")
    };
    let hello = nodes.hello("1001");
    // Not vouched for: it proves nothing, though it may leave behind whom it named.
    let refused = nodes.app.deliver_bytes(&hello, "wrong").await;
    refused.assert_status(401);
    assert_eq!(nodes.app.shown(&inbox).await["status"], "pending");
    nodes.warm("1001", APP_SECRET).await;
    assert_eq!(nodes.app.shown(&inbox).await["status"], "active");
    let proved = changed(&nodes).await;
    nodes.warm("1001", APP_SECRET).await;
    assert_eq!(changed(&nodes).await, proved);
}

async fn without_memory_every_update_finds_its_inbox(store: Store) {
    let nodes = Nodes::start(store).await;
    let bare = nodes.app.another_node_with(0).await;
    nodes.app.whatsapp("1001").await;
    for number in 0..3 {
        let message = text("628111", &format!("wamid.{number}"), "Hello");
        let answer = bare.deliver(&update("1001", &[message])).await;
        answer.assert_status(200);
    }
    assert_eq!(bare.context.cache.figures().destinations, 0);
}
