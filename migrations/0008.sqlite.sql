-- The twin of 0008.postgres.sql.

-- What the provider tells of what a message answers, besides its id: a JSON object with text or story.
ALTER TABLE messages ADD COLUMN quoted TEXT;
