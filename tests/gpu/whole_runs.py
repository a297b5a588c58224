"""Whole runs for the proof, by the command line, and the sanitizer."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class WholeRun:
    """A command and what it gave on CPUs.

    Attributes:
        name: For the table.
        data: "lego", or what the command line takes.
        words: More words of the command.
        figures: What is read from results.json: a name to the path of the number, its unit, and the CPU's in words.
        seconds_beside: Seconds asked for, and the CPU's, in words.
    """

    name: str
    data: str
    words: tuple[str, ...]
    figures: dict[str, tuple[tuple[str, ...], str, str]]
    seconds_beside: str = ""


PSNR = ("images", "psnr")
CHAMFER = ("surface", "chamfer_percent_of_diagonal")
COMMANDS = (
    WholeRun(
        "bracket, surface",
        "scenes:bracket",
        ("--method", "volsdf", "--preset", "fast"),
        {"PSNR": (PSNR, "dB", ""), "Chamfer-L1, of the diagonal": (CHAMFER, "%", "")},
    ),
    WholeRun(
        "lego, radiance",
        "lego",
        ("--method", "radiance", "--preset", "fast"),
        {"PSNR": (PSNR, "dB", "CPU: 30.6 dB")},
        "asked for: 20 s; two CPU cores: 277 s",
    ),
    WholeRun("lego, surface", "lego", ("--method", "volsdf", "--preset", "fast"), {"PSNR": (PSNR, "dB", "")}, "asked for: 40 s in all"),
    WholeRun(
        "bracket-plain, wireframe",
        "scenes:bracket-plain",
        ("--method", "nef", "--preset", "fast"),
        {"F-score at 5 mm": (("curves", "f5"), "", "CPU, hash grid: 0.849")},
    ),
)
"""The CPU's figures are those of README.md and docs/fields.md; where these have none for the same command, the column is empty."""


@dataclass(frozen=True)
class Figure:
    """One number of a run; see the proof's rows."""

    name: str
    outcome: str
    value: float | None = None
    unit: str = ""
    beside: str = ""
    note: str = ""


def words_of(run: WholeRun, lego: Path | None, out: Path, device: str) -> list[str]:
    """The command's words."""
    data = str(lego) if run.data == "lego" else run.data
    return ["reconstruct", data, *run.words, "--device", device, "--out", str(out), "--eval-views", "5"]


def found(results: dict[str, Any], path: tuple[str, ...]) -> float | None:
    """The number at a path of names and indices, None where there is none."""
    value: Any = results
    for key in path:
        if isinstance(value, dict):
            value = value.get(key)
        elif isinstance(value, list) and key.isdecimal() and int(key) < len(value):
            value = value[int(key)]
        else:
            return None
    return float(value) if isinstance(value, int | float) else None


def read(run: WholeRun, out: Path) -> Iterator[Figure]:
    """The figures of the newest run in a folder; what is missing from them is wrong."""
    newest = max(out.glob("*/*/*/eval/results.json"), key=lambda p: p.stat().st_mtime)
    results = json.loads(newest.read_text())
    for name, (path, unit, beside) in run.figures.items():
        value = found(results, path)
        note = "" if value is not None else f"{'.'.join(path)} is not in results.json"
        yield Figure(name, "wrong" if value is None else "ok", value, unit, beside, note)


def figures(run: WholeRun, lego: Path | None, out: Path, device: str, seconds: float, dry: bool) -> Iterator[Figure]:
    """Run it, and read what it gave; dry: the command line is asked whether it is one."""
    folder = out / run.name.replace(", ", "-")
    if dry:
        from recon.cli.main import parse

        command = parse(words_of(run, lego, folder, "cuda"))
        yield Figure("command", "dry", note=f"{type(command).__name__} parsed, not run")
        return
    began = time.monotonic()
    try:
        done = subprocess.run(
            [sys.executable, "-m", "recon", *words_of(run, lego, folder, device)],
            cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=seconds, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        yield Figure("whole command", "not run", note=f"not done after {seconds:.0f} s")
        return
    if done.returncode:
        yield Figure("whole command", "wrong", note=(done.stderr.strip().splitlines() or ["no word"])[-1])
        return
    yield Figure("whole command", "ok", time.monotonic() - began, "s", run.seconds_beside)
    yield from read(run, folder)


def sanitized(seconds: float) -> tuple[str, str]:
    """Outcome and note of the ops' tests under compute-sanitizer."""
    tool = shutil.which("compute-sanitizer")
    if tool is None:
        return "not run", "compute-sanitizer is not installed"
    if seconds < 20:
        return "not run", "no time left"
    tests = [sys.executable, "-m", "pytest", "-q", "-x", "tests/gpu/test_ops.py", "-k", "matches and 37"]
    try:
        done = subprocess.run(
            [tool, "--error-exitcode", "9", *tests], cwd=ROOT, capture_output=True, text=True, timeout=seconds, check=False
        )
    except subprocess.TimeoutExpired:
        return "not run", f"not done after {seconds:.0f} s"
    return ("ok", "") if done.returncode == 0 else ("wrong", (done.stdout.strip().splitlines() or [""])[-1])
