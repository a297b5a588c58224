"""Runs the child that searches for cameras: starts it, shows how far it is, stops it, and says what became of it."""

from __future__ import annotations

import json
import os
import queue
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from recon.errors import ReconError, require_extra

Progress = Callable[[str, int, int], None]
"""Called with stage, done and total."""
POLL_SECONDS = 0.5
SECONDS_TO_END = 3.0


def require_photos() -> None:
    """Say which extra is missing before any work is done. The package itself is only looked for: it is imported in the child.

    Raises:
        CapabilityError: If it is not installed.
    """
    import importlib.util

    if importlib.util.find_spec("pycolmap") is None:
        require_extra("pycolmap", "photos", "finding the cameras of photographs")


def run_child(job: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """Do a job of :mod:`recon.photos.child` in a process of its own.

    An exception in here, Ctrl-C included, ends the child; its database stays.

    Args:
        job: What the child is to do.
        progress: Called about twice a second.
    Returns:
        The child's last word: sizes of the models, and facts of the database.
    Raises:
        ReconError: The child ended without one.
    """
    environment = dict(os.environ)
    environment["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parents[2]), environment.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    with tempfile.TemporaryFile() as errors:
        child = subprocess.Popen(
            [sys.executable, "-m", "recon.photos.child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=environment,
            start_new_session=True,  # Ctrl-C on a terminal goes to every process of its group: this one ends the child in order
        )
        try:
            result = _follow(child, job, progress)
        finally:
            _end(child)
        if result is not None:
            return result
        errors.seek(0)
        said = [line for line in errors.read().decode(errors="replace").splitlines() if line.strip()]
    raise ReconError(
        f"the search for cameras ended without a result ({_how(child.returncode)})" + (f": {said[-1][:300]}" if said else ""),
        "what was done is kept: run the same command again; if it ends there again, take out the photographs added last",
    )


def _follow(child: subprocess.Popen, job: dict[str, Any], progress: Progress) -> dict[str, Any] | None:
    assert child.stdin is not None
    assert child.stdout is not None
    lines: queue.Queue[bytes | None] = queue.Queue()

    def read(stream: Any) -> None:
        for line in stream:
            lines.put(line)
        lines.put(None)

    threading.Thread(target=read, args=(child.stdout,), daemon=True).start()
    with suppress(BrokenPipeError):  # it ended at once: its words on stderr say why
        child.stdin.write(json.dumps(job).encode() + b"\n")
        child.stdin.flush()
    stage, pairs, total = "features", 0, len(job["names"])
    first = count_rows(job["database"], "two_view_geometries")
    while True:
        try:
            line = lines.get(timeout=POLL_SECONDS)
        except queue.Empty:
            if stage == "features":
                progress("features", min(total, count_rows(job["database"], "keypoints")), total)
            elif stage == "matches":
                progress("matches", min(pairs, max(0, count_rows(job["database"], "two_view_geometries") - first)), pairs)
            continue
        if line is None:
            return None
        with suppress(ValueError):
            said = json.loads(line)
            if said["stage"] == "done":
                return said
            if "pairs" in said:
                stage, pairs = "matches", said["pairs"]
                continue
            progress(said["stage"], said["done"], said["total"])
            stage = "cameras" if said["stage"] == "cameras" else stage


def count_rows(database: str, table: str) -> int:
    """Rows of a table of a database that another process writes; 0 while there is none."""
    with (
        suppress(sqlite3.Error),
        closing(sqlite3.connect(f"file:{Path(database).as_posix()}?mode=ro", uri=True, timeout=0.2)) as connection,
    ):
        return int(connection.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0])
    return 0


def _end(child: subprocess.Popen) -> None:
    """The child ends by itself when its stdin closes; if it cannot, it is killed."""
    assert child.stdin is not None
    with suppress(OSError):
        child.stdin.close()
    try:
        child.wait(timeout=SECONDS_TO_END)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _how(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"


class Clock:
    """Turns counts into lines with the time left, by the speed so far of each stage."""

    def __init__(self, show: Callable[[str, float, str], None], describe: dict[str, str]):
        self.show, self.describe = show, describe
        self.stage, self.start, self.first, self.last = "", 0.0, 0, -1

    def __call__(self, stage: str, done: int, total: int) -> None:
        from recon.console import duration

        now = time.monotonic()
        if stage != self.stage:
            self.stage, self.start, self.first = stage, now, done
        elif done == self.last:
            return
        self.last = done
        text = f"{done} of {total}"
        gained = done - self.first
        if gained > 0 and done < total:
            text += f", about {duration((now - self.start) / gained * (total - done))} left"
        self.show(self.describe.get(stage, stage), done / max(1, total), text)
