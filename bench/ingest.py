"""Taking in deliveries: beside a bare loop that writes the same rows, at half the rate, and with live-chat sockets."""

import argparse
import json
import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import livechat
from calm import calmly
from postgres import postgres
from servers import Server, cpu_of, free_port
from table import Table, say

SECRET = "an-app-secret"
INBOXES = 16
# Messages of the loads that one database sees are numbered through, so that no two are the same. Whose numbers begin here
# are of people of their own: who writes to a busy inbox, and who to its neighbours.
BUSY, NEIGHBOUR = 500_000_000, 1_000_000_000
# How long neighbours are watched, in seconds, 40 times each: the 99th percentile of fewer would be a matter of luck.
PROBED = 15


def options_for(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--messages", type=int, default=40_000, help="messages of one load (default 40000)")
    parser.add_argument("--senders", type=int, default=64, help="connections that deliver (default 64)")
    parser.add_argument("--sockets", type=int, default=1000, help="live-chat sockets that are open (default 1000; 0 skips them)")


def measure(options: argparse.Namespace, root: Path, table: Table) -> None:
    file = root / "ingest.db"
    measure_store("SQLite", options, root, table, [f"sqlite:{file}", f"sqlite:{root / 'bare.db'}"], list)
    file.unlink()
    with postgres(root) as server:
        urls = [server.database(name) for name in ("ingest", "bare")]
        measure_store("PostgreSQL", options, root, table, urls, server.pids)


@dataclass
class Store:
    """A database with inboxes of one account."""

    url: str
    account: str
    key: str
    inboxes: list[str]
    numbers: list[str]


class Numbers:
    """Hands out ranges of message numbers, each once."""

    def __init__(self, first: int = 0) -> None:
        self.first = self.next = first

    def take(self, count: int) -> int:
        first = self.next
        self.next += count
        return first


def measure_store(name: str, options: argparse.Namespace, root: Path, table: Table, urls: list[str], pids) -> None:
    say(f"{name}: making two databases")
    ours, bare = (make(options.inboxd, url, root) for url in urls)
    rates, ratios, bars, costs, memory = [], [], [], [], []
    # Each database has all messages before: who wrote one is known in it.
    numbers, written_bare, count = Numbers(), Numbers(), options.messages
    with serve(options.inboxd, ours.url, root) as server:

        def deliveries() -> tuple[dict, float]:
            before = server.cpu() + cpu_of(pids())
            load = deliver(options, server, ours.numbers, numbers, count)
            return load, server.cpu() + cpu_of(pids()) - before

        def rows() -> dict:
            return write_bare(options.load, bare, written_bare.take(count), count)

        server.first_answer("/healthz", {})
        for number in range(options.rounds + 1):
            say(f"{name}: " + (f"round {number} of {options.rounds}" if number else "warming up"))
            load, cpu = calmly(deliveries)
            memory.append(server.memory())
            written = calmly(rows)
            if number:
                rates.append(count / load["seconds"])
                bars.append(count / written["seconds"])
                ratios.append(rates[-1] / bars[-1])
                costs.append(cpu / count * 1e6)
        table.add(f"{name}: deliveries a second", rates, ",.0f")
        table.add(f"{name}: rows of messages a second, bare loop", bars, ",.0f")
        table.add(f"{name}: inboxd / bare loop, round by round", ratios, ".2f", "at least 0.5")
        table.add(f"{name}: CPU of a delivery, store included, µs", costs, ".0f")
        measure_half(name, options, root, table, server, ours, numbers, sorted(rates)[len(rates) // 2] / 2, memory)
        table.add(f"{name}: resident memory, MB", memory, ".1f", "under 100")
        if options.sockets:
            say(f"{name}: opening {options.sockets} live-chat sockets")
            chat = inboxd(options.inboxd, ours.url, "inbox", "create", "--type", "livechat", "--name", "Website")["id"]
            with_sockets = livechat.hold(server, chat, options.sockets)
            table.add(f"{name}: resident memory, {options.sockets} sockets open, MB", with_sockets, ".1f", "under 150")
    for store in (ours, bare):
        verify(options.inboxd, store.url)


def measure_half(name, options, root, table, server, store, numbers, rate, memory) -> None:
    """The server gets half of what it takes in, for all inboxes and then for one; neighbours and the listing go on beside it."""
    busy, neighbours = store.numbers[:1], store.numbers[1:]
    waits: dict[str, list[dict]] = {"alone": [], "spread": [], "beside": []}
    answered: dict[str, list[float]] = {"spread": [], "beside": []}
    busy_ones, others = Numbers(BUSY), Numbers(NEIGHBOUR)
    for number in range(options.rounds):
        say(f"{name}: half the rate, {number + 1} of {options.rounds}")
        waits["alone"].append(calmly(lambda: neighbourhood(options, server, store, neighbours, others, None)[0]))
        for where, inboxes, ones in (("spread", store.numbers, numbers), ("beside", busy, busy_ones)):

            def with_load(inboxes: list[str] = inboxes, ones: Numbers = ones) -> tuple[dict, dict]:
                count = int(rate * (PROBED + 2))
                command = deliver_command(options, server, inboxes, ones, count)
                return neighbourhood(options, server, store, neighbours, others, [*command, "--rate", f"{rate:.0f}"])

            probed, load = calmly(with_load)
            waits[where].append(probed)
            answered[where].append(load["p99"])
        memory.append(server.memory())
    table.add(f"{name}: half the rate, deliveries a second", [rate], ",.0f")
    table.add(f"{name}: answered at half the rate, for all inboxes, p99, ms", answered["spread"], ".1f", "at most 50")
    table.add(f"{name}: answered at half the rate, for one inbox, p99, ms", answered["beside"], ".1f", "at most 50")
    situations = (("alone", "alone"), ("spread", "with half the rate for all"), ("beside", "beside half the rate for one"))
    for what, label in (("deliver", "a neighbour's delivery"), ("list", "a list")):
        for part in ("p50", "p99"):
            took = {key: [one[what][part] for one in waits[key]] for key in waits}
            for key, situation in situations:
                table.add(f"{name}: {label} {situation}, {part}, ms", took[key], ".2f")
            for key, before, goal in (("spread", "with it for all", "at most 2"), ("alone", "alone", "")):
                ratios = [two / one for one, two in zip(took[key], took["beside"], strict=True)]
                table.add(f"{name}: {label}, beside / {before}, {part}", ratios, ".2f", goal)


def neighbourhood(options, server, store, neighbours, others, load) -> tuple[dict, dict | None]:
    """What the neighbours' deliveries and a list take, alone or beside a load."""
    count = 40 * PROBED
    running = subprocess.Popen(load, stdout=subprocess.PIPE, text=True) if load else None
    if running:
        time.sleep(1)
    probes = {
        "deliver": [*deliver_command(options, server, neighbours, others, count, 4), "--rate", "40"],
        "list": [options.load, "get", "--port", str(server.port), "--connections", "4", "--count", str(count),
                 "--path", "/inboxes", "--key", store.key, "--rate", "40"],
    }  # fmt: skip
    started = {name: subprocess.Popen(probe, stdout=subprocess.PIPE, text=True) for name, probe in probes.items()}
    results = {name: result_of(process) for name, process in started.items()}
    return results, result_of(running) if running else None


def deliver_command(options, server: Server, inboxes: list[str], numbers: Numbers, count: int, senders: int = 0) -> list[str]:
    return [
        str(options.load), "deliver", "--port", str(server.port), "--numbers", ",".join(inboxes), "--secret", SECRET,
        "--first", str(numbers.take(count)), "--since", str(numbers.first), "--count", str(count),
        "--connections", str(senders or options.senders),
    ]  # fmt: skip


def deliver(options, server: Server, inboxes: list[str], numbers: Numbers, count: int) -> dict:
    command = deliver_command(options, server, inboxes, numbers, count)
    return result_of(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))


def write_bare(load: Path, store: Store, first: int, count: int) -> dict:
    engine = "postgres" if store.url.startswith("postgres:") else "sqlite"
    place = ["--url", store.url] if engine == "postgres" else ["--path", store.url.removeprefix("sqlite:")]
    command = [
        str(load), "bare", engine, *place, "--account", store.account, "--inboxes", ",".join(store.inboxes),
        "--first", str(first), "--count", str(count),
    ]  # fmt: skip
    return result_of(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))


def result_of(process: subprocess.Popen) -> dict:
    said, _ = process.communicate()
    if process.returncode:
        raise RuntimeError(f"{process.args} ended with {process.returncode}")
    result = json.loads(said)
    if result.get("wrong"):
        raise RuntimeError(f"{result['wrong']} of {result['count']} requests went wrong")
    return result


def make(program: Path, url: str, root: Path) -> Store:
    inboxd(program, url, "migrate")
    account = inboxd(program, url, "account", "create", "--name", "Toko Biru")["id"]
    key = inboxd(program, url, "key", "create", "--name", "bench")["key"]
    numbers = [str(106_540_352_242_900 + number) for number in range(INBOXES)]
    create = ["inbox", "create", "--type", "whatsapp", "--name", "Support", "--app-secret", SECRET]
    inboxes = [
        inboxd(program, url, *create, "--phone-number", f"+6281200{number[-4:]}", "--phone-number-id", number)["id"]
        for number in numbers
    ]
    return Store(url, account, key, inboxes, numbers)


def inboxd(program: Path, url: str, *arguments: str) -> dict:
    command = [str(program), *arguments, "--json", "--database-url", url]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, env=environment()).stdout)


def verify(program: Path, url: str) -> None:
    """What was promised of the data holds, of the bare loop's rows, too. Otherwise the run ends here."""
    subprocess.run([str(program), "verify", "--database-url", url], check=True, stdout=subprocess.DEVNULL, env=environment())


def serve(program: Path, url: str, root: Path) -> Server:
    port = free_port()
    command = [str(program), "serve", "--listen", f"127.0.0.1:{port}", "--database-url", url]
    return Server(command, port, root / "inboxd.log", environment())


def environment() -> dict[str, str]:
    # Requests count towards a limit that none comes near. Visitors of live chat come as through a proxy on this machine.
    return {
        **os.environ,
        "INBOXD_SECRET_KEY": "00" * 32,
        "INBOXD_RATE_LIMIT": "1000000000",
        "INBOXD_TRUSTED_PROXIES": "127.0.0.1",
    }
