-- The twin of 0001.postgres.sql. Tables that are read by account in order are clustered that way
-- (WITHOUT ROWID); tables with large rows are not.

CREATE TABLE instance (
    name TEXT PRIMARY KEY,
    value BLOB NOT NULL
) STRICT;

CREATE TABLE accounts (
    account_id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE api_keys (
    account_id TEXT NOT NULL REFERENCES accounts (account_id),
    id TEXT NOT NULL,
    name TEXT NOT NULL,
    scopes TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    revoked_at INTEGER,
    last_used_at INTEGER,
    PRIMARY KEY (account_id, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE api_key_hashes (
    key_hash BLOB PRIMARY KEY,
    account_id TEXT NOT NULL,
    key_id TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE inboxes (
    account_id TEXT NOT NULL REFERENCES accounts (account_id),
    id TEXT NOT NULL,
    name TEXT NOT NULL,
    type TEXT NOT NULL,
    phone_number TEXT,
    instagram_account_id TEXT,
    settings TEXT NOT NULL,
    proved_at INTEGER,
    switched_off_at INTEGER,
    status TEXT NOT NULL GENERATED ALWAYS AS (
        CASE WHEN switched_off_at IS NOT NULL THEN 'inactive'
             WHEN proved_at IS NOT NULL THEN 'active'
             ELSE 'pending' END) STORED,
    created_at INTEGER NOT NULL,
    messages_count INTEGER NOT NULL DEFAULT 0,
    change_id TEXT NOT NULL,
    PRIMARY KEY (account_id, created_at, id),
    UNIQUE (account_id, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE inbox_secrets (
    account_id TEXT NOT NULL,
    inbox_id TEXT NOT NULL,
    name TEXT NOT NULL,
    sealed BLOB NOT NULL,
    PRIMARY KEY (account_id, inbox_id, name),
    FOREIGN KEY (account_id, inbox_id) REFERENCES inboxes (account_id, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE channel_addresses (
    channel TEXT NOT NULL,
    address TEXT NOT NULL,
    account_id TEXT NOT NULL,
    inbox_id TEXT NOT NULL,
    PRIMARY KEY (channel, address)
) STRICT, WITHOUT ROWID;
CREATE INDEX channel_addresses_by_inbox ON channel_addresses (inbox_id);

CREATE TABLE contacts (
    account_id TEXT NOT NULL REFERENCES accounts (account_id),
    id TEXT NOT NULL,
    channel TEXT NOT NULL,
    provider_id TEXT NOT NULL,
    is_group INTEGER NOT NULL,
    name TEXT,
    phone TEXT,
    username TEXT,
    blocked_at INTEGER,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (account_id, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE contact_identities (
    account_id TEXT NOT NULL,
    channel TEXT NOT NULL,
    identity TEXT NOT NULL,
    contact_id TEXT NOT NULL,
    PRIMARY KEY (account_id, channel, identity)
) STRICT, WITHOUT ROWID;
CREATE INDEX contact_identities_by_contact ON contact_identities (account_id, contact_id);

CREATE TABLE conversations (
    account_id TEXT NOT NULL,
    id TEXT NOT NULL,
    inbox_id TEXT NOT NULL,
    contact_id TEXT NOT NULL,
    status TEXT NOT NULL,
    messages_count INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (account_id, id),
    UNIQUE (account_id, inbox_id, contact_id),
    FOREIGN KEY (account_id, inbox_id) REFERENCES inboxes (account_id, id),
    FOREIGN KEY (account_id, contact_id) REFERENCES contacts (account_id, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX conversations_by_inbox ON conversations (account_id, inbox_id, id);
CREATE INDEX conversations_by_contact ON conversations (account_id, contact_id);

CREATE TABLE messages (
    account_id TEXT NOT NULL,
    id TEXT NOT NULL,
    inbox_id TEXT NOT NULL,
    conversation_id TEXT NOT NULL,
    provider_id TEXT NOT NULL,
    direction TEXT NOT NULL,
    type TEXT NOT NULL,
    content TEXT NOT NULL,
    sender TEXT NOT NULL,
    reply_to TEXT,
    historic INTEGER NOT NULL,
    timestamp INTEGER NOT NULL,
    received_at INTEGER NOT NULL,
    PRIMARY KEY (account_id, id),
    UNIQUE (account_id, inbox_id, provider_id),
    FOREIGN KEY (account_id, conversation_id) REFERENCES conversations (account_id, id)
) STRICT;
CREATE INDEX messages_by_conversation ON messages (account_id, conversation_id, timestamp, id);
CREATE INDEX messages_by_inbox ON messages (account_id, inbox_id, timestamp, id);

-- What later happened to a message, by the message's own provider id: it may come before the message does.
CREATE TABLE message_changes (
    account_id TEXT NOT NULL,
    inbox_id TEXT NOT NULL,
    provider_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    key TEXT NOT NULL,
    id TEXT NOT NULL,
    value TEXT,
    timestamp INTEGER NOT NULL,
    received_at INTEGER NOT NULL,
    PRIMARY KEY (account_id, inbox_id, provider_id, kind, key),
    FOREIGN KEY (account_id, inbox_id) REFERENCES inboxes (account_id, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX message_changes_in_order ON message_changes (account_id, id);

CREATE TABLE quarantine (
    account_id TEXT NOT NULL REFERENCES accounts (account_id),
    id TEXT NOT NULL,
    inbox_id TEXT NOT NULL,
    channel TEXT NOT NULL,
    reason TEXT NOT NULL,
    headers TEXT NOT NULL,
    body BLOB NOT NULL,
    body_hash BLOB NOT NULL,
    received_at INTEGER NOT NULL,
    PRIMARY KEY (account_id, id),
    UNIQUE (account_id, inbox_id, body_hash),
    FOREIGN KEY (account_id, inbox_id) REFERENCES inboxes (account_id, id)
) STRICT;
