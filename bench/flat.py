"""Whether a list costs the same however much is stored, and how long a start takes on the largest database.

Goals are set on ratios of loads that took turns. Each is measured twice: as inboxd runs by default, and with no memory
for answers (`--cache-bytes 0`), where every list reads the store. Many accounts that all ask are measured once more
with room for all of them.
"""

import argparse
import os
import shutil
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import bulk
from calm import calmly
from postgres import Postgres, postgres
from servers import Server
from stores import inboxd, serve
from table import Table, say
from wrk import each, load

# Inboxes of each account.
EACH = 4
# The accounts that are asked for, where there are as many, and that the messages are for.
ASKED = 1000
PAGE = 50
MODES = {"": [], ", nothing kept": ["--cache-bytes", "0"]}
# Four inboxes take some 2 KB.
ROOM = ["--cache-bytes", "8000000000"]


def options_for(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--many-accounts", type=int, default=1_000_000, help="accounts of the large databases (default 1000000)")
    parser.add_argument(
        "--many-messages", type=int, default=10_000_000, help="messages of the largest database (default 10000000)"
    )
    parser.add_argument("--flat-seconds", type=int, default=3, help="length of one load here: there are many (default 3)")
    parser.add_argument("--stores", default="SQLite,PostgreSQL", help="where flat cost and start are measured (default both)")


@dataclass
class Large:
    """The databases of one store: with one account, with some, with many, and with many and messages."""

    name: str
    one: str
    some: str
    many: str
    full: str
    pids: Callable[[], list[int]]
    forget: Callable[[], None]


def measure(options: argparse.Namespace, root: Path, table: Table) -> None:
    """Flat cost, and then the starts, since the database is there."""
    measure_stores(options, root, table, ["flat", "start"] if "start" in options.only else ["flat"])


def measure_start(options: argparse.Namespace, root: Path, table: Table) -> None:
    """The starts alone."""
    if "flat" not in options.only:
        measure_stores(options, root, table, ["start"])


def measure_stores(options: argparse.Namespace, root: Path, table: Table, parts: list[str]) -> None:
    if "SQLite" in options.stores:
        folder = root / "large"
        folder.mkdir()
        measure_store(make_sqlite(options, folder, parts), options, root, table, parts)
        # Some gigabytes.
        shutil.rmtree(folder)
    if "PostgreSQL" in options.stores:
        with postgres(root) as server:
            measure_store(make_postgres(options, server, parts), options, root, table, parts)
        shutil.rmtree(root / "postgres")


def measure_store(large: Large, options: argparse.Namespace, root: Path, table: Table, parts: list[str]) -> None:
    if "flat" in parts:
        measure_accounts(large, options, root, table)
    if "start" in parts:
        before, table.part = table.part, "start"
        start(large, options, root, table)
        table.part = before


def make_sqlite(options: argparse.Namespace, folder: Path, parts: list[str]) -> Large:
    files = {name: folder / f"{name}.db" for name in ("one", "some", "many", "full")}
    for name, count in (("one", 1), ("some", ASKED), ("many", options.many_accounts)):
        if name != "many" and "flat" not in parts:
            continue
        say(f"SQLite: making a database with {count:,} accounts")
        inboxd(options.inboxd, f"sqlite:{files[name]}", "migrate")
        fill(bulk.Sqlite(files[name]), name, count, options)
    if "flat" in parts:
        shutil.copy(files["many"], files["full"])
    else:
        files["many"].rename(files["full"])
    say(f"SQLite: adding {options.many_messages:,} messages to a copy")
    fill(bulk.Sqlite(files["full"]), "full", 0, options)
    return Large("SQLite", *(f"sqlite:{file}" for file in files.values()), pids=list, forget=lambda: forget(files["full"]))


def make_postgres(options: argparse.Namespace, server: Postgres, parts: list[str]) -> Large:
    urls = {}
    for name, count in (("one", 1), ("some", ASKED), ("many", options.many_accounts)):
        urls[name] = server.database(name)
        if name != "many" and "flat" not in parts:
            continue
        say(f"PostgreSQL: making a database with {count:,} accounts")
        inboxd(options.inboxd, urls[name], "migrate")
        fill(bulk.Postgresql(server, name), name, count, options)
    say(f"PostgreSQL: adding {options.many_messages:,} messages to a copy")
    urls["full"] = server.database("full", template="many")
    fill(bulk.Postgresql(server, "full"), "full", 0, options)
    return Large("PostgreSQL", **urls, pids=server.pids, forget=lambda: None)


def fill(store: bulk.Store, name: str, count: int, options: argparse.Namespace) -> None:
    if name == "full":
        bulk.add_messages(store, min(ASKED, options.many_accounts), EACH, options.many_messages)
    else:
        bulk.add_accounts(store, count, EACH)
    store.close()


def measure_accounts(large: Large, options: argparse.Namespace, root: Path, table: Table) -> None:
    """The list of one account, of few and of many accounts, and with messages."""
    many = options.many_accounts
    first = list(range(min(ASKED, many)))
    requests = {
        "1 account": (large.one, [0]),
        f"{ASKED:,} accounts": (large.some, first),
        f"{many:,} accounts, {ASKED:,} of them ask": (large.many, bulk.chosen(ASKED, many)),
        "no messages": (large.many, first),
        f"{options.many_messages:,} messages": (large.full, first),
        # Last: it leaves nothing of the others in memory.
        f"{many:,} accounts, all of them ask": (large.many, range(many)),
    }
    lines = {
        name: write(root, name, ((f"/inboxes?limit={PAGE}", n) for n in accounts)) for name, (_, accounts) in requests.items()
    }
    some, all_ask = f"{ASKED:,} accounts", f"{many:,} accounts, all of them ask"
    bars = {name: some for name in requests if "account" in name and name != some}
    bars[f"{options.many_messages:,} messages"] = "no messages"
    urls = {name: url for name, (url, _) in requests.items()}
    for mode, flags in MODES.items():
        costs = rounds(large, options, root, urls, lines, flags)
        # In the memory that inboxd takes by default there is no room for them: what is read is beside what was kept.
        report(large, table, costs, bars, mode, no_goal=[] if mode else [all_ask])
    say(f"{large.name}: asking twice for each of {many:,} lists")
    lines = {name: lines[name] for name in (some, all_ask)}

    def ready(server: Server, file: Path) -> None:
        # Once to read them all, and once for what a list that was just read leaves to be done.
        for _ in range(2):
            each(server, file, options.connections)

    costs = rounds(large, options, root, urls, lines, ROOM, ready)
    report(large, table, costs, {all_ask: some}, ", room for all", no_goal=[])


def report(large: Large, table: Table, costs: dict[str, list[float]], bars: dict[str, str], mode: str, no_goal: list[str]) -> None:
    for name, values in costs.items():
        table.add(f"{large.name}: CPU of a list, {name}{mode}, µs", values, ".1f")
    for name, bar in bars.items():
        ratios = [one / other for one, other in zip(costs[name], costs[bar], strict=True)]
        table.add(f"{large.name}: {name} / {bar}{mode}", ratios, ".2f", "" if name in no_goal else "within 1.2")


def rounds(
    store,
    options: argparse.Namespace,
    root: Path,
    urls: dict[str, str],
    lines: dict[str, Path],
    flags: list[str],
    ready: Callable[[Server, Path], None] = lambda server, file: None,
) -> dict[str, list[float]]:
    """The CPU of a list under each of the loads, which take turns, in microseconds. `ready` comes before them.

    `store` has a name, and the processes that belong to it."""
    costs: dict[str, list[float]] = {name: [] for name in lines}
    with ExitStack() as stack:
        servers: dict[str, Server] = {}
        for url in dict.fromkeys(urls.values()):
            servers[url] = stack.enter_context(serve(options.inboxd, url, root, *flags))
            servers[url].first_answer("/healthz", {})
        for name, file in lines.items():
            ready(servers[urls[name]], file)
        for number in range(options.rounds + 1):
            say(f"{store.name}: " + (f"round {number} of {options.rounds}" if number else "warming up"))
            for name, file in lines.items():
                server = servers[urls[name]]
                seconds = options.flat_seconds if number else 1
                one = calmly(lambda: load(server, file, options.connections, seconds, store.pids))
                if number:
                    costs[name].append(one.micros)
    return costs


def start(large: Large, options: argparse.Namespace, root: Path, table: Table) -> None:
    """From the start of the process to its first list, on the largest database."""
    headers = {"Authorization": f"Bearer {bulk.key(options.many_accounts // 2)}"}
    times: dict[str, list[float]] = {"cached": [], "uncached": []}
    at_rest = []
    for number in range(options.rounds):
        say(f"{large.name}: start {number + 1} of {options.rounds}")
        for state, values in times.items():
            if state == "uncached":
                large.forget()
            with serve(options.inboxd, large.full, root) as server:
                values.append(server.first_answer("/inboxes", headers))
                time.sleep(1)
                at_rest.append(server.memory())
    table.add(f"{large.name}: start to first list, s", times["cached"], ".3f", "under 2.0")
    if large.name == "SQLite":
        table.add(f"{large.name}: start to first list, file not in the kernel's cache, s", times["uncached"], ".3f", "under 2.0")
    table.add(f"{large.name}: resident memory at rest, MB", at_rest, ".1f", "under 40")


def forget(database: Path) -> None:
    """Drops a file from the kernel's cache, so that it is read from the disk again."""
    with database.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def write(root: Path, name: str, requests) -> Path:
    """A file for random.lua."""
    file = root / f"{name}.requests".replace(" ", "-")
    with file.open("w") as lines:
        lines.writelines(f"{path} {bulk.key(account)}\n" for path, account in requests)
    return file
