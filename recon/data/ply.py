"""Points of a .ply: positions and colours, by their names in the header; what else it holds is skipped. Read within a bound."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from recon.errors import DataError

LARGEST = 2 * 2**30
"""Bytes of a file that is still read."""
KINDS = {
    "char": "i1", "int8": "i1", "uchar": "u1", "uint8": "u1", "short": "i2", "int16": "i2", "ushort": "u2", "uint16": "u2",
    "int": "i4", "int32": "i4", "uint": "u4", "uint32": "u4", "float": "f4", "float32": "f4", "double": "f8", "float64": "f8",
}  # fmt: skip


def read_points(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """Vertices [N, 3] float64, all finite, and their colours [N, 3] uint8, or None.

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
                columns = {name: values[:, k] for k, (name, _) in enumerate(fields)}
            else:
                order = "<" if kind == "binary_little_endian" else ">"
                record = np.dtype([(name, order + dtype) for name, dtype in fields])
                data = file.read(count * record.itemsize)
                if len(data) < count * record.itemsize:
                    raise DataError(f"{path}: ends after {len(data) // record.itemsize} of {count} points")
                table = np.frombuffer(data, record, count)
                columns = {name: table[name] for name, _ in fields}
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error
    except ValueError as error:
        raise DataError(f"{path}: is no .ply of points ({error})") from error
    missing = [name for name in "xyz" if name not in columns]
    if missing:
        raise DataError(f"{path}: its points have no {', '.join(missing)}")
    xyz = np.stack([columns[name] for name in "xyz"], 1).astype(np.float64)
    finite = np.isfinite(xyz).all(1)
    names = ("red", "green", "blue")
    rgb = np.stack([columns[n] for n in names], 1)[finite].astype(np.uint8) if all(n in columns for n in names) else None
    return xyz[finite], rgb


def write_points(xyz: np.ndarray, rgb: np.ndarray) -> bytes:
    """Points [N, 3] and colours [N, 3] uint8 as the content of a binary .ply."""
    record = np.empty(len(xyz), [(n, "<f8") for n in "xyz"] + [(n, "u1") for n in ("red", "green", "blue")])
    for k in range(3):
        record["xyz"[k]], record[("red", "green", "blue")[k]] = xyz[:, k], rgb[:, k]
    head = ["ply", "format binary_little_endian 1.0", f"element vertex {len(xyz)}", *(f"property double {n}" for n in "xyz")]
    head += [*(f"property uchar {n}" for n in ("red", "green", "blue")), "end_header"]
    return ("\n".join(head) + "\n").encode() + record.tobytes()


def _header(file, path: Path) -> list[str]:
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
