"""Large databases, made by a few statements that run in the store: accounts, their keys and inboxes, and messages.

The rows are those that lists read, on the schema that `inboxd migrate` made. What no list and no start reads is left
out: addresses, sealed credentials, and of messages all but one short text. Everything is numbered, so that one text of
SQL makes the rows and Python knows the keys: account n has the key `key(n)`.
"""

import hashlib
import random
import sqlite3
import zlib
from collections.abc import Iterator
from pathlib import Path

from postgres import Postgres
from seed import START, base32
from stores import copy_rows, run_sql, settle

# Rows of one statement: a larger one would hold all of them in memory.
STEP = 1_000_000

# In these, {id:n} is the number n with leading zeros, as long as the random part of an id.
ACCOUNTS = "INSERT INTO accounts (account_id, name, created_at) SELECT 'acc_' || {id:n}, 'Business ' || n, {start} FROM series"
KEYS = """INSERT INTO api_keys (account_id, id, name, scopes, created_at)
    SELECT 'acc_' || {id:n}, 'key_' || {id:n}, 'first key', 'read,write', {start} FROM series"""
# Inbox n of those that are spread over accounts: {each} to each of them, from account {account} on.
INBOXES = """INSERT INTO inboxes (account_id, id, name, type, phone_number, instagram_account_id, settings, proved_at,
        switched_off_at, created_at, messages_count, change_id)
    SELECT 'acc_' || {id:({account} + n / {each})}, 'inbox_' || {id:n}, 'Inbox ' || n,
        CASE n % 4 WHEN 0 THEN 'whatsapp' WHEN 1 THEN 'instagram' WHEN 2 THEN 'livechat' ELSE 'telegram' END,
        CASE n % 4 WHEN 0 THEN '+' || (628100000000 + n) END,
        CASE n % 4 WHEN 1 THEN CAST(17840000000000000 + n AS TEXT) END,
        '{{}}',
        CASE WHEN n / 4 % 16 <> 0 THEN {start} END,
        CASE WHEN n / 4 % 16 = 1 THEN {start} END,
        {start} + n % {each}, {count}, 'evt_' || {id:n}
    FROM series"""
CONTACTS = """INSERT INTO contacts (account_id, id, channel, provider_id, is_group, name, created_at)
    SELECT 'acc_' || {id:(n / {each})}, 'contact_' || {id:n}, 'telegram', CAST(n AS TEXT), 0, 'Ayu', {start} FROM series"""
CONVERSATIONS = """INSERT INTO conversations (account_id, id, inbox_id, contact_id, status, messages_count, created_at, updated_at,
        last_message_id, last_message_at)
    SELECT 'acc_' || {id:(n / {each})}, 'conv_' || {id:n}, 'inbox_' || {id:n}, 'contact_' || {id:n}, 'open', {count},
        {start}, {start}, 'msg_' || {id:((n + 1) * {count} - 1)}, {start} + {count} - 1 FROM series"""
# Message n: {count} to each of the first inboxes, which have one conversation each.
MESSAGES = """INSERT INTO messages (account_id, id, inbox_id, conversation_id, provider_id, direction, type, content, sender,
        historic, timestamp, received_at)
    SELECT 'acc_' || {id:(n / {count} / {each})}, 'msg_' || {id:n}, 'inbox_' || {id:(n / {count})},
        'conv_' || {id:(n / {count})}, CAST(n AS TEXT), 'inbound', 'text', '{{"text":"Is it there?"}}', '{{"name":"Ayu"}}',
        0, {start} + n % {count}, {start} + n % {count} FROM series"""
COUNTS = "UPDATE inboxes SET messages_count = messages_count + {count} WHERE account_id < 'acc_' || {id:({accounts})}"


def key(number: int) -> str:
    """The key of this account, with its checksum as in src/ops/keys.rs."""
    text = "ibx_" + base32(hashlib.sha256(f"account {number}".encode()).digest())
    return text + base32(zlib.crc32(text.encode()).to_bytes(4, "big"))


class Sqlite:
    """An embedded database that is being filled. A crash costs nothing but another run."""

    def __init__(self, file: Path) -> None:
        self.connection = sqlite3.connect(file, isolation_level=None)
        # 400 MB of cache, so that pages that are written again need not be read again.
        self.connection.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -400000;")

    def run(self, text: str, first: int, last: int) -> None:
        """Runs a statement for the numbers from `first` up to `last`, without it."""
        for start, end in steps(first, last):
            series = f"WITH RECURSIVE series(n) AS (SELECT {start} UNION ALL SELECT n + 1 FROM series WHERE n + 1 < {end}) "
            insert, _, select = text.partition("SELECT")
            self.connection.execute(f"{insert}{series}SELECT{select}" if select else text)

    def padded(self, number: str) -> str:
        return f"printf('%026d', {number})"

    def add_hashes(self, rows: list[tuple]) -> None:
        self.connection.execute("BEGIN")
        self.connection.executemany("INSERT INTO api_key_hashes (key_hash, account_id, key_id) VALUES (?, ?, ?)", rows)
        self.connection.execute("COMMIT")

    def close(self) -> None:
        # As inboxd left it.
        self.connection.execute("PRAGMA journal_mode = WAL")
        self.connection.close()


class Postgresql:
    """The same of a PostgreSQL database."""

    def __init__(self, server: Postgres, database: str) -> None:
        self.server = server
        self.database = database

    def run(self, text: str, first: int, last: int) -> None:
        for start, end in steps(first, last):
            series = f"WITH series(n) AS (SELECT generate_series({start}::bigint, {end - 1}::bigint)) "
            insert, _, select = text.partition("SELECT")
            # Without asking for each row whether what it refers to is there.
            statement = f"{insert}{series}SELECT{select}" if select else text
            run_sql(self.server, self.database, f"SET session_replication_role = replica; {statement};")

    def padded(self, number: str) -> str:
        return f"lpad(({number})::text, 26, '0')"

    def add_hashes(self, rows: list[tuple]) -> None:
        copy_rows(self.server, self.database, "api_key_hashes", ["key_hash", "account_id", "key_id"], rows)

    def close(self) -> None:
        settle(self.server, self.database)


Store = Sqlite | Postgresql


def add_accounts(store: Store, count: int, each: int) -> None:
    """Accounts from 0 on, with so many inboxes each."""
    add_owners(store, 0, count)
    store.run(fill(store, INBOXES, account=0, each=each, count="n % 20000"), 0, count * each)


def add_account(store: Store, number: int, first_inbox: int, inboxes: int) -> None:
    """One account with inboxes of its own: they are numbered from `first_inbox`, which must be a multiple of theirs."""
    add_owners(store, number, number + 1)
    account = number - first_inbox // inboxes
    text = fill(store, INBOXES, account=account, each=inboxes, count="n % 20000")
    store.run(text, first_inbox, first_inbox + inboxes)


def add_messages(store: Store, accounts: int, each: int, messages: int) -> None:
    """Messages for the inboxes of the first accounts, spread evenly."""
    inboxes = accounts * each
    count = max(1, messages // inboxes)
    for text in (CONTACTS, CONVERSATIONS):
        store.run(fill(store, text, each=each, count=count), 0, inboxes)
    store.run(fill(store, MESSAGES, each=each, count=count), 0, count * inboxes)
    store.run(fill(store, COUNTS, accounts=accounts, count=count), 0, 1)


def add_owners(store: Store, first: int, last: int) -> None:
    for text in (ACCOUNTS, KEYS):
        store.run(fill(store, text), first, last)
    # In the order of the index.
    rows = sorted((hashlib.sha256(key(n).encode()).digest(), f"acc_{n:026}", f"key_{n:026}") for n in range(first, last))
    store.add_hashes(rows)


def fill(store: Store, text: str, **values: int | str) -> str:
    class Id:
        """Writes what follows the colon as an id."""

        def __format__(self, number: str) -> str:
            return store.padded(number.format(**values))

    # What is inside an id's braces is filled in first.
    for name, value in values.items():
        text = text.replace("{" + name + "}", str(value))
    return text.format(id=Id(), start=START)


def steps(first: int, last: int) -> Iterator[tuple[int, int]]:
    for start in range(first, last, STEP):
        yield start, min(start + STEP, last)


def chosen(count: int, of: int) -> list[int]:
    """So many accounts, the same ones in every run, out of so many."""
    return random.Random(20250117).sample(range(of), min(count, of))
