-- Rows for the table that version 16 made. The session ended long after now, so that it is not forgotten yet.

INSERT INTO ended_visitor_sessions (account_id, inbox_id, session, user_id, ended_at) VALUES
    ('acc_06h1sc10lpq236ultborf84ofg', 'inbox_06h1sc1a7lqcp0ob5lglq4cqvg', 'visitor_06h1sc1s71q3d40vqfcr2dk8h4', 'customer-17', 253402300799);
