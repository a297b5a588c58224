"""Points, calibration and tracks on edges drawn from known curves."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial import KDTree

from recon.curves.edges2d.edges import KIND_SILHOUETTE, Edges
from recon.curves.files.curve import line
from recon.curves.wireframe.calibration import calibrate
from recon.curves.wireframe.contours import surface_radius, without_contours
from recon.curves.wireframe.edge_grid import EdgeGrid
from recon.curves.wireframe.evidence import EdgePoints, gather_evidence, judge, match, polish, project
from recon.curves.wireframe.model import Model
from recon.curves.wireframe.points import ridge_points
from recon.curves.wireframe.shapes import Shape
from recon.curves.wireframe.trace import TraceSettings, trace
from recon.geometry import Similarity
from tests.recon.curves.drawn import box_edges, cameras, circle_edge, draw, draw_contours, pixel_frame

CURVES = [*box_edges(), circle_edge()]


def seeds(frame: Similarity, count: int, noise_px: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Points beside the true curves with roughly right directions, pixels."""
    samples = [c.sample(0.01) for c in CURVES]
    points, tangents = (np.concatenate([s[i] for s in samples]) for i in (0, 1))
    chosen = rng.permutation(len(points))[:count]
    off = rng.normal(scale=noise_px, size=(len(chosen), 3))
    t = tangents[chosen] + rng.normal(scale=0.1, size=(len(chosen), 3))
    return frame.apply(points[chosen]) + off, t / np.linalg.norm(t, axis=1, keepdims=True)


def true_distance(frame: Similarity, points: np.ndarray) -> np.ndarray:
    dense = frame.apply(np.concatenate([c.sample(0.0005)[0] for c in CURVES]))
    return KDTree(dense).query(points)[0]


def test_projection_agrees_with_the_camera():
    """Pixels, depth and the flow of tangents, in a frame that is scaled, turned and moved."""
    rng = np.random.default_rng(3)
    rotation = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    rotation *= np.sign(np.linalg.det(rotation))
    frame = Similarity(7.0, rotation, np.array([0.3, -2.0, 1.0]))
    edges = draw(box_edges(), 5)
    evidence = gather_evidence(edges, frame)
    world, direction = rng.uniform(-0.5, 0.5, (20, 3)), rng.normal(size=(20, 3))
    for v, camera in enumerate(cameras(5)):
        uv, flow, z = project(evidence, frame.apply(world), frame.rotate(direction), np.full(20, v))
        expected, depth = camera.project(world)
        np.testing.assert_allclose(uv, expected, atol=1e-9)
        np.testing.assert_allclose(z, 7.0 * depth, atol=1e-9)
        ahead = camera.project(world + 1e-6 * direction)[0]
        np.testing.assert_allclose(flow, (ahead - expected) / 1e-6 / 7.0, rtol=1e-3, atol=1e-3)


def test_residuals_and_planes():
    """The residual's derivative by the point, against differences with the same match."""
    edges = draw(CURVES, 8)
    evidence, frame = pixel_frame(edges)
    points, tangents = seeds(frame, 30, 0.3, np.random.default_rng(0))
    m = match(evidence, points, tangents, 3.0)
    assert len(m.point) > 100
    for axis in range(3):
        step = np.zeros(3)
        step[axis] = 1e-5
        values = []
        for sign in (1, -1):
            uv, _, _ = project(evidence, points[m.point] + sign * step, tangents[m.point], m.view)
            values.append((evidence.normals[m.edge] * (uv - evidence.points[m.edge])).sum(1))
        np.testing.assert_allclose(m.plane[:, axis], (values[0] - values[1]) / 2e-5, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("noise_px", "within_px", "degrees"), [(0.0, 0.02, 0.5), (0.2, 0.2, 3.0)])
def test_polish_finds_the_edge(noise_px: float, within_px: float, degrees: float):
    edges = draw(CURVES, 24, noise_px)
    evidence, frame = pixel_frame(edges)
    rng = np.random.default_rng(1)
    points, tangents = seeds(frame, 300, 1.2, rng)
    before = np.median(true_distance(frame, points))
    at = polish(evidence, points, tangents)
    distance = true_distance(frame, at.points)
    assert before > 1.0
    assert np.median(distance) < within_px
    assert (at.support > 12).mean() > 0.95
    inner = at.support > 12
    dense = [(frame.apply(p), t) for p, t in (c.sample(0.002) for c in CURVES)]
    tree = KDTree(np.concatenate([d[0] for d in dense]))
    truth = np.concatenate([d[1] for d in dense])[tree.query(at.points[inner])[1]]
    cosine = np.abs((truth * at.tangents[inner]).sum(1))
    assert np.median(np.degrees(np.arccos(np.clip(cosine, -1, 1)))) < degrees


def displaced(edges: Edges, offset: tuple[float, float], outward: float) -> Edges:
    """As a detector would: everything moved by the offset, outlines further along their normals (here: every second view's, so that each
    curve is an outline in some views and not in others)."""
    views = []
    for i, v in enumerate(edges.views):
        # outwards: away from the middle of the picture
        middle = np.array([v.camera.cx, v.camera.cy])
        sign = np.where(((v.points - middle) * v.normals).sum(1) < 0, -1.0, 1.0)[:, None]
        outline = i % 2 == 0
        normals = (v.normals * sign).astype(np.float32)
        points = v.points + np.array(offset) + (outward * normals if outline else 0.0)
        kinds = np.full(len(points), KIND_SILHOUETTE if outline else v.kinds[0], np.uint8)
        views.append(replace(v, points=points.astype(np.float32), normals=normals, kinds=kinds))
    return Edges(tuple(views), "given: test", True, ())


@pytest.mark.parametrize(("offset", "outward"), [((0.0, 0.0), 0.0), ((-0.45, -0.75), 0.0), ((0.3, -0.2), 1.2)])
def test_calibration_finds_the_displacement(offset: tuple[float, float], outward: float):
    edges = displaced(draw(CURVES, 24, 0.1), offset, outward)
    evidence, frame = pixel_frame(edges)
    points, tangents = seeds(frame, 300, 0.6, np.random.default_rng(2))
    start = polish(evidence, points, tangents)
    corrected, found, at = calibrate(evidence, start[start.support >= 8])
    assert np.allclose(found.offset_px, offset, atol=0.05)
    assert found.outward_px == pytest.approx(outward, abs=0.08)
    assert np.median(true_distance(frame, at.points)) < 0.12
    assert len(corrected.points) == len(evidence.points)


def test_tracks_follow_every_curve_once():
    edges = draw(CURVES, 24, 0.1)
    evidence, frame = pixel_frame(edges)
    points, tangents = seeds(frame, 400, 0.8, np.random.default_rng(4))
    at = polish(evidence, points, tangents)
    tracks = trace(evidence, at, TraceSettings(8, 0.05))
    followed = np.concatenate([t.points for t in tracks])
    assert np.percentile(true_distance(frame, followed), 90) < 0.3
    truth = frame.apply(np.concatenate([c.sample(0.01)[0] for c in CURVES]))
    assert (KDTree(followed).query(truth)[0] < 3.0).mean() > 0.97
    assert sum(t.closed for t in tracks) == 1  # the circle
    total = sum(len(t) for t in tracks) * 1.5
    assert total < 1.25 * sum(c.length for c in CURVES) * frame.scale


def test_chance_does_not_make_tracks():
    """Edges that do not fit together: views of different scenes."""
    rng = np.random.default_rng(5)
    views = []
    for v in draw(CURVES, 24).views:
        turned = np.linalg.qr(rng.normal(size=(3, 3)))[0]
        pose = v.camera.world_from_camera.copy()
        pose[:, :3] = pose[:, :3] @ np.diag([1, -1, -1]) if rng.random() < 0.5 else pose[:, :3]
        moved = draw([line(turned @ c.control_points[0], turned @ c.control_points[-1], vertices=(0, 1)) for c in box_edges()], 1)
        views.append(replace(v, points=moved.views[0].points, normals=moved.views[0].normals, weights=moved.views[0].weights,
                             kinds=moved.views[0].kinds))  # fmt: skip
    evidence, frame = pixel_frame(Edges(tuple(views), "mixed", False, ()))
    points, tangents = seeds(frame, 300, 0.5, rng)
    tracks = trace(evidence, polish(evidence, points, tangents), TraceSettings(8, 0.05))
    assert sum(len(t) for t in tracks) * 1.5 < 0.05 * sum(c.length for c in CURVES) * frame.scale


@pytest.mark.parametrize("radius", [0.0, 0.1, 0.3])
def test_the_contour_of_a_cylinder_is_known_by_its_radius(radius: float):
    """A vertical cylinder's two outlines in every view, drawn exactly; radius 0 is a sharp edge."""
    evidence, frame = pixel_frame(draw_contours(radius, 30))
    # what a tracker would follow: a line on the cylinder, seen as outline by some views
    start = frame.apply(np.array([[radius, 0, -0.35], [radius, 0, 0.35]]))
    model = Model(start, (Shape("line", (0, 1), np.zeros(0)),))
    found = surface_radius(model, evidence)[0]
    assert found == pytest.approx(radius * frame.scale, rel=0.25, abs=2.0)


def test_contours_that_a_surface_told_can_be_left_out():
    """Only points of the kind go, view by view."""
    sharp, round_ = draw(box_edges(), 6), draw_contours(0.2, 6)
    both = [
        replace(a, **{n: np.concatenate([getattr(a, n), getattr(b, n)]) for n in ("points", "normals", "weights", "kinds")})
        for a, b in zip(sharp.views, round_.views, strict=False)
    ]
    left = without_contours(Edges(tuple(both), "surface: X", False, ()))
    for view, expected in zip(left.views, sharp.views, strict=False):
        np.testing.assert_array_equal(view.points, expected.points)
        np.testing.assert_array_equal(view.kinds, expected.kinds)


def test_ridges_of_a_sampled_field():
    """Points on the ridge of an analytic field are on its axis, far below the voxel size, with the axis' direction."""
    direction = np.array([0.6, 0.48, 0.64])
    center = np.array([0.03, -0.02, 0.01])
    axis = np.linspace(-0.5, 0.5, 50)
    p = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1) - center
    distance2 = (p**2).sum(-1) - (p @ direction) ** 2
    grid = EdgeGrid(np.exp(-distance2 / (2 * 0.04**2)).astype(np.float32), np.full(3, -0.5), np.full(3, 1 / 49))
    points, tangents, value = ridge_points(grid, 0.3)
    gap = points - center
    off = np.linalg.norm(gap - (gap @ direction)[:, None] * direction, axis=1)
    inside = (np.abs(points) < 0.42).all(1)
    assert inside.sum() > 30
    assert off[inside].max() < 0.15 / 49
    assert np.abs(tangents[inside] @ direction).min() > 0.999
    assert (np.diff(value) <= 0).all()
    assert len(ridge_points(grid, 2.0)[0]) == 0


def test_points_without_any_edge():
    evidence, _ = pixel_frame(draw(box_edges(), 4))
    far = np.full((3, 3), 300.0)
    t = np.tile([0.0, 0, 1], (3, 1))
    at = judge(evidence, far, t, 1.0)
    assert isinstance(at, EdgePoints)
    assert (at.support == 0).all()
    assert np.isinf(at.rmse_px).all()
    np.testing.assert_array_equal(polish(evidence, far, t).points, far)
