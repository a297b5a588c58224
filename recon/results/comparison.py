"""`recon compare`: the figures of runs that exist, a row each; as text, CSV, Markdown or LaTeX."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from recon.console import duration
from recon.errors import DataError, recon_command
from recon.system.foreign import read_object
from recon.system.text import markdown, printable

TableFormat = Literal["text", "csv", "markdown", "latex"]


@dataclass(frozen=True)
class Figure:
    """A column: where its value stands in results.json, and how it is shown."""

    title: str
    path: tuple[str, ...]
    digits: int = 2


FIGURES = (
    Figure("PSNR [dB]", ("images", "psnr")),
    Figure("PSNR inside [dB]", ("images", "psnr_masked")),
    Figure("SSIM", ("images", "ssim"), 4),
    Figure("textured mesh PSNR [dB]", ("textured_mesh", "psnr")),
    Figure("silhouette IoU", ("silhouettes", "mean"), 4),
    Figure("Chamfer-L1 [% of diagonal]", ("surface", "chamfer_percent_of_diagonal"), 3),
    Figure("normal consistency", ("surface", "normal_consistency"), 4),
    Figure("DTU Chamfer [mm]", ("dtu", "overall"), 3),
    Figure("curves F at 5 mm", ("curves", "f5"), 3),
    Figure("curves F at 20 mm", ("curves", "f20"), 3),
    Figure("PSNR of the fit [dB]", ("psnr",)),
    Figure("IoU of the fit", ("iou",), 4),
)


def compare(runs: Sequence[Path], form: TableFormat) -> str:
    """A table of runs: what each is, how long it was trained, and every figure that at least one of them has.

    Args:
        runs: Folders of reconstructions and fits that were evaluated.
        form: How the table is written.
    Raises:
        DataError: If one has no results.
    """
    rows = [_results(run) for run in runs]
    shown = [f for f in FIGURES if any(_value(row, f) is not None for row in rows)]
    titles = ["run", "scene", "method", "training", *(f.title for f in shown)]
    table = [
        [
            run.name,
            str(row.get("scene") or Path(str(row.get("source", ""))).stem),
            "-".join(str(row[k]) for k in ("method", "field", "preset") if row.get(k)),
            _time(row.get("training_seconds"), form),
            *(_number(_value(row, f), f.digits) for f in shown),
        ]
        for run, row in zip(runs, rows, strict=True)
    ]
    return {"text": _text, "csv": _csv, "markdown": _markdown, "latex": as_latex}[form]([titles, *table])


def _results(run: Path) -> dict[str, Any]:
    path = run / "eval" / "results.json"
    if not path.is_file():
        raise DataError(f"{run}: it has no eval/results.json", hint=f"{recon_command('evaluate', run)}, or give the folder of a run")
    return read_object(path, "results of an evaluation", {}, recon_command("evaluate", run))


def _value(row: dict[str, Any], figure: Figure) -> float | None:
    value: Any = row
    for key in figure.path:
        value = value.get(key) if isinstance(value, dict) else None
    if isinstance(value, str):  # what JSON has no number for
        return float("inf") if value == "Infinity" else None
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def _time(seconds: Any, form: TableFormat) -> str:
    if not isinstance(seconds, int | float):
        return ""
    return f"{seconds:.1f}" if form == "csv" else duration(seconds)


def _text(table: list[list[str]]) -> str:
    table = [[printable(cell) for cell in row] for row in table]
    widths = [max(len(row[k]) for row in table) for k in range(len(table[0]))]
    lines = [[cell.ljust(w) if k < 3 else cell.rjust(w) for k, (cell, w) in enumerate(zip(row, widths, strict=True))] for row in table]
    return "\n".join("  ".join(line).rstrip() for line in lines)


def _csv(table: list[list[str]]) -> str:
    return as_csv([[*table[0][:3], "training [s]", *table[0][4:]], *table[1:]])


def as_csv(table: list[list[str]]) -> str:
    """A table as CSV, titles in its first row."""
    out = io.StringIO()
    # A cell that a spreadsheet would take for a formula is text.
    csv.writer(out, lineterminator="\n").writerows([["'" + c if c[:1] in ("=", "+", "@") else c for c in row] for row in table])
    return out.getvalue().rstrip("\n")


def _markdown(table: list[list[str]]) -> str:
    rows = [[markdown(cell) for cell in row] for row in table]
    rule = ["---"] * 3 + ["---:"] * (len(table[0]) - 3)
    return "\n".join("| " + " | ".join(row) + " |" for row in [rows[0], rule, *rows[1:]])


def as_latex(table: list[list[str]]) -> str:
    """A table for LaTeX with booktabs; the first three columns are text."""
    special = {c: f"\\{c}" for c in "&%$#_{}"} | {"~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\\": r"\textbackslash{}"}
    rows = [[printable(cell).translate(str.maketrans(special)) for cell in row] for row in table]
    body = [" & ".join(row) + r" \\" for row in rows]
    columns = "lll" + "r" * (len(table[0]) - 3)
    return "\n".join([rf"\begin{{tabular}}{{{columns}}}", r"\toprule", body[0], r"\midrule", *body[1:], r"\bottomrule", r"\end{tabular}"])
