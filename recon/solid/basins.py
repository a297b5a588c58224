"""Where the edges of a noisy surface run: ridges of how much its normals turn, found as the watersheds between smooth basins.

A narrow face between two edges has turning normals everywhere, and less so in its middle: what tells it from an edge is the ridges beside
it, not a limit. Watersheds after Vincent and Soille, "Watersheds in digital spaces" (PAMI 13, 1991), basins joined by their depth as in
Edelsbrunner, Letscher and Zomorodian, "Topological persistence and simplification" (2002).
"""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components, minimum_spanning_tree
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
    foot = _feet(mesh, height)
    floor = np.full(foot.max() + 1, np.inf)
    np.minimum.at(floor, foot, height)
    number = _joined(floor, *_passes(mesh, height, foot), depth)[foot]
    number = np.unique(number, return_inverse=True)[1]
    return np.where(np.bincount(number)[number] >= FEWEST, number, -1)


def _feet(mesh: Mesh, height: np.ndarray) -> np.ndarray:
    """Number of the hollow that every vertex runs down to, always to its lowest neighbour. [V]"""
    matrix, n = mesh.neighbours, len(height)
    rows = np.repeat(np.arange(n), np.diff(matrix.indptr))
    beside = height[matrix.indices]
    lowest = np.minimum.reduceat(beside, matrix.indptr[:-1])
    down = (beside == lowest[rows]) & (lowest <= height)[rows]
    run = csr_matrix((np.ones(down.sum(), np.int8), (rows[down], matrix.indices[down])), shape=(n, n))
    return connected_components(run, directed=False)[1]


def _passes(mesh: Mesh, height: np.ndarray, foot: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Between which hollows the lowest passes lead, and their heights, lowest first: a tree; no other pass joins what these do not."""
    half = mesh.pairs[2]
    i, j = mesh.starts[half], mesh.ends[half]
    a, b, level = foot[i], foot[j], np.maximum(height[i], height[j])
    a, b = np.minimum(a, b), np.maximum(a, b)
    order = np.lexsort((level, b, a))
    order = order[a[order] != b[order]]
    first = np.ones(len(order), bool)
    first[1:] = (np.diff(a[order]) != 0) | (np.diff(b[order]) != 0)
    order, n = order[first], foot.max() + 1
    # a tree by ranks: lengths of 0 would be no edges
    order = order[np.argsort(level[order], kind="stable")]
    tree = minimum_spanning_tree(csr_matrix((np.arange(1.0, len(order) + 1), (a[order], b[order])), shape=(n, n)))
    order = order[np.sort(tree.data).astype(int) - 1]
    return a[order], b[order], level[order]


def _joined(floor: np.ndarray, a: np.ndarray, b: np.ndarray, level: np.ndarray, depth: float) -> np.ndarray:
    """Number of the basin of every hollow: hollows are one if the shallower is less than ``depth`` below the pass between them."""
    parent, floors = list(range(len(floor))), floor.tolist()

    def root(k: int) -> int:
        while parent[k] != k:
            parent[k] = parent[parent[k]]
            k = parent[k]
        return k

    for i, j, height in zip(a.tolist(), b.tolist(), level.tolist(), strict=True):
        i, j = root(i), root(j)
        if height - max(floors[i], floors[j]) < depth:
            if floors[j] < floors[i]:
                i, j = j, i
            parent[j] = i
    return np.array([root(k) for k in range(len(floor))])


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
