"""The colours of texels that fit equations of pixels best."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import scipy.sparse
from scipy.ndimage import binary_erosion
from scipy.spatial import KDTree

from recon.surface.atlas import Texels
from recon.surface.mesh import Mesh
from recon.surface.texture import texel_points

SMOOTHNESS, NEARNESS = 0.05, 1e-3
"""Weights, in pixels, of the difference between neighbouring texels' corrections, and of the correction itself."""
ITERATIONS = (5, 4)
"""Of conjugate gradients: with all pixels alike, and on from there with weights by what is left."""
ACROSS = 8
"""Texels that are nearest on the surface, and farther apart in the atlas than this, lie on two sides of a seam."""
SPREAD = 0.15
"""Colour difference, in [0, 1], at which a pixel keeps a quarter of its weight: a highlight, or something in the way."""


@dataclass
class Equations:
    """``matrix @ texels = color``, a row for each of P pixels, and the matrix in parts of some rows each.

    parts: Weights of the texels. CSR float32, together [P, T]
    color: Of the pixels, in [0, 1]. float32 [P, 3]
    """

    parts: list[scipy.sparse.csr_matrix]
    color: np.ndarray

    def rows(self) -> list[tuple[scipy.sparse.csr_matrix, slice]]:
        """The parts, and which pixels they are of."""
        ends = np.cumsum([0, *(len(p.indptr) - 1 for p in self.parts)]).tolist()
        return [(p, slice(*at)) for p, at in zip(self.parts, pairwise(ends), strict=True)]

    def known(self, count: int) -> np.ndarray:
        """Which of the texels have a part in any equation. bool [count]"""
        out = np.zeros(count, bool)
        for part in self.parts:
            out[part.indices] = True
        return out


def neighbours(mesh: Mesh, texels: Texels, numbers: np.ndarray, covered: np.ndarray) -> scipy.sparse.csr_matrix:
    """The Laplacian of the graph of texels that lie beside each other, in the atlas and across its seams: ``x' L x`` is the sum of the
    squared differences. float32 [T, T]"""
    size, firsts, seconds = len(numbers), [], []
    for down, right in ((0, 1), (1, 0)):
        row, column = np.minimum(texels.row + down, size - 1), np.minimum(texels.column + right, size - 1)
        a = np.flatnonzero(covered[row, column]).astype(np.int32)
        firsts.append(a)
        seconds.append(numbers[row[a], column[a]])
    inner = np.asarray(binary_erosion(covered), bool)
    rim = np.flatnonzero(~inner[texels.row, texels.column]).astype(np.int32)
    points = texel_points(mesh, texels, rim)
    near = KDTree(points).query(points, k=min(6, len(rim)), workers=-1)[1].reshape(len(rim), -1)
    row, column = texels.row[rim], texels.column[rim]
    apart = np.abs(row[near] - row[:, None]) + np.abs(column[near] - column[:, None]) > ACROSS
    some = apart.any(1)
    firsts.append(rim[some])
    seconds.append(rim[near[some, apart.argmax(1)[some]]])
    return laplacian(np.concatenate(firsts), np.concatenate(seconds), len(texels.row))


def laplacian(first: np.ndarray, second: np.ndarray, count: int) -> scipy.sparse.csr_matrix:
    """``sum over pairs of (x[first] - x[second])^2 = x' L x``. Pairs of a node with itself count nothing. float32 [count, count]"""
    beside = scipy.sparse.coo_matrix((np.ones(len(first), np.float32), (first, second)), shape=(count, count)).tocsr()
    beside = beside + beside.T
    return (scipy.sparse.diags(np.asarray(beside.sum(1), np.float32).ravel(), format="csr") - beside).tocsr()


def solve(equations: Equations, start: np.ndarray, beside: scipy.sparse.csr_matrix, progress: Callable[[float], object]) -> np.ndarray:
    """Colours of the texels, robustly.

    Args:
        equations: Of P pixels.
        start: Colours to begin with. float32 [T, 3]
        beside: Which texels lie beside each other, as a Laplacian. [T, T]
        progress: Called with the share done.
    Returns:
        float32 [T, 3]
    """
    weight = np.ones(len(equations.color), np.float32)
    correction = least_squares_step(equations, weight, start, beside, np.zeros_like(start), ITERATIONS[0])
    progress(0.5)
    for part, rows in equations.rows():
        left = np.linalg.norm(equations.color[rows] - part @ (start + correction), axis=1)
        weight[rows] = 1.0 / (1.0 + (left / SPREAD) ** 2) ** 2
    return start + correction + least_squares_step(equations, weight, start, beside, correction, ITERATIONS[1])


def least_squares_step(
    equations: Equations, weight: np.ndarray, start: np.ndarray, beside: scipy.sparse.csr_matrix, correction: np.ndarray, iterations: int
) -> np.ndarray:
    """The step d to the minimum of ``sum weight (color - matrix (start + c))^2 + SMOOTHNESS c' L c + NEARNESS |c|^2``, c = correction + d.

    By conjugate gradients with the diagonal as preconditioner.

    Args:
        equations: The matrix and the colours of P pixels.
        weight: Of the pixels. float32 [P]
        start: Colours of the texels to begin with. float32 [T, 3]
        beside: L, the texels' Laplacian. [T, T]
        correction: What is added to them so far. float32 [T, 3]
        iterations: How many.
    Returns:
        float32 [T, 3]
    """
    rows = equations.rows()
    diagonal = SMOOTHNESS * beside.diagonal() + NEARNESS
    r = -SMOOTHNESS * (beside @ correction) - NEARNESS * correction
    for part, at in rows:
        each = part.data**2 * np.repeat(weight[at], np.diff(part.indptr))
        diagonal += np.bincount(part.indices, each, minlength=len(diagonal)).astype(np.float32)
        r += part.T @ (weight[at, None] * (equations.color[at] - part @ (start + correction)))
    scale = (1.0 / diagonal)[:, None]
    d, p = np.zeros_like(r), scale * r
    size = float((r * p).sum())
    for _ in range(iterations):
        if size == 0.0:
            break
        q = SMOOTHNESS * (beside @ p) + NEARNESS * p
        for part, at in rows:
            q += part.T @ (weight[at, None] * (part @ p))
        step = size / float((p * q).sum())
        d += step * p
        r -= step * q
        z = scale * r
        now = float((r * z).sum())
        p *= now / size
        p += z
        size = now
    return d
