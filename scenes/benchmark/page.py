"""Pieces of a web page that needs nothing but itself: escaping, sortable tables, pictures inside the text."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

STYLE = """
:root { color-scheme: light; --line: #d8dbe0; --soft: #f5f6f8; --quiet: #5b6270; }
body { font: 14px/1.45 system-ui, sans-serif; color: #1c2026; margin: 0 auto; padding: 24px; max-width: 2000px; }
h1 { font-size: 24px; margin: 0 0 4px; } h2 { font-size: 18px; margin: 32px 0 8px; } h3 { font-size: 15px; margin: 20px 0 6px; }
p { margin: 4px 0; } .quiet { color: var(--quiet); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: 5px 10px; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
th.text, td.text { text-align: left; } td.text { white-space: normal; overflow-wrap: break-word; max-width: 24em; }
thead th { background: var(--soft); vertical-align: bottom; font-weight: 600; }
thead small { display: block; font-weight: 400; color: var(--quiet); }
thead button { all: unset; cursor: pointer; } thead button:focus-visible { outline: 2px solid #2c4ba0; }
th[aria-sort=ascending] button::after { content: " ▲"; } th[aria-sort=descending] button::after { content: " ▼"; }
tbody tr:hover { background: var(--soft); }
.bad { color: #a50026; font-weight: 600; }
.failed { border-left: 4px solid #a50026; background: #fdf3f3; padding: 8px 12px; margin: 8px 0; }
pre { overflow-x: auto; font-size: 12px; margin: 6px 0; }
.strip { display: grid; grid-auto-flow: column; grid-auto-columns: minmax(150px, 320px); gap: 8px; margin: 4px 0 10px; overflow-x: auto; }
figure { margin: 0; } figure img { display: block; box-sizing: border-box; width: 100%; height: auto; border: 1px solid var(--line); }
figcaption { color: var(--quiet); font-size: 12px; }
.bar { display: inline-block; width: 160px; height: 10px; vertical-align: middle; border: 1px solid var(--line); }
"""

# Numbers sort as numbers, missing ones last in both directions; a second click turns the order round.
SCRIPT = """
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells], body = table.tBodies[0];
  heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
    const down = head.getAttribute("aria-sort") === "ascending";
    for (const other of heads) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const value = row => row.cells[column].dataset.value ?? row.cells[column].textContent.trim();
    const numeric = head.dataset.kind === "number";
    const rows = [...body.rows].sort((a, b) => {
      const x = value(a), y = value(b);
      if (x === "" || y === "") return (x === "") - (y === "");
      return (down ? -1 : 1) * (numeric ? Number(x) - Number(y) : x.localeCompare(y));
    });
    body.append(...rows);
  }));
}
"""


@dataclass(frozen=True)
class Column:
    """A column of a table: its title, the smaller line under it, and whether it holds numbers."""

    title: str
    unit: str = ""
    numeric: bool = True


@dataclass(frozen=True)
class Cell:
    """What a cell shows, what it is sorted by (None: missing, sorted last), and whether it is bad news."""

    text: str
    value: float | str | None = None
    bad: bool = False


def table(columns: Sequence[Column], rows: Sequence[Sequence[Cell]]) -> str:
    """A table that sorts by the column whose title is clicked."""
    heads = []
    for c in columns:
        kind = "" if c.numeric else ' class="text"'
        unit = f"<small>{escape(c.unit)}</small>" if c.unit else ""
        heads.append(f'<th scope="col" data-kind="{"number" if c.numeric else "text"}"{kind}><button>{escape(c.title)}</button>{unit}</th>')
    body = []
    for row in rows:
        cells = []
        for c, cell in zip(columns, row, strict=True):
            classes = " ".join(name for name, on in (("text", not c.numeric), ("bad", cell.bad)) if on)
            value = "" if cell.value is None else str(cell.value).replace("inf", "Infinity")
            shown = f' class="{classes}"' if classes else ""
            cells.append(f'<td{shown} data-value="{escape(value)}">{escape(cell.text)}</td>')
        body.append(f"<tr>{''.join(cells)}</tr>")
    return (
        f'<div class="scroll"><table class="sortable"><thead><tr>{"".join(heads)}</tr></thead>'
        f"<tbody>\n{chr(10).join(body)}\n</tbody></table></div>"
    )


def picture(path: Path, caption: str) -> str:
    """A JPEG file as part of the page."""
    data = base64.b64encode(path.read_bytes()).decode("ascii")
    text = escape(caption)
    return f'<figure><img alt="{text}" src="data:image/jpeg;base64,{data}"><figcaption>{text}</figcaption></figure>'


def page(title: str, body: str) -> str:
    """The whole page. Its policy forbids it to fetch anything."""
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{escape(title)}</title>\n<style>{STYLE}</style>\n'
        f"</head>\n<body>\n{body}\n<script>{SCRIPT}</script>\n</body>\n</html>\n"
    )
