-- The twin of 0013.sqlite.sql. Which conversations wait for an answer, hold something unread, or something that was not
-- delivered.

-- What keeps an outbound message from being delivered, by its statuses: 'failed', 'canceled' or 'unknown'. NULL: nothing is
-- known to. History is not looked at.
ALTER TABLE messages ADD COLUMN undelivered TEXT COLLATE "C";
UPDATE messages SET undelivered = (SELECT CASE MAX(r.rank) WHEN 1 THEN 'canceled' WHEN 2 THEN 'unknown' WHEN 4 THEN 'failed' END
        FROM (SELECT CASE COALESCE(messages.status, 'sent') WHEN 'queued' THEN 0 WHEN 'canceled' THEN 1 WHEN 'unknown' THEN 2
                WHEN 'sent' THEN 3 WHEN 'failed' THEN 4 WHEN 'delivered' THEN 5 WHEN 'read' THEN 6 ELSE 3 END AS rank
            UNION ALL SELECT CASE c.key WHEN 'queued' THEN 0 WHEN 'canceled' THEN 1 WHEN 'unknown' THEN 2
                WHEN 'sent' THEN 3 WHEN 'failed' THEN 4 WHEN 'delivered' THEN 5 WHEN 'read' THEN 6 ELSE 3 END
            FROM message_changes c WHERE c.account_id = messages.account_id AND c.inbox_id = messages.inbox_id
                AND c.provider_id = messages.provider_id AND c.kind = 'status') AS r)
    WHERE direction = 'outbound' AND historic = 0 AND (has_changes = 1 OR status IS NOT NULL);

-- Messages come in the order of their ids. A message from the contact is answered by what was sent here after it came, and
-- by what was written in the channel's own app at a later time by the provider's clock; it is set aside if the conversation
-- was resolved after it came. What was sent here last and counts (answered_id, which is at least resolved_id), what was
-- written in the app last (echoed_at, echoed_id), up to where the team has read (read_id). Nothing is '' and 0.
ALTER TABLE conversations ADD COLUMN resolved_id TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE conversations ADD COLUMN answered_id TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE conversations ADD COLUMN echoed_id TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE conversations ADD COLUMN echoed_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE conversations ADD COLUMN read_id TEXT COLLATE "C" NOT NULL DEFAULT '';
-- What follows from those: since when the contact waits, how many of its messages are unread (counted up to 1,000), and
-- whether a message failed or is in doubt after which nobody has written or resolved it.
ALTER TABLE conversations ADD COLUMN waiting_since BIGINT;
ALTER TABLE conversations ADD COLUMN unread_count BIGINT NOT NULL DEFAULT 0;
ALTER TABLE conversations ADD COLUMN undelivered BIGINT NOT NULL DEFAULT 0;

-- What was there before nobody could mark as read: it counts as read.
UPDATE conversations SET
    read_id = COALESCE((SELECT MAX(m.id) FROM messages m
        WHERE m.account_id = conversations.account_id AND m.conversation_id = conversations.id), ''),
    answered_id = COALESCE((SELECT MAX(m.id) FROM messages m
        WHERE m.account_id = conversations.account_id AND m.conversation_id = conversations.id AND m.sent_by IS NOT NULL
          AND (m.undelivered IS NULL OR m.undelivered = 'unknown')), ''),
    echoed_id = COALESCE((SELECT m.id FROM messages m
        WHERE m.account_id = conversations.account_id AND m.conversation_id = conversations.id AND m.direction = 'outbound'
          AND m.historic = 0 AND m.sent_by IS NULL AND (m.undelivered IS NULL OR m.undelivered = 'unknown')
        ORDER BY m.timestamp DESC, m.id DESC LIMIT 1), ''),
    echoed_at = COALESCE((SELECT m.timestamp FROM messages m
        WHERE m.account_id = conversations.account_id AND m.conversation_id = conversations.id AND m.direction = 'outbound'
          AND m.historic = 0 AND m.sent_by IS NULL AND (m.undelivered IS NULL OR m.undelivered = 'unknown')
        ORDER BY m.timestamp DESC, m.id DESC LIMIT 1), 0);
UPDATE conversations SET
    waiting_since = (SELECT MIN(m.timestamp) FROM messages m
        WHERE m.account_id = conversations.account_id AND m.conversation_id = conversations.id AND m.direction = 'inbound'
          AND m.historic = 0 AND m.id > conversations.answered_id
          AND (m.timestamp, m.id) > (conversations.echoed_at, conversations.echoed_id)),
    undelivered = CASE WHEN EXISTS (SELECT 1 FROM messages m JOIN message_changes c
            ON c.account_id = m.account_id AND c.inbox_id = m.inbox_id AND c.provider_id = m.provider_id
                AND c.kind = 'status' AND c.key = m.undelivered
        WHERE m.account_id = conversations.account_id AND m.conversation_id = conversations.id
          AND m.undelivered IN ('failed', 'unknown')
          AND substr(c.id, 5) > substr(conversations.answered_id, 5) AND c.received_at >= conversations.echoed_at)
        THEN 1 ELSE 0 END;
CREATE INDEX conversations_waiting ON conversations (account_id, waiting_since, id) WHERE waiting_since IS NOT NULL;
CREATE INDEX conversations_undelivered ON conversations (account_id, undelivered, id) WHERE undelivered = 1;
CREATE INDEX conversations_undelivered_by_last_message ON conversations (account_id, undelivered, last_message_at, id)
    WHERE undelivered = 1;
