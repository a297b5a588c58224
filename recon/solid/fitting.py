"""Primitives through points: direct first estimates from points and normals, then least squares on the signed distances."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from recon.solid.model import Kind, Primitive
from recon.solid.primitives import FREE, centred, distance, frame, jacobian, moved

LARGEST = 4.0
"""A radius above this many times the points' own box is not seen from a part of the surface: such a fit is refused."""
SMALLEST_CONE, LARGEST_CONE = np.radians(0.6), np.radians(89.0)


def circle_2d(points: np.ndarray) -> tuple[np.ndarray, float]:
    """Centre and radius of the algebraic circle (Kasa 1976) through points of the plane. [N, 2] -> [2], radius"""
    middle = points.mean(0)
    q = points - middle
    x = np.linalg.lstsq(np.column_stack([2 * q, np.ones(len(q))]), (q**2).sum(1), rcond=None)[0]
    return middle + x[:2], float(np.sqrt(max(x[2] + x[:2] @ x[:2], 0.0)))


def _plane(points: np.ndarray, normals: np.ndarray) -> Primitive:
    middle = points.mean(0)
    axis = np.linalg.eigh((points - middle).T @ (points - middle))[1][:, 0]
    return Primitive("plane", middle, axis if (normals @ axis).sum() >= 0 else -axis)


def _sphere(points: np.ndarray, normals: np.ndarray) -> Primitive:
    middle = points.mean(0)
    q = points - middle
    x = np.linalg.lstsq(np.column_stack([2 * q, np.ones(len(q))]), (q**2).sum(1), rcond=None)[0]
    return Primitive("sphere", middle + x[:3], np.zeros(3), float(np.sqrt(max(x[3] + x[:3] @ x[:3], 0.0))))


def _cylinder(points: np.ndarray, normals: np.ndarray) -> Primitive:
    axis = np.linalg.eigh(normals.T @ normals)[1][:, 0]
    e, f = frame(axis)
    centre, radius = circle_2d(np.column_stack([points @ e, points @ f]))
    return Primitive("cylinder", centre[0] * e + centre[1] * f + (points.mean(0) @ axis) * axis, axis, radius)


def _cone(points: np.ndarray, normals: np.ndarray) -> Primitive | None:
    # the tips of the normals lie in a plane across the axis; tangent planes meet at the apex: n_i . x = n_i . p_i
    q = normals - normals.mean(0)
    axis = np.linalg.eigh(q.T @ q)[1][:, 0]
    apex = np.linalg.lstsq(normals, np.einsum("ij,ij->i", normals, points), rcond=1e-6)[0]
    z = (points - apex) @ axis
    if z.mean() < 0:
        axis, z = -axis, -z
    rho = np.linalg.norm(points - apex - z[:, None] * axis, axis=1)
    half = float(np.arctan2(np.median(rho), np.median(z)))
    return Primitive("cone", apex, axis, half_angle=half) if SMALLEST_CONE < half < LARGEST_CONE else None


def _torus(points: np.ndarray, normals: np.ndarray) -> Primitive:
    """Normals of a surface of revolution meet its axis: the axis is the line (c, m) with sum (m . n + c . (p x n))^2 least, |c| = 1.

    Pottmann and Randrup, "Rotational and helical surface approximation for reverse engineering" (Computing 60, 1998). A short piece of a
    pipe bend is as good as a cylinder, which turns about its own axis: the second smallest value is then the bend's.
    """
    middle = points.mean(0)
    scale = float(np.abs(points - middle).max())
    q = (points - middle) / scale
    rows = np.concatenate([np.cross(q, normals), normals], 1)
    matrix = rows.T @ rows
    corner = np.linalg.pinv(matrix[3:, 3:], rcond=1e-9) @ matrix[3:, :3]
    axes = np.linalg.eigh(matrix[:3, :3] - matrix[:3, 3:] @ corner)[1]
    tori = [_torus_about(axes[:, k], -corner @ axes[:, k], middle, scale, points) for k in (0, 1)]
    return min(tori, key=lambda p: float(np.abs(distance(p, points)).mean()))


def _torus_about(axis: np.ndarray, moment: np.ndarray, middle: np.ndarray, scale: float, points: np.ndarray) -> Primitive:
    """The circle through (rho, z) of the points, turned about a line."""
    moment = moment - (axis @ moment) * axis
    foot = np.cross(axis, moment) * scale + middle
    z = (points - foot) @ axis
    rho = np.linalg.norm(points - foot - z[:, None] * axis, axis=1)
    centre, tube = circle_2d(np.column_stack([rho, z]))
    return Primitive("torus", foot + centre[1] * axis, axis, float(centre[0]), tube)


_FIRST: dict[Kind, Callable[[np.ndarray, np.ndarray], Primitive | None]] = {
    "plane": _plane,
    "cylinder": _cylinder,
    "cone": _cone,
    "sphere": _sphere,
    "torus": _torus,
}


def first_estimate(kind: Kind, points: np.ndarray, normals: np.ndarray) -> Primitive | None:
    """A primitive from points [N, 3] and unit normals [N, 3] without iteration; None where the points do not determine one."""
    try:
        found = _FIRST[kind](points, normals)
    except np.linalg.LinAlgError:
        return None
    return found if found is not None and sensible(found) else None


def sensible(p: Primitive) -> bool:
    """Whether all parameters are finite and in their ranges."""
    numbers = np.concatenate([p.point, p.axis, [p.radius, p.tube_radius, p.half_angle]])
    if not np.isfinite(numbers).all():
        return False
    if p.kind in ("cylinder", "sphere"):
        return p.radius > 0
    if p.kind == "cone":
        return SMALLEST_CONE < p.half_angle < LARGEST_CONE
    return p.kind != "torus" or (p.radius > 0.02 * p.tube_radius > 0)


def least_squares(
    p: Primitive, points: np.ndarray, weights: np.ndarray | None = None, rounds: int = 30, goal: float = np.inf
) -> Primitive | None:
    """Levenberg-Marquardt on sum w d^2 from a first estimate; None if it leaves the sensible range.

    Args:
        p: Where to start.
        points: [N, 3], at least as many as free parameters.
        weights: [N] or None.
        rounds: Largest number of steps.
        goal: Root mean square distance that must be reached: after a few steps without it the fit is given up (None).
    """
    if len(points) < FREE[p.kind]:
        return None
    p = centred(p, points)
    size = float(np.linalg.norm(points.max(0) - points.min(0))) + 1e-300
    scale = np.full(FREE[p.kind], size)
    if p.kind != "sphere":
        scale[:2] = 1.0
    if p.kind == "cone":
        scale[5] = 1.0
    w = np.ones(len(points)) if weights is None else weights
    damping, d_j = 1e-4, jacobian(p, points)
    error = float(w @ d_j[0] ** 2)
    for number in range(rounds):
        if number == 10 and error > w.sum() * goal**2:
            return None
        d, j = d_j[0], d_j[1] * scale
        hessian, gradient = (j * w[:, None]).T @ j, j.T @ (w * d)
        floor = np.maximum(np.diag(hessian), 1e-12 * np.trace(hessian) + 1e-300)
        step = np.linalg.solve(hessian + damping * np.diag(floor), -gradient)
        trial = moved(p, step * scale)
        if not sensible(trial):
            damping *= 10
            if damping > 1e6:
                return None
            continue
        trial_dj = jacobian(trial, points)
        trial_error = float(w @ trial_dj[0] ** 2)
        if trial_error <= error:
            done = np.abs(step).max() < 1e-12 or error - trial_error <= 1e-12 * error
            p, d_j, error = trial, trial_dj, trial_error
            damping = max(damping * 0.1, 1e-12)
            if done:
                break
        else:
            damping *= 10
            if damping > 1e8:
                break
    return centred(p, points)


def fit(
    kind: Kind, points: np.ndarray, normals: np.ndarray, weights: np.ndarray | None = None, most: int = 600, goal: float = np.inf
) -> Primitive | None:
    """The best primitive of a kind through points with normals; None where none is determined.

    Args:
        kind: One of the analytic kinds.
        points, normals: [N, 3] each; normals are used for the first estimate alone.
        weights: [N] or None.
        most: At most this many points, evenly spread in their order, are used.
        goal: See :func:`least_squares`.
    """
    if len(points) > most:
        chosen = np.linspace(0, len(points) - 1, most).astype(int)
        points, normals = points[chosen], normals[chosen]
        weights = None if weights is None else weights[chosen]
    if len(points) < FREE[kind]:
        return None
    start = first_estimate(kind, points, normals)
    if start is None:
        return None
    found = least_squares(start, points, weights, goal=goal)
    if found is None or not sensible(found):
        return None
    size = float(np.linalg.norm(points.max(0) - points.min(0)))
    if max(found.radius, found.tube_radius) > LARGEST * size:
        return None
    if kind == "cone":
        z = (points - found.point) @ found.axis
        if np.quantile(z, 0.02) < 0 or np.linalg.norm(points.mean(0) - found.point) > 2 * LARGEST * size:
            return None
    return found


def rms(p: Primitive, points: np.ndarray) -> float:
    """Root mean square distance."""
    return float(np.sqrt(np.mean(distance(p, points) ** 2)))


def robust_sigma(residuals: np.ndarray) -> float:
    """1.4826 times the median absolute value: the standard deviation of a normal distribution about 0."""
    return 1.4826 * float(np.median(np.abs(residuals))) if len(residuals) else 0.0
