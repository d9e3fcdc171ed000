-- The twin of 0012.sqlite.sql. Messages that are sent through the API.

-- What the provider calls a message that was sent here: its provider_id is 'out:' and its own id, since it is stored before
-- the provider has seen it. Who sent it, what its sender noted with it, and on which way it goes, as JSON objects.
ALTER TABLE messages ADD COLUMN given_id TEXT COLLATE "C";
ALTER TABLE messages ADD COLUMN sent_by TEXT COLLATE "C";
ALTER TABLE messages ADD COLUMN metadata TEXT COLLATE "C";
ALTER TABLE messages ADD COLUMN way TEXT COLLATE "C";

-- A conversation knows the contact's last message, without those handed over from before. No message is '' and 0.
ALTER TABLE conversations ADD COLUMN last_inbound_id TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE conversations ADD COLUMN last_inbound_at BIGINT NOT NULL DEFAULT 0;
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
    account_id TEXT COLLATE "C" NOT NULL,
    inbox_id TEXT COLLATE "C" NOT NULL,
    provider_id TEXT COLLATE "C" NOT NULL,
    message_key TEXT COLLATE "C" NOT NULL,
    superseded BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (account_id, inbox_id, provider_id),
    FOREIGN KEY (account_id, inbox_id) REFERENCES inboxes (account_id, id)
);
CREATE INDEX provider_ids_by_message ON provider_ids (account_id, inbox_id, message_key);

-- What is still to be sent, or may have been. Times are milliseconds since 1970. Of each conversation only the first one
-- that waits has a due_at: while an attempt is under way, that is when its lease ends. What is held waits for a person's word.
CREATE TABLE outbox (
    account_id TEXT COLLATE "C" NOT NULL,
    message_id TEXT COLLATE "C" NOT NULL,
    inbox_id TEXT COLLATE "C" NOT NULL,
    conversation_id TEXT COLLATE "C" NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    position TEXT COLLATE "C" NOT NULL,
    held BIGINT NOT NULL DEFAULT 0,
    due_at BIGINT,
    expires_at BIGINT NOT NULL,
    attempts BIGINT NOT NULL DEFAULT 0,
    attempt_begun_at BIGINT,
    lease_owner TEXT COLLATE "C",
    last_error TEXT COLLATE "C",
    PRIMARY KEY (account_id, message_id),
    FOREIGN KEY (account_id, inbox_id) REFERENCES inboxes (account_id, id)
);
CREATE INDEX outbox_due ON outbox (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX outbox_by_conversation ON outbox (account_id, conversation_id, state, position);
CREATE INDEX outbox_by_inbox ON outbox (account_id, inbox_id, message_id);
CREATE INDEX outbox_held ON outbox (account_id, inbox_id, message_id) WHERE held = 1;
CREATE INDEX outbox_due_of_inbox ON outbox (account_id, inbox_id, due_at) WHERE due_at IS NOT NULL;

-- Messages that may be what an attempt sent, until that is known: a provider shows again what was written to it.
CREATE TABLE echoes (
    account_id TEXT COLLATE "C" NOT NULL,
    inbox_id TEXT COLLATE "C" NOT NULL,
    provider_id TEXT COLLATE "C" NOT NULL,
    conversation_id TEXT COLLATE "C" NOT NULL,
    message TEXT COLLATE "C" NOT NULL,
    received_at BIGINT NOT NULL,
    PRIMARY KEY (account_id, inbox_id, provider_id),
    FOREIGN KEY (account_id, inbox_id) REFERENCES inboxes (account_id, id)
);
CREATE INDEX echoes_by_time ON echoes (received_at);

-- The first answers to requests that named an idempotency key, for a day. Answers are sealed.
CREATE TABLE idempotency_keys (
    account_id TEXT COLLATE "C" NOT NULL REFERENCES accounts (account_id),
    key_id TEXT COLLATE "C" NOT NULL,
    idempotency_key TEXT COLLATE "C" NOT NULL,
    request BYTEA NOT NULL,
    answer BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (account_id, key_id, idempotency_key)
);
CREATE INDEX idempotency_keys_by_time ON idempotency_keys (created_at);
