"""Points with directions on the ridges of an edge field, finer than the grid that it was sampled on."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from recon.curves.wireframe.edge_grid import EdgeGrid

SMOOTH_VOXELS = 1.0
MAX_STEP_VOXELS = 0.75
"""The ridge is at most so far from a voxel's centre along an axis across it: half a voxel, and some for the differences. By hand."""
LEAST_CURVATURE = 1e-4
"""Probability per squared voxel, below which the field is flat. By hand."""
MAX_POINTS = 16000
"""Strongest points that are kept; the curves are followed from point to point, so they need not be dense."""


def ridge_points(grid: EdgeGrid, threshold: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ridge points of a sampled edge field.

    A point is on a ridge when the field falls off across it: of the Hessian of the smoothed field, two eigenvalues are negative, and the
    Newton step in the plane of their eigenvectors stays within the voxel. The third eigenvector is the direction of the edge.

    Args:
        grid: Edge probability on a grid.
        threshold: Least probability, in the smoothed field.
    Returns:
        Points [N, 3], unit directions [N, 3] and probabilities [N], strongest first; N at most MAX_POINTS. Memory: five grids.
    """
    smooth = ndimage.gaussian_filter(grid.values, SMOOTH_VOXELS)
    index = np.argwhere(smooth[1:-1, 1:-1, 1:-1] > threshold) + 1
    if len(index) == 0:
        return np.zeros((0, 3)), np.zeros((0, 3)), np.zeros(0)
    value = smooth[tuple(index.T)]
    gradient, hessian = _derivatives(smooth, index)
    curvature, axes = np.linalg.eigh(hessian)  # ascending: the two across the ridge first
    slope = np.einsum("ni,nij->nj", gradient, axes)
    with np.errstate(divide="ignore", invalid="ignore"):
        step = np.where(curvature[:, :2] < 0, -slope[:, :2] / curvature[:, :2], np.inf)
    on = (np.abs(step) < MAX_STEP_VOXELS).all(1) & (curvature[:, 1] < -LEAST_CURVATURE)
    index, step, axes, value = index[on], step[on], axes[on], value[on]
    points = grid.points(index + np.einsum("nij,nj->ni", axes[:, :, :2], step))
    strongest = np.argsort(-value, kind="stable")[:MAX_POINTS]
    return points[strongest], axes[strongest][:, :, 2], value[strongest]


def _derivatives(field: np.ndarray, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Central differences at some voxels. [N, 3], [N, 3, 3]"""
    unit = np.eye(3, dtype=int)

    def at(offset: np.ndarray) -> np.ndarray:
        return field[tuple((index + offset).T)].astype(np.float64)

    middle = at(np.zeros(3, int))
    gradient = np.stack([(at(unit[i]) - at(-unit[i])) / 2 for i in range(3)], axis=1)
    hessian = np.zeros((len(index), 3, 3))
    for i in range(3):
        hessian[:, i, i] = at(unit[i]) - 2 * middle + at(-unit[i])
        for j in range(i):
            mixed = at(unit[i] + unit[j]) - at(unit[i] - unit[j]) - at(unit[j] - unit[i]) + at(-unit[i] - unit[j])
            hessian[:, i, j] = hessian[:, j, i] = mixed / 4
    return gradient, hessian
