"""The table that a run prints, what it says meanwhile, and its results for charts.py."""

import json
import statistics
import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass
class Row:
    """One figure, with its repeats."""

    part: str
    name: str
    values: list[float]
    form: str
    goal: str
    holds: bool

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def met(self) -> bool | None:
        """Whether the median is as the goal wants it. `None` if there is none."""
        if not self.goal:
            return None
        if not self.holds:
            return False
        relation, _, bound = self.goal.rpartition(" ")
        bound = float(bound)
        if relation == "within":
            # So much more, or so much less.
            return 1 / bound <= self.median <= bound
        return {"at most": self.median <= bound, "under": self.median < bound, "at least": self.median >= bound}[relation]

    def texts(self) -> list[str]:
        values = (self.median, min(self.values), max(self.values))
        verdict = {None: "", True: "met", False: "MISSED"}[self.met]
        return [*(format(value, self.form) for value in values), self.goal, verdict]


class Table:
    """Figures, with the median and the range of their repeats."""

    def __init__(self) -> None:
        self.part = ""
        self.rows: list[Row] = []

    def add(self, name: str, values: list[float], form: str, goal: str = "", holds: bool = True) -> None:
        """`goal` is "at most", "under", "at least" or "within" (a factor of, both ways), and a number. If what the
        goal presupposes does not hold, it is not met, whatever the figure."""
        row = Row(self.part, name, values, form, goal, holds)
        self.rows.append(row)
        say(f"{name}: {row.median:{form}}")

    def show(self) -> None:
        width = max(len(row.name) for row in self.rows)
        for part in dict.fromkeys(row.part for row in self.rows):
            print(f"\n{part:{width + 2}} {'median':>9} {'lowest':>9} {'highest':>9}   goal")
            for row in self.rows:
                if row.part == part:
                    median, lowest, highest, goal, verdict = row.texts()
                    print(f"  {row.name:{width}} {median:>9} {lowest:>9} {highest:>9}   {goal:13} {verdict}".rstrip())

    def save(self, file: Path, about: dict[str, str]) -> None:
        rows = [
            {"part": row.part, "name": row.name, "median": row.median, "values": row.values, "form": row.form,
             "goal": row.goal, "met": row.met}
            for row in self.rows
        ]  # fmt: skip
        file.write_text(json.dumps({**about, "rows": rows}, indent=1) + "\n")


def say(text: str) -> None:
    print(f"bench: {text}", file=sys.stderr, flush=True)
