"""Foreign files: whatever is wrong with one, its reader ends in one error that names it. Third-party readers are called inside
:func:`reading` only; JSON and arrays are read here, within stated bounds."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recon.errors import DataError, ReconError

if TYPE_CHECKING:
    import numpy as np
    import trimesh

LARGEST_TEXT = 512 * 2**20
"""No JSON file is larger, bytes; it takes about eight times as much while it is read."""
LARGEST_ARRAYS = 8 * 2**30
"""No archive of arrays holds more, bytes: 400 views of 1600 x 1200 RGBA are 3 GB."""
LARGEST_HEADER = 1 << 16


@contextmanager
def reading(path: Path | str, what: str, hint: str | None = None) -> Iterator[None]:
    """Whatever a reader raises about a file becomes a DataError of one line.

    Args:
        path: The file or folder.
        what: What it should be: "a mesh".
        hint: What to do.
    """
    try:
        yield
    except ReconError:
        raise
    except FileNotFoundError as error:
        raise DataError(f"{path}: there is no such file", hint=hint) from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({_first_line(error.strerror or error)})", hint=hint) from error
    except RecursionError as error:
        raise DataError(f"{path}: not {what}: it is nested too deeply", hint=hint) from error
    except MemoryError as error:
        raise DataError(f"{path}: not {what}, or it needs more memory than there is ({_first_line(error)})", hint=hint) from error
    except Exception as error:  # readers raise types of their own, and what their code happens to run into
        raise DataError(f"{path}: not {what}, or a damaged one ({type(error).__name__}: {_first_line(error)})", hint=hint) from error


def read_json(path: Path, what: str, hint: str | None = None) -> Any:
    """A JSON file of at most :data:`LARGEST_TEXT`.

    Raises:
        DataError: If it is missing, larger, or not JSON.
    """
    with reading(path, what, hint):
        if path.stat().st_size > LARGEST_TEXT:
            raise DataError(f"{path}: not {what}: it is larger than {LARGEST_TEXT // 2**20} MiB", hint=hint)
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:  # also of text that is not UTF-8, and of numbers with thousands of digits
            raise DataError(f"{path}: not JSON ({_first_line(error)})", hint=hint) from error


def read_object(path: Path, what: str, keys: Mapping[str, type | tuple[type, ...]], hint: str | None = None) -> dict[str, Any]:
    """A JSON object that has at least some keys, with values of certain types.

    Raises:
        DataError: Naming every key that is missing or holds something else.
    """
    found = read_json(path, what, hint)
    if not isinstance(found, dict):
        raise DataError(f"{path}: not {what}: it holds {_kind(found)} instead of an object", hint=hint)
    problems = [_problem(found, key, types) for key, types in keys.items()]
    if any(problems):
        raise DataError(f"{path}: not {what}", [p for p in problems if p], hint)
    return found


def load_trimesh(path: Path, hint: str = "give a .ply, .obj, .stl or .glb file") -> trimesh.Trimesh | trimesh.PointCloud:
    """A mesh file as it stands: vertices neither merged nor moved, objects joined; points where it has no faces.

    Raises:
        DataError: If it is missing, cannot be read, or its faces name vertices that it does not have.
    """
    import numpy as np
    import trimesh

    with reading(path, "a mesh", hint):
        loaded: Any = trimesh.load(str(path), process=False)
        if isinstance(loaded, trimesh.Scene):
            loaded = loaded.to_mesh() if loaded.geometry else trimesh.Trimesh()
        vertices, faces = np.asarray(loaded.vertices, np.float64), np.asarray(getattr(loaded, "faces", np.zeros((0, 3), np.int64)))
        if vertices.ndim != 2 or vertices.shape[1] != 3 or faces.ndim != 2 or (len(faces) and faces.shape[1] != 3):
            raise DataError(f"{path}: not a mesh: vertices {vertices.shape}, faces {faces.shape}", hint=hint)
        wrong = int(((faces < 0) | (faces >= len(vertices))).any(1).sum())
        if wrong:
            raise DataError(f"{path}: {wrong} of {len(faces)} faces name vertices that it does not have", hint=hint)
        return loaded


def load_npz(path: Path, what: str, largest: int = LARGEST_ARRAYS, hint: str | None = None) -> dict[str, np.ndarray]:
    """All arrays of an .npz, after a look at what they announce: nothing is allocated for a header that says more than the file holds.

    Args:
        path: The archive. No pickled objects.
        what: What it should be.
        largest: Bytes that all arrays may take together.
        hint: What to do.
    Raises:
        DataError: If it is missing, damaged, larger, or contradicts itself.
    """
    import numpy as np

    with reading(path, what, hint), zipfile.ZipFile(path) as archive:
        total = 0
        for entry in archive.infolist():
            with archive.open(entry) as file:
                announced = _announced(file)
            if announced + LARGEST_HEADER < entry.file_size or announced > entry.file_size:
                raise DataError(f"{path}: {entry.filename} announces {announced} bytes and holds {entry.file_size}", hint=hint)
            total += announced
        if total > largest:
            raise DataError(f"{path}: its arrays would take {total / 2**30:.1f} GiB, {largest / 2**30:.1f} are allowed", hint=hint)
        with np.load(path, allow_pickle=False) as data:
            return {name: data[name] for name in data.files}


def _announced(file: Any) -> int:
    """Bytes of the array that an .npy header tells of."""
    import math

    import numpy as np

    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    if dtype.hasobject:
        raise ValueError("it holds Python objects")
    return math.prod(shape) * dtype.itemsize


def _problem(found: dict[str, Any], key: str, types: type | tuple[type, ...]) -> str | None:
    if key not in found:
        return f'"{key}" is missing'
    value, allowed = found[key], types if isinstance(types, tuple) else (types,)
    fits = isinstance(value, allowed) and not (isinstance(value, bool) and bool not in allowed)
    return None if fits else f'"{key}" holds {_kind(value)}'


def _kind(value: Any) -> str:
    names = {
        dict: "an object",
        list: "a list",
        str: "text",
        bool: "true or false",
        int: "a number",
        float: "a number",
        type(None): "nothing",
    }
    return names.get(type(value), type(value).__name__)


def _first_line(value: object) -> str:
    return (str(value).splitlines() or [""])[0][:300]
