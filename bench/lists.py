"""A list of inboxes beside a static file of the same bytes: while nothing changes, and while messages arrive."""

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import seed
from calm import calmly
from deliveries import Deliveries
from nginx import check_answers, save_answers, serve_nginx
from postgres import postgres
from servers import Server, cpu_of
from stores import copy_to_postgres, inboxd, serve
from table import Table, say
from wrk import MARGIN, Load, arrivals, load

TABLES = ["accounts", "api_keys", "api_key_hashes", "inboxes", "channel_addresses"]


def options_for(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--accounts", type=int, default=10_000, help="accounts that are listed (default 10000)")
    parser.add_argument("--inboxes", type=int, default=15, help="inboxes of each of them (default 15)")
    parser.add_argument("--arrivals", type=int, default=1000, help="messages a second that arrive meanwhile (default 1000)")


@dataclass
class Rounds:
    """What was measured of one store, round by round. CPU is the server's and that of the store's own processes."""

    ours: list[Load] = field(default_factory=list)
    theirs: list[Load] = field(default_factory=list)
    beside: list[Load] = field(default_factory=list)
    # Microseconds of CPU in each second of arrivals, while nginx has the lists.
    alone: list[float] = field(default_factory=list)
    # How many came in a second, without and beside lists.
    arrived_alone: list[float] = field(default_factory=list)
    arrived: list[float] = field(default_factory=list)
    at_rest: float = 0
    after: float = 0


def measure(options: argparse.Namespace, root: Path, table: Table) -> None:
    database, keys = new_database(options, root)
    deliveries = Deliveries(database)
    with postgres(root) as server:
        theirs = server.database("lists")
        inboxd(options.inboxd, theirs, "migrate")
        say("copying them to PostgreSQL")
        copy_to_postgres(database, server, "lists", TABLES)
        for name, url, pids in (("SQLite", f"sqlite:{database}", list), ("PostgreSQL", theirs, server.pids)):
            report(name, measure_store(name, url, pids, keys, deliveries, options, root), options, table)


def new_database(options: argparse.Namespace, root: Path) -> tuple[Path, list[str]]:
    """The embedded database with the accounts, and the key of each."""
    say(f"making {options.accounts} accounts with {options.inboxes} inboxes each")
    database = root / "lists.db"
    inboxd(options.inboxd, f"sqlite:{database}", "migrate")
    return database, seed.fill(database, options.accounts, options.inboxes)


def write_requests(keys: list[str], file: Path) -> Path:
    file.write_text("".join(f"/inboxes {key}\n" for key in keys))
    return file


def measure_store(
    name: str,
    url: str,
    pids: Callable[[], list[int]],
    keys: list[str],
    deliveries: Deliveries,
    options: argparse.Namespace,
    root: Path,
) -> Rounds:
    rounds = Rounds()
    wanted = write_requests(keys, root / "lists.txt")
    with serve(options.inboxd, url, root) as inbox_server:
        inbox_server.first_answer("/healthz", {})
        # What a start leaves to be done (a first tick, freed pages) is done.
        time.sleep(2)
        rounds.at_rest = inbox_server.memory()
        say(f"{name}: saving every list as a file for nginx")
        files = save_answers(inbox_server, keys, root)
        with serve_nginx(root) as nginx:
            nginx.first_answer("/0.json", {})
            check_answers(nginx, inbox_server, keys)
            # Caches, and the notes that each key was used today.
            load(inbox_server, wanted, options.connections, 3)
            load(nginx, files, options.connections, 3)
            for number in range(options.rounds):
                say(f"{name}: round {number + 1} of {options.rounds}")
                one_round(rounds, inbox_server, pids, nginx, wanted, files, deliveries, options, root)
            rounds.after = inbox_server.memory()
    return rounds


def one_round(rounds, server: Server, pids, nginx: Server, wanted: Path, files: Path, deliveries, options, root) -> None:
    def lists() -> Load:
        return load(server, wanted, options.connections, options.seconds, pids)

    def bar() -> Load:
        return load(nginx, files, options.connections, options.seconds)

    def arrivals_alone() -> tuple[float, list[float]]:
        with arriving(server, deliveries, options, root) as came:
            # The machine is as busy as with lists: on an idle one each message would wait for a disk of its own.
            before, since = server.cpu() + cpu_of(pids()), time.monotonic()
            bar()
            taken = server.cpu() + cpu_of(pids()) - before
            cost = taken / (time.monotonic() - since) * 1e6
        return cost, came

    def lists_beside() -> tuple[Load, list[float]]:
        with arriving(server, deliveries, options, root) as came:
            one = lists()
        return one, came

    rounds.ours.append(calmly(lists))
    rounds.theirs.append(calmly(bar))
    cost, came = calmly(arrivals_alone)
    rounds.alone.append(cost)
    rounds.arrived_alone += came
    one, came = calmly(lists_beside)
    rounds.beside.append(one)
    rounds.arrived += came


def arriving(server: Server, deliveries: Deliveries, options: argparse.Namespace, root: Path):
    count = options.arrivals * (options.seconds + 3 * MARGIN)
    return arrivals(server, deliveries.write(root / "arrivals.txt", count), options.arrivals, options.seconds)


def report(name: str, rounds: Rounds, options: argparse.Namespace, table: Table) -> None:
    store = "" if name == "SQLite" else ", PostgreSQL's included"
    theirs = [one.micros for one in rounds.theirs]
    table.add(f"{name}: CPU of a list{store}, µs", [one.micros for one in rounds.ours], ".1f")
    if store:
        table.add(f"{name}: CPU of a list, inboxd's alone, µs", [one.own_micros for one in rounds.ours], ".1f")
    table.add(f"{name}: nginx, CPU of the same bytes, µs", theirs, ".1f")
    ratios = [one.micros / bar for one, bar in zip(rounds.ours, theirs, strict=True)]
    table.add(f"{name}: list / nginx", ratios, ".2f", "at most 1.1")
    table.add(f"{name}: lists a second", [one.rate for one in rounds.ours], ",.0f")
    table.add(f"{name}: nginx, files a second", [one.rate for one in rounds.theirs], ",.0f")

    asked, came = options.arrivals, statistics.median(rounds.arrived)
    full = came >= 0.95 * asked
    table.add(f"{name}: messages a second that arrived", rounds.arrived, ",.0f", f"at least {0.95 * asked:.0f}")
    beside = (
        f"while {asked:,} messages a second arrive" if full else f"while only {came:,.0f} of {asked:,} messages a second arrive"
    )
    costs = [alone / rate for alone, rate in zip(rounds.alone, rounds.arrived_alone, strict=True)]
    table.add(f"{name}: CPU of an arriving message, without lists{store}, µs", costs, ".0f")
    whole = [one.micros for one in rounds.beside]
    table.add(f"{name}: CPU of a list with its share of arrivals, µs", whole, ".1f")
    # What the same seconds of arrivals cost without lists is not the lists'.
    net = [one.micros - alone / one.rate for one, alone in zip(rounds.beside, rounds.alone, strict=True)]
    table.add(f"{name}: CPU of a list {beside}, µs", net, ".1f")
    ratios = [one / bar for one, bar in zip(net, theirs, strict=True)]
    table.add(f"{name}: list / nginx {beside}", ratios, ".2f", "at most 2.0", full)
    table.add(f"{name}: lists a second {beside}", [one.rate for one in rounds.beside], ",.0f")
    table.add(f"{name}: resident memory at rest, MB", [rounds.at_rest], ".1f", "under 40")
    table.add(f"{name}: resident memory after the loads, MB", [rounds.after], ".1f", "under 100")
