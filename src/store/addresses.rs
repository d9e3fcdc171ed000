//! The `channel_addresses` table: which inbox of the whole server a provider's address belongs to.
//!
//! WhatsApp's address is the `phone_number_id`, Instagram's the account id, Telegram's the bot's id, live chat's the inbox's own id.

use super::statements;
use crate::{
    domain::Channel,
    id::{AccountId, InboxId},
};
use db::{Error, Row, Session};

statements! {
    // Taking nothing on a conflict says who is late, without failing the transaction.
    CLAIM = "INSERT INTO channel_addresses (channel, address, account_id, inbox_id) VALUES ($1, $2, $3, $4)
        ON CONFLICT (channel, address) DO NOTHING";
    RELEASE = "DELETE FROM channel_addresses WHERE inbox_id = $1";
    FIND = "SELECT a.account_id, a.inbox_id, i.proved_at, s.sealed
        FROM channel_addresses a
        JOIN inboxes i ON i.account_id = a.account_id AND i.id = a.inbox_id
        LEFT JOIN inbox_secrets s ON s.account_id = a.account_id AND s.inbox_id = a.inbox_id AND s.name = 'app_secret'
        WHERE a.channel = $1 AND a.address = $2";
    FIND_INBOX = "SELECT a.account_id, a.inbox_id, i.proved_at, s.sealed
        FROM channel_addresses a
        JOIN inboxes i ON i.account_id = a.account_id AND i.id = a.inbox_id
        LEFT JOIN inbox_secrets s ON s.account_id = a.account_id AND s.inbox_id = a.inbox_id AND s.name = 'app_secret'
        WHERE a.inbox_id = $1 AND a.channel = $2";
}

/// Gives an address to an inbox. False if another has it.
pub async fn claim(
    session: &mut Session,
    channel: Channel,
    address: &str,
    account: &AccountId,
    inbox: &InboxId,
) -> Result<bool, Error> {
    let row = [
        channel.as_str().into(),
        address.into(),
        account.into(),
        inbox.into(),
    ];
    Ok(session.execute(&CLAIM, &row).await? > 0)
}

/// Frees the address of an inbox.
pub async fn release(session: &mut Session, inbox: &InboxId) -> Result<(), Error> {
    session.execute(&RELEASE, &[inbox.into()]).await?;
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

/// The inbox that has this address.
pub async fn find(
    session: &mut Session,
    channel: Channel,
    address: &str,
) -> Result<Option<Holder>, Error> {
    let params = [channel.as_str().into(), address.into()];
    session.query_opt(&FIND, &params, read).await
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

fn read(row: &Row<'_>) -> Result<Holder, Error> {
    Ok(Holder {
        account: AccountId::from_text(row.get::<String>(0)?),
        inbox: InboxId::from_text(row.get::<String>(1)?),
        proved: row.get::<Option<i64>>(2)?.is_some(),
        app_secret: row.get(3)?,
    })
}
