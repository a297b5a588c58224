"""Files appear under their names whole or not at all, with the modes that the user's umask gives; what a killed process left is removed."""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_PART = re.compile(r"\.part-([0-9]+)-.+")
OLD_SECONDS = 24 * 3600.0
"""A part that is older than this is nobody's any more."""


def part_of(path: Path) -> Path:
    """The name under which this process writes a file or folder before it is whole: beside it, with the same ending."""
    return path.with_name(f".part-{os.getpid()}-{path.name}")


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Write a file or a folder that appears whole or not at all.

    Yields the temporary name to write to. At the end that is flushed to the disk and renamed, over what was there if it was a file; after
    an error it is removed, and what was there stays.

    Args:
        path: In a folder that exists. If it is a folder itself, none of that name may exist.
    Raises:
        OSError: If the system refuses (disk full, no permission, name too long).
    """
    part = part_of(path)
    _remove(part)
    try:
        yield part
        if part.is_file():
            sync(part)
        os.replace(part, path)
    except BaseException:
        _remove(part)
        raise


def write_text_atomically(path: Path, text: str) -> None:
    """Write a text as UTF-8, whole or not at all."""
    with whole(path) as part:
        part.write_text(text, encoding="utf-8", newline="\n")


def write_picture(path: Path, image: Any, **options: Any) -> None:
    """Write a PIL image in the format of the file's ending, whole or not at all."""
    with whole(path) as part:
        image.save(part, **options)


@contextmanager
def new_folder(folder: Path) -> Iterator[None]:
    """Make a folder (and those above it) and fill it; after an error it is gone again.

    Raises:
        FileExistsError: If it exists.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir()
    try:
        yield
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def append_line(path: Path, line: str) -> None:
    """Add a line to a text. A kill can leave it without its end, but nothing before it changes."""
    with open(path, "a", encoding="utf-8", newline="\n") as file:
        file.write(line + "\n")


def drop_records(path: Path, after: int) -> None:
    """Of a text with a JSON record in each line, keep the whole ones whose "step" is not ``after`` a step."""
    if not path.is_file():
        return
    kept = [record for record in read_records(path) if record["step"] <= after]
    text = "".join(json.dumps(record) + "\n" for record in kept)
    if text != path.read_text(encoding="utf-8", errors="replace"):
        write_text_atomically(path, text)


def read_records(path: Path) -> list[dict[str, Any]]:
    """The JSON records, one a line, that have a "step"; a line that a kill cut is none. Nothing if there is no such file."""
    if not path.is_file():
        return []
    return [record for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if (record := _record(line)) is not None]


def _record(line: str) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) and type(record.get("step")) is int else None


def sync(path: Path) -> None:
    """Wait until a file's content, or the names in a folder, are on the disk. Windows knows no such thing for folders."""
    if path.is_dir():
        if os.name == "nt":
            return
        handle = os.open(path, os.O_RDONLY)
    else:
        handle = os.open(path, os.O_RDWR | getattr(os, "O_BINARY", 0))
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove_parts(folder: Path, pid: int | None) -> None:
    """Remove what a process that is gone left unfinished in a folder and below it.

    Args:
        folder: Where to look.
        pid: Of the process that is known to be gone; None: only parts that are too old to be anybody's are removed.
    """
    now = time.time()
    for path in list(folder.rglob(".part-*")):
        match = _PART.fullmatch(path.name)
        if match is not None and path.exists() and (int(match[1]) == pid or now - path.lstat().st_mtime > OLD_SECONDS):
            _remove(path)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
