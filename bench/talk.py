"""Conversations for a database that seed.py filled: rows as inboxd itself would have written them."""

import json
import random
import sqlite3
from pathlib import Path

from seed import START, insert, new_id

STATUSES = ["sent", "delivered", "read"]


def fill(database: Path, conversations: int, messages: int) -> list[str]:
    """Adds conversations with so many messages each to the first account, spread over its inboxes. Of four messages one is the
    business's own, with its three statuses, and one answers the message before. Returns the conversations' ids."""
    # The same rows in every run, so that runs can be compared.
    chance = random.Random(20250119)
    connection = sqlite3.connect(database)
    # A crash here costs nothing but another run.
    connection.execute("PRAGMA synchronous = OFF")
    with connection:
        account = connection.execute("SELECT account_id FROM accounts ORDER BY account_id LIMIT 1").fetchone()[0]
        inboxes = connection.execute("SELECT id, type FROM inboxes WHERE account_id = ? ORDER BY id", [account]).fetchall()
        people = [Person(connection, account, *inboxes[n % len(inboxes)], n, messages, chance) for n in range(conversations)]
        # As they come: one from here, one from there.
        for number in range(messages):
            for person in people:
                person.write(connection, number, chance)
        for person in people:
            person.settle(connection)
        connection.execute(
            "UPDATE inboxes SET messages_count = (SELECT COUNT(*) FROM messages m WHERE m.inbox_id = inboxes.id) WHERE account_id = ?",
            [account],
        )
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    return [person.conversation for person in people]


class Person:
    """A customer, with one conversation."""

    def __init__(self, connection, account: str, inbox: str, channel: str, number: int, messages: int, chance) -> None:
        self.account, self.inbox, self.number = account, inbox, number
        self.contact, self.conversation = (new_id(prefix, START + number, chance) for prefix in ("contact_", "conv_"))
        self.phone = f"628{111_000_000 + number}"
        self.before = self.last = None
        self.at = 0
        name = f"Ayu Lestari {number}"
        self.sender = json.dumps({"name": name, "phone": f"+{self.phone}"}, separators=(",", ":"))
        insert(connection, "contacts", account_id=account, id=self.contact, channel=channel, provider_id=self.phone, is_group=0,
               name=name, phone=f"+{self.phone}", created_at=START,
               identities=json.dumps([{"channel": channel, "kind": "phone", "value": self.phone}], separators=(",", ":")))  # fmt: skip
        insert(connection, "identities", account_id=account, channel=channel, kind="phone", value=self.phone, scope="", contact_id=self.contact)
        insert(connection, "conversations", account_id=account, id=self.conversation, inbox_id=inbox, contact_id=self.contact,
               status="open", messages_count=messages, created_at=START, updated_at=START)  # fmt: skip

    def write(self, connection: sqlite3.Connection, number: int, chance: random.Random) -> None:
        """A message, the next in order."""
        now = START + 1000 + 60 * number
        own = number % 4 == 2
        message, provider_id = new_id("msg_", now, chance), f"wamid.{chance.getrandbits(160):040X}"
        text = f"Is the blue one still available? I saw it in your shop, number {number} of {self.number}."
        insert(
            connection,
            "messages",
            account_id=self.account,
            id=message,
            inbox_id=self.inbox,
            conversation_id=self.conversation,
            provider_id=provider_id,
            direction="outbound" if own else "inbound",
            type="text",
            content=json.dumps({"text": text}, separators=(",", ":")),
            sender="{}" if own else self.sender,
            reply_to=self.before if number % 4 == 3 else None,
            historic=0,
            timestamp=now,
            received_at=now + 1,
            has_changes=int(own),
        )
        for late, status in enumerate(STATUSES if own else []):
            insert(connection, "message_changes", account_id=self.account, inbox_id=self.inbox, provider_id=provider_id,
                   kind="status", key=status, id=new_id("evt_", now + late, chance), timestamp=now + late,
                   received_at=now + late)  # fmt: skip
        self.before, self.last, self.at = provider_id, message, now

    def settle(self, connection: sqlite3.Connection) -> None:
        """What its conversation knows of its messages."""
        connection.execute(
            "UPDATE conversations SET last_message_id = ?, last_message_at = ?, updated_at = ? WHERE account_id = ? AND id = ?",
            [self.last, self.at, self.at + 1, self.account, self.conversation],
        )
