//! The messages that come to a conversation: counted, and what they change of it.
//!
//! Invariant: a conversation counts its messages, knows the last of them, and what it asks of the team, since all of that
//! changes with the message that comes. One statement serves all conversations of a transaction, whatever comes to them.

use super::attention::{from_contact, newest, undelivered};
use crate::{
    id::{AccountId, ConversationId, MessageId},
    store::statements,
};
use db::{Each, Error, Session, Value};

/// Whether a pair is not later than the last message that was written in the channel's app, of those that come ($9, $10) and
/// of those that are there.
macro_rules! echoed {
    ($pair:literal) => {
        concat!(
            "(",
            $pair,
            " <= (echoed_at, echoed_id) OR ",
            $pair,
            " <= ($9, $10))"
        )
    };
}

/// What follows from the messages from the contact, in the usual cases: all are answered; none was, nor is; those that come
/// were answered before they came. Else the newest messages are looked at.
macro_rules! follows {
    (done: $done:literal, more: $more:literal, same: $same:literal, look: $($look:expr),+) => {
        concat!(
            "CASE WHEN $8 <> '' OR ", echoed!("(last_inbound_at, last_inbound_id)"), " AND ", echoed!("($5, $6)"), " THEN ", $done,
            " WHEN ($9, $10) <= (echoed_at, echoed_id) AND ($11, $12) > (echoed_at, echoed_id) THEN ", $more,
            " WHEN ($9, $10) <= (echoed_at, echoed_id) AND ($7 = 0 OR ($5, $6) <= (echoed_at, echoed_id)) THEN ", $same,
            " ELSE (SELECT ", $($look),+, " AND (w.timestamp, w.id) > ($9, $10)) END"
        )
    };
}

statements! {
    // The last message is the latest in time, whenever it comes: one of before the connection is older than what is there.
    GROW = concat!("UPDATE conversations SET messages_count = messages_count + $1, updated_at = $2,
            last_message_at = CASE WHEN last_message_id = '' OR (last_message_at, last_message_id) < ($3, $4)
                THEN $3 ELSE last_message_at END,
            last_message_id = CASE WHEN last_message_id = '' OR (last_message_at, last_message_id) < ($3, $4)
                THEN $4 ELSE last_message_id END,
            last_inbound_at = CASE WHEN (last_inbound_at, last_inbound_id) < ($5, $6) THEN $5 ELSE last_inbound_at END,
            last_inbound_id = CASE WHEN (last_inbound_at, last_inbound_id) < ($5, $6) THEN $6 ELSE last_inbound_id END,
            status = CASE WHEN CAST($7 AS BIGINT) > 0 THEN 'open' ELSE status END,
            answered_id = CASE WHEN answered_id < $8 THEN $8 ELSE answered_id END,
            read_id = CASE WHEN read_id < $8 THEN $8 ELSE read_id END,
            echoed_at = CASE WHEN (echoed_at, echoed_id) < ($9, $10) THEN $9 ELSE echoed_at END,
            echoed_id = CASE WHEN (echoed_at, echoed_id) < ($9, $10) THEN $10 ELSE echoed_id END,
            waiting_since = ", follows!(
                done: "NULL",
                more: "CASE WHEN waiting_since < $11 THEN waiting_since ELSE $11 END",
                same: "waiting_since",
                look: "MIN(w.timestamp) FROM ", newest!(), "WHERE ", from_contact!(), "AND w.id > conversations.answered_id"
            ), ",
            unread_count = ", follows!(
                done: "0",
                more: "CASE WHEN unread_count + $7 > 1000 THEN 1000 ELSE unread_count + $7 END",
                same: "unread_count",
                look: "COUNT(*) FROM ", newest!(), "WHERE ", from_contact!(), "AND w.id > conversations.read_id"
            ), ",
            undelivered = CASE WHEN undelivered = 0 OR $8 <> '' THEN 0 WHEN ($9, $10) <= (echoed_at, echoed_id) THEN 1
                WHEN ", undelivered!(" AND c.received_at >= $9"), " THEN 1 ELSE 0 END
        WHERE account_id = $13 AND id = $14");
}

/// Those that run many times at once.
pub(super) const EACH: &[Each] = &[Each::Update(GROW)];

/// Where a message comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The contact wrote it.
    Contact,
    /// The contact wrote it, and is muted: nobody is to answer or read it.
    Muted,
    /// The business wrote it in the channel's own app.
    App,
    /// It is sent from here.
    Here,
    /// It was handed over from before the connection, whoever wrote it.
    History,
}

/// The messages that come to a conversation at once.
#[derive(Debug, Default)]
pub struct Growth<'a> {
    count: i64,
    last: Place<'a>,
    from_contact: i64,
    first_inbound: Place<'a>,
    last_inbound: Place<'a>,
    last_echo: Place<'a>,
    answer: Option<&'a MessageId>,
}

/// A message's place by the provider's clock.
type Place<'a> = Option<(i64, &'a MessageId)>;

impl<'a> Growth<'a> {
    /// One more message, by its provider's clock.
    pub fn add(&mut self, timestamp: i64, id: &'a MessageId, origin: Origin) {
        let this = Some((timestamp, id));
        self.count += 1;
        self.last = self.last.max(this);
        match origin {
            Origin::Contact => {
                self.from_contact += 1;
                self.last_inbound = self.last_inbound.max(this);
                self.first_inbound = self
                    .first_inbound
                    .map_or(this, |first| this.min(Some(first)));
            }
            Origin::Muted => self.last_inbound = self.last_inbound.max(this),
            Origin::App => self.last_echo = self.last_echo.max(this),
            Origin::Here => self.answer = self.answer.max(Some(id)),
            Origin::History => {}
        }
    }
}

/// Counts what comes to conversations, each named once, and notes what it changes of them. Store the messages first, and
/// lock the inboxes before, or two transactions can block each other for good.
pub async fn grow<'a>(
    session: &mut Session,
    growths: impl Iterator<Item = (&'a AccountId, &'a ConversationId, &'a Growth<'a>)>,
    now: i64,
) -> Result<(), Error> {
    let place = |place: Place<'a>| {
        let (at, id) = place.map_or((0, ""), |(at, id)| (at, id.as_str()));
        [Value::from(at), id.into()]
    };
    let runs: Vec<Vec<Value<'_>>> = growths
        .filter(|(_, _, growth)| growth.count > 0)
        .map(|(account, id, growth)| {
            let mut run = vec![growth.count.into(), now.into()];
            run.extend(place(growth.last));
            run.extend(place(growth.last_inbound));
            run.push(growth.from_contact.into());
            run.push(growth.answer.map_or("", MessageId::as_str).into());
            run.extend(place(growth.last_echo));
            run.extend(place(growth.first_inbound));
            run.extend([Value::from(account), id.into()]);
            run
        })
        .collect();
    session.update_each(&GROW, &runs).await
}
