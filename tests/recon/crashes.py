"""Crashes, every one of them once: a run's folder as a kill would leave it at each moment at which that makes a difference."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from recon.system import files


@dataclass(frozen=True)
class Crash:
    """A folder as it was left, and what was about to be done."""

    what: str
    folder: Path


class Recorder:
    """While active, copies a run's folder before each rename, flush, making and removal of folders and files, and with half-written files.

    Args:
        run: The folder that is watched.
        out: Where the copies go; one for each state that differs from all before.
    """

    def __init__(self, run: Path, out: Path):
        self.run, self.out = run, out
        self.crashes: list[Crash] = []
        self._seen: set[str] = set()
        self._busy = False

    @contextmanager
    def recording(self) -> Iterator[None]:
        patches = [
            mock.patch.object(module, name, self._watched(getattr(module, name), name))
            for module, name in ((os, "replace"), (os, "mkdir"), (os, "fsync"), (os, "unlink"), (os, "rmdir"))
        ]
        patches.append(mock.patch("recon.runs.append_line", self._appending))
        for patch in patches:
            patch.start()
        try:
            yield
        finally:
            for patch in patches:
                patch.stop()

    def _watched(self, function: Callable, name: str) -> Callable:
        def call(*given, **options):
            if not self._busy:
                # A file that is flushed may be on the disk in part only.
                torn = Path(os.readlink(f"/proc/self/fd/{given[0]}")) if name == "fsync" else None
                self.snapshot(f"{name} {Path(torn or str(given[0])).name}", torn)
            return function(*given, **options)

        return call

    def _appending(self, path: Path, line: str) -> None:
        self.snapshot(f"append to {path.name}", None)
        files.append_line(path, line)
        self.snapshot(f"half an append to {path.name}", path, len(line) // 2)

    def snapshot(self, what: str, torn: Path | None, cut: int | None = None) -> None:
        """Copy the folder, with a file of it cut short by so many bytes (None: by half)."""
        if not self.run.is_dir():
            return
        self._busy = True
        try:
            self._copy(what, torn, cut)
        finally:
            self._busy = False

    def _copy(self, what: str, torn: Path | None, cut: int | None) -> None:
        copy = self.out / f"{len(self.crashes):03d}"
        _copytree(self.run, copy)
        if torn is not None and torn.is_file() and torn.is_relative_to(self.run):
            file = copy / re.sub(r"\.part-\d+-", ".part-1-", str(torn.relative_to(self.run)))
            size = file.stat().st_size
            os.truncate(file, size - (size // 2 if cut is None else min(cut, size)))
        _as_another_process(copy)
        digest = _digest(copy)
        if digest in self._seen:
            shutil.rmtree(copy)
            return
        self._seen.add(digest)
        self.crashes.append(Crash(what, copy))


def _copytree(source: Path, target: Path) -> None:
    for folder, _, names in os.walk(source):
        place = target / re.sub(r"\.part-\d+-", ".part-1-", os.path.relpath(folder, source))
        place.mkdir(parents=True, exist_ok=True)
        for name in names:
            shutil.copyfile(os.path.join(folder, name), place / re.sub(r"\.part-\d+-", ".part-1-", name))


def _as_another_process(copy: Path) -> None:
    """Whoever crashed was process 1."""
    status = copy / "status.json"
    try:
        known = json.loads(status.read_text())
    except (OSError, ValueError):
        return
    status.write_text(json.dumps({**known, "pid": 1, "time": ""}))


def _digest(folder: Path) -> str:
    found = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        found.update(str(path.relative_to(folder)).encode())
        if path.is_file():
            # Times differ between states that mean the same.
            found.update(re.sub(rb'"seconds": [0-9.e-]+', b"", path.read_bytes()))
    return found.hexdigest()
