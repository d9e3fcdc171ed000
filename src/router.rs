//! Defines every route, and the middleware around all of them.

use crate::{
    api::{contacts, conversations, events, health, home, inboxes, messages, openapi},
    hooks::{instagram, telegram, whatsapp},
    http::{
        App,
        envelope::Refusal,
        middleware::{self, catch_panic},
        observe::{observe, observe_cached},
    },
    livechat,
};
use axum::{
    Router,
    http::{Method, request::Parts},
    middleware::from_fn_with_state,
    response::Response,
    routing::{any, get},
};
use utoipa::OpenApi;
use utoipa_axum::{router::OpenApiRouter, routes};
use utoipa_swagger_ui::{Config, SwaggerUi};

/// The API: programs and pages of any origin call it.
fn api() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(openapi::Frame::openapi())
        .routes(routes!(inboxes::list::list, inboxes::create))
        .routes(routes!(inboxes::get, inboxes::update, inboxes::delete))
        .routes(routes!(inboxes::setup))
        .routes(routes!(inboxes::connect))
        .routes(routes!(inboxes::queue::change))
        .routes(routes!(conversations::list))
        .routes(routes!(conversations::get, conversations::update))
        .routes(routes!(conversations::read))
        .routes(routes!(conversations::typing::show))
        .routes(routes!(messages::list, messages::send::send))
        .routes(routes!(messages::whatsapp::send))
        .routes(routes!(messages::get))
        .routes(routes!(messages::send::retry))
        .routes(routes!(messages::send::cancel))
        .routes(routes!(messages::send::settle))
        .routes(routes!(contacts::list, contacts::upsert))
        .routes(routes!(contacts::get, contacts::update))
        .routes(routes!(contacts::merge))
        .routes(routes!(events::listen))
        .routes(routes!(livechat::sessions::create, livechat::sessions::end))
        .routes(routes!(livechat::receipts::delivered))
        .routes(routes!(livechat::receipts::read))
        .routes(routes!(livechat::messages::send, livechat::messages::list))
        .routes(routes!(livechat::socket::open))
        .routes(routes!(health::healthz))
        .routes(routes!(health::readyz))
        .routes(routes!(health::metrics))
}

/// Hooks: providers call them.
fn hooks() -> OpenApiRouter<App> {
    OpenApiRouter::default()
        .routes(routes!(whatsapp::verify, whatsapp::deliver))
        .routes(routes!(instagram::verify, instagram::deliver))
        .routes(routes!(telegram::deliver))
}

/// What people read.
fn documents() -> Router<App> {
    // The page asks nobody else: no validator badge, all scripts from here. And it keeps no key.
    let config = Config::from(openapi::PATH)
        .validator_url("none")
        .try_it_out_enabled(true)
        .persist_authorization(false);
    Router::from(SwaggerUi::new("/docs").config(config)).route("/", any(home::home))
}

/// The OpenAPI document, made from the same lines as the routes.
pub fn document() -> utoipa::openapi::OpenApi {
    let mut document = api().merge(hooks()).into_openapi();
    openapi::complete(&mut document);
    document
}

/// The router of the whole service.
pub fn router(app: App) -> Router {
    let (api, _) = api().split_for_parts();
    let (hooks, _) = hooks().split_for_parts();
    let document = openapi::answer(&document());
    let api = api.route(openapi::PATH, get(async move || document.clone()));
    with_middleware(api, hooks, documents(), app)
}

/// The path of the list of inboxes.
const LIST: &str = "/inboxes";

/// The answer to a request without a body, if it is cached. This is faster than the router and the middleware. `None` if
/// the request has to go through them. It has had no effect then.
pub fn cached_answer(app: &App, request: &Parts) -> Option<Response> {
    match (&request.method, request.uri.path()) {
        (&Method::GET, LIST) => observe_cached(app, request, LIST, inboxes::list::cached_answer),
        _ => None,
    }
}

/// Puts the middleware around each kind of route, and the request's id, log line and metrics around all of them. Unknown
/// paths are answered like those of the API.
pub fn with_middleware(
    api: Router<App>,
    hooks: Router<App>,
    documents: Router<App>,
    app: App,
) -> Router {
    let inner = |router: Router<App>| {
        router
            .method_not_allowed_fallback(async || Refusal::MethodNotAllowed)
            .layer(catch_panic())
    };
    let around_api = from_fn_with_state(app.clone(), middleware::api);
    let around_hooks = from_fn_with_state(app.clone(), middleware::hooks);
    let around_documents = from_fn_with_state(app.clone(), middleware::documents);
    inner(api.fallback(async || Refusal::NoSuchPath))
        .layer(around_api)
        .merge(inner(hooks).layer(around_hooks))
        .merge(inner(documents).layer(around_documents))
        .layer(from_fn_with_state(app.clone(), observe))
        .with_state(app)
}
