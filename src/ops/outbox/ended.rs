//! How attempts end. What follows from that is in `conclude`.
//!
//! Invariant: each end says whether the provider has the message, does not have it, or may have it.

use super::Which;
use crate::{domain::DeliveryError, ops::credentials::Fingerprint};
use channels::send::outcome::Outcome;

/// The end of an attempt, or of a message.
#[derive(Debug)]
pub struct Conclusion {
    /// Of which attempt.
    pub of: Which,
    /// How it ended.
    pub ended: Ended,
    /// The credential that it was made with, if any was.
    pub credential: Option<Fingerprint>,
}

/// How an attempt ended.
#[derive(Debug)]
pub enum Ended {
    /// The provider answered.
    Answered(Outcome),
    /// No byte of it left. Why.
    NotSent(String),
    /// Some of it left, and no answer came. What happened.
    Perhaps(String),
    /// Nobody told the end of it in time: whoever began it is gone, or cannot reach the store.
    Lost,
    /// There is no such message on the channel.
    Refused(DeliveryError),
    /// It was tried for long enough. Why it failed last.
    Expired(Option<String>),
}

impl Ended {
    /// Its name in metrics.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Ended::Answered(Outcome::Taken(_)) => "taken",
            Ended::Answered(Outcome::Again { .. } | Outcome::Moved { .. }) => "again",
            Ended::Answered(Outcome::Stopped(_)) => "stopped",
            Ended::Answered(Outcome::Refused(_)) | Ended::Refused(_) => "refused",
            Ended::NotSent(_) => "not_sent",
            Ended::Answered(Outcome::Perhaps { .. }) | Ended::Perhaps(_) | Ended::Lost => "unknown",
            Ended::Expired(_) => "expired",
        }
    }
}
