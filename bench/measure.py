"""What is measured when, and the lists. README.md says what the figures mean."""

import argparse
import os
import platform
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import ingest
import seed
from servers import Server, free_port, get
from table import Table, say

HERE = Path(__file__).parent


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench/run", description="Measures inboxd beside nginx, and beside a bare loop.")
    parser.add_argument("parts", nargs="*", metavar="PART", help="lists, start or ingest (default: all three)")
    parser.add_argument("--inboxd", type=Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--load", type=Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--rounds", type=int, default=5, help="repeats of everything that is measured (default 5)")
    parser.add_argument("--seconds", type=int, default=8, help="length of one load (default 8)")
    parser.add_argument("--connections", type=int, default=32, help="open at once in a load (default 32)")
    parser.add_argument("--accounts", type=int, default=10_000, help="accounts that are listed (default 10000)")
    parser.add_argument("--inboxes", type=int, default=15, help="inboxes of each of them (default 15)")
    parser.add_argument("--large", type=int, default=1_000_000, help="inboxes of the start's database (default 1000000)")
    ingest.options_for(parser)
    options = parser.parse_args()
    parts = {"lists": measure_lists, "start": measure_start, "ingest": ingest.measure}
    if not parts.keys() >= set(options.parts):
        parser.error(f"a part is one of {', '.join(parts)}")
    root = Path(tempfile.mkdtemp(prefix="inboxd-bench-"))
    # nginx's workers have no rights of their own.
    root.chmod(0o755)
    try:
        table = Table()
        print(f"{os.cpu_count()} cores, {platform.system()} {platform.release()}, {version('nginx', '-v')}, {version('wrk', '-v')}")
        for name, measure in parts.items():
            if name in (options.parts or parts):
                measure(options, root, table)
        table.show()
    finally:
        shutil.rmtree(root)


def version(*command: str) -> str:
    # wrk ends with 1 here, having said what was asked.
    said = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False).stdout
    return " ".join(said.splitlines()[0].removeprefix("nginx version: ").split()[:2])


@dataclass
class Load:
    """What one load came to."""

    requests: int
    seconds: float
    cpu: float

    @property
    def micros(self) -> float:
        """The server's CPU for one request, in microseconds."""
        return self.cpu / self.requests * 1e6

    @property
    def rate(self) -> float:
        return self.requests / self.seconds


def measure_lists(options: argparse.Namespace, root: Path, table: Table) -> None:
    """A list of inboxes from inboxd, and the same bytes as a static file from nginx, by turns."""
    say(f"making {options.accounts} accounts with {options.inboxes} inboxes each")
    database, keys = new_database(options.inboxd, root, "lists", options.accounts, options.inboxes)
    wanted = root / "lists.txt"
    wanted.write_text("".join(f"/inboxes {key}\n" for key in keys))
    with serve_inboxd(options.inboxd, database, root) as inboxd:
        inboxd.first_answer("/healthz", {})
        # What a start leaves to be done (a first tick, freed pages) is done.
        time.sleep(2)
        at_rest = inboxd.memory()
        say("saving every list as a file for nginx")
        wanted_files = save_answers(inboxd, keys, root / "www")
        with serve_nginx(root) as nginx:
            nginx.first_answer("/0.json", {})
            # Caches, and the notes that each key was used today.
            for server, lines in ((inboxd, wanted), (nginx, wanted_files)):
                load(server, lines, options.connections, 3)
            ours, theirs = [], []
            for number in range(options.rounds):
                say(f"round {number + 1} of {options.rounds}")
                ours.append(load(inboxd, wanted, options.connections, options.seconds))
                theirs.append(load(nginx, wanted_files, options.connections, options.seconds))
            after = inboxd.memory()
    table.add("inboxd: CPU of a list, µs", [one.micros for one in ours], ".1f")
    table.add("nginx: CPU of the same bytes, µs", [one.micros for one in theirs], ".1f")
    ratios = [one.micros / other.micros for one, other in zip(ours, theirs, strict=True)]
    table.add("inboxd / nginx, round by round", ratios, ".2f", "at most 3.0")
    table.add("inboxd: lists a second", [one.rate for one in ours], ",.0f")
    table.add("nginx: files a second", [one.rate for one in theirs], ",.0f")
    table.add("inboxd: resident memory at rest, MB", [at_rest], ".1f", "under 40")
    table.add("inboxd: resident memory after the loads, MB", [after], ".1f")


def measure_start(options: argparse.Namespace, root: Path, table: Table) -> None:
    """From the start of the process to its first list, on a database with many inboxes."""
    each = 100
    say(f"making {options.large} inboxes")
    database, keys = new_database(options.inboxd, root, "start", options.large // each, each)
    headers = {"Authorization": f"Bearer {keys[len(keys) // 2]}"}
    cold, warm, at_rest = [], [], []
    for number in range(options.rounds):
        say(f"start {number + 1} of {options.rounds}")
        for seconds, prepare in ((cold, forget), (warm, lambda _: None)):
            prepare(database)
            with serve_inboxd(options.inboxd, database, root) as inboxd:
                seconds.append(inboxd.first_answer("/inboxes?limit=15", headers))
                time.sleep(1)
                at_rest.append(inboxd.memory())
    count = f"{options.large:,} inboxes"
    table.add(f"start to first list, {count}, cached, s", warm, ".3f", "under 1")
    table.add(f"start to first list, {count}, uncached, s", cold, ".3f", "under 1")
    table.add(f"resident memory at rest, {count}, MB", at_rest, ".1f", "under 40")


def new_database(inboxd: Path, root: Path, name: str, accounts: int, inboxes: int) -> tuple[Path, list[str]]:
    database = root / f"{name}.db"
    migrate = [inboxd, "migrate", "--json", "--database-url", f"sqlite:{database}"]
    subprocess.run(migrate, check=True, stdout=subprocess.DEVNULL)
    return database, seed.fill(database, accounts, inboxes)


def serve_inboxd(inboxd: Path, database: Path, root: Path) -> Server:
    port = free_port()
    # Counted as always, and never refused.
    command = [str(inboxd), "serve", "--rate-limit", "1000000000", "--listen", f"127.0.0.1:{port}", "--database-url", f"sqlite:{database}"]
    return Server(command, port, root / "inboxd.log")


def serve_nginx(root: Path) -> Server:
    port = free_port()
    config = root / "nginx.conf"
    text = (HERE / "nginx.conf").read_text()
    config.write_text(text.replace("{root}", str(root)).replace("{port}", str(port)))
    return Server(["nginx", "-c", str(config), "-e", str(root / "error.log")], port, root / "nginx.log")


def save_answers(inboxd: Server, keys: list[str], folder: Path) -> Path:
    """Saves each key's list as a file. Returns the file that names them all."""
    folder.mkdir()
    for number, key in enumerate(keys):
        body = get(inboxd.port, "/inboxes", {"Authorization": f"Bearer {key}"})
        (folder / f"{number}.json").write_bytes(body)
    names = folder.with_suffix(".txt")
    names.write_text("".join(f"/{number}.json\n" for number in range(len(keys))))
    return names


def load(server: Server, lines: Path, connections: int, seconds: int) -> Load:
    """Keeps the server busy with requests at random from `lines`."""
    before = server.cpu()
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(HERE / "random.lua")]
    command += [f"http://127.0.0.1:{server.port}", "--", str(lines)]
    said = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    cpu = server.cpu() - before
    result = next(line for line in said.splitlines() if line.startswith("RESULT"))
    requests, micros, wrong = (int(number) for number in result.split()[1:])
    if wrong:
        raise RuntimeError(f"{wrong} of {requests} requests went wrong:\n{said}")
    return Load(requests, micros / 1e6, cpu)


def forget(database: Path) -> None:
    """Drops a file from the kernel's cache, so that it is read from the disk again."""
    with database.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


if __name__ == "__main__":
    main()
