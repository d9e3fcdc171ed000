"""Measuring again what was measured while the host gave this machine's time to other machines."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from table import say

T = TypeVar("T")

# The share of the machine's time that others may take. On a machine of one's own, none is ever taken.
STOLEN = 0.1
TRIES = 3


def calmly(measure: Callable[[], T]) -> T:
    """What `measure` returns. If much of the machine's time was taken meanwhile, it measures again, some times; then it is
    what was measured while the least was taken. Whether the figure is a good one has no say in it."""
    tries: list[tuple[float, T]] = []
    while len(tries) < TRIES:
        before = times()
        result = measure()
        taken, all_of_it = (now - then for now, then in zip(times(), before, strict=True))
        share = taken / max(all_of_it, 1)
        if share <= STOLEN:
            return result
        say(f"other machines had {share:.0%} of this one's time meanwhile")
        tries.append((share, result))
    share, result = min(tries, key=lambda one: one[0])
    say(f"it does not get calmer: what counts was measured while they had {share:.0%}")
    return result


def times() -> tuple[int, int]:
    """Of all cores' time since the start: what was taken, and all of it."""
    # After the name: user, nice, system, idle, iowait, irq, softirq, steal. proc_stat(5)
    fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()
    passed = [int(field) for field in fields[1:9]]
    return passed[7], sum(passed)
