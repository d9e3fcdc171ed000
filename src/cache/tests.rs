//! Tests of what the cache keeps and drops, without a server.

use super::*;
use crate::{
    clock::Clock,
    domain::{Channel, Scope},
    id::{InboxId, KeyId},
    principal::{ActingKey, Actor, Scopes},
    store::inboxes::Filter,
};
use db::{Address, Missing, Sql};
use std::sync::atomic::{AtomicI64, AtomicU64};
use tempfile::TempDir;

const PAGE: Page = Page {
    filter: Filter {
        channel: None,
        status: None,
    },
    limit: 50,
    offset: 0,
};
const ADDRESS: &str = "1001";

/// A cache with a key, a page and a destination for each of two accounts.
struct Full {
    cache: Cache,
    db: Database,
    accounts: [AccountId; 2],
    _folder: TempDir,
}

impl Full {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("inboxd.db");
        let db = Database::open(&Address::Sqlite(path), Missing::Create).await;
        let db = db.expect("a database");
        write(&db, "CREATE TABLE t (x INTEGER)").await;
        let clock = Clock::manual(1_700_000_000);
        let full = Full {
            cache: Cache::new(&db, 1 << 20),
            db,
            accounts: [(); 2].map(|()| AccountId::new(&clock)),
            _folder: folder,
        };
        full.fill();
        assert_eq!(full.has(0), [true; 3]);
        assert_eq!(full.has(1), [true; 3]);
        full
    }

    fn hash(&self, number: usize) -> KeyHash {
        [number as u8; 32]
    }

    fn address(&self, number: usize) -> HookAddress {
        HookAddress::Provider(Channel::Whatsapp, format!("{ADDRESS}{number}"))
    }

    fn fill(&self) {
        for number in 0..2 {
            let fill = self.begin(number);
            self.end(number, fill);
        }
    }

    fn begin(&self, number: usize) -> (FillToken, PageFill) {
        let freshness = self.cache.freshness();
        let account = self.cache.account(&self.accounts[number]);
        let token = self.cache.fill_token(freshness).expect("it is fresh");
        (token, self.cache.begin_page(freshness, account, PAGE))
    }

    fn end(&self, number: usize, (token, fill): (FillToken, PageFill)) {
        let account = self.accounts[number].clone();
        let principal = Principal {
            account: account.clone(),
            scopes: Scopes::of(&[Scope::Read]),
            actor: Actor::Key(ActingKey {
                id: KeyId::from_text("key_1"),
                name: "a key".into(),
                hash: self.hash(number),
                expires_at: None,
                rate_limit: None,
                use_noted_at: AtomicI64::new(0),
                last_origin: AtomicU64::new(0),
            }),
        };
        self.cache.fill_key(token, &Arc::new(principal));
        let rendered = Rendered::new(&[b"a page"], None);
        self.cache.fill_page(fill, &Arc::new(rendered));
        let destination = Destination {
            account,
            inbox: InboxId::from_text("inbox_1"),
            proved: true,
            app_secret: None,
        };
        let address = self.address(number);
        self.cache
            .fill_destination(token, address, &Arc::new(destination));
    }

    /// Whether the key, the page and the destination of an account are cached.
    fn has(&self, number: usize) -> [bool; 3] {
        let (cache, freshness) = (&self.cache, self.cache.freshness());
        let account = cache.account(&self.accounts[number]);
        [
            cache.key(freshness, &self.hash(number)).is_some(),
            cache.page(freshness, &account, PAGE).is_some(),
            cache
                .destination(freshness, &self.address(number))
                .is_some(),
        ]
    }

    fn change(&self, extent: Extent) -> Invalidation {
        Invalidation {
            all: false,
            accounts: [(self.accounts[0].clone(), extent)].into(),
        }
    }
}

async fn write(db: &Database, text: &'static str) {
    let mut session = db.write().await.expect("a session");
    session.batch(&Sql::same(text)).await.expect("it is sound");
    session.commit().await.expect("a commit");
}

#[tokio::test]
async fn a_change_forgets_its_own_account_only() {
    let full = Full::new().await;
    full.cache.invalidate(&full.change(Extent::Counts));
    assert_eq!(full.has(0), [true, false, true], "its pages only");
    assert_eq!(full.has(1), [true; 3]);
    full.fill();
    full.cache.invalidate(&full.change(Extent::All));
    assert_eq!(full.has(0), [false; 3]);
    assert_eq!(full.has(1), [true; 3]);
    full.fill();
    assert_eq!(full.has(0), [true; 3]);
}

#[tokio::test]
async fn what_is_being_committed_is_not_used_and_then_forgotten() {
    let full = Full::new().await;
    let session = full.db.write().await.expect("a session");
    let began = session.began();
    let counts = full.cache.guard(began, full.change(Extent::Counts));
    assert_eq!(full.has(0), [true, false, true]);
    assert_eq!(full.has(1), [true; 3]);
    drop(counts);
    let all = full.cache.guard(began, full.change(Extent::All));
    assert_eq!(full.has(0), [false; 3]);
    let early = full.begin(0);
    drop(all);
    assert_eq!(full.has(0), [false; 3]);
    full.end(0, early);
    assert_eq!(full.has(0), [false; 3], "it may have been read before");
    let late = full.begin(0);
    full.end(0, late);
    assert_eq!(full.has(0), [true; 3]);
}

/// The account of a key or an address is not known before it was read.
#[tokio::test]
async fn what_was_read_before_a_change_is_not_cached_after_it() {
    let full = Full::new().await;
    let (known, unknown) = (full.begin(0), full.begin(1));
    full.cache.invalidate(&full.change(Extent::All));
    full.end(0, known);
    full.end(1, unknown);
    assert_eq!(full.has(0), [false; 3]);
    assert_eq!(full.has(1), [true; 3], "it is not concerned");

    // Nothing refers to this account yet.
    let mut full = full;
    full.accounts[0] = AccountId::from_text("acc_new");
    let token = full.cache.fill_token(full.cache.freshness());
    full.cache.invalidate(&full.change(Extent::All));
    let page = full.begin(0).1;
    full.end(0, (token.expect("it is fresh"), page));
    assert_eq!(full.has(0), [false, true, false]);
}

#[tokio::test]
async fn a_commit_of_another_process_forgets_everything() {
    let full = Full::new().await;
    write(&full.db, "INSERT INTO t VALUES (1)").await;
    for number in 0..2 {
        assert_eq!(full.has(number), [false; 3]);
    }
    let early = full.begin(0);
    write(&full.db, "INSERT INTO t VALUES (2)").await;
    full.end(0, early);
    assert_eq!(full.has(0), [false; 3]);
    full.fill();
    assert_eq!(full.has(0), [true; 3]);
}

#[tokio::test]
async fn room_is_bounded() {
    const ROOM: u64 = 64 * 1024;
    let mut full = Full::new().await;
    full.cache = Cache::new(&full.db, ROOM);
    for number in 0..500 {
        full.accounts[0] = AccountId::from_text(format!("acc_{number}"));
        let fill = full.begin(0);
        full.end(0, fill);
        assert_eq!(full.has(0), [true; 3]);
        let figures = full.cache.figures();
        assert!(figures.bytes <= ROOM, "{figures:?}");
    }
    full.cache = Cache::new(&full.db, 0);
    assert_eq!(full.cache.freshness(), Freshness::Unknown);
    assert!(full.cache.fill_token(Freshness::Unknown).is_none());
}
