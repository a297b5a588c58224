"""A texture atlas: texture coordinates for a mesh, and which texel lies on which face."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import xatlas
from scipy.ndimage import distance_transform_edt

from recon.errors import UsageError
from recon.surface.mesh import Mesh

_CANDIDATES = 2**21  # (texel, face) pairs that are tested at once; about 200 MB


def unwrap(mesh: Mesh, resolution: int = 2048, padding: int = 4) -> Mesh:
    """Give a mesh texture coordinates, by xatlas.

    One core; about 2 s for 20,000 faces, 5 to 8 s for 60,000, and more than in proportion beyond: simplify first.

    Args:
        mesh: Any mesh.
        resolution: Side of the square texture, texels, for the choice of the padding.
        padding: Texels between charts, at least.
    Returns:
        The same surface with ``uv`` in [0, 1]; vertices on the seams of the atlas are repeated.
    Raises:
        UsageError: If the mesh is empty.
    """
    if len(mesh.faces) == 0:
        raise UsageError("an empty mesh has no texture", "look at the extraction's messages")
    lower, upper = mesh.vertices.min(0), mesh.vertices.max(0)
    points = ((mesh.vertices - (lower + upper) / 2) / max(float((upper - lower).max()), 1e-300)).astype(np.float32)
    atlas = xatlas.Atlas()
    atlas.add_mesh(points, mesh.faces.astype(np.uint32))
    pack = xatlas.PackOptions()
    pack.resolution, pack.padding, pack.bilinear, pack.create_image = resolution, padding, True, False
    atlas.generate(xatlas.ChartOptions(), pack)
    source, faces, uv = atlas.get_mesh(0)

    def pick(values: np.ndarray | None) -> np.ndarray | None:
        return None if values is None else values[source]

    return replace(
        mesh,
        vertices=mesh.vertices[source],
        faces=faces.astype(np.int32),
        normals=pick(mesh.normals),
        colors=pick(mesh.colors),
        uv=np.clip(uv.astype(np.float64), 0, 1),
        texture=None,
    )


@dataclass(frozen=True)
class Texels:
    """The texels that lie on faces.

    Attributes:
        row, column: Place in the texture. [T] int32
        face: Face. [T] int32
        barycentric: Weights of the face's three vertices. [T, 3] float64
    """

    row: np.ndarray
    column: np.ndarray
    face: np.ndarray
    barycentric: np.ndarray


def rasterize(uv: np.ndarray, faces: np.ndarray, size: int) -> Texels:
    """Texels whose centre lies in a face of the atlas; where faces overlap (on common edges), the one with the greater index has it.

    The texel in row j and column i has its centre at u = (i + 0.5) / size, v = 1 - (j + 0.5) / size.

    Args:
        uv: Texture coordinates of the vertices. [V, 2]
        faces: [F, 3]
        size: Side of the texture.
    """
    # In texels, row direction downwards.
    x, y = uv[:, 0] * size, (1 - uv[:, 1]) * size
    corners = np.stack([x, y], axis=1)[faces]
    low = np.clip(np.ceil(corners.min(1) - 0.5), 0, size).astype(np.int64)
    high = np.clip(np.floor(corners.max(1) - 0.5) + 1, 0, size).astype(np.int64)
    width, height = np.maximum(high - low, 0).T
    counts = width * height
    owner = np.full(size * size, -1, np.int32)
    weights = np.zeros((size * size, 2), np.float32)
    ends = np.cumsum(counts)
    start = 0
    while start < len(faces):
        stop = max(start + 1, int(np.searchsorted(ends, (ends[start - 1] if start else 0) + _CANDIDATES)))
        part = np.arange(start, min(stop, len(faces)))
        face = np.repeat(part, counts[part])
        local = np.arange(len(face)) - np.repeat(np.cumsum(counts[part]) - counts[part], counts[part])
        column, row = low[face, 0] + local % np.maximum(width[face], 1), low[face, 1] + local // np.maximum(width[face], 1)
        p = np.stack([column + 0.5, row + 0.5], axis=1)
        w = _barycentric(corners[face], p)
        inside = (w >= -1e-9).all(1)
        texel = row[inside] * size + column[inside]
        owner[texel] = face[inside]
        weights[texel] = w[inside, 1:]
        start = int(part[-1]) + 1
    texel = np.flatnonzero(owner >= 0)
    bc = weights[texel].astype(np.float64)
    barycentric = np.concatenate([1 - bc.sum(1, keepdims=True), bc], axis=1)
    return Texels((texel // size).astype(np.int32), (texel % size).astype(np.int32), owner[texel], barycentric)


def _barycentric(corners: np.ndarray, p: np.ndarray) -> np.ndarray:
    """Weights of points in triangles of the plane; -1 everywhere for a triangle without area. [N, 3, 2], [N, 2] -> [N, 3]"""
    a, b, c = corners[:, 0], corners[:, 1], corners[:, 2]

    def cross(u: np.ndarray, v: np.ndarray) -> np.ndarray:
        return u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]

    area = cross(b - a, c - a)
    safe = np.where(area == 0, np.inf, area)
    w1, w2 = cross(p - a, c - a) / safe, cross(b - a, p - a) / safe
    out = np.stack([1 - w1 - w2, w1, w2], axis=1)
    out[area == 0] = -1
    return out


def fill_gutters(texture: np.ndarray, covered: np.ndarray) -> np.ndarray:
    """Give every texel between the charts the value of the nearest texel on a chart, so that no filter mixes in the background.

    Args:
        texture: [H, W, C]
        covered: Texels with a value of their own, at least one. [H, W] bool
    """
    nearest = distance_transform_edt(~covered, return_distances=False, return_indices=True)
    assert isinstance(nearest, np.ndarray)
    return texture[nearest[0], nearest[1]]
