-- The twin of 0012.postgres.sql. Messages that are sent through the API.

-- What the provider calls a message that was sent here: its provider_id is 'out:' and its own id, since it is stored before
-- the provider has seen it. Who sent it, what its sender noted with it, and on which way it goes, as JSON objects.
ALTER TABLE messages ADD COLUMN given_id TEXT;
ALTER TABLE messages ADD COLUMN sent_by TEXT;
ALTER TABLE messages ADD COLUMN metadata TEXT;
ALTER TABLE messages ADD COLUMN way TEXT;

-- A conversation knows the contact's last message, without those handed over from before. No message is '' and 0.
ALTER TABLE conversations ADD COLUMN last_inbound_id TEXT NOT NULL DEFAULT '';
ALTER TABLE conversations ADD COLUMN last_inbound_at INTEGER NOT NULL DEFAULT 0;
UPDATE conversations SET (last_inbound_id, last_inbound_at) =
    (SELECT m.id, m.timestamp FROM messages m
     WHERE m.account_id = conversations.account_id AND m.conversation_id = conversations.id
       AND m.direction = 'inbound' AND m.historic = 0
     ORDER BY m.timestamp DESC, m.id DESC LIMIT 1)
    WHERE EXISTS (SELECT 1 FROM messages m
        WHERE m.account_id = conversations.account_id AND m.conversation_id = conversations.id
          AND m.direction = 'inbound' AND m.historic = 0);

-- Every id that a provider gave to a message that was sent here leads to the message's provider_id. One of an attempt that
-- was followed by another is superseded: that it failed says nothing about the message any more.
CREATE TABLE provider_ids (
    account_id TEXT NOT NULL,
    inbox_id TEXT NOT NULL,
    provider_id TEXT NOT NULL,
    message_key TEXT NOT NULL,
    superseded INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (account_id, inbox_id, provider_id),
    FOREIGN KEY (account_id, inbox_id) REFERENCES inboxes (account_id, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX provider_ids_by_message ON provider_ids (account_id, inbox_id, message_key);

-- What is still to be sent, or may have been. Times are milliseconds since 1970. Of each conversation only the first one
-- that waits has a due_at: while an attempt is under way, that is when its lease ends. What is held waits for a person's word.
CREATE TABLE outbox (
    account_id TEXT NOT NULL,
    message_id TEXT NOT NULL,
    inbox_id TEXT NOT NULL,
    conversation_id TEXT NOT NULL,
    state TEXT NOT NULL,
    position TEXT NOT NULL,
    held INTEGER NOT NULL DEFAULT 0,
    due_at INTEGER,
    expires_at INTEGER NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    attempt_begun_at INTEGER,
    lease_owner TEXT,
    last_error TEXT,
    PRIMARY KEY (account_id, message_id),
    FOREIGN KEY (account_id, inbox_id) REFERENCES inboxes (account_id, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX outbox_due ON outbox (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX outbox_by_conversation ON outbox (account_id, conversation_id, state, position);
CREATE INDEX outbox_by_inbox ON outbox (account_id, inbox_id, message_id);
CREATE INDEX outbox_held ON outbox (account_id, inbox_id, message_id) WHERE held = 1;
CREATE INDEX outbox_due_of_inbox ON outbox (account_id, inbox_id, due_at) WHERE due_at IS NOT NULL;

-- Messages that may be what an attempt sent, until that is known: a provider shows again what was written to it.
CREATE TABLE echoes (
    account_id TEXT NOT NULL,
    inbox_id TEXT NOT NULL,
    provider_id TEXT NOT NULL,
    conversation_id TEXT NOT NULL,
    message TEXT NOT NULL,
    received_at INTEGER NOT NULL,
    PRIMARY KEY (account_id, inbox_id, provider_id),
    FOREIGN KEY (account_id, inbox_id) REFERENCES inboxes (account_id, id)
) STRICT;
CREATE INDEX echoes_by_time ON echoes (received_at);

-- The first answers to requests that named an idempotency key, for a day. Answers are sealed.
CREATE TABLE idempotency_keys (
    account_id TEXT NOT NULL REFERENCES accounts (account_id),
    key_id TEXT NOT NULL,
    idempotency_key TEXT NOT NULL,
    request BLOB NOT NULL,
    answer BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (account_id, key_id, idempotency_key)
) STRICT;
CREATE INDEX idempotency_keys_by_time ON idempotency_keys (created_at);
