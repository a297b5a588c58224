"""The measurements of ``python -m kernels.bench`` as text, JSON and a Markdown table in a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from .errors import KernelError

BEGIN = "<!-- kernels.bench: the lines down to the end mark are written by `make bench-readme` -->"
END = "<!-- end of kernels.bench -->"


@dataclass(frozen=True)
class Row:
    """One line of the table. ``rate`` and ``reference`` are samples (or parameters) per second; ``share`` is of ``limit``."""

    name: str
    rate: float
    reference: float | None
    limit: str | None = None
    share: float | None = None

    @property
    def speedup(self) -> float | None:
        """Rate against the reference."""
        return None if self.reference is None else self.rate / self.reference


@dataclass(frozen=True)
class Report:
    """Everything that was measured.

    Attributes:
        machine: What it was measured on.
        rows: The table.
        limits: What the machine does at most: float32 operations and bytes copied per second.
        memory_mib: Peak extra memory of a step of 2^18 samples, by the step's name.
    """

    machine: Mapping[str, str | int]
    rows: Sequence[Row]
    limits: Mapping[str, float]
    memory_mib: Mapping[str, float]


def as_json(report: Report) -> dict[str, object]:
    """Plain values; :func:`from_json` is the inverse."""
    rows = [asdict(row) | {"speedup": row.speedup} for row in report.rows]
    return {"machine": dict(report.machine), "rows": rows, "limits": dict(report.limits), "memory_mib": dict(report.memory_mib)}


def from_json(values: Mapping) -> Report:
    """The report that :func:`as_json` made.

    Raises:
        KernelError: If a part of it is missing.
    """
    try:
        rows = [Row(**{key: row[key] for key in ("name", "rate", "reference", "limit", "share")}) for row in values["rows"]]
        return Report(values["machine"], rows, values["limits"], values["memory_mib"])
    except (KeyError, TypeError) as error:
        raise KernelError(f"these are not results of kernels.bench --json: {error!r} is missing or of the wrong kind") from error


def as_text(report: Report) -> str:
    """For a terminal."""
    lines = [", ".join(f"{key} {value}" for key, value in report.machine.items())]
    lines.append(f"{'':58} {'M/s':>9} {'reference':>10} {'ratio':>7}  share of the machine's limit")
    for row in report.rows:
        reference = "" if row.reference is None else f"{row.reference / 1e6:10.3f}"
        ratio = "" if row.speedup is None else f"{row.speedup:6.1f}x"
        share = "" if row.share is None else f"{100 * row.share:5.0f} % of {row.limit}"
        lines.append(f"{row.name:58} {row.rate / 1e6:9.2f} {reference:>10} {ratio:>7}  {share}".rstrip())
    lines += [f"{name}: {rate / 1e9:.1f} G/s" for name, rate in report.limits.items()]
    lines += [f"peak extra memory, {name} of 2^18 samples: {mib:.0f} MiB" for name, mib in report.memory_mib.items()]
    return "\n".join(lines)


def as_markdown(report: Report) -> str:
    """A table, and beneath it what it was measured on."""
    lines = ["| | million/s | plain torch | ratio | of the machine's own limit |", "|---|---:|---:|---:|---|"]
    for row in report.rows:
        reference = "" if row.reference is None else _short(row.reference / 1e6)
        ratio = "" if row.speedup is None else f"{row.speedup:.1f} ×" if row.speedup < 100 else f"{row.speedup:.0f} ×"
        share = "" if row.share is None else f"{100 * row.share:.0f} % of {row.limit}"
        lines.append(f"| {row.name} | {_short(row.rate / 1e6)} | {reference} | {ratio} | {share} |")
    machine = ", ".join(f"{key} {value}" for key, value in report.machine.items())
    limits = ", ".join(f"{name} {rate / 1e9:.0f} G/s" for name, rate in report.limits.items())
    memory = ", ".join(f"{name} {mib:.0f} MiB" for name, mib in report.memory_mib.items())
    return "\n".join([*lines, "", f"Measured on: {machine}; {limits}. Peak extra memory with 2^18 samples: {memory}."])


def _short(rate: float) -> str:
    return f"{rate:.0f}" if rate >= 100 else f"{rate:.1f}" if rate >= 10 else f"{rate:.2f}" if rate >= 0.1 else f"{rate:.3f}"


def check_page(page: Path) -> None:
    """That a page has one begin and one end mark, in this order.

    Raises:
        KernelError: If it has not, or cannot be read.
    """
    _split(page)


def write_page(page: Path, report: Report) -> None:
    """Replace what stands between the marks of a page by the table.

    Raises:
        KernelError: As :func:`check_page`.
    """
    before, after = _split(page)
    page.write_text(f"{before}{BEGIN}\n\n{as_markdown(report)}\n\n{END}{after}", encoding="utf-8")


def _split(page: Path) -> tuple[str, str]:
    try:
        text = page.read_text(encoding="utf-8")
    except OSError as error:
        raise KernelError(f"{page} cannot be read: {error.strerror}") from error
    begin, end = text.find(BEGIN), text.find(END)
    if text.count(BEGIN) != 1 or text.count(END) != 1 or end < begin:
        raise KernelError(f"{page} must have the line {BEGIN!r} and after it the line {END!r}, once each: the table goes between them")
    return text[:begin], text[end + len(END) :]
