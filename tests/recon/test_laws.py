"""What holds of every similarity, camera and curve, tried on drawn ones; truth is written out here, point by point."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from scipy.special import ellipeinc

from recon.curves.files.curve import Curve, ellipse, from_json, line, to_json
from recon.data.scene import Camera
from recon.geometry import Similarity, look_at

QUICK = settings(max_examples=25, deadline=None, derandomize=True, database=None)


def numbers(low: float, high: float) -> st.SearchStrategy[float]:
    return st.floats(low, high, allow_nan=False, allow_subnormal=False)


def vectors(size: float) -> st.SearchStrategy[np.ndarray]:
    return st.tuples(*[numbers(-size, size)] * 3).map(np.array)


@st.composite
def rotations(draw) -> np.ndarray:
    return Rotation.from_euler("zyx", draw(vectors(math.pi))).as_matrix()


@st.composite
def similarities(draw) -> Similarity:
    return Similarity(draw(numbers(0.01, 100.0)), draw(rotations()), draw(vectors(100.0)))


@st.composite
def cameras(draw) -> Camera:
    width, height = draw(st.integers(2, 4000)), draw(st.integers(2, 4000))
    fx, fy = (draw(numbers(0.5, 4.0)) * max(width, height) for _ in range(2))
    cx, cy = draw(numbers(-0.25, 1.25)) * width, draw(numbers(-0.25, 1.25)) * height
    return Camera(width, height, fx, fy, cx, cy, np.column_stack([draw(rotations()), draw(vectors(50.0))]))


@st.composite
def conics(draw) -> tuple[Curve, np.ndarray, np.ndarray, tuple[float, float], tuple[float, float]]:
    """An arc, a circle or an ellipse, with the centre, the axes [2, 3], the radii and the angles that it was made of."""
    center, axes, circular = draw(vectors(20.0)), draw(rotations())[:2], draw(st.booleans())
    radii = (draw(numbers(0.05, 10.0)), draw(numbers(0.05, 10.0)))
    radii = (radii[0], radii[0]) if circular else radii
    start = draw(numbers(-7.0, 7.0))
    angles = (start, start + draw(st.one_of(numbers(0.1, 6.0), st.just(2 * math.pi))))
    return ellipse(center, *axes, radii, angles, circular, vertices=None), center, axes, radii, angles


POINTS = np.random.default_rng(0).normal(size=(9, 3)) * 5.0


@QUICK
@given(similarities(), similarities())
def test_similarities_are_their_matrices(outer: Similarity, inner: Similarity):
    """Applied, inverted, written down and composed, against 4 x 4 matrices and their inverse."""

    def by(matrix: np.ndarray) -> np.ndarray:
        return (matrix @ np.column_stack([POINTS, np.ones(len(POINTS))]).T).T[:, :3]

    size = 1.0 + np.abs(by(outer.matrix() @ inner.matrix())).max()
    np.testing.assert_allclose(outer.apply(inner.apply(POINTS)), by(outer.matrix() @ inner.matrix()), atol=1e-12 * size)
    np.testing.assert_allclose(inner.inverse().matrix(), np.linalg.inv(inner.matrix()), atol=1e-10 / min(inner.scale, 1.0))
    again = Similarity.from_json(json.loads(json.dumps(inner.to_json())))
    np.testing.assert_array_equal(again.matrix(), inner.matrix())
    np.testing.assert_allclose(np.linalg.norm(inner.rotate(POINTS), axis=1), np.linalg.norm(POINTS, axis=1), rtol=1e-12)


@QUICK
@given(cameras(), similarities())
def test_pictures_do_not_change_with_the_frame(camera: Camera, target_from_source: Similarity):
    """A camera and points moved together show the same pixels, at depths that have grown by the scale."""
    pixels = np.array([[0.5, 0.5], [0.0, camera.height], [camera.width / 3, camera.height / 2]])
    origins, directions = camera.rays(pixels)
    points = origins + np.array([[0.5], [3.0], [40.0]]) * directions
    uv, depth = camera.project(points)
    np.testing.assert_allclose(uv, pixels, atol=1e-8 * max(camera.width, camera.height))
    moved = replace(camera, world_from_camera=target_from_source.apply_to_pose(camera.world_from_camera))
    uv_there, depth_there = moved.project(target_from_source.apply(points))
    np.testing.assert_allclose(uv_there, uv, atol=1e-6 * max(camera.width, camera.height))
    np.testing.assert_allclose(depth_there, target_from_source.scale * depth, rtol=1e-6)


@QUICK
@given(cameras(), vectors(50.0))
def test_projection_is_the_pinhole_formula(camera: Camera, point: np.ndarray):
    """``K [R | t] X`` in homogeneous coordinates; and a resampled picture shows the same share of its width and height."""
    world_from_camera = np.vstack([camera.world_from_camera, [0, 0, 0, 1]])
    k = np.array([[camera.fx, 0, camera.cx], [0, camera.fy, camera.cy], [0, 0, 1]])
    x, y, z = k @ (np.linalg.inv(world_from_camera) @ np.append(point, 1.0))[:3]
    if abs(z) < 1e-3:
        return
    uv, depth = camera.project(point)
    np.testing.assert_allclose(depth, z, atol=1e-9)
    np.testing.assert_allclose(uv, [x / z, y / z], rtol=1e-6, atol=1e-6 * max(camera.fx, camera.fy))
    small, _ = camera.resized(7, 5).project(point)
    np.testing.assert_allclose(small / [7, 5], uv / [camera.width, camera.height], rtol=1e-9, atol=1e-9)


@QUICK
@given(vectors(50.0), vectors(50.0), rotations())
def test_who_looks_at_a_point_has_it_in_the_middle(eye: np.ndarray, target: np.ndarray, frame: np.ndarray):
    up = frame[:, 0]
    away = target - eye
    if np.linalg.norm(np.cross(away, up)) < 1e-3 * max(np.linalg.norm(away), 1.0):
        return
    pose = look_at(eye, target, up)
    np.testing.assert_allclose(pose[:, :3].T @ pose[:, :3], np.eye(3), atol=1e-9)
    assert np.linalg.det(pose[:, :3]) > 0
    camera = Camera(100, 80, 90.0, 95.0, 50.0, 40.0, pose)
    uv, depth = camera.project(target)
    np.testing.assert_allclose(uv, [50.0, 40.0], atol=1e-4)
    assert depth > 0
    above, _ = camera.project(target + 1e-3 * np.linalg.norm(away) * up)
    assert above[1] < uv[1]  # rows count downwards
    assert abs(above[0] - uv[0]) < 1e-4


@QUICK
@given(conics(), similarities())
def test_conics_lie_on_their_equation_in_every_frame(made, target_from_source: Similarity):
    """Control points, exact parameters and length of a moved curve, against the parameters that it was made of, moved point by point."""
    curve, center, axes, radii, (start, end) = made
    moved, scale = curve.transformed(target_from_source), target_from_source.scale
    tolerance = 1e-9 * (1.0 + np.abs(moved.control_points).max())
    there, directions = target_from_source.apply(center), axes @ target_from_source.rotation.T
    flat = (moved.at(np.linspace(0, moved.pieces, 31)) - there) @ directions.T
    np.testing.assert_allclose(((flat / (scale * np.array(radii))) ** 2).sum(1), 1.0, atol=tolerance / (scale * min(radii)))
    for angle, point in ((start, moved.control_points[0]), (end, moved.control_points[-1])):
        on = scale * np.array([radii[0] * math.cos(angle), radii[1] * math.sin(angle)])
        np.testing.assert_allclose(point, there + on @ directions, atol=tolerance)
    p = moved.parameters
    np.testing.assert_allclose(p["center"], there, atol=tolerance)
    np.testing.assert_allclose([p["x_axis"], p["y_axis"]], directions, atol=1e-12)
    np.testing.assert_allclose(p["normal"], np.cross(*directions), atol=1e-12)
    found = [p["radius"], p["radius"]] if "radius" in p else p["radii"]
    np.testing.assert_allclose(found, scale * np.array(radii), rtol=1e-12)
    assert p["angles_rad"] == [start, end]
    # Against Legendre's incomplete integral of the second kind, which counts from the end of the short axis.
    major, minor = max(radii), min(radii)
    turn = 0.0 if radii[0] < radii[1] else math.pi / 2
    arc = major * (ellipeinc(end + turn, 1 - (minor / major) ** 2) - ellipeinc(start + turn, 1 - (minor / major) ** 2))
    assert moved.length == pytest.approx(scale * arc, rel=1e-9)


@QUICK
@given(conics(), vectors(30.0), vectors(30.0), numbers(0.05, 4.0))
def test_samples_lie_at_equal_length_and_files_keep_every_bit(made, a: np.ndarray, b: np.ndarray, share: float):
    vertices = np.stack([a, b + 100.0])
    curves = (made[0], line(*vertices, vertices=(0, 1)))
    for curve in curves:
        spacing = share * curve.length
        points, tangents = curve.sample(spacing)
        steps = np.linalg.norm(np.diff(points, axis=0), axis=1)
        assert steps.max() <= 1.01 * spacing
        np.testing.assert_allclose(points[[0, -1]], curve.control_points[[0, -1]], atol=1e-9 * (1.0 + np.abs(points).max()))
        np.testing.assert_allclose(np.linalg.norm(tangents, axis=1), 1.0, atol=1e-9)
    again_vertices, again, _ = from_json(json.loads(json.dumps(to_json(vertices, curves, (), "mm"))), "text")
    np.testing.assert_array_equal(again_vertices, vertices)
    for x, y in zip(again, curves, strict=True):
        np.testing.assert_array_equal(x.control_points, y.control_points)
        np.testing.assert_array_equal(x.weights, y.weights)
        assert (x.type, x.vertices, x.parameters) == (y.type, y.vertices, y.parameters)
