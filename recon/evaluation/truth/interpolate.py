"""Smooth Bézier chains through given points."""

from __future__ import annotations

import math

import numpy as np
from scipy.interpolate import CubicSpline

from recon.curves.files.curve import Curve

_SMOOTH_COS = math.cos(math.radians(30.0))


def bezier_through(points: np.ndarray, closed: bool, vertices: tuple[int, int] | None) -> Curve:
    """The cubic spline through points (chord-length parameters, not-a-knot ends) as a "bezier" curve; its error falls with the fourth
    power of the points' spacing where the true curve is smooth.

    Args:
        points: In order; repeated ones are skipped. The last equals the first if ``closed``. [n, 3]
        closed: Whether the spline goes round; a corner of more than 30 degrees at the seam is kept.
        vertices: Handed to the curve.
    Raises:
        ValueError: If fewer than two different points are left.
    """
    points = np.asarray(points, np.float64)
    keep = np.concatenate([[True], np.linalg.norm(np.diff(points, axis=0), axis=1) > 1e-12 * max(np.abs(points).max(initial=0.0), 1e-300)])
    points = points[keep]
    if len(points) < 2:
        raise ValueError("a curve needs two different points")
    t = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    periodic = False
    if closed and len(points) > 3:
        points = np.concatenate([points[:-1], points[:1]])
        first, last = points[1] - points[0], points[-1] - points[-2]
        periodic = float(first @ last) > _SMOOTH_COS * float(np.linalg.norm(first) * np.linalg.norm(last))
    _, square, slope, start = CubicSpline(t, points, bc_type="periodic" if periodic else "not-a-knot").c
    h = np.diff(t)[:, None]
    inner = np.stack([start, start + slope * h / 3, start + 2 * slope * h / 3 + square * h**2 / 3], 1)
    control = np.concatenate([inner.reshape(-1, 3), points[-1:]])
    return Curve("bezier", control, np.ones(len(control)), vertices)
