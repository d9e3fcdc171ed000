//! Accounts: the businesses on this server.

use super::{Context, check_name, found};
use crate::{domain::Account, error::Error, id::AccountId, store::accounts};

/// Creates one.
pub async fn create(context: &Context, name: &str) -> Result<Account, Error> {
    let name = check_name(name).map_err(|rule| Error::field("name", rule))?;
    let account = Account {
        id: AccountId::new(&context.clock),
        name,
        created_at: context.clock.now(),
    };
    let mut session = context.db.write().await?;
    accounts::insert(&mut session, &account).await?;
    session.commit().await?;
    Ok(account)
}

/// All of them, oldest first.
pub async fn list(context: &Context) -> Result<Vec<Account>, Error> {
    Ok(accounts::list(&mut context.db.read().await?).await?)
}

/// Whether there is none yet.
pub async fn is_empty(context: &Context) -> Result<bool, Error> {
    let mut session = context.db.read().await?;
    Ok(accounts::first_two(&mut session).await?.is_empty())
}

/// The account that is meant: the one that is named, or the only one.
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
