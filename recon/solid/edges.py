"""The curve of an edge from its pair of surfaces: lines, circles and ellipses where the pair makes them, else a spline on both."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from recon.solid.contacts import coaxial, contact, onto_both, parallel
from recon.solid.model import Primitive
from recon.solid.primitives import AXIAL, distance, implicit, unit

CurveKind = Literal["line", "circle", "ellipse", "spline"]
CURVE_TOLERANCE = 1e-7
"""A closed form is taken when all points of the intersection agree with it within this part of the diagonal."""
FEWEST, MOST = 9, 65
FAR, FAR_TANGENT = 0.05, 0.15
"""Points that move by a larger part of the diagonal are not those of this edge; between tangent faces the outline is hardly known."""


@dataclass(frozen=True)
class EdgeCurve:
    """Geometry of one edge.

    Attributes:
        kind: Which curve.
        points: On it, in the order of the chain, its ends included. [n, 3]
        origin: A point of the line; the centre of circle and ellipse. [3]
        axis: Direction of the line; normal of circle and ellipse. [3]
        x_axis: Direction of the ellipse's longer radius; any for the circle. [3]
        radius, radius_2: Of the circle; longer and shorter of the ellipse.
        closed: Runs back into itself.
        tangent: The two surfaces touch along it.
        gap: Largest distance of ``points`` from one of the surfaces.
    """

    kind: CurveKind
    points: np.ndarray
    closed: bool
    tangent: bool
    gap: float
    origin: np.ndarray = field(default_factory=lambda: np.zeros(3))
    axis: np.ndarray = field(default_factory=lambda: np.zeros(3))
    x_axis: np.ndarray = field(default_factory=lambda: np.zeros(3))
    radius: float = 0.0
    radius_2: float = 0.0


def resampled(line: np.ndarray, count: int) -> np.ndarray:
    """``count`` points evenly along a polyline, its ends included. [count, 3]"""
    way = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))])
    at = np.linspace(0.0, way[-1], count)
    return np.stack([np.interp(at, way, line[:, k]) for k in range(3)], 1)


def edge_curve(line: np.ndarray, p: Primitive, q: Primitive, closed: bool, diagonal: float, tolerance: float) -> EdgeCurve:
    """The edge along a polyline on the mesh.

    Args:
        line: From one vertex to the other, both already where the surfaces meet; first and last are the same for a closed one. [n, 3]
        p, q: The two surfaces.
        closed: Without vertices: where it starts is free.
        diagonal: Of the part.
        tolerance: Within which surfaces count as tangent.
    """
    touching = contact(p, q, tolerance)
    first, second = (p, q) if touching is None else (p if p.kind != "bspline" else q, touching)
    kind: CurveKind = "spline"
    values: dict[str, Any] = {}
    points = line
    for count in (FEWEST, 2 * FEWEST - 1, 33, MOST):
        rough = resampled(line, count)
        points = onto_both(rough, first, second)
        far = np.linalg.norm(points - rough, axis=1) > (FAR if touching is None else FAR_TANGENT) * diagonal
        points[far] = rough[far]
        if not closed:
            points[0], points[-1] = line[0], line[-1]
        else:
            points[-1] = points[0]
        inner = points[1:-1] if not closed else points[:-1]
        limit = CURVE_TOLERANCE * diagonal
        if count == FEWEST:
            found = _closed_form(first, second, inner, closed, limit)
            if found is not None:
                kind, values = found
                break
        middle = 0.5 * (points[1:] + points[:-1])
        if _interpolated_error(points, closed, first, second, middle) < limit:
            break
    if kind == "spline":
        points = _forward(points, closed)
    gap = float(max(np.abs(distance(p, points)).max(), np.abs(distance(q, points)).max()))
    return EdgeCurve(kind, points, closed, touching is not None, gap, **values)


def free_edge(line: np.ndarray, p: Primitive, closed: bool) -> EdgeCurve:
    """The edge of a face beside a hole: the polyline, on the face's surface."""
    points = resampled(line, int(np.clip(len(line), 5, 33)))
    inner = points[1:-1]
    for _ in range(20):
        d, n = implicit(p, inner)
        inner = inner - d[:, None] * n
    points[1:-1] = inner
    if closed:
        d, n = implicit(p, points[:1])
        points[0] = points[-1] = (points[:1] - d[:, None] * n)[0]
    return EdgeCurve("spline", _forward(points, closed), closed, False, float(np.abs(distance(p, points)).max()))


def _forward(points: np.ndarray, closed: bool) -> np.ndarray:
    """The points without those that step back: projected points may pass an end that was moved. Ends stay."""
    kept = [0]
    spacing = float(np.linalg.norm(np.diff(points, axis=0), axis=1).sum()) / (len(points) - 1)
    last = points[-1]
    for k in range(1, len(points) - 1):
        ahead = points[min(k + 2, len(points) - 1)] - points[max(k - 2, 0)]
        step, rest = points[k] - points[kept[-1]], last - points[k]
        if step @ ahead > 0.2 * spacing * np.linalg.norm(ahead) and (closed or np.linalg.norm(rest) > 0.4 * spacing):
            kept.append(k)
    return points[[*kept, len(points) - 1]]


def _interpolated_error(points: np.ndarray, closed: bool, p: Primitive, q: Primitive, middle: np.ndarray) -> float:
    """How far a cubic spline through the points leaves the two surfaces between them."""
    from scipy.interpolate import CubicSpline

    way = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    if not (np.diff(way) > 0).all():
        return np.inf
    spline = CubicSpline(way, points, bc_type="periodic" if closed else "not-a-knot")
    between = spline(0.5 * (way[1:] + way[:-1]))
    return float(max(np.abs(distance(p, between)).max(), np.abs(distance(q, between)).max()))


def _closed_form(p: Primitive, q: Primitive, points: np.ndarray, closed: bool, limit: float) -> tuple | None:
    """Kind and parameters of a line, circle or ellipse that all points lie on; None where the pair makes none."""
    for make in (_line, _circle, _ellipse):
        for values in make(p, q, points) if not (closed and make is _line) else ():
            if values is not None:
                return values if _off(values, points) < limit else None
    return None


def _off(found: tuple, points: np.ndarray) -> float:
    """Largest distance of points from a curve (to first order for the ellipse)."""
    kind, v = found
    q = points - v["origin"]
    z = q @ v["axis"]
    rho = np.linalg.norm(q - z[:, None] * v["axis"], axis=1)
    if kind == "line":
        return float(rho.max())
    if kind == "circle":
        return float(np.hypot(z, rho - v["radius"]).max())
    a, b = q @ v["x_axis"], q @ np.cross(v["axis"], v["x_axis"])
    value = np.hypot(a / v["radius"], b / v["radius_2"]) - 1
    return float(np.hypot(z, value * v["radius_2"]).max())


def _line(p: Primitive, q: Primitive, points: np.ndarray):
    direction = None
    if p.kind == q.kind == "plane":
        direction = np.cross(p.axis, q.axis)
    elif {p.kind, q.kind} == {"plane", "cylinder"}:
        plane, cylinder = (p, q) if p.kind == "plane" else (q, p)
        direction = cylinder.axis if abs(plane.axis @ cylinder.axis) < 1e-9 else None
    elif p.kind == q.kind == "cylinder":
        direction = p.axis if parallel(p.axis, q.axis, 1e-9) else None
    elif {p.kind, q.kind} == {"plane", "cone"} and len(points) > 1:
        plane, cone = (p, q) if p.kind == "plane" else (q, p)
        direction = points[-1] - points[0] if abs(distance(plane, cone.point[None])[0]) < 1e-9 * (1 + np.abs(cone.point).max()) else None
    if direction is not None:
        yield "line", dict(origin=points.mean(0), axis=unit(direction))


def _circle(p: Primitive, q: Primitive, points: np.ndarray):
    about = _circle_axis(p, q, points)
    if about is None:
        return
    point, axis = about
    z = float(np.median((points - point) @ axis))
    centre = point + z * axis
    yield "circle", dict(origin=centre, axis=axis, radius=float(np.median(np.linalg.norm(points - centre, axis=1))))


def _circle_axis(p: Primitive, q: Primitive, points: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """The line about which the intersection of a pair is made of circles."""
    for a, b in ((p, q), (q, p)):
        if a.kind == "plane" and b.kind in AXIAL and parallel(a.axis, b.axis, 1e-9):
            return b.point, b.axis
        if a.kind == "plane" and b.kind == "sphere":
            return b.point, a.axis
        if a.kind == "plane" and b.kind == "torus" and abs(a.axis @ b.axis) < 1e-9 and abs(distance(a, b.point[None])[0]) < 1e-9 * b.radius:
            side = np.cross(a.axis, b.axis)
            side = side * np.sign((points.mean(0) - b.point) @ side)
            return b.point + b.radius * side, a.axis
    if p.kind == q.kind == "sphere":
        return p.point, unit(q.point - p.point)
    for a, b in ((p, q), (q, p)):
        if a.kind in AXIAL and coaxial(a, b, 1e-7 * (1 + max(a.radius, b.radius))):
            return a.point, a.axis
    return None


def _ellipse(p: Primitive, q: Primitive, points: np.ndarray):
    if {p.kind, q.kind} != {"plane", "cylinder"}:
        return
    plane, cylinder = (p, q) if p.kind == "plane" else (q, p)
    cosine = float(plane.axis @ cylinder.axis)
    if not 0.02 < abs(cosine) < 1 - 1e-12:
        return
    centre = cylinder.point + ((plane.point - cylinder.point) @ plane.axis / cosine) * cylinder.axis
    longer = unit(cylinder.axis - cosine * plane.axis)
    yield "ellipse", dict(origin=centre, axis=plane.axis, x_axis=longer, radius=cylinder.radius / abs(cosine), radius_2=cylinder.radius)
