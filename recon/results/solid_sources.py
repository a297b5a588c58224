"""Where `recon solid` takes its surface from: a mesh file. Nothing here imports torch."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import get_args

import numpy as np

from recon.config.values import Unit
from recon.curves.files.polylines import read_curves
from recon.errors import DataError, UsageError
from recon.results.solid import SolidSource
from recon.solid.model import SolidInput
from recon.surface.mesh import Mesh, check_mesh, keep_faces
from recon.surface.reading import read_surface
from recon.system.foreign import reading

HEAD = 4096
"""Bytes at the start of a mesh file in which this program's own files say their unit."""
_UNIT = re.compile(rb"(?:unit (mm|cm|dm|m|km|um|in|ft), world axes|formfield (mm))")
CURVE_STEP = 0.002
"""Curves become polylines with points so far apart, as a share of the mesh's diagonal."""


def mesh_source(path: Path, unit: Unit | None, curves: Path | None) -> SolidSource:
    """The surface of a mesh file.

    Args:
        path: Any mesh that can be read.
        unit: Of its coordinates; None: what the file says.
        curves: A file or run of curves in the same frame; None for none.
    Raises:
        UsageError: If the file does not say its unit, and nobody else does.
        DataError: If it cannot be read, or is not closed.
    """
    said = file_unit(path)
    if unit is None and said is None:
        units = ", ".join(get_args(Unit))
        raise UsageError(f"{path}: the file does not say in which unit it is", f"add --unit mm (or {units})")
    if unit is not None and said is not None and unit != said:
        raise UsageError(f"{path}: the file says that it is in {said}", f"drop --unit {unit}")
    mesh = welded(read_surface(path))
    require_closed(mesh, str(path), "close it first; a solid has an inside")
    return SolidSource(str(path), path.stem, SolidInput(mesh.vertices, mesh.faces, None, curve_polylines(curves, mesh)), unit or said)


def file_unit(path: Path) -> Unit | None:
    """The unit of a mesh file's coordinates, as they are read; None where the file does not say it.

    Raises:
        DataError: If the file cannot be read.
    """
    with reading(path, "a mesh", "give a .ply, .obj, .stl or .glb file"), open(path, "rb") as file:
        head = file.read(HEAD)
        if path.suffix.lower() == ".glb":
            length = int.from_bytes(head[12:16], "little")
            file.seek(20)
            extras = (json.loads(file.read(length))["asset"].get("extras") or {}) if head[:4] == b"glTF" else {}
            known = extras.get("unit")
            return known if known in get_args(Unit) else "m"  # glTF's own
    found = _UNIT.search(head)
    return None if found is None else (found[1] or found[2]).decode()  # pyright: ignore[reportReturnType]


def welded(mesh: Mesh) -> Mesh:
    """The mesh with vertices of one place joined, as no .stl and no textured mesh has them; triangles without area are left out."""
    places, index = np.unique(mesh.vertices, axis=0, return_inverse=True)
    faces = index.reshape(-1)[mesh.faces]
    proper = (faces[:, 0] != faces[:, 1]) & (faces[:, 1] != faces[:, 2]) & (faces[:, 2] != faces[:, 0])
    return keep_faces(Mesh(places, faces.astype(np.int32)), proper)


def require_closed(mesh: Mesh, label: str, hint: str) -> None:
    """Refuse what has no inside.

    Raises:
        DataError: If the mesh is open, not manifold, or turned inside out.
    """
    found = check_mesh(mesh)
    if found.faces == 0:
        raise DataError(f"{label}: the mesh is empty", hint=hint)
    if found.boundary_edges:
        raise DataError(f"{label}: the mesh is open: {found.boundary_edges} edges have only one triangle", hint=hint)
    if found.non_manifold_edges:
        raise DataError(
            f"{label}: the mesh touches itself: {found.non_manifold_edges} edges have more than two triangles", hint="repair the mesh first"
        )
    if not found.oriented or found.volume <= 0:
        raise DataError(f"{label}: the mesh is inside out, or its triangles disagree which side is out", hint="turn its triangles over")


def curve_polylines(curves: Path | None, mesh: Mesh) -> tuple[np.ndarray, ...]:
    """Curves of a run or a file as polylines.

    Raises:
        DataError: If there are none.
    """
    if curves is None:
        return ()
    path = curves / "exports" / "curves.json" if curves.is_dir() else curves
    if not path.is_file():
        raise DataError(f"{curves}: there are no curves in it", hint="--curves takes a run of --method nef, or a curves.json")
    step = CURVE_STEP * mesh.diagonal()
    return tuple(curve.sample(step)[0] for curve in read_curves(path).curves)
