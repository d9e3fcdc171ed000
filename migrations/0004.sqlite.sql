-- The twin of 0004.postgres.sql.

-- Whether a message's content is still to come: a provider may announce a message first, and say later what it says.
ALTER TABLE messages ADD COLUMN placeholder INTEGER NOT NULL DEFAULT 0;

-- How far an outbound message had come when it was handed over; without a value it was sent, like any other.
ALTER TABLE messages ADD COLUMN status TEXT;
