"""Fills a database that `inboxd migrate` made: accounts, one API key each, and inboxes of all four types.

The rows are what inboxd itself would have written, but a million of them take half a minute, not an hour. The one
thing left out are the channels' sealed credentials, which no listing and no start reads.
"""

import base64
import hashlib
import random
import sqlite3
import zlib
from pathlib import Path

# The morning of 15 January 2025. Everything is created a second after what was created before it.
START = 1_736_928_000
CHANNELS = ["whatsapp", "instagram", "livechat", "telegram"]


def fill(database: Path, accounts: int, inboxes: int) -> list[str]:
    """Adds `accounts` accounts with `inboxes` inboxes each. Returns the API keys, one of each account."""
    # The same rows in every run, so that runs can be compared.
    chance = random.Random(20250115)
    keys = []
    connection = sqlite3.connect(database)
    # A crash here costs nothing but another run.
    connection.execute("PRAGMA synchronous = OFF")
    with connection:
        for number in range(accounts):
            now = START + number
            account = new_id("acc_", now, chance)
            insert(connection, "accounts", account_id=account, name=f"Business {number}", created_at=now)
            key = new_key(chance)
            keys.append(key)
            insert_key(connection, account, key, now, chance)
            for index in range(inboxes):
                insert_inbox(connection, account, number * inboxes + index, now + index, chance)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    return keys


def insert_key(connection: sqlite3.Connection, account: str, key: str, now: int, chance: random.Random) -> None:
    key_id = new_id("key_", now, chance)
    insert(connection, "api_keys", account_id=account, id=key_id, name="first key", scopes="read,write,admin", created_at=now)
    key_hash = hashlib.sha256(key.encode()).digest()
    insert(connection, "api_key_hashes", key_hash=key_hash, account_id=account, key_id=key_id)


def insert_inbox(connection: sqlite3.Connection, account: str, number: int, now: int, chance: random.Random) -> None:
    channel = CHANNELS[number % 4]
    row = {"settings": "{}", "proved_at": now}
    address = None
    if channel == "whatsapp":
        address = str(100_000_000_000_000 + number)
        row["phone_number"] = f"+628{100_000_000 + number}"
        row["settings"] = f'{{"phone_number_id":"{address}"}}'
    elif channel == "instagram":
        address = f"1784{number:013}"
        row["instagram_account_id"] = address
    elif channel == "telegram":
        address = str(1_000_000_000 + number)
        row["settings"] = f'{{"bot_id":"{address}"}}'
    # Of 16, one waits for its proof and one is switched off.
    if chance.randrange(16) == 0:
        row["proved_at"] = None
    elif chance.randrange(16) == 0:
        row["switched_off_at"] = now
    inbox = new_id("inbox_", now, chance)
    insert(
        connection,
        "inboxes",
        account_id=account,
        id=inbox,
        name=f"{channel.capitalize()} inbox {number}",
        type=channel,
        created_at=now,
        messages_count=chance.randrange(20_000),
        change_id=new_id("evt_", now, chance),
        **row,
    )
    # A live chat's address is its own id.
    insert(connection, "channel_addresses", channel=channel, address=address or inbox, account_id=account, inbox_id=inbox)


def insert(connection: sqlite3.Connection, table: str, **row: str | int | bytes | None) -> None:
    marks = ", ".join("?" * len(row))
    connection.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})", tuple(row.values()))


def new_id(prefix: str, now: int, chance: random.Random) -> str:
    """A UUID of version 7 in base32, as in src/id.rs."""
    bits = (now * 1000) << 80 | 7 << 76 | chance.getrandbits(12) << 64 | 2 << 62 | chance.getrandbits(62)
    return prefix + base32(bits.to_bytes(16, "big"))


def new_key(chance: random.Random) -> str:
    """32 random bytes and a checksum, as in src/ops/keys.rs."""
    key = "ibx_" + base32(chance.randbytes(32))
    return key + base32(zlib.crc32(key.encode()).to_bytes(4, "big"))


def base32(data: bytes) -> str:
    return base64.b32hexencode(data).decode().lower().rstrip("=")
