//! What must hold of the data, as statements that find what does not. Each gives one line of text for a breach.

use super::{contacts::of_identities, conversations, messages::undelivered_by, statements};
use crate::id::{AccountId, ConversationId, InboxId};
use db::{Error, Session, Sql};

/// The condition for a message `m` of the conversation `v` from its contact that nothing written in the channel's app answers.
macro_rules! from_contact {
    () => {
        concat!("m.account_id = v.account_id AND m.conversation_id = v.id AND m.direction = 'inbound' AND m.historic = 0 AND m.silent = 0
            AND NOT EXISTS (SELECT 1 FROM messages a WHERE a.account_id = v.account_id AND a.conversation_id = v.id
                AND (a.timestamp, a.id) > (m.timestamp, m.id) AND a.sent_by IS NULL AND ", answers!(), ")")
    };
}

/// The condition for an answer: one that failed or was canceled is none.
macro_rules! answers {
    () => {
        "a.direction = 'outbound' AND a.historic = 0 AND (a.undelivered IS NULL OR a.undelivered = 'unknown')"
    };
}

/// What each conversation asks of the team as it says, and as its messages say. Only those are looked at of which all
/// messages are known to the statements that note it: longer ones may be told by their newest messages alone.
macro_rules! asks {
    () => {
        concat!(
            "(SELECT v.account_id, v.id, v.waiting_since, v.unread_count, v.undelivered,
                (SELECT MIN(m.timestamp) FROM messages m WHERE ", from_contact!(), "
                    AND m.id > v.resolved_id AND NOT EXISTS (SELECT 1 FROM messages a WHERE a.account_id = v.account_id
                        AND a.conversation_id = v.id AND a.id > m.id AND a.sent_by IS NOT NULL AND ", answers!(), ")) AS waits,
                (SELECT COUNT(*) FROM messages m WHERE ", from_contact!(), " AND m.id > v.read_id) AS unread,
                CASE WHEN EXISTS (SELECT 1 FROM messages m JOIN message_changes c
                        ON c.account_id = m.account_id AND c.inbox_id = m.inbox_id AND c.provider_id = m.provider_id
                            AND c.kind = 'status' AND c.key = m.undelivered
                    WHERE m.account_id = v.account_id AND m.conversation_id = v.id AND m.undelivered IN ('failed', 'unknown')
                        AND substr(c.id, 5) > substr(v.answered_id, 5) AND c.received_at >= v.echoed_at) THEN 1 ELSE 0 END AS failing
            FROM conversations v WHERE v.messages_count <= 1000 AND NOT EXISTS (SELECT 1 FROM inboxes i
                WHERE i.account_id = v.account_id AND i.id = v.inbox_id AND i.deleted_at IS NOT NULL)) AS t"
        )
    };
}

statements! {
    INBOX_COUNTS = "SELECT 'inbox ' || i.id || ' says ' || CAST(i.messages_count AS TEXT) || ' messages, and has ' || CAST(COALESCE(m.n, 0) AS TEXT)
        FROM inboxes i LEFT JOIN (SELECT account_id, inbox_id, COUNT(*) AS n FROM messages GROUP BY account_id, inbox_id) m
            ON m.account_id = i.account_id AND m.inbox_id = i.id
        WHERE i.messages_count <> COALESCE(m.n, 0) AND i.deleted_at IS NULL";
    CONVERSATION_COUNTS = "SELECT 'conversation ' || v.id || ' says ' || CAST(v.messages_count AS TEXT) || ' messages, and has ' || CAST(COALESCE(m.n, 0) AS TEXT)
        FROM conversations v LEFT JOIN (SELECT account_id, conversation_id, COUNT(*) AS n FROM messages GROUP BY account_id, conversation_id) m
            ON m.account_id = v.account_id AND m.conversation_id = v.id
        WHERE v.messages_count <> COALESCE(m.n, 0)
          AND NOT EXISTS (SELECT 1 FROM inboxes i WHERE i.account_id = v.account_id AND i.id = v.inbox_id AND i.deleted_at IS NOT NULL)";
    LAST_MESSAGES = "SELECT 'conversation ' || v.id || ' says that its last message is ' || v.last_message_id || ', and it is ' || COALESCE(l.id, 'none')
        FROM conversations v LEFT JOIN messages l ON l.account_id = v.account_id AND l.id = (SELECT m.id FROM messages m
            WHERE m.account_id = v.account_id AND m.conversation_id = v.id ORDER BY m.timestamp DESC, m.id DESC LIMIT 1)
        WHERE (v.last_message_id <> COALESCE(l.id, '') OR v.last_message_at <> COALESCE(l.timestamp, 0))
          AND NOT EXISTS (SELECT 1 FROM inboxes i WHERE i.account_id = v.account_id AND i.id = v.inbox_id AND i.deleted_at IS NOT NULL)";
    CHANGED_MESSAGES = "SELECT 'message ' || m.id || ' does not know that something happened to it'
        FROM messages m WHERE m.has_changes = 0 AND EXISTS (SELECT 1 FROM message_changes c
            WHERE c.account_id = m.account_id AND c.inbox_id = m.inbox_id AND c.provider_id = m.provider_id)";
    ONE_CONVERSATION = "SELECT 'contact ' || contact_id || ' has ' || CAST(COUNT(*) AS TEXT) || ' conversations in inbox ' || inbox_id
        FROM conversations GROUP BY account_id, inbox_id, contact_id HAVING COUNT(*) > 1";
    UNIQUE_PROVIDER_IDS = "SELECT 'inbox ' || inbox_id || ' has a provider id ' || CAST(COUNT(*) AS TEXT) || ' times'
        FROM messages GROUP BY account_id, inbox_id, provider_id HAVING COUNT(*) > 1";
    ORPHAN_MESSAGES = "SELECT 'message ' || m.id || ' is in no conversation of its inbox'
        FROM messages m LEFT JOIN conversations v ON v.account_id = m.account_id AND v.id = m.conversation_id
        WHERE v.id IS NULL OR v.inbox_id <> m.inbox_id";
    ORPHAN_CONVERSATIONS = "SELECT 'conversation ' || v.id || ' has no inbox or no contact'
        FROM conversations v
        LEFT JOIN inboxes i ON i.account_id = v.account_id AND i.id = v.inbox_id
        LEFT JOIN contacts c ON c.account_id = v.account_id AND c.id = v.contact_id
        WHERE i.id IS NULL OR c.id IS NULL";
    ORPHAN_IDENTITIES = "SELECT 'an identity leads to contact ' || n.contact_id || ', which is not there'
        FROM identities n LEFT JOIN contacts c ON c.account_id = n.account_id AND c.id = n.contact_id
        WHERE c.id IS NULL";
    KNOWN_CONTACTS = "SELECT 'contact ' || c.id || ' is known by nothing' FROM contacts c
        WHERE NOT EXISTS (SELECT 1 FROM identities i WHERE i.account_id = c.account_id AND i.contact_id = c.id)
          AND c.saved = 0
          AND NOT EXISTS (SELECT 1 FROM joins j WHERE j.account_id = c.account_id AND (j.contact_id = c.id OR j.other_id = c.id))";
    WORDS = "SELECT 'contact ' || c.id || ' is not listed under the words that it has'
        FROM contacts c LEFT JOIN (SELECT account_id, contact_id, string_agg(word, ' ' ORDER BY word) AS words
            FROM contact_words GROUP BY account_id, contact_id) w ON w.account_id = c.account_id AND w.contact_id = c.id
        WHERE COALESCE(c.words, '') <> COALESCE(w.words, '')";
    ORPHAN_WORDS = "SELECT 'the word ' || w.word || ' leads to contact ' || w.contact_id || ', which is not there'
        FROM contact_words w LEFT JOIN contacts c ON c.account_id = w.account_id AND c.id = w.contact_id
        WHERE c.id IS NULL";
    EXTERNAL_IDS = "SELECT 'an external id leads to contact ' || e.contact_id || ', which is not there or has none'
        FROM external_ids e LEFT JOIN contacts c ON c.account_id = e.account_id AND c.id = e.contact_id
        WHERE c.external_id IS NULL";
    SHOWN_EXTERNAL_IDS = "SELECT 'the external id of contact ' || c.id || ' does not lead to it' FROM contacts c
        WHERE c.external_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM external_ids e
            WHERE e.account_id = c.account_id AND e.external_id = c.external_id AND e.contact_id = c.id)";
    LIVING_ALIASES = "SELECT 'the alias ' || a.id || ' is there itself, or leads to ' || a.survivor_id || ', which is not'
        FROM aliases a
        WHERE EXISTS (SELECT 1 FROM contacts c WHERE c.account_id = a.account_id AND c.id = a.id)
           OR EXISTS (SELECT 1 FROM conversations v WHERE v.account_id = a.account_id AND v.id = a.id)
           OR NOT EXISTS (SELECT 1 FROM contacts c WHERE c.account_id = a.account_id AND c.id = a.survivor_id)
          AND NOT EXISTS (SELECT 1 FROM conversations v WHERE v.account_id = a.account_id AND v.id = a.survivor_id)";
    ORPHAN_ADDRESSES = "SELECT 'a ' || a.channel || ' address leads to inbox ' || a.inbox_id || ', which is not there'
        FROM channel_addresses a LEFT JOIN inboxes i ON i.account_id = a.account_id AND i.id = a.inbox_id
        WHERE i.id IS NULL";
    UNREACHABLE_INBOXES = "SELECT 'inbox ' || i.id || ' has no address'
        FROM inboxes i LEFT JOIN channel_addresses a ON a.inbox_id = i.id
        WHERE a.inbox_id IS NULL AND i.deleted_at IS NULL";
    ORPHAN_KEYS = "SELECT 'a key hash leads to key ' || h.key_id || ', which is not there'
        FROM api_key_hashes h LEFT JOIN api_keys k ON k.account_id = h.account_id AND k.id = h.key_id
        WHERE k.id IS NULL";
    STATUSES = "SELECT 'a message of inbox ' || inbox_id || ' has the unknown change ' || kind || ' ' || key
        FROM message_changes
        WHERE kind NOT IN ('status', 'reaction', 'edit', 'revoke', 'content')
           OR (kind = 'status' AND key NOT IN ('queued', 'canceled', 'unknown', 'sent', 'delivered', 'read', 'failed'))";
    ORPHANS_IN_OUTBOX = "SELECT 'the outbox has message ' || o.message_id || ', which is not in its conversation'
        FROM outbox o LEFT JOIN messages m ON m.account_id = o.account_id AND m.id = o.message_id
        WHERE m.id IS NULL OR m.conversation_id <> o.conversation_id OR m.inbox_id <> o.inbox_id";
    FIRST_IN_LINE = "SELECT 'conversation ' || o.conversation_id || ' has ' || CAST(COUNT(o.due_at) AS TEXT) || ' messages that are due of those that wait'
        FROM outbox o WHERE o.state <> 'unknown' GROUP BY o.account_id, o.conversation_id HAVING COUNT(o.due_at) <> 1";
    ORDER_OF_LINE = "SELECT 'message ' || o.message_id || ' is due before one that was sent earlier'
        FROM outbox o WHERE o.due_at IS NOT NULL AND EXISTS (SELECT 1 FROM outbox e WHERE e.account_id = o.account_id
            AND e.conversation_id = o.conversation_id AND e.state = 'queued' AND e.position < o.position)";
    LEADING_NOWHERE = "SELECT 'a provider id of inbox ' || p.inbox_id || ' leads to ' || p.message_key || ', which is not there'
        FROM provider_ids p LEFT JOIN messages m ON m.account_id = p.account_id AND m.inbox_id = p.inbox_id AND m.provider_id = p.message_key
        WHERE m.id IS NULL";
    TWICE_THERE = "SELECT 'message ' || m.id || ' is there twice: it was also sent as ' || p.message_key
        FROM provider_ids p JOIN messages m ON m.account_id = p.account_id AND m.inbox_id = p.inbox_id AND m.provider_id = p.provider_id";
    MOVED_NEWS = "SELECT 'something that happened to ' || p.message_key || ' is kept under another id'
        FROM provider_ids p JOIN message_changes c ON c.account_id = p.account_id AND c.inbox_id = p.inbox_id AND c.provider_id = p.provider_id";
    UNDELIVERED_MESSAGES = concat!("SELECT 'message ' || messages.id || ' says that it is ' || COALESCE(messages.undelivered, 'not undelivered') || ', and its statuses say otherwise'
        FROM messages WHERE messages.direction = 'outbound' AND messages.historic = 0
          AND COALESCE(messages.undelivered, '') <> COALESCE(", undelivered_by!(), ", '')");
    WAITING = concat!("SELECT 'conversation ' || t.id || ' says that its contact waits since ' || COALESCE(CAST(t.waiting_since AS TEXT), 'never')
            || ', and it waits since ' || COALESCE(CAST(t.waits AS TEXT), 'never')
        FROM ", asks!(), " WHERE COALESCE(t.waiting_since, -1) <> COALESCE(t.waits, -1)");
    UNREAD = concat!("SELECT 'conversation ' || t.id || ' says ' || CAST(t.unread_count AS TEXT) || ' unread messages, and has ' || CAST(t.unread AS TEXT)
        FROM ", asks!(), " WHERE t.unread_count <> t.unread");
    UNDELIVERED = concat!("SELECT 'conversation ' || t.id || ' says ' || CAST(t.undelivered AS TEXT) || ' of whether something was not delivered'
        FROM ", asks!(), " WHERE t.undelivered <> t.failing");
    WRONG = concat!("SELECT t.account_id, t.id FROM ", asks!(), " WHERE COALESCE(t.waiting_since, -1) <> COALESCE(t.waits, -1)
            OR t.unread_count <> t.unread OR t.undelivered <> t.failing");
    SECRETS = "SELECT account_id, inbox_id, name, sealed FROM inbox_secrets ORDER BY account_id, inbox_id, name";
    REPAIR_INBOXES = "UPDATE inboxes SET messages_count = (SELECT COUNT(*) FROM messages m
            WHERE m.account_id = inboxes.account_id AND m.inbox_id = inboxes.id)
        WHERE messages_count <> (SELECT COUNT(*) FROM messages m
            WHERE m.account_id = inboxes.account_id AND m.inbox_id = inboxes.id)";
    REPAIR_CONVERSATIONS = "UPDATE conversations SET messages_count = (SELECT COUNT(*) FROM messages m
            WHERE m.account_id = conversations.account_id AND m.conversation_id = conversations.id)
        WHERE messages_count <> (SELECT COUNT(*) FROM messages m
            WHERE m.account_id = conversations.account_id AND m.conversation_id = conversations.id)";
    REPAIR_LAST_MESSAGES = "UPDATE conversations SET
            last_message_id = COALESCE((SELECT m.id FROM messages m WHERE m.account_id = conversations.account_id
                AND m.conversation_id = conversations.id ORDER BY m.timestamp DESC, m.id DESC LIMIT 1), ''),
            last_message_at = COALESCE((SELECT m.timestamp FROM messages m WHERE m.account_id = conversations.account_id
                AND m.conversation_id = conversations.id ORDER BY m.timestamp DESC, m.id DESC LIMIT 1), 0)
        WHERE last_message_id <> COALESCE((SELECT m.id FROM messages m WHERE m.account_id = conversations.account_id
                AND m.conversation_id = conversations.id ORDER BY m.timestamp DESC, m.id DESC LIMIT 1), '')
           OR last_message_at <> COALESCE((SELECT m.timestamp FROM messages m WHERE m.account_id = conversations.account_id
                AND m.conversation_id = conversations.id ORDER BY m.timestamp DESC, m.id DESC LIMIT 1), 0)";
    REPAIR_UNDELIVERED_MESSAGES = concat!("UPDATE messages SET undelivered = ", undelivered_by!(), "
        WHERE direction = 'outbound' AND historic = 0 AND COALESCE(undelivered, '') <> COALESCE(", undelivered_by!(), ", '')");
    REMOVE_ORPHAN_WORDS = "DELETE FROM contact_words WHERE NOT EXISTS (SELECT 1 FROM contacts c
            WHERE c.account_id = contact_words.account_id AND c.id = contact_words.contact_id)";
    REPAIR_WORDS = "UPDATE contacts SET words = COALESCE((SELECT string_agg(w.word, ' ' ORDER BY w.word) FROM contact_words w
            WHERE w.account_id = contacts.account_id AND w.contact_id = contacts.id), '')
        WHERE words IS NOT NULL AND words <> COALESCE((SELECT string_agg(w.word, ' ' ORDER BY w.word) FROM contact_words w
            WHERE w.account_id = contacts.account_id AND w.contact_id = contacts.id), '')";
    REPAIR_CHANGED_MESSAGES = "UPDATE messages SET has_changes = 1
        WHERE has_changes = 0 AND EXISTS (SELECT 1 FROM message_changes c WHERE c.account_id = messages.account_id
            AND c.inbox_id = messages.inbox_id AND c.provider_id = messages.provider_id)";
}

const SHOWN_IDENTITIES: Sql = of_identities!(
    "SELECT 'contact ' || id || ' shows other identities than it has' FROM contacts WHERE identities <> ",
    ""
);
const REPAIR_IDENTITIES: Sql = of_identities!(
    "UPDATE contacts SET identities = ",
    " WHERE identities <> ",
    ""
);
/// The statements with two texts.
pub(super) const BY_ENGINE: &[Sql] = &[SHOWN_IDENTITIES, REPAIR_IDENTITIES];

/// The invariants, by what each promises.
const CHECKS: [(&str, Sql); 30] = [
    ("the message count of an inbox is right", INBOX_COUNTS),
    (
        "the message count of a conversation is right",
        CONVERSATION_COUNTS,
    ),
    ("the last message of a conversation is right", LAST_MESSAGES),
    (
        "a message with changes is marked as changed",
        CHANGED_MESSAGES,
    ),
    (
        "a contact has only one conversation in an inbox",
        ONE_CONVERSATION,
    ),
    (
        "a provider's message id is unique in its inbox",
        UNIQUE_PROVIDER_IDS,
    ),
    (
        "a message is in a conversation of its own inbox",
        ORPHAN_MESSAGES,
    ),
    (
        "the inbox and contact of a conversation exist",
        ORPHAN_CONVERSATIONS,
    ),
    ("the contact of an identity exists", ORPHAN_IDENTITIES),
    (
        "a contact has an identity, unless it was added or is being joined",
        KNOWN_CONTACTS,
    ),
    (
        "a contact shows the identities that it has",
        SHOWN_IDENTITIES,
    ),
    ("a contact is listed under its words", WORDS),
    ("the contact of a word exists", ORPHAN_WORDS),
    ("the contact of an external id exists", EXTERNAL_IDS),
    (
        "the external id of a contact leads to it",
        SHOWN_EXTERNAL_IDS,
    ),
    (
        "a joined contact or conversation leads to one that exists",
        LIVING_ALIASES,
    ),
    ("the inbox of an address exists", ORPHAN_ADDRESSES),
    ("an inbox has an address", UNREACHABLE_INBOXES),
    ("the API key of a key hash exists", ORPHAN_KEYS),
    ("a change of a message has a known kind", STATUSES),
    ("a message in the outbox exists", ORPHANS_IN_OUTBOX),
    ("a conversation has one next message to send", FIRST_IN_LINE),
    (
        "messages of a conversation are sent in order",
        ORDER_OF_LINE,
    ),
    ("the message of a provider's id exists", LEADING_NOWHERE),
    ("a sent message is stored only once", TWICE_THERE),
    ("a change is stored with its message", MOVED_NEWS),
    (
        "a message knows what keeps it from being delivered",
        UNDELIVERED_MESSAGES,
    ),
    ("a conversation knows since when its contact waits", WAITING),
    ("the unread count of a conversation is right", UNREAD),
    (
        "a conversation knows whether something was not delivered",
        UNDELIVERED,
    ),
];

/// Checks them all. For each, its promise and what breaks it.
pub async fn check(session: &mut Session) -> Result<Vec<(&'static str, Vec<String>)>, Error> {
    let mut checked = Vec::with_capacity(CHECKS.len());
    for (promise, statement) in &CHECKS {
        let breaches = session.query(statement, &[], |row| row.get(0)).await?;
        checked.push((*promise, breaches));
    }
    Ok(checked)
}

/// A credential as it is stored.
#[derive(Debug)]
pub struct Sealed {
    /// Whose.
    pub account: AccountId,
    /// Which inbox's.
    pub inbox: InboxId,
    /// Which.
    pub name: String,
    /// Sealed.
    pub sealed: Vec<u8>,
}

/// Every credential of the server.
pub async fn secrets(session: &mut Session) -> Result<Vec<Sealed>, Error> {
    session
        .query(&SECRETS, &[], |row| {
            Ok(Sealed {
                account: AccountId::from_text(row.get::<String>(0)?),
                inbox: InboxId::from_text(row.get::<String>(1)?),
                name: row.get(2)?,
                sealed: row.get(3)?,
            })
        })
        .await
}

/// Sets every count, and what else follows from the messages that are there. Returns how many rows were wrong.
pub async fn repair_counts(session: &mut Session) -> Result<u64, Error> {
    let mut repaired = 0;
    for statement in [
        REPAIR_INBOXES,
        REPAIR_CONVERSATIONS,
        REPAIR_LAST_MESSAGES,
        REPAIR_CHANGED_MESSAGES,
        REPAIR_UNDELIVERED_MESSAGES,
        REMOVE_ORPHAN_WORDS,
        REPAIR_WORDS,
        REPAIR_IDENTITIES,
    ] {
        repaired += session.execute(&statement, &[]).await?;
    }
    let wrong = session
        .query(&WRONG, &[], |row| {
            let account = AccountId::from_text(row.text(0)?);
            Ok((account, ConversationId::from_text(row.text(1)?)))
        })
        .await?;
    let of = wrong.iter().map(|(account, id)| (account, id));
    conversations::refresh(session, of).await?;
    Ok(repaired + wrong.len() as u64)
}
