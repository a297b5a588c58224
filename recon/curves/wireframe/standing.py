"""Edges of what an object stands on: the print of a cloth, of a page, of a marker on a table. They are no edges of the object.

A flat support shows itself as points on a plane, all around what is above it, with every camera in front and nothing behind. What lies on
the plane under the object is kept: its lowest edges are there, and the object hides what is printed there.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial import ConvexHull, KDTree, QhullError

THICKNESS = 0.012
"""How far from the plane its points are, scene units: some cells of the grid that the points were found on."""
BEHIND = 0.02
"""Share of the points that may be behind the plane."""
IN_FRONT = 0.95
"""Share of the cameras that must be in front of it."""
LEAST_PRINT = 0.1
"""Share of the points that must be on the plane outside of what is above it."""
CELL, REACH, LEAST_FILLED = 0.1, 0.9, 0.4
"""Side of square cells on the plane, scene units; of those beside the object and within this radius, the share that must have points. The
rim and the holes of a thin plate are on a plane around what stands on it as well, but they do not fill it."""
MARGIN = 0.03
"""The object reaches so far beyond the points that were found above the plane, scene units."""
NEIGHBORS, LONELY = 8, 0.05
"""A point above the plane whose eighth neighbour is farther than this, scene units, is nothing that stands there."""
TRIALS, SAMPLE = 1000, 2000


def beside_object(points: np.ndarray, cameras: np.ndarray, seed: int = 0) -> np.ndarray | None:
    """Which edge points lie on the flat support of an object, beside the object.

    Args:
        points: Points on edges in space, scene units (the scene is the unit sphere). [N, 3]
        cameras: Centres of the cameras. [V, 3]
        seed: Of the random trials.
    Returns:
        bool [N], or None where there is no such support.
    """
    if len(points) < 100:
        return None
    rng = np.random.default_rng(seed)
    some = points[rng.permutation(len(points))[:SAMPLE]]
    plane = _lowest_plane(some, cameras, rng)
    if plane is None:
        return None
    normal, offset = plane
    height = points @ normal - offset
    on, above = np.abs(height) < THICKNESS, height > 2.0 * THICKNESS
    flat = points @ _across(normal).T
    footprint = _footprint(points[above], flat[above])
    if footprint is None:
        return None
    outside = _beyond(footprint, flat) > MARGIN
    printed = on & outside
    if printed.mean() < LEAST_PRINT or _filled(footprint, flat[printed]) < LEAST_FILLED:
        return None
    return printed | (height < -THICKNESS)


def _lowest_plane(points: np.ndarray, cameras: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, float] | None:
    """Unit normal [3] and offset of the plane on which most points [N, 3] lie, of those with the cameras in front and nothing behind."""
    triples = points[rng.integers(0, len(points), (TRIALS, 3))]
    normals = np.cross(triples[:, 1] - triples[:, 0], triples[:, 2] - triples[:, 0])
    size = np.linalg.norm(normals, axis=1)
    large = size > 0.05  # too small a triangle fixes no plane
    normals, triples = normals[large] / size[large, None], triples[large]
    towards = (normals * (cameras.mean(0) - triples[:, 0])).sum(1)
    normals = normals * np.where(towards < 0, -1.0, 1.0)[:, None]
    offsets = (normals * triples[:, 0]).sum(1)
    height = normals @ points.T - offsets[:, None]
    free = (normals @ cameras.T - offsets[:, None] > THICKNESS).mean(1) >= IN_FRONT
    free &= (height < -2.0 * THICKNESS).mean(1) < BEHIND
    if not free.any():
        return None
    count = np.where(free, (np.abs(height) < THICKNESS).sum(1), -1)
    normal, offset = normals[count.argmax()], offsets[count.argmax()]
    for _ in range(3):
        on = points[np.abs(points @ normal - offset) < THICKNESS]
        middle = on.mean(0)
        fitted = np.linalg.svd(on - middle, full_matrices=False)[2][2]
        normal = fitted if fitted @ normal > 0 else -fitted
        offset = float(middle @ normal)
    return normal, offset


def _across(normal: np.ndarray) -> np.ndarray:
    """Two unit vectors at right angles to a unit vector and to each other. [2, 3]"""
    return np.linalg.svd(normal[None])[2][1:]


def _footprint(above: np.ndarray, flat: np.ndarray) -> ConvexHull | None:
    """Convex outline, on the plane, of the points above it [A, 3], of which ``flat`` [A, 2] are the places; None for too few."""
    if len(above) <= NEIGHBORS:
        return None
    distance = np.asarray(KDTree(above).query(above, NEIGHBORS + 1)[0])
    near = distance[:, -1] < LONELY
    if near.sum() < 3:
        return None
    try:
        return ConvexHull(flat[near])
    except QhullError:  # all on a line
        return None


def _beyond(outline: ConvexHull, flat: np.ndarray) -> np.ndarray:
    """How far points [N, 2] are outside of an outline, to within its corners' rounding; negative inside. [N]"""
    return (flat @ outline.equations[:, :2].T + outline.equations[:, 2]).max(1)


def _filled(outline: ConvexHull, flat: np.ndarray) -> float:
    """Share of the cells beside an outline and within REACH of the scene's centre that have points [N, 2]."""
    n = round(REACH / CELL)
    cells = np.stack(np.meshgrid(np.arange(-n, n), np.arange(-n, n), indexing="ij"), -1).reshape(-1, 2)
    centers = (cells + 0.5) * CELL
    wanted = (_beyond(outline, centers) > MARGIN + 0.5 * CELL) & (np.hypot(*centers.T) < REACH - 0.5 * CELL)
    taken = np.zeros((2 * n, 2 * n), bool)
    index = np.floor(flat / CELL).astype(int) + n
    index = index[((index >= 0) & (index < 2 * n)).all(1)]
    taken[index[:, 0], index[:, 1]] = True
    return float(taken.reshape(-1)[wanted].mean()) if wanted.any() else 0.0
