"""Exact feature curves: lines, arcs, circles, ellipses and rational cubic Bézier chains, and their JSON form.

Every curve carries two descriptions that agree: exact parameters where its type has them (centre, axes, radii, angles) and a chain of
rational cubic Bézier pieces whose last control point is the first of the next. Circles and ellipses are exact in that form, because a
rational quadratic of at most a third of a turn, raised to degree three, is one.

Lengths and coordinates are in the world unit of the scene they belong to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np

from recon.errors import DataError
from recon.geometry import Similarity
from recon.system.foreign import read_json, reading

CurveType = Literal["line", "arc", "circle", "ellipse", "bezier"]
CURVE_TYPES: tuple[str, ...] = ("line", "arc", "circle", "ellipse", "bezier")
FORMAT_VERSION = 1
_POINTS, _DIRECTIONS, _LENGTHS = ("start", "end", "center"), ("x_axis", "y_axis", "normal"), ("radius", "radii", "approximation_error")
_UNCHANGED = ("angles_rad",)
_MOST_PARTS = 256
_GAUSS_NODES, _GAUSS_WEIGHTS = np.polynomial.legendre.leggauss(24)


@dataclass(frozen=True)
class Curve:
    """One curve of a boundary representation.

    Attributes:
        type: "line", "arc" (of a circle), "circle" (whole), "ellipse" (whole or part), "bezier" (everything else).
        control_points: Chain of k rational cubic pieces, world units. [3k+1, 3] float64
        weights: Positive weights of the control points. [3k+1] float64
        vertices: Indices of the end vertices in the list the curve came with, or None when closed.
        parameters: Exact parameters, see :func:`line`, :func:`ellipse`; empty for "bezier".
        label: "sharp" (the surface bends by more than the threshold), "boundary" (only one face: an open shell), or
            "fillet_boundary" (tangent faces whose curvature jumps).
        dihedral_rad: Largest angle between the normals of the two faces along the curve; 0 for a tangent edge or where unknown.
        support: Number of views in which the curve was found; 0 for curves that no picture was asked about.
        rmse_px: Root mean square distance of its projections from the edges found in those views, pixels; None where unknown.
    """

    type: CurveType
    control_points: np.ndarray
    weights: np.ndarray
    vertices: tuple[int, int] | None
    parameters: dict = field(default_factory=dict)
    label: str = "sharp"
    dihedral_rad: float = 0.0
    support: int = 0
    rmse_px: float | None = None

    @property
    def pieces(self) -> int:
        """Number of Bézier pieces k."""
        return (len(self.control_points) - 1) // 3

    @property
    def closed(self) -> bool:
        return self.vertices is None

    def at(self, t: np.ndarray) -> np.ndarray:
        """Points at parameters t in [0, k]: piece floor(t), local parameter t - floor(t). [...] -> [..., 3]"""
        return self._evaluate(t)[0]

    def tangent(self, t: np.ndarray) -> np.ndarray:
        """Derivatives by t, not normalised. [...] -> [..., 3]"""
        return self._evaluate(t)[1]

    def _evaluate(self, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        t = np.asarray(t, np.float64)
        piece = np.clip(np.floor(t).astype(int), 0, self.pieces - 1)
        s = (t - piece)[..., None]
        index = 3 * piece[..., None] + np.arange(4)
        w = self.weights[index]
        homogeneous = np.concatenate([self.control_points[index] * w[..., None], w[..., None]], axis=-1)
        basis = np.concatenate([(1 - s) ** 3, 3 * s * (1 - s) ** 2, 3 * s**2 * (1 - s), s**3], axis=-1)
        slope = np.concatenate([-3 * (1 - s) ** 2, 3 * (1 - s) * (1 - 3 * s), 3 * s * (2 - 3 * s), 3 * s**2], axis=-1)
        value = np.einsum("...k,...kc->...c", basis, homogeneous)
        derivative = np.einsum("...k,...kc->...c", slope, homogeneous)
        point = value[..., :3] / value[..., 3:]
        return point, (derivative[..., :3] - point * derivative[..., 3:]) / value[..., 3:]

    @property
    def length(self) -> float:
        """Arc length, by Gauss-Legendre quadrature of 24 nodes on equal parts of every piece, as many as it takes.

        One part is enough for circles; an ellipse's speed changes most at the ends of its long axis, and one part a piece was 2e-6 off at
        axes of 6 to 1. Relative error 1e-10 for conics, measured up to 200 to 1; a curve with a cusp stops at :data:`_MOST_PARTS`.
        """
        found, parts = self._length_by(1), 1
        while parts < _MOST_PARTS:
            parts *= 2
            coarse, found = found, self._length_by(parts)
            if abs(found - coarse) <= 1e-10 * found:
                break
        return found

    def _length_by(self, parts: int) -> float:
        t = (np.arange(parts * self.pieces)[:, None] + 0.5 * (_GAUSS_NODES + 1)) / parts
        return float((np.linalg.norm(self.tangent(t), axis=-1) * _GAUSS_WEIGHTS).sum() * 0.5 / parts)

    def sample(self, spacing: float) -> tuple[np.ndarray, np.ndarray]:
        """Points at equal arc length, ends included, at most ``spacing`` apart, and unit tangents.

        Args:
            spacing: World units, > 0.
        Returns:
            Points [N, 3] and unit tangents [N, 3], N >= 2; the error in spacing is below 1 %, the points are on the curve.
        """
        count = max(int(np.ceil(self.length / spacing)) + 1, 2)
        dense = np.linspace(0, self.pieces, max(8 * count, 64 * self.pieces) + 1)
        steps = np.linalg.norm(np.diff(self.at(dense), axis=0), axis=1)
        distance = np.concatenate([[0.0], np.cumsum(steps)])
        t = np.interp(np.linspace(0, distance[-1], count), distance, dense)
        points, tangents = self._evaluate(t)
        size = np.linalg.norm(tangents, axis=1, keepdims=True)
        return points, tangents / np.where(size > 0, size, 1.0)

    def transformed(self, target_from_source: Similarity) -> Curve:
        """The curve in another frame: control points and exact parameters alike; weights and angles do not change.

        Raises:
            ValueError: If it carries a parameter whose meaning is not known here.
        """
        f = target_from_source
        parameters: dict = {}
        for key, value in self.parameters.items():
            if key in _POINTS:
                parameters[key] = f.apply(np.asarray(value, np.float64)).tolist()
            elif key in _DIRECTIONS:
                parameters[key] = f.rotate(np.asarray(value, np.float64)).tolist()
            elif key in _LENGTHS:
                parameters[key] = (np.asarray(value, np.float64) * f.scale).tolist()
            elif key in _UNCHANGED:
                parameters[key] = value
            else:
                raise ValueError(f"a curve's parameter {key!r} cannot be transformed: it is none of {_POINTS + _DIRECTIONS + _LENGTHS}")
        return replace(self, control_points=f.apply(self.control_points), parameters=parameters)

    def to_json(self, identity: int) -> dict:
        return {
            "id": identity,
            "type": self.type,
            "vertices": None if self.vertices is None else list(self.vertices),
            "control_points": self.control_points.tolist(),
            "weights": self.weights.tolist(),
            "parameters": self.parameters,
            "length": self.length,
            "support": self.support,
            "rmse_px": self.rmse_px,
            "label": self.label,
            "dihedral_rad": self.dihedral_rad,
        }


def line(start: np.ndarray, end: np.ndarray, **common) -> Curve:
    """A straight segment. Parameters: ``start``, ``end``."""
    start, end = np.asarray(start, np.float64), np.asarray(end, np.float64)
    points = start + np.linspace(0, 1, 4)[:, None] * (end - start)
    return Curve("line", points, np.ones(4), parameters={"start": start.tolist(), "end": end.tolist()}, **common)


def ellipse(center, x_axis, y_axis, radii: tuple[float, float], angles: tuple[float, float], circular: bool, **common) -> Curve:
    """``center + radii[0] cos(a) x_axis + radii[1] sin(a) y_axis`` for a from ``angles[0]`` to ``angles[1]`` (radians).

    Args:
        center, x_axis, y_axis: Centre, and two orthonormal directions in the plane; the rotation is from x to y. [3] each
        radii: Along x_axis and y_axis, world units.
        angles: Start and end, end > start, at most a whole turn.
        circular: Write it as "circle" or "arc" with ``radius``; otherwise as "ellipse" with ``radii``.
    Returns:
        A curve with parameters ``center, x_axis, y_axis, normal, angles_rad`` and ``radius`` or ``radii``.
    """
    center, x_axis, y_axis = (np.asarray(v, np.float64) for v in (center, x_axis, y_axis))
    start, end = angles
    count = max(int(np.ceil((end - start) / (2 * np.pi / 3) - 1e-9)), 1)
    half = (end - start) / count / 2
    edges = start + 2 * half * np.arange(count + 1)
    corner = (edges[:-1] + edges[1:]) / 2
    frame = np.stack([radii[0] * x_axis, radii[1] * y_axis])
    on = np.stack([np.cos(edges), np.sin(edges)], -1)
    off = np.stack([np.cos(corner), np.sin(corner)], -1) / np.cos(half)
    w = np.cos(half)
    # degree elevation of the rational quadratic (on, 1), (off, w), (on, 1), in homogeneous coordinates
    inner_weight = (1 + 2 * w) / 3
    first = (on[:-1] + 2 * w * off) / 3 / inner_weight
    second = (2 * w * off + on[1:]) / 3 / inner_weight
    flat = np.concatenate([np.stack([on[:-1], first, second], 1).reshape(-1, 2), on[-1:]])
    weights = np.concatenate([np.tile([1.0, inner_weight, inner_weight], count), [1.0]])
    parameters = {
        "center": center.tolist(),
        "x_axis": x_axis.tolist(),
        "y_axis": y_axis.tolist(),
        "normal": np.cross(x_axis, y_axis).tolist(),
        "angles_rad": [float(start), float(end)],
    }
    whole = bool(end - start > 2 * np.pi - 1e-6)
    if circular:
        parameters["radius"] = float(radii[0])
        kind: CurveType = "circle" if whole else "arc"
    else:
        parameters["radii"] = [float(radii[0]), float(radii[1])]
        kind = "ellipse"
    return Curve(kind, center + flat @ frame, weights, parameters=parameters, **common)


def to_json(vertices: np.ndarray, curves: Sequence[Curve], tangent_curves: Sequence[Curve], unit: str | None) -> dict:
    """The document written as ``curves.json``; feature curves under "curves", boundaries of fillets under "tangent_curves"."""
    return {
        "version": FORMAT_VERSION,
        "frame": "world",
        "unit": unit,
        "vertices": np.asarray(vertices).tolist(),
        "curves": [c.to_json(i) for i, c in enumerate(curves)],
        "tangent_curves": [c.to_json(i) for i, c in enumerate(tangent_curves)],
    }


def from_json(data: dict, source: str) -> tuple[np.ndarray, tuple[Curve, ...], tuple[Curve, ...]]:
    """Read the document of :func:`to_json`.

    Returns:
        Vertices [V, 3], feature curves, boundaries of fillets.
    Raises:
        DataError: If a field is missing or contradicts another; all problems at once.
    """
    if not isinstance(data, dict) or data.get("version") != FORMAT_VERSION:
        data = data if isinstance(data, dict) else {}
        raise DataError(f"{source}: curves of version {data.get('version')!r}; this program reads version {FORMAT_VERSION}")
    vertices = np.asarray(data["vertices"], np.float64).reshape(-1, 3)
    problems: list[str] = []
    groups: list[tuple[Curve, ...]] = []
    for key in ("curves", "tangent_curves"):
        found = []
        for number, item in enumerate(data[key] if key == "curves" else data.get(key, [])):
            where = f"{key}[{number}]"
            points = np.asarray(item["control_points"], np.float64)
            weights = np.asarray(item["weights"], np.float64)
            ends = item["vertices"]
            if item["type"] not in CURVE_TYPES:
                problems.append(f"{where}: unknown type {item['type']!r}")
            if points.ndim != 2 or points.shape[1:] != (3,) or len(points) < 4 or len(points) % 3 != 1 or len(weights) != len(points):
                problems.append(f"{where}: {points.shape} control points and {len(weights)} weights are not a cubic chain")
            elif not (np.isfinite(points).all() and (weights > 0).all()):
                problems.append(f"{where}: control points must be finite and weights positive")
            if ends is not None and not all(0 <= int(e) < len(vertices) for e in ends):
                problems.append(f"{where}: its vertices {ends} are not among the {len(vertices)} given")
            pair = None if ends is None else (int(ends[0]), int(ends[1]))
            label, bend = item.get("label", "sharp"), float(item.get("dihedral_rad", 0.0))
            support, rmse = int(item.get("support", 0)), item.get("rmse_px")
            rmse = None if rmse is None else float(rmse)
            found.append(Curve(item["type"], points, weights, pair, item["parameters"], label, bend, support, rmse))
        groups.append(tuple(found))
    if problems:
        raise DataError(f"{source}: broken curves", problems, "Write the file again (that of a built-in scene: python -m scenes.build).")
    return vertices, groups[0], groups[1]


def read(path: Path) -> tuple[np.ndarray, tuple[Curve, ...], tuple[Curve, ...]]:
    """Read a ``curves.json``; see :func:`from_json`."""
    with reading(path, "a curves file"):
        return from_json(read_json(path, "a curves file"), str(path))
