"""How far a mesh is from the solid that stands for it, as numbers and as colours."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import igl
import numpy as np

from recon.solid.facets import Facets
from recon.surface.mesh import Mesh, face_cross

_SIDES = np.array([[0x21, 0x66, 0xAC], [0x92, 0xC5, 0xDE], [0xF7, 0xF7, 0xF7], [0xF4, 0xA5, 0x82], [0xB2, 0x18, 0x2B]], np.float64) / 255
"""Blue: the mesh lies inside of the solid; white: on it; red: outside. Five colours of ColorBrewer's RdBu, safe for the colour-blind."""

_BARE = 70


@dataclass(frozen=True)
class Deviation:
    """Signed distances of a mesh's vertices from a solid, in the unit of both; positive outside.

    Attributes:
        distance: [V]
        face: Nearest face of the solid. [V]
        weights: Area that each vertex stands for; 0 for one that no face stands for, which counts in no figure. [V]
    """

    distance: np.ndarray
    face: np.ndarray
    weights: np.ndarray

    @property
    def reach(self) -> float:
        """Where the colours end: what 95 % of the area is below."""
        return max(self.quantile(0.95), 1e-12)

    def quantile(self, share: float) -> float:
        """Absolute distance that a share of the area is below."""
        order = np.argsort(np.abs(self.distance))
        summed = np.cumsum(self.weights[order])
        place = min(int(np.searchsorted(summed, share * summed[-1])), len(order) - 1)
        return float(np.abs(self.distance[order[place]]))

    def figures(self) -> dict[str, float]:
        """Area-weighted: ``mean`` (signed: a bias), ``mean_absolute``, ``rms``, ``q95``, ``largest``."""
        w = self.weights / self.weights.sum()
        d = self.distance
        return {
            "mean": float(w @ d),
            "mean_absolute": float(w @ np.abs(d)),
            "rms": float(np.sqrt(w @ d**2)),
            "q95": self.quantile(0.95),
            "largest": float(np.abs(d[w > 0]).max()),
        }


def deviation(mesh: Mesh, solid: Facets, bare: np.ndarray | None = None) -> Deviation:
    """Distances to the solid's triangles; the sign is that of the side of the nearest triangle.

    Args:
        mesh: With vertices and faces.
        solid: In the same frame.
        bare: Vertices that no face of the solid stands for: over an open shell's holes. bool [V]
    """
    shown = solid.mesh
    center = (shown.vertices.min(0) + shown.vertices.max(0)) / 2  # far from the origin, differences would cancel
    points = np.ascontiguousarray(mesh.vertices - center)
    found: Any = igl.point_mesh_squared_distance(points, np.ascontiguousarray(shown.vertices - center), solid.triangles)
    squared, triangle, nearest = (np.asarray(x) for x in found)
    side = ((points - nearest) * face_cross(shown)[triangle]).sum(1)
    cross = np.linalg.norm(face_cross(mesh), axis=1) / 6
    weights = np.zeros(len(mesh.vertices))
    for k in range(3):
        np.add.at(weights, mesh.faces[:, k], cross)
    if bare is not None and not bare.all():
        weights[bare] = 0.0
    return Deviation(np.sqrt(np.maximum(squared, 0)) * np.where(side < 0, -1.0, 1.0), solid.face[triangle], weights)


def deviation_colors(distance: np.ndarray, reach: float) -> np.ndarray:
    """Blue inside, white on, red outside of the solid; full colour at ``reach`` and beyond. [N] -> [N, 3], sRGB in [0, 1]"""
    place = (np.clip(distance / reach, -1, 1) + 1) / 2 * (len(_SIDES) - 1)
    return np.stack([np.interp(place, np.arange(len(_SIDES)), _SIDES[:, k]) for k in range(3)], axis=-1)


def colored(mesh: Mesh, found: Deviation) -> Mesh:
    """The mesh in the colours of its deviation; dark grey where no face stands for it."""
    colors = np.rint(255 * deviation_colors(found.distance, found.reach)).astype(np.uint8)
    colors[found.weights == 0] = _BARE
    return replace(mesh, colors=colors, uv=None, texture=None)
