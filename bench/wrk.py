"""Loads by wrk: requests at random as fast as they are answered, and deliveries at a given rate."""

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from servers import Server, cpu_of

HERE = Path(__file__).parent
# Deliveries begin so long before what is measured beside them, and end so long after.
MARGIN = 1


@dataclass
class Load:
    """What one load came to."""

    requests: int
    seconds: float
    # Seconds of CPU of the server, and of the processes that work for it.
    own: float
    others: float

    @property
    def micros(self) -> float:
        """The CPU of one request, in microseconds."""
        return (self.own + self.others) / self.requests * 1e6

    @property
    def own_micros(self) -> float:
        """The server's own part of it."""
        return self.own / self.requests * 1e6

    @property
    def rate(self) -> float:
        return self.requests / self.seconds


def load(server: Server, lines: Path, connections: int, seconds: int, pids: Callable[[], list[int]] = list) -> Load:
    """Keeps the server busy with requests at random from `lines`. `pids` says which other processes work for it."""
    while True:
        running = start("random.lua", server, lines, connections, seconds)
        # What the server does while the client still reads its requests is no part of the load.
        wait_until_ready(running)
        own, others = server.cpu(), cpu_of(pids())
        requests, took = finish(running)
        # What has no answer yet at the end is paid for and not counted: it must not be much beside the rest.
        if requests >= 10 * connections:
            return Load(requests, took, server.cpu() - own, cpu_of(pids()) - others)
        if seconds > 60:
            raise RuntimeError(f"{requests} answers in {took:.0f} s are too few to measure")
        seconds *= 4


def each(server: Server, lines: Path, connections: int) -> None:
    """Sends each request of `lines` once, and a few of them twice."""
    with lines.open() as file:
        left = sum(1 for _ in file)
    sent = 0
    while left > sent:
        seconds = 10 if left > 100_000 else 1
        answered, _ = finish(start("random.lua", server, lines, connections, seconds, str(sent)))
        # Those on their way at the end are sent again.
        sent += max(1, answered - connections)


@contextmanager
def arrivals(server: Server, lines: Path, rate: int, seconds: int) -> Iterator[list[float]]:
    """Each request of `lines` once, so many a second, for `seconds` and a margin before and after. At the end the list
    that it gives has what the rate came to."""
    running = start("arrivals.lua", server, lines, 64, seconds + 2 * MARGIN, str(rate))
    came: list[float] = []
    try:
        time.sleep(MARGIN)
        yield came
    finally:
        requests, took = finish(running)
        came.append(requests / took)


def start(script: str, server: Server, lines: Path, connections: int, seconds: int, *arguments: str) -> subprocess.Popen:
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", "-s", str(HERE / script)]
    command += [f"http://127.0.0.1:{server.port}", "--", str(lines), *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def wait_until_ready(running: subprocess.Popen) -> None:
    """Waits until it is about to ask; or has ended, which `finish` finds out."""
    running.stdout.readline()


def finish(running: subprocess.Popen) -> tuple[int, float]:
    """How many answers came, in how many seconds. A wrong one ends the run."""
    with running.stdout:
        said = running.stdout.read()
    running.wait()
    result = next((line for line in said.splitlines() if line.startswith("RESULT")), None)
    if running.returncode or result is None:
        raise RuntimeError(f"wrk ended with {running.returncode}:\n{said}")
    requests, micros, wrong = (int(number) for number in result.split()[1:])
    if wrong:
        raise RuntimeError(f"{wrong} of {requests} requests went wrong:\n{said}")
    return requests, micros / 1e6
