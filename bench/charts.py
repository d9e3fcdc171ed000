"""Charts, and the table in docs/benchmarks.md, from the results of a run. Without an argument they are written again from the last one:

    python3 bench/charts.py [results.json]

Plain SVG, which follows the reader's light or dark setting. Ratios lead; what is absolute names the machine.
"""

import json
import re
import sys
from dataclasses import dataclass
from html import escape
from pathlib import Path

STORES = ("SQLite", "PostgreSQL")
BEGIN, END = "<!-- figures: bench/run writes these lines -->", "<!-- /figures -->"

# The names of figures, as the parts of the run give them, without the store or the service.
QUIET, BUSY = "list / nginx", "list / nginx while .*"
ACCOUNTS = r"[\d,]+ accounts?(, .* ask)? / [\d,]+ accounts"
SOME_ASK = r"[\d,]+ account(s, [\d,]+ of them ask)? / [\d,]+ accounts"
ALL_ASK = r"[\d,]+ accounts, all of them ask / [\d,]+ accounts"
MESSAGES = r"[\d,]+ messages / no messages"
PAGES = r"[\d,]+ inboxes, .* / \d+ inboxes"
READ, READ_BESIDE = r"page of \d+ {} / (nginx|pgbench)", r"page of .*: p99 while they arrive / without"
NEIGHBOUR = "a neighbour's delivery, beside /"
BARE = "inboxd / bare loop.*"
AT_REST, AFTER = "resident memory at rest, MB", "resident memory after the loads, MB"
INGESTING, SOCKETS = "resident memory, MB", "resident memory, .* sockets open, MB"

WIDTH, LEFT, BAR, ROW = 860, 300, 330, 26
STYLE = """
  .surface { fill: #fcfcfb } .ink { fill: #0b0b0b } .muted { fill: #52514e } .ours { fill: #2a78d6 } .other { fill: #b4b2a9 }
  .line { stroke: #0b0b0b } .goal { stroke: #c2410c } .axis { stroke: #d8d7d0 } text { font: 13px system-ui, sans-serif }
  .title { font-size: 17px; font-weight: 600 } .heading { font-weight: 600 } .small { font-size: 11.5px }
  @media (prefers-color-scheme: dark) {
    .surface { fill: #1a1a19 } .ink { fill: #ffffff } .muted { fill: #c3c2b7 } .ours { fill: #3987e5 } .other { fill: #6b6a66 }
    .line { stroke: #ffffff } .goal { stroke: #f0883e } .axis { stroke: #3a3a38 }
  }
"""


@dataclass
class Figure:
    """One row of the results."""

    name: str
    median: float
    values: list[float]
    form: str
    goal: str
    met: bool | None

    @property
    def limits(self) -> list[float]:
        """Where the goal is. "within" has two ends."""
        if not self.goal:
            return []
        limit = float(self.goal.rpartition(" ")[2])
        return [1 / limit, limit] if self.goal.startswith("within") else [limit]

    @property
    def distance(self) -> float:
        """How far from what is wanted: the larger, the worse."""
        if self.goal.startswith("at least"):
            return -self.median
        return max(self.median, 1 / self.median) if self.goal.startswith("within") else self.median

    def text(self, unit: str) -> str:
        low, high = format(min(self.values), self.form), format(max(self.values), self.form)
        spread = f" ({low} to {high})" if low != high else ""
        return f"{self.median:{self.form}}{unit}{spread}"


@dataclass
class Bar:
    """One bar of a chart."""

    label: str
    figure: Figure
    ours: bool = True


@dataclass
class Panel:
    """Bars that share a scale."""

    heading: str
    unit: str
    bars: list[Bar]


class Results:
    """A run's results."""

    def __init__(self, file: Path) -> None:
        data = json.loads(file.read_text())
        self.about = data
        self.figures = [
            (row["part"], Figure(*(row[key] for key in ("name", "median", "values", "form", "goal", "met"))))
            for row in data["rows"]
        ]

    def all(self, part: str, pattern: str) -> list[Figure]:
        """Those whose whole name matches."""
        return [figure for where, figure in self.figures if where == part and re.fullmatch(pattern, figure.name)]

    def worst(self, part: str, pattern: str) -> Figure | None:
        return max(self.all(part, pattern), key=lambda figure: figure.distance, default=None)


def publish(file: Path, repository: Path) -> None:
    """Writes docs/charts and the figures in docs/benchmarks.md."""
    results = Results(file)
    folder = repository / "docs" / "charts"
    folder.mkdir(exist_ok=True)
    written = draw_all(results, folder)
    page = repository / "docs" / "benchmarks.md"
    before, begin, rest = page.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise RuntimeError(f"{page} has no place for the figures: it is between {BEGIN} and {END}")
    page.write_text(f"{before}{BEGIN}\n{figures(results)}\n{END}{after}")
    print(f"written to {page} and {', '.join(str(path) for path in written)}")


def draw_all(results: Results, folder: Path) -> list[Path]:
    """One file for each chart of which something was measured."""
    charts = {
        "lists": lists(results),
        "others": others(results),
        "flat": flat(results),
        "pages": pages(results),
        "ingest": ingest(results),
    }
    titles = {
        "lists": "CPU of a list of inboxes, beside nginx sending the same bytes as a file",
        "others": "The same list from other services, on SQLite",
        "flat": "CPU of a list, beside one with 1,000 accounts or with no messages",
        "pages": f"CPU of a page of 50 out of {results.about['many_inboxes']} inboxes, beside one of 10",
        "ingest": "Updates a second, and memory",
    }
    written = []
    for name, panels in charts.items():
        panels = [panel for panel in panels if panel.bars]
        if panels:
            path = folder / f"{name}.svg"
            path.write_text(draw(titles[name], panels, results.about))
            written.append(path)
    return written


def lists(results: Results) -> list[Panel]:
    quiet, busy = [], []
    for store in STORES:
        quiet += [Bar(f"inboxd, {store}", one) for one in results.all("lists", f"{store}: {QUIET}")]
        busy += [Bar(f"inboxd, {store}{shortfall(one)}", one) for one in results.all("lists", f"{store}: {BUSY}")]
    bar = Bar("nginx, static file", Figure("nginx", 1, [1], ".2f", "", None), ours=False)
    rate = results.about["arrivals"]
    return [
        Panel("Nothing changes (nginx = 1)", " ×", [bar, *quiet] if quiet else []),
        Panel(f"{rate} messages a second arrive for the same accounts (nginx = 1)", " ×", busy),
    ]


def others(results: Results) -> list[Panel]:
    names = ("nginx", "inboxd", "Fastify", "FastAPI")
    labels = {"nginx": "nginx, static file", "Fastify": "Fastify + better-sqlite3", "FastAPI": "FastAPI + sqlite3"}
    ratios, memory = [], []
    for name in names:
        label, ours = labels.get(name, name), name == "inboxd"
        ratios += [Bar(label, one, ours) for one in results.all("others", f"{name}: {QUIET}")]
        memory += [Bar(label, one, ours) for one in results.all("others", f"{name}: memory .*")]
    if ratios:
        ratios.insert(0, Bar(labels["nginx"], Figure("nginx", 1, [1], ".2f", "", None), ours=False))
    return [
        Panel("CPU of a list (nginx = 1)", " ×", ratios),
        Panel("Memory of all processes after the loads", " MB", memory),
    ]


MODES = {"": "as it runs by default", ", room for all": "with room for all", ", nothing kept": "with --cache-bytes 0"}


def flat(results: Results) -> list[Panel]:
    panels = []
    for store in STORES:
        for mode, said in MODES.items():
            accounts = results.all("flat", f"{store}: {ACCOUNTS}{mode}")
            messages = results.all("flat", f"{store}: {MESSAGES}{mode}")
            bars = [Bar(label(one, mode), one) for one in accounts + messages]
            panels.append(Panel(f"{store}, {said}", " ×", bars))
    return panels


def pages(results: Results) -> list[Panel]:
    panels = []
    for store in STORES:
        for mode, said in MODES.items():
            found = results.all("pages", f"{store}: {PAGES}{mode}")
            bars = [Bar(label(one, mode).partition(", ")[2], one) for one in found]
            panels.append(Panel(f"{store}, {said}", " ×", bars))
    return panels


def label(figure: Figure, mode: str) -> str:
    """What is compared, without the store and what it is compared with."""
    return figure.name.removesuffix(mode).partition(": ")[2].partition(" / ")[0]


def ingest(results: Results) -> list[Panel]:
    ratios, memory = [], []
    for store in STORES:
        ratios += [Bar(f"inboxd, {store}", one) for one in results.all("ingest", f"{store}: {BARE}")]
        for part, pattern, label in (
            ("lists", AT_REST, "at rest"),
            ("lists", AFTER, "after lists and arrivals"),
            ("ingest", INGESTING, "while updates come"),
            ("ingest", SOCKETS, "with live-chat sockets open"),
        ):
            memory += [Bar(f"{store}, {label}", one) for one in results.all(part, f"{store}: {pattern}")]
    return [
        Panel("Updates a second, beside a bare loop that writes the same rows (loop = 1)", " ×", ratios),
        Panel("Resident memory of inboxd", " MB", memory),
    ]


def draw(title: str, panels: list[Panel], about: dict[str, str]) -> str:
    parts = [f'<text class="title ink" x="20" y="34">{escape(title)}</text>']
    y = 52
    goals = False
    for panel in panels:
        y += 22
        parts.append(f'<text class="heading ink" x="20" y="{y}">{escape(panel.heading)}</text>')
        y += 10
        goals = goals or any(bar.figure.limits for bar in panel.bars)
        parts += draw_bars(panel, y)
        y += ROW * len(panel.bars) + 8
    y += 22
    legend = f"{about['repeats']}, thin line: lowest to highest" + ("; " if goals else "")
    parts.append(f'<text class="small muted" x="20" y="{y}">{escape(legend)}{"upright line: the goal" if goals else ""}</text>')
    y += 17
    parts.append(f'<text class="small muted" x="20" y="{y}">{escape(about["machine"])}; {about["date"]}</text>')
    height = y + 18
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n"
        f'<rect class="surface" width="{WIDTH}" height="{height}" rx="8"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def draw_bars(panel: Panel, y: float) -> list[str]:
    largest = max(max(bar.figure.values + bar.figure.limits) for bar in panel.bars)
    scale = BAR / largest

    def at(value: float) -> float:
        return round(LEFT + value * scale, 1)

    parts = [f'<path class="axis" d="M{LEFT} {y}v{ROW * len(panel.bars)}"/>']
    for bar in panel.bars:
        figure, middle = bar.figure, y + ROW / 2
        low, high = min(figure.values), max(figure.values)
        parts += [
            f'<text class="muted" x="{LEFT - 10}" y="{middle + 4.5}" text-anchor="end">{escape(bar.label)}</text>',
            f'<rect class="{"ours" if bar.ours else "other"}" x="{LEFT}" y="{y + 5}" width="{max(1, at(figure.median) - LEFT)}" '
            f'height="{ROW - 10}" rx="2"/>',
        ]
        if low != high:
            parts.append(f'<path class="line" stroke-width="1.2" d="M{at(low)} {middle}H{at(high)}"/>')
        for limit in figure.limits:
            parts.append(f'<path class="goal" stroke-width="2" d="M{at(limit)} {y + 2}v{ROW - 4}"/>')
        end = max(map(at, [high, *figure.limits])) + 8
        value = f"{figure.median:{figure.form}}{panel.unit}"
        goal = f' <tspan class="small muted">{escape(verdict(figure, panel.unit))}</tspan>' if figure.goal else ""
        parts.append(f'<text class="ink" x="{end}" y="{middle + 4.5}">{escape(value)}{goal}</text>')
        y += ROW
    return parts


def verdict(figure: Figure, unit: str) -> str:
    return f"{figure.goal}{unit}: {'met' if figure.met else 'not met'}"


def said(figure: Figure, unit: str) -> str:
    """The goal in words."""
    return figure.goal.replace("within", "within a factor of") if figure.goal.startswith("within") else figure.goal + unit


def figures(results: Results) -> str:
    """The page's table: of each group of figures the one that is farthest from its goal."""
    about = results.about
    count = {name: about[name] for name in ("arrivals", "many_accounts", "many_messages", "many_inboxes", "sockets", "waiting")}
    commit = f", commit {about['commit']}" if about["commit"] else ""
    # Label, part, pattern of the figures' names, unit.
    rows = [
        ("CPU of a list, beside nginx sending the same bytes", "lists", QUIET, " ×"),
        ("the same while {arrivals} messages a second arrive", "lists", BUSY, " ×"),
        ("CPU of a page of 50 messages, beside nginx sending the same bytes; PostgreSQL: beside pgbench running the same statements",
         "reading", READ.format("messages"), " ×"),
        ("the same of 50 conversations, each with its last message", "reading", READ.format("conversations"), " ×"),
        ("99 % of 100 such pages a second while {arrivals} messages a second arrive, beside without", "reading", READ_BESIDE, " ×"),
        ("CPU of a list with 1 or {many_accounts} accounts, of which 1,000 ask, beside 1,000", "flat", SOME_ASK, " ×"),
        ("the same if all {many_accounts} ask, with room for them in memory", "flat", f"{ALL_ASK}, room for all", " ×"),
        ("the same without room for them", "flat", ALL_ASK, " ×"),
        ("CPU of a list with {many_messages} messages, beside none", "flat", MESSAGES, " ×"),
        ("CPU of a page of 50 out of {many_inboxes} inboxes, beside one of 10", "pages", PAGES, " ×"),
        ("start to the first list on the largest database", "start", "start to first list.*", " s"),
        ("updates a second, beside a bare loop that writes the rows", "ingest", BARE, " ×"),
        ("99 % of updates at half that rate answered within", "ingest", "answered at half the rate, .*, p99, ms", " ms"),
        ("a neighbour's updates once one inbox gets all of it, beside before: median", "ingest", f"{NEIGHBOUR} with it for all, p50", " ×"),
        ("the same, 99 %", "ingest", f"{NEIGHBOUR} with it for all, p99", " ×"),
        ("a list meanwhile, beside before: 99 %", "ingest", "a list, beside / with it for all, p99", " ×"),
        ("a neighbour's updates meanwhile, beside an idle server: median", "ingest", f"{NEIGHBOUR} alone, p50", " ×"),
        ("the same, 99 %", "ingest", f"{NEIGHBOUR} alone, p99", " ×"),
        ("a list meanwhile, beside an idle server: 99 %", "ingest", "a list, beside / alone, p99", " ×"),
        ("an accepted message is at the provider, idle server: median", "sending", "from the 201 to the provider, idle, p50, ms", " ms"),
        ("the same, 99 %", "sending", "from the 201 to the provider, idle, p99, ms", " ms"),
        ("messages sent a second, to a provider that takes 50 ms", "sending", "messages sent a second", ""),
        ("updates a second while half as many messages are sent as can be, beside without", "sending", "updates a second, .* / without", " ×"),
        ("CPU of an idle server while {waiting} messages wait, beside 100", "sending", "CPU of a second, .* / 100", " ×"),
        ("resident memory while messages are sent", "sending", "resident memory while sending, MB", " MB"),
        ("resident memory at rest", "lists", AT_REST, " MB"),
        ("resident memory after the loads of lists", "lists", AFTER, " MB"),
        ("resident memory with {sockets} live-chat sockets open", "ingest", SOCKETS, " MB"),
    ]
    lines = [
        f"{about['repeats'].capitalize()} (lowest to highest), {about['machine']}, {about['date']}{commit}.",
        "Where several loads stand behind a line, it is the one that is farthest from its goal.",
        "",
        f"| | {' | '.join(STORES)} | goal |",
        "|---|---|---|---|",
    ]
    for label, part, pattern, unit in rows:
        found = [results.worst(part, f"{store}: {pattern}") for store in STORES]
        # Most goals are the same on both stores.
        goal = " / ".join(dict.fromkeys(said(one, unit) for one in found if one and one.goal))
        if any(found):
            cells = " | ".join(cell(one, unit) for one in found)
            lines.append(f"| {label.format(**count)} | {cells} | {goal} |")
    for name in ("Fastify", "FastAPI"):
        for one in results.all("others", f"{name}: {QUIET}"):
            lines.append(f"| CPU of the same list from a {name} service, beside nginx | {cell(one, ' ×')} | | |")
    return "\n".join(lines)


def shortfall(figure: Figure) -> str:
    """That fewer messages came than should have."""
    came = re.search(r"while only ([\d,]+) of", figure.name)
    return f" (only {came[1]} came)" if came else ""


def cell(figure: Figure | None, unit: str) -> str:
    if figure is None:
        return ""
    return figure.text(unit) + shortfall(figure) + ("; **not met**" if figure.met is False else "")


if __name__ == "__main__":
    here = Path(__file__).parent
    publish(Path(sys.argv[1]) if len(sys.argv) > 1 else here / "results.json", here.parent)
