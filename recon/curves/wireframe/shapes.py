"""The curves that a wireframe is fitted with: points as functions of end vertices and a few parameters, with exact derivatives.

Open shapes begin and end in vertices that they share with their neighbours, so a junction stays one point whatever is optimised.

| kind | parameters (scene units) | points |
|---|---|---|
| line | none | (1 - t) A + t B |
| arc | a point M between the ends [3] | the circle through A, M, B |
| conic | apex P [3], log weight [1] | rational quadratic Bezier A, P, B: an open arc of an ellipse |
| circle | centre, normal [3 each], radius [1] | closed |
| ellipse | centre c, conjugate semi-diameters a, b [3 each] | c + a cos + b sin, closed |
| spline | inner control points [3 each] | cubic B-spline, uniform knots, clamped at A and B; periodic when closed |
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from recon.curves.files.curve import Curve, ellipse, line
from recon.curves.wireframe.bent import Frame, arc_frame, circle_frame, conic, frame_jacobian, on_frame

ShapeKind = Literal["line", "arc", "conic", "circle", "ellipse", "spline"]
LINEAR = ("line", "ellipse", "spline")
"""Kinds whose points are fixed weights times their parameters."""
FREEDOM = {"line": 0, "arc": 2, "conic": 3, "circle": 6, "ellipse": 8}
"""Degrees of freedom beside the ends'; a spline has 3 a control point, of which one in three only slides along it."""


@dataclass(frozen=True)
class Shape:
    """One curve.

    Attributes:
        kind: Which formula.
        ends: Vertex indices, or None when closed.
        parameters: As in the table above, flat. [P]
    """

    kind: ShapeKind
    ends: tuple[int, int] | None
    parameters: np.ndarray

    @property
    def freedom(self) -> int:
        """Independent parameters, the ends not counted."""
        return FREEDOM[self.kind] if self.kind != "spline" else 2 * len(self.parameters) // 3


def evaluate(shape: Shape, vertices: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Points at t in [0, 1]. [S] -> [S, 3]"""
    x = local_parameters(shape, vertices)
    if shape.kind in LINEAR:
        return _basis(shape, np.asarray(t, np.float64)) @ x.reshape(-1, 3)
    t = np.asarray(t, np.float64)
    return conic(x, t)[0] if shape.kind == "conic" else on_frame(_frame(shape, x), t)


def local_parameters(shape: Shape, vertices: np.ndarray) -> np.ndarray:
    """Everything the points depend on: the two ends' coordinates (open shapes), then the parameters. [6 + P] or [P]"""
    ends = vertices[list(shape.ends)].reshape(-1) if shape.ends is not None else np.zeros(0)
    return np.concatenate([ends, shape.parameters])


def evaluate_with_jacobian(shape: Shape, vertices: np.ndarray, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points [S, 3] and their derivatives by :func:`local_parameters` [S, 3, L]."""
    if shape.kind in LINEAR:  # the derivative is the basis
        basis = _basis(shape, np.asarray(t, np.float64))
        jacobian = np.einsum("sk,ij->sikj", basis, np.eye(3)).reshape(len(t), 3, -1)
        return evaluate(shape, vertices, t), jacobian
    x, t = local_parameters(shape, vertices), np.asarray(t, np.float64)
    if shape.kind == "conic":
        return conic(x, t)
    frame = _frame(shape, x)
    return on_frame(frame, t), frame_jacobian(frame, t)


def tangents(shape: Shape, vertices: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Unit tangents. [S] -> [S, 3]"""
    h = 1e-5
    low, high = (np.clip(t + s * h, 0, 1) for s in (-1, 1)) if shape.ends is not None else (t - h, t + h)
    d = evaluate(shape, vertices, high) - evaluate(shape, vertices, low)
    return d / np.maximum(np.linalg.norm(d, axis=1, keepdims=True), 1e-300)


def length(shape: Shape, vertices: np.ndarray) -> float:
    """Arc length from 256 chords: relative error below 1e-4."""
    p = evaluate(shape, vertices, np.linspace(0, 1, 257))
    return float(np.linalg.norm(np.diff(p, axis=0), axis=1).sum())


def sample(shape: Shape, vertices: np.ndarray, spacing: float, margin: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Parameters at about equal arc length, ``margin`` away from the ends of open shapes, and the share of the length each stands for.

    Returns:
        t [S] with S >= 3, and spacing in scene units [S].
    """
    dense = np.linspace(0, 1, 257)
    p = evaluate(shape, vertices, dense)
    s = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(p, axis=0), axis=1))])
    total = s[-1]
    gap = min(margin, total / 4) if shape.ends is not None else 0.0
    count = max(round(float(total - 2 * gap) / spacing), 3)
    wanted = gap + (np.arange(count) + 0.5) / count * (total - 2 * gap)
    return np.interp(wanted, s, dense), np.full(count, (total - 2 * gap) / count)


def _basis(shape: Shape, t: np.ndarray) -> np.ndarray:
    """Weights of the control points (ends first) in linear shapes. [S, K]"""
    if shape.kind == "line":
        return np.stack([1 - t, t], axis=1)
    if shape.kind == "ellipse":
        return np.stack([np.ones_like(t), np.cos(2 * np.pi * t), np.sin(2 * np.pi * t)], axis=1)
    if shape.ends is None:
        return periodic_basis(len(shape.parameters) // 3, t)
    b = clamped_basis(len(shape.parameters) // 3 + 2, t)
    return np.concatenate([b[:, :1], b[:, -1:], b[:, 1:-1]], axis=1)


def clamped_knots(count: int) -> np.ndarray:
    """Knots of a clamped uniform cubic B-spline with ``count`` >= 4 control points over [0, 1]."""
    return np.concatenate([np.zeros(3), np.linspace(0, 1, count - 2), np.ones(3)])


def clamped_basis(count: int, t: np.ndarray) -> np.ndarray:
    """Clamped uniform cubic B-spline basis. [S, count]"""
    return _cox_de_boor(clamped_knots(count), count, np.clip(t, 0, 1))


def periodic_basis(count: int, t: np.ndarray) -> np.ndarray:
    """Periodic uniform cubic B-spline basis with ``count`` >= 4 control points. [S, count]"""
    knots = np.arange(-3, count + 4) / count
    full = _cox_de_boor(knots, count + 3, np.mod(t, 1.0))
    folded = full[:, :count].copy()
    folded[:, :3] += full[:, count:]
    return folded


def _cox_de_boor(knots: np.ndarray, count: int, t: np.ndarray) -> np.ndarray:
    span = np.clip(np.searchsorted(knots, t, side="right") - 1, 3, count - 1)
    basis = np.zeros((len(t), len(knots) - 1))
    basis[np.arange(len(t)), span] = 1.0
    for degree in (1, 2, 3):
        left_width = knots[degree:-1] - knots[: -degree - 1]
        right_width = knots[degree + 1 :] - knots[1:-degree]
        n = len(left_width)
        with np.errstate(divide="ignore", invalid="ignore"):
            left = np.where(left_width > 0, (t[:, None] - knots[:n]) / left_width, 0.0)
            right = np.where(right_width > 0, (knots[degree + 1 : degree + 1 + n] - t[:, None]) / right_width, 0.0)
        basis = left * basis[:, :n] + right * basis[:, 1 : n + 1]
    return basis[:, :count]


def _frame(shape: Shape, x: np.ndarray) -> Frame:
    """Of an arc or a circle."""
    return arc_frame(x) if shape.kind == "arc" else circle_frame(x)


def to_curve(shape: Shape, vertices: np.ndarray, **common) -> Curve:
    """The exact curve: same points, in the form that is written to files."""
    x = local_parameters(shape, vertices)
    p = shape.parameters
    if shape.kind == "line":
        return _with_ends(line(x[:3], x[3:6], vertices=shape.ends, **common), x)
    if shape.kind == "arc":
        f = arc_frame(x)
        return _with_ends(ellipse(f.center, f.e1, f.e2, (f.radius, f.radius), (0.0, f.angle), True, vertices=shape.ends, **common), x)
    if shape.kind == "circle":
        points = evaluate(shape, vertices, np.array([0.0, 0.25]))
        r = float(abs(p[6]))
        e1, e2 = (points - p[:3]) / r
        return ellipse(p[:3], e1, e2, (r, r), (0.0, 2 * np.pi), True, vertices=None, **common)
    if shape.kind == "ellipse":
        axes, radii, _ = np.linalg.svd(p[3:9].reshape(2, 3).T, full_matrices=False)
        return ellipse(p[:3], axes[:, 0], axes[:, 1], (float(radii[0]), float(radii[1])), (0.0, 2 * np.pi), False, vertices=None, **common)
    if shape.kind == "conic":
        return _conic_curve(shape, x, common)
    return Curve("bezier", *_spline_chain(shape, vertices), vertices=shape.ends, **common)


def _with_ends(curve: Curve, x: np.ndarray) -> Curve:
    """Control points at the ends set to the vertices to the last bit."""
    curve.control_points[0], curve.control_points[-1] = x[:3], x[3:6]
    return curve


def _conic_curve(shape: Shape, x: np.ndarray, common: dict) -> Curve:
    """An elliptic arc with its axes when the weight is below 1, else one rational cubic piece."""
    a, b, p, w = x[:3], x[3:6], x[6:9], float(np.exp(x[9]))
    if w >= 1.0 - 1e-9:
        inner = (1 + 2 * w) / 3
        points = np.stack([a, (a + 2 * w * p) / (3 * inner), (2 * w * p + b) / (3 * inner), b])
        return Curve("bezier", points, np.array([1.0, inner, inner, 1.0]), vertices=shape.ends, **common)
    # The arc is the affine image of a circular one of half angle acos(w): conjugate semi-diameters from its symmetric frame.
    half = np.arccos(w)
    middle = (a + b) / 2
    center = middle - (p - middle) * np.cos(half) ** 2 / np.sin(half) ** 2
    toward = (p - center) * np.cos(half)  # semi-diameter through the apex's direction
    sideways = (b - a) / 2 / np.sin(half)
    axes, radii, rotation = np.linalg.svd(np.stack([toward, sideways], axis=1), full_matrices=False)
    # point(theta) = center + toward cos theta + sideways sin theta = axes diag(radii) rotation (cos, sin), theta from -half to half
    start = rotation @ np.array([np.cos(half), -np.sin(half)])
    angle = float(np.arctan2(start[1], start[0]))
    if np.linalg.det(rotation) < 0:
        axes[:, 1], rotation[1] = -axes[:, 1], -rotation[1]
        start = rotation @ np.array([np.cos(half), -np.sin(half)])
        angle = float(np.arctan2(start[1], start[0]))
    made = ellipse(
        center, axes[:, 0], axes[:, 1], (float(radii[0]), float(radii[1])), (angle, angle + 2 * half), False, vertices=shape.ends, **common
    )
    return _with_ends(made, x)


def _spline_chain(shape: Shape, vertices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bezier control points of a B-spline, piece by piece from its values and derivatives at the knots (exact: a piece is a cubic)."""
    controls = len(shape.parameters) // 3
    pieces = controls if shape.ends is None else controls - 1
    inner = np.array([0.0, 1 / 3, 2 / 3, 1.0])
    t = (np.arange(pieces)[:, None] + inner) / pieces
    values = evaluate(shape, vertices, t.reshape(-1)).reshape(pieces, 4, 3)
    # interpolate the cubic through its points at 0, 1/3, 2/3, 1
    b1 = (-5 * values[:, 0] + 18 * values[:, 1] - 9 * values[:, 2] + 2 * values[:, 3]) / 6
    b2 = (2 * values[:, 0] - 9 * values[:, 1] + 18 * values[:, 2] - 5 * values[:, 3]) / 6
    chain = np.concatenate([np.stack([values[:, 0], b1, b2], axis=1).reshape(-1, 3), values[-1:, 3]])
    if shape.ends is not None:
        chain[0], chain[-1] = vertices[shape.ends[0]], vertices[shape.ends[1]]
    else:
        chain[-1] = chain[0]
    return chain, np.ones(len(chain))
