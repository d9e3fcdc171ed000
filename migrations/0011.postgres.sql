-- The twin of 0011.sqlite.sql. An update that names no address finds its inbox by the business account, or by trying the
-- secrets of inboxes that wait for a proof, and then of others.

ALTER TABLE channel_addresses ADD COLUMN business_account_id TEXT COLLATE "C";
UPDATE channel_addresses SET business_account_id =
    (SELECT CAST(i.settings AS json) ->> 'business_account_id' FROM inboxes i
     WHERE i.account_id = channel_addresses.account_id AND i.id = channel_addresses.inbox_id);
CREATE INDEX channel_addresses_by_business ON channel_addresses (channel, business_account_id, address)
    WHERE business_account_id IS NOT NULL;
CREATE INDEX inboxes_waiting ON inboxes (type, id) WHERE proved_at IS NULL AND deleted_at IS NULL;
CREATE INDEX inboxes_proved ON inboxes (type, id) WHERE proved_at IS NOT NULL AND deleted_at IS NULL;

-- A phone number is in one inbox of its account.
CREATE INDEX inboxes_by_number ON inboxes (account_id, phone_number) WHERE phone_number IS NOT NULL;

-- What happened to a business account at its provider, as it came: the latest of each account.
CREATE TABLE business_changes (
    account_id TEXT COLLATE "C" NOT NULL REFERENCES accounts (account_id),
    id TEXT COLLATE "C" NOT NULL,
    business_account_id TEXT COLLATE "C" NOT NULL,
    field TEXT COLLATE "C" NOT NULL,
    value TEXT COLLATE "C" NOT NULL,
    hash TEXT COLLATE "C" NOT NULL,
    timestamp BIGINT NOT NULL,
    received_at BIGINT NOT NULL,
    PRIMARY KEY (account_id, id),
    UNIQUE (account_id, hash)
);
