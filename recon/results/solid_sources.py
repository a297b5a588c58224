"""Where `recon solid` takes its surface from: a run, or a mesh file."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, get_args

import numpy as np

from recon.config.values import Unit
from recon.console import Reporter
from recon.curves.files.polylines import read_curves
from recon.data.scene import Camera, View
from recon.errors import DataError, UsageError, recon_command
from recon.results.query import Loaded, load_run
from recon.results.solid import SolidSource, photograph_counts
from recon.runs import Run, open_run
from recon.solid.model import Distance, SolidInput
from recon.surface.mesh import Mesh, check_mesh
from recon.surface.reading import read_mesh, read_surface
from recon.system.foreign import read_json, reading

HEAD = 4096
"""Bytes at the start of a mesh file in which this program's own files say their unit."""
_UNIT = re.compile(rb"(?:unit (mm|cm|dm|m|km|um|in|ft), world axes|formfield (mm))")
CURVE_STEP = 0.002
"""Curves become polylines with points so far apart, as a share of the mesh's diagonal."""


def run_source(folder: Path, curves: Path | None, device: str, views: list[View] | None, reporter: Reporter) -> SolidSource:
    """The surface of a finished run: its mesh, its signed distance, and in how many photographs each vertex is seen.

    Args:
        folder: Of a run of a method with a surface.
        curves: A run of an edge field, or a file of curves; None for none.
        device: Where the distance is computed.
        views: The photographs, if they are at hand.
        reporter: Where progress goes.
    Raises:
        UsageError: If the run has no surface.
        DataError: If its mesh is missing or not closed.
    """
    run = open_run(folder, device)
    info = run.scene_info()
    path = run.exports / "mesh.ply"
    if not path.is_file():
        if run.config.method != "volsdf":
            raise UsageError(f"{folder}: a {run.config.method} run has no surface to make a solid of", "give a run of --method volsdf")
        raise DataError(f"{folder}: it has no mesh yet", hint=recon_command("resume", folder))
    mesh = welded(read_mesh(path))
    require_closed(mesh, str(path), "a one-sided capture has no other side; " + recon_command("export", folder, "--closed", "yes"))
    reporter.progress("solid", 0.01, "in how many photographs each part of the surface is seen")
    cameras = [Camera.from_json(v["camera"]) for v in info["views"] if v["split"] == "train"]
    seen = photograph_counts(mesh, cameras)
    distance = above_support(run_distance(load_run(folder, device)), run)
    given = SolidInput(mesh.vertices, mesh.faces, distance, curve_polylines(curves, mesh), views=seen)
    return SolidSource(str(folder), info["name"], given, info["unit"], views or ())


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
    whole = (faces[:, 0] != faces[:, 1]) & (faces[:, 1] != faces[:, 2]) & (faces[:, 2] != faces[:, 0])
    return Mesh(places, faces[whole].astype(np.int32))


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


def run_distance(loaded: Loaded) -> Distance | None:
    """A run's signed distance for points of the world; None for runs of anything else. Points beyond what was trained count as at its border."""
    if loaded.kind != "signed distance":
        return None
    frame: Any = loaded.from_points
    back = frame.inverse()

    def distance(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        inside = back.apply(np.clip(frame.apply(points), -1.0, 1.0))
        found = loaded.query(inside, gradient=True)
        assert found.gradient is not None
        return found.values[:, 0].astype(np.float64), found.gradient

    return distance


def above_support(distance: Distance | None, run: Run) -> Distance | None:
    """The same, of what was left when the flat support was cut off: without it, the bottom of the mesh would lie in the table."""
    path = run.exports / "mesh.json"
    plane = read_json(path, "what was found about a mesh").get("support_plane") if path.is_file() else None
    if plane is None or distance is None:
        return distance
    normal, offset = np.array(plane["normal"], np.float64), float(plane["offset"])

    def cut(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        values, gradients = distance(points)
        below = offset - points @ normal
        outside = below > values
        return np.where(outside, below, values), np.where(outside[:, None], -normal, gradients)

    return cut


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


