//! An upgrade: a database of an earlier schema, with rows in every table, is brought up to date by starting the program,
//! and everything that it held is there and right afterwards.

use crate::support::{
    Running, Shell, Store, TempDatabase, on_both_stores, program::text, whatsapp,
};
use db::{Database, EngineKind, Migration, Missing, Sql};
use inboxd::store::MIGRATIONS;
use serde_json::{Value, json};

on_both_stores![every_earlier_schema_is_brought_up_to_date];

/// Rows for the tables that a version made, and the version. A version with a new table that stays empty needs rows, too.
const ROWS: [(i64, &str); 6] = [
    (1, include_str!("upgrade/0001.sql")),
    (10, include_str!("upgrade/0010.sql")),
    (11, include_str!("upgrade/0011.sql")),
    (12, include_str!("upgrade/0012.sql")),
    (14, include_str!("upgrade/0014.sql")),
    (15, include_str!("upgrade/0015.sql")),
];

// What the rows of the first version are about.
const KEY: &str = "ibx_psvn2s6dce34i51tdilfrf5qbdp864js0hmvhtsjjvsjbpgf7op05q9butg";
const REVOKED_KEY: &str = "ibx_p9lsve9j949onhir11nbuiqsvmf5i8hlg7t360e64fhnk55vvli019d1jn0";
const OTHER_ACCOUNTS_KEY: &str = "ibx_75ma9g2kdpebp92rdt1lacg9lrvtnbsuvb955ifbpgi0q6gr6qe027ui2kg";
const ACCOUNT: &str = "acc_06h1sc10lpq236ultborf84ofg";
const WHATSAPP: &str = "inbox_06h1sc11cpqh9349550rpjdnf8";
const INSTAGRAM: &str = "inbox_06h1sc15q5rjlb92961spo49ds";
const LIVECHAT: &str = "inbox_06h1sc1a7lqcp0ob5lglq4cqvg";
const TELEGRAM: &str = "inbox_06h1sc1eklr99d1brq7q82p354";
const PENDING: &str = "inbox_06h1sc1j19p9re1p24s2ohidag";
const OTHER_ACCOUNTS: &str = "inbox_06h1sc1nfhprjarc84rp522evo";

async fn every_earlier_schema_is_brought_up_to_date(store: Store) {
    for at in 0..MIGRATIONS.len() {
        let place = TempDatabase::empty(store).await;
        fill(&place, &MIGRATIONS[..=at]).await;
        let shell = Shell::at(&place.url());
        let upgraded = Upgraded {
            server: shell.serve(),
        };
        upgraded.shows_what_was_there().await;
        upgraded.goes_on_from_there().await;
        upgraded.server.stop().await;
        let verified = shell.json(&["verify"]);
        assert_eq!(
            verified["ok"], true,
            "from version {}: {verified}",
            MIGRATIONS[at].version
        );
        shell.replays_what_was_set_aside();
    }
}

/// Makes a database of the last of these versions, with rows in every table. The rows of a version go through all later
/// migrations.
async fn fill(place: &TempDatabase, versions: &[Migration]) {
    let db = Database::open(&place.address(), Missing::Create).await;
    let db = db.expect("it opens");
    for (at, step) in versions.iter().enumerate() {
        let migrated = db.migrate(&versions[..=at], 0).await;
        assert_eq!(migrated.expect("migrated"), [step.version]);
        for (_, rows) in ROWS.iter().filter(|(of, _)| *of == step.version) {
            let mut session = db.write().await.expect("a session");
            let rows = match db.engine() {
                EngineKind::Sqlite => (*rows).to_owned(),
                EngineKind::Postgres => rows.replace("X'", "'\\x"),
            };
            session.batch(&leak(rows)).await.expect("rows go in");
            session.commit().await.expect("committed");
        }
    }
    let version = versions.last().map(|last| last.version);
    assert_eq!(empty_tables(&db).await, [""; 0], "at version {version:?}");
    db.close().await;
}

async fn empty_tables(db: &Database) -> Vec<String> {
    let names = Sql {
        sqlite: "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'",
        postgres: "SELECT CAST(table_name AS TEXT) FROM information_schema.tables WHERE table_schema = 'public'",
    };
    let mut session = db.read().await.expect("a session");
    let tables = session.query(&names, &[], |row| row.get::<String>(0)).await;
    let mut empty = Vec::new();
    for table in tables.expect("a good statement") {
        let any = leak(format!("SELECT 1 FROM {table} LIMIT 1"));
        let any = session.query_opt(&any, &[], |_| Ok(())).await;
        if any.expect("a good statement").is_none() {
            empty.push(table);
        }
    }
    empty
}

fn leak(text: String) -> Sql {
    Sql::same(text.leak())
}

/// A server on a database that was brought up to date.
struct Upgraded {
    server: Running,
}

impl Upgraded {
    async fn get(&self, path: &str, key: &str) -> Value {
        let answer = self.server.get(path).key(key).send().await;
        answer.assert_status(200);
        answer.json()
    }

    async fn shows_what_was_there(&self) {
        let listed = self.get("/inboxes", KEY).await;
        assert_eq!(
            listed,
            json!({"success": true, "data": [
                {"id": WHATSAPP, "name": "Customer Support", "type": "whatsapp", "status": "active",
                 "phone_number": "+62812345678", "created_at": "2026-11-27T18:06:40Z", "messages_count": 7},
                {"id": INSTAGRAM, "name": "Instagram DM", "type": "instagram", "status": "active",
                 "instagram_account_id": "17841400000000000", "created_at": "2026-11-27T18:06:41Z", "messages_count": 2},
                {"id": LIVECHAT, "name": "Website", "type": "livechat", "status": "active",
                 "created_at": "2026-11-27T18:06:42Z", "messages_count": 1},
                {"id": TELEGRAM, "name": "Bot", "type": "telegram", "status": "inactive",
                 "created_at": "2026-11-27T18:06:43Z", "messages_count": 2},
                {"id": PENDING, "name": "Not yet", "type": "whatsapp", "status": "pending",
                 "phone_number": "+62812345679", "created_at": "2026-11-27T18:06:45Z", "messages_count": 0},
            ], "pagination": {"total": 5, "limit": 50, "offset": 0}})
        );
        let others = self.get("/inboxes", OTHER_ACCOUNTS_KEY).await;
        assert_eq!(others["pagination"]["total"], 1);
        assert_eq!(others["data"][0]["id"], OTHER_ACCOUNTS);
        let revoked = self.server.get("/inboxes").key(REVOKED_KEY).send().await;
        revoked.assert_unauthorized();
        self.shows_the_conversations().await;
        self.shows_the_messages().await;
        self.knows_the_credentials().await;
    }

    async fn shows_the_conversations(&self) {
        let page = self.get("/conversations", KEY).await;
        let found: Vec<_> = rows(&page)
            .iter()
            .map(|one| {
                let contact = &one["contact"];
                assert_eq!(one["status"], "open");
                json!([
                    contact["name"],
                    contact["phone"],
                    contact["is_group"],
                    one["messages_count"],
                    one["last_message"]["content"]["text"],
                ])
            })
            .collect();
        assert_eq!(
            found,
            [
                json!(["Sari", null, false, 1, "Are you open today?"]),
                json!(["Club", null, true, 1, "hi all"]),
                json!(["Ana", null, false, 1, "hola"]),
                json!([null, null, false, 2, "hello"]),
                json!(["Budi", "+628122", false, 2, null]),
                json!(["Ayu", "+628111", false, 5, "Oops"]),
            ]
        );
        let blocked = &page["data"][2]["contact"]["blocked_at"];
        assert_eq!(blocked, "2026-11-27T18:06:47Z");
    }

    async fn shows_the_messages(&self) {
        let of = async |inbox: &str| {
            let path = format!("/messages?inbox_id={inbox}");
            rows(&self.get(&path, KEY).await).clone()
        };
        let messages = of(WHATSAPP).await;
        let texts: Vec<_> = messages.iter().map(|m| &m["content"]["text"]).collect();
        let expected = json!([
            "Is the blue one there?",
            null,
            "Where is my order?",
            null,
            "It is, in two sizes.",
            "Great!",
            "Oops"
        ]);
        assert_eq!(json!(texts), expected);
        let [first, image, _, unsupported, answer, edited, withdrawn] = &messages[..] else {
            panic!("seven messages: {messages:?}");
        };
        assert_eq!(first["sender"], json!({"name": "Ayu", "phone": "+628111"}));
        assert_eq!(first["timestamp"], "2025-01-15T08:00:00Z");
        assert_eq!(first["received_at"], "2026-11-27T18:06:47Z");
        assert_eq!(image["type"], "image");
        assert_eq!(image["content"]["media"]["id"], "1234567890");
        assert_eq!(image["content"]["caption"], "This one");
        assert_eq!(unsupported["type"], "unsupported");
        assert_eq!(unsupported["content"]["raw"]["id"], "wamid.4");
        assert_eq!(answer["direction"], "outbound");
        assert_eq!(answer["status"], "read");
        assert_eq!(answer["reply_to"], first["id"]);
        assert_eq!(answer["reactions"][0]["emoji"], "👍");
        assert_eq!(edited["edits"][0]["content"]["text"], "Gret!");
        assert_eq!(withdrawn["deleted_at"], "2025-01-15T08:01:01Z");
        for (inbox, count) in [(INSTAGRAM, 2), (LIVECHAT, 1), (TELEGRAM, 2), (PENDING, 0)] {
            assert_eq!(of(inbox).await.len(), count, "{inbox}");
        }
        let theirs = format!("/messages?inbox_id={OTHER_ACCOUNTS}");
        let theirs = self.get(&theirs, OTHER_ACCOUNTS_KEY).await;
        assert_eq!(theirs["data"][0]["content"]["text"], "A table for two?");
    }

    async fn knows_the_credentials(&self) {
        for (inbox, credentials) in [
            (WHATSAPP, json!({"app_secret": true, "access_token": true})),
            (
                INSTAGRAM,
                json!({"app_secret": true, "access_token": false}),
            ),
            (TELEGRAM, json!({"bot_token": true})),
        ] {
            let setup = self.get(&format!("/inboxes/{inbox}/setup"), KEY).await;
            assert_eq!(setup["data"]["credentials"], credentials, "{inbox}");
        }
    }

    /// What comes again is known, what is new is counted, and what came early finds its message.
    async fn goes_on_from_there(&self) {
        let deliver = async |id: &str, at: i64, body: &str| {
            let mut message = whatsapp::text("628111", id, body);
            message["timestamp"] = at.to_string().into();
            let payload = whatsapp::update("106540352242922", &[message]);
            self.server.deliver(&payload).await.assert_status(200);
        };
        deliver("wamid.1", 1_736_928_000, "Is the blue one there?").await;
        deliver("wamid.11", 1_736_928_080, "I take it.").await;
        let mut echo = whatsapp::text("62812345678", "wamid.early", "Good!");
        echo["to"] = "628111".into();
        echo["timestamp"] = "1736928090".into();
        let mut echoes = whatsapp::value("106540352242922", "message_echoes", json!([echo]));
        echoes["entry"][0]["changes"][0]["field"] = "smb_message_echoes".into();
        self.server.deliver(&echoes).await.assert_status(200);

        let path = format!("/messages?inbox_id={WHATSAPP}");
        let page = self.get(&path, KEY).await;
        let [.., new, early] = &rows(&page)[..] else {
            panic!("{page}");
        };
        assert_eq!(rows(&page).len(), 9);
        assert_eq!(new["content"]["text"], "I take it.");
        assert_eq!(new["conversation_id"], page["data"][0]["conversation_id"]);
        assert_eq!(early["status"], "sent");
        let inbox = self.get(&format!("/inboxes/{WHATSAPP}"), KEY).await;
        assert_eq!(inbox["data"]["messages_count"], 9);
    }
}

impl Shell {
    #[track_caller]
    fn replays_what_was_set_aside(&self) {
        let entries = self.json(&["hooks", "list", "--account", ACCOUNT]);
        assert_eq!(entries[0]["inbox_id"], TELEGRAM, "{entries}");
        assert_eq!(entries[0]["reason"], "an update without a chat");
        let id = text(&entries[0]["id"]);
        let replayed = self.json(&["hooks", "replay", "--account", ACCOUNT, &id]);
        assert_eq!(replayed["still_unreadable"], 1, "{replayed}");
    }
}

fn rows(page: &Value) -> &Vec<Value> {
    page["data"].as_array().expect("a list")
}
