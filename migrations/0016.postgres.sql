-- The twin of 0016.sqlite.sql. The attempts to send a message have numbers that only grow, also when it is tried again by hand.

-- How many attempts it had when it left the outbox.
ALTER TABLE messages ADD COLUMN attempts BIGINT;
-- How many of them were begun before it was tried again.
ALTER TABLE outbox ADD COLUMN earlier_attempts BIGINT NOT NULL DEFAULT 0;
