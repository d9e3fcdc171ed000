"""The table that a run prints, and what it says meanwhile."""

import statistics
import sys


class Table:
    """Figures, with the median and the range of their repeats."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, list[float], str, str]] = []

    def add(self, name: str, values: list[float], form: str, goal: str = "") -> None:
        self.rows.append((name, values, form, goal))
        say(f"{name}: {statistics.median(values):{form}}")

    def show(self) -> None:
        print(f"\n{'':60} {'median':>10} {'lowest':>10} {'highest':>10}   goal")
        for name, values, form, goal in self.rows:
            shown = (format(value, form) for value in (statistics.median(values), min(values), max(values)))
            print(f"{name:60} " + " ".join(f"{value:>10}" for value in shown) + f"   {goal}".rstrip())


def say(text: str) -> None:
    print(f"bench: {text}", file=sys.stderr, flush=True)
