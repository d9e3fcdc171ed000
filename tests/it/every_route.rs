//! A walk over every route of the document: nobody gets further than a key allows, on none of them.

use crate::support::{Store, TestApp, on_both_stores, program::text, whatsapp::hello};
use inboxd::{domain::Scope, router};
use reqwest::Method;
use serde_json::{Value, json};

on_both_stores![
    without_a_key_every_route_answers_the_same,
    another_accounts_things_are_not_found,
    too_small_a_scope_is_forbidden,
    beyond_its_limit_a_key_gets_no_further,
    a_wrong_method_names_the_right_ones,
];

/// An operation of the document that needs a key, with real ids in its path.
struct Operation {
    method: Method,
    path: String,
    /// Its query parameters that take an id of something else.
    parameters: Vec<String>,
}

/// One of everything that has an id.
struct Things {
    inbox: String,
    conversation: String,
    contact: String,
    message: String,
}

impl Things {
    async fn make(app: &TestApp) -> Self {
        let inbox = app.whatsapp("1001").await.to_string();
        app.deliver(&hello("wamid.1")).await.assert_status(200);
        let first = async |path: &str| {
            let key = app.key(&[Scope::Read]).await;
            let listed = app.get(path).key(&key).send().await.data();
            text(&listed[0]["id"])
        };
        let key = app.key(&[Scope::Read]).await;
        let listed = app.get("/conversations").key(&key).send().await.data();
        Things {
            conversation: text(&listed[0]["id"]),
            contact: text(&listed[0]["contact"]["id"]),
            message: first(&format!("/messages?inbox_id={inbox}")).await,
            inbox,
        }
    }

    /// The id of the thing that this noun means.
    fn id(&self, noun: &str) -> &str {
        match noun {
            "inboxes" | "inbox_id" => &self.inbox,
            "conversations" | "conversation_id" => &self.conversation,
            "contacts" | "contact_id" => &self.contact,
            "messages" => &self.message,
            _ => panic!("make one of {noun}, so that another account can ask for it"),
        }
    }

    /// A documented path with ids of these things.
    fn path(&self, documented: &str) -> String {
        let mut path = String::new();
        let mut noun = "";
        for part in documented.split('/').skip(1) {
            let id = part.starts_with('{');
            path.extend(["/", if id { self.id(noun) } else { part }]);
            noun = part;
        }
        path
    }
}

fn document() -> Value {
    serde_json::to_value(router::document()).expect("a document")
}

fn with_key(things: &Things) -> Vec<Operation> {
    let document = document();
    let paths = document["paths"].as_object().expect("paths");
    let mut operations = Vec::new();
    for (path, item) in paths {
        for (method, operation) in item.as_object().expect("operations") {
            // Where nothing else is named, the whole document's schemes hold: a key.
            if !operation["security"].is_null() {
                continue;
            }
            let parameters = operation["parameters"].as_array().into_iter().flatten();
            let parameters = parameters
                .filter(|parameter| parameter["in"] == "query")
                .map(|parameter| text(&parameter["name"]))
                // An external id is the business's own.
                .filter(|name| name.ends_with("_id") && name != "external_id");
            operations.push(Operation {
                method: method.to_uppercase().parse().expect("a method"),
                path: things.path(path),
                parameters: parameters.collect(),
            });
        }
    }
    assert!(operations.len() >= 10, "the walk goes somewhere");
    operations
}

async fn without_a_key_every_route_answers_the_same(store: Store) {
    let app = TestApp::start(store).await;
    let things = Things::make(&app).await;
    for operation in with_key(&things) {
        let call = app.call(operation.method.clone(), &operation.path);
        call.send().await.assert_unauthorized();
    }
}

async fn another_accounts_things_are_not_found(store: Store) {
    let app = TestApp::start(store).await;
    let things = Things::make(&app).await;
    let own = app.key(&Scope::ALL).await;
    let other = app.another_account().await;
    let others = app.key_of(&other, &Scope::ALL).await;
    let everything = async || {
        let messages = format!("/messages?inbox_id={}", things.inbox);
        let mut all = vec![app.listing().await];
        for path in ["/conversations", "/contacts", &messages] {
            all.push(app.get(path).key(&own).send().await.data());
        }
        all
    };
    let before = everything().await;
    let mut asked = 0;
    for operation in with_key(&things) {
        let mut paths = Vec::new();
        if operation.path.contains('_') {
            paths.push(operation.path.clone());
        }
        for name in &operation.parameters {
            paths.push(format!("{}?{name}={}", operation.path, things.id(name)));
        }
        for path in paths {
            let method = &operation.method;
            if method == Method::GET {
                let answer = app.get(&path).key(&own).send().await;
                assert_eq!(answer.status, 200, "{path} is there for its own account");
            }
            let call = app.call(method.clone(), &path).key(&others);
            let answer = call.json(&json!({"name": "mine"})).send().await;
            assert_eq!(answer.status, 404, "{method} {path}");
            asked += 1;
        }
    }
    assert!(asked >= 10, "only {asked} were asked for");
    assert_eq!(everything().await, before);
}

async fn too_small_a_scope_is_forbidden(store: Store) {
    let app = TestApp::start(store).await;
    let things = Things::make(&app).await;
    let key = app.key(&[Scope::Admin]).await;
    for operation in with_key(&things) {
        let call = app
            .call(operation.method.clone(), &operation.path)
            .key(&key);
        let answer = call.json(&json!({"name": "mine"})).send().await;
        answer.assert_status(403);
        assert_eq!(answer.json()["error"]["code"], "FORBIDDEN");
    }
}

async fn beyond_its_limit_a_key_gets_no_further(store: Store) {
    let app = TestApp::with(store, |limits| limits.rate_limit = 1).await;
    let things = Things::make(&app).await;
    for operation in with_key(&things) {
        let key = app.key(&[Scope::Admin]).await;
        let call = || {
            let call = app.call(operation.method.clone(), &operation.path);
            call.key(&key).json(&json!({"name": "mine"}))
        };
        let answer = call().send().await;
        answer.assert_status(403);
        assert_eq!(answer.header("x-ratelimit-remaining"), "0");
        let answer = call().send().await;
        let message = "Too many requests: wait, and try again";
        answer.assert_error(429, "RATE_LIMITED", message);
        assert_eq!(answer.header("retry-after"), "60");
    }
}

async fn a_wrong_method_names_the_right_ones(store: Store) {
    let app = TestApp::start(store).await;
    let document = document();
    for path in document["paths"].as_object().expect("paths").keys() {
        let answer = app
            .call(Method::PUT, &path.replace("{id}", "x"))
            .send()
            .await;
        answer.assert_error(
            405,
            "METHOD_NOT_ALLOWED",
            "This path does not take this method",
        );
        let allowed = answer.header("allow").to_lowercase();
        for method in document["paths"][path]
            .as_object()
            .expect("operations")
            .keys()
        {
            assert!(allowed.contains(method.as_str()), "{path}: {allowed}");
        }
    }
}
