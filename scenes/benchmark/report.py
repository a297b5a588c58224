"""The report of a batch: ``summary.json`` for programs, ``summary.md`` for text, ``report.html`` to look at, all from one summary."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Any

from recon.errors import DataError
from recon.results.comparison import as_csv, as_latex
from recon.system import text
from recon.system.files import write_text_atomically
from scenes.benchmark.figures import FIGURES, GROUP, Figure, differing, number, show, variant
from scenes.benchmark.jobs import write_json
from scenes.benchmark.page import Cell, Column, page, picture, table
from scenes.benchmark.scale import CURVE_ERROR_SHARE, ERROR_SHARE, SCALE

_PICTURE_TITLES = {
    "photograph": "photograph",
    "render": "render",
    "normals": "normals",
    "mesh": "mesh",
    "error": "error of the mesh",
    "missed": "truth missed by the mesh",
    "signal": "what was to be fitted",
    "fitted": "fitted",
    "fit_error": "mean absolute error of the channels: black 0 to white 0.05 and more",
    "true_mesh": "truth",
    "curves": "curves by type: line blue, arc yellow, circle orange, ellipse green, free curve pink",
    "curve_error": "curves by distance to the truth; true curves in black beneath",
}
_SURFACE_WORDS = ("distance to the other surface", f"({100 * ERROR_SHARE:g} % of the diagonal); darker where seen at a slant")
_CURVE_WORDS = ("mean distance of a curve to the true ones", f"({100 * CURVE_ERROR_SHARE:g} % of the object's longest side)")
_SPREAD_WORDS = "± is the standard deviation over seeds, where there are several."


def write_report(folder: Path, summary: dict[str, Any], out: Path) -> None:
    """Write ``summary.json``, ``summary.md``, ``report.html``, and the table of scenes as ``summary.csv`` and ``summary.tex``.

    Args:
        folder: Where they go.
        summary: From :func:`scenes.benchmark.run.summarize`.
        out: Folder of all jobs; the pictures are read from there.
    """
    write_json(folder / "summary.json", summary)
    (folder / "summary.md").write_text(markdown(summary), encoding="utf-8")
    (folder / "report.html").write_text(html(summary, out), encoding="utf-8")
    write_text_atomically(folder / "summary.csv", as_csv(plain_table(summary, exact=True)) + "\n")
    write_text_atomically(folder / "summary.tex", as_latex(plain_table(summary, exact=False)) + "\n")


def plain_table(summary: dict[str, Any], exact: bool) -> list[list[str]]:
    """Scenes and configurations with their figures, titles first; ``exact``: plain means with all digits, without spreads."""
    groups = summary["groups"]
    figures, (_, name) = shown_figures(groups), differing(groups)
    rows = [["scene", "configuration", "jobs", *(f"{f.title} [{f.unit}]" if f.unit else f.title for f in figures)]]
    for group in groups:
        values = [group["figures"][f.key] for f in figures]
        shown = [_exact(v) if exact else _text(f, v) for f, v in zip(figures, values, strict=True)]
        rows.append([group["scene"], name(group), f"{group['done']}/{group['jobs']}", *shown])
    return rows


def _exact(value: dict[str, Any] | None) -> str:
    mean = None if value is None else number(value["mean"])
    return "" if mean is None else repr(mean)


def read_summary(path: Path) -> dict[str, Any]:
    """A summary, from its file or its folder; infinite figures are numbers again.

    Raises:
        DataError: If it is missing or is not one.
    """
    file = path / "summary.json" if path.is_dir() else path
    try:
        summary = json.loads(file.read_text())
        groups = summary["groups"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{file}: not a summary of `recon benchmark` ({error})", hint="give a folder that holds summary.json") from error
    for group in groups:
        for value in group["figures"].values():
            if value is not None:
                value["mean"] = number(value["mean"])
    return summary


def shown_figures(rows: Iterable[dict[str, Any]]) -> list[Figure]:
    """Those that at least one row has."""
    rows = list(rows)
    return [f for f in FIGURES if any(r["figures"].get(f.key) is not None for r in rows)]


def text_lines(summary: dict[str, Any]) -> list[str]:
    """The figures of each group, a line each, for the terminal."""
    lines = []
    for group in summary["groups"]:
        shown = [f"{f.title} {_text(f, group['figures'][f.key])} {f.unit}".rstrip() for f in shown_figures([group])]
        count = "" if group["done"] == group["jobs"] else f"{group['done']} of {group['jobs']} jobs done  "
        lines.append(f"{group['scene']}  {variant(group)}: {count}{', '.join(shown)}")
    return lines


def markdown(summary: dict[str, Any]) -> str:
    """The summary as text with tables."""
    lines = [f"# Benchmark: {text.markdown(summary['suite'])}", "", text.markdown(summary["about"]), ""]
    lines += [*(f"- {text.markdown(fact)}" for fact in _facts(summary)), ""]
    if alike := differing(summary["groups"])[0]:
        lines += [f"All rows: {text.markdown(alike)}.", ""]
    failed = [r for r in summary["rows"] if r["state"] != "done"]
    if failed:
        lines += ["## Not done", ""]
        for row in failed:
            lines += [f"- {text.markdown(row['name'])}: {row['state']}; {text.markdown(row['message'])}", ""]
            lines += [*(f"      {text.printable(line)}" for line in row["log_tail"]), ""]
    for title, rows, head, cells in (
        ("Means over scenes", summary["means"], ["configuration", "scenes"], _mean_head(summary)),
        ("Per scene", summary["groups"], ["scene", "configuration", "jobs"], _group_head(summary)),
    ):
        figures = shown_figures(rows)
        heads = [*head, *(f"{f.title} [{f.unit}]" if f.unit else f.title for f in figures)]
        lines += [f"## {title}", "", _md_row(heads), _md_row(["---"] * len(head) + ["---:"] * len(figures))]
        for row in rows:
            lines.append(_md_row([*(text.markdown(c.text) for c in cells(row)), *(_text(f, row["figures"][f.key]) for f in figures)]))
        lines.append("")
    lines += [_SPREAD_WORDS, "", "## How it was measured", ""]
    lines += [f"- {kind}: {text.markdown(_protocol_text(p))}" for kind, p in summary["protocols"].items()]
    return "\n".join(lines) + "\n"


def html(summary: dict[str, Any], out: Path) -> str:
    """The summary as one page with everything in it."""
    title = f"Benchmark: {summary['suite']}"
    facts = "".join(f'<p class="quiet">{escape(fact)}</p>' for fact in _facts(summary))
    parts = [f"<h1>{escape(title)}</h1>\n<p>{escape(summary['about'])}</p>\n{facts}"]
    for row in summary["rows"]:
        if row["state"] != "done":
            log = escape("\n".join(row["log_tail"]))
            parts.append(
                f'<div class="failed"><b>{escape(row["state"])}</b> {escape(row["name"])}<br>{escape(row["message"])}'
                f"<details><summary>last lines of its log</summary><pre>{log}</pre></details></div>"
            )
    if alike := differing(summary["groups"])[0]:
        parts.append(f"<p>All rows: {escape(alike)}.</p>")
    parts.append("<h2>Means over scenes</h2>" + _html_table(summary["means"], ("configuration", "scenes"), _mean_head(summary)))
    parts.append("<h2>Per scene</h2>" + _html_table(summary["groups"], ("scene", "configuration", "jobs"), _group_head(summary)))
    parts.append(f'<p class="quiet">{escape(_SPREAD_WORDS)} Click on a title to sort.</p>')
    parts.append("<h2>Pictures</h2>" + _pictures(summary, out))
    parts.append("<h2>All jobs</h2>" + _jobs_table(summary["rows"]))
    protocols = "".join(f"<p><b>{escape(k)}</b>: {escape(_protocol_text(p))}</p>" for k, p in summary["protocols"].items())
    thresholds = escape("; ".join(f["threshold"] for f in summary["figures"]))
    parts.append(f"<h2>How it was measured</h2>{protocols}<p><b>changes that count in a comparison</b>: {thresholds}</p>")
    return page(title, "\n".join(parts))


def _facts(summary: dict[str, Any]) -> list[str]:
    rows = summary["rows"]
    done = sum(r["state"] == "done" for r in rows)
    reused = sum(r["reused"] for r in rows)
    facts = [
        f"{summary['created']}, formfield {summary['version']}, source code {summary['code_fingerprint'][:12]}",
        f"{done} of {len(rows)} jobs done ({reused} of them before), executor {summary['executor']}, {summary['jobs_at_once']} at once",
    ]
    for name, environment in summary["machines"].items():
        torch = (environment.get("packages") or {}).get("torch")
        facts.append(f"{name}; {environment['platform']}, Python {environment['python']}, torch {torch}")
    return facts


def _group_head(summary: dict[str, Any]) -> Callable[[dict[str, Any]], list[Cell]]:
    _, name = differing(summary["groups"])

    def head(group: dict[str, Any]) -> list[Cell]:
        count = f"{group['done']}/{group['jobs']}"
        bad = group["done"] < group["jobs"]
        return [Cell(group["scene"], group["scene"]), Cell(name(group), name(group)), Cell(count, count, bad=bad)]

    return head


def _mean_head(summary: dict[str, Any]) -> Callable[[dict[str, Any]], list[Cell]]:
    _, name = differing(summary["groups"])

    def head(row: dict[str, Any]) -> list[Cell]:
        count = f"{len(row['done'])}/{len(row['scenes'])}"
        return [Cell(name(row), name(row)), Cell(count, count, bad=len(row["done"]) < len(row["scenes"]))]

    return head


def _html_table(rows: Sequence[dict[str, Any]], head: Sequence[str], cells: Any) -> str:
    figures = shown_figures(rows)
    columns = [*(Column(h, numeric=False) for h in head), *(Column(f.title, f.unit) for f in figures)]
    return table(columns, [[*cells(r), *(_cell(f, r["figures"][f.key]) for f in figures)] for r in rows])


def _jobs_table(rows: Sequence[dict[str, Any]]) -> str:
    figures = shown_figures(rows)
    columns = [Column(h, numeric=False) for h in ("scene", "configuration")]
    columns += [Column("seed"), Column("state", numeric=False), *(Column(f.title, f.unit) for f in figures)]
    columns += [Column(h, numeric=False) for h in ("host", "run")]
    body = []
    for row in rows:
        values = [_cell(f, _single(row["figures"].get(f.key))) for f in figures]
        state = f"{row['state']}{', before' if row['reused'] else ''}"
        body.append(
            [
                Cell(row["scene"], row["scene"]),
                Cell(variant(row), variant(row)),
                Cell(str(row["seed"]), row["seed"]),
                Cell(state, state, bad=row["state"] != "done"),
                *values,
                Cell(row["host"], row["host"]),
                Cell(row["run"] or "", row["run"] or ""),
            ]
        )
    return table(columns, body)


def _pictures(summary: dict[str, Any], out: Path) -> str:
    """Of each group, the pictures of its first finished job."""
    parts, seen = [], set()
    for row in summary["rows"]:
        key = json.dumps([row[name] for name in GROUP])
        if row["state"] != "done" or key in seen:
            continue
        seen.add(key)
        folder = out / row["pictures"]
        try:
            content = json.loads((folder / "pictures.json").read_text())
        except (OSError, ValueError) as error:
            raise DataError(
                f"{folder / 'pictures.json'}: cannot be read ({error})", hint="delete the job's folder to run it again"
            ) from error
        parts.append(f"<h3>{escape(row['scene'])} – {escape(variant(row))}, seed {row['seed']}</h3>")
        if content["error_scale"] is not None:
            parts.append(_scale(content["error_scale"], content["unit"], _SURFACE_WORDS))
        if content.get("curve_error_scale") is not None:
            parts.append(_scale(content["curve_error_scale"], content["unit"], _CURVE_WORDS))
        for view in content["views"]:
            figures = "".join(picture(folder / file, _PICTURE_TITLES[kind]) for kind, file in view["panels"].items())
            parts.append(f'<p class="quiet">{escape(view["view"])}</p><div class="strip">{figures}</div>')
    return "\n".join(parts) or "<p>No job is done.</p>"


def _scale(greatest: float, unit: str | None, words: tuple[str, str]) -> str:
    stops = ", ".join(f"rgb({r:.0f} {g:.0f} {b:.0f})" for r, g, b in SCALE)
    bar = f'<span class="bar" style="background: linear-gradient(to right, {stops})"></span>'
    return f'<p class="quiet">{escape(words[0])}: 0 {bar} {greatest:.3g} {escape(unit or "world units")} and more {escape(words[1])}</p>'


def _single(value: float | None) -> dict[str, Any] | None:
    return None if value is None else {"mean": value, "sd": None, "n": 1}


def _text(figure: Figure, value: dict[str, Any] | None) -> str:
    return show(figure, None if value is None else {**value, "mean": number(value["mean"])})


def _cell(figure: Figure, value: dict[str, Any] | None) -> Cell:
    mean = None if value is None else number(value["mean"])
    return Cell(_text(figure, value), None if mean is None or math.isnan(mean) else mean)


def _md_row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _protocol_text(protocol: Any) -> str:
    return protocol if isinstance(protocol, str) else "; ".join(f"{k}: {v}" for k, v in protocol.items())
