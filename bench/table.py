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

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def met(self) -> bool | None:
        """Whether the median is as the goal wants it. `None` if there is none."""
        if not self.goal:
            return None
        relation, _, bound = self.goal.rpartition(" ")
        bound = float(bound)
        if relation == "within":
            # So much more, or so much less.
            return 1 / bound <= self.median <= bound
        return {"at most": self.median <= bound, "under": self.median < bound, "at least": self.median >= bound}[relation]

    def shown(self) -> list[str]:
        values = (self.median, min(self.values), max(self.values))
        verdict = {None: "", True: "met", False: "MISSED"}[self.met]
        return [*(format(value, self.form) for value in values), self.goal, verdict]


class Table:
    """Figures, with the median and the range of their repeats."""

    def __init__(self) -> None:
        self.part = ""
        self.rows: list[Row] = []

    def add(self, name: str, values: list[float], form: str, goal: str = "") -> None:
        """`goal` is "at most", "under", "at least" or "within" (a factor of, both ways), and a number."""
        row = Row(self.part, name, values, form, goal)
        self.rows.append(row)
        say(f"{name}: {row.median:{form}}")

    def show(self) -> None:
        part = None
        for row in self.rows:
            if row.part != part:
                part = row.part
                print(f"\n{part:72} {'median':>9} {'lowest':>9} {'highest':>9}   goal")
            median, lowest, highest, goal, verdict = row.shown()
            print(f"  {row.name:70} {median:>9} {lowest:>9} {highest:>9}   {goal:13} {verdict}".rstrip())

    def save(self, file: Path, about: dict[str, str]) -> None:
        rows = [
            {"part": row.part, "name": row.name, "median": row.median, "values": row.values, "form": row.form,
             "goal": row.goal, "met": row.met}
            for row in self.rows
        ]  # fmt: skip
        file.write_text(json.dumps({**about, "rows": rows}, indent=1) + "\n")


def say(text: str) -> None:
    print(f"bench: {text}", file=sys.stderr, flush=True)
