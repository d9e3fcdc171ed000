//! Accounts: the businesses on this server.
//!
//! Invariant: the first account is created once, with one key.

use super::{
    Context,
    changes::{Changes, commit},
    check_name, found,
    keys::{self, NewKey},
    transaction::again,
};
use crate::{
    domain::{Account, Scope},
    error::Error,
    id::AccountId,
    store::{
        accounts::{self, Thing},
        instance,
    },
};
use secrecy::SecretString;

/// The name under which the store keeps whether the key of the first account was shown.
const FIRST: &str = "first_account";
const UNSEEN: &[u8] = b"its key was not shown yet";
const SEEN: &[u8] = b"";

/// Creates an account.
pub async fn create(context: &Context, name: &str) -> Result<Account, Error> {
    let name = check_name(name).map_err(|rule| Error::field("name", rule))?;
    let account = new_account(context, name);
    again(|| async {
        let mut session = context.db.write().await?;
        accounts::insert(&mut session, &account).await?;
        commit(context, session, Changes::none()).await
    })
    .await?;
    Ok(account)
}

fn new_account(context: &Context, name: String) -> Account {
    Account {
        id: AccountId::new(&context.clock),
        name,
        created_at: context.clock.now(),
    }
}

/// All accounts, oldest first.
pub async fn list(context: &Context) -> Result<Vec<Account>, Error> {
    Ok(accounts::list(&mut context.db.read().await?).await?)
}

/// Creates the first account of an empty store, with a key that has every scope. `None` if there is an account already.
/// If several servers start at the same time, only one creates it.
pub async fn create_first(
    context: &Context,
    name: &str,
) -> Result<Option<(Account, SecretString)>, Error> {
    let mut session = context.db.read().await?;
    if !accounts::first_two(&mut session).await?.is_empty() {
        return Ok(None);
    }
    drop(session);
    again(|| async {
        let mut session = context.db.write().await?;
        // A second server waits here for the first.
        let first = instance::insert(&mut session, FIRST, UNSEEN).await?;
        if !first || !accounts::first_two(&mut session).await?.is_empty() {
            return Ok(None);
        }
        let account = new_account(context, name.to_owned());
        accounts::insert(&mut session, &account).await?;
        let new = NewKey {
            name: "first key",
            scopes: &Scope::ALL,
            expires_in: None,
            rate_limit: None,
        };
        let (_, secret) = keys::create_in(context, &mut session, &account.id, &new).await?;
        commit(context, session, Changes::none()).await?;
        Ok(Some((account, secret)))
    })
    .await
}

/// Records that the key of the first account was shown.
pub async fn first_key_was_shown(context: &Context) -> Result<(), Error> {
    again(|| async {
        let mut session = context.db.write().await?;
        instance::replace(&mut session, FIRST, SEEN).await?;
        commit(context, session, Changes::none()).await
    })
    .await
}

/// Whether the key of the first account was never shown, because the server was stopped before. It cannot be shown later.
pub async fn first_key_is_unseen(context: &Context) -> Result<bool, Error> {
    let mut session = context.db.read().await?;
    let mark = instance::find(&mut session, FIRST).await?;
    Ok(mark.as_deref() == Some(UNSEEN))
}

/// The named account, or the only one if none is named.
pub async fn choose(context: &Context, named: Option<&str>) -> Result<AccountId, Error> {
    let mut session = context.db.read().await?;
    if let Some(id) = named {
        let account = accounts::find(&mut session, &AccountId::from_text(id)).await?;
        return Ok(found(account, "account")?.id);
    }
    match accounts::first_two(&mut session).await?.as_slice() {
        [only] => Ok(only.id.clone()),
        [] => Err(Error::field(
            "account",
            "there is none yet: inboxd account create --name NAME",
        )),
        _ => Err(Error::field(
            "account",
            "there are several: say which with --account ID (inboxd account list)",
        )),
    }
}

/// The named account, or if none is named, the one that owns the thing.
pub async fn holder(
    context: &Context,
    named: Option<&str>,
    thing: Thing<'_>,
) -> Result<AccountId, Error> {
    if named.is_some() {
        return choose(context, named).await;
    }
    let noun = match thing {
        Thing::Key(_) => "API key",
        Thing::Inbox(_) => "inbox",
        Thing::Conversation(_) => "conversation",
        Thing::Contact(_) => "contact",
        Thing::Message(_) => "message",
        Thing::Quarantined(_) => "quarantined update",
    };
    let mut session = context.db.snapshot().await?;
    let all = accounts::list(&mut session).await?;
    found(
        accounts::find_holder(&mut session, &all, thing).await?,
        noun,
    )
}
