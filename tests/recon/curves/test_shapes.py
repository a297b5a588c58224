"""Shapes: derivatives against differences, and exact curves against the points they were made from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.interpolate import BSpline

from recon.curves.wireframe.shapes import (
    Shape,
    clamped_basis,
    clamped_knots,
    evaluate,
    evaluate_with_jacobian,
    length,
    local_parameters,
    periodic_basis,
    sample,
    to_curve,
)

VERTICES = np.array([[0.2, -1.0, 0.4], [1.1, 0.7, -0.3]])
APEX = np.array([1.4, -0.6, 0.5])
SHAPES = {
    "line": Shape("line", (0, 1), np.zeros(0)),
    "short arc": Shape("arc", (0, 1), np.array([0.8, -0.3, 0.1])),
    "long arc": Shape("arc", (0, 1), np.array([4.0, -2.0, 1.0])),
    "elliptic arc": Shape("conic", (0, 1), np.append(APEX, -0.5)),
    "flat elliptic arc": Shape("conic", (1, 0), np.append(APEX, -2.0)),
    "hyperbolic arc": Shape("conic", (0, 1), np.append(APEX, 0.6)),
    "circle": Shape("circle", None, np.array([0.3, 0.1, 2.0, 0.5, -0.4, 1.3, 0.7])),
    "ellipse": Shape("ellipse", None, np.array([0.0, 1.0, 2.0, 1.5, 0.2, 0.0, -0.3, 0.8, 0.4])),
    "spline": Shape("spline", (0, 1), np.array([0.5, -1.0, 1.0, 0.9, 0.0, 0.6, 1.5, 0.4, -0.5])),
    "closed spline": Shape("spline", None, np.array([1.0, 0, 0, 0, 1.2, 0.3, -1, 0.1, 0, 0, -0.9, 0.2, 0.6, -0.6, 0.1])),
}
TYPES = {
    "line": "line", "short arc": "arc", "long arc": "arc", "elliptic arc": "ellipse", "flat elliptic arc": "ellipse",
    "hyperbolic arc": "bezier", "circle": "circle", "ellipse": "ellipse", "spline": "bezier", "closed spline": "bezier",
}  # fmt: skip


@pytest.mark.parametrize("name", SHAPES)
def test_derivatives(name: str):
    """By every parameter and every coordinate of the ends, against central differences."""
    shape = SHAPES[name]
    t = np.linspace(0.03, 0.97, 11)
    points, jacobian = evaluate_with_jacobian(shape, VERTICES, t)
    assert np.array_equal(points, evaluate(shape, VERTICES, t))
    x = local_parameters(shape, VERTICES)
    order = list(shape.ends) if shape.ends is not None else []
    for k in range(len(x)):
        both = []
        for sign in (1, -1):
            moved = x.copy()
            moved[k] += sign * 1e-6
            vertices = VERTICES.copy()
            if shape.ends is not None:
                vertices[order] = moved[:6].reshape(2, 3)
            own = moved[6:] if shape.ends is not None else moved
            both.append(evaluate(replace(shape, parameters=own), vertices, t))
        np.testing.assert_allclose(jacobian[:, :, k], (both[0] - both[1]) / 2e-6, atol=1e-7)


@pytest.mark.parametrize("name", SHAPES)
def test_the_curve_has_the_same_points(name: str):
    shape = SHAPES[name]
    curve = to_curve(shape, VERTICES)
    assert curve.type == TYPES[name]
    t = np.linspace(0, 1, 41)
    points = evaluate(shape, VERTICES, t)
    dense, _ = curve.sample(curve.length / 4000)
    nearest = np.sqrt(((points[:, None] - dense[None]) ** 2).sum(-1).min(1))
    assert nearest.max() < curve.length / 4000
    assert curve.length == pytest.approx(length(shape, VERTICES), rel=1e-3)
    if shape.ends is not None:
        assert curve.vertices == shape.ends
        np.testing.assert_array_equal(curve.control_points[[0, -1]], VERTICES[list(shape.ends)])


def test_conics_are_ellipses():
    """The axes and angles that are written describe the same arc as the control points."""
    curve = to_curve(SHAPES["elliptic arc"], VERTICES)
    p = {k: np.asarray(v) for k, v in curve.parameters.items()}
    a = np.linspace(*p["angles_rad"], 9)
    from_axes = p["center"] + p["radii"][0] * np.cos(a)[:, None] * p["x_axis"] + p["radii"][1] * np.sin(a)[:, None] * p["y_axis"]
    dense, _ = curve.sample(curve.length / 8000)
    assert np.sqrt(((from_axes[:, None] - dense[None]) ** 2).sum(-1).min(1)).max() < curve.length / 8000


@pytest.mark.parametrize("count", [4, 5, 9])
def test_bases(count: int):
    """Against scipy's B-splines; periodic ones sum to one and repeat."""
    t = np.linspace(0, 1, 50, endpoint=False)
    np.testing.assert_allclose(clamped_basis(count, t), BSpline.design_matrix(t, clamped_knots(count), 3).toarray(), atol=1e-12)
    np.testing.assert_allclose(periodic_basis(count, t).sum(1), 1.0, atol=1e-12)
    np.testing.assert_allclose(periodic_basis(count, t), periodic_basis(count, t + 1.0), atol=1e-9)


@pytest.mark.parametrize("name", SHAPES)
def test_samples_are_equally_spaced_and_keep_their_distance_from_the_ends(name: str):
    shape = SHAPES[name]
    t, _ = sample(shape, VERTICES, 0.05, 0.1)
    points = evaluate(shape, VERTICES, t)
    gaps = np.linalg.norm(np.diff(points, axis=0), axis=1)
    assert gaps.max() < 1.08 * gaps.min()
    if shape.ends is not None:
        assert min(np.linalg.norm(points[0] - VERTICES[shape.ends[0]]), np.linalg.norm(points[-1] - VERTICES[shape.ends[1]])) > 0.1
