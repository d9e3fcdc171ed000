-- The twin of 0014.postgres.sql. Contacts that the business keeps and looks for.

-- What the business says of a contact. While provider_name is there, name is the business's, and provider_name the one that the
-- provider says ('' for none). A contact that was saved stays even if it is in no conversation.
ALTER TABLE contacts ADD COLUMN provider_name TEXT;
ALTER TABLE contacts ADD COLUMN email TEXT;
ALTER TABLE contacts ADD COLUMN external_id TEXT;
ALTER TABLE contacts ADD COLUMN note TEXT;
ALTER TABLE contacts ADD COLUMN attributes TEXT NOT NULL DEFAULT '{}';
ALTER TABLE contacts ADD COLUMN muted INTEGER NOT NULL DEFAULT 0;
ALTER TABLE contacts ADD COLUMN saved INTEGER NOT NULL DEFAULT 0;
CREATE INDEX contacts_by_phone ON contacts (account_id, phone, id) WHERE phone IS NOT NULL;

-- The event of a contact's last change.
ALTER TABLE contacts ADD COLUMN change_id TEXT;
CREATE INDEX contacts_by_change ON contacts (account_id, change_id) WHERE change_id IS NOT NULL;

-- The words by which a contact is found: sorted, with spaces between them. They are folded, which no SQL function does: a job
-- writes those of the contacts that are there.
ALTER TABLE contacts ADD COLUMN words TEXT;
CREATE INDEX contacts_without_words ON contacts (account_id, id) WHERE words IS NULL;
CREATE TABLE contact_words (
    account_id TEXT NOT NULL,
    word TEXT NOT NULL,
    contact_id TEXT NOT NULL,
    PRIMARY KEY (account_id, word, contact_id)
) STRICT, WITHOUT ROWID;

-- The business's own ids of contacts. Several lead to one contact if contacts were merged.
CREATE TABLE external_ids (
    account_id TEXT NOT NULL,
    external_id TEXT NOT NULL,
    contact_id TEXT NOT NULL,
    PRIMARY KEY (account_id, external_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX external_ids_by_contact ON external_ids (account_id, contact_id);

-- Of two contacts that a person merged, the first one stays. Of others, the older one.
ALTER TABLE joins ADD COLUMN directed INTEGER NOT NULL DEFAULT 0;

-- A message of a muted contact is told to nobody.
ALTER TABLE messages ADD COLUMN silent INTEGER NOT NULL DEFAULT 0;
