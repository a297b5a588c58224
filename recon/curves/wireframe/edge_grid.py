"""An edge field sampled on a regular grid, decoded exactly."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

EdgeFunction = Callable[[np.ndarray], np.ndarray]
"""Edge probability: scene points [N, 3] float -> e in [0, 1], [N]."""

SLAB_POINTS = 1 << 21
"""Points asked for at a time: 24 MiB of float32 coordinates."""


@dataclass(frozen=True)
class EdgeGrid:
    """Values at ``origin + index * spacing``.

    Attributes:
        values: Edge probability. [R, R, R] float32, indexed x, y, z
        origin: Scene point of index (0, 0, 0). [3]
        spacing: Distance of neighbours along each axis, scene units: side / (R - 1), as both ends of a side are sampled. [3]
    """

    values: np.ndarray
    origin: np.ndarray
    spacing: np.ndarray

    def points(self, index: np.ndarray) -> np.ndarray:
        """Scene points of (fractional) indices. [..., 3] -> [..., 3]"""
        return self.origin + np.asarray(index, np.float64) * self.spacing


def edge_grid(edge: EdgeFunction, resolution: int, box: tuple[np.ndarray, np.ndarray]) -> EdgeGrid:
    """Sample an edge field at ``linspace(low, high, resolution)`` along each axis.

    NEF's released code samples the same points but decodes an index by side / R instead of side / (R - 1), which moves the middle of
    its curves by half a cell.

    Args:
        edge: The field.
        resolution: R, samples along each axis, at least 2.
        box: Lowest and highest corner, scene units. [3], [3]
    Returns:
        The grid; memory 4 R^3 bytes and :data:`SLAB_POINTS` points.
    """
    low, high = (np.asarray(corner, np.float64) for corner in box)
    x, y, z = (np.linspace(low[i], high[i], resolution) for i in range(3))
    values = np.empty((resolution, resolution, resolution), np.float32)
    slab = max(SLAB_POINTS // resolution**2, 1)
    for start in range(0, resolution, slab):
        part = np.stack(np.meshgrid(x[start : start + slab], y, z, indexing="ij"), -1)
        values[start : start + slab] = edge(part.reshape(-1, 3)).reshape(part.shape[:3])
    return EdgeGrid(values, low, (high - low) / (resolution - 1))
