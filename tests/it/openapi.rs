//! `/openapi.json`: what it says is what the server does, and a change to it is seen.
//!
//! The document as it was agreed on is in `openapi.json` beside this file. After a change that is meant,
//! run these tests once with `INBOXD_UPDATE_SNAPSHOTS=1`, and read the difference before it is committed.

mod walk;

use crate::support::{Answer, Store, TestApp, on_both_stores};
use jsonschema::Validator;
use reqwest::Method;
use serde_json::{Value, json};
use std::{collections::BTreeSet, env, fs, path::Path};
use walk::{Step, Walk};

on_both_stores![
    the_document_is_as_it_was_agreed_on,
    every_answer_is_as_documented_and_every_documented_answer_can_be_had,
];

async fn the_document_is_as_it_was_agreed_on(store: Store) {
    let app = TestApp::start(store).await;
    let answer = app.get("/openapi.json").send().await;
    answer.assert_status(200);
    let mut served = serde_json::to_string_pretty(&answer.json()).expect("JSON");
    served.push('\n');
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/openapi.json");
    if env::var_os("INBOXD_UPDATE_SNAPSHOTS").is_some() {
        fs::write(&file, &served).expect("the snapshot can be written");
    }
    let agreed = fs::read_to_string(&file).unwrap_or_default();
    let differs = agreed.lines().zip(served.lines()).find(|(a, b)| a != b);
    assert!(
        agreed == served,
        "the document changed, first here: {differs:?}. If it is meant to: INBOXD_UPDATE_SNAPSHOTS=1"
    );
}

#[test]
fn every_example_is_as_its_schema_says() {
    let document = Document::new();
    let mut checked = 0;
    for (method, path, operation) in document.operations() {
        let bodies = operation["responses"].as_object().expect("responses");
        for (status, response) in bodies {
            let content = &response["content"]["application/json"];
            if let (Some(example), Some(_)) = (content.get("example"), content.get("schema")) {
                let validator = document.answer(&method, &path, status).expect("a schema");
                assert_valid(&validator, example, &format!("{method} {path} {status}"));
                checked += 1;
            }
        }
        let request = &operation["requestBody"]["content"]["application/json"];
        let examples = request["examples"].as_object();
        let examples = examples.into_iter().flatten().map(|(_, e)| &e["value"]);
        for example in examples.chain(request.get("example")) {
            let at = format!("/paths/{}/{method}/requestBody", escaped(&path));
            let validator = document.schema(&format!("{at}/content/application~1json/schema"));
            assert_valid(&validator, example, &format!("{method} {path}"));
            checked += 1;
        }
    }
    assert!(checked > 50, "only {checked} examples");
}

/// A generated client takes the document's word: it must not be able to build what is refused.
#[test]
fn what_is_refused_is_not_in_the_document() {
    let document = Document::new();
    let whatsapp = json!({"name": "Support", "type": "whatsapp", "phone_number": "+62812345678",
        "channel": {"phone_number_id": "1", "app_secret": "s"}});
    let telegram = json!({"name": "Bot", "type": "telegram", "channel": {"bot_token": "1:a"}});
    let with = |body: &Value, pointer: &str, value: Value| {
        let mut body = body.clone();
        let (parent, name) = pointer.rsplit_once('/').expect("a pointer");
        let parent = body.pointer_mut(parent).and_then(Value::as_object_mut);
        parent.expect("an object").insert(name.to_owned(), value);
        body
    };
    let chat = json!({"name": "Website", "type": "livechat"});
    let create = [
        (&whatsapp, "/phone_number", json!("62812345678")),
        (&whatsapp, "/type", json!("sms")),
        (&whatsapp, "/type", json!("telegram")),
        (&whatsapp, "/channel", json!({"phone_number_id": "1"})),
        (&whatsapp, "/channel/phone_number_id", json!("a b")),
        (&whatsapp, "/channel/bot_token", json!("1:a")),
        (&whatsapp, "/instagram_account_id", json!("1")),
        (&telegram, "/channel/bot_token", json!("a")),
        (&telegram, "/phone_number", json!("+62812345678")),
        (&chat, "/name", json!("  ")),
        (&chat, "/name", json!("a\u{1}b")),
        (&chat, "/name", json!("a\u{85}")),
        (
            &chat,
            "/channel",
            json!({"allowed_origins": ["example.com"]}),
        ),
        (
            &chat,
            "/channel",
            json!({"allowed_origins": ["https://a.example:443"]}),
        ),
        (&whatsapp, "/channel/phone_number_id", json!("+62812345678")),
        (&chat, "/nickname", json!("x")),
    ];
    let create = create.map(|(body, pointer, value)| with(body, pointer, value));
    let change = [
        json!({"status": "pending"}),
        json!({"channel": null}),
        json!({"name": null}),
        json!({"type": "telegram"}),
        json!({"channel": {"app_secret": null}}),
        json!({"channel": {"secret": "s"}}),
    ];
    let session = [
        json!({"name": "a\nb"}),
        json!({"user_id": "é".repeat(101), "user_hash": "0".repeat(64)}),
        json!({"user_id": "1", "user_hash": "0"}),
    ];
    let say = [
        json!({"client_id": "1", "text": " "}),
        json!({"client_id": "1", "text": " \u{85}"}),
        json!({"text": "Hello"}),
    ];
    let good = [&whatsapp, &telegram, &chat].map(Value::clone);
    for (operation, good, bad) in [
        ("/inboxes/post", &good[..], &create[..]),
        (
            "/inboxes/{id}/patch",
            &[json!({"status": "active", "channel": {"access_token": null}})],
            &change,
        ),
        (
            "/livechat/{id}/sessions/post",
            &[
                json!({"user_id": "a".repeat(200), "user_hash": "0".repeat(64)}),
                json!({"user_id": "é".repeat(50), "name": "Ayu Dewi"}),
            ],
            &session,
        ),
        (
            "/livechat/{id}/messages/post",
            &[json!({"client_id": "1", "text": "Hi"})],
            &say,
        ),
    ] {
        let (path, method) = operation.rsplit_once('/').expect("a method");
        let at = format!("/paths/{}/{method}/requestBody", escaped(path));
        let validator = document.schema(&format!("{at}/content/application~1json/schema"));
        for body in good {
            assert_valid(&validator, body, operation);
        }
        for body in bad {
            assert!(!validator.is_valid(body), "{operation}: {body}");
        }
    }
}

/// Clients are generated with a function for each operation: two of one name cannot both be there.
#[test]
fn every_operation_has_an_id_of_its_own() {
    let document = Document::new();
    let mut seen = BTreeSet::new();
    for (method, path, operation) in document.operations() {
        let id = operation["operationId"].as_str().unwrap_or_default();
        let camel_case = id.starts_with(|c: char| c.is_ascii_lowercase())
            && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
        assert!(camel_case, "{method} {path}: {id}");
        assert!(seen.insert(id.to_owned()), "{method} {path}: {id} again");
    }
    assert!(seen.contains("listInboxes"), "{seen:?}");
}

#[test]
fn every_operation_and_parameter_says_what_it_is() {
    let document = Document::new();
    for (method, path, operation) in document.operations() {
        assert!(operation["summary"].is_string(), "{method} {path}");
        let parameters = operation["parameters"].as_array();
        for parameter in parameters.into_iter().flatten() {
            let described = parameter["description"].is_string();
            assert!(described, "{method} {path}: {parameter}");
        }
        for (status, response) in operation["responses"].as_object().expect("responses") {
            let described = response["description"] != "";
            assert!(described, "{method} {path} {status}");
        }
    }
}

async fn every_answer_is_as_documented_and_every_documented_answer_can_be_had(store: Store) {
    let document = Document::new();
    let walk = Walk::start(store).await;
    let mut met = BTreeSet::new();
    for step in walk.steps() {
        let Step(method, path, query, call, status) = step;
        let answer = call.send().await;
        let name = format!("{method} {path}{query}");
        assert_eq!(answer.status.as_u16(), status, "{name}: {answer:?}");
        document.check(&method, path, &answer);
        met.insert(format!("{method} {path} {status}"));
    }
    // Streams are read in `events`, and chats held in `livechat`. Keys are used up in `every_route`. Faults of ours, a store that is away, and a client that stops half-way are tested where they can be arranged.
    let arranged_elsewhere = |method: &Method, path: &str, status: &str| {
        let hook = *method == Method::POST && path.starts_with("/hooks/");
        let stream = path == "/events" && status == "200";
        let chat = path.starts_with("/livechat/");
        // Only a message that was sent, and did not arrive, can be sent again.
        let sent = path.starts_with("/messages/{id}/") && matches!(status, "200" | "400");
        // It takes a provider to show that somebody types.
        let typing = path.ends_with("/typing") && status == "204";
        let elsewhere = stream || chat || sent || typing;
        matches!(status, "408" | "429" | "431" | "500" | "503")
            || hook && status == "400"
            || elsewhere
    };
    let documented = document.operations().flat_map(|(method, path, operation)| {
        let method = method.to_uppercase().parse::<Method>().expect("a method");
        let all = operation["responses"].as_object().expect("responses");
        // Idempotency keys are used again in `idempotency`, on every operation.
        let of_key = |response: &Value| {
            response["content"]["application/json"]["example"]["error"]["reason"] == "key_reused"
        };
        let all = all
            .iter()
            .filter(|(status, said)| !arranged_elsewhere(&method, &path, status) && !of_key(said));
        let all = all.map(|(status, _)| format!("{method} {path} {status}"));
        all.collect::<Vec<_>>()
    });
    let documented: BTreeSet<_> = documented.collect();
    let never: Vec<_> = documented.difference(&met).collect();
    assert!(never.is_empty(), "documented, and never met: {never:?}");
}

/// The document, strict: what it does not name must not be there.
struct Document(Value);

impl Document {
    fn new() -> Self {
        let mut document =
            serde_json::to_value(inboxd::router::document()).expect("the document is JSON");
        let schemas = document["components"]["schemas"].as_object_mut();
        for schema in schemas.expect("schemas").values_mut() {
            let schema = schema.as_object_mut().expect("an object");
            if schema.contains_key("properties") {
                schema.insert("additionalProperties".to_owned(), json!(false));
            }
        }
        Document(document)
    }

    /// Method, path and operation.
    fn operations(&self) -> impl Iterator<Item = (String, String, &Value)> {
        let paths = self.0["paths"].as_object().expect("paths");
        paths.iter().flat_map(|(path, item)| {
            let operations = item.as_object().expect("an item").iter();
            operations.map(move |(method, operation)| (method.clone(), path.clone(), operation))
        })
    }

    /// What this place of the document says of a value.
    fn schema(&self, pointer: &str) -> Validator {
        let mut schema = self.0.clone();
        let fragment = pointer.replace('{', "%7B").replace('}', "%7D");
        schema["$ref"] = json!(format!("#{fragment}"));
        let options = jsonschema::options().should_validate_formats(true);
        options.build(&schema).expect("a schema")
    }

    /// What it says of the body of an answer, if it may have one.
    fn answer(&self, method: &str, path: &str, status: &str) -> Option<Validator> {
        let response = format!("/paths/{}/{method}/responses/{status}", escaped(path));
        let schema = format!("{response}/content/application~1json/schema");
        let found = self.0.pointer(&response);
        assert!(found.is_some(), "not documented: {method} {path} {status}");
        self.0.pointer(&schema)?;
        Some(self.schema(&schema))
    }

    /// That an answer is what the document says.
    fn check(&self, method: &Method, path: &str, answer: &Answer) {
        let (method, status) = (method.as_str().to_lowercase(), answer.status.as_str());
        let name = format!("{method} {path} {status}");
        if let Some(validator) = self.answer(&method, path, status) {
            assert_valid(&validator, &answer.json(), &name);
        } else {
            let response = &self.0["paths"][path][&method]["responses"][status];
            match response["content"].as_object() {
                Some(content) => {
                    let kind = content.keys().next().expect("a type");
                    assert!(answer.header("content-type").starts_with(kind), "{name}");
                }
                None => assert_eq!(answer.text(), "", "{name}"),
            }
        }
    }
}

fn escaped(path: &str) -> String {
    path.replace('~', "~0").replace('/', "~1")
}

#[track_caller]
fn assert_valid(validator: &Validator, value: &Value, name: &str) {
    let errors: Vec<_> = validator
        .iter_errors(value)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert!(errors.is_empty(), "{name}: {errors:?} in {value}");
}
