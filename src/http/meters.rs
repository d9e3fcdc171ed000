//! The metrics of requests.
//!
//! Invariant: the number of time series is bounded by the routes, whatever clients send.

use axum::http::{Method, StatusCode};
use metrics::{Counter, Histogram};
use std::{
    collections::HashMap,
    sync::{LazyLock, PoisonError, RwLock},
};

/// Records an answer, and how many seconds it took.
pub fn record(method: &Method, route: &str, status: StatusCode, seconds: f64) {
    let method = known(method);
    let meters = METERS.read().unwrap_or_else(PoisonError::into_inner);
    let known = meters
        .get(route)
        .and_then(|some| some.get(&(method, status)));
    if let Some(meter) = known {
        return meter.note(seconds);
    }
    drop(meters);
    let meter = Meter::new(method, route, status);
    meter.note(seconds);
    let mut meters = METERS.write().unwrap_or_else(PoisonError::into_inner);
    let some = meters.entry(route.to_owned()).or_default();
    some.insert((method, status), meter);
}

/// The name of a method. An unknown method is `other`, since its name must not create a time series or reach the log.
pub fn known(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

/// The metrics of requests with the same method, route and status.
struct Meter {
    requests: Counter,
    seconds: Histogram,
}

impl Meter {
    fn new(method: &'static str, route: &str, status: StatusCode) -> Self {
        let labels = [
            ("method", method.to_owned()),
            ("route", route.to_owned()),
            ("status", status.as_str().to_owned()),
        ];
        Meter {
            requests: metrics::counter!("inboxd_http_requests_total", &labels),
            seconds: metrics::histogram!("inboxd_http_request_seconds", &labels[..2]),
        }
    }

    fn note(&self, seconds: f64) {
        self.requests.increment(1);
        self.seconds.record(seconds);
    }
}

/// By route, and then by method and status.
type Meters = HashMap<String, HashMap<(&'static str, StatusCode), Meter>>;

/// All meters of the process. The metrics recorder could find them by their labels, too, but copies and hashes all labels
/// for that.
static METERS: LazyLock<RwLock<Meters>> = LazyLock::new(RwLock::default);
