//! The common parts of the hooks that Meta calls: the verification, the signature, and one URL for all inboxes.
//!
//! Source: <https://developers.facebook.com/docs/graph-api/webhooks/getting-started>.

use super::{answer, source};
use crate::{
    domain::Channel,
    http::{
        App,
        envelope::{ApiError, Refusal},
        query::query,
    },
    input::{Text, text, word},
    ops::{
        hooks::{self, MetaRequest},
        ingest::Outcome,
    },
};
use axum::{
    extract::Request,
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use utoipa::openapi::{RefOr, schema::Schema};

query! {
    /// The parameters of a verification.
    pub(super) struct VerificationParams {
        /// Always `subscribe`.
        _mode as "hub.mode": Subscribe,
        /// The verify token from the inbox's setup.
        token as "hub.verify_token": Token,
        /// What to answer with: 1 to 200 printable ASCII characters.
        challenge as "hub.challenge": Challenge,
    }
}

/// The mode of Meta's verification requests.
#[derive(Debug)]
struct Subscribe;

impl Text for Subscribe {
    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "subscribe" => Ok(Subscribe),
            _ => Err("must be subscribe".to_owned()),
        }
    }

    fn describe() -> RefOr<Schema> {
        word(&["subscribe"])
    }
}

text! {
    /// A verify token.
    struct Token(String): |text| Ok(text.to_owned()),
    |text| text;
}

text! {
    /// The text that the answer repeats. Meta sends a number.
    struct Challenge(String): challenge,
    |text| text.min_length(Some(1)).max_length(Some(200)).examples(["1158201444"]);
}

fn challenge(text: &str) -> Result<String, &'static str> {
    let printable = |byte: u8| matches!(byte, b' '..=b'~');
    match (1..=200).contains(&text.len()) && text.bytes().all(printable) {
        true => Ok(text.to_owned()),
        false => Err("must have 1 to 200 printable ASCII characters"),
    }
}

/// Answers `GET ?hub.mode=subscribe&hub.verify_token=T&hub.challenge=C`.
pub(super) async fn verify(
    app: &App,
    channel: Channel,
    query: Option<&str>,
) -> Result<Response, ApiError> {
    let params = VerificationParams::parse(query).map_err(|_| Refusal::NotVerified)?;
    if !hooks::verify(&app.context, channel, &params.token.0).await? {
        return Err(Refusal::NotVerified.into());
    }
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    Ok(([(header::CONTENT_TYPE, kind)], params.challenge.0).into_response())
}

/// Answers `POST`, after the update is stored.
pub(super) async fn deliver(
    app: &App,
    channel: Channel,
    request: Request,
) -> Result<Response, ApiError> {
    answer(channel, receive(app, channel, request).await)
}

async fn receive(app: &App, channel: Channel, request: Request) -> Result<Outcome, ApiError> {
    let signature = request
        .headers()
        .get("x-hub-signature-256")
        .and_then(|value| value.to_str().ok())
        .ok_or(Refusal::BadSignature)?
        .to_owned();
    let request = MetaRequest {
        channel,
        signature: &signature,
        source: source(app, request).await?,
    };
    let update = hooks::check_signature(&app.context, request)
        .await?
        .ok_or(Refusal::BadSignature)?;
    let outcome = match update.arrivals.is_empty() {
        true => Outcome::default(),
        false => app.ingest.deliver(update.arrivals).await?,
    };
    Ok(Outcome {
        foreign: update.foreign,
        ..outcome
    })
}
