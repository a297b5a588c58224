"""The program's own reader and writer of .ply: vertices as columns with names, triangles behind them. Read within a bound."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple

import numpy as np

from recon.errors import DataError

LARGEST = 2 * 2**30
"""Bytes of a file that is still read."""
AT_ONCE = 1 << 18
"""Rows that are put together at one time."""
XYZ, NORMAL, RGB = ("x", "y", "z"), ("nx", "ny", "nz"), ("red", "green", "blue")
Kind = Literal["<f4", "<f8", "u1"]
WORDS: dict[Kind, str] = {"<f4": "float", "<f8": "double", "u1": "uchar"}
KINDS = {
    "char": "i1", "int8": "i1", "uchar": "u1", "uint8": "u1", "short": "i2", "int16": "i2", "ushort": "u2", "uint16": "u2",
    "int": "i4", "int32": "i4", "uint": "u4", "uint32": "u4", "float": "f4", "float32": "f4", "double": "f8", "float64": "f8",
}  # fmt: skip


class Column(NamedTuple):
    """A property of vertices: its name, its type in the file, and its values [N]."""

    name: str
    kind: Kind
    values: np.ndarray


def read_columns(path: Path) -> dict[str, np.ndarray]:
    """What each vertex of a .ply has, by name: columns of one length, in the types of the file (of an ascii one: float64).

    Raises:
        DataError: Not a .ply, a truncated one, or one whose vertices are not its first element or hold lists.
    """
    try:
        if path.stat().st_size > LARGEST:
            raise DataError(f"{path}: larger than {LARGEST // 2**30} GiB")
        with open(path, "rb") as file:
            lines = _header(file, path)
            kind, count, fields = _layout(lines, path)
            if kind == "ascii":
                text = file.read().split(b"\n", count)[:count]
                if len(text) < count:
                    raise DataError(f"{path}: ends after {len(text)} of {count} points")
                values = np.array([line.split()[: len(fields)] for line in text], np.float64).reshape(count, len(fields))
                return {name: values[:, k] for k, (name, _) in enumerate(fields)}
            order = "<" if kind == "binary_little_endian" else ">"
            record = np.dtype([(name, order + dtype) for name, dtype in fields])
            data = file.read(count * record.itemsize)
            if len(data) < count * record.itemsize:
                raise DataError(f"{path}: ends after {len(data) // record.itemsize} of {count} points")
            table = np.frombuffer(data, record, count)
            return {name: table[name] for name, _ in fields}
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error
    except ValueError as error:
        raise DataError(f"{path}: is no .ply of points ({error})") from error


def read_points(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """Vertices [N, 3] float64, all finite, and their colours [N, 3] uint8, or None.

    Raises:
        DataError: As :func:`read_columns`, or the vertices have no positions.
    """
    columns = read_columns(path)
    missing = [name for name in "xyz" if name not in columns]
    if missing:
        raise DataError(f"{path}: its points have no {', '.join(missing)}")
    xyz = np.stack([columns[name] for name in "xyz"], 1).astype(np.float64)
    finite = np.isfinite(xyz).all(1)
    rgb = np.stack([columns[n] for n in RGB], 1)[finite].astype(np.uint8) if all(n in columns for n in RGB) else None
    return xyz[finite], rgb


def write_ply(file: BinaryIO, columns: Sequence[Column], faces: np.ndarray | None = None, comment: str | None = None) -> None:
    """Write a binary .ply.

    Args:
        file: Where to.
        columns: What each vertex has, in this order; of one length.
        faces: Triangles. int [F, 3]
        comment: A line of the header; what is not ASCII becomes "?".
    """
    count = len(columns[0].values) if columns else 0
    head = ["ply", "format binary_little_endian 1.0", *([] if comment is None else [f"comment {comment}"]), f"element vertex {count}"]
    head += [f"property {WORDS[c.kind]} {c.name}" for c in columns]
    head += [] if faces is None else [f"element face {len(faces)}", "property list uchar int vertex_indices"]
    file.write(("\n".join([*head, "end_header"]) + "\n").encode("ascii", "replace"))
    for start in range(0, count, AT_ONCE):
        rows = np.empty(min(AT_ONCE, count - start), [(c.name, c.kind) for c in columns])
        for c in columns:
            rows[c.name] = c.values[start : start + AT_ONCE]
        file.write(rows.tobytes())
    if faces is None:
        return
    for start in range(0, len(faces), AT_ONCE):
        part = faces[start : start + AT_ONCE]
        rows = np.empty(len(part), [("count", "u1"), ("index", "<i4", 3)])
        rows["count"], rows["index"] = 3, part
        file.write(rows.tobytes())


def columns_of(names: Sequence[str], kind: Kind, values: np.ndarray) -> list[Column]:
    """The columns of a table [N, len(names)]."""
    return [Column(name, kind, values[:, k]) for k, name in enumerate(names)]


def _header(file: BinaryIO, path: Path) -> list[str]:
    lines: list[str] = []
    while len(lines) < 200:
        line = file.readline(1000)
        if not line:
            break
        lines.append(line.decode("ascii", "replace").strip())
        if lines[0] != "ply":
            break
        if lines[-1] == "end_header":
            return lines
    raise DataError(f"{path}: is no .ply file")


def _layout(lines: list[str], path: Path) -> tuple[str, int, list[tuple[str, str]]]:
    """Encoding, number of points, and name and type of what each has."""
    kind, count, fields, element = "", -1, [], 0
    for words in (line.split() for line in lines):
        if words[:1] == ["format"] and len(words) > 1:
            kind = words[1]
        elif words[:1] == ["element"]:
            element += 1
            if element == 1 and len(words) == 3 and words[1] == "vertex":
                count = int(words[2])
        elif words[:1] == ["property"] and element == 1:
            if words[1] not in KINDS or len(words) != 3:
                raise DataError(f"{path}: its points hold a list or an unknown type ({' '.join(words)})")
            fields.append((words[2], KINDS[words[1]]))
    if kind not in ("ascii", "binary_little_endian", "binary_big_endian") or not 0 <= count <= 2**31 or not fields:
        raise DataError(f"{path}: is no .ply of points: vertices must come first")
    return kind, count, fields
