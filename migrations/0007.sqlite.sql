-- The twin of 0007.postgres.sql.

-- The provider's clock is kept in whole seconds; this is what it said beyond them.
ALTER TABLE message_changes ADD COLUMN millis INTEGER NOT NULL DEFAULT 0;

-- Of an edit, the type of its content; without a value it is the message's own.
ALTER TABLE message_changes ADD COLUMN type TEXT;
