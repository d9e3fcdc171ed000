//! `/healthz`, `/readyz` and `/metrics`: for those who operate the server. They need no API key.

use crate::{
    http::{
        App,
        envelope::{self, ApiError, Success},
    },
    ops::health,
};
use axum::{
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

/// The state of the server.
#[derive(Serialize, ToSchema)]
pub(super) struct Health {
    /// `ok` for the process, or `ready` for the whole server.
    #[schema(example = "ok")]
    status: &'static str,
}

type HealthAnswer = Success<Health>;

/// Check that the process is running
#[utoipa::path(get, path = "/healthz", operation_id = "getHealth", tag = "Operation", security(()),
    responses((status = 200, description = "The process is running", body = HealthAnswer,
        example = json!({"success": true, "data": {"status": "ok"}}))))]
pub async fn healthz() -> Response {
    envelope::ok(Health { status: "ok" })
}

/// Check that the server can handle requests
#[utoipa::path(get, path = "/readyz", operation_id = "getReadiness", tag = "Operation", security(()),
    responses((status = 200, description = "The store can be read and written", body = HealthAnswer,
        example = json!({"success": true, "data": {"status": "ready"}}))))]
pub async fn readyz(State(app): State<App>) -> Result<Response, ApiError> {
    health::ready(&app.context).await?;
    Ok(envelope::ok(Health { status: "ready" }))
}

/// Get metrics for Prometheus
#[utoipa::path(get, path = "/metrics", operation_id = "getMetrics", tag = "Operation", security(()),
    responses((status = 200, description = "Prometheus text format", content_type = "text/plain", body = String)))]
pub async fn metrics(State(app): State<App>) -> Response {
    let figures = app.context.cache.figures();
    metrics::counter!("inboxd_cache_looks_total", "outcome" => "hit").absolute(figures.hits);
    metrics::counter!("inboxd_cache_looks_total", "outcome" => "miss").absolute(figures.misses);
    metrics::gauge!("inboxd_cache_bytes").set(figures.bytes as f64);
    metrics::gauge!("inboxd_body_memory_bytes").set(app.body_memory.taken() as f64);
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4")];
    (kind, with_former_names(app.metrics.render())).into_response()
}

/// Metrics that had another name, and that name: for one version they have both.
const FORMER_NAMES: [(&str, &str); 4] = [
    ("inboxd_updates_total", "inboxd_deliveries_total"),
    ("inboxd_update_items_total", "inboxd_delivered_items_total"),
    (
        "inboxd_ingest_batch_updates",
        "inboxd_ingest_batch_deliveries",
    ),
    (
        "inboxd_quarantined_updates",
        "inboxd_quarantined_deliveries",
    ),
];

/// Says every line of such a metric again under its former name.
fn with_former_names(mut text: String) -> String {
    let mut again = String::new();
    for (name, former) in FORMER_NAMES {
        for line in text.lines() {
            let of_it = line.strip_prefix("# TYPE ").unwrap_or(line);
            if of_it.starts_with(name) {
                again.push_str(&line.replacen(name, former, 1));
                again.push('\n');
            }
        }
    }
    text.push_str(&again);
    text
}
