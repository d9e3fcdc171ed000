//! The `identities` table: the identities of contacts.
//!
//! `ops::ingest` decides which contact an identity belongs to.
//!
//! Invariant: an identity belongs to one contact. If its scope was not stored, it has the scope `''` until an update gives
//! the scope.

use super::{contacts, one_each, statements};
use crate::{
    domain::Channel,
    id::{AccountId, ContactId, ConversationId, InboxId},
};
use channels::{Identity, IdentityKind};
use db::{Each, Error, Row, Session, Value};

statements! {
    // Also reads the contact's conversation in the inbox.
    FIND = "SELECT i.scope, i.former, i.changed_at, c.id AS contact, COALESCE(c.provider_name, c.name) AS name,
            c.phone, c.username, c.muted, c.channel, v.id AS conversation
        FROM identities i JOIN contacts c ON c.account_id = i.account_id AND c.id = i.contact_id
        LEFT JOIN conversations v ON v.account_id = i.account_id AND v.inbox_id = $1 AND v.contact_id = i.contact_id
        WHERE i.account_id = $2 AND i.channel = $3 AND i.kind = $4 AND i.value = $5 AND i.scope IN ($6, '')
        ORDER BY i.scope DESC LIMIT 1";
    OF_CONTACT = "SELECT kind, value, scope, former, changed_at FROM identities
        WHERE account_id = $1 AND contact_id = $2 AND channel = $3";
    // Of two transactions, the later one waits here for the earlier, and gets its contact.
    CLAIM = "INSERT INTO identities (account_id, channel, kind, value, scope, contact_id, former, changed_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
        ON CONFLICT (account_id, channel, kind, value, scope) DO UPDATE SET contact_id = identities.contact_id
        RETURNING contact_id";
    CHANGE = "UPDATE identities SET contact_id = $1, scope = $2, former = $3, changed_at = $4
        WHERE account_id = $5 AND channel = $6 AND kind = $7 AND value = $8 AND scope = $9 AND contact_id = $10
        RETURNING contact_id";
    MOVE_ALL = "UPDATE identities SET contact_id = $1 WHERE account_id = $2 AND contact_id = $3";
}

/// The statements that run many times at once.
pub(super) const EACH: &[Each] = &[
    Each::Find(FIND),
    Each::Find(OF_CONTACT),
    Each::Insert(CLAIM),
];

/// An identity of an account.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key<'a> {
    /// The account.
    pub account: &'a AccountId,
    /// The channel.
    pub channel: Channel,
    /// The identity.
    pub identity: Identity,
}

impl Key<'_> {
    fn params(&self) -> [Value<'_>; 4] {
        [
            self.account.into(),
            self.channel.as_str().into(),
            self.identity.kind.as_str().into(),
            (&*self.identity.value).into(),
        ]
    }

    fn scope(&self) -> &str {
        self.identity.scope.as_deref().unwrap_or_default()
    }
}

/// The state of an identity.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct State {
    /// Whether its provider has said that it was replaced. It still belongs to the contact.
    pub former: bool,
    /// When its provider has last said so, or the opposite, in seconds since 1970.
    pub changed_at: i64,
}

/// The contact of an identity.
#[derive(Debug, Clone)]
pub struct Holder {
    /// The contact.
    pub contact: contacts::Stored,
    /// The contact's conversation in the requested inbox.
    pub conversation: Option<ConversationId>,
    /// Whether the identity is stored without its scope.
    pub unscoped: bool,
    /// Its state.
    pub state: State,
}

/// The contact of each of these identities.
pub async fn find_each(
    session: &mut Session,
    asked: &[(&InboxId, &Key<'_>)],
) -> Result<Vec<Option<Holder>>, Error> {
    let runs: Vec<_> = asked
        .iter()
        .map(|(inbox, key)| {
            let mut params = vec![(*inbox).into()];
            params.extend(key.params());
            params.push(key.scope().into());
            params
        })
        .collect();
    let found = session.find_each(&FIND, &runs, |row| {
        Ok((
            row.get::<String>(0)?,
            State {
                former: row.get::<i64>(1)? != 0,
                changed_at: row.get(2)?,
            },
            contacts::read(row, 3)?,
            row.get::<Option<String>>(9)?,
        ))
    });
    let found = found.await?.into_iter().zip(asked);
    Ok(found
        .map(|(mut rows, (_, key))| {
            let (scope, state, contact, conversation) = rows.pop()?;
            Some(Holder {
                contact,
                conversation: conversation.map(ConversationId::from_text),
                unscoped: scope != key.scope(),
                state,
            })
        })
        .collect())
}

/// All identities that each of these contacts has on a channel.
pub async fn of_contacts(
    session: &mut Session,
    contacts: &[(&AccountId, &ContactId, Channel)],
) -> Result<Vec<Vec<(Identity, State)>>, Error> {
    let runs: Vec<_> = contacts
        .iter()
        .map(|(account, contact, channel)| {
            vec![
                (*account).into(),
                (*contact).into(),
                channel.as_str().into(),
            ]
        })
        .collect();
    session.find_each(&OF_CONTACT, &runs, read).await
}

fn read(row: &Row<'_>) -> Result<(Identity, State), Error> {
    let kind: String = row.get(0)?;
    let scope: String = row.get(2)?;
    Ok((
        Identity {
            kind: known(&kind)?,
            value: row.get::<String>(1)?.into(),
            scope: (!scope.is_empty()).then(|| scope.into()),
        },
        State {
            former: row.get::<i64>(3)? != 0,
            changed_at: row.get(4)?,
        },
    ))
}

fn known(kind: &str) -> Result<IdentityKind, Error> {
    let known = IdentityKind::ALL.into_iter();
    let mut known = known.filter(|known| known.as_str() == kind);
    let unknown = || Error::Broken(format!("an identity of the unknown kind {kind}"));
    known.next().ok_or_else(unknown)
}

/// Adds identities of contacts, unless they belong to a contact already. Returns the contact of each. Each identity must be
/// there once, and they must be sorted in the same way everywhere, to prevent deadlocks.
pub async fn claim_each(
    session: &mut Session,
    claims: &[(&Key<'_>, &ContactId, State)],
) -> Result<Vec<ContactId>, Error> {
    let runs: Vec<_> = claims
        .iter()
        .map(|(key, contact, state)| {
            let mut params = key.params().to_vec();
            params.extend([
                Value::from(key.scope()),
                (*contact).into(),
                i64::from(state.former).into(),
                state.changed_at.into(),
            ]);
            params
        })
        .collect();
    let holders = session.insert_each(&CLAIM, &runs, |row| row.get::<String>(0));
    let holders = one_each(holders.await?, runs.len())?;
    Ok(holders.into_iter().map(ContactId::from_text).collect())
}

/// A change of an identity that is stored.
#[derive(Debug)]
pub struct Change<'a> {
    /// The identity.
    pub key: &'a Key<'a>,
    /// Whether it is stored without its scope, and gets it now.
    pub unscoped: bool,
    /// Its contact until now.
    pub from: &'a ContactId,
    /// Its contact from now on.
    pub to: &'a ContactId,
    /// What is kept of it.
    pub state: State,
}

/// Changes identities, which must be sorted in the same way everywhere. Returns false if another transaction has changed one
/// of them.
pub async fn change_each(session: &mut Session, changes: &[Change<'_>]) -> Result<bool, Error> {
    let runs: Vec<_> = changes
        .iter()
        .map(|change| {
            let mut params = vec![
                change.to.into(),
                change.key.scope().into(),
                i64::from(change.state.former).into(),
                change.state.changed_at.into(),
            ];
            params.extend(change.key.params());
            params.push(match change.unscoped {
                true => "".into(),
                false => change.key.scope().into(),
            });
            params.push(change.from.into());
            params
        })
        .collect();
    let changed = session.query_each(&CHANGE, &runs, |_| Ok(())).await?;
    Ok(changed.iter().all(|rows| !rows.is_empty()))
}

/// Moves all identities of a contact to another one.
pub async fn move_all(
    session: &mut Session,
    account: &AccountId,
    from: &ContactId,
    to: &ContactId,
) -> Result<(), Error> {
    let params = [to.into(), account.into(), from.into()];
    session.execute(&MOVE_ALL, &params).await?;
    Ok(())
}
