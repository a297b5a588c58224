"""Reading meshes that this program or others wrote."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import trimesh

from recon.errors import DataError
from recon.surface.mesh import Mesh


def read_mesh(path: Path) -> Mesh:
    """Read a triangle mesh (.ply, .obj, .stl, .glb, .off) as it stands: vertices are neither merged nor moved.

    Args:
        path: The file; several objects in one are joined.
    Returns:
        The mesh in the file's own frame and unit, with vertex colours if it has them. Polygons are split into triangles.
    Raises:
        DataError: If the file does not exist, cannot be read, has no faces, or has coordinates that are not finite.
    """
    if not path.is_file():
        raise DataError(f"{path}: there is no such mesh", hint="give a .ply, .obj, .stl or .glb file")
    try:
        loaded = trimesh.load_mesh(path, process=False)
    except (ValueError, KeyError, IndexError, TypeError, OSError) as error:
        raise DataError(f"{path}: cannot be read as a mesh ({error})", hint="give a .ply, .obj, .stl or .glb file") from error
    if isinstance(loaded, trimesh.Scene):
        loaded = loaded.to_mesh()
    vertices, faces = np.asarray(loaded.vertices, np.float64), np.asarray(getattr(loaded, "faces", np.zeros((0, 3))), np.int32)
    if len(faces) == 0:
        raise DataError(f"{path}: it has no faces", hint="a mesh is needed, not a point cloud")
    if not np.isfinite(vertices).all():
        raise DataError(f"{path}: {int((~np.isfinite(vertices)).any(1).sum())} vertices are not finite")
    colors = None
    if loaded.visual is not None and loaded.visual.kind == "vertex":
        colors = np.asarray(loaded.visual.vertex_colors)[:, :3].astype(np.uint8)  # pyright: ignore[reportAttributeAccessIssue]
    return Mesh(vertices, faces, colors=colors)
