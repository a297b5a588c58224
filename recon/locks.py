"""One writer at a time: a lock on a file, which the system gives back when its process ends, however that ends."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from recon.errors import UsageError

RUN_LOCK = "run.lock"
"""The lock's file in a run's folder. It stays there: to delete it would let two processes hold two files of one name."""


@contextmanager
def locked(path: Path, refusal: UsageError, nested: bool = False) -> Iterator[None]:
    """Hold a lock while the context lasts.

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
        yield
    finally:
        lock.release()


@contextmanager
def sole_writer(folder: Path) -> Iterator[None]:
    """Be the only process that trains a run and makes its results.

    What ``status.json`` says is no lock: after a crash it says "running" for ever, and its process number may be somebody else's by now.

    Raises:
        UsageError: If another process is at it.
    """
    who = "another process"
    with suppress(OSError, ValueError, KeyError, TypeError):  # only for the message
        who = f"process {int(json.loads((folder / 'status.json').read_text())['pid'])}"
    with locked(folder / RUN_LOCK, UsageError(f"{folder}: {who} is writing to this run", "wait for it, or stop it first"), nested=True):
        yield
