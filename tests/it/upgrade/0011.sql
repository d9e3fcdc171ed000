-- A row for the table that this version made.

INSERT INTO business_changes (account_id, id, business_account_id, field, value, hash, timestamp, received_at) VALUES
    ('acc_06h1sc10lpq236ultborf84ofg', 'bchg_06h1sc1scprs35rjlrvl1hfq0s', '102290129340398', 'message_template_status_update', '{"event":"APPROVED"}', '00', 1736928000, 1795802807);
