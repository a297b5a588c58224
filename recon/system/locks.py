"""One writer at a time: a lock on a file, which the system gives back when its process ends, however that ends."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from recon.errors import UsageError
from recon.system.files import remove_parts

RUN_LOCK = "run.lock"
"""The lock's file in a run's folder. It stays there: to delete it would let two processes hold two files of one name."""


@contextmanager
def locked(path: Path, refusal: UsageError, nested: bool = False) -> Iterator[bool]:
    """Hold a lock while the context lasts; yields whether it was free, and not held by this process already.

    Args:
        path: The lock's file, in a folder that exists; works on Windows, macOS and Linux.
        refusal: What is wrong if somebody else holds it.
        nested: The same process may take it again within.
    Raises:
        UsageError: ``refusal``.
    """
    lock = FileLock(path.resolve(), timeout=0, thread_local=False, is_singleton=nested)
    try:
        lock.acquire()
    except Timeout as error:
        raise refusal from error
    try:
        yield lock.lock_counter == 1
    finally:
        lock.release()


@contextmanager
def sole_writer(folder: Path) -> Iterator[None]:
    """Be the only process that trains a run and makes its results.

    What the last one left unfinished is removed.

    What ``status.json`` says is no lock: after a crash it says "running" for ever, and its process number may be somebody else's by now.

    Raises:
        UsageError: If another process is at it.
    """
    last = _last_writer(folder)
    who = "another process" if last is None else f"process {last}"
    refusal = UsageError(f"{folder}: {who} is writing to this run", "wait for it, or stop it first")
    with locked(folder / RUN_LOCK, refusal, nested=True) as first:
        if first:  # the last writer is gone, whatever its number (which may be this process's: in a container numbers come again)
            remove_parts(folder, last)
        yield


def _last_writer(folder: Path) -> int | None:
    """The process that wrote ``status.json``, if that can be read."""
    try:
        pid = json.loads((folder / "status.json").read_text(encoding="utf-8"))["pid"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return pid if isinstance(pid, int) else None
