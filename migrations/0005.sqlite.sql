-- The twin of 0005.postgres.sql. What a deleted inbox held is removed piece by piece. Until that is done its row stays,
-- marked, and nobody is shown it.

ALTER TABLE inboxes ADD COLUMN deleted_at INTEGER;
CREATE INDEX inboxes_deleted ON inboxes (account_id, deleted_at, id) WHERE deleted_at IS NOT NULL;
