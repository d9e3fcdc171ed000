"""Pages of messages and of conversations: beside a static file of the same bytes, beside pgbench that runs the same
statements, and while messages arrive."""

import argparse
import json
import re
import resource
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import lists
import seed
import talk
from calm import calmly
from deliveries import Deliveries
from nginx import serve_nginx
from postgres import Postgres, postgres
from servers import Server, cpu_of, get
from stores import copy_to_postgres, inboxd, run_sql, serve
from table import Table, say
from wrk import MARGIN, Load, arrivals, load

TABLES = [*lists.TABLES, "contacts", "identities", "conversations", "messages", "message_changes"]
PAGE = 50
# Requests a second for each kind of page while messages arrive, and for how many seconds.
RATE, PROBED = 100, 15
# What a statement of a page reads. There are others now and then, about the key for one.
READ = ("FROM messages m", "FROM conversations v", "message_changes")
# As many as inboxd has connections.
CLIENTS = 16
# The settings of inboxd's connections: crates/db/src/postgres.rs.
SETTINGS = "-c enable_hashjoin=off -c enable_mergejoin=off -c enable_seqscan=off -c jit=off"


def options_for(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--conversations", type=int, default=200, help="conversations that are read (default 200)")
    parser.add_argument("--messages-each", type=int, default=100, help="messages of each of them (default 100)")


@dataclass
class Rounds:
    """What was measured of one kind of page, round by round."""

    ours: list[Load] = field(default_factory=list)
    theirs: list[Load] = field(default_factory=list)
    # Microseconds of CPU of PostgreSQL and pgbench, for the statements of one page.
    bench: list[float] = field(default_factory=list)
    # p99 in milliseconds, without and with messages that arrive.
    alone: list[float] = field(default_factory=list)
    beside: list[float] = field(default_factory=list)


@dataclass
class Kind:
    """A kind of page: its name, and the paths that are asked for."""

    name: str
    paths: list[str]
    rounds: Rounds = field(default_factory=Rounds)


def measure(options: argparse.Namespace, root: Path, table: Table) -> None:
    database, key, conversations = new_database(options, root)
    arriving = Deliveries(database)
    with postgres(root) as server:
        theirs = server.database("reading")
        inboxd(options.inboxd, theirs, "migrate")
        say("copying them to PostgreSQL")
        copy_to_postgres(database, server, "reading", TABLES)
        for name, url, store in (("SQLite", f"sqlite:{database}", None), ("PostgreSQL", theirs, server)):
            measure_store(name, url, store, key, conversations, arriving, options, root, table)
            inboxd(options.inboxd, url, "verify")


def new_database(options: argparse.Namespace, root: Path) -> tuple[Path, str, list[str]]:
    """The embedded database, the key of its account, and its conversations."""
    say(f"making {options.conversations} conversations of {options.messages_each} messages")
    database = root / "reading.db"
    inboxd(options.inboxd, f"sqlite:{database}", "migrate")
    [key] = seed.fill(database, 1, options.inboxes)
    return database, key, talk.fill(database, options.conversations, options.messages_each)


def measure_store(
    name: str,
    url: str,
    store: Postgres | None,
    key: str,
    conversations: list[str],
    arriving: Deliveries,
    options: argparse.Namespace,
    root: Path,
    table: Table,
) -> None:
    pids = store.pids if store else list
    kinds = [Kind("messages", [f"/messages?conversation_id={id}" for id in conversations])]
    with serve(options.inboxd, url, root) as server:
        server.first_answer("/healthz", {})
        kinds.append(Kind("conversations", [path for sort in ("", "sort=latest") for path in walk(server, key, sort)]))
        scripts = {kind.name: write_scripts(kind, server, key, store, root) for kind in kinds} if store else {}
        with serve_nginx(root) as nginx:
            files = {kind.name: save_answers(kind, server, nginx, key, root) for kind in kinds}
            for number in range(options.rounds + 1):
                say(f"{name}: " + (f"round {number} of {options.rounds}" if number else "warming up"))
                for kind in kinds:
                    wanted = root / f"{kind.name}.requests"
                    wanted.write_text("".join(f"{path} {key}\n" for path in kind.paths))
                    ours = calmly(lambda w=wanted: load(server, w, options.connections, options.seconds, pids))
                    theirs = calmly(lambda f=files[kind.name]: load(nginx, f, options.connections, options.seconds))
                    bench = calmly(lambda s=scripts[kind.name]: pgbench(store, s, options.seconds)) if store else None
                    if number:
                        kind.rounds.ours.append(ours)
                        kind.rounds.theirs.append(theirs)
                        kind.rounds.bench += [bench] if store else []
        for number in range(options.rounds):
            say(f"{name}: while messages arrive, {number + 1} of {options.rounds}")
            for kind, p99 in zip(kinds, calmly(lambda: probe(kinds, server, key, options)), strict=True):
                kind.rounds.alone.append(p99)
            for kind, p99 in zip(kinds, calmly(lambda: probe_beside(kinds, server, key, arriving, options, root)), strict=True):
                kind.rounds.beside.append(p99)
    for kind in kinds:
        report(name, kind, store is not None, options, table)


def walk(server: Server, key: str, sort: str) -> list[str]:
    """The pages of conversations, from the first to the last."""
    paths, cursor = [], None
    while not paths or cursor:
        paths.append("/conversations?" + "&".join(part for part in (sort, f"cursor={cursor}" if cursor else "") if part))
        cursor = json.loads(ask(server, paths[-1], key))["pagination"].get("next_cursor")
    return paths


def ask(server: Server, path: str, key: str) -> bytes:
    return get(server.port, path, {"Authorization": f"Bearer {key}"})


def save_answers(kind: Kind, server: Server, nginx: Server, key: str, root: Path) -> Path:
    """Saves each page as a file for nginx. Returns the file that names them all."""
    folder = root / "www" / kind.name
    folder.mkdir(parents=True, exist_ok=True)
    for number, path in enumerate(kind.paths):
        (folder / f"{number}.json").write_bytes(ask(server, path, key))
    names = [f"/{kind.name}/{number}.json" for number in range(len(kind.paths))]
    nginx.first_answer(names[0], {})
    for name, path in zip(names, kind.paths, strict=True):
        if get(nginx.port, name, {}) != ask(server, path, key):
            raise RuntimeError(f"nginx and inboxd differ on {name}")
    file = root / f"{kind.name}.files"
    file.write_text("".join(f"{name}\n" for name in names))
    return file


def write_scripts(kind: Kind, server: Server, key: str, store: Postgres, root: Path) -> list[Path]:
    """A script for pgbench for each page: the statements that inboxd runs for it, as PostgreSQL logs them."""
    log = store.folder / "log"
    run_sql(store, "reading", "ALTER SYSTEM SET log_min_duration_statement = 0; SELECT pg_reload_conf();")
    time.sleep(1)
    folder = root / f"{kind.name}.scripts"
    folder.mkdir(exist_ok=True)
    scripts = []
    for number, path in enumerate(kind.paths):
        before = log.stat().st_size
        ask(server, path, key)
        with log.open("rb") as file:
            file.seek(before)
            said = file.read().decode()
        statements = [one for one in statements_of(said) if any(table in one for table in READ)]
        if not 1 <= len(statements) <= 3:
            raise RuntimeError(f"{len(statements)} statements for {path}")
        script = folder / f"{number}.sql"
        script.write_text("".join(f"{one};\n" for one in statements))
        scripts.append(script)
    run_sql(store, "reading", "ALTER SYSTEM RESET log_min_duration_statement; SELECT pg_reload_conf();")
    return scripts


def statements_of(log: str) -> list[str]:
    """The statements that were executed, each in one line with its parameters filled in."""
    statements = []
    # Each entry begins with the time and the process.
    for entry in re.split(r"^(?=\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)", log, flags=re.MULTILINE):
        if executed := re.search(r"LOG: +duration: \S+ ms +execute [^:]+: (.*)", entry, re.DOTALL):
            statements.append(" ".join(executed[1].split()))
        elif told := re.search(r"DETAIL: +[Pp]arameters: (.*)", entry, re.DOTALL):
            values = dict(re.findall(r"\$(\d+) = ('(?:[^']|'')*'|NULL)", told[1]))
            if statements and "$" in statements[-1]:
                statements[-1] = re.sub(r"\$(\d+)", lambda place: values[place[1]], statements[-1])
    return statements


def pgbench(store: Postgres, scripts: list[Path], seconds: int) -> float:
    """Runs scripts at random. Returns the CPU of one, PostgreSQL's and pgbench's own, in microseconds."""
    command = [str(store.programs / "pgbench"), "-h", str(store.folder), "-U", "inboxd", "-n", "-M", "prepared"]
    command += ["-c", str(CLIENTS), "-j", "1", "-T", str(seconds), *(part for script in scripts for part in ("-f", str(script)))]
    before = cpu_of(store.pids()) + cpu_of_children()
    said = subprocess.run([*command, "reading"], check=True, capture_output=True, text=True, env={"PGOPTIONS": SETTINGS}).stdout
    taken = cpu_of(store.pids()) + cpu_of_children() - before
    done = re.search(r"number of transactions actually processed: (\d+)", said)
    if not done or "number of failed transactions: 0" not in said:
        raise RuntimeError(f"pgbench says:\n{said}")
    return taken / int(done[1]) * 1e6


def cpu_of_children() -> float:
    """Seconds of CPU of what was started here and has ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def probe(kinds: list[Kind], server: Server, key: str, options: argparse.Namespace) -> list[float]:
    """Asks for each kind of page at a fixed rate, for all of them at once. Returns the p99 of each. An answer other than a 200
    ends the run."""
    started = []
    for kind in kinds:
        command = [str(options.load), "get", "--port", str(server.port), "--path", kind.paths[0], "--key", key]
        command += ["--connections", "8", "--rate", str(RATE), "--count", str(RATE * PROBED)]
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
    waits = []
    for process in started:
        said, _ = process.communicate()
        result = json.loads(said)
        if process.returncode or result["wrong"]:
            raise RuntimeError(f"{process.args} ended with {process.returncode}: {said}")
        waits.append(result["p99"])
    return waits


def probe_beside(kinds, server: Server, key: str, arriving: Deliveries, options, root: Path) -> list[float]:
    count = options.arrivals * (PROBED + 5 * MARGIN)
    lines = arriving.write(root / "arrivals.txt", count)
    with arrivals(server, lines, options.arrivals, PROBED + 2 * MARGIN) as came:
        waits = probe(kinds, server, key, options)
    if came[0] < 0.95 * options.arrivals:
        say(f"only {came[0]:,.0f} of {options.arrivals:,} messages a second came meanwhile")
    return waits


def report(name: str, kind: Kind, server: bool, options: argparse.Namespace, table: Table) -> None:
    rounds = kind.rounds
    page = f"{name}: page of {PAGE} {kind.name}"
    with_store = ", PostgreSQL's included" if server else ""
    table.add(f"{page}: CPU{with_store}, µs", [one.micros for one in rounds.ours], ".1f")
    if server:
        table.add(f"{page}: CPU, inboxd's alone, µs", [one.own_micros for one in rounds.ours], ".1f")
    table.add(f"{page}: nginx, CPU of the same bytes, µs", [one.micros for one in rounds.theirs], ".1f")
    if not server:
        ratios = [one.micros / bar.micros for one, bar in zip(rounds.ours, rounds.theirs, strict=True)]
        table.add(f"{page} / nginx", ratios, ".2f", "at most 6.0")
    else:
        table.add(f"{page}: pgbench and PostgreSQL, CPU of the same statements, µs", rounds.bench, ".1f")
        ratios = [one.micros / bar for one, bar in zip(rounds.ours, rounds.bench, strict=True)]
        table.add(f"{page} / pgbench", ratios, ".2f", "at most 2.5")
    table.add(f"{page}: pages a second", [one.rate for one in rounds.ours], ",.0f")
    table.add(f"{page}: p99 of {RATE} a second, ms", rounds.alone, ".1f")
    table.add(f"{page}: p99 of {RATE} a second while {options.arrivals:,} messages a second arrive, ms", rounds.beside, ".1f")
    ratios = [busy / calm for busy, calm in zip(rounds.beside, rounds.alone, strict=True)]
    table.add(f"{page}: p99 while they arrive / without", ratios, ".2f", "at most 3.0")
