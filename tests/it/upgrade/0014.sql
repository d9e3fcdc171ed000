-- Rows for the tables of version 14: a contact of the first version has an external id, and another one its words.
UPDATE contacts SET external_id = 'customer-17' WHERE id = 'contact_06h1sc1s05qjv16aaacn8prj5g';
INSERT INTO external_ids (account_id, external_id, contact_id) VALUES
    ('acc_06h1sc10lpq236ultborf84ofg', 'customer-17', 'contact_06h1sc1s05qjv16aaacn8prj5g');
UPDATE contacts SET words = '77 ana' WHERE id = 'contact_06h1sc1sapot165dipblid0qq8';
INSERT INTO contact_words (account_id, word, contact_id) VALUES
    ('acc_06h1sc10lpq236ultborf84ofg', '77', 'contact_06h1sc1sapot165dipblid0qq8'),
    ('acc_06h1sc10lpq236ultborf84ofg', 'ana', 'contact_06h1sc1sapot165dipblid0qq8');
