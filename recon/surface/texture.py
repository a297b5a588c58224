"""Colour on a mesh: a texture baked from any colour function, and vertex colours.

A colour function takes points [N, 3] and unit normals [N, 3] in the mesh's frame and returns sRGB [N, 3] in [0, 1]; rows of NaN say that
it does not know. A field is one source of such a function, photographs are another (:mod:`recon.surface.photographs`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from scipy.spatial import KDTree

from recon.errors import DataError, UsageError
from recon.surface.atlas import fill_gutters, rasterize, unwrap
from recon.surface.mesh import Mesh, vertex_normals

Color = Callable[[np.ndarray, np.ndarray], np.ndarray]


def textured_mesh(mesh: Mesh, color: Color, *, resolution: int = 2048, progress=None) -> Mesh:
    """Unwrap and bake: the mesh for a .glb or .obj with a texture.

    On one core 5 to 8 s for the atlas of 60,000 faces (more than in proportion beyond: simplify first), 3 s for rasterising 2048², and
    the colour function's own time at about 3 million texels.

    Args:
        mesh: With normals, or the mean of the faces' is used.
        color: See the module's text.
        resolution: Side of the texture.
        progress: Called with the share done and a text, or None.
    """
    if mesh.normals is None:
        mesh = replace(mesh, normals=vertex_normals(mesh))
    if progress is not None:
        progress(0.2, f"atlas of {len(mesh.faces)} faces")
    return bake_texture(unwrap(mesh, resolution), color, resolution=resolution, progress=progress)


def bake_texture(mesh: Mesh, color: Color, *, resolution: int = 2048, batch: int = 2**18, progress=None) -> Mesh:
    """Evaluate a colour function at the centre of every texel.

    Texels of which the function knows nothing get the colour of the nearest point on the surface of which it does; texels between the
    charts that of the nearest texel.

    Args:
        mesh: With ``uv`` (:func:`recon.surface.atlas.unwrap`).
        color: See the module's text.
        resolution: Side of the square texture, texels.
        batch: Most points in one call of ``color``.
        progress: Called with the share done and a text, or None.
    Returns:
        The mesh with its texture.
    Raises:
        UsageError: If the mesh has no texture coordinates.
        DataError: If the function knows no colour at all.
    """
    if mesh.uv is None:
        raise UsageError("the mesh has no texture coordinates", "unwrap it first")
    texels = rasterize(mesh.uv, mesh.faces, resolution)
    corner_normals = mesh.normals if mesh.normals is not None else vertex_normals(mesh)

    def surface(part: slice) -> tuple[np.ndarray, np.ndarray]:
        w, corners = texels.barycentric[part], mesh.faces[texels.face[part]]
        normals = np.einsum("nk,nkd->nd", w, corner_normals[corners])
        normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
        return np.einsum("nk,nkd->nd", w, mesh.vertices[corners]), normals

    count = len(texels.face)
    colors = np.empty((count, 3), np.float32)
    for start in range(0, count, batch):
        if progress is not None:
            progress(0.4 + 0.6 * start / count, f"colours of {count} texels")
        colors[start : start + batch] = color(*surface(slice(start, start + batch)))
    unknown = ~np.isfinite(colors).all(1)
    if unknown.all():
        raise DataError("no texel has a colour", hint="check that the cameras look at the mesh, in the same units")
    if unknown.any():
        points = surface(slice(None))[0]
        colors[unknown] = colors[~unknown][KDTree(points[~unknown]).query(points[unknown], workers=-1)[1]]
    picture = np.zeros((resolution, resolution, 3), np.uint8)
    picture[texels.row, texels.column] = _to_bytes(colors)
    covered = np.zeros((resolution, resolution), bool)
    covered[texels.row, texels.column] = True
    return replace(mesh, texture=fill_gutters(picture, covered))


def color_vertices(mesh: Mesh, color: Color, batch: int = 2**18) -> Mesh:
    """Colours at the vertices; vertices of which the function knows nothing get the colour of the nearest one of which it does.

    Raises:
        DataError: If the function knows no colour at all.
    """
    if len(mesh.vertices) == 0:
        return replace(mesh, colors=np.zeros((0, 3), np.uint8))
    normals = mesh.normals if mesh.normals is not None else vertex_normals(mesh)
    colors = np.empty((len(mesh.vertices), 3), np.float32)
    for start in range(0, len(colors), batch):
        part = slice(start, start + batch)
        colors[part] = color(mesh.vertices[part], normals[part])
    unknown = ~np.isfinite(colors).all(1)
    if unknown.all():
        raise DataError("no vertex has a colour", hint="check that the cameras look at the mesh, in the same units")
    if unknown.any():
        nearest = KDTree(mesh.vertices[~unknown]).query(mesh.vertices[unknown], workers=-1)[1]
        colors[unknown] = colors[~unknown][nearest]
    return replace(mesh, colors=_to_bytes(colors))


def sample_texture(texture: np.ndarray, uv: np.ndarray) -> np.ndarray:
    """Bilinear lookup. Texture [H, W, 3] uint8 with row 0 on top, uv [N, 2] with (0, 0) in the lower left corner -> [N, 3] in [0, 1]"""
    h, w = texture.shape[:2]
    x, y = np.clip(uv[:, 0] * w - 0.5, 0, w - 1), np.clip((1 - uv[:, 1]) * h - 0.5, 0, h - 1)
    x0, y0 = np.floor(x).astype(np.int64), np.floor(y).astype(np.int64)
    x1, y1 = np.minimum(x0 + 1, w - 1), np.minimum(y0 + 1, h - 1)
    fx, fy = (x - x0)[:, None], (y - y0)[:, None]
    top = texture[y0, x0] * (1 - fx) + texture[y0, x1] * fx
    bottom = texture[y1, x0] * (1 - fx) + texture[y1, x1] * fx
    return (top * (1 - fy) + bottom * fy) / 255.0


def _to_bytes(colors: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(colors * 255), 0, 255).astype(np.uint8)
