//! Visitors' tokens. A token holds what it says, and a signature. None is stored.
//!
//! Whether its session has ended is not in a token: see `sessions`.
//!
//! Invariant: a token works only in its own inbox, and ends [`LIFE`] after it was issued. Whoever uses it is issued a new one.

use super::{USER, Visitor, VisitorIdentity};
use crate::{
    error::Error,
    id::{AccountId, InboxId},
    ops::Context,
    store::visitor_sessions,
};
use channels::signature;
use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use db::Session;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// How long a token that is not used is good, in seconds: 90 days.
pub(super) const LIFE: i64 = 90 * 24 * 3600;
/// What tokens are signed for.
const PURPOSE: &str = "livechat visitor";

/// What a token says.
#[derive(Serialize, Deserialize)]
struct Claims {
    #[serde(flatten)]
    identity: VisitorIdentity,
    /// The session of a vouched visitor. One that is anonymous has only one, which is called like itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<String>,
    /// When it was issued, in seconds since 1970. Tokens of version 0.1.0 do not say it.
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<i64>,
}

/// Issues a token for a visitor, which is good from now on.
///
/// # Errors
/// [`Error::Internal`] if it cannot be written as JSON, which is a bug.
pub fn issue(context: &Context, visitor: &Visitor) -> Result<String, Error> {
    let claims = Claims {
        identity: visitor.identity.clone(),
        session: visitor.user().map(|_| visitor.session.clone()),
        at: Some(context.clock.now()),
    };
    let json = serde_json::to_vec(&claims).map_err(|error| Error::Internal(error.to_string()))?;
    let payload = BASE64URL_NOPAD.encode(&json);
    let proof = context.vault.sign(PURPOSE, &visitor.inbox, &payload);
    Ok(format!("{payload}.{proof}"))
}

/// The visitor that a token was issued for. [`Error::UnknownVisitor`] if the token is wrong, or too old.
pub(super) async fn read(
    context: &Context,
    session: &mut Session,
    account: AccountId,
    inbox: &InboxId,
    token: &str,
) -> Result<Visitor, Error> {
    let (payload, proof) = token.split_once('.').ok_or(Error::UnknownVisitor)?;
    let expected = context.vault.sign(PURPOSE, inbox, payload);
    if !signature::equal(expected.as_bytes(), proof.as_bytes()) {
        return Err(Error::UnknownVisitor);
    }
    let claims: Claims = BASE64URL_NOPAD
        .decode(payload.as_bytes())
        .ok()
        .and_then(|json| serde_json::from_slice(&json).ok())
        .ok_or(Error::UnknownVisitor)?;
    let issued_at = match claims.at {
        Some(at) => at,
        // It counts as issued when this version began to date them.
        None => visitor_sessions::dated_since(session).await?,
    };
    if context.clock.now() - issued_at > LIFE {
        return Err(Error::UnknownVisitor);
    }
    let session = match claims.session {
        Some(session) => session,
        None if claims.identity.id.starts_with(USER) => {
            HEXLOWER.encode(&Sha256::digest(payload)[..16])
        }
        None => claims.identity.id.clone(),
    };
    Ok(Visitor {
        account,
        inbox: inbox.clone(),
        identity: claims.identity,
        session,
    })
}
