-- The twin of 0006.sqlite.sql. Who has missed something asks for an account's inboxes that changed since.

CREATE INDEX inboxes_by_change ON inboxes (account_id, change_id);
