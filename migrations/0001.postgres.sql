-- The twin of 0001.sqlite.sql. Every table carries account_id in its primary key and in every unique key, so
-- that all of them can be sharded by account; instance, api_key_hashes and channel_addresses are the small
-- reference tables that find the account in the first place. Text is compared by bytes (COLLATE "C"), as
-- SQLite does: order must not depend on where the server was set up.
-- inboxes keeps room on each page: its counts change with every delivery, and then need no index entry.

CREATE TABLE instance (
    name TEXT COLLATE "C" PRIMARY KEY,
    value BYTEA NOT NULL
);

CREATE TABLE accounts (
    account_id TEXT COLLATE "C" PRIMARY KEY,
    name TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE TABLE api_keys (
    account_id TEXT COLLATE "C" NOT NULL REFERENCES accounts (account_id),
    id TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    scopes TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT,
    revoked_at BIGINT,
    last_used_at BIGINT,
    PRIMARY KEY (account_id, id)
);

CREATE TABLE api_key_hashes (
    key_hash BYTEA PRIMARY KEY,
    account_id TEXT COLLATE "C" NOT NULL,
    key_id TEXT COLLATE "C" NOT NULL
);

CREATE TABLE inboxes (
    account_id TEXT COLLATE "C" NOT NULL REFERENCES accounts (account_id),
    id TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    type TEXT COLLATE "C" NOT NULL,
    phone_number TEXT COLLATE "C",
    instagram_account_id TEXT COLLATE "C",
    settings TEXT COLLATE "C" NOT NULL,
    proved_at BIGINT,
    switched_off_at BIGINT,
    status TEXT COLLATE "C" NOT NULL GENERATED ALWAYS AS (
        CASE WHEN switched_off_at IS NOT NULL THEN 'inactive'
             WHEN proved_at IS NOT NULL THEN 'active'
             ELSE 'pending' END) STORED,
    created_at BIGINT NOT NULL,
    messages_count BIGINT NOT NULL DEFAULT 0,
    change_id TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (account_id, id)
) WITH (fillfactor = 70);
CREATE INDEX inboxes_in_order ON inboxes (account_id, created_at, id);

CREATE TABLE inbox_secrets (
    account_id TEXT COLLATE "C" NOT NULL,
    inbox_id TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    sealed BYTEA NOT NULL,
    PRIMARY KEY (account_id, inbox_id, name),
    FOREIGN KEY (account_id, inbox_id) REFERENCES inboxes (account_id, id)
);

CREATE TABLE channel_addresses (
    channel TEXT COLLATE "C" NOT NULL,
    address TEXT COLLATE "C" NOT NULL,
    account_id TEXT COLLATE "C" NOT NULL,
    inbox_id TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (channel, address)
);
CREATE INDEX channel_addresses_by_inbox ON channel_addresses (inbox_id);

CREATE TABLE contacts (
    account_id TEXT COLLATE "C" NOT NULL REFERENCES accounts (account_id),
    id TEXT COLLATE "C" NOT NULL,
    channel TEXT COLLATE "C" NOT NULL,
    provider_id TEXT COLLATE "C" NOT NULL,
    is_group BIGINT NOT NULL,
    name TEXT COLLATE "C",
    phone TEXT COLLATE "C",
    username TEXT COLLATE "C",
    blocked_at BIGINT,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (account_id, id)
);

CREATE TABLE contact_identities (
    account_id TEXT COLLATE "C" NOT NULL,
    channel TEXT COLLATE "C" NOT NULL,
    identity TEXT COLLATE "C" NOT NULL,
    contact_id TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (account_id, channel, identity)
);
CREATE INDEX contact_identities_by_contact ON contact_identities (account_id, contact_id);

CREATE TABLE conversations (
    account_id TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    inbox_id TEXT COLLATE "C" NOT NULL,
    contact_id TEXT COLLATE "C" NOT NULL,
    status TEXT COLLATE "C" NOT NULL,
    messages_count BIGINT NOT NULL DEFAULT 0,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (account_id, id),
    UNIQUE (account_id, inbox_id, contact_id),
    FOREIGN KEY (account_id, inbox_id) REFERENCES inboxes (account_id, id),
    FOREIGN KEY (account_id, contact_id) REFERENCES contacts (account_id, id)
);
CREATE INDEX conversations_by_inbox ON conversations (account_id, inbox_id, id);
CREATE INDEX conversations_by_contact ON conversations (account_id, contact_id);

CREATE TABLE messages (
    account_id TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    inbox_id TEXT COLLATE "C" NOT NULL,
    conversation_id TEXT COLLATE "C" NOT NULL,
    provider_id TEXT COLLATE "C" NOT NULL,
    direction TEXT COLLATE "C" NOT NULL,
    type TEXT COLLATE "C" NOT NULL,
    content TEXT COLLATE "C" NOT NULL,
    sender TEXT COLLATE "C" NOT NULL,
    reply_to TEXT COLLATE "C",
    historic BIGINT NOT NULL,
    timestamp BIGINT NOT NULL,
    received_at BIGINT NOT NULL,
    PRIMARY KEY (account_id, id),
    UNIQUE (account_id, inbox_id, provider_id),
    FOREIGN KEY (account_id, conversation_id) REFERENCES conversations (account_id, id)
);
CREATE INDEX messages_by_conversation ON messages (account_id, conversation_id, timestamp, id);
CREATE INDEX messages_by_inbox ON messages (account_id, inbox_id, timestamp, id);

-- What later happened to a message, by the message's own provider id: it may come before the message does.
CREATE TABLE message_changes (
    account_id TEXT COLLATE "C" NOT NULL,
    inbox_id TEXT COLLATE "C" NOT NULL,
    provider_id TEXT COLLATE "C" NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    key TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    value TEXT COLLATE "C",
    timestamp BIGINT NOT NULL,
    received_at BIGINT NOT NULL,
    PRIMARY KEY (account_id, inbox_id, provider_id, kind, key),
    FOREIGN KEY (account_id, inbox_id) REFERENCES inboxes (account_id, id)
);
CREATE INDEX message_changes_in_order ON message_changes (account_id, id);

CREATE TABLE quarantine (
    account_id TEXT COLLATE "C" NOT NULL REFERENCES accounts (account_id),
    id TEXT COLLATE "C" NOT NULL,
    inbox_id TEXT COLLATE "C" NOT NULL,
    channel TEXT COLLATE "C" NOT NULL,
    reason TEXT COLLATE "C" NOT NULL,
    headers TEXT COLLATE "C" NOT NULL,
    body BYTEA NOT NULL,
    body_hash BYTEA NOT NULL,
    received_at BIGINT NOT NULL,
    PRIMARY KEY (account_id, id),
    UNIQUE (account_id, inbox_id, body_hash),
    FOREIGN KEY (account_id, inbox_id) REFERENCES inboxes (account_id, id)
);
