"""Suites and jobs about the tiny sphere, for tests of batch evaluation."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from scenes.benchmark.run import _prepare, job_folder
from scenes.benchmark.suite import plan, read_suite
from tests.tiny import TINY_SETTINGS, write_blender

LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="processes die with their parents on Linux only")


def make_suite(folder: Path, *entries: dict) -> Path:
    """A suite about the tiny sphere in ``folder/data``; entries may leave out everything."""
    if not (folder / "data").exists():
        write_blender(folder / "data")
    usual = {"scenes": ["data"], "methods": ["radiance"], "set": list(TINY_SETTINGS)}
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump({"about": "tiny", "jobs": [{**usual, **e} for e in entries]}))
    return path


def spoil(folder: Path) -> None:
    write_blender(folder)
    (folder / "train" / "r_3.png").write_bytes(b"not a picture")


def prepared(folder: Path, *entries: dict) -> list[Path]:
    """Job folders of a suite, not yet run."""
    jobs = plan(read_suite(str(make_suite(folder, *entries))))
    _prepare(jobs, folder / "out")
    return [job_folder(folder / "out", job) for job in jobs]


def until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def alive(pid: int) -> bool:
    """Whether a process exists and is not merely waiting to be collected."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
