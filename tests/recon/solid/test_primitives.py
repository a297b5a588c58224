"""Primitives: distances, derivatives and fits against analytic truth, the same wherever, however turned and however large they are."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from recon.solid.certainty import certainty, independent_samples
from recon.solid.fitting import fit, rms
from recon.solid.model import Primitive
from recon.solid.primitives import FREE, distance, frame, implicit, jacobian, moved, unit

SURFACES = {
    "plane": Primitive("plane", np.zeros(3), np.array([0.0, 0, 1])),
    "cylinder": Primitive("cylinder", np.zeros(3), np.array([0.0, 0, 1]), radius=0.7),
    "cone": Primitive("cone", np.zeros(3), np.array([0.0, 0, 1]), half_angle=0.4),
    "sphere": Primitive("sphere", np.zeros(3), np.zeros(3), radius=0.9),
    "torus": Primitive("torus", np.zeros(3), np.array([0.0, 0, 1]), radius=1.2, tube_radius=0.3),
}


def placed(kind: str, turn: Rotation, shift: np.ndarray, scale: float) -> Primitive:
    p = SURFACES[kind]
    return Primitive(p.kind, shift + scale * turn.apply(p.point), turn.apply(p.axis), scale * p.radius, scale * p.tube_radius, p.half_angle)


def samples(p: Primitive, rng: np.random.Generator, scale: float, count: int = 400) -> np.ndarray:
    """Points on one half of a surface, by projection of random ones along their normals."""
    axis = p.axis if p.kind != "sphere" else np.array([0.0, 0, 1])
    e, _ = frame(axis)
    x = rng.uniform(-1.5, 1.5, (6 * count, 3)) * scale
    x = x[(x @ e > 0.1 * scale) & ((p.kind != "cone") | (x @ axis > 0.5 * scale))][:count] + p.point
    for _ in range(60):
        d, n = implicit(p, x)
        x = x - d[:, None] * n
    return x


@pytest.mark.parametrize("kind", SURFACES)
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_fit_finds_the_surface_wherever_it_is(kind: str, scale: float):
    rng = np.random.default_rng(3)
    true = placed(kind, Rotation.random(rng=rng), rng.normal(size=3) * 20 * scale, scale)
    x = samples(true, rng, scale)
    found = fit(kind, x, implicit(true, x)[1])
    assert found is not None
    assert rms(found, x) < 1e-11 * scale * 20
    assert found.radius == pytest.approx(true.radius, abs=1e-9 * scale)
    assert found.tube_radius == pytest.approx(true.tube_radius, abs=1e-9 * scale)
    assert found.half_angle == pytest.approx(true.half_angle, abs=1e-9)
    if kind != "sphere":
        assert abs(found.axis @ true.axis) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("arc_deg", [15.0, 30.0, 90.0])
def test_a_short_pipe_bend_is_a_torus(arc_deg: float):
    """All round the pipe and a little along it: nearly a cylinder, whose own axis turns it into itself as well as the bend's does."""
    rng = np.random.default_rng(1)
    true = Primitive("torus", np.array([3.0, 5, -2]), unit(np.array([1.0, 2, 2])), radius=40.0, tube_radius=10.0)
    e, f = frame(true.axis)
    u, v = np.radians(arc_deg) * rng.uniform(size=600), 2 * np.pi * rng.uniform(size=600)
    out = np.outer(np.cos(u), e) + np.outer(np.sin(u), f)
    normals = np.cos(v)[:, None] * out + np.sin(v)[:, None] * true.axis
    x = true.point + true.radius * out + true.tube_radius * normals + rng.normal(size=(600, 1)) * 0.03 * normals
    found = fit("torus", x, unit(normals + rng.normal(size=x.shape) * 0.02), goal=0.24)
    assert found is not None
    assert rms(found, x) < 0.033
    assert found.tube_radius == pytest.approx(10, abs=0.02)
    assert found.radius == pytest.approx(40, rel=0.05)


@pytest.mark.parametrize("kind", SURFACES)
def test_derivatives_are_those_of_the_distance(kind: str):
    rng = np.random.default_rng(4)
    p = placed(kind, Rotation.random(rng=rng), rng.normal(size=3), 1.0)
    x = p.point + unit(rng.normal(size=(50, 3))) * rng.uniform(0.5, 2, (50, 1))
    d, jac = jacobian(p, x)
    assert np.allclose(d, distance(p, x))
    for k in range(FREE[p.kind]):
        step = np.zeros(FREE[p.kind])
        step[k] = 1e-6
        numeric = (distance(moved(p, step), x) - distance(moved(p, -step), x)) / 2e-6
        assert np.allclose(jac[:, k], numeric, atol=1e-6)
    n = implicit(p, x)[1]
    for k in range(3):
        shift = 1e-6 * np.eye(3)[k]
        assert np.allclose((distance(p, x + shift) - distance(p, x - shift)) / 2e-6, n[:, k], atol=1e-6)


@pytest.mark.parametrize("kind", ["plane", "cylinder", "sphere"])
def test_stated_deviations_are_those_of_many_fits(kind: str):
    """The standard deviation from the covariance agrees with the spread of 60 fits with independent noise."""
    rng = np.random.default_rng(5)
    true = placed(kind, Rotation.random(rng=rng), np.zeros(3), 1.0)
    x = samples(true, rng, 1.0, 150)
    n = implicit(true, x)[1]
    sigma = 1e-3
    radii, tilts = [], []
    for _ in range(60):
        found = fit(kind, x + sigma * rng.normal(size=(len(x), 1)) * n, n)
        assert found is not None
        radii.append(found.radius)
        tilts.append(np.linalg.norm(np.cross(found.axis, true.axis)))
    stated = certainty(true, x, sigma, len(x))
    if kind != "plane":
        assert np.std(radii) == pytest.approx(stated.radius, rel=0.35)
    if kind != "sphere":
        assert 0.3 * stated.axis < np.sqrt(np.mean(np.square(tilts))) < 1.8 * stated.axis


def test_samples_are_counted_by_area():
    assert independent_samples(100.0, 5000, 1.0) == pytest.approx(100 / (2 * np.pi))
    assert independent_samples(100.0, 5000, 0.0) == 5000
    assert independent_samples(1e-3, 50, 1.0) == 1
