//! The `channel_addresses` table: which inbox of the whole server a provider's address belongs to.
//!
//! WhatsApp's address is the `phone_number_id`, Instagram's the account id, Telegram's the bot's id, live chat's the inbox's own id.

use super::statements;
use crate::{
    domain::Channel,
    id::{AccountId, InboxId},
};
use db::{Each, Error, Row, Session};

/// An inbox that has an address.
macro_rules! by_address {
    ($condition:literal) => {
        concat!(
            "SELECT a.account_id, a.inbox_id, i.proved_at, s.sealed
            FROM channel_addresses a
            JOIN inboxes i ON i.account_id = a.account_id AND i.id = a.inbox_id
            LEFT JOIN inbox_secrets s ON s.account_id = a.account_id AND s.inbox_id = a.inbox_id AND s.name = 'app_secret'
            WHERE ",
            $condition
        )
    };
}

/// The newest inboxes of a type: somebody is about to try those. A join would have SQLite look at all secrets first.
macro_rules! newest {
    ($proof:literal) => {
        concat!(
            "SELECT i.account_id, i.id, i.proved_at, (SELECT s.sealed FROM inbox_secrets s
                WHERE s.account_id = i.account_id AND s.inbox_id = i.id AND s.name = 'app_secret')
            FROM inboxes i WHERE i.type = $1 AND i.deleted_at IS NULL AND ",
            $proof,
            " ORDER BY i.id DESC LIMIT $2"
        )
    };
}

statements! {
    // Taking nothing on a conflict says who is late, without failing the transaction.
    CLAIM = "INSERT INTO channel_addresses (channel, address, account_id, inbox_id, business_account_id) VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (channel, address) DO NOTHING";
    RELEASE_BUT = "DELETE FROM channel_addresses WHERE inbox_id = $1 AND address <> $2";
    FIND = by_address!("a.channel = $1 AND a.address = $2");
    FIND_INBOX = by_address!("a.inbox_id = $1 AND a.channel = $2");
    OF_BUSINESS = by_address!("a.channel = $1 AND a.business_account_id = $2 ORDER BY a.address LIMIT $3");
    WAITING = newest!("i.proved_at IS NULL");
    PROVED = newest!("i.proved_at IS NOT NULL");
}

/// The statement that runs many times at once.
pub(super) const EACH: &[Each] = &[Each::Find(FIND)];

/// Gives an address, of this business account at the provider, to an inbox. False if another has it.
pub async fn claim(
    session: &mut Session,
    channel: Channel,
    address: &str,
    account: &AccountId,
    inbox: &InboxId,
    business_account_id: Option<&str>,
) -> Result<bool, Error> {
    let row = [
        channel.as_str().into(),
        address.into(),
        account.into(),
        inbox.into(),
        business_account_id.into(),
    ];
    Ok(session.execute(&CLAIM, &row).await? > 0)
}

/// Frees all addresses of an inbox but this one. No address is empty.
pub async fn release_but(
    session: &mut Session,
    inbox: &InboxId,
    address: &str,
) -> Result<(), Error> {
    session
        .execute(&RELEASE_BUT, &[inbox.into(), address.into()])
        .await?;
    Ok(())
}

/// The inbox that has an address.
#[derive(Debug)]
pub struct Holder {
    /// Whose inbox it is.
    pub account: AccountId,
    /// Which.
    pub inbox: InboxId,
    /// Whether the channel has proved already that it works.
    pub proved: bool,
    /// The app secret, sealed.
    pub app_secret: Option<Vec<u8>>,
}

/// The inbox that has each of these addresses.
pub async fn find_each(
    session: &mut Session,
    channel: Channel,
    addresses: &[&str],
) -> Result<Vec<Option<Holder>>, Error> {
    let runs: Vec<_> = addresses
        .iter()
        .map(|address| vec![channel.as_str().into(), (*address).into()])
        .collect();
    let found = session.find_each(&FIND, &runs, read).await?;
    Ok(found.into_iter().map(|mut rows| rows.pop()).collect())
}

/// An inbox that is known by its id alone.
pub async fn find_inbox(
    session: &mut Session,
    channel: Channel,
    inbox: &InboxId,
) -> Result<Option<Holder>, Error> {
    let params = [inbox.into(), channel.as_str().into()];
    session.query_opt(&FIND_INBOX, &params, read).await
}

/// Inboxes whose address is of this business account, at most `limit`.
pub async fn of_business(
    session: &mut Session,
    channel: Channel,
    business_account_id: &str,
    limit: usize,
) -> Result<Vec<Holder>, Error> {
    let params = [
        channel.as_str().into(),
        business_account_id.into(),
        (limit as i64).into(),
    ];
    session.query(&OF_BUSINESS, &params, read).await
}

/// Inboxes of this type, at most `limit`: those first that wait for their proof, and of each kind the newest.
pub async fn newest(
    session: &mut Session,
    channel: Channel,
    limit: usize,
) -> Result<Vec<Holder>, Error> {
    let mut found = Vec::new();
    for sql in [&WAITING, &PROVED] {
        let left = limit - found.len();
        let params = [channel.as_str().into(), (left as i64).into()];
        found.extend(session.query(sql, &params, read).await?);
    }
    Ok(found)
}

fn read(row: &Row<'_>) -> Result<Holder, Error> {
    Ok(Holder {
        account: AccountId::from_text(row.get::<String>(0)?),
        inbox: InboxId::from_text(row.get::<String>(1)?),
        proved: row.get::<Option<i64>>(2)?.is_some(),
        app_secret: row.get(3)?,
    })
}
