//! The `external_ids` table: the business's own ids of contacts.
//!
//! Which of them a contact shows is in its row.
//!
//! Invariant: an external id leads to one contact. After a merge, several lead to the same one.

use super::statements;
use crate::id::{AccountId, ContactId};
use db::{Error, Session};

statements! {
    // Both at one moment: they may be moved to another contact between two statements.
    HOLDERS = "SELECT (SELECT e.contact_id FROM external_ids e WHERE e.account_id = $1 AND e.external_id = $2),
            (SELECT i.contact_id FROM identities i WHERE i.account_id = $1 AND i.channel = 'whatsapp' AND i.kind = 'phone'
                AND i.value = $3 AND i.scope = '')";
    // Of two transactions, the later one waits here for the earlier, and gets its contact.
    CLAIM = "INSERT INTO external_ids (account_id, external_id, contact_id) VALUES ($1, $2, $3)
        ON CONFLICT (account_id, external_id) DO UPDATE SET contact_id = external_ids.contact_id RETURNING contact_id";
    MOVE_ALL = "UPDATE external_ids SET contact_id = $1 WHERE account_id = $2 AND contact_id = $3";
    DELETE_ALL = "DELETE FROM external_ids WHERE account_id = $1 AND contact_id = $2";
}

/// The contact that an external id leads to, and the one that a WhatsApp number leads to.
pub async fn holders(
    session: &mut Session,
    account: &AccountId,
    id: Option<&str>,
    number: Option<&str>,
) -> Result<(Option<ContactId>, Option<ContactId>), Error> {
    let params = [account.into(), id.into(), number.into()];
    let found = session.query_opt(&HOLDERS, &params, |row| {
        let contact = |column| Ok::<_, Error>(row.text_or_null(column)?.map(ContactId::from_text));
        Ok((contact(0)?, contact(1)?))
    });
    Ok(found.await?.unwrap_or_default())
}

/// Has an id lead to a contact, unless it leads to one already. Whether it leads to this one now.
pub async fn claim(
    session: &mut Session,
    account: &AccountId,
    id: &str,
    contact: &ContactId,
) -> Result<bool, Error> {
    let params = [account.into(), id.into(), contact.into()];
    let holder = session.query_opt(&CLAIM, &params, |row| row.get::<String>(0));
    Ok(holder
        .await?
        .is_some_and(|holder| holder == contact.as_str()))
}

/// Has the ids of a contact lead to another one.
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

/// Removes all ids of a contact.
pub async fn delete_all(
    session: &mut Session,
    account: &AccountId,
    contact: &ContactId,
) -> Result<(), Error> {
    let params = [account.into(), contact.into()];
    session.execute(&DELETE_ALL, &params).await?;
    Ok(())
}
