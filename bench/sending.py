"""Sending: how soon and how much, to a provider that takes 50 ms to answer; what it costs those who deliver meanwhile; and what
a long queue costs that only waits."""

import argparse
import json
import shutil
import sqlite3
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import ingest
from calm import calmly
from ingest import Numbers, deliver_command, result_of
from postgres import Postgres, postgres
from servers import Server, cpu_of_threads, free_port
from stores import run_sql, settle
from table import Table, say

INBOXES, CONVERSATIONS = 20, 500
# Milliseconds until the provider answers.
DELAY = 50
# Messages a second while nothing else happens, and for how many seconds.
CALM, CALM_FOR = 20, 15
# Messages a second of one inbox at most: the highest that can be set.
LIFTED = 1000
# Conversations of a queue that waits: of each the first message is looked at.
WAITING = 100
LEAST_SENT = {"SQLite": 1000, "PostgreSQL": 500}


def options_for(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--sent", type=int, default=20_000, help="messages that are sent in one load (default 20000)")
    parser.add_argument("--waiting", type=int, default=1_000_000, help="messages of the long queue (default 1000000)")


def measure(options: argparse.Namespace, root: Path, table: Table) -> None:
    measure_store("SQLite", options, root, table, None)
    with postgres(root) as server:
        measure_store("PostgreSQL", options, root, table, server)


def measure_store(name: str, options: argparse.Namespace, root: Path, table: Table, store: Postgres | None) -> None:
    with Provider(options, root) as provider:
        say(f"{name}: making {INBOXES} inboxes and {CONVERSATIONS} conversations")
        business = Business(options, root, provider, url_of("sending", root, store), INBOXES)
        with business.serve():
            business.open(CONVERSATIONS)
            provider.wait_for(CONVERSATIONS)
            measure_speed(name, options, table, business, store)
        ingest.verify(options.inboxd, business.url)
        measure_waiting(name, options, root, table, provider, store)


def url_of(database: str, root: Path, store: Postgres | None) -> str:
    return store.database(database) if store else f"sqlite:{root / f'{database}.db'}"


class Provider:
    """A provider that counts what it takes."""

    def __init__(self, options: argparse.Namespace, root: Path) -> None:
        port = free_port()
        command = [str(options.load), "provide", "--port", str(port), "--delay", str(DELAY)]
        self.server = Server(command, port, root / "provider.log")
        self.url = f"http://127.0.0.1:{port}"

    def __enter__(self) -> "Provider":
        self.server.first_answer("/counted", {})
        return self

    def __exit__(self, *_: object) -> None:
        self.server.__exit__(None, None, None)

    def ask(self, path: str, body: bytes | None = None) -> dict:
        with urllib.request.urlopen(self.url + path, body, timeout=60) as answer:
            return json.load(answer)

    def refuse(self) -> None:
        """Says from now on that the token is dead: what is accepted then waits."""
        self.ask("/refuse", b"{}")

    def take(self) -> None:
        self.ask("/take", b"{}")

    def wait_for(self, count: int) -> float:
        """Waits until so many messages came. Returns the seconds from the first to the last. One that came twice ends the run."""
        deadline = time.monotonic() + 60 + count / 20
        while (counted := self.ask("/counted"))["taken"] < count:
            if time.monotonic() > deadline:
                raise RuntimeError(f"only {counted['taken']} of {count} messages came")
            time.sleep(0.2)
        if counted["twice"] or counted["taken"] != count:
            raise RuntimeError(f"{count} messages were to come: {counted}")
        return counted["seconds"]


class Business:
    """An account with WhatsApp inboxes that send, and the server that it is on."""

    def __init__(self, options: argparse.Namespace, root: Path, provider: Provider, url: str, inboxes: int) -> None:
        self.options, self.root, self.provider, self.url = options, root, provider, url
        run = lambda *arguments: ingest.inboxd(options.inboxd, url, *arguments)  # noqa: E731
        run("migrate")
        run("account", "create", "--name", "Toko Biru")
        self.key = run("key", "create", "--name", "bench", "--scope", "read,write,send")["key"]
        self.numbers = [str(106_540_352_242_900 + number) for number in range(inboxes)]
        create = ["inbox", "create", "--type", "whatsapp", "--name", "Support", "--app-secret", ingest.SECRET, "--access-token", "EAAG"]
        self.inboxes = [
            run(*create, "--phone-number", f"+6281200{number[-4:]}", "--phone-number-id", number)["id"] for number in self.numbers
        ]
        self.conversations: list[str] = []
        self.server: Server | None = None

    def serve(self) -> "Business":
        port = free_port()
        command = [str(self.options.inboxd), "serve", "--listen", f"127.0.0.1:{port}", "--database-url", self.url]
        command += ["--graph-api-url", self.provider.url]
        self.server = Server(command, port, self.root / "inboxd.log", ingest.environment())
        self.server.first_answer("/healthz", {})
        return self

    def __enter__(self) -> "Business":
        return self

    def __exit__(self, *_: object) -> None:
        self.server.__exit__(None, None, None)

    def open(self, count: int) -> None:
        """Opens conversations by a first message to each person."""
        self.set_pace(LIFTED)
        first = [
            {"inbox_id": self.inboxes[n % len(self.inboxes)], "to": f"+62813{n:08}", "type": "text", "content": {"text": "Hello"}}
            for n in range(count)
        ]
        said = self.send(first, count, each=True)
        self.conversations = [conversation for _, conversation, _ in said["each"]]

    def send(self, bodies: list[dict] | None, count: int, rate: int = 0, each: bool = False) -> dict:
        """Has messages accepted, as fast as they are or at a rate; by default one conversation after the other."""
        answer = {"type": "text", "content": {"text": "Yes, the blue one is still available. Shall I keep it for you?"}}
        bodies = bodies or [{"conversation_id": id, **answer} for id in self.conversations]
        file = self.root / "bodies"
        file.write_text("".join(json.dumps(body) + "\n" for body in bodies))
        command = [str(self.options.load), "send", "--port", str(self.server.port), "--key", self.key, "--bodies", str(file)]
        command += ["--count", str(count), "--connections", "16"]
        command += ["--rate", str(rate)] if rate else []
        command += ["--each"] if each else []
        return result_of(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))

    def set_pace(self, pace: int, **more: object) -> None:
        for inbox in self.inboxes:
            body = json.dumps({"pace": pace, **more}).encode()
            request = urllib.request.Request(f"http://127.0.0.1:{self.server.port}/inboxes/{inbox}", body, method="PATCH")
            request.add_header("Authorization", f"Bearer {self.key}")
            request.add_header("Content-Type", "application/json")
            urllib.request.urlopen(request, timeout=60).close()

    def fill(self, count: int) -> None:
        """Has so many messages wait, since the provider takes none."""
        self.provider.refuse()
        self.send(None, count)

    def empty(self, pace: int) -> None:
        """Has what waits be sent."""
        self.provider.take()
        self.set_pace(pace, channel={"access_token": "EAAH"})


@dataclass
class Rounds:
    """What was measured, round by round."""

    p50: list[float] = field(default_factory=list)
    p99: list[float] = field(default_factory=list)
    accepted: list[float] = field(default_factory=list)
    sent: list[float] = field(default_factory=list)
    alone: list[float] = field(default_factory=list)
    beside: list[float] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)


def measure_speed(name: str, options: argparse.Namespace, table: Table, business: Business, store: Postgres | None) -> None:
    rounds, numbers = Rounds(), Numbers()
    for number in range(options.rounds + 1):
        say(f"{name}: " + (f"round {number} of {options.rounds}" if number else "warming up"))
        waits = calmly(lambda: soon(business))
        accepted, sent = calmly(lambda: many(options, business, rounds.memory))
        # The last of them has its answer, and that is stored.
        time.sleep(2)
        alone = calmly(lambda: updates(options, business, numbers))
        beside = calmly(lambda: updates_beside(options, business, numbers, sent / 2, rounds.memory))
        if number:
            rounds.p50.append(waits[len(waits) // 2])
            rounds.p99.append(waits[len(waits) * 99 // 100])
            for values, value in ((rounds.accepted, accepted), (rounds.sent, sent), (rounds.alone, alone), (rounds.beside, beside)):
                values.append(value)
    table.add(f"{name}: from the 201 to the provider, idle, p50, ms", rounds.p50, ".1f", "at most 10")
    table.add(f"{name}: from the 201 to the provider, idle, p99, ms", rounds.p99, ".1f", "at most 50")
    table.add(f"{name}: messages accepted a second, while nothing is sent", rounds.accepted, ",.0f")
    table.add(f"{name}: messages sent a second", rounds.sent, ",.0f", f"at least {LEAST_SENT[name]}")
    table.add(f"{name}: updates a second, nothing is sent", rounds.alone, ",.0f")
    table.add(f"{name}: updates a second, sending at half of that", rounds.beside, ",.0f")
    ratios = [beside / alone for beside, alone in zip(rounds.beside, rounds.alone, strict=True)]
    table.add(f"{name}: updates a second, sending at half / without", ratios, ".2f", "at least 0.7")
    table.add(f"{name}: resident memory while sending, MB", rounds.memory, ".1f", "under 100")


def soon(business: Business) -> list[float]:
    """How long after its 201 each message was at the provider, in milliseconds, shortest first, while little is sent."""
    business.provider.take()
    count = CALM * CALM_FOR
    said = business.send(None, count, rate=CALM, each=True)
    business.provider.wait_for(count)
    arrived = business.provider.ask("/arrivals")
    # It may be there before the client has read its 201.
    return sorted(max(0, arrived[id] - answered) / 1000 for id, _, answered in said["each"])


def many(options: argparse.Namespace, business: Business, memory: list[float]) -> tuple[float, float]:
    """How many messages a second are accepted while nothing is sent, and then how many are sent."""
    business.provider.refuse()
    accepted = business.send(None, options.sent)
    with sampled(business.server, memory):
        business.empty(LIFTED)
        seconds = business.provider.wait_for(options.sent)
    return options.sent / accepted["seconds"], (options.sent - 1) / seconds


def updates(options: argparse.Namespace, business: Business, numbers: Numbers) -> float:
    # So few that not all is sent before they are there.
    count = options.messages // 4
    command = deliver_command(options, business.server, business.numbers, numbers, count)
    load = result_of(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
    return count / load["seconds"]


def updates_beside(options, business: Business, numbers: Numbers, rate: float, memory: list[float]) -> float:
    """Updates a second while so many messages a second are sent all the time."""
    pace = max(1, round(rate / len(business.inboxes)))
    business.fill(options.sent)
    with sampled(business.server, memory):
        business.empty(pace)
        time.sleep(1)
        before, begun = business.provider.ask("/counted")["taken"], time.monotonic()
        taken = updates(options, business, numbers)
        after, ended = business.provider.ask("/counted")["taken"], time.monotonic()
    if after == options.sent:
        raise RuntimeError("all was sent before all updates came: use a larger --sent, or a smaller --messages")
    meanwhile, wanted = (after - before) / (ended - begun), pace * len(business.inboxes)
    if meanwhile < 0.95 * wanted:
        say(f"only {meanwhile:,.0f} of {wanted:,} messages a second were sent meanwhile")
    business.set_pace(LIFTED)
    business.provider.wait_for(options.sent)
    return taken


class sampled:  # noqa: N801
    """Notes a server's memory twice a second while something happens."""

    def __init__(self, server: Server, memory: list[float]) -> None:
        self.server, self.memory, self.over = server, memory, threading.Event()
        self.thread = threading.Thread(target=self.watch)

    def watch(self) -> None:
        while not self.over.wait(0.5):
            self.memory.append(self.server.memory())

    def __enter__(self) -> None:
        self.thread.start()

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.thread.join()


def measure_waiting(name, options, root: Path, table: Table, provider: Provider, store: Postgres | None) -> None:
    say(f"{name}: making a queue of {options.waiting:,} messages")
    short = Business(options, root, provider, url_of("short", root, store), 1)
    provider.refuse()
    with short.serve():
        short.open(WAITING)
        # All of them have met the dead token by then.
        time.sleep(3)
    if store:
        long = store.database("long", template="short")
        run_sql(store, "long", grow(options.waiting, "generate_series(1, {n}) AS series (n)", "lpad({}::text, 25, '0')"))
        for database in ("short", "long"):
            settle(store, database)
    else:
        long = f"sqlite:{root / 'long.db'}"
        shutil.copy(root / "short.db", root / "long.db")
        connection = sqlite3.connect(root / "long.db")
        connection.executescript("PRAGMA synchronous = OFF;" + grow(options.waiting, SERIES, "printf('%025d', {})"))
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.close()
    ingest.verify(options.inboxd, long)
    costs: dict[str, list[float]] = {short.url: [], long: []}
    for number in range(options.rounds):
        say(f"{name}: idle, {number + 1} of {options.rounds}")
        for url, values in costs.items():
            short.url = url
            values.append(calmly(lambda: idle(short, options, store.pids if store else list)))
    few, many_ = costs.values()
    table.add(f"{name}: CPU of a second, {WAITING} messages wait, µs", few, ",.0f")
    table.add(f"{name}: CPU of a second, {options.waiting:,} messages wait, µs", many_, ",.0f")
    ratios = [two / one for one, two in zip(few, many_, strict=True)]
    table.add(f"{name}: CPU of a second, {options.waiting:,} wait / {WAITING}", ratios, ".2f", "at most 1.5")


def idle(business: Business, options: argparse.Namespace, pids: Callable[[], list[int]]) -> float:
    """Microseconds of CPU of a second of a server that has nothing to do but to look."""
    with business.serve():
        time.sleep(5)
        before = cpu_of_threads([*business.server.pids(), *pids()])
        time.sleep(2 * options.seconds)
        after = cpu_of_threads([*business.server.pids(), *pids()])
    # A thread that ended meanwhile had done nothing for a while.
    taken = sum(spent - before.get(thread, 0) for thread, spent in after.items())
    return taken / (2 * options.seconds) * 1e6


SERIES = "(WITH RECURSIVE series (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM series WHERE n < {n}) SELECT n FROM series)"


def grow(waiting: int, series: str, digits: str) -> str:
    """Adds messages behind those that wait, until so many do. Their ids come after all others."""
    each = waiting // WAITING - 1
    series = series.format(n=each)
    number = digits.format(f"(first.place * {each} + n)")
    first = "(SELECT o.*, ROW_NUMBER() OVER (ORDER BY message_id) AS place FROM outbox o) first"
    columns = "account_id, inbox_id, conversation_id, direction, type, content, sender, historic, timestamp, received_at, has_changes, status, sent_by, way"
    return f"""
        BEGIN;
        CREATE TEMPORARY TABLE more AS SELECT first.account_id AS account_id, first.message_id AS first_id,
                first.conversation_id AS conversation_id, 'msg_v' || {number} AS id
            FROM {first} CROSS JOIN {series};
        INSERT INTO messages (id, provider_id, {columns})
            SELECT more.id, 'out:' || more.id, {", ".join("m." + column for column in columns.split(", "))}
            FROM more JOIN messages m ON m.account_id = more.account_id AND m.id = more.first_id;
        INSERT INTO outbox (account_id, message_id, inbox_id, conversation_id, state, position, expires_at)
            SELECT o.account_id, more.id, o.inbox_id, o.conversation_id, 'queued', more.id, o.expires_at
            FROM more JOIN outbox o ON o.account_id = more.account_id AND o.message_id = more.first_id;
        UPDATE conversations SET messages_count = messages_count + {each},
            last_message_id = (SELECT MAX(id) FROM more WHERE more.conversation_id = conversations.id);
        UPDATE inboxes SET messages_count = messages_count + {each * WAITING};
        COMMIT;
    """
