//! Jobs that run beside the requests, until the server stops. What each does is decided in `ops`; here is when.
//!
//! Invariant: a job that fails is tried again, and never ends the others.

mod housekeeping;
mod outbox;

pub use housekeeping::{keep_house, log_failure};
pub use outbox::send;
