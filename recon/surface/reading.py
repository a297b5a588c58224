"""Reading meshes that this program or others wrote."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from recon.errors import DataError
from recon.geometry import Similarity
from recon.surface.mesh import Mesh, transform_mesh
from recon.system.foreign import load_trimesh, reading


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
    loaded = load_trimesh(path)
    vertices, faces = np.asarray(loaded.vertices, np.float64), np.asarray(getattr(loaded, "faces", np.zeros((0, 3))), np.int32)
    if len(faces) == 0:
        raise DataError(f"{path}: it has no faces", hint="a mesh is needed, not a point cloud")
    if not np.isfinite(vertices).all():
        raise DataError(f"{path}: {int((~np.isfinite(vertices)).any(1).sum())} vertices are not finite")
    colors = None
    if loaded.visual is not None and loaded.visual.kind == "vertex":
        colors = np.asarray(loaded.visual.vertex_colors)[:, :3].astype(np.uint8)  # pyright: ignore[reportAttributeAccessIssue]
    return Mesh(vertices, faces, colors=colors)


def read_surface(path: Path) -> Mesh:
    """A mesh file with its colours; of a .glb also the texture and the normals, and back in the world if this program wrote it.

    Raises:
        DataError: See :func:`read_mesh`.
    """
    mesh = read_mesh(path)
    if path.suffix.lower() != ".glb":
        return mesh
    with reading(path, "a mesh"):
        return transform_mesh(_with_texture(path, mesh), world_from_gltf(path))


def _with_texture(path: Path, mesh: Mesh) -> Mesh:
    import trimesh  # here: half a second that most commands have no use for

    parts = trimesh.load_scene(path, process=False)
    if len(parts.geometry) == 1:
        (node,) = parts.graph.nodes_geometry
        pose, name = parts.graph[node]
        part = parts.geometry[name]
        visual = part.visual
        picture, coordinates = getattr(getattr(visual, "material", None), "baseColorTexture", None), getattr(visual, "uv", None)
        if picture is not None and coordinates is not None:
            uv, texture = np.asarray(coordinates, np.float64), np.asarray(picture.convert("RGB"))
            # The file's own normals, which joining several objects into one forgets: computed again they break at the texture's seams.
            normals = np.asarray(part.vertex_normals, np.float64) @ pose[:3, :3].T
            normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
            mesh = replace(mesh, colors=None, uv=uv, normals=normals, texture=texture)
    return mesh


def world_from_gltf(path: Path) -> Similarity:
    """From a .glb's frame to the world's, as its ``asset.extras`` tell it; the identity for other programs' files."""
    with reading(path, "a .glb"), open(path, "rb") as file:
        header = file.read(20)
        tree = json.loads(file.read(int.from_bytes(header[12:16], "little")))
        extras = tree["asset"].get("extras") or {}
        if "gltf_from_world_scale" in extras:
            raise ValueError("an earlier version wrote it; recon export RUN mesh writes it again")
        matrix = np.array(extras.get("world_from_gltf", np.eye(4)), np.float64).reshape(4, 4)
        scale = float(np.cbrt(np.linalg.det(matrix[:3, :3])))
        if not (np.isfinite(matrix).all() and scale > 0.0 and (matrix[3] == [0, 0, 0, 1]).all()):
            raise ValueError("its world_from_gltf is not a similarity")
        rotation = matrix[:3, :3] / scale
        if not np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-4):
            raise ValueError("its world_from_gltf is not a similarity")
        return Similarity(scale, rotation, matrix[:3, 3])
