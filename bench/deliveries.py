"""Messages that arrive while lists are measured: Telegram's updates, for the inboxes of a database that seed.py filled."""

import hmac
import json
import random
import sqlite3
from pathlib import Path

from seed import START, base32
from stores import SECRET_KEY


class Deliveries:
    """Hands out updates, no two of them the same."""

    def __init__(self, database: Path) -> None:
        connection = sqlite3.connect(database)
        inboxes = connection.execute("SELECT id FROM inboxes WHERE type = 'telegram' ORDER BY id")
        self.inboxes = [(inbox, token(inbox)) for (inbox,) in inboxes]
        connection.close()
        self.chance = random.Random(20250116)
        self.number = 0

    def write(self, file: Path, count: int) -> Path:
        """So many, one a line, each for an inbox at random, for arrivals.lua."""
        with file.open("w") as lines:
            for _ in range(count):
                self.number += 1
                lines.write(" ".join([*self.chance.choice(self.inboxes), update(self.number)]) + "\n")
        return file


def token(inbox: str) -> str:
    """What Telegram sends along for this inbox, as in src/vault.rs."""
    purpose = hmac.digest(SECRET_KEY, b"inboxd tokens v1", "sha256")
    return base32(hmac.digest(purpose, inbox.encode(), "sha256")[:20])


def update(number: int) -> str:
    person = {"id": 5_000_000_000, "first_name": "Ayu"}
    message = {
        "message_id": number,
        "from": {**person, "is_bot": False},
        "chat": {**person, "type": "private"},
        "date": START + number // 1000,
        "text": f"Is the blue one still available? I saw it in your shop, number {number}.",
    }
    return json.dumps({"update_id": number, "message": message}, separators=(",", ":"))
