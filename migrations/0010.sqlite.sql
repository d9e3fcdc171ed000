-- The twin of 0010.postgres.sql. Everything by which a contact is known, each with what it is and for whom it names somebody.
-- contact_identities, from which the rows come, is no longer read or written.

CREATE TABLE identities (
    account_id TEXT NOT NULL,
    channel TEXT NOT NULL,
    kind TEXT NOT NULL,
    value TEXT NOT NULL,
    scope TEXT NOT NULL,
    contact_id TEXT NOT NULL,
    former INTEGER NOT NULL DEFAULT 0,
    changed_at INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (account_id, channel, kind, value, scope)
) STRICT, WITHOUT ROWID;
CREATE INDEX identities_by_contact ON identities (account_id, contact_id);

-- Of ids made for a business account that account was not kept: their scope is filled in when they come again.
INSERT INTO identities (account_id, channel, kind, value, scope, contact_id)
    SELECT n.account_id, n.channel,
        CASE WHEN n.channel = 'instagram' THEN 'id'
             WHEN n.channel = 'telegram' AND n.identity LIKE '-%' THEN 'chat_id'
             WHEN n.channel = 'telegram' THEN 'user_id'
             WHEN c.is_group = 1 THEN 'group_id'
             WHEN ltrim(n.identity, '+0123456789') = '' THEN 'phone'
             ELSE 'user_id' END,
        n.identity, '', n.contact_id
    FROM contact_identities n JOIN contacts c ON c.account_id = n.account_id AND c.id = n.contact_id
    WHERE n.channel <> 'livechat';
-- A website vouches for its users in one inbox.
INSERT INTO identities (account_id, channel, kind, value, scope, contact_id)
    SELECT n.account_id, n.channel,
        CASE WHEN n.identity LIKE 'user:%' THEN 'user_id' ELSE 'visitor' END,
        CASE WHEN n.identity LIKE 'user:%' THEN substr(n.identity, 6) ELSE n.identity END,
        v.inbox_id, n.contact_id
    FROM contact_identities n JOIN conversations v ON v.account_id = n.account_id AND v.contact_id = n.contact_id
    WHERE n.channel = 'livechat';

-- A contact knows what it is known by, as it is shown: a JSON list, in one order.
ALTER TABLE contacts ADD COLUMN identities TEXT NOT NULL DEFAULT '[]';
UPDATE contacts SET identities = (SELECT COALESCE('[' || string_agg('{"channel":"' || i.channel || '","kind":"' || i.kind
        || '","value":' || json_quote(i.value) || CASE WHEN i.scope = '' THEN '' ELSE ',"scope":' || json_quote(i.scope) END
        || '}', ',' ORDER BY i.channel, i.kind, i.value, i.scope) || ']', '[]')
    FROM identities i WHERE i.account_id = contacts.account_id AND i.contact_id = contacts.id);

-- Two contacts that are one: until the join is done.
CREATE TABLE joins (
    account_id TEXT NOT NULL,
    contact_id TEXT NOT NULL,
    other_id TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (account_id, contact_id, other_id)
) STRICT, WITHOUT ROWID;

-- The ids of contacts and conversations that were joined with others. One never leads to another.
CREATE TABLE aliases (
    account_id TEXT NOT NULL,
    id TEXT NOT NULL,
    survivor_id TEXT NOT NULL,
    PRIMARY KEY (account_id, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX aliases_by_survivor ON aliases (account_id, survivor_id);

-- A contact blocks an inbox, not the account. Of two changes the later one holds: the greater number within a second.
ALTER TABLE conversations ADD COLUMN blocked_at INTEGER;
ALTER TABLE conversations ADD COLUMN block_changed_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE conversations ADD COLUMN block_number INTEGER NOT NULL DEFAULT 0;
UPDATE conversations SET (blocked_at, block_changed_at) =
    (SELECT c.blocked_at, c.blocked_at FROM contacts c
     WHERE c.account_id = conversations.account_id AND c.id = conversations.contact_id)
    WHERE EXISTS (SELECT 1 FROM contacts c
        WHERE c.account_id = conversations.account_id AND c.id = conversations.contact_id AND c.blocked_at IS NOT NULL);

-- The event of a conversation's last change, other than by its messages.
ALTER TABLE conversations ADD COLUMN change_id TEXT;
CREATE INDEX conversations_by_change ON conversations (account_id, change_id) WHERE change_id IS NOT NULL;
