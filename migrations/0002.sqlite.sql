-- The twin of 0002.postgres.sql. A page of a list that is narrowed costs the same however few match.

CREATE INDEX inboxes_by_type ON inboxes (account_id, type, created_at, id);
CREATE INDEX inboxes_by_status ON inboxes (account_id, status, created_at, id);
CREATE INDEX inboxes_by_type_and_status ON inboxes (account_id, type, status, created_at, id);
