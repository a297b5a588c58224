"""Mesh files: .glb, .obj (with .mtl and .png), .ply, .stl and .3mf, in world units.

Each file is written under a temporary name in the same folder, flushed and renamed, so that a reader never sees half of one.

World axes and places are kept as they are, but in a .glb for which ``up`` is given: that is for looking at, so it stands upright (+y, as
glTF says) on its origin, and ``asset.extras`` has the way back, the matrix ``world_from_gltf``. The axes and the unit are recorded in the
file: ``asset.extras`` of a .glb, comments of an .obj or .ply, the header of an .stl, the ``unit`` of a .3mf. Where the world's unit is
known, a .glb is in metres, as glTF wants it, and an .stl and .3mf in millimetres, as everybody takes them; the others, and all where it is
not known, are in world units.

An .stl has 32-bit coordinates: a part so far from the origin that they would spoil it is moved to the origin by :func:`stl_shift`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import imageio.v3 as iio
import numpy as np

from recon.data.ply import NORMAL, RGB, XYZ, Column, columns_of, write_ply
from recon.data.units import factor
from recon.errors import UsageError
from recon.geometry import Similarity
from recon.surface.gltf import glb_bytes
from recon.surface.mesh import Mesh, transform_mesh
from recon.surface.threemf import write_3mf
from recon.system.files import whole

FORMATS = (".glb", ".obj", ".ply", ".stl", ".3mf")
STL_COARSE = 1e-4
"""An .stl whose numbers would be off by more than this share of the part's size is moved to the origin."""


def export_mesh(
    mesh: Mesh,
    path: Path,
    world_from_scene: Similarity | None = None,
    *,
    unit: str | None = None,
    up: np.ndarray | None = None,
    unlit: bool = True,
) -> list[Path]:
    """Write a mesh in the format that the suffix names.

    Args:
        mesh: In scene units, or in world units if ``world_from_scene`` is None.
        path: File to write; its folder is made.
        world_from_scene: Scene to world.
        unit: Name of the world unit, recorded in the file.
        up: Direction in the world that becomes +y of a .glb, which then stands on its origin; None: the world's axes and place. The other
            formats have no axis of their own. [3]
        unlit: Mark colours and textures in a .glb as already lit (``KHR_materials_unlit``), which photographs are.
    Returns:
        The files written, the one named first.
    Raises:
        UsageError: If the suffix is unknown, or ``up`` is asked of a format that has no axes.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in FORMATS:
        raise UsageError(f"cannot write a mesh as '{path.name}'", f"use one of {', '.join(FORMATS)}")
    if up is not None and suffix != ".glb":
        raise UsageError(f"'up' has no meaning for '{path.name}'", "only .glb has an axis that is up by its specification")
    if world_from_scene is not None:
        mesh = transform_mesh(mesh, world_from_scene)
    path.parent.mkdir(parents=True, exist_ok=True)
    if suffix == ".glb":
        gltf_from_world = Similarity(factor("m", unit)) if up is None else standing(mesh, up, factor("m", unit))
        turned = transform_mesh(mesh, gltf_from_world)
        # Four rows, for columns (x, y, z, 1); a JSON number keeps all digits.
        extras = {
            "unit": unit,
            "axes": "world" if up is None else "upright",
            "world_from_gltf": gltf_from_world.inverse().matrix().tolist(),
        }
        _write(path, lambda f: f.write(glb_bytes(turned, extras, unlit=unlit)))
        return [path]
    if suffix == ".obj":
        return _write_obj(mesh, path, unit)
    writers: dict[str, Callable[[BinaryIO], None]] = {
        ".ply": lambda f: _write_ply(mesh, f, unit),
        ".stl": lambda f: _write_stl(mesh, f, unit),
        ".3mf": lambda f: write_3mf(mesh, f, factor("mm", unit), path.stem),
    }
    _write(path, writers[suffix])
    return [path]


def standing(mesh: Mesh, up: np.ndarray, metres: float) -> Similarity:
    """``gltf_from_world`` of a mesh that stands on glTF's origin: ``up`` is +y, turned there by the shortest way.

    Args:
        mesh: World units.
        up: Direction in the world, of any length. [3]
        metres: In a world unit.
    Returns:
        The lowest point comes to y = 0, the middle of what is beneath the mesh to x = z = 0.
    """
    rotation = _to_y(up / np.linalg.norm(up))
    if len(mesh.vertices) == 0:
        return Similarity(metres, rotation)
    turned = mesh.vertices @ rotation.T
    low, high = turned.min(0), turned.max(0)
    place = (low + high) / 2
    place[1] = low[1]
    return Similarity(metres, rotation, -metres * place)


def _to_y(axis: np.ndarray) -> np.ndarray:
    """The rotation that takes a unit vector to +y by the shortest way; half a turn about x where that is not one way. [3, 3]"""
    y = np.array([0.0, 1.0, 0.0])
    if axis @ y < -1.0 + 1e-12:
        return np.diag([1.0, -1.0, -1.0])
    v = np.cross(axis, y)
    k = np.array([[0, -v[2], v[1]], [v[2], 0, -v[0]], [-v[1], v[0], 0]])
    return np.eye(3) + k + k @ k / (1 + axis @ y)


@contextmanager
def _atomic(path: Path) -> Iterator[BinaryIO]:
    with whole(path) as part, open(part, "xb") as file:
        yield file


def _write(path: Path, write: Callable[[BinaryIO], object]) -> None:
    with _atomic(path) as file:
        write(file)


def _needs_float64(vertices: np.ndarray, share: float = 1e-5) -> bool:
    """Whether float32 would move vertices by more than a share of the mesh's size, because the mesh is far from the origin."""
    if len(vertices) == 0:
        return False
    size = float((vertices.max(0) - vertices.min(0)).max())
    return float(np.abs(vertices).max()) * 2.0**-24 > share * size


def _write_ply(mesh: Mesh, file: BinaryIO, unit: str | None) -> None:
    columns = columns_of(XYZ, "<f8" if _needs_float64(mesh.vertices) else "<f4", mesh.vertices)
    columns += [] if mesh.normals is None else columns_of(NORMAL, "<f4", mesh.normals)
    columns += [] if mesh.colors is None else columns_of(RGB, "u1", mesh.colors)
    columns += [] if mesh.seen is None else [Column("seen", "u1", mesh.seen)]
    write_ply(file, columns, mesh.faces, f"unit {unit or 'unknown'}, world axes")


def stl_shift(vertices: np.ndarray) -> np.ndarray:
    """The point, whole world units, that becomes an .stl's origin: the world's own, unless 32-bit coordinates are too coarse there. [3]"""
    if not _needs_float64(vertices, STL_COARSE):
        return np.zeros(3)
    size = float((vertices.max(0) - vertices.min(0)).max())
    step = 10.0 ** np.floor(np.log10(size)) if size > 0 else 1.0
    return np.round((vertices.min(0) + vertices.max(0)) / 2 / step) * step


def _write_stl(mesh: Mesh, file: BinaryIO, unit: str | None) -> None:
    shift, millimetres = stl_shift(mesh.vertices), factor("mm", unit)
    head = f"formfield {'mm' if unit else 'unit unknown'}"
    if shift.any():
        head += " origin " + " ".join(f"{x:.10g}" for x in shift * millimetres)
    file.write(head[:80].encode("ascii", "replace").ljust(80, b" ") + np.uint32(len(mesh.faces)).tobytes())
    for part in _chunks(len(mesh.faces)):
        corners = (mesh.vertices[mesh.faces[part]] - shift) * millimetres
        cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        records = np.zeros(len(corners), [("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
        records["normal"] = cross / np.maximum(np.linalg.norm(cross, axis=1, keepdims=True), 1e-300)
        records["corners"] = corners
        file.write(records.tobytes())


def _chunks(count: int) -> Iterator[slice]:
    """A million rows at a time: at 2048 cells a mesh has tens of millions of faces, and a row of an .stl is made of half a kilobyte."""
    return (slice(start, min(start + 2**20, count)) for start in range(0, count, 2**20))


def _write_obj(mesh: Mesh, path: Path, unit: str | None) -> list[Path]:
    written = [path]
    head = [f"# unit {unit or 'unknown'}, world axes"]
    if mesh.texture is not None and mesh.uv is not None:
        png, mtl = path.with_name(f"{path.stem}_texture.png"), path.with_suffix(".mtl")
        texture = iio.imwrite("<bytes>", mesh.texture, extension=".png")
        _write(png, lambda f: f.write(texture))
        material = f"newmtl surface\nKa 1 1 1\nKd 1 1 1\nKs 0 0 0\nillum 1\nmap_Kd {png.name}\n"
        _write(mtl, lambda f: f.write(material.encode()))
        head += [f"mtllib {mtl.name}", "usemtl surface"]
        written += [mtl, png]
    with _atomic(path) as file:
        file.write(("\n".join(head) + "\n").encode())
        # Positions are shared across the texture's seams: v and vt have indices of their own, so the surface stays closed.
        first, place = _shared(mesh.vertices)
        digits = 15 if _needs_float64(mesh.vertices) else 9
        line = "v " + " ".join([f"%.{digits}g"] * 3)
        if mesh.colors is not None and mesh.texture is None:
            _rows(file, line + " %.4f %.4f %.4f\n", np.concatenate([mesh.vertices, mesh.colors / 255.0], axis=1)[first])
        else:
            _rows(file, line + "\n", mesh.vertices[first])
        indices = [place[mesh.faces] + 1]
        if mesh.uv is not None:
            _rows(file, "vt %.7g %.7g\n", mesh.uv)
            indices.append(mesh.faces + 1)
        if mesh.normals is not None:
            _rows(file, "vn %.5f %.5f %.5f\n", mesh.normals)
            indices.append(mesh.faces + 1)
        has_uv, has_normals = mesh.uv is not None, mesh.normals is not None
        corner = {(False, False): "%d", (True, False): "%d/%d", (False, True): "%d//%d", (True, True): "%d/%d/%d"}[has_uv, has_normals]
        _rows(file, f"f {corner} {corner} {corner}\n", np.stack(indices, axis=2).reshape(len(mesh.faces), -1))
    return written


def _shared(vertices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows that hold each position first, in their order, and for every vertex which of those it is. [P], [V]"""
    rows = np.ascontiguousarray(vertices).view([("", vertices.dtype)] * 3).reshape(-1)
    _, first, place = np.unique(rows, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return first[order], rank[place.reshape(-1)]


def _rows(file: BinaryIO, line: str, values: np.ndarray, chunk: int = 2**16) -> None:
    for start in range(0, len(values), chunk):
        part = values[start : start + chunk]
        file.write(((line * len(part)) % tuple(part.ravel().tolist())).encode("ascii"))
