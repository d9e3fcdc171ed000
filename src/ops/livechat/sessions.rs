//! Visitors' sessions: how they begin, go on, and end, and which pages may use a chat.
//!
//! A session ends when its visitor logs out, and an anonymous one when its visitor logs in: whoever has the anonymous token
//! must not see what the website's user writes.
//!
//! Invariant: a session that has ended opens nothing, on any node. What an anonymous visitor wrote goes to one user, once.

use super::{NewSession, USER, Visitor, VisitorIdentity, tokens};
use crate::{
    domain::Channel,
    error::Error,
    id::{AccountId, InboxId, VisitorId},
    input::Given,
    ops::{
        Context,
        changes::{Changes, commit},
        inboxes::read_settings,
        ingest::Ingest,
        transaction::again,
    },
    store::{addresses, inboxes, visitor_sessions},
};
use channels::{Contact, Item, Renamed, signature};
use data_encoding::HEXLOWER;
use db::Session;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Map, Value};
use sha2::Sha256;

/// How many ended sessions are forgotten in one transaction.
const FORGET: i64 = 1000;

/// The key with which a website proves who its visitors are.
pub fn identity_secret(context: &Context, inbox: &InboxId) -> String {
    context.vault.sign("livechat identity", inbox, "")
}

/// A session that was created or goes on.
#[derive(Debug)]
pub struct Entered {
    /// Its visitor.
    pub visitor: Visitor,
    /// A token for it.
    pub token: String,
    /// Whether the visitor's anonymous conversation is now the user's, if a user came with the token of one.
    pub carried_over: Option<bool>,
}

/// Creates a session for a visitor, or goes on with that of `token`. `user_id` with `user_hash` makes it a session of the
/// website's user: the hash is the HMAC-SHA256 of the id under the inbox's identity secret, in lower-case hex. What the
/// visitor wrote under an anonymous `token` is then the user's.
///
/// # Errors
/// [`Error::Validation`] for wrong fields, [`Error::NotFound`] and [`Error::Origin`] for the page. A `token` that is
/// not good any more is no error.
pub async fn create_session(
    context: &Context,
    ingest: &Ingest,
    inbox: &InboxId,
    origin: Option<&str>,
    body: Map<String, Value>,
) -> Result<Entered, Error> {
    let mut session = context.db.read().await?;
    let account = page(&mut session, inbox, origin).await?;
    let secret = identity_secret(context, inbox);
    let new = NewSession::parse(body, |user, hash| hash_matches(&secret, user, hash))?;
    let former = match new.token.value() {
        None => None,
        Some(token) => {
            let read = tokens::read(context, &mut session, account.clone(), inbox, &token.0);
            match read.await {
                Ok(former) => Some(former),
                Err(Error::UnknownVisitor) => None,
                Err(error) => return Err(error),
            }
        }
    };
    let name = new.name.value().map(|name| name.0);
    let Given::Value(user) = new.user_id else {
        let visitor = match former {
            Some(former) if is_open(&mut session, &former).await? => Visitor {
                identity: VisitorIdentity {
                    name: name.or(former.identity.name),
                    ..former.identity
                },
                ..former
            },
            _ => anonymous(context, account, inbox, name),
        };
        return Ok(Entered {
            token: tokens::issue(context, &visitor)?,
            visitor,
            carried_over: None,
        });
    };
    drop(session);
    let visitor = vouched(context, account, inbox, &user.0, name);
    let carried_over = match &former {
        Some(former) if former.user().is_none() => {
            Some(carry_over(context, ingest, former, &visitor).await?)
        }
        Some(_) => Some(false),
        None => None,
    };
    Ok(Entered {
        token: tokens::issue(context, &visitor)?,
        visitor,
        carried_over,
    })
}

fn anonymous(
    context: &Context,
    account: AccountId,
    inbox: &InboxId,
    name: Option<String>,
) -> Visitor {
    let id = VisitorId::new(&context.clock).to_string();
    Visitor {
        account,
        inbox: inbox.clone(),
        session: id.clone(),
        identity: VisitorIdentity { id, name },
    }
}

fn vouched(
    context: &Context,
    account: AccountId,
    inbox: &InboxId,
    user: &str,
    name: Option<String>,
) -> Visitor {
    Visitor {
        account,
        inbox: inbox.clone(),
        session: context.clock.uuid().simple().to_string(),
        identity: VisitorIdentity {
            id: format!("{USER}{user}"),
            name,
        },
    }
}

/// A visitor that the website vouches for, and its token. [`create_session`] returns the same for this `user_id` with the
/// right `user_hash`.
pub(in crate::ops) fn vouched_visitor(
    context: &Context,
    account: &AccountId,
    inbox: &InboxId,
    user: &str,
    name: &str,
) -> Result<(Visitor, String), Error> {
    let name = Some(name.to_owned());
    let visitor = vouched(context, account.clone(), inbox, user, name);
    let token = tokens::issue(context, &visitor)?;
    Ok((visitor, token))
}

/// Ends an anonymous session, and makes what its visitor wrote the user's. Returns false if the session ended in another way
/// before. The session ends first, so that nobody sees the user's conversation with it. If the rest fails, the same request
/// does it again.
async fn carry_over(
    context: &Context,
    ingest: &Ingest,
    former: &Visitor,
    visitor: &Visitor,
) -> Result<bool, Error> {
    let user = visitor.user();
    if end(context, former, user).await?.as_deref() != user {
        return Ok(false);
    }
    let joined = Renamed {
        contact: Contact {
            identities: vec![visitor.provider_identity(), former.provider_identity()],
            ..Contact::default()
        },
        former: Vec::new(),
        timestamp: None,
    };
    let joined = Item::Renamed(Box::new(joined));
    ingest.deliver(vec![visitor.arrival(vec![joined])]).await?;
    Ok(true)
}

/// Ends the session of a token, so that no token of it opens anything any more. Doing it again changes nothing.
///
/// # Errors
/// [`Error::UnknownVisitor`] for a wrong token, [`Error::NotFound`] and [`Error::Origin`] for the page.
pub async fn end_session(
    context: &Context,
    inbox: &InboxId,
    origin: Option<&str>,
    token: &str,
) -> Result<(), Error> {
    let mut session = context.db.read().await?;
    let account = page(&mut session, inbox, origin).await?;
    let visitor = tokens::read(context, &mut session, account, inbox, token).await?;
    drop(session);
    end(context, &visitor, None).await?;
    Ok(())
}

/// Ends a session. Returns the user as whom its visitor logged in, now or when it ended before.
async fn end(
    context: &Context,
    visitor: &Visitor,
    user: Option<&str>,
) -> Result<Option<String>, Error> {
    let (account, inbox, ending) = (&visitor.account, &visitor.inbox, &visitor.session);
    again(|| async {
        let now = context.clock.now();
        let mut session = context.db.write().await?;
        // A deleted inbox must not get another row.
        if !inboxes::lock(&mut session, &[(account, inbox)])
            .await?
            .contains(&true)
        {
            return Err(Error::NotFound("inbox"));
        }
        let ended = visitor_sessions::end(&mut session, account, inbox, ending, user, now).await?;
        commit(context, session, Changes::of_ended_session(ending)).await?;
        Ok(ended)
    })
    .await
}

/// The visitor that a token belongs to.
///
/// # Errors
/// [`Error::UnknownVisitor`] if the token is wrong, too old, or of a session that has ended, [`Error::NotFound`] and [`Error::Origin`] for the page.
pub async fn authenticate(
    context: &Context,
    inbox: &InboxId,
    origin: Option<&str>,
    token: &str,
) -> Result<Visitor, Error> {
    let mut session = context.db.read().await?;
    let account = page(&mut session, inbox, origin).await?;
    let visitor = tokens::read(context, &mut session, account, inbox, token).await?;
    match is_open(&mut session, &visitor).await? {
        true => Ok(visitor),
        false => Err(Error::UnknownVisitor),
    }
}

/// Checks again what [`authenticate`] has checked. A socket does it before it stores or sends each message.
///
/// # Errors
/// As [`authenticate`].
pub async fn check(
    context: &Context,
    visitor: &Visitor,
    origin: Option<&str>,
) -> Result<(), Error> {
    let mut session = context.db.read().await?;
    page(&mut session, &visitor.inbox, origin).await?;
    match is_open(&mut session, visitor).await? {
        true => Ok(()),
        false => Err(Error::UnknownVisitor),
    }
}

async fn is_open(session: &mut Session, visitor: &Visitor) -> Result<bool, Error> {
    let (account, inbox) = (&visitor.account, &visitor.inbox);
    let ended = visitor_sessions::has_ended(session, account, inbox, &visitor.session);
    Ok(!ended.await?)
}

/// Checks that the inbox is a live chat, and that a page of this origin may use it. Every call does this. Returns the account
/// that owns the inbox.
async fn page(
    session: &mut Session,
    inbox: &InboxId,
    origin: Option<&str>,
) -> Result<AccountId, Error> {
    let found = addresses::find_inbox(session, Channel::Livechat, inbox).await?;
    let account = found.ok_or(Error::NotFound("inbox"))?.account;
    let details = inboxes::find_details(session, &account, inbox).await?;
    let details = details.ok_or(Error::NotFound("inbox"))?;
    if let Some(allowed) = read_settings(&details.settings)?.allowed_origins {
        let origin = origin.unwrap_or_default().to_ascii_lowercase();
        if !allowed.contains(&origin) {
            return Err(Error::Origin);
        }
    }
    Ok(account)
}

/// Forgets sessions that ended so long ago that their tokens are too old anyway.
pub async fn forget_sessions(context: &Context) -> Result<(), Error> {
    let until = context.clock.now() - tokens::LIFE - 1;
    if !visitor_sessions::is_old(&mut context.db.read().await?, until).await? {
        return Ok(());
    }
    again(|| async {
        let mut session = context.db.write().await?;
        visitor_sessions::forget(&mut session, until, FORGET).await?;
        commit(context, session, Changes::none()).await
    })
    .await
}

fn hash_matches(secret: &str, user: &str, hash: &str) -> bool {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes any key length");
    mac.update(user.as_bytes());
    let expected = HEXLOWER.encode(&mac.finalize().into_bytes());
    signature::equal(expected.as_bytes(), hash.as_bytes())
}
