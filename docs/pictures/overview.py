"""Draws overview.svg, the picture at the top of the README. Run it again after a change:

    python3 docs/pictures/overview.py

Plain SVG without fonts or scripts of its own. It follows the reader's light or dark setting.
"""

from html import escape
from pathlib import Path

WIDTH = 960
STYLE = """
  .page { fill: #ffffff; stroke: #e3e2dc } .card { fill: #fafaf8; stroke: #dcdbd4 } .core { fill: #f2f7fd; stroke: #2a78d6 }
  .store { fill: #ffffff; stroke: #b9d3f0 } .ink { fill: #16181d } .muted { fill: #5f5e5a } .accent { fill: #2062b4 }
  .flow { stroke: #9a998f; fill: none } .head { fill: #9a998f }
  .whatsapp { fill: #25a35a } .instagram { fill: #c13584 } .telegram { fill: #2a90d6 } .livechat { fill: #d97706 }
  .glyph { fill: #ffffff } .glyph-line { stroke: #ffffff; fill: none }
  text { font: 14px system-ui, -apple-system, "Segoe UI", sans-serif }
  .title { font-size: 24px; font-weight: 650 } .name { font-weight: 600 } .small { font-size: 12.5px }
  .code { font: 12.5px ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
  @media (prefers-color-scheme: dark) {
    .page { fill: #0f1216; stroke: #262b33 } .card { fill: #161a20; stroke: #2d333c } .core { fill: #13233a; stroke: #4b94e6 }
    .store { fill: #0f1b2c; stroke: #2f527e } .ink { fill: #eceff4 } .muted { fill: #a3a9b4 } .accent { fill: #7db4f2 }
    .flow { stroke: #6b7280 } .head { fill: #6b7280 }
  }
"""

# A channel: its class, its name, and what of it is meant.
CHANNELS = [
    ("whatsapp", "WhatsApp", "Cloud API"),
    ("instagram", "Instagram", "direct messages"),
    ("telegram", "Telegram", "bots"),
    ("livechat", "Your website", "live chat"),
]
LEFT, CHANNEL_WIDTH, CHANNEL_HEIGHT, GAP = 32, 190, 64, 16
TOP = 48
CORE_LEFT, CORE_WIDTH = 320, 236
RIGHT, RIGHT_WIDTH = 648, 280
TALL = 4 * CHANNEL_HEIGHT + 3 * GAP

# What the software on the right sees: an inbox's name, its channel, and the rest of its line.
INBOXES = [
    ("Customer Support", "whatsapp · active · 15,420 messages"),
    ("Instagram DM", "instagram · active · 8,932 messages"),
    ("Website", "livechat · active · 311 messages"),
    ("Order bot", "telegram · pending"),
]


def text(x: float, y: float, kind: str, words: str, **more: str) -> str:
    extra = "".join(f' {name.replace("_", "-")}="{value}"' for name, value in more.items())
    return f'<text class="{kind}" x="{x}" y="{y}"{extra}>{escape(words)}</text>'


def card(kind: str, x: float, y: float, width: float, height: float, radius: int = 10) -> str:
    return f'<rect class="{kind}" x="{x}" y="{y}" width="{width}" height="{height}" rx="{radius}" stroke-width="1.2"/>'


def arrow(path: str) -> str:
    return f'<path class="flow" stroke-width="1.6" marker-end="url(#arrow)" d="{path}"/>'


def glyph(kind: str, x: float, y: float) -> str:
    """A round sign for a channel: a speech bubble, a camera, a paper plane, a browser window. No provider's logo."""
    signs = {
        "whatsapp": '<path class="glyph" d="M-8 -6h16a2 2 0 0 1 2 2v7a2 2 0 0 1 -2 2h-9l-5 4v-4h-2a2 2 0 0 1 -2 -2v-7a2 2 0 0 1 2 -2z"/>',
        "instagram": '<rect class="glyph-line" stroke-width="2" x="-8" y="-8" width="16" height="16" rx="4.5"/>'
        '<circle class="glyph-line" stroke-width="2" r="3.6"/><circle class="glyph" cx="4.6" cy="-4.6" r="1.1"/>',
        "telegram": '<path class="glyph" d="M-9 0L9 -8L5 8L-1 3L-2 8L-4 2z"/>',
        "livechat": '<rect class="glyph-line" stroke-width="2" x="-9" y="-7" width="18" height="14" rx="2"/>'
        '<path class="glyph-line" stroke-width="2" d="M-9 -2.5h18"/>',
    }
    return f'<g transform="translate({x} {y})"><circle class="{kind}" r="17"/>{signs[kind]}</g>'


def channels() -> list[str]:
    parts = []
    for index, (kind, name, what) in enumerate(CHANNELS):
        y = TOP + index * (CHANNEL_HEIGHT + GAP)
        middle = y + CHANNEL_HEIGHT / 2
        parts += [
            card("card", LEFT, y, CHANNEL_WIDTH, CHANNEL_HEIGHT),
            glyph(kind, LEFT + 34, middle),
            text(LEFT + 64, middle - 3, "ink name", name),
            text(LEFT + 64, middle + 16, "muted small", what),
            arrow(f"M{LEFT + CHANNEL_WIDTH + 8} {middle - 8}H{CORE_LEFT - 10}"),
            arrow(f"M{CORE_LEFT - 8} {middle + 8}H{LEFT + CHANNEL_WIDTH + 10}"),
        ]
    return parts


def core() -> list[str]:
    middle = CORE_LEFT + CORE_WIDTH / 2
    lines = ["checks every signature", "stores each message once", "then confirms it to the provider", "sends each answer once"]
    parts = [card("core", CORE_LEFT, TOP, CORE_WIDTH, TALL, 14), text(middle, TOP + 44, "ink title", "inboxd", text_anchor="middle")]
    parts += [text(middle, TOP + 78 + 24 * index, "muted", line, text_anchor="middle") for index, line in enumerate(lines)]
    bottom = TOP + TALL - 126
    parts += [
        card("store", CORE_LEFT + 28, bottom, CORE_WIDTH - 56, 98),
        text(middle, bottom + 34, "ink name", "one SQLite file", text_anchor="middle"),
        text(middle, bottom + 56, "muted small", "or PostgreSQL,", text_anchor="middle"),
        text(middle, bottom + 74, "muted small", "and any number of nodes", text_anchor="middle"),
    ]
    return parts


def software() -> list[str]:
    parts = [card("card", RIGHT, TOP, RIGHT_WIDTH, TALL)]
    parts.append(text(RIGHT + 24, TOP + 34, "ink name", "Your own software"))
    parts.append(text(RIGHT + 24, TOP + 62, "code accent", "GET /inboxes"))
    for index, (name, line) in enumerate(INBOXES):
        y = TOP + 104 + 52 * index
        parts += [text(RIGHT + 24, y, "ink", name), text(RIGHT + 24, y + 19, "muted small", line)]
    half = TOP + TALL / 2
    left, right = CORE_LEFT + CORE_WIDTH + 8, RIGHT - 8
    middle = (left + right) / 2
    parts += [
        arrow(f"M{right} {half - 16}H{left + 2}"),
        arrow(f"M{left} {half + 16}H{right - 2}"),
        text(middle, half - 42, "muted small", "asks,", text_anchor="middle"),
        text(middle, half - 26, "muted small", "answers", text_anchor="middle"),
        text(middle, half + 36, "muted small", "JSON,", text_anchor="middle"),
        text(middle, half + 52, "muted small", "events", text_anchor="middle"),
    ]
    return parts


def draw() -> str:
    title = "WhatsApp, Instagram, Telegram and a website's chat deliver to inboxd; your own software reads and answers over its API"
    parts = channels() + core() + software()
    height = TOP + TALL + 48
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n"
        '<defs><marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path class="head" d="M0 0.5L8 4L0 7.5z"/></marker></defs>\n'
        f'<rect class="page" x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="12"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


if __name__ == "__main__":
    Path(__file__).with_suffix(".svg").write_text(draw())
