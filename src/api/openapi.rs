//! The OpenAPI document: the parts that all operations share.
//!
//! Invariant: every operation lists every error that it can return, as an error envelope.

use crate::{
    domain::Scope,
    error::{Error, Reason},
    http::{
        envelope::{ApiError, Failure, JSON, Refusal},
        idempotency::{IDEMPOTENCY_KEY, REPLAYED},
    },
};
use axum::{body::Bytes, http::header, response::IntoResponse};
use serde_json::json;
use utoipa::{
    Modify, OpenApi, ToSchema,
    openapi::{
        Content, Object, OpenApi as Document, Ref, RefOr, Response, Type,
        header::Header,
        path::{Operation, Parameter, ParameterBuilder, ParameterIn, PathItem},
        security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};

/// The document without paths. The router adds them.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "inboxd",
        description = "Self-hosted customer messaging. List and manage your inboxes on WhatsApp, Instagram, Telegram and your website, read their conversations and messages, send answers, and follow what happens live.\n\nEvery answer is `{\"success\":true,\"data\":…}` or `{\"success\":false,\"error\":{…}}`, and carries `X-Request-Id`. Send the API key as `Authorization: Bearer KEY`.\n\nEvery answer to a good key that has a limit, whatever its status, has the key's count of requests: `X-RateLimit-Limit`, `X-RateLimit-Remaining` and `X-RateLimit-Reset`. A key's minute starts with its first request. Each node of a server counts separately.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0")
    ),
    // Relative to where the document is: behind any proxy, that is this server.
    servers((url = "/", description = "This server")),
    components(schemas(Failure)),
    modifiers(&Security, &RateHeaders),
    security(("bearer" = []), ("api_key_header" = []), ("api_key_query" = [])),
    tags(
        (name = "Inboxes", description = "List, create, change and connect the addresses under which customers reach you"),
        (name = "Conversations", description = "Read the threads between one contact and one inbox"),
        (name = "Contacts", description = "Find, add, change and merge the people you write with"),
        (name = "Messages", description = "Read messages, send them, and decide about those that were not delivered"),
        (name = "Events", description = "A live stream of new and changed messages and inboxes"),
        (name = "Hooks", description = "Endpoints that receive updates from providers"),
        (name = "Live chat", description = "Endpoints for the chat on a website"),
        (name = "Operation", description = "For those who run the server")
    )
)]
pub struct Frame;

/// The scheme by which visitors are known.
const VISITOR: &str = "visitor";

struct Security;

impl Modify for Security {
    fn modify(&self, document: &mut Document) {
        let components = document.components.get_or_insert_default();
        let bearer = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("An API key, as `inboxd key create` shows it"))
            .build();
        components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
        let header = ApiKey::Header(ApiKeyValue::new("api_key"));
        components.add_security_scheme("api_key_header", SecurityScheme::ApiKey(header));
        let query = ApiKey::Query(ApiKeyValue::new("api_key"));
        components.add_security_scheme("api_key_query", SecurityScheme::ApiKey(query));
        let visitor = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("A visitor's token, as its session gives it"))
            .build();
        components.add_security_scheme(VISITOR, SecurityScheme::Http(visitor));
    }
}

/// The headers with a key's count: name, description, and example.
const RATE_HEADERS: [(&str, &str, i64); 3] = [
    (
        "X-RateLimit-Limit",
        "Requests per minute that this key may make. A key without a limit has none of these headers",
        1000,
    ),
    (
        "X-RateLimit-Remaining",
        "Requests that are left until `X-RateLimit-Reset`",
        999,
    ),
    (
        "X-RateLimit-Reset",
        "When the count starts again, in seconds since 1970 (UTC)",
        1_736_928_060,
    ),
];
const RETRY_AFTER: (&str, &str, i64) =
    ("Retry-After", "Seconds to wait before the next request", 60);

/// Declares these headers once. [`complete`] refers to them.
struct RateHeaders;

impl Modify for RateHeaders {
    fn modify(&self, document: &mut Document) {
        let components = document.components.get_or_insert_default();
        for (name, description, example) in RATE_HEADERS.into_iter().chain([RETRY_AFTER]) {
            let mut header = Header::new(Object::with_type(Type::Integer));
            header.description = Some(description.to_owned());
            header.example = Some(example.into());
            components.headers.insert(name.to_owned(), RefOr::T(header));
        }
    }
}

/// Where the document is.
pub const PATH: &str = "/openapi.json";

/// The answer that is the document.
pub fn answer(document: &Document) -> impl IntoResponse + Clone + use<> {
    let text = document
        .to_json()
        .expect("a document of texts is always JSON");
    ([(header::CONTENT_TYPE, JSON)], Bytes::from(text))
}

/// Adds what all operations share.
pub fn complete(document: &mut Document) {
    for (path, item) in &mut document.paths.paths {
        for operation in changing(item).filter(|one| one.security.is_none()) {
            add_idempotency(operation);
        }
        for operation in operations(item) {
            complete_operation(path, operation);
        }
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    let PathItem {
        get,
        post,
        put,
        patch,
        delete,
        ..
    } = item;
    [get, post, put, patch, delete].into_iter().flatten()
}

/// Those that change something.
fn changing(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    let PathItem {
        post,
        put,
        patch,
        delete,
        ..
    } = item;
    [post, put, patch, delete].into_iter().flatten()
}

/// Says that a request may be repeated, on an operation that takes an API key.
fn add_idempotency(operation: &mut Operation) {
    let key = Object::builder()
        .schema_type(Type::String)
        .min_length(Some(1))
        .max_length(Some(255));
    let parameter = ParameterBuilder::new()
        .name(IDEMPOTENCY_KEY)
        .parameter_in(ParameterIn::Header)
        .description(Some(
            "1 to 255 characters. For 24 hours the same request with the same key changes nothing again, and gets the first answer",
        ))
        .schema(Some(key));
    let parameters = operation.parameters.get_or_insert_default();
    parameters.push(parameter.build().into());
    let mut replayed = Header::new(Object::with_type(Type::String));
    replayed.description = Some(
        "`true` if this is the answer to an earlier request with the same `Idempotency-Key`"
            .to_owned(),
    );
    for (status, response) in &mut operation.responses.responses {
        if let RefOr::T(response) = response
            && status.starts_with('2')
        {
            let header = RefOr::T(replayed.clone());
            response.headers.insert(REPLAYED.to_owned(), header);
        }
    }
    let reused = Error::Conflict(
        Reason::KeyReused,
        "This Idempotency-Key was used for another request within 24 hours".to_owned(),
    );
    let description = "The `Idempotency-Key` was used for another request, or the first request with it has no answer";
    add(operation, &reused.into(), description);
}

fn complete_operation(path: &str, operation: &mut Operation) {
    let with_key = operation.security.is_none();
    let with_body = operation.request_body.is_some();
    let with_fields =
        with_body || with_key && operation.parameters.iter().flatten().any(is_checked);
    let mut add = |error: ApiError, description| add(operation, &error, description);
    if with_fields {
        let limit = Error::field("limit", "must be a whole number from 1 to 100");
        add(
            limit.into(),
            match with_body {
                true => {
                    "A field is wrong, or the body is not JSON. Every wrong field is in `details`, not just the first"
                }
                false => {
                    "A parameter is wrong. Every wrong one is in `details`, not just the first"
                }
            },
        );
    }
    if with_key {
        add(
            Error::Unauthorized.into(),
            "The key is missing, malformed, unknown, revoked or expired",
        );
        add(
            Error::Forbidden(Scope::Write).into(),
            "The key is valid, but lacks the scope",
        );
        add(
            Error::RateLimited(60).into(),
            "The key has no requests left in this minute, or too many wrong keys came from this address",
        );
    }
    if with_key && path.contains('{') {
        add(
            Error::NotFound("inbox").into(),
            "There is no such object in this account",
        );
    }
    // Every request may have a body, and the server reads it even if the operation does not use it.
    add(
        Refusal::BodyTooSlow.into(),
        "The body did not arrive in time",
    );
    add(Refusal::BodyTooLarge.into(), "The body is too large");
    // Hooks accept any content type.
    if with_body && !path.starts_with("/hooks/") {
        add(
            Refusal::NotJson.into(),
            "The body's `Content-Type` is not JSON",
        );
    }
    add(
        Refusal::HeadTooLarge.into(),
        "The URL and the headers are too long, or there are more than 100 headers",
    );
    add(
        Error::Internal(String::new()).into(),
        "An error in the server. Its log has the cause, with the request id",
    );
    add(
        Error::Unavailable(String::new()).into(),
        "The store cannot be reached, and nothing was accepted. With `Retry-After`",
    );
    if with_key {
        add_rate_headers(operation);
    }
}

/// Adds them to successes and to 429, where clients look for them. The description of the document says that all other
/// answers have them, too.
fn add_rate_headers(operation: &mut Operation) {
    for (status, response) in &mut operation.responses.responses {
        let RefOr::T(response) = response else {
            continue;
        };
        let refused = status == "429";
        let told = if refused || status.starts_with('2') {
            &RATE_HEADERS[..]
        } else {
            &[]
        };
        for (name, ..) in told.iter().chain(refused.then_some(&RETRY_AFTER)) {
            let reference = Ref::new(format!("#/components/headers/{name}"));
            response
                .headers
                .insert((*name).to_owned(), RefOr::Ref(reference));
        }
    }
}

/// Whether a wrong one is a 400.
fn is_checked(parameter: &RefOr<Parameter>) -> bool {
    let RefOr::T(parameter) = parameter else {
        return false;
    };
    matches!(parameter.parameter_in, ParameterIn::Query) || parameter.name == IDEMPOTENCY_KEY
}

fn add(operation: &mut Operation, error: &ApiError, description: &str) {
    let schema = RefOr::Ref(Ref::from_schema_name(Failure::name()));
    let mut content = Content::new(Some(schema));
    content.example = Some(json!({"success": false, "error": error.problem()}));
    let mut response = Response::new(description);
    response
        .content
        .insert("application/json".to_owned(), RefOr::T(content));
    operation
        .responses
        .responses
        .entry(error.status().as_str().to_owned())
        .or_insert(RefOr::T(response));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shared_error_has_a_schema() {
        let document = Frame::openapi();
        let components = document.components.expect("there are components");
        assert!(components.schemas.contains_key(&*Failure::name()));
    }
}
