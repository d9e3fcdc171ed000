-- Rows for the tables of version 10: a conversation that was joined with another one, and a join of which both are gone.
INSERT INTO aliases (account_id, id, survivor_id) VALUES
    ('acc_06h1sc10lpq236ultborf84ofg', 'conv_06h1sc1s05qjv16aaae9999999', 'conv_06h1sc1s05qjv16aaadvhb43pk');
INSERT INTO joins (account_id, contact_id, other_id, created_at) VALUES
    ('acc_06h1sc10lpq236ultborf84ofg', 'contact_06h1sc1s05qjv16aaae0000000', 'contact_06h1sc1s05qjv16aaae9999999', 1795802807);
