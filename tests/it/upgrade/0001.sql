-- What a business had in a database of the first schema, written by the program of that time: rows in every table.
-- The secrets are sealed with the tests' secret key. A released schema does not change, and neither does this.
-- Bytes are written as SQLite does; the test turns them into PostgreSQL's form.

INSERT INTO instance (name, value) VALUES
    ('secret_key_check', X'84b56f74f889339cdb38297860eb5e2d8b5aca87236180799f4199315ac6904e7a90ad6066038dea57bf46fa7e6c');

INSERT INTO accounts (account_id, name, created_at) VALUES
    ('acc_06h1sc10lpq236ultborf84ofg', 'Toko Biru', 1795802800),
    ('acc_06h1sc10qdpr9do0jgouc46ajg', 'Warung Merah', 1795802800);

INSERT INTO api_keys (account_id, id, name, scopes, created_at, expires_at, revoked_at, last_used_at) VALUES
    ('acc_06h1sc10lpq236ultborf84ofg', 'key_06h1sc10u5rqp863b2bnct17u0', 'Back office', 'read,write', 1795802800, NULL, NULL, 1795802807),
    ('acc_06h1sc10lpq236ultborf84ofg', 'key_06h1sc1125oe94h1j4lfaumiuo', 'Old shop', 'read', 1795802800, NULL, 1795802800, NULL),
    ('acc_06h1sc10qdpr9do0jgouc46ajg', 'key_06h1sc117dp4t1renh4ooucd94', 'Reports', 'read,write', 1795802800, NULL, NULL, NULL);

INSERT INTO api_key_hashes (key_hash, account_id, key_id) VALUES
    (X'13864b3bbc71fffb16cf5f19dcda99164a22bdd25e99a602656e5054b611817f', 'acc_06h1sc10lpq236ultborf84ofg', 'key_06h1sc10u5rqp863b2bnct17u0'),
    (X'9a7f86c172198b2e473eeb695f589f3f8b7b2c534b843f048403c6314a2a01db', 'acc_06h1sc10lpq236ultborf84ofg', 'key_06h1sc1125oe94h1j4lfaumiuo'),
    (X'fc33205f588b8f639210565d6f18866cc24208c4c75d3480216a7745c8479784', 'acc_06h1sc10qdpr9do0jgouc46ajg', 'key_06h1sc117dp4t1renh4ooucd94');

INSERT INTO inboxes (account_id, id, name, type, phone_number, instagram_account_id, settings, proved_at, switched_off_at, created_at, messages_count, change_id) VALUES
    ('acc_06h1sc10lpq236ultborf84ofg', 'inbox_06h1sc11cpqh9349550rpjdnf8', 'Customer Support', 'whatsapp', '+62812345678', NULL, '{"phone_number_id":"106540352242922","business_account_id":"102290129340398"}', 1795802807, NULL, 1795802800, 7, 'evt_06h1sc1s05qjv16aaaccvp4jl4'),
    ('acc_06h1sc10lpq236ultborf84ofg', 'inbox_06h1sc15q5rjlb92961spo49ds', 'Instagram DM', 'instagram', NULL, '17841400000000000', '{}', 1795802807, NULL, 1795802801, 2, 'evt_06h1sc1s6tq1jfvjvrmqpbtl7k'),
    ('acc_06h1sc10lpq236ultborf84ofg', 'inbox_06h1sc1a7lqcp0ob5lglq4cqvg', 'Website', 'livechat', NULL, NULL, '{"allowed_origins":["https://shop.example.com"]}', 1795802802, NULL, 1795802802, 1, 'evt_06h1sc1a7lqcp0ob5lhagbo0n0'),
    ('acc_06h1sc10lpq236ultborf84ofg', 'inbox_06h1sc1eklr99d1brq7q82p354', 'Bot', 'telegram', NULL, NULL, '{"bot_id":"110201543"}', 1795802807, 1795802807, 1795802803, 2, 'evt_06h1sc1sg1q9r5fv3s8irnerqk'),
    ('acc_06h1sc10lpq236ultborf84ofg', 'inbox_06h1sc1j19p9re1p24s2ohidag', 'Not yet', 'whatsapp', '+62812345679', NULL, '{"phone_number_id":"106540352242923"}', NULL, NULL, 1795802805, 0, 'evt_06h1sc1j19p9re1p24ssrj97ho'),
    ('acc_06h1sc10qdpr9do0jgouc46ajg', 'inbox_06h1sc1nfhprjarc84rp522evo', 'Kitchen', 'livechat', NULL, NULL, '{}', 1795802806, NULL, 1795802806, 1, 'evt_06h1sc1nfhprjarc84sfevbf5o');

INSERT INTO inbox_secrets (account_id, inbox_id, name, sealed) VALUES
    ('acc_06h1sc10lpq236ultborf84ofg', 'inbox_06h1sc11cpqh9349550rpjdnf8', 'access_token', X'ed3b2463673d8b35514d2f2062dd0acb2652af3e581e4e84383932815e96804cfd2ad329302d54fdad3c5cb2e7d2d05d002d2f7605dc01'),
    ('acc_06h1sc10lpq236ultborf84ofg', 'inbox_06h1sc11cpqh9349550rpjdnf8', 'app_secret', X'a0e0bb7f6c90a319fd050468bd718fd84c1db0e5f9b0f3aa93707fde2d404d04a46da74e7e34fa253b97ea3b83791270a17688863c'),
    ('acc_06h1sc10lpq236ultborf84ofg', 'inbox_06h1sc15q5rjlb92961spo49ds', 'app_secret', X'60e32d9ddadb24a0e84e43d3d8ba1a15a81a8776f8d88a3c3839cba737a899a8ae9a7667388b0ea803160a37f9e2040ac75fdd16d9'),
    ('acc_06h1sc10lpq236ultborf84ofg', 'inbox_06h1sc1eklr99d1brq7q82p354', 'bot_token', X'b81ae93cc9344b650e2126d8c23e7070fe32a8df5f37b7b30c80804b7508e015b12f02a73be8ca989f07cbfe94e5d3c28714b265ae07ebd7ddf013989ad575a22cd80df93c4fdc7e827969cdc0afcaffed46eceef242'),
    ('acc_06h1sc10lpq236ultborf84ofg', 'inbox_06h1sc1j19p9re1p24s2ohidag', 'app_secret', X'bf2c6a04f5d38b530161f31a168bf05cc80aba785d45aaefe7d9f4dc831263c9c4486c7f09e942a5058d6c1a1b283d455b1e946ebbfd9f4304e2');

INSERT INTO channel_addresses (channel, address, account_id, inbox_id) VALUES
    ('instagram', '17841400000000000', 'acc_06h1sc10lpq236ultborf84ofg', 'inbox_06h1sc15q5rjlb92961spo49ds'),
    ('livechat', 'inbox_06h1sc1a7lqcp0ob5lglq4cqvg', 'acc_06h1sc10lpq236ultborf84ofg', 'inbox_06h1sc1a7lqcp0ob5lglq4cqvg'),
    ('livechat', 'inbox_06h1sc1nfhprjarc84rp522evo', 'acc_06h1sc10qdpr9do0jgouc46ajg', 'inbox_06h1sc1nfhprjarc84rp522evo'),
    ('telegram', '110201543', 'acc_06h1sc10lpq236ultborf84ofg', 'inbox_06h1sc1eklr99d1brq7q82p354'),
    ('whatsapp', '106540352242922', 'acc_06h1sc10lpq236ultborf84ofg', 'inbox_06h1sc11cpqh9349550rpjdnf8'),
    ('whatsapp', '106540352242923', 'acc_06h1sc10lpq236ultborf84ofg', 'inbox_06h1sc1j19p9re1p24s2ohidag');

INSERT INTO contacts (account_id, id, channel, provider_id, is_group, name, phone, username, blocked_at, created_at) VALUES
    ('acc_06h1sc10lpq236ultborf84ofg', 'contact_06h1sc1s05qjv16aaacn8prj5g', 'whatsapp', '628111', 0, 'Ayu', '+628111', NULL, NULL, 1795802807),
    ('acc_06h1sc10lpq236ultborf84ofg', 'contact_06h1sc1s05qjv16aaad2vml6nk', 'whatsapp', 'ID.900', 0, 'Budi', '+628122', 'budi', NULL, 1795802807),
    ('acc_06h1sc10lpq236ultborf84ofg', 'contact_06h1sc1s71q3d40vqfb6212uhc', 'instagram', '900', 0, NULL, NULL, NULL, NULL, 1795802807),
    ('acc_06h1sc10lpq236ultborf84ofg', 'contact_06h1sc1sapot165dipblid0qq8', 'telegram', '77', 0, 'Ana', NULL, NULL, 1795802807, 1795802807),
    ('acc_06h1sc10lpq236ultborf84ofg', 'contact_06h1sc1sc5rv396dcr78q95em8', 'telegram', '-1001234567890', 1, 'Club', NULL, NULL, NULL, 1795802807),
    ('acc_06h1sc10lpq236ultborf84ofg', 'contact_06h1sc1sd1p35b78a58esenelc', 'livechat', 'visitor_06h1sc1sctobp21hgr10ct4ie0', 0, 'Sari', NULL, NULL, NULL, 1795802807),
    ('acc_06h1sc10qdpr9do0jgouc46ajg', 'contact_06h1sc1sddqf71v3is512g18dc', 'livechat', 'visitor_06h1sc1sd9pkvfgob2dbons264', 0, NULL, NULL, NULL, NULL, 1795802807);

INSERT INTO contact_identities (account_id, channel, identity, contact_id) VALUES
    ('acc_06h1sc10lpq236ultborf84ofg', 'whatsapp', '628111', 'contact_06h1sc1s05qjv16aaacn8prj5g'),
    ('acc_06h1sc10lpq236ultborf84ofg', 'whatsapp', '628122', 'contact_06h1sc1s05qjv16aaad2vml6nk'),
    ('acc_06h1sc10lpq236ultborf84ofg', 'whatsapp', 'ID.900', 'contact_06h1sc1s05qjv16aaad2vml6nk'),
    ('acc_06h1sc10lpq236ultborf84ofg', 'instagram', '900', 'contact_06h1sc1s71q3d40vqfb6212uhc'),
    ('acc_06h1sc10lpq236ultborf84ofg', 'telegram', '77', 'contact_06h1sc1sapot165dipblid0qq8'),
    ('acc_06h1sc10lpq236ultborf84ofg', 'telegram', '-1001234567890', 'contact_06h1sc1sc5rv396dcr78q95em8'),
    ('acc_06h1sc10lpq236ultborf84ofg', 'livechat', 'visitor_06h1sc1sctobp21hgr10ct4ie0', 'contact_06h1sc1sd1p35b78a58esenelc'),
    ('acc_06h1sc10qdpr9do0jgouc46ajg', 'livechat', 'visitor_06h1sc1sd9pkvfgob2dbons264', 'contact_06h1sc1sddqf71v3is512g18dc');

INSERT INTO conversations (account_id, id, inbox_id, contact_id, status, messages_count, created_at, updated_at) VALUES
    ('acc_06h1sc10lpq236ultborf84ofg', 'conv_06h1sc1s05qjv16aaadvhb43pk', 'inbox_06h1sc11cpqh9349550rpjdnf8', 'contact_06h1sc1s05qjv16aaacn8prj5g', 'open', 5, 1795802807, 1795802807),
    ('acc_06h1sc10lpq236ultborf84ofg', 'conv_06h1sc1s05qjv16aaae8uout34', 'inbox_06h1sc11cpqh9349550rpjdnf8', 'contact_06h1sc1s05qjv16aaad2vml6nk', 'open', 2, 1795802807, 1795802807),
    ('acc_06h1sc10lpq236ultborf84ofg', 'conv_06h1sc1s71q3d40vqfbsag1878', 'inbox_06h1sc15q5rjlb92961spo49ds', 'contact_06h1sc1s71q3d40vqfb6212uhc', 'open', 2, 1795802807, 1795802807),
    ('acc_06h1sc10lpq236ultborf84ofg', 'conv_06h1sc1satqdr54m1e9iqsi1oc', 'inbox_06h1sc1eklr99d1brq7q82p354', 'contact_06h1sc1sapot165dipblid0qq8', 'open', 1, 1795802807, 1795802807),
    ('acc_06h1sc10lpq236ultborf84ofg', 'conv_06h1sc1sc5rv396dcr7ncv98q8', 'inbox_06h1sc1eklr99d1brq7q82p354', 'contact_06h1sc1sc5rv396dcr78q95em8', 'open', 1, 1795802807, 1795802807),
    ('acc_06h1sc10lpq236ultborf84ofg', 'conv_06h1sc1sd1p35b78a58sg42eco', 'inbox_06h1sc1a7lqcp0ob5lglq4cqvg', 'contact_06h1sc1sd1p35b78a58esenelc', 'open', 1, 1795802807, 1795802807),
    ('acc_06h1sc10qdpr9do0jgouc46ajg', 'conv_06h1sc1sdhp7f9351msihmlgl8', 'inbox_06h1sc1nfhprjarc84rp522evo', 'contact_06h1sc1sddqf71v3is512g18dc', 'open', 1, 1795802807, 1795802807);

INSERT INTO messages (account_id, id, inbox_id, conversation_id, provider_id, direction, type, content, sender, reply_to, historic, timestamp, received_at) VALUES
    ('acc_06h1sc10lpq236ultborf84ofg', 'msg_06h1sc1s05qjv16aaaeg81cfd0', 'inbox_06h1sc11cpqh9349550rpjdnf8', 'conv_06h1sc1s05qjv16aaadvhb43pk', 'wamid.1', 'inbound', 'text', '{"text":"Is the blue one there?"}', '{"name":"Ayu","phone":"+628111"}', NULL, 0, 1736928000, 1795802807),
    ('acc_06h1sc10lpq236ultborf84ofg', 'msg_06h1sc1s05qjv16aaaffts99d4', 'inbox_06h1sc11cpqh9349550rpjdnf8', 'conv_06h1sc1s05qjv16aaadvhb43pk', 'wamid.2', 'inbound', 'image', '{"media":{"id":"1234567890","mime_type":"image/jpeg","sha256":"abc"},"caption":"This one"}', '{"name":"Ayu","phone":"+628111"}', NULL, 0, 1736928005, 1795802807),
    ('acc_06h1sc10lpq236ultborf84ofg', 'msg_06h1sc1s05qjv16aaafu9it2vk', 'inbox_06h1sc11cpqh9349550rpjdnf8', 'conv_06h1sc1s05qjv16aaae8uout34', 'wamid.3', 'inbound', 'text', '{"text":"Where is my order?"}', '{"name":"Budi","phone":"+628122","username":"budi"}', NULL, 0, 1736928007, 1795802807),
    ('acc_06h1sc10lpq236ultborf84ofg', 'msg_06h1sc1s05qjv16aaagdmnteqk', 'inbox_06h1sc11cpqh9349550rpjdnf8', 'conv_06h1sc1s05qjv16aaae8uout34', 'wamid.4', 'inbound', 'unsupported', '{"raw":{"from":"628122","from_user_id":"ID.900","id":"wamid.4","timestamp":"1736928008","type":"a_kind_of_tomorrow","a_kind_of_tomorrow":{"x":1}}}', '{"name":"Budi","phone":"+628122","username":"budi"}', NULL, 0, 1736928008, 1795802807),
    ('acc_06h1sc10lpq236ultborf84ofg', 'msg_06h1sc1s2lr2346u1dai25uqh0', 'inbox_06h1sc11cpqh9349550rpjdnf8', 'conv_06h1sc1s05qjv16aaadvhb43pk', 'wamid.5', 'outbound', 'text', '{"text":"It is, in two sizes."}', '{"phone":"+62812345678"}', 'wamid.1', 0, 1736928020, 1795802807),
    ('acc_06h1sc10lpq236ultborf84ofg', 'msg_06h1sc1s4tpjf95m6r24qnookg', 'inbox_06h1sc11cpqh9349550rpjdnf8', 'conv_06h1sc1s05qjv16aaadvhb43pk', 'wamid.7', 'inbound', 'text', '{"text":"Gret!"}', '{"name":"Ayu","phone":"+628111"}', NULL, 0, 1736928050, 1795802807),
    ('acc_06h1sc10lpq236ultborf84ofg', 'msg_06h1sc1s4tpjf95m6r2spleud8', 'inbox_06h1sc11cpqh9349550rpjdnf8', 'conv_06h1sc1s05qjv16aaadvhb43pk', 'wamid.8', 'inbound', 'text', '{"text":"Oops"}', '{"name":"Ayu","phone":"+628111"}', NULL, 0, 1736928055, 1795802807),
    ('acc_06h1sc10lpq236ultborf84ofg', 'msg_06h1sc1s71q3d40vqfc1sgvoio', 'inbox_06h1sc15q5rjlb92961spo49ds', 'conv_06h1sc1s71q3d40vqfbsag1878', 'm1', 'inbound', 'text', '{"text":"hi"}', '{}', NULL, 0, 1736928100, 1795802807),
    ('acc_06h1sc10lpq236ultborf84ofg', 'msg_06h1sc1s71q3d40vqfcr2dk8h4', 'inbox_06h1sc15q5rjlb92961spo49ds', 'conv_06h1sc1s71q3d40vqfbsag1878', 'm2', 'outbound', 'text', '{"text":"hello"}', '{}', NULL, 0, 1736928101, 1795802807),
    ('acc_06h1sc10lpq236ultborf84ofg', 'msg_06h1sc1satqdr54m1eab628mdk', 'inbox_06h1sc1eklr99d1brq7q82p354', 'conv_06h1sc1satqdr54m1e9iqsi1oc', '77:1', 'inbound', 'text', '{"text":"hola"}', '{"name":"Ana","username":"ana"}', NULL, 0, 1736928200, 1795802807),
    ('acc_06h1sc10lpq236ultborf84ofg', 'msg_06h1sc1sc5rv396dcr81ppn7ek', 'inbox_06h1sc1eklr99d1brq7q82p354', 'conv_06h1sc1sc5rv396dcr7ncv98q8', '-1001234567890:2', 'inbound', 'text', '{"text":"hi all"}', '{"name":"Dewi"}', NULL, 0, 1736928201, 1795802807),
    ('acc_06h1sc10lpq236ultborf84ofg', 'msg_06h1sc1sd5rsh02sfipptdpmj0', 'inbox_06h1sc1a7lqcp0ob5lglq4cqvg', 'conv_06h1sc1sd1p35b78a58sg42eco', 'c1 visitor_06h1sc1sctobp21hgr10ct4ie0', 'inbound', 'text', '{"text":"Are you open today?"}', '{"name":"Sari"}', NULL, 0, 1795802807, 1795802807),
    ('acc_06h1sc10qdpr9do0jgouc46ajg', 'msg_06h1sc1sdhp7f9351mt4m2tucc', 'inbox_06h1sc1nfhprjarc84rp522evo', 'conv_06h1sc1sdhp7f9351msihmlgl8', 'c1 visitor_06h1sc1sd9pkvfgob2dbons264', 'inbound', 'text', '{"text":"A table for two?"}', '{}', NULL, 0, 1795802807, 1795802807);

INSERT INTO message_changes (account_id, inbox_id, provider_id, kind, key, id, value, timestamp, received_at) VALUES
    ('acc_06h1sc10lpq236ultborf84ofg', 'inbox_06h1sc11cpqh9349550rpjdnf8', 'wamid.5', 'reaction', '628111', 'evt_06h1sc1s4hovp92502noa3n3nc', '👍', 1736928040, 1795802807),
    ('acc_06h1sc10lpq236ultborf84ofg', 'inbox_06h1sc11cpqh9349550rpjdnf8', 'wamid.5', 'status', 'delivered', 'evt_06h1sc1s31r9rdqh039neoeobo', NULL, 1736928021, 1795802807),
    ('acc_06h1sc10lpq236ultborf84ofg', 'inbox_06h1sc11cpqh9349550rpjdnf8', 'wamid.5', 'status', 'read', 'evt_06h1sc1s31r9rdqh03a1h7ck1c', NULL, 1736928030, 1795802807),
    ('acc_06h1sc10lpq236ultborf84ofg', 'inbox_06h1sc11cpqh9349550rpjdnf8', 'wamid.7', 'edit', '66c6c684bc0e1402fc4b79f2f53063d2', 'evt_06h1sc1s55rideeu1qsnoi4i1c', '{"text":"Great!"}', 1736928060, 1795802807),
    ('acc_06h1sc10lpq236ultborf84ofg', 'inbox_06h1sc11cpqh9349550rpjdnf8', 'wamid.8', 'revoke', '', 'evt_06h1sc1s55rideeu1qt7mo69i0', NULL, 1736928061, 1795802807),
    ('acc_06h1sc10lpq236ultborf84ofg', 'inbox_06h1sc11cpqh9349550rpjdnf8', 'wamid.early', 'status', 'sent', 'evt_06h1sc1s65pjhdimfsmgkkvfu8', NULL, 1736928070, 1795802807),
    ('acc_06h1sc10lpq236ultborf84ofg', 'inbox_06h1sc15q5rjlb92961spo49ds', 'm2', 'status', 'read', 'evt_06h1sc1s71q3d40vqfddrle38s', NULL, 1736928102, 1795802807);

INSERT INTO quarantine (account_id, id, inbox_id, channel, reason, headers, body, body_hash, received_at) VALUES
    ('acc_06h1sc10lpq236ultborf84ofg', 'quar_06h1sc1scprs35rjlrvl1hfq0s', 'inbox_06h1sc1eklr99d1brq7q82p354', 'telegram', 'an update without a chat', '{"content-length":"47","host":"inbox.example.com","user-agent":"-","content-type":"application/json","connection":"close"}', X'7b227570646174655f6964223a20342c20226d657373616765223a207b2274657874223a20226e6f626f6479227d7d', X'e4d0bf889e71b0daf385e1e2f07a9029ac264f4c53fa51b92d24ff1e54b6c7b8', 1795802807);
