//! One request for each answer that the document promises, in an order that makes all of them possible.

mod contacts;

use crate::support::{
    Call, Store, TestApp,
    whatsapp::{self, APP_SECRET, sign, update},
    whatsapp_body,
};
use inboxd::domain::Scope;
use reqwest::Method;
use serde_json::{Value, json};

/// One request: method, documented path, what is special about it, the call, and the status that it must get.
pub(super) struct Step(
    pub(super) Method,
    pub(super) &'static str,
    pub(super) String,
    pub(super) Call,
    pub(super) u16,
);

/// A server with something of everything.
pub(super) struct Walk {
    app: TestApp,
    reader: String,
    writer: String,
    inbox: String,
    /// One that can send.
    ready: String,
    telegram: String,
    livechat: String,
    /// Telegram's secret token.
    token: String,
    /// The verify tokens of the hooks that Meta calls.
    verify: [(&'static str, String); 2],
    conversation: String,
    message: String,
    sender: String,
    /// A conversation of the live chat.
    chat: String,
    contacts: [String; 2],
    /// A contact that can be merged with one of them.
    mergeable: String,
}

impl Walk {
    pub(super) async fn start(store: Store) -> Self {
        let app = TestApp::start(store).await;
        let inbox = app.whatsapp("42").await;
        let instagram = json!({"name": "Instagram DM", "type": "instagram",
            "instagram_account_id": "ig_789", "channel": {"app_secret": APP_SECRET}});
        let instagram = app.inbox(instagram).await;
        let vault = &app.context.vault;
        let verify = [
            ("/hooks/whatsapp", vault.verify_token(&inbox)),
            ("/hooks/instagram", vault.verify_token(&instagram)),
        ];
        let inbox = inbox.to_string();
        let mut ready = whatsapp_body("77");
        ready["channel"]["access_token"] = "EAAG".into();
        let ready = app.inbox(ready).await.to_string();
        let origins = json!({"allowed_origins": ["https://www.example.com"]});
        let livechat = app
            .inbox(json!({"name": "Website", "type": "livechat", "channel": origins}))
            .await;
        let telegram =
            json!({"name": "Bot", "type": "telegram", "channel": {"bot_token": "7:abc"}});
        let telegram = app.inbox(telegram).await.to_string();
        let hello = whatsapp::text("628111111111", "wamid.1", "Hello");
        let mut reply = whatsapp::text("628111111111", "wamid.2", "Anybody there?");
        reply["context"] = json!({"from": "628111111111", "id": "wamid.1"});
        let reaction = json!({"from": "628111111111", "id": "wamid.3", "timestamp": "1736928001",
            "type": "reaction", "reaction": {"message_id": "wamid.1", "emoji": "\u{1f44d}"}});
        app.deliver(&update("42", &[hello, reply, reaction]))
            .await
            .assert_status(200);
        let reader = app.key(&[Scope::Read]).await;
        let writer = app.key(&[Scope::Write]).await;
        let first = async |path: &str| app.get(path).key(&reader).send().await.data()[0].clone();
        let id = |value: &Value| value["id"].as_str().expect("an id").to_owned();
        let message = first(&format!("/messages?inbox_id={inbox}")).await;
        assert_eq!(message["reactions"][0]["emoji"], "\u{1f44d}");
        let path = format!("/inboxes/{telegram}/setup");
        let setup = app.get(&path).key(&writer).send().await.data();
        let conversation = id(&first("/conversations").await);
        let visitor = format!("/livechat/{livechat}");
        let origin = "https://www.example.com";
        let session = app
            .post(&format!("{visitor}/sessions"))
            .header("origin", origin);
        let session = session.json(&json!({})).send().await.data();
        let say = app
            .post(&format!("{visitor}/messages"))
            .header("origin", origin);
        let say = say.key(session["token"].as_str().expect("a token"));
        let say = say.json(&json!({"client_id": "1", "text": "Hello"})).send();
        say.await.assert_status(201);
        let chat = first(&format!("/conversations?inbox_id={livechat}")).await;
        let sender = app.key(&[Scope::Send]).await;
        let add = async |body: Value| {
            let call = app.post("/contacts").key(&sender).json(&body);
            id(&call.send().await.data())
        };
        let [one, other] =
            contacts::CONTACTS.map(|(id, phone)| add(json!({"external_id": id, "phone": phone})));
        Walk {
            contacts: [one.await, other.await],
            mergeable: add(json!({"external_id": "20"})).await,
            sender: sender.clone(),
            chat: id(&chat),
            conversation,
            message: id(&message),
            token: setup["secret_token"].as_str().expect("a token").to_owned(),
            verify,
            app,
            reader,
            writer,
            inbox,
            ready,
            telegram,
            livechat: livechat.to_string(),
        }
    }

    pub(super) fn steps(&self) -> Vec<Step> {
        let mut steps = self.lists();
        steps.extend(self.things());
        steps.extend(self.connections());
        steps.extend(self.sends());
        steps.extend(self.states());
        steps.extend(self.contacts());
        steps.extend(self.verifications());
        steps.extend(self.changes());
        steps.extend(self.hooks());
        steps.extend(self.operation());
        steps
    }

    /// `GET path` with a good key, without one, with one that may not read, and with a body that is too large.
    fn reads(&self, path: &'static str, real: &str, good: &str, other: &str) -> Vec<Step> {
        let call = || self.app.get(real);
        let step = |what: &str, call, status| Step(Method::GET, path, what.into(), call, status);
        vec![
            step("", call().key(good), 200),
            step(" no key", call(), 401),
            step(" other scope", call().key(other), 403),
            step(" body", call().key(good).body(too_large()), 413),
        ]
    }

    fn lists(&self) -> Vec<Step> {
        let (reader, writer) = (&self.reader, &self.writer);
        let of_inbox = format!("/messages?inbox_id={}", self.inbox);
        let mut steps = self.reads("/inboxes", "/inboxes", reader, writer);
        steps.extend(self.reads("/conversations", "/conversations", reader, writer));
        steps.extend(self.reads("/messages", &of_inbox, reader, writer));
        // The first would go on for ever.
        let events = self.reads("/events", "/events", reader, writer);
        steps.extend(events.into_iter().skip(1));
        let events = self.app.get("/events").key(reader);
        let wrong = events.header("last-event-id", "x");
        steps.push(Step(Method::GET, "/events", " wrong id".into(), wrong, 400));
        let of_conversation = format!("?conversation_id={}&limit=1", self.conversation);
        let more: [(&str, &str, u16); 11] = [
            ("/inboxes", "?type=whatsapp&status=active&limit=1", 200),
            ("/inboxes", "?offset=99", 200),
            ("/inboxes", "?limit=0&type=email", 400),
            ("/conversations", "?limit=1&status=open", 200),
            ("/conversations", "?status=closed", 400),
            ("/conversations", "?cursor=nonsense", 400),
            ("/messages", "", 400),
            ("/messages", &of_conversation, 200),
            ("/messages", "?inbox_id=inbox_unknown", 404),
            ("/messages", "?conversation_id=conv_unknown", 404),
            ("/conversations", "?inbox_id=inbox_unknown", 404),
        ];
        steps.extend(more.map(|(path, query, status)| {
            let call = self.app.get(&format!("{path}{query}")).key(reader);
            Step(Method::GET, path, query.to_owned(), call, status)
        }));
        for (path, real) in [
            ("/inboxes", "/inboxes"),
            ("/conversations", "/conversations?sort=latest"),
            ("/messages", &of_inbox),
        ] {
            steps.push(known(path, self.app.get(real).key(reader)));
        }
        steps
    }

    fn things(&self) -> Vec<Step> {
        let (reader, writer) = (&self.reader, &self.writer);
        let one = |noun: &str, id: &str| format!("/{noun}/{id}");
        let setup = |id: &str| format!("/inboxes/{id}/setup");
        let telegram = setup(&self.telegram);
        let inbox = one("inboxes", &self.inbox);
        let conversation = one("conversations", &self.conversation);
        let message = one("messages", &self.message);
        let mut steps = self.reads("/inboxes/{id}", &inbox, reader, writer);
        steps.extend(self.reads("/conversations/{id}", &conversation, reader, writer));
        steps.extend(self.reads("/messages/{id}", &message, reader, writer));
        steps.extend(self.reads("/inboxes/{id}/setup", &telegram, writer, reader));
        steps.extend(self.reads("/inboxes/{id}/setup", &setup(&self.inbox), writer, reader));
        let unknown = [
            ("/inboxes/{id}", one("inboxes", "x"), reader),
            ("/conversations/{id}", one("conversations", "x"), reader),
            ("/messages/{id}", one("messages", "x"), reader),
            ("/inboxes/{id}/setup", setup("x"), writer),
        ];
        steps.extend(unknown.map(|(path, real, key)| {
            let call = self.app.get(&real).key(key);
            Step(Method::GET, path, " unknown".to_owned(), call, 404)
        }));
        for (path, real) in [
            ("/inboxes/{id}", &inbox),
            ("/conversations/{id}", &conversation),
            ("/messages/{id}", &message),
        ] {
            steps.push(known(path, self.app.get(real).key(reader)));
        }
        steps
    }

    /// What becomes of a message is in `sending`: here is nobody to send it to.
    fn sends(&self) -> Vec<Step> {
        let text = |conversation: &str| json!({"conversation_id": conversation, "type": "text", "content": {"text": "Yes"}});
        let to = |inbox: &str| json!({"inbox_id": inbox, "to": "+628111111111", "type": "text", "content": {"text": "Yes"}});
        let answer = |conversation: &str| json!({"conversation_id": conversation, "receiver": "628111111111", "message": "Yes"});
        let step =
            |path, what: &str, call, status| Step(Method::POST, path, what.into(), call, status);
        let mut steps = Vec::new();
        for (path, status, good, unknown, without_token) in [
            (
                "/messages",
                201,
                text(&self.chat),
                text("conv_x"),
                text(&self.conversation),
            ),
            (
                "/messages/whatsapp",
                200,
                to(&self.ready),
                to("inbox_x"),
                answer(&self.conversation),
            ),
        ] {
            let call = || self.app.post(path).key(&self.sender);
            let reader = self.app.post(path).key(&self.reader);
            steps.extend([
                step(path, "", call().json(&good), status),
                step(path, " nothing", call().json(&json!({})), 400),
                step(path, " no key", self.app.post(path).json(&good), 401),
                step(path, " reader", reader.json(&good), 403),
                step(path, " unknown", call().json(&unknown), 404),
                step(path, " no token", call().json(&without_token), 409),
                step(path, " large", call().raw_json(too_large()), 413),
                step(path, " no type", call().body("{}"), 415),
            ]);
        }
        let path = "/inboxes/{id}/queue";
        let call = |id: &str| self.app.post(&format!("/inboxes/{id}/queue"));
        let all = || call(&self.inbox).json(&json!({"send": "all"}));
        let key = &self.sender;
        steps.extend([
            step(path, "", all().key(key), 200),
            step(
                path,
                " nothing",
                call(&self.inbox).json(&json!({})).key(key),
                400,
            ),
            step(path, " no key", all(), 401),
            step(path, " reader", all().key(&self.reader), 403),
            step(
                path,
                " unknown",
                call("inbox_x").json(&json!({})).key(key),
                404,
            ),
            step(
                path,
                " inbound",
                call(&self.inbox)
                    .json(&json!({"discard": [self.message]}))
                    .key(key),
                409,
            ),
            step(
                path,
                " large",
                call("x").raw_json(too_large()).key(key),
                413,
            ),
            step(path, " no type", call("x").body("{}").key(key), 415),
        ]);
        let settled = json!({"status": "sent"});
        for path in [
            "/messages/{id}/retry",
            "/messages/{id}/cancel",
            "/messages/{id}/settle",
        ] {
            let call = |id: &str| self.app.post(&path.replace("{id}", id)).json(&settled);
            let key = &self.sender;
            steps.extend([
                step(path, " inbound", call(&self.message).key(key), 409),
                step(path, " no key", call(&self.message), 401),
                step(path, " reader", call(&self.message).key(&self.reader), 403),
                step(path, " unknown", call("msg_x").key(key), 404),
                step(
                    path,
                    " large",
                    call("msg_x").raw_json(too_large()).key(key),
                    413,
                ),
            ]);
        }
        let path = "/conversations/{id}/typing";
        let call = |id: &str| self.app.post(&path.replace("{id}", id));
        let (conversation, key) = (&self.conversation, &self.sender);
        let wrong = call(conversation).key(key).header("idempotency-key", "");
        steps.extend([
            step(path, " no token", call(conversation).key(key), 409),
            step(path, " wrong", wrong, 400),
            step(path, " no key", call(conversation), 401),
            step(path, " reader", call(conversation).key(&self.reader), 403),
            step(path, " unknown", call("conv_x").key(key), 404),
            step(
                path,
                " large",
                call("x").raw_json(too_large()).key(key),
                413,
            ),
        ]);
        let settle = self.app.post("/messages/msg_x/settle").key(&self.sender);
        steps.push(step(
            "/messages/{id}/settle",
            " no type",
            settle.body("{}"),
            415,
        ));
        steps
    }

    /// What the team does with a conversation, beside writing.
    fn states(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        for (method, path, body) in [
            (
                Method::PATCH,
                "/conversations/{id}",
                json!({"status": "resolved"}),
            ),
            (
                Method::POST,
                "/conversations/{id}/read",
                json!({"message_id": self.message}),
            ),
        ] {
            let call = |id: &str| self.app.call(method.clone(), &path.replace("{id}", id));
            let (one, key) = (&self.conversation, &self.sender);
            let wrong = json!({"status": 1, "message_id": 1});
            steps.extend(
                [
                    ("", call(one).json(&body).key(key), 200),
                    (" wrong", call(one).json(&wrong).key(key), 400),
                    (" no key", call(one).json(&body), 401),
                    (" reader", call(one).json(&body).key(&self.reader), 403),
                    (" unknown", call("conv_x").json(&body).key(key), 404),
                    (" large", call("conv_x").raw_json(too_large()).key(key), 413),
                    (" no type", call("conv_x").body("{}").key(key), 415),
                ]
                .map(|(what, call, status)| {
                    Step(method.clone(), path, what.to_owned(), call, status)
                }),
            );
        }
        steps
    }

    /// What a provider answers is in `inboxes_connect`: here is none.
    fn connections(&self) -> Vec<Step> {
        let path = "/inboxes/{id}/connect";
        let call = |id: &str| self.app.post(&format!("/inboxes/{id}/connect"));
        let (live, writer) = (&self.livechat, &self.writer);
        [
            ("", call(live).key(writer), 200),
            (
                " wrong",
                call(live).key(writer).header("idempotency-key", ""),
                400,
            ),
            (" body", call(live).key(writer).body(too_large()), 413),
            (" no key", call(live), 401),
            (" reader", call(live).key(&self.reader), 403),
            (" unknown", call("inbox_x").key(writer), 404),
            (" no token", call(&self.inbox).key(writer), 409),
            (" nobody there", call(&self.telegram).key(writer), 503),
        ]
        .map(|(what, call, status)| Step(Method::POST, path, what.to_owned(), call, status))
        .into()
    }

    fn changes(&self) -> Vec<Step> {
        let app = &self.app;
        let (list, one) = ("/inboxes", "/inboxes/{id}");
        let path = format!("/inboxes/{}", self.inbox);
        let nobody = "/inboxes/inbox_unknown";
        let purge = format!("{path}?purge=true");
        let wrong_purge = format!("{path}?purge=yes");
        let good = whatsapp_body("43");
        let taken = whatsapp_body("42");
        let off = json!({"status": "inactive"});
        let take = json!({"channel": {"phone_number_id": "43"}});
        let mut steps = Vec::new();
        let mut step = |method: Method, path, what: &str, call: Call, status| {
            let call = match what.starts_with("no key") {
                true => call,
                false => call.key(match what {
                    "reader" => &self.reader,
                    _ => &self.writer,
                }),
            };
            steps.push(Step(method, path, format!(" {what}"), call, status));
        };
        let empty = json!({});
        for (method, path, real, body, taken) in [
            (Method::POST, list, list, &good, &taken),
            (Method::PATCH, one, path.as_str(), &off, &take),
        ] {
            let done = if method == Method::POST { 201 } else { 200 };
            let call = || app.call(method.clone(), real);
            let large = call().raw_json(too_large());
            step(method.clone(), path, "good", call().json(body), done);
            step(method.clone(), path, "taken", call().json(taken), 409);
            step(method.clone(), path, "no key", call().json(body), 401);
            step(method.clone(), path, "reader", call().json(body), 403);
            step(method.clone(), path, "not JSON", call().raw_json("{"), 400);
            step(method.clone(), path, "large", large, 413);
            step(method.clone(), path, "no type", call().body("{}"), 415);
        }
        let wrong = json!({"name": 1, "x": null});
        step(Method::POST, list, "", app.post(list).json(&empty), 400);
        step(Method::PATCH, one, "", app.patch(&path).json(&wrong), 400);
        step(Method::PATCH, one, "", app.patch(nobody).json(&off), 404);
        let large = app.delete(&path).body(too_large());
        for (what, call, status) in [
            ("no key", app.delete(&path), 401),
            ("reader", app.delete(&path), 403),
            ("wrong", app.delete(&wrong_purge), 400),
            ("large", large, 413),
            ("holds messages", app.delete(&path), 409),
            ("purge", app.delete(&purge), 204),
            ("gone", app.delete(&path), 404),
        ] {
            step(Method::DELETE, one, what, call, status);
        }
        steps
    }

    fn verifications(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        for (path, token) in &self.verify {
            let ask = |token: &str| {
                let query = format!("?hub.mode=subscribe&hub.verify_token={token}&hub.challenge=7");
                self.app.get(&format!("{path}{query}"))
            };
            for (call, status) in [
                (ask(token), 200),
                (ask("wrong"), 403),
                (ask(token).body(too_large()), 413),
            ] {
                steps.push(Step(Method::GET, path, String::new(), call, status));
            }
        }
        steps
    }

    /// After [`Walk::changes`]: the WhatsApp inbox is the one with number 43.
    fn hooks(&self) -> Vec<Step> {
        let app = &self.app;
        let mut steps = Vec::new();
        let bytes = |payload: Value| payload.to_string().into_bytes();
        let signed = |path: &str, body: Vec<u8>| {
            let signature = sign(APP_SECRET, &body);
            let call = app.post(path).header("x-hub-signature-256", &signature);
            call.raw_json(body)
        };
        let huge = || vec![b' '; 4 * 1024 * 1024];
        let hello = |id| update(id, &[whatsapp::text("628111111111", "wamid.9", "Hello")]);
        let instagram = |id: &str| {
            json!({"object": "instagram", "entry": [{"id": id, "time": 1_736_928_000_000_i64,
                "messaging": [{"sender": {"id": "9"}, "recipient": {"id": id},
                    "timestamp": 1_736_928_000_000_i64, "message": {"mid": "m1", "text": "Hi"}}]}]})
        };
        let kinds = [
            ("/hooks/whatsapp", bytes(hello("43")), bytes(hello("none"))),
            (
                "/hooks/instagram",
                bytes(instagram("ig_789")),
                bytes(instagram("none")),
            ),
        ];
        for (path, good, nobodys) in kinds {
            let unsigned = app.post(path).raw_json(good.clone());
            for (call, status) in [
                (signed(path, good), 200),
                (signed(path, nobodys), 404),
                (unsigned, 401),
                (signed(path, huge()), 413),
            ] {
                steps.push(Step(Method::POST, path, String::new(), call, status));
            }
        }
        let path = "/hooks/telegram/{id}";
        let real = format!("/hooks/telegram/{}", self.telegram);
        let update = json!({"update_id": 1, "message": {"message_id": 1, "date": 1_736_928_000,
            "chat": {"id": 9, "type": "private"}, "from": {"id": 9, "is_bot": false,
            "first_name": "Ayu"}, "text": "Hi"}});
        let header = "x-telegram-bot-api-secret-token";
        let call = |path: &str| app.post(path).header(header, &self.token);
        for (call, status) in [
            (call(&real).json(&update), 200),
            (app.post(&real).json(&update), 401),
            (call("/hooks/telegram/inbox_x").json(&update), 404),
            (call(&real).raw_json(huge()), 413),
        ] {
            steps.push(Step(Method::POST, path, String::new(), call, status));
        }
        steps
    }

    fn operation(&self) -> Vec<Step> {
        let app = &self.app;
        let mut steps = Vec::new();
        for path in ["/healthz", "/readyz", "/metrics"] {
            let step = |call, status| Step(Method::GET, path, String::new(), call, status);
            steps.push(step(app.get(path), 200));
            steps.push(step(app.get(path).body(too_large()), 413));
        }
        steps
    }
}

/// More than any call's body may have.
/// A client that has the answer already, whatever it is.
fn known(path: &'static str, call: Call) -> Step {
    let call = call.header("if-none-match", "*");
    Step(Method::GET, path, " known".to_owned(), call, 304)
}

fn too_large() -> Vec<u8> {
    vec![b' '; 65 * 1024]
}
