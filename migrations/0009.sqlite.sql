-- The twin of 0009.postgres.sql.

-- A conversation knows its last message: the latest by the provider's clock, then by id. No message is '' and 0.
ALTER TABLE conversations ADD COLUMN last_message_id TEXT NOT NULL DEFAULT '';
ALTER TABLE conversations ADD COLUMN last_message_at INTEGER NOT NULL DEFAULT 0;
UPDATE conversations SET (last_message_id, last_message_at) =
    (SELECT m.id, m.timestamp FROM messages m
     WHERE m.account_id = conversations.account_id AND m.conversation_id = conversations.id
     ORDER BY m.timestamp DESC, m.id DESC LIMIT 1)
    WHERE EXISTS (SELECT 1 FROM messages m
        WHERE m.account_id = conversations.account_id AND m.conversation_id = conversations.id);
CREATE INDEX conversations_by_last_message ON conversations (account_id, last_message_at, id);
CREATE INDEX conversations_of_inbox_by_last_message ON conversations (account_id, inbox_id, last_message_at, id);

-- A message knows whether something happened to it: most have nothing to look for.
ALTER TABLE messages ADD COLUMN has_changes INTEGER NOT NULL DEFAULT 0;
UPDATE messages SET has_changes = 1
    WHERE EXISTS (SELECT 1 FROM message_changes c
        WHERE c.account_id = messages.account_id AND c.inbox_id = messages.inbox_id AND c.provider_id = messages.provider_id);
