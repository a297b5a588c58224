"""The analytic surfaces as implicit functions: signed distances, normals, and how both change with the parameters.

With q = p - point, z = q . axis and rho = |q - z axis|, the signed distance d is

    plane     z                       cylinder  rho - radius              sphere  |q| - radius
    cone      rho cos A - z sin A     torus     hypot(rho - radius, z) - tube_radius

(A the half angle, z measured from the apex). All are exact distances near the surface, so |grad d| = 1 and grad d is the normal. Turning a
surface about ``point`` by a small rotation vector w changes d by -w . (q x n), shifting it by t changes d by -t . n: one formula for all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from recon.solid.model import Kind, Primitive

FREE: dict[Kind, int] = {"plane": 3, "cylinder": 5, "cone": 6, "sphere": 4, "torus": 7}
"""Number of free parameters of the analytic kinds."""
COST: dict[Kind, int] = {"plane": 0, "cylinder": 1, "sphere": 1, "cone": 2, "torus": 3, "bspline": 9}
"""Order of simplicity."""
AXIAL = ("cylinder", "cone", "torus")
"""Surfaces of revolution with one axis."""
_TINY = 1e-300


def unit(v: np.ndarray) -> np.ndarray:
    """v / |v| along the last axis; zeros stay zeros."""
    return v / np.maximum(np.linalg.norm(v, axis=-1, keepdims=True), _TINY)


def frame(axis: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two unit vectors that make a right-handed frame with a unit axis; the same for the same axis. [3] each"""
    helper = np.eye(3)[np.argmin(np.abs(axis))]
    x = helper - (helper @ axis) * axis
    x /= np.sqrt(x @ x)
    (a, b, c), (p, q, r) = axis, x
    return x, np.array([b * r - c * q, c * p - a * r, a * q - b * p])


def cylindrical(p: Primitive, points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Height z along the axis, distance rho from it, and the unit vector away from it. [N], [N], [N, 3]"""
    q = points - p.point
    z = q @ p.axis
    away = q - z[..., None] * p.axis
    rho = np.linalg.norm(away, axis=-1)
    return z, rho, away / np.maximum(rho, _TINY)[..., None]


def _plane(p: Primitive, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return (points - p.point) @ p.axis, np.broadcast_to(p.axis, points.shape)


def _sphere(p: Primitive, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    q = points - p.point
    length = np.linalg.norm(q, axis=-1)
    return length - p.radius, q / np.maximum(length, _TINY)[..., None]


def _cylinder(p: Primitive, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    _, rho, away = cylindrical(p, points)
    return rho - p.radius, away


def _cone(p: Primitive, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    z, rho, away = cylindrical(p, points)
    c, s = np.cos(p.half_angle), np.sin(p.half_angle)
    return rho * c - z * s, c * away - s * p.axis


def _torus(p: Primitive, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    z, rho, away = cylindrical(p, points)
    out = rho - p.radius
    length = np.hypot(out, z)
    normal = (out[..., None] * away + z[..., None] * p.axis) / np.maximum(length, _TINY)[..., None]
    return length - p.tube_radius, normal


def _patch(p: Primitive, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return p.patch.implicit(points)


_IMPLICIT: dict[Kind, Callable[[Primitive, np.ndarray], tuple[np.ndarray, np.ndarray]]] = {
    "plane": _plane,
    "cylinder": _cylinder,
    "cone": _cone,
    "sphere": _sphere,
    "torus": _torus,
    "bspline": _patch,
}


def implicit(p: Primitive, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Signed distances and unit normals (gradients) at points [N, 3]: [N], [N, 3]."""
    return _IMPLICIT[p.kind](p, points)


def distance(p: Primitive, points: np.ndarray) -> np.ndarray:
    """Signed distances of points [N, 3] -> [N]."""
    return implicit(p, points)[0]


def angle_to(p: Primitive, points: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """Angles between given unit normals and the surface's, whatever their signs, radians in [0, pi / 2]. [N]"""
    cosine = np.abs(np.einsum("ij,ij->i", implicit(p, points)[1], normals))
    return np.arccos(np.minimum(cosine, 1.0))


def jacobian(p: Primitive, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Signed distances and their derivatives by the free parameters of :func:`moved`. [N], [N, FREE]"""
    d, n = implicit(p, points)
    if p.kind == "sphere":
        return d, np.concatenate([-n, -np.ones((len(points), 1))], 1)
    e, f = frame(p.axis)
    q = points - p.point
    qe, qf, qa, ne, nf, na = q @ e, q @ f, q @ p.axis, n @ e, n @ f, n @ p.axis
    columns = [qa * nf - qf * na, qe * na - qa * ne]  # -(q x n) along e and f
    if p.kind == "plane":
        columns.append(-np.ones(len(points)))
    elif p.kind == "cylinder":
        columns += [-ne, -nf, -np.ones(len(points))]
    else:
        columns += [-n[:, 0], -n[:, 1], -n[:, 2]]
        z, rho, _ = cylindrical(p, points)
        if p.kind == "cone":
            columns.append(-rho * np.sin(p.half_angle) - z * np.cos(p.half_angle))
        else:
            out = rho - p.radius
            columns += [-out / np.maximum(np.hypot(out, z), _TINY), -np.ones(len(points))]
    return d, np.stack(columns, 1)


def moved(p: Primitive, x: np.ndarray) -> Primitive:
    """The surface with its free parameters changed by ``x``: rotation about two axes across ``axis`` (radians), shift, radii or angle.

    In order: plane (turn, turn, shift along the normal); cylinder (turn, turn, two shifts across the axis, radius); cone (turn, turn,
    shift, half angle); sphere (shift, radius); torus (turn, turn, shift, radius, tube radius).
    """
    if p.kind == "sphere":
        return replace(p, point=p.point + x[:3], radius=p.radius + float(x[3]))
    e, f = frame(p.axis)
    axis = p.axis - x[0] * f + x[1] * e  # e x axis = -f, f x axis = e
    axis = axis / np.sqrt(axis @ axis)
    if p.kind == "plane":
        return replace(p, axis=axis, point=p.point + x[2] * p.axis)
    if p.kind == "cylinder":
        return replace(p, axis=axis, point=p.point + x[2] * e + x[3] * f, radius=p.radius + float(x[4]))
    if p.kind == "cone":
        return replace(p, axis=axis, point=p.point + x[2:5], half_angle=p.half_angle + float(x[5]))
    return replace(p, axis=axis, point=p.point + x[2:5], radius=p.radius + float(x[5]), tube_radius=p.tube_radius + float(x[6]))


def centred(p: Primitive, points: np.ndarray) -> Primitive:
    """The same plane or cylinder with ``point`` beside the middle of the points; other kinds as they are."""
    middle = points.mean(0)
    along = (middle - p.point) @ p.axis
    if p.kind == "plane":
        return replace(p, point=middle - along * p.axis)
    if p.kind == "cylinder":
        return replace(p, point=p.point + along * p.axis)
    return p
