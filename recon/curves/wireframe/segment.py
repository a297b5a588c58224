"""Cutting a chain of points into straight and circular pieces: the cheapest explanation, found exactly by dynamic programming.

The cost of a piece is its squared residual over the noise plus a price for its parameters (an information criterion). Sums over all
pieces come from cumulated moments, so every pair of ends is looked at without a loop over points. Lengths here are in pixels at the
scene's centre: the noise is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

NOISE_PX = 0.3
"""Standard deviation of a traced point, pixels."""
PRICE_LINE = 30.0
"""Price of a piece; neighbouring points share their errors, so it is several times what independent ones would ask (about 2 log n)."""
PRICE_ARC = 52.0
MAX_RMS_PX = 0.9
"""A piece that fits worse than this is none."""
MAX_NODES = 240
"""Chains with more points are cut at some of their points only: at most MAX_NODES^2 / 2 pieces are looked at."""
MIN_TURN_RAD = np.radians(12.0)
"""An arc that turns less than this cannot be told from a line."""


@dataclass(frozen=True)
class Piece:
    """Points first..last of a chain, and what they are."""

    kind: Literal["line", "arc"]
    first: int
    last: int


def cut(points_px: np.ndarray) -> list[Piece]:
    """The cheapest cut of an open chain; neighbouring pieces share their end point.

    Args:
        points_px: Ordered points, in pixels. [N, 3], N >= 3
    """
    n = len(points_px)
    nodes = np.unique(np.round(np.linspace(0, n - 1, min(n, MAX_NODES))).astype(int))
    line, arc = _costs(points_px, nodes)
    best = np.minimum(line, arc)
    k = len(nodes)
    total = np.full(k, np.inf)
    total[0] = 0.0
    previous = np.zeros(k, int)
    for j in range(1, k):
        options = total[:j] + best[:j, j]
        previous[j] = int(np.argmin(options))
        total[j] = options[previous[j]]
    pieces = []
    j = k - 1
    while j > 0:
        i = previous[j]
        pieces.append(Piece("line" if line[i, j] <= arc[i, j] else "arc", int(nodes[i]), int(nodes[j])))
        j = i
    return pieces[::-1]


def _costs(points: np.ndarray, nodes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cost of a line and of an arc through the points of each pair of nodes; inf where it does not fit. [K, K] each, first < last"""
    p = points - points.mean(0)
    q = (p**2).sum(1)
    moments = np.concatenate(
        [np.ones((len(p), 1)), p, (p[:, :, None] * p[:, None]).reshape(len(p), 9), q[:, None] * p, q[:, None] ** 2], axis=1
    )  # 1, p, p p^T, |p|^2 p, |p|^4
    sums = np.concatenate([np.zeros((1, moments.shape[1])), np.cumsum(moments, axis=0)])
    k = len(nodes)
    i, j = np.triu_indices(k, 1)
    m = sums[nodes[j] + 1] - sums[nodes[i]]
    count = m[:, 0]
    mean = m[:, 1:4] / count[:, None]
    second = m[:, 4:13].reshape(-1, 3, 3)
    covariance = second - count[:, None, None] * mean[:, :, None] * mean[:, None]
    values, vectors = np.linalg.eigh(covariance)
    values = np.maximum(values, 0.0)
    line_rss = values[:, 0] + values[:, 1]
    arc_rss = _arc_residual(m, mean, values, vectors, points[nodes[i]], points[nodes[j]])
    line, arc = np.full((k, k), np.inf), np.full((k, k), np.inf)
    limit = count * MAX_RMS_PX**2
    line[i, j] = np.where(line_rss <= limit, line_rss / NOISE_PX**2 + PRICE_LINE, np.inf)
    arc[i, j] = np.where((arc_rss <= limit) & (count >= 5), arc_rss / NOISE_PX**2 + PRICE_ARC, np.inf)
    short = count <= 2
    line[i[short], j[short]] = PRICE_LINE
    return line, arc


def _arc_residual(
    m: np.ndarray, mean: np.ndarray, values: np.ndarray, vectors: np.ndarray, start: np.ndarray, end: np.ndarray
) -> np.ndarray:
    """Squared residual of the algebraic circle in the plane of each piece (Kasa's fit from moments); inf where it hardly turns. [P]"""
    count = m[:, 0]
    u = vectors[:, :, 1:]  # the plane's directions [P, 3, 2]
    # With y = p - mean: sums of y y^T, |y|^2 y and |y|^4 by shifting the moments.
    cov = np.einsum("pij,pik,pkl->pjl", u, m[:, 4:13].reshape(-1, 3, 3) - count[:, None, None] * mean[:, :, None] * mean[:, None], u)
    trace = values.sum(1)
    second = m[:, 4:13].reshape(-1, 3, 3)
    third = m[:, 13:16]
    mm = (mean**2).sum(1)
    total_q = np.trace(second, axis1=1, axis2=2)
    # sum |y|^2 y = sum (q - 2 p.mean + mm)(p - mean)
    cubic = (
        third
        - 2 * np.einsum("pij,pj->pi", second, mean)
        + (mm * count)[:, None] * mean
        - mean * (total_q - 2 * mm * count + mm * count)[:, None]
    )
    quartic = (
        m[:, 16]
        + 4 * np.einsum("pi,pij,pj->p", mean, second, mean)
        + mm**2 * count
        - 4 * (third * mean).sum(1)
        + 2 * mm * total_q
        - 4 * mm * mm * count
    )
    flat = np.einsum("pij,pi->pj", u, cubic)
    determinant = cov[:, 0, 0] * cov[:, 1, 1] - cov[:, 0, 1] ** 2
    safe = np.where(determinant > 1e-9 * np.maximum(trace, 1e-12) ** 2, determinant, np.inf)
    center = (
        0.5
        * np.stack([cov[:, 1, 1] * flat[:, 0] - cov[:, 0, 1] * flat[:, 1], cov[:, 0, 0] * flat[:, 1] - cov[:, 0, 1] * flat[:, 0]], 1)
        / safe[:, None]
    )
    radius2 = (center**2).sum(1) + trace / count
    # sum (|y|^2 - 2 c.y - trace/count)^2, over 4 r^2, plus what sticks out of the plane
    algebraic = quartic - trace**2 / count - 4 * (center * flat).sum(1) + 4 * np.einsum("pi,pij,pj->p", center, cov, center)
    residual = np.maximum(algebraic, 0.0) / np.maximum(4 * radius2, 1e-12) + values[:, 0]
    # the angle at the centre, from the chord and the length of the chain: half turn = asin(chord / 2 r) is enough for small ones
    chord = np.linalg.norm(end - start, axis=1)
    turns = (chord / np.sqrt(np.maximum(radius2, 1e-12)) > MIN_TURN_RAD) | (chord < np.sqrt(np.maximum(radius2, 1e-12)))
    return np.where(np.isfinite(safe) & turns & (radius2 > 1.0), residual, np.inf)
