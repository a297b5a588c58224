"""Meshes with more triangles than segmentation needs: thinned for finding faces, with all of their vertices kept for fitting them.

What a face is shows in triangles of half a percent of the part's size; a thousand of them on a face say no more than twenty, as errors of a
surface are alike over larger pieces. Shortest edges are collapsed first (Hoppe et al., "Mesh optimization", 1993, in libigl), which leaves
triangles of one size everywhere: rings of neighbours are as wide on plane faces as on round ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import igl
import numpy as np
from scipy.spatial import KDTree

from recon.solid.mesh import Mesh, closed_mesh

DENSITY = 135_000
"""Triangles on an area of the diagonal squared: edges of 0.43 % of the diagonal."""
DENSER = 1.6
"""Meshes with so many times more triangles than that are thinned."""


@dataclass(frozen=True)
class Thinned:
    """A mesh to find faces on, and what it was made of.

    Attributes:
        mesh: The thinned mesh, or the given one.
        points: Vertices of the given mesh, grouped by the nearest vertex of ``mesh``. [N, 3]
        first: Vertex v has ``points[first[v] : first[v + 1]]``. [V + 1]
        nearest: Number of the given mesh's vertex that is nearest to each of ``mesh``. [V]
    """

    mesh: Mesh
    points: np.ndarray
    first: np.ndarray
    nearest: np.ndarray

    def owned(self, vertices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Points of some vertices, and which of ``vertices`` each belongs to. [n, 3], [n]"""
        start, count = self.first[vertices], self.first[vertices + 1] - self.first[vertices]
        place = np.repeat(np.arange(len(vertices)), count)
        skipped = np.cumsum(count) - count
        return self.points[np.arange(count.sum()) - skipped[place] + start[place]], place


def whole(mesh: Mesh) -> Thinned:
    """A mesh as it is: every vertex is its own point."""
    n = len(mesh.vertices)
    return Thinned(mesh, mesh.vertices, np.arange(n + 1), np.arange(n))


def thinned(mesh: Mesh) -> Thinned:
    """A mesh of at most :data:`DENSER` times as many triangles as faces need to be found on; its vertices lie on the given surface.

    Raises:
        DataError: If the thinned mesh is not closed.
    """
    wanted = int(DENSITY * mesh.areas.sum() / mesh.diagonal**2)
    if len(mesh.faces) <= DENSER * wanted:
        return whole(mesh)
    centre = 0.5 * (mesh.vertices.min(0) + mesh.vertices.max(0))
    given = np.ascontiguousarray((mesh.vertices - centre) / mesh.diagonal)
    vertices, faces = (np.asarray(x) for x in igl.decimate(given, mesh.faces, wanted)[:2])
    # the middle of a collapsed edge lies beside a round surface
    on_surface = np.asarray(igl.point_mesh_squared_distance(np.ascontiguousarray(vertices), given, mesh.faces)[2])
    found = closed_mesh(on_surface * mesh.diagonal + centre, faces, "the thinned mesh")
    owner = np.asarray(KDTree(found.vertices).query(mesh.vertices)[1])
    order = np.argsort(owner, kind="stable")
    first = np.searchsorted(owner[order], np.arange(len(found.vertices) + 1))
    nearest = np.asarray(KDTree(mesh.vertices).query(found.vertices)[1])
    return Thinned(found, mesh.vertices[order], first, nearest)
