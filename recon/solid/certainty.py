"""How well a region determines its primitive: neighbouring vertices err together, so samples are counted by area, not by vertices.

The covariance of the free parameters is sigma^2 (J^T J)^-1 N / N_eff, with J the Jacobian at the N points of the region and N_eff the
number of independent samples, area / (2 pi L^2) for errors correlated over a length L.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recon.solid.model import Primitive
from recon.solid.primitives import jacobian

PRIOR = 5.0
"""Independent samples that what is known of the whole surface is worth for one region."""


@dataclass(frozen=True)
class Certainty:
    """Standard deviations: of the axis (radians), of the position across what the surface is free to slide along, of the radius."""

    axis: float
    offset: float
    radius: float


def independent_samples(area: float, count: int, correlation: float) -> float:
    """Number of independent samples on an area, at least 1 and at most the number of points; 0 correlation: every point is one."""
    return float(count) if correlation <= 0 else float(np.clip(area / (2 * np.pi * correlation**2), 1.0, count))


def pooled_sigmas(own: Sequence[float], areas: np.ndarray, n_eff: Sequence[float]) -> np.ndarray:
    """Standard deviation of each region's points, from its own residuals as far as it has independent samples. [n]

    A small region's errors are alike all over it: its fit follows them, and its residuals say nothing of them. The median over the area of
    all regions counts as :data:`PRIOR` samples beside the region's own.
    """
    sigma, weight, n = (np.asarray(x, float) for x in (own, areas, n_eff))
    order = np.argsort(sigma)
    total = np.cumsum(weight[order])
    typical = sigma[order][np.searchsorted(total, 0.5 * total[-1])]
    return np.sqrt((n * sigma**2 + PRIOR * typical**2) / (n + PRIOR))


def certainty(p: Primitive, points: np.ndarray, sigma: float, n_eff: float) -> Certainty:
    """Of a primitive that was fitted to points [N, 3] with standard deviation sigma."""
    if p.kind == "bspline":
        return Certainty(np.inf, sigma, np.inf)
    jac = jacobian(p, points)[1]
    size = np.linalg.norm(points.max(0) - points.min(0)) + 1e-300
    scale = np.full(jac.shape[1], size)
    if p.kind != "sphere":
        scale[:2] = 1.0
    if p.kind == "cone":
        scale[5] = 1.0
    jac = jac * scale
    normal = jac.T @ jac / len(points)
    covariance = np.linalg.pinv(normal + 1e-12 * np.trace(normal) * np.eye(len(normal))) * sigma**2 / n_eff
    deviation = np.sqrt(np.maximum(np.diag(covariance), 0)) * scale
    if p.kind == "sphere":
        return Certainty(np.inf, float(deviation[:3].max()), float(deviation[3]))
    axis = float(np.sqrt(np.linalg.eigvalsh(covariance[:2, :2]).max()))
    if p.kind == "plane":
        return Certainty(axis, float(deviation[2]), 0.0)
    if p.kind == "cylinder":
        return Certainty(axis, float(deviation[2:4].max()), float(deviation[4]))
    return Certainty(axis, float(deviation[2:5].max()), float(deviation[-1]))
