"""Relations between primitives whose directions are settled, as equations on offsets and radii."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from recon.solid.contacts import across, parallel
from recon.solid.model import ConstraintKind, Kind, Primitive
from recon.solid.primitives import AXIAL, frame, implicit, unit

EXACT = 1e-9
"""Sine of the angle within which settled directions are the same."""
LEAST_CROSSING = 0.05
"""Least volume that the normals of three planes span for their point to be known."""
OFFSETS: dict[Kind, int] = {"plane": 1, "cylinder": 3, "cone": 4, "sphere": 4, "torus": 5, "bspline": 0}
"""Free parameters with the direction settled."""


@dataclass(frozen=True)
class Relation:
    """One relation as a function of all primitives: zero where it holds, in units of length."""

    kind: ConstraintKind
    regions: tuple[int, ...]
    value: Callable[[Mapping[int, Primitive]], np.ndarray]
    size: float


def shifted(p: Primitive, x: np.ndarray, size: float) -> Primitive:
    """A primitive with its offsets changed by ``x`` (lengths; an angle is counted as its arc at ``size``)."""
    if p.kind == "plane":
        return replace(p, point=p.point + x[0] * p.axis)
    if p.kind == "sphere":
        return replace(p, point=p.point + x[:3], radius=p.radius + float(x[3]))
    if p.kind == "cylinder":
        e, f = frame(p.axis)
        return replace(p, point=p.point + x[0] * e + x[1] * f, radius=p.radius + float(x[2]))
    if p.kind == "cone":
        return replace(p, point=p.point + x[:3], half_angle=p.half_angle + float(x[3]) / size)
    if p.kind == "torus":
        return replace(p, point=p.point + x[:3], radius=p.radius + float(x[3]), tube_radius=p.tube_radius + float(x[4]))
    return p


def offset_jacobian(p: Primitive, points: np.ndarray, size: float) -> tuple[np.ndarray, np.ndarray]:
    """Distances and their derivatives by the parameters of :func:`shifted`. [N], [N, OFFSETS]"""
    d, n = implicit(p, points)
    ones = np.ones(len(points))
    if p.kind == "plane":
        return d, -ones[:, None]
    if p.kind == "sphere":
        return d, np.column_stack([-n, -ones])
    if p.kind == "cylinder":
        e, f = frame(p.axis)
        return d, np.column_stack([-n @ e, -n @ f, -ones])
    q = points - p.point
    z = q @ p.axis
    rho = np.linalg.norm(q - z[:, None] * p.axis, axis=1)
    if p.kind == "cone":
        return d, np.column_stack([-n, (-rho * np.sin(p.half_angle) - z * np.cos(p.half_angle)) / size])
    return d, np.column_stack([-n, -(rho - p.radius) / np.maximum(np.hypot(rho - p.radius, z), 1e-300), -ones])


def tilted(p: Primitive, x: np.ndarray, size: float) -> Primitive:
    """A plane whose direction is free too: shift along its normal, and two turns about its point (as arcs at ``size``)."""
    e, f = frame(p.axis)
    return replace(p, point=p.point + x[0] * p.axis, axis=unit(p.axis + (x[1] * e + x[2] * f) / size))


def tilt_jacobian(p: Primitive, points: np.ndarray, size: float) -> tuple[np.ndarray, np.ndarray]:
    """Distances and their derivatives by the parameters of :func:`tilted`. [N], [N, 3]"""
    d, _ = implicit(p, points)
    e, f = frame(p.axis)
    q = points - p.point
    return d, np.column_stack([-np.ones(len(points)), q @ e / size, q @ f / size])


def coaxial(i: int, j: int, g: Mapping[int, Primitive]) -> Callable[[Mapping[int, Primitive]], np.ndarray]:
    base = i if g[i].kind in AXIAL else j
    other = j if base == i else i
    e, f = frame(g[base].axis)

    def value(s: Mapping[int, Primitive]) -> np.ndarray:
        way = s[other].point - s[base].point
        return np.array([way @ e, way @ f])

    return value


def equal(i: int, j: int, first: str = "radius", second: str = "radius") -> Callable[[Mapping[int, Primitive]], np.ndarray]:
    return lambda s: np.array([getattr(s[i], first) - getattr(s[j], second)])


def coplanar(i: int, j: int) -> Callable[[Mapping[int, Primitive]], np.ndarray]:
    return lambda s: np.array([(s[i].point - s[j].point) @ s[i].axis])


def tangency(i: int, j: int, g: Mapping[int, Primitive]) -> Callable[[Mapping[int, Primitive]], np.ndarray] | None:
    """The equations by which two neighbouring surfaces touch, with the signs that hold nearly now; None for pairs without a rule."""
    for a, b in ((i, j), (j, i)):
        made = _TANGENT.get((g[a].kind, g[b].kind))
        if made is not None:
            return made(a, b, g)
    return None


def _plane_round(a: int, b: int, g: Mapping[int, Primitive]):
    if g[b].kind == "cylinder" and abs(g[a].axis @ g[b].axis) > EXACT:
        return None
    if g[b].kind == "torus" and not parallel(g[a].axis, g[b].axis, EXACT):
        return None
    name = "tube_radius" if g[b].kind == "torus" else "radius"
    side = np.sign((g[b].point - g[a].point) @ g[a].axis)
    return lambda s: np.array([(s[b].point - s[a].point) @ s[a].axis - side * getattr(s[b], name)])


def _cylinders(a: int, b: int, g: Mapping[int, Primitive]):
    if not parallel(g[a].axis, g[b].axis, EXACT):
        return None

    def apart(s: Mapping[int, Primitive]) -> float:
        return float(np.linalg.norm(across(s[a], s[b].point)))

    outside = abs(apart(g) - g[a].radius - g[b].radius) < abs(apart(g) - abs(g[a].radius - g[b].radius))
    if outside:
        return lambda s: np.array([apart(s) - s[a].radius - s[b].radius])
    sign = np.sign(g[a].radius - g[b].radius) or 1.0
    return lambda s: np.array([apart(s) - sign * (s[a].radius - s[b].radius)])


def _torus_cylinder(a: int, b: int, g: Mapping[int, Primitive]):
    if parallel(g[a].axis, g[b].axis, EXACT):
        base, sign = coaxial(b, a, g), np.sign(g[b].radius - g[a].radius)
        return lambda s: np.r_[base(s), s[a].radius + sign * s[a].tube_radius - s[b].radius]
    if abs(g[a].axis @ g[b].axis) > EXACT:
        return None
    side = np.cross(g[a].axis, g[b].axis)
    sign = np.sign((g[b].point - g[a].point) @ side)

    def pipe(s: Mapping[int, Primitive]) -> np.ndarray:
        way = s[b].point - s[a].point
        return np.array([way @ s[a].axis, way @ side - sign * s[a].radius, s[a].tube_radius - s[b].radius])

    return pipe


def _torus_cone(a: int, b: int, g: Mapping[int, Primitive]):
    if not parallel(g[a].axis, g[b].axis, EXACT):
        return None
    base = coaxial(b, a, g)

    def gap(s: Mapping[int, Primitive]) -> float:
        z = (s[a].point - s[b].point) @ s[b].axis
        return s[a].radius * np.cos(s[b].half_angle) - z * np.sin(s[b].half_angle)

    sign = np.sign(gap(g))
    return lambda s: np.r_[base(s), gap(s) - sign * s[a].tube_radius]


def _sphere_cylinder(a: int, b: int, g: Mapping[int, Primitive]):
    base = coaxial(b, a, g)
    return lambda s: np.r_[base(s), s[a].radius - s[b].radius]


def _sphere_torus(a: int, b: int, g: Mapping[int, Primitive]):
    """A ball at the end of a rolling-ball fillet: its centre on the torus's centre circle, its radius the tube's."""
    way = g[a].point - g[b].point
    if abs(np.hypot(np.linalg.norm(across(g[b], g[a].point)) - g[b].radius, way @ g[b].axis)) > 0.5 * g[a].radius:
        return None

    def ball(s: Mapping[int, Primitive]) -> np.ndarray:
        out = across(s[b], s[a].point)
        return np.array([np.linalg.norm(out) - s[b].radius, (s[a].point - s[b].point) @ s[b].axis, s[a].radius - s[b].tube_radius])

    return ball


_TANGENT = {
    ("plane", "cylinder"): _plane_round,
    ("plane", "torus"): _plane_round,
    ("plane", "sphere"): _plane_round,
    ("cylinder", "cylinder"): _cylinders,
    ("torus", "cylinder"): _torus_cylinder,
    ("torus", "cone"): _torus_cone,
    ("sphere", "cylinder"): _sphere_cylinder,
    ("sphere", "torus"): _sphere_torus,
}


def concurrent(planes: tuple[int, ...], g: Mapping[int, Primitive]) -> Callable[[Mapping[int, Primitive]], np.ndarray] | None:
    """More than three planes through one point: the distances of the others from where the three that cross best meet.

    None where no three of them cross well.
    """

    def crossing(triple: tuple[int, ...]) -> float:
        return abs(float(np.linalg.det(np.array([g[k].axis for k in triple]))))

    base = max(combinations(planes, 3), key=crossing)
    others = [k for k in planes if k not in base]
    if crossing(base) < LEAST_CROSSING:
        return None

    def value(s: Mapping[int, Primitive]) -> np.ndarray:
        x = np.linalg.solve(np.array([s[k].axis for k in base]), np.array([s[k].axis @ s[k].point for k in base]))
        return np.array([(x - s[k].point) @ s[k].axis for k in others])

    return value
