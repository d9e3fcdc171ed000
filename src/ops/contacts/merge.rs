//! Merging two contacts that a person knows to be one.
//!
//! `joins` carries it out.
//!
//! Invariant: after a merge it is clear to which address an answer in each conversation goes.

use super::{get, input::Merge};
use crate::{
    domain::contact::ContactDetails,
    error::{Error, Reason},
    id::{AccountId, ContactId},
    ops::{
        Context,
        changes::{Changes, commit},
        found, joins,
        transaction::again,
    },
    store::{
        contacts::{self, Record},
        inboxes,
        joins::{self as table, Join},
    },
};
use db::Session;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::borrow::Cow;

/// Merges another contact into this one, by the body of `POST /contacts/{id}/merge`. Both ids lead to it then.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Validation`]; [`Error::Conflict`] if both write to one inbox, or have an address of one kind.
pub async fn merge(
    context: &Context,
    account: &AccountId,
    id: &ContactId,
    body: Map<String, Value>,
) -> Result<ContactDetails, Error> {
    let there = contacts::find(&mut context.db.read().await?, account, id).await?;
    found(there, "contact")?;
    let Merge { from } = Merge::parse(body)?;
    if from == *id {
        return Err(Error::field("from", "must be another contact"));
    }
    if let Some(join) = again(|| prepare(context, account, id, &from)).await? {
        joins::carry_out(context, &[join]).await;
    }
    get(context, account, id).await
}

/// Stores the join, if the contacts are not one already.
async fn prepare(
    context: &Context,
    account: &AccountId,
    id: &ContactId,
    from: &ContactId,
) -> Result<Option<Join>, Error> {
    let mut session = context.db.write().await?;
    // Nobody begins a conversation meanwhile.
    inboxes::lock_all(&mut session, account).await?;
    let survivor = contacts::find(&mut session, account, id).await?;
    let lost = contacts::find(&mut session, account, from).await?;
    let (survivor, lost) = (found(survivor, "contact")?, found(lost, "contact")?);
    if survivor.id == lost.id {
        return Ok(None);
    }
    check(&mut session, account, &survivor, &lost).await?;
    let join = Join {
        account: account.clone(),
        contact: survivor.id,
        other: lost.id,
        directed: true,
    };
    table::add(&mut session, &join, context.clock.now()).await?;
    commit(context, session, Changes::none()).await?;
    Ok(Some(join))
}

async fn check(
    session: &mut Session,
    account: &AccountId,
    survivor: &Record,
    lost: &Record,
) -> Result<(), Error> {
    if survivor.is_group || lost.is_group {
        return Err(Error::field("from", "groups cannot be merged"));
    }
    let shared = table::shared_inbox(session, account, &survivor.id, &lost.id).await?;
    if let Some(inbox) = shared {
        return Err(Error::Conflict(
            Reason::SameInbox,
            format!("Both contacts have a conversation in inbox {inbox}"),
        ));
    }
    let own = addresses(&survivor.identities)?;
    let others = addresses(&lost.identities)?;
    let is_double = |one: &&Address<'_>| own.iter().any(|own| own.excludes(one));
    if let Some(double) = others.iter().find(is_double) {
        return Err(Error::Conflict(
            Reason::TwoAddresses,
            format!(
                "Each contact has a {} {} of its own",
                double.channel, double.kind
            ),
        ));
    }
    Ok(())
}

/// Something by which a contact can be written to, as it is shown.
#[derive(Deserialize)]
struct Address<'a> {
    channel: &'a str,
    kind: &'a str,
    #[serde(borrow)]
    value: Cow<'a, str>,
    #[serde(borrow)]
    scope: Option<Cow<'a, str>>,
    #[serde(default)]
    former: bool,
}

impl Address<'_> {
    /// Whether one contact cannot have both.
    fn excludes(&self, other: &Address<'_>) -> bool {
        let same = (self.channel, self.kind) == (other.channel, other.kind);
        same && self.scope == other.scope && self.value != other.value
    }
}

fn addresses(identities: &str) -> Result<Vec<Address<'_>>, Error> {
    let all: Vec<Address<'_>> = serde_json::from_str(identities)
        .map_err(|error| Error::Internal(format!("a stored contact is damaged: {error}")))?;
    Ok(all.into_iter().filter(|one| !one.former).collect())
}
