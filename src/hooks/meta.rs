//! What Meta's channels have in common: the verification handshake, the signature, and one URL for all inboxes.
//!
//! Source: <https://developers.facebook.com/docs/graph-api/webhooks/getting-started>.

use super::{answer, source};
use crate::{
    domain::Channel,
    http::{
        App,
        envelope::{ApiError, Refusal},
        query::Query,
    },
    ops::{
        hooks::{self, FromMeta},
        ingest::Outcome,
    },
};
use axum::{
    extract::Request,
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use utoipa::IntoParams;

/// The parameters of a verification, for the document.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "the document is made from it")]
pub(super) struct VerificationParams {
    /// Always `subscribe`.
    #[param(rename = "hub.mode", example = "subscribe")]
    mode: String,
    /// The verify token from the inbox's setup.
    #[param(rename = "hub.verify_token")]
    verify_token: String,
    /// What to answer with: 1 to 200 printable ASCII characters.
    #[param(
        rename = "hub.challenge",
        example = "1158201444",
        min_length = 1,
        max_length = 200
    )]
    challenge: String,
}

/// Answers `GET ?hub.mode=subscribe&hub.verify_token=T&hub.challenge=C`.
pub(super) async fn verify(
    app: &App,
    channel: Channel,
    query: Option<&str>,
) -> Result<Response, ApiError> {
    let mut query = Query::read(query);
    let mut text = |name| query.get(name, |text| Ok::<_, String>(text.to_owned()));
    let mode = text("hub.mode");
    let token = text("hub.verify_token");
    let challenge = text("hub.challenge").filter(|challenge| can_be_challenge(challenge));
    let (Some("subscribe"), Some(token), Some(challenge), Ok(())) =
        (mode.as_deref(), token, challenge, query.finish())
    else {
        return Err(Refusal::NotVerified.into());
    };
    if !hooks::verify(&app.context, channel, &token).await? {
        return Err(Refusal::NotVerified.into());
    }
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    Ok(([(header::CONTENT_TYPE, kind)], challenge).into_response())
}

/// Whether a text can be a challenge: it is sent back to whoever asks. Meta's are numbers.
fn can_be_challenge(text: &str) -> bool {
    let printable = |byte: u8| matches!(byte, b' '..=b'~');
    (1..=200).contains(&text.len()) && text.bytes().all(printable)
}

/// Answers `POST`: stores what is signed, and says so only then.
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
    let came = FromMeta {
        channel,
        signature: &signature,
        source: source(app, request).await?,
    };
    let vouched = hooks::vouched(&app.context, came)
        .await?
        .ok_or(Refusal::BadSignature)?;
    let outcome = app.ingest.deliver(vouched.arrivals).await?;
    Ok(Outcome {
        foreign: vouched.foreign,
        ..outcome
    })
}
