-- The twin of 0003.sqlite.sql.

-- Requests a minute, 0 for no limit; without a value the server's own limit counts.
ALTER TABLE api_keys ADD COLUMN rate_limit BIGINT;
