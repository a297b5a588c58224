"""Any CAD file or mesh as a scene: ``recon scene part.step --out DATA``.

STEP files (extra ``[cad]``) bring their exact surface and curves; OBJ, PLY, STL and GLB a surface only. The world is the file's own:
its axes and its units (millimetres for STEP, unknown for meshes). Sizes do not matter, since cameras are placed by the object's size.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from recon.errors import DataError, UsageError
from recon.system.foreign import load_trimesh
from scenes.export import FORMATS, Progress, write_truth
from scenes.library import SceneOptions, Truth
from scenes.making.materials import Material
from scenes.making.solid import Solid, edge_counts, from_triangles, signed_volume

STEP_SUFFIXES = (".step", ".stp")
MESH_SUFFIXES = (".obj", ".ply", ".stl", ".glb")
CREASE_RAD = 0.6
"""Facets of a mesh that bend by less than this are shaded as one smooth surface."""


def truth_from_file(path: Path, material: Material | None = None, allow_open: bool = False) -> Truth:
    """Surface (and, for STEP, curves) of a file.

    Args:
        path: STEP, OBJ, PLY, STL or GLB.
        material: What to render it with; None for the default, a two-coloured grain.
        allow_open: Accept a surface with holes or edges shared by more than two triangles.
    Returns:
        The truth, named after the file.
    Raises:
        UsageError: If the kind of file is not known.
        DataError: If the file is missing, broken, empty, or not closed (unless ``allow_open``).
        CapabilityError: For STEP without the extra ``[cad]``.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in STEP_SUFFIXES + MESH_SUFFIXES:
        raise UsageError(f"{path}: scenes cannot be made from {suffix or 'a file without suffix'}",
                         f"Give one of {', '.join(STEP_SUFFIXES + MESH_SUFFIXES)}.")  # fmt: skip
    if not path.is_file():
        raise DataError(f"{path} does not exist")
    chosen = material or Material()
    if suffix in STEP_SUFFIXES:
        from recon.curves.files.occ import read_step
        from scenes.cad import solid_from_shape

        solid, _ = solid_from_shape(read_step(path), str(path), must_close=not allow_open)
        return Truth(path.stem, solid, "mm", chosen, path)
    return Truth(path.stem, _mesh_solid(path, allow_open), None, chosen)


def write_file(
    path: Path,
    out: Path,
    options: SceneOptions | None = None,
    *,
    views: int | None = None,
    size: int | None = None,
    formats: Sequence[str] = FORMATS,
    geometry: bool = True,
    overwrite: bool = False,
    allow_open: bool = False,
    material: Material | None = None,
    progress: Progress | None = None,
) -> Path:
    """Write a dataset with truth from a CAD file or mesh; arguments as in :func:`scenes.write` and :func:`truth_from_file`."""
    known = truth_from_file(path, material, allow_open)
    return write_truth(known, out, options, views=views, size=size, formats=formats, geometry=geometry, overwrite=overwrite,
                       progress=progress)  # fmt: skip


def _mesh_solid(path: Path, allow_open: bool) -> Solid:
    loaded = load_trimesh(path, "Export it again.")
    faces = np.asarray(getattr(loaded, "faces", np.zeros((0, 3), int)))
    vertices = np.asarray(getattr(loaded, "vertices", np.zeros((0, 3))), np.float64)
    if len(faces) == 0:
        raise DataError(f"{path}: it has no triangles", hint="Export the surface, not a point cloud.")
    if not np.isfinite(vertices[faces]).all():
        raise DataError(f"{path}: some vertices are not finite numbers", hint="Repair the mesh.")
    # files repeat vertices for every triangle or texture seam: those at one place are one
    diagonal = float(np.linalg.norm(np.ptp(vertices[np.unique(faces)], axis=0)))
    if diagonal <= 0:
        raise DataError(f"{path}: all its vertices are at one place", hint="Repair the mesh.")
    key = np.round((vertices - vertices.min(0)) / (1e-7 * diagonal)).astype(np.int64)
    _, first, merged = np.unique(key, axis=0, return_index=True, return_inverse=True)
    vertices, faces = vertices[first], merged.reshape(-1)[faces]
    faces = faces[(faces[:, 0] != faces[:, 1]) & (faces[:, 1] != faces[:, 2]) & (faces[:, 2] != faces[:, 0])]
    used, faces = np.unique(faces, return_inverse=True)
    vertices, faces = vertices[used], faces.reshape(-1, 3)
    open_edges, crowded, turned = edge_counts(faces)
    problems = []
    if open_edges:
        problems.append(f"{open_edges} edges belong to one triangle only: the surface has holes")
    if crowded:
        problems.append(f"{crowded} edges belong to more than two triangles: the surface is not a manifold")
    if turned:
        problems.append(f"{turned} edges have triangles that face opposite ways")
    if problems and not allow_open:
        raise DataError(f"{path}: not a closed surface", problems, "Repair the mesh: two triangles must meet at every edge.")
    if not problems and signed_volume(vertices, faces) < 0:
        faces = faces[:, ::-1]
    return from_triangles(vertices, faces, CREASE_RAD)
