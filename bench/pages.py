"""What a page out of a long list costs, beside one of a small account: at any offset, under any filter.

Goals are set on ratios of loads that took turns. Each is measured twice: as inboxd runs by default, and with no memory
for answers (`--cache-bytes 0`).
"""

import argparse
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import bulk
from flat import MODES, rounds, write
from postgres import postgres
from servers import get
from stores import inboxd, serve
from table import Table, say

# The account with few inboxes, and the one with many, by their numbers.
SMALL, LARGE = 0, 1
FEW = 10
PAGE = 50
CHANNELS = ["whatsapp", "instagram", "livechat", "telegram"]
STATUSES = ["active", "inactive", "pending"]
# How much more a page of the large account may cost than one of the small account, which has a fifth of the rows.
GOALS = {"SQLite": "at most 8.0", "PostgreSQL": "at most 20.0"}


@dataclass
class Measured:
    """The database of one store."""

    name: str
    url: str
    pids: Callable[[], list[int]]


def options_for(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--many-inboxes", type=int, default=100_000, help="inboxes of the large account (default 100000)")


def measure(options: argparse.Namespace, root: Path, table: Table) -> None:
    if "SQLite" in options.stores:
        file = root / "pages.db"
        url = f"sqlite:{file}"
        inboxd(options.inboxd, url, "migrate")
        fill(bulk.Sqlite(file), options)
        measure_pages(Measured("SQLite", url, list), options, root, table)
    if "PostgreSQL" in options.stores:
        with postgres(root) as server:
            url = server.database("pages")
            inboxd(options.inboxd, url, "migrate")
            fill(bulk.Postgresql(server, "pages"), options)
            measure_pages(Measured("PostgreSQL", url, server.pids), options, root, table)
        shutil.rmtree(root / "postgres")


def fill(store: bulk.Store, options: argparse.Namespace) -> None:
    say(f"making a database with an account of {options.many_inboxes:,} inboxes")
    bulk.add_account(store, SMALL, 0, FEW)
    # The inboxes' numbers go on after the small account's, at a multiple of how many there are.
    bulk.add_account(store, LARGE, options.many_inboxes, options.many_inboxes)
    store.close()


def measure_pages(store: Measured, options: argparse.Namespace, root: Path, table: Table) -> None:
    """Pages of an account with few and of one with many inboxes, at offsets and under filters at random."""
    chance = random.Random(20250118)
    totals = totals_of(store, options, root)
    kinds = {
        "any offset": lambda: {},
        "the last pages": lambda: {},
        "any type": lambda: {"type": chance.choice(CHANNELS)},
        "any status": lambda: {"status": chance.choice(STATUSES)},
        "type and status": lambda: {"type": chance.choice(CHANNELS), "status": chance.choice(STATUSES)},
    }
    small = f"{FEW} inboxes"
    lines = {small: write(root, small, page_requests(SMALL, kinds, {}, chance))}
    for name, kind in kinds.items():
        lines[name] = write(root, name, page_requests(LARGE, {name: kind}, totals, chance))
    for mode, flags in MODES.items():
        costs = rounds(store, options, root, dict.fromkeys(lines, store.url), lines, flags)
        table.add(f"{store.name}: CPU of a page, {small}{mode}, µs", costs[small], ".1f")
        for name in kinds:
            table.add(f"{store.name}: CPU of a page, {options.many_inboxes:,} inboxes, {name}{mode}, µs", costs[name], ".1f")
        for name in kinds:
            ratios = [one / other for one, other in zip(costs[name], costs[small], strict=True)]
            # Without memory every page is walked to from the beginning of the list: a choice of whoever runs it so.
            goal = "" if mode else GOALS[store.name]
            table.add(f"{store.name}: {options.many_inboxes:,} inboxes, {name} / {small}{mode}", ratios, ".2f", goal)


def page_requests(account: int, kinds: dict, totals: dict[str, int], chance: random.Random) -> list[tuple[str, int]]:
    requests = []
    for name, kind in kinds.items():
        for _ in range(20_000 // len(kinds)):
            filters = "".join(f"&{field}={value}" for field, value in kind().items())
            total = totals.get(filters, FEW)
            first = max(0, total - 20 * PAGE) if name == "the last pages" else 0
            requests.append((f"/inboxes?limit={PAGE}&offset={chance.randrange(first, max(first + 1, total))}{filters}", account))
    return requests


def totals_of(store: Measured, options: argparse.Namespace, root: Path) -> dict[str, int]:
    """How many inboxes of the large account there are under each filter."""
    totals = {}
    headers = {"Authorization": f"Bearer {bulk.key(LARGE)}"}
    with serve(options.inboxd, store.url, root) as server:
        server.first_answer("/healthz", {})
        for channel in ["", *(f"&type={name}" for name in CHANNELS)]:
            for status in ["", *(f"&status={name}" for name in STATUSES)]:
                answer = get(server.port, f"/inboxes?limit=1{channel}{status}", headers)
                totals[channel + status] = total(answer)
    if totals[""] != options.many_inboxes:
        raise RuntimeError(
            f"{options.many_inboxes} inboxes were made, and {totals['']} are listed: bulk.py lags behind the schema"
        )
    return totals


def total(answer: bytes) -> int:
    return int(answer.rpartition(b'"total":')[2].partition(b",")[0])
