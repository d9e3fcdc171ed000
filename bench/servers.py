"""Starting a server under test, asking it, and reading what it costs: CPU and memory from /proc."""

import http.client
import os
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


class Server:
    """A running server: a process, its children, and the port on which it answers."""

    def __init__(self, command: list[str], port: int, log: Path, environment: dict[str, str] | None = None) -> None:
        self.port = port
        self.started = time.monotonic()
        with log.open("ab") as output:
            self.process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output)

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.process.terminate()
        self.process.wait(timeout=60)

    def first_answer(self, path: str, headers: dict[str, str]) -> float:
        """Asks until there is an answer. Returns the seconds since the start of the process."""
        while True:
            try:
                get(self.port, path, headers)
                return time.monotonic() - self.started
            except ConnectionRefusedError:
                if self.process.poll() is not None:
                    raise RuntimeError(f"{self.process.args} ended with {self.process.returncode}") from None
                time.sleep(0.001)

    def cpu(self) -> float:
        """Seconds of CPU, user and system, that all its processes have taken so far."""
        return cpu_of(self.pids())

    def memory(self) -> float:
        """MB of memory that all its processes have resident."""
        pages = (int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in self.pids())
        return sum(pages) * PAGE / 1e6

    def share_of_memory(self) -> float:
        """MB of memory that its processes take together: what several share is counted once."""
        return sum(proportional(pid) for pid in self.pids()) / 1e3

    def pids(self) -> list[int]:
        main = self.process.pid
        children = (task.read_text().split() for task in Path(f"/proc/{main}/task").glob("*/children"))
        return [main, *(int(pid) for pids in children for pid in pids)]


def cpu_of(pids: list[int]) -> float:
    """Seconds of CPU, user and system, that these processes have taken so far, and those that they started and that
    have ended."""
    total = 0
    for pid in pids:
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
        except FileNotFoundError:
            # It has just ended: what it took is its parent's now.
            continue
        # After the name, which is in brackets and may hold anything, these are fields 12 to 15.
        fields = stat.rpartition(")")[2].split()
        total += sum(map(int, fields[11:15]))
    return total / TICKS


def cpu_of_threads(pids: list[int]) -> dict[Path, float]:
    """Seconds of CPU that each thread of these processes has taken so far, to the nanosecond: `cpu_of` counts hundredths."""
    spent = {}
    for pid in pids:
        for thread in Path(f"/proc/{pid}/task").glob("*/schedstat"):
            try:
                spent[thread] = int(thread.read_text().split()[0]) / 1e9
            except (FileNotFoundError, ProcessLookupError):
                # It has just ended.
                continue
    return spent


def proportional(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("Pss:")).split()[1])


def get(port: int, path: str, headers: dict[str, str]) -> bytes:
    """The body of a 200."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        body = response.read()
    finally:
        connection.close()
    if response.status != 200:
        raise RuntimeError(f"{path} was answered with {response.status}: {body!r}")
    return body


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
