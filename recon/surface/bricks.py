"""Which parts of a grid can contain the surface: a search from coarse to fine.

The grid of cells is divided into cubic bricks. For a function with ``|f(x) - f(y)| <= lipschitz * |x - y|``, a brick whose value at the
centre is farther from zero than ``lipschitz`` times half its diagonal cannot contain a zero, so almost all of the grid is never sampled.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import binary_dilation, generate_binary_structure

COARSE_CELLS = 8  # edge of the bricks that are all looked at, in cells
FINE_CELLS = 4  # edge of the bricks that are sampled completely, in cells


@dataclass(frozen=True)
class Grid:
    """A grid of cubic cells that covers a box.

    Attributes:
        origin: Position of sample (0, 0, 0), the lower corner of the box. [3]
        cell: Edge of a cell.
        cells: Number of cells along each axis, multiples of ``COARSE_CELLS``; samples are one more. [3] int
    """

    origin: np.ndarray
    cell: float
    cells: np.ndarray


def make_grid(lower: np.ndarray, upper: np.ndarray, resolution: int) -> Grid:
    """Cubic cells, ``resolution`` of them along the longest side of the box; beyond the upper corner the grid may stick out."""
    cell = float((upper - lower).max()) / resolution
    # The small number keeps a side that is a whole number of cells from being rounded up.
    bricks = np.ceil((upper - lower) / cell / COARSE_CELLS - 1e-9).astype(np.int64)
    return Grid(np.asarray(lower, np.float64), cell, np.maximum(bricks, 1) * COARSE_CELLS)


def active_bricks(evaluate: Callable[[np.ndarray], np.ndarray], grid: Grid, lipschitz: float) -> np.ndarray:
    """Bricks of ``FINE_CELLS``³ cells that can contain a zero.

    Coarse bricks are kept if their centre's value allows a zero, or if it differs in sign from a neighbour's; they are dilated by one,
    split into eight, and tested again. So a function that is somewhat steeper than promised is still caught near the surface.

    Args:
        evaluate: The function at points. [N, 3] float64 -> [N]
        grid: The grid.
        lipschitz: Bound on the slope; ``inf`` makes every brick active without evaluating anything.
    Returns:
        [cells / FINE_CELLS per axis] bool. Memory: resolution³ / 64 bytes, and as much again for the coarse values.
    """
    if np.isinf(lipschitz):
        return np.ones(tuple(grid.cells // FINE_CELLS), bool)
    shape = tuple(grid.cells // COARSE_CELLS)
    size = grid.cell * COARSE_CELLS
    values = np.empty(shape, np.float32)
    for i in range(shape[0]):  # one layer at a time, to bound the memory of the positions
        index = np.stack(np.meshgrid([i], np.arange(shape[1]), np.arange(shape[2]), indexing="ij"), axis=-1).reshape(-1, 3)
        values[i] = evaluate(grid.origin + (index + 0.5) * size).reshape(shape[1:])
    coarse = np.abs(values) <= lipschitz * size * np.sqrt(3) / 2
    inside = values < 0
    for axis in range(3):
        crossing = np.diff(inside, axis=axis)
        low: list[slice] = [slice(None)] * 3
        high: list[slice] = [slice(None)] * 3
        low[axis], high[axis] = slice(None, -1), slice(1, None)
        coarse[tuple(low)] |= crossing
        coarse[tuple(high)] |= crossing
    coarse = binary_dilation(coarse, generate_binary_structure(3, 3))

    fine = np.zeros(tuple(grid.cells // FINE_CELLS), bool)
    size = grid.cell * FINE_CELLS
    for i in range(shape[0]):
        parents = np.argwhere(coarse[i])
        if len(parents) == 0:
            continue
        children = np.concatenate([np.full((len(parents), 1), i), parents], axis=1)[:, None] * 2 + _OCTANTS
        children = children.reshape(-1, 3)
        keep = np.abs(evaluate(grid.origin + (children + 0.5) * size)) <= lipschitz * size * np.sqrt(3) / 2
        children = children[keep]
        fine[children[:, 0], children[:, 1], children[:, 2]] = True
    return fine


_OCTANTS = np.stack(np.meshgrid([0, 1], [0, 1], [0, 1], indexing="ij"), axis=-1).reshape(8, 3)
