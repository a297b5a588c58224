"""Datasets in a .zip: unpacked once into the user's cache, within bounds, and never anywhere else.

Bounds: 200,000 files; 64 GiB, or what the disk has free less 1 GiB; no entry inflates more than a hundredfold beyond its first 64 MiB.
Entries with absolute names, ``..``, drive letters, links and passwords are refused; of the rest only kinds that a dataset can need are
written.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import sys
import tempfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from recon.data.listing import IMAGE_SUFFIXES, Findings
from recon.errors import DataError

MOST_FILES = 200_000
MOST_BYTES = 64 * 2**30
MOST_GROWTH = 100
GROWTH_FROM = 64 * 2**20
SPARE = 2**30
KEPT = (*IMAGE_SUFFIXES, ".json", ".npz", ".npy", ".txt", ".bin", ".xml", ".csv", ".nvm", ".out", ".ply", "")
"""Suffixes of files that a dataset can need; Record3D's metadata has none."""


def opened(file: Path, findings: Findings) -> Path:
    """The folder that an archive was unpacked to, now or earlier.

    Raises:
        DataError: No .zip, a damaged or encrypted one, or one that is unsafe or too large to unpack.
    """
    facts = file.stat()
    key = hashlib.sha256(f"{file}\0{facts.st_size}\0{facts.st_mtime_ns}".encode()).hexdigest()[:16]
    target = cache_folder() / "archives" / f"{file.stem[:40]}-{key}" / file.stem
    if not target.is_dir():
        _unpack(file, target)
    findings.notes.append(f"{file.name} was unpacked to {target}")
    return target


def cache_folder() -> Path:
    """Where this user's caches are kept."""
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or str(Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = str(Path.home() / "Library" / "Caches")
    else:
        base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "formfield"


def _unpack(file: Path, target: Path) -> None:
    try:
        with zipfile.ZipFile(file) as archive:
            wanted = _checked(archive, file)
            target.parent.mkdir(parents=True, exist_ok=True)
            if sum(entry.file_size for entry in wanted) > shutil.disk_usage(target.parent).free - SPARE:
                raise DataError(
                    f"{file}: there is no room to unpack it to {target.parent}", hint="Unpack it yourself, and give the folder."
                )
            with tempfile.TemporaryDirectory(dir=target.parent, prefix=".unpacking-") as temporary:
                for entry in wanted:
                    _write(archive, entry, Path(temporary) / "data" / PurePosixPath(entry.filename), file)
                (Path(temporary) / "data").mkdir(exist_ok=True)
                os.replace(Path(temporary) / "data", target)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise DataError(
            f"{file}: is no .zip archive, or damaged ({error})", hint="Copy it again, or unpack it and give the folder."
        ) from error
    except OSError as error:
        if target.is_dir():  # another process was quicker
            return
        raise DataError(f"{file}: cannot be unpacked to {target.parent} ({error.strerror or error})", hint="Unpack it yourself.") from error


def _checked(archive: zipfile.ZipFile, file: Path) -> list[zipfile.ZipInfo]:
    """The entries to write.

    Raises:
        DataError: An entry is unsafe, or there is too much.
    """
    entries = [entry for entry in archive.infolist() if not entry.is_dir()]
    hint = "Unpack it yourself, look at it, and give the folder."
    for entry in entries:
        parts = PurePosixPath(entry.filename.replace("\\", "/")).parts
        if not parts or parts[0].startswith("/") or ":" in parts[0] or ".." in parts or "\0" in entry.filename:
            raise DataError(f"{file}: the entry {entry.filename!r} would be written outside its folder", hint=hint)
        if stat.S_ISLNK(entry.external_attr >> 16):
            raise DataError(f"{file}: the entry {entry.filename!r} is a link", hint=hint)
        if entry.flag_bits & 1:
            raise DataError(f"{file}: is protected by a password", hint=hint)
        if entry.file_size > GROWTH_FROM and entry.file_size > MOST_GROWTH * max(entry.compress_size, 1):
            raise DataError(
                f"{file}: the entry {entry.filename!r} would grow from {entry.compress_size} to {entry.file_size} bytes", hint=hint
            )
    if len(entries) > MOST_FILES or sum(entry.file_size for entry in entries) > MOST_BYTES:
        raise DataError(f"{file}: holds more than {MOST_FILES} files or {MOST_BYTES // 2**30} GiB", hint=hint)
    skipped = ("__MACOSX", ".DS_Store")
    return [e for e in entries if Path(e.filename).suffix.lower() in KEPT and not any(p in skipped for p in Path(e.filename).parts)]


def _write(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, path: Path, file: Path) -> None:
    """Copy one entry, stopping at the size that it says it has."""
    path.parent.mkdir(parents=True, exist_ok=True)
    left = entry.file_size
    with archive.open(entry) as source, open(path, "wb") as out:
        while block := source.read(min(2**20, left + 1)):
            left -= len(block)
            if left < 0:
                raise DataError(f"{file}: the entry {entry.filename!r} is larger than it says", hint="Do not use this archive.")
            out.write(block)
