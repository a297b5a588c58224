"""Where the edges of a noisy surface run: ridges of how much its normals turn, found as the watersheds between smooth basins.

A narrow face between two edges has turning normals everywhere, and less so in its middle: what tells it from an edge is the ridges beside
it, not a limit. Watersheds after Vincent and Soille, "Watersheds in digital spaces" (PAMI 13, 1991), basins joined by their depth as in
Edelsbrunner, Letscher and Zomorodian, "Topological persistence and simplification" (2002).
"""

from __future__ import annotations

import numpy as np
from scipy.spatial import KDTree

from recon.solid.edges import resampled
from recon.solid.mesh import Mesh

DEPTH_RAD = np.radians(8.0)
"""Basins less deep than this below the pass between them are one; so are those less deep than five times what the flattest
tenth of the surface turns."""
ON_CURVE = 0.6
"""Within so many edge lengths of a curve the surface counts as turning."""
CURVE_RAD = np.radians(60.0)
"""How much it counts as turning on the curve: enough to part faces that meet at a small angle, not so much as to part a narrow face."""
FEWEST = 5
"""Basins of fewer vertices are noise on a ridge."""


def turning(mesh: Mesh) -> np.ndarray:
    """How much the normals turn within one ring of each vertex: twice the angle whose cosine is the length of their mean, radians. [V]"""
    matrix = mesh.neighbours
    degree = np.asarray(matrix.sum(1)).ravel()[:, None]
    mean = (matrix @ mesh.vertex_normals + mesh.vertex_normals) / (degree + 1)
    return 2 * np.arccos(np.minimum(np.linalg.norm(mean, axis=1), 1.0))


def distance_to_curves(mesh: Mesh, curves: tuple[np.ndarray, ...], step: float) -> np.ndarray:
    """Of each vertex, world units; infinite beyond four steps. [V]"""
    if not curves:
        return np.full(len(mesh.vertices), np.inf)
    lengths = [float(np.linalg.norm(np.diff(c, axis=0), axis=1).sum()) for c in curves]
    samples = np.concatenate([resampled(c, max(2, int(n / (0.5 * step)) + 1)) for c, n in zip(curves, lengths, strict=True)])
    return KDTree(samples).query(mesh.vertices, distance_upper_bound=4 * step)[0]


def basins(mesh: Mesh, turn: np.ndarray, away: np.ndarray, step: float) -> np.ndarray:
    """Number of the basin of every vertex; -1 on ridges that belong to none. [V]

    Args:
        mesh: The surface.
        turn: See :func:`turning`.
        away: Distance from the curves. [V]
        step: Median edge length.
    """
    height = turn + CURVE_RAD * np.maximum(0.0, 1 - away / (ON_CURVE * step))
    depth = max(DEPTH_RAD, 5 * float(np.quantile(turn, 0.1)))
    half = mesh.pairs[2]
    i, j = mesh.starts[half], mesh.ends[half]
    level = np.maximum(height[i], height[j])
    order = np.argsort(level, kind="stable")
    parent = list(range(len(height)))
    floor = height.tolist()

    def root(k: int) -> int:
        while parent[k] != k:
            parent[k] = parent[parent[k]]
            k = parent[k]
        return k

    for a, b, pass_height in zip(i[order].tolist(), j[order].tolist(), level[order].tolist(), strict=True):
        a, b = root(a), root(b)
        if a != b and pass_height - max(floor[a], floor[b]) < depth:
            if floor[b] < floor[a]:
                a, b = b, a
            parent[b] = a
    number = np.unique([root(k) for k in range(len(height))], return_inverse=True)[1]
    return np.where(np.bincount(number)[number] >= FEWEST, number, -1)


def rings_inside(mesh: Mesh, basin: np.ndarray, away: np.ndarray, step: float, most: int = 8) -> np.ndarray:
    """Number of rings from the nearest ridge: 0 beside another basin or on a curve, at most ``most``. [V]"""
    half = mesh.pairs[2]
    i, j = mesh.starts[half], mesh.ends[half]
    border = (basin < 0) | (away < 0.7 * step)
    differ = basin[i] != basin[j]
    border[i[differ]] = border[j[differ]] = True
    rings = np.where(border, 0, most)
    reached = border
    for n in range(1, most):
        wider = (mesh.neighbours @ reached.astype(np.float32)) > 0
        rings[wider & ~reached] = n
        reached = reached | wider
    return rings
