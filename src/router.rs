//! Every route on one page, and what surrounds them all.

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

/// The routes, and the OpenAPI document that is made from the same lines.
fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(openapi::Frame::openapi())
        .routes(routes!(inboxes::list::list, inboxes::create))
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

/// The whole service.
pub fn router(app: App) -> Router {
    let (router, _) = routes().split_for_parts();
    // The page asks nobody else: no validator badge, all scripts from here.
    let config = Config::from("/openapi.json")
        .validator_url("none")
        .try_it_out_enabled(true)
        .persist_authorization(true);
    let docs = SwaggerUi::new("/docs")
        .url("/openapi.json", document())
        .config(config);
    surround(router.merge(docs).route("/", any(home::home)), app)
}

/// The path of the list.
const LIST: &str = "/inboxes";

/// The answer to a request without a body, if memory has it: giving it at once costs less than the way through the routes
/// and what surrounds them. `None`, and nothing has happened yet, if the request has to go that way.
pub fn at_once(app: &App, request: &Parts) -> Option<Response> {
    match (&request.method, request.uri.path()) {
        (&Method::GET, LIST) => observe_at_once(app, request, LIST, inboxes::list::at_once),
        _ => None,
    }
}

/// What every route is surrounded by. Outermost: the request's id, log line and metrics.
pub fn surround(router: Router<App>, app: App) -> Router {
    router
        .fallback(async || Refusal::NoSuchPath)
        .method_not_allowed_fallback(async || Refusal::MethodNotAllowed)
        .layer(catch_panic())
        .layer(middleware::from_fn_with_state(app.clone(), observe))
        .with_state(app)
}
