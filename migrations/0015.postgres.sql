-- The twin of 0015.sqlite.sql. Visitors' sessions that have ended.

-- A visitor's token is signed and not stored; this is what no longer opens anything, until it would have expired anyway. One
-- that ended because its visitor logged in has the website's id for that user.
CREATE TABLE ended_visitor_sessions (
    account_id TEXT COLLATE "C" NOT NULL,
    inbox_id TEXT COLLATE "C" NOT NULL,
    session TEXT COLLATE "C" NOT NULL,
    user_id TEXT COLLATE "C",
    ended_at BIGINT NOT NULL,
    PRIMARY KEY (account_id, inbox_id, session),
    FOREIGN KEY (account_id, inbox_id) REFERENCES inboxes (account_id, id)
);
CREATE INDEX ended_visitor_sessions_by_time ON ended_visitor_sessions (ended_at);
