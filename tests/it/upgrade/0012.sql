-- Rows for the tables that version 12 made. They are about messages of the first version, so that all that is looked at stays
-- as it is from whatever version the upgrade begins.

INSERT INTO provider_ids (account_id, inbox_id, provider_id, message_key) VALUES
    ('acc_06h1sc10lpq236ultborf84ofg', 'inbox_06h1sc11cpqh9349550rpjdnf8', 'wamid.5.again', 'wamid.5');

INSERT INTO outbox (account_id, message_id, inbox_id, conversation_id, state, position, expires_at, attempts) VALUES
    ('acc_06h1sc10lpq236ultborf84ofg', 'msg_06h1sc1s71q3d40vqfcr2dk8h4', 'inbox_06h1sc15q5rjlb92961spo49ds', 'conv_06h1sc1s71q3d40vqfbsag1878', 'unknown', 'msg_06h1sc1s71q3d40vqfcr2dk8h4', 0, 1);

INSERT INTO echoes (account_id, inbox_id, provider_id, conversation_id, message, received_at) VALUES
    ('acc_06h1sc10lpq236ultborf84ofg', 'inbox_06h1sc11cpqh9349550rpjdnf8', 'wamid.aside', 'conv_06h1sc1s05qjv16aaadvhb43pk', '{}', 253402300799);

INSERT INTO idempotency_keys (account_id, key_id, idempotency_key, request, answer, created_at) VALUES
    ('acc_06h1sc10lpq236ultborf84ofg', 'key_06h1sc10u5rqp863b2bnct17u0', 'order-17', X'00', X'00', 1795802807);
