"""A closed triangle mesh with its half-edges: what segmentation and topology walk on.

Half-edge 3 t + k runs along triangle t from its corner k to corner k + 1; ``opposite`` is the half-edge of the neighbour.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy.sparse import coo_matrix, csr_matrix
from scipy.sparse.csgraph import connected_components

from recon.errors import DataError
from recon.solid.primitives import unit


@dataclass(frozen=True)
class Mesh:
    """Vertices [V, 3] float64 and triangles [F, 3] int64, counter-clockwise from outside, every edge shared by two of them."""

    vertices: np.ndarray
    faces: np.ndarray

    @cached_property
    def diagonal(self) -> float:
        """Of the axis-aligned bounding box."""
        return float(np.linalg.norm(self.vertices.max(0) - self.vertices.min(0)))

    @cached_property
    def _cross(self) -> np.ndarray:
        a, b, c = (self.vertices[self.faces[:, k]] for k in range(3))
        return np.cross(b - a, c - a)

    @cached_property
    def normals(self) -> np.ndarray:
        """Unit normals of triangles, outward. [F, 3]"""
        return unit(self._cross)

    @cached_property
    def areas(self) -> np.ndarray:
        """[F]"""
        return 0.5 * np.linalg.norm(self._cross, axis=1)

    @cached_property
    def vertex_normals(self) -> np.ndarray:
        """Weighted by area. [V, 3]"""
        total = np.zeros_like(self.vertices)
        for k in range(3):
            np.add.at(total, self.faces[:, k], self._cross)
        return unit(total)

    @cached_property
    def vertex_areas(self) -> np.ndarray:
        """A third of the triangles around each vertex. [V]"""
        return np.bincount(self.faces.ravel(), weights=np.repeat(self.areas / 3, 3), minlength=len(self.vertices))

    @cached_property
    def volume(self) -> float:
        """Signed, positive when the triangles face outward."""
        middle = self.vertices.mean(0)
        a = self.vertices[self.faces[:, 0]] - middle
        return float(np.einsum("ij,ij->", a, self._cross) / 6)

    @cached_property
    def starts(self) -> np.ndarray:
        """Vertex where each half-edge starts. [3F]"""
        return self.faces.ravel()

    @cached_property
    def ends(self) -> np.ndarray:
        """Vertex where each half-edge ends. [3F]"""
        return self.faces[:, [1, 2, 0]].ravel()

    @cached_property
    def opposite(self) -> np.ndarray:
        """The other half-edge of the same edge; -1 where there is none. [3F]"""
        count = len(self.vertices)
        forward, backward = self.starts * count + self.ends, self.ends * count + self.starts
        order = np.argsort(forward, kind="stable")
        place = np.minimum(np.searchsorted(forward[order], backward), len(order) - 1)
        found = order[place]
        return np.where(forward[found] == backward, found, -1)

    @cached_property
    def pairs(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """One entry for each edge: its two triangles, and the half-edge in the first. [E], [E], [E]"""
        half = np.flatnonzero(np.arange(len(self.opposite)) < self.opposite)
        return half // 3, self.opposite[half] // 3, half

    @cached_property
    def bends(self) -> np.ndarray:
        """Angle between the normals of the two triangles of each edge of :attr:`pairs`, radians. [E]"""
        a, b, _ = self.pairs
        return 2 * np.arcsin(np.minimum(0.5 * np.linalg.norm(self.normals[a] - self.normals[b], axis=1), 1.0))

    @cached_property
    def edge_lengths(self) -> np.ndarray:
        """Of the edges of :attr:`pairs`. [E]"""
        half = self.pairs[2]
        return np.linalg.norm(self.vertices[self.ends[half]] - self.vertices[self.starts[half]], axis=1)

    @cached_property
    def neighbours(self) -> Any:
        """Which vertices share an edge, as a symmetric matrix of ones. [V, V]"""
        i, j, n = self.starts, self.ends, len(self.vertices)
        both = coo_matrix((np.ones(2 * len(i), np.float32), (np.r_[i, j], np.r_[j, i])), shape=(n, n)).tocsr()
        both.data[:] = 1
        return both

    def components(self, mask: np.ndarray, keep: np.ndarray | None = None) -> np.ndarray:
        """Numbers of connected groups of the triangles in ``mask`` [F]; -1 elsewhere. ``keep`` [E]: edges that connect."""
        a, b, _ = self.pairs
        joined = mask[a] & mask[b]
        if keep is not None:
            joined &= keep
        n = len(self.faces)
        label = connected_components(csr_matrix((np.ones(joined.sum(), np.int8), (a[joined], b[joined])), shape=(n, n)), directed=False)[1]
        label = np.where(mask, label, -1)
        _, number = np.unique(label, return_inverse=True)
        return number - 1 if (label < 0).any() else number


def closed_mesh(vertices: np.ndarray, faces: np.ndarray, what: str = "the mesh") -> Mesh:
    """A mesh that has an inside, turned outward, without vertices that no triangle uses and without triangles that use one twice.

    Raises:
        DataError: If it is empty, not finite, open, or has edges with more than two triangles or with two in one direction.
    """
    vertices, faces = np.asarray(vertices, np.float64), np.asarray(faces, np.int64)
    if len(faces) < 4 or not np.isfinite(vertices).all():
        raise DataError(f"{what} has no inside: {len(faces)} triangles, or vertices that are not finite", hint="Give a closed surface.")
    faces = faces[(faces[:, 0] != faces[:, 1]) & (faces[:, 1] != faces[:, 2]) & (faces[:, 2] != faces[:, 0])]
    used, inverse = np.unique(faces, return_inverse=True)
    mesh = Mesh(vertices[used], inverse.reshape(-1, 3))
    directed = mesh.starts * len(used) + mesh.ends
    doubled = len(directed) - len(np.unique(directed))
    lonely = int((mesh.opposite < 0).sum())
    if lonely or doubled:
        raise DataError(
            f"{what} is not closed: {lonely} open edges, {doubled} shared by too many triangles",
            hint="Close its holes first; a solid needs a surface with an inside.",
        )
    return mesh if mesh.volume > 0 else Mesh(mesh.vertices, mesh.faces[:, ::-1].copy())
