"""Arrays that do not have to fit into memory: beyond a size they lie in a nameless file that the system pages in and out as it likes.

The pixels of all views are kept twice, as pictures and as one table to draw from: together at most 2 GiB of memory, the rest on disk.
"""

from __future__ import annotations

import tempfile
import threading
from pathlib import Path
from typing import IO

import numpy as np

from recon.data.archive import cache_folder
from recon.errors import MemoryLimitError

PICTURES_IN_MEMORY = 900 * 2**20
TABLE_IN_MEMORY = 1148 * 2**20


class Shelf:
    """Pictures put down one by one, from several threads, in one file; ``get`` gives them back as views of it."""

    def __init__(self, folder: Path | None = None):
        self._file = _file(folder)
        self._lock = threading.Lock()
        self._end = 0
        self._map: np.ndarray | None = None

    def put(self, picture: np.ndarray) -> tuple[int, tuple[int, ...]]:
        """Where a uint8 picture was put, and its shape."""
        data = np.ascontiguousarray(picture)
        with self._lock:
            place = self._end
            try:
                self._file.seek(place)
                self._file.write(data.data)
            except OSError as error:
                raise MemoryLimitError(
                    f"the pictures do not fit on the disk ({error.strerror})", "Use smaller ones: --max-size 1000"
                ) from error
            self._end += data.nbytes
        return place, picture.shape

    def get(self, place: int, shape: tuple[int, ...]) -> np.ndarray:
        """Once all are put down. Pages are read when they are looked at."""
        if self._map is None:
            self._file.flush()
            self._map = np.asarray(np.memmap(self._file, np.uint8, "r+", shape=(self._end,)))
        return self._map[place : place + int(np.prod(shape))].reshape(shape)


def table(rows: int, columns: int) -> np.ndarray:
    """An array of uint8 to fill, in memory up to :data:`TABLE_IN_MEMORY` bytes. [rows, columns]"""
    if rows * columns <= TABLE_IN_MEMORY:
        return np.empty((rows, columns), np.uint8)
    try:
        return np.asarray(np.memmap(_file(), np.uint8, "w+", shape=(rows, columns)))
    except OSError as error:
        raise MemoryLimitError(f"the pixels do not fit on the disk ({error.strerror})", "Use smaller pictures: --max-size 1000") from error


def _file(folder: Path | None = None) -> IO[bytes]:
    """A file without a name, in the user's cache: the usual place for temporary files is often memory itself."""
    folder = folder or cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    return tempfile.TemporaryFile(dir=folder, prefix="pixels-")
