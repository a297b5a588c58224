"""What a run costs, stage by stage: seconds, CPU seconds and memory. Kept in the run's ``costs.json``."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from recon.console import duration
from recon.system.files import write_text_atomically
from recon.system.foreign import read_object

NAME = "costs.json"


def cpu_seconds() -> float:
    """Of this process, all its threads, and those of its children that have ended."""
    t = os.times()
    return t.user + t.system + t.children_user + t.children_system


def peak_gib() -> float | None:
    """The most memory that this process has held, GiB; None where the system does not tell (Windows)."""
    if sys.platform == "win32":
        return None
    import resource

    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB on Linux
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30


def read_costs(folder: Path) -> dict[str, Any]:
    """``{"stages": {NAME: {"wall": s, "cpu": s}}, "peak_gib": GiB or None}`` of a run; without stages if it has none on record."""
    if not (folder / NAME).is_file():
        return {"stages": {}, "peak_gib": None}
    return read_object(folder / NAME, "a run's costs", {"stages": dict, "peak_gib": (float, int, type(None))})


def costs_line(costs: dict[str, Any]) -> str:
    """ "time: 3 min 20 s of train, 31 s of surface (418 CPU seconds in all); 1.3 GiB of memory at most"."""
    parts = [f"{duration(spent['wall'])} of {name}" for name, spent in costs["stages"].items() if spent["wall"] >= 1.0]
    cpu = sum(spent["cpu"] for spent in costs["stages"].values())
    memory = "" if costs["peak_gib"] is None else f"; {costs['peak_gib']:.1f} GiB of memory at most"
    return f"time: {', '.join(parts) or 'less than a second'} ({cpu:.0f} CPU seconds in all){memory}"


@contextmanager
def stage(folder: Path, name: str) -> Iterator[None]:
    """Measure a stage of a run and add it to what is on record, also when the stage ends with an error: that time was spent.

    Args:
        folder: The run's.
        name: Of the stage; what was spent on it before, by a run that was stopped, is added to.
    """
    wall, cpu = time.perf_counter(), cpu_seconds()
    try:
        yield
    finally:
        known = read_costs(folder)
        before = known["stages"].get(name, {"wall": 0.0, "cpu": 0.0})
        spent = {"wall": before["wall"] + time.perf_counter() - wall, "cpu": before["cpu"] + cpu_seconds() - cpu}
        known["stages"][name] = {key: round(value, 2) for key, value in spent.items()}
        peaks = [p for p in (known["peak_gib"], peak_gib()) if p is not None]
        known["peak_gib"] = round(max(peaks), 3) if peaks else None
        write_text_atomically(folder / NAME, json.dumps(known, indent=1))
