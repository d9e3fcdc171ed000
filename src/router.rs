//! Defines every route, and the middleware around all of them.

use crate::{
    api::{conversations, events, health, home, inboxes, messages, openapi},
    hooks::{instagram, telegram, whatsapp},
    http::{
        App,
        envelope::Refusal,
        observe::{catch_panic, observe, observe_at_once},
    },
    livechat,
};
use axum::{
    Router,
    http::{Method, request::Parts},
    middleware,
    response::Response,
    routing::any,
};
use utoipa::OpenApi;
use utoipa_axum::{router::OpenApiRouter, routes};
use utoipa_swagger_ui::{Config, SwaggerUi};

/// All routes. The OpenAPI document is generated from the same lines.
fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(openapi::Frame::openapi())
        .routes(routes!(inboxes::list, inboxes::create))
        .routes(routes!(inboxes::get, inboxes::update, inboxes::delete))
        .routes(routes!(inboxes::setup))
        .routes(routes!(inboxes::connect))
        .routes(routes!(conversations::list))
        .routes(routes!(conversations::get))
        .routes(routes!(messages::list))
        .routes(routes!(messages::get))
        .routes(routes!(events::listen))
        .routes(routes!(whatsapp::verify, whatsapp::deliver))
        .routes(routes!(instagram::verify, instagram::deliver))
        .routes(routes!(telegram::deliver))
        .routes(routes!(livechat::sessions::enter))
        .routes(routes!(livechat::messages::say, livechat::messages::hear))
        .routes(routes!(livechat::socket::open))
        .routes(routes!(health::healthz))
        .routes(routes!(health::readyz))
        .routes(routes!(health::metrics))
}

/// The OpenAPI document.
pub fn document() -> utoipa::openapi::OpenApi {
    let mut document = routes().into_openapi();
    openapi::complete(&mut document);
    document
}

/// The router of the whole service.
pub fn router(app: App) -> Router {
    let (router, _) = routes().split_for_parts();
    // The documentation page loads nothing from other hosts: it has no validator badge, and all scripts come from this
    // server.
    let config = Config::from("/openapi.json")
        .validator_url("none")
        .try_it_out_enabled(true)
        .persist_authorization(true);
    let docs = SwaggerUi::new("/docs")
        .url("/openapi.json", document())
        .config(config);
    surround(router.merge(docs).route("/", any(home::home)), app)
}

/// The path of the list of inboxes.
const LIST: &str = "/inboxes";

/// The answer to a request without a body, if it is cached. This is faster than the router and the middleware. `None`
/// if the request has to go through them; it has had no effect then.
pub fn at_once(app: &App, request: &Parts) -> Option<Response> {
    match (&request.method, request.uri.path()) {
        (&Method::GET, LIST) => observe_at_once(app, request, LIST, inboxes::list_at_once),
        _ => None,
    }
}

/// Adds the middleware that every route shares. The outermost layer gives each request its id, its log line and its
/// metrics.
pub fn surround(router: Router<App>, app: App) -> Router {
    router
        .fallback(async || Refusal::NoSuchPath)
        .method_not_allowed_fallback(async || Refusal::MethodNotAllowed)
        .layer(catch_panic())
        .layer(middleware::from_fn_with_state(app.clone(), observe))
        .with_state(app)
}
