"""Colour on a mesh: a texture baked from any colour function, and vertex colours.

A colour function takes points [N, 3] and unit normals [N, 3] in the mesh's frame and returns sRGB [N, 3] in [0, 1]. A field is one
source of such a function; photographs are fitted instead (:mod:`recon.surface.photographs`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from scipy.spatial import KDTree

from recon.errors import UsageError
from recon.surface.atlas import Texels, fill_gutters, rasterize
from recon.surface.mesh import Mesh, vertex_normals

Color = Callable[[np.ndarray, np.ndarray], np.ndarray]
_BATCH = 2**18  # most points in one call of a colour function


def bake_texture(mesh: Mesh, color: Color, *, resolution: int = 2048, progress: Callable[[float, str], None] | None = None) -> Mesh:
    """Evaluate a colour function at the centre of every texel.

    On one core 3 s for rasterising 2048², and the colour function's own time at about 3 million texels. Texels between the charts get the
    colour of the nearest texel.

    Args:
        mesh: With ``uv`` (:func:`recon.surface.atlas.unwrap`).
        color: See the module's text.
        resolution: Side of the square texture, texels.
        progress: Called with the share done and a text, or None.
    Returns:
        The mesh with its texture.
    Raises:
        UsageError: If the mesh has no texture coordinates.
    """
    texels = texels_of(mesh, resolution)
    every = np.arange(len(texels.face))
    said = None if progress is None else lambda share: progress(share, f"colours of {len(every)} texels")
    return with_texture(mesh, texels, texel_colors(mesh, texels, every, color, said), resolution)


def texels_of(mesh: Mesh, resolution: int) -> Texels:
    """The texels on the faces of a mesh; a UsageError if it has no texture coordinates."""
    if mesh.uv is None:
        raise UsageError("the mesh has no texture coordinates", "unwrap it first")
    return rasterize(mesh.uv, mesh.faces, resolution)


def texel_points(mesh: Mesh, texels: Texels, rows: np.ndarray) -> np.ndarray:
    """Where the texels numbered ``rows`` lie on the surface. [N, 3]"""
    return np.einsum("nk,nkd->nd", texels.barycentric[rows], mesh.vertices[mesh.faces[texels.face[rows]]])


def texel_colors(mesh: Mesh, texels: Texels, rows: np.ndarray, color: Color, progress: Callable[[float], None] | None = None) -> np.ndarray:
    """A colour function at the centres of the texels numbered ``rows``. float32 [N, 3]"""
    normals, out = mesh.normals if mesh.normals is not None else vertex_normals(mesh), np.empty((len(rows), 3), np.float32)
    for start in range(0, len(rows), _BATCH):
        if progress is not None:
            progress(start / len(rows))
        part = rows[start : start + _BATCH]
        across = np.einsum("nk,nkd->nd", texels.barycentric[part], normals[mesh.faces[texels.face[part]]])
        across /= np.maximum(np.linalg.norm(across, axis=1, keepdims=True), 1e-12)
        out[start : start + _BATCH] = color(texel_points(mesh, texels, part), across)
    return out


def with_texture(mesh: Mesh, texels: Texels, colors: np.ndarray, resolution: int) -> Mesh:
    """The mesh with a texture of these colours [T, 3] of its texels."""
    picture, covered = np.zeros((resolution, resolution, 3), np.uint8), np.zeros((resolution, resolution), bool)
    picture[texels.row, texels.column] = _to_bytes(colors)
    covered[texels.row, texels.column] = True
    return replace(mesh, texture=fill_gutters(picture, covered))


def color_vertices(mesh: Mesh, color: Color) -> Mesh:
    """Colours at the vertices."""
    normals = mesh.normals if mesh.normals is not None else vertex_normals(mesh)
    colors = np.empty((len(mesh.vertices), 3), np.float32)
    for start in range(0, len(colors), _BATCH):
        part = slice(start, start + _BATCH)
        colors[part] = color(mesh.vertices[part], normals[part])
    return replace(mesh, colors=_to_bytes(colors))


def texture_color(mesh: Mesh) -> Color:
    """The colours of a textured mesh as a function of points near its surface: those of the nearest texel."""
    assert mesh.texture is not None
    texels = texels_of(mesh, len(mesh.texture))
    tree, colors = KDTree(texel_points(mesh, texels, np.arange(len(texels.face)))), mesh.texture[texels.row, texels.column]
    return lambda points, normals: colors[tree.query(points, workers=-1)[1]] / np.float32(255.0)


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
