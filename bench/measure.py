"""What is measured when, and where the results go. README.md says what the figures mean."""

import argparse
import datetime
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import charts
import flat
import ingest
import lists
import others
import pages
import reading
import sending
from table import Table

HERE = Path(__file__).parent
# In this order.
PARTS = {
    "lists": lists.measure,
    "reading": reading.measure,
    "others": others.measure,
    "pages": pages.measure,
    "flat": flat.measure,
    "start": flat.measure_start,
    "ingest": ingest.measure,
    "sending": sending.measure,
}


def main() -> None:
    options = read_options()
    # Ended by a signal, it still stops its servers and removes its files.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    root = Path(tempfile.mkdtemp(prefix="inboxd-bench-", dir=options.folder))
    # nginx's workers have no rights of their own.
    root.chmod(0o755)
    table = Table()
    about = about_this_run(options)
    try:
        for name, measure in PARTS.items():
            if name in options.only:
                table.part = name
                folder = root / name
                folder.mkdir()
                measure(options, folder, table)
                # Some of them leave gigabytes.
                shutil.rmtree(folder)
    finally:
        shutil.rmtree(root)
        # What was measured before something went wrong is of use, too.
        if table.rows:
            print("\n" + about["machine"] + "\n" + about["programs"])
            table.show()
            table.save(options.results, about)
    print(f"\nwritten to {options.results}")
    if options.publish:
        charts.publish(options.results, HERE.parent)


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="bench/run", description="Measures inboxd beside nginx, a bare loop and two plain services."
    )
    parser.add_argument("--inboxd", type=Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--load", type=Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--only", default="", metavar="PART,…", help=f"of {', '.join(PARTS)} (default: all)")
    parser.add_argument("--rounds", type=int, default=5, help="repeats of everything that is measured (default 5)")
    parser.add_argument("--seconds", type=int, default=8, help="length of one load (default 8)")
    parser.add_argument("--connections", type=int, default=32, help="open at once in a load of lists (default 32)")
    parser.add_argument("--folder", type=Path, help="where the temporary databases go (default: the system's place)")
    parser.add_argument(
        "--results", type=Path, default=HERE / "results.json", help="file for the figures (default bench/results.json)"
    )
    parser.add_argument("--publish", action=argparse.BooleanOptionalAction, default=None,
                        help="write docs/charts and docs/benchmarks.md (default: if all parts are measured)")  # fmt: skip
    for part in (lists, reading, others, pages, flat, ingest, sending):
        part.options_for(parser)
    options = parser.parse_args()
    options.only = options.only.split(",") if options.only else list(PARTS)
    if not PARTS.keys() >= set(options.only):
        parser.error(f"a part is one of {', '.join(PARTS)}")
    if options.publish is None:
        options.publish = PARTS.keys() <= set(options.only)
    return options


def about_this_run(options: argparse.Namespace) -> dict[str, str]:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    programs = [version(str(options.inboxd), "--version"), version("nginx", "-v"), version("wrk", "-v")]
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "machine": f"{os.cpu_count()} cores of {model}, {memory:.0f} GB, {platform.system()} {platform.release().split('-')[0]}",
        "programs": ", ".join(programs),
        "commit": commit(),
        # Sizes, for the labels of charts and table.
        **{
            name: f"{getattr(options, name):,}"
            for name in ("arrivals", "many_accounts", "many_inboxes", "many_messages", "sockets", "waiting")
        },
        "repeats": f"median of {options.rounds} rounds",
    }


def commit() -> str:
    """Which state of the repository this is, as Git names it. Empty where there is no Git."""
    command = ["git", "-C", str(HERE), "describe", "--always", "--dirty"]
    try:
        return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False).stdout.strip()
    except FileNotFoundError:
        return ""


def version(*command: str) -> str:
    # wrk ends with 1 here, having said what was asked.
    said = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False).stdout
    return " ".join(said.splitlines()[0].removeprefix("nginx version: ").split()[:2])


if __name__ == "__main__":
    main()
