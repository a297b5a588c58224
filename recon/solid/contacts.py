"""Where two surfaces touch without crossing, and how points come to lie on several surfaces at once.

Near a tangent contact the two distances vanish together along a double root, which no intersection algorithm likes. The contact is known in
closed form for the pairs that parts are made of; it is given as a third surface that crosses both squarely.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from recon.solid.model import Primitive
from recon.solid.primitives import AXIAL, distance, implicit, unit

PARALLEL = 1e-4
"""Sine of the angle below which two axes count as parallel (after constraints they are exactly so)."""


def parallel(a: np.ndarray, b: np.ndarray, limit: float = PARALLEL) -> bool:
    return float(np.linalg.norm(np.cross(a, b))) < limit


def across(p: Primitive, point: np.ndarray) -> np.ndarray:
    """The part across the axis of the way from the axis to a point. [3]"""
    q = point - p.point
    return q - (q @ p.axis) * p.axis


def coaxial(p: Primitive, q: Primitive, tolerance: float) -> bool:
    """Whether two surfaces of revolution share their axis; a sphere does when its centre lies on it."""
    if p.kind == "sphere":
        p, q = q, p
    if p.kind not in AXIAL or float(np.linalg.norm(across(p, q.point))) > tolerance:
        return False
    return q.kind == "sphere" or (q.kind in AXIAL and parallel(p.axis, q.axis))


def _plane(point: np.ndarray, normal: np.ndarray) -> Primitive:
    return Primitive("plane", point, unit(normal))


def contact(p: Primitive, q: Primitive, tolerance: float) -> Primitive | None:
    """The surface that holds the contact curve of two tangent surfaces; None if they do not touch within the tolerance."""
    for a, b in ((p, q), (q, p)):
        found = _CONTACTS.get((a.kind, b.kind), _none)(a, b, tolerance)
        if found is not None:
            return found
    return None


def _none(a: Primitive, b: Primitive, tolerance: float) -> Primitive | None:
    return None


def _plane_cylinder(a: Primitive, b: Primitive, tolerance: float) -> Primitive | None:
    height = abs((b.point - a.point) @ a.axis)
    if abs(a.axis @ b.axis) < 5e-3 and abs(height - b.radius) < tolerance:
        return _plane(b.point, np.cross(b.axis, a.axis))
    return None


def _plane_cone(a: Primitive, b: Primitive, tolerance: float) -> Primitive | None:
    if abs(abs(a.axis @ b.axis) - np.sin(b.half_angle)) < 5e-3 and abs((b.point - a.point) @ a.axis) < tolerance:
        return _plane(b.point, np.cross(b.axis, a.axis))
    return None


def _plane_torus(a: Primitive, b: Primitive, tolerance: float) -> Primitive | None:
    height = abs((b.point - a.point) @ a.axis)
    if parallel(a.axis, b.axis, 5e-3) and abs(height - b.tube_radius) < tolerance:
        return Primitive("cylinder", b.point, b.axis, b.radius)
    return None


def _cylinders(a: Primitive, b: Primitive, tolerance: float) -> Primitive | None:
    if not parallel(a.axis, b.axis, 5e-3):
        return None
    way = across(a, b.point)
    length = float(np.linalg.norm(way))
    touch = min(abs(length - a.radius - b.radius), abs(length - abs(a.radius - b.radius)))
    return _plane(a.point, np.cross(a.axis, way)) if length > tolerance and touch < tolerance else None


def _tube(a: Primitive) -> float:
    return a.tube_radius if a.kind == "torus" else a.radius


def _round_on_profile(a: Primitive, b: Primitive, tolerance: float) -> Primitive | None:
    """A torus or a sphere and a coaxial surface: they touch where the tube's circle touches the other's profile."""
    if not coaxial(a, b, tolerance):
        return None
    axis = b.axis
    centre = np.array([a.radius if a.kind == "torus" else 0.0, 0.0])  # (rho, z) about the torus's or sphere's centre
    offset = float((b.point - a.point) @ axis)
    if b.kind == "cylinder":
        foot, normal = np.array([b.radius, 0.0]), np.array([1.0, 0.0])
    elif b.kind == "cone":
        direction = np.array([np.sin(b.half_angle), np.cos(b.half_angle)])
        apex = np.array([0.0, offset])
        foot = apex + ((centre - apex) @ direction) * direction
        normal = np.array([direction[1], -direction[0]])
    else:
        other = np.array([b.radius if b.kind == "torus" else 0.0, offset])
        way = other - centre
        length = float(np.linalg.norm(way))
        if length < tolerance:
            return None
        ways = [way / length, -way / length]
        normal = min(ways, key=lambda n: abs(abs((centre + _tube(a) * n - other) @ n) - _tube(b)))
        if abs(np.linalg.norm(centre + _tube(a) * normal - other) - _tube(b)) > tolerance:
            return None
        foot = centre + _tube(a) * normal
    if abs(np.linalg.norm(foot - centre) - _tube(a)) > tolerance and b.kind in ("cylinder", "cone"):
        return None
    if abs(normal[0]) > abs(normal[1]):
        return _plane(a.point + foot[1] * axis, axis)
    return Primitive("cylinder", a.point, axis, float(foot[0]))


def _pipe(a: Primitive, b: Primitive, tolerance: float) -> Primitive | None:
    """A torus and the straight tube that leaves it: they touch in the circle across the tube, in the plane that holds the torus's axis."""
    if abs(a.axis @ b.axis) > 5e-3 or abs(a.tube_radius - b.radius) > tolerance:
        return _round_on_profile(a, b, tolerance)
    way = across(b, a.point)
    if abs(np.linalg.norm(way) - a.radius) > tolerance or abs(way @ a.axis) > tolerance:
        return None
    return _plane(a.point, b.axis)


_CONTACTS = {
    ("plane", "cylinder"): _plane_cylinder,
    ("plane", "cone"): _plane_cone,
    ("plane", "torus"): _plane_torus,
    ("cylinder", "cylinder"): _cylinders,
    ("torus", "cylinder"): _pipe,
    ("torus", "cone"): _round_on_profile,
    ("torus", "torus"): _round_on_profile,
    ("torus", "sphere"): _round_on_profile,
    ("sphere", "cylinder"): _round_on_profile,
    ("sphere", "cone"): _round_on_profile,
}


def with_contacts(surfaces: Sequence[Primitive], tolerance: float) -> list[Primitive]:
    """The surfaces, and the contact surface of every pair of them that touches."""
    found = list(surfaces)
    for k, a in enumerate(surfaces):
        for b in surfaces[:k]:
            third = contact(a, b, tolerance)
            if third is not None:
                found.append(third)
    return found


def meeting_point(start: np.ndarray, surfaces: Sequence[Primitive], cut: float = 0.1, rounds: int = 40) -> tuple[np.ndarray, float]:
    """The point nearest to the start that lies on all surfaces, by Gauss-Newton with a truncated pseudo-inverse.

    Args:
        start: [3].
        surfaces: At least one, contact surfaces included.
        cut: Singular values below this part of the largest are left out: no step along directions that the surfaces hardly determine.
    Returns:
        The point [3], and its largest distance from a surface.
    """
    x = start.copy()
    for _ in range(rounds):
        values = [implicit(p, x[None]) for p in surfaces]
        step = -np.linalg.pinv(np.array([n[0] for _, n in values]), rcond=cut) @ np.array([d[0] for d, _ in values])
        x = x + step
        if np.linalg.norm(step) < 1e-13 * (1 + np.abs(x).max()):
            break
    return x, max(float(abs(distance(p, x[None])[0])) for p in surfaces)


def onto_both(points: np.ndarray, p: Primitive, q: Primitive, rounds: int = 40, cut: float = 0.02) -> np.ndarray:
    """Points moved the shortest way onto two surfaces that cross. [N, 3]"""
    x = points.copy()
    for _ in range(rounds):
        (dp, np_), (dq, nq) = implicit(p, x), implicit(q, x)
        jac = np.stack([np_, nq], 1)
        step = -np.einsum("nij,nj->ni", np.linalg.pinv(jac, rcond=cut), np.stack([dp, dq], 1))
        x = x + step
        if np.abs(step).max(initial=0.0) < 1e-13 * (1 + np.abs(x).max(initial=0.0)):
            break
    return x
