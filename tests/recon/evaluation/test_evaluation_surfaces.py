"""Surface metrics against geometry: what a shift, a wrong radius or a missing face must score."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import trimesh
from scipy.io import savemat
from scipy.spatial import KDTree

from recon.data.scene import Camera, View
from recon.errors import DataError
from recon.evaluation.dtu import DtuTruth, cull_by_masks, dtu_chamfer, grid_on_triangles, load_dtu_truth, thin
from recon.evaluation.report import to_plain
from recon.evaluation.silhouettes import silhouette, silhouette_iou
from recon.evaluation.surfaces import point_to_mesh, sample_surface, surface_metrics
from recon.geometry import Similarity
from recon.surface.mesh import Mesh, face_areas, keep_faces, transform_mesh


def from_trimesh(m: trimesh.Trimesh) -> Mesh:
    return Mesh(np.array(m.vertices, np.float64), np.array(m.faces, np.int32))


def look_at(eye, size=200, focal=300.0) -> Camera:
    eye = np.asarray(eye, np.float64)
    z = -eye / np.linalg.norm(eye)
    x = np.cross(z, [0.0, 0.0, 1.0])
    x /= np.linalg.norm(x)
    return Camera(size, size, focal, focal, size / 2, size / 2, np.stack([x, np.cross(z, x), z, eye], axis=1))


BALL = from_trimesh(trimesh.creation.icosphere(5))
BOX = from_trimesh(trimesh.creation.box((2.0, 2.0, 2.0)))
SAMPLES = 20_000


def scaled(mesh: Mesh, factor: float) -> Mesh:
    return replace(mesh, vertices=mesh.vertices * factor)


def test_truth_against_truth_is_perfect():
    m = surface_metrics(BALL, BALL, samples=SAMPLES)
    assert m.chamfer_l1 < 1e-9
    assert m.hausdorff < 1e-8
    assert m.fscore == (1.0, 1.0, 1.0)
    assert m.normal_consistency == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize("delta", [0.01, -0.02])
def test_wrong_radius(delta):
    m = surface_metrics(scaled(BALL, 1 + delta), BALL, samples=SAMPLES, thresholds=[0.5 * abs(delta), 2 * abs(delta)])
    assert m.accuracy == pytest.approx(abs(delta), rel=0.02)
    assert m.completeness == pytest.approx(abs(delta), rel=0.02)
    assert m.fscore == (0.0, 1.0)
    assert m.chamfer_percent == pytest.approx(100 * abs(delta) / BALL.diagonal(), rel=0.02)


def test_shifted_box():
    """A cube of side 2 shifted by d along x.

    The outer shifted face is at distance d. Of the inner one a point is as far as the nearest wall, at most d, which integrates to
    4 (1 - (1 - d)^3) / 3. The four other sides stick out by a strip of width d, whose distance grows from 0 to d.
    """
    d = 0.1
    shifted = replace(BOX, vertices=BOX.vertices + np.array([d, 0, 0]))
    m = surface_metrics(shifted, BOX, samples=SAMPLES)
    expected = (4 * d + 4 * (1 - (1 - d) ** 3) / 3 + 4 * d * d) / 24
    assert m.accuracy == pytest.approx(expected, rel=0.01)
    assert m.completeness == pytest.approx(expected, rel=0.01)
    assert m.hausdorff == pytest.approx(d, rel=1e-3)


def test_missing_face_costs_completeness_only():
    """Without the side x = 1, its points are as far as the nearest rim: the mean over a square of side 2 is a third."""
    on_side = (BOX.vertices[BOX.faces][:, :, 0] == 1).all(1)
    open_box = keep_faces(BOX, ~on_side)
    assert len(open_box.faces) == 10
    m = surface_metrics(open_box, BOX, samples=SAMPLES, thresholds=[1e-3])
    assert m.accuracy < 1e-9
    assert m.completeness == pytest.approx(1 / 3 / 6, rel=0.03)
    assert m.recall[0] == pytest.approx(5 / 6, abs=0.01)
    assert m.precision[0] == 1


def test_inner_surface_does_not_count_when_cameras_judge():
    inner = scaled(BALL, 0.5)
    both = Mesh(np.concatenate([BALL.vertices, inner.vertices]), np.concatenate([BALL.faces, inner.faces + len(BALL.vertices)]))
    cameras = [look_at(e) for e in [(4, 0, 0.1), (-4, 0, 0.1), (0, 4, 0.1), (0, -4, 0.1), (0.1, 0, 4), (0.1, 0, -4)]]
    assert surface_metrics(both, BALL, samples=SAMPLES).accuracy == pytest.approx(0.5 / 5, rel=0.02)
    seen = surface_metrics(both, BALL, samples=SAMPLES, cameras=cameras)
    assert seen.accuracy < 1e-9
    assert seen.completeness < 1e-9
    assert seen.visible_only
    away = cameras[0].world_from_camera * np.array([-1.0, 1, -1, 1])
    with pytest.raises(DataError):
        surface_metrics(both, BALL, samples=SAMPLES, cameras=[replace(cameras[0], world_from_camera=away)])


def test_figures_do_not_depend_on_the_frame():
    far = Similarity(1000.0, np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]]), np.array([1e6, 0, 0]))
    near = surface_metrics(scaled(BALL, 1.01), BALL, samples=5000)
    moved = surface_metrics(transform_mesh(scaled(BALL, 1.01), far), transform_mesh(BALL, far), samples=5000)
    assert moved.chamfer_l1 == pytest.approx(1000 * near.chamfer_l1, rel=1e-4)


def test_same_seed_same_figures():
    a, b = (surface_metrics(scaled(BALL, 1.01), BOX, samples=2000, seed=s) for s in (3, 3))
    assert a == b
    assert surface_metrics(scaled(BALL, 1.01), BOX, samples=2000, seed=4) != a


def test_json_says_how_it_was_measured():
    plain = to_plain(surface_metrics(BALL, BOX, samples=1000, unit="mm").to_json())
    json.dumps(plain, allow_nan=False)
    assert plain["unit"] == "mm"
    assert plain["seed"] == 0
    assert plain["samples_truth"] == 1000
    assert "mean (not the sum)" in plain["protocol"]


def test_points_are_uniform_by_area():
    mesh = Mesh(np.array([[0, 0, 0], [3, 0, 0], [0, 1, 0], [-1, 0, 0.0]]), np.array([[0, 1, 2], [0, 2, 3]]))
    points, faces = sample_surface(mesh, 40_000, np.random.default_rng(0))
    assert (faces == 0).mean() == pytest.approx(0.75, abs=1e-3)
    np.testing.assert_allclose(points[faces == 0].mean(0), [1, 1 / 3, 0], atol=0.01)


def test_point_to_mesh_against_brute_force():
    rng = np.random.default_rng(1)
    mesh = Mesh(rng.standard_normal((30, 3)), rng.integers(0, 30, (20, 3)).astype(np.int32))
    points = rng.standard_normal((50, 3))
    w = rng.dirichlet([0.3] * 3, 20_000)
    dense = np.einsum("nk,fkd->fnd", w, mesh.vertices[mesh.faces])
    brute = np.stack([KDTree(d).query(points)[0] for d in dense])
    distance, face = point_to_mesh(points, mesh)
    assert (distance <= brute.min(0) + 1e-9).all()
    np.testing.assert_allclose(distance, brute.min(0), atol=0.03)
    assert (brute[face, np.arange(50)] <= brute.min(0) + 0.03).all()


@pytest.mark.parametrize("mesh", [Mesh.empty(), Mesh(np.zeros((3, 3)), np.array([[0, 1, 2]]))])
def test_nothing_to_evaluate(mesh):
    with pytest.raises(DataError):
        surface_metrics(mesh, BALL)
    with pytest.raises(DataError):
        surface_metrics(BALL, mesh)


def disk_view(radius: float, camera: Camera, name: str = "a.png") -> View:
    """A view whose mask is the exact outline of a sphere about the origin."""
    distance = np.linalg.norm(camera.center)
    pixel_radius = camera.fx * radius / np.sqrt(distance**2 - radius**2)
    y, x = np.mgrid[: camera.height, : camera.width] + 0.5
    mask = np.hypot(x - camera.cx, y - camera.cy) <= pixel_radius
    return View(name, np.zeros((camera.height, camera.width, 3), np.uint8), camera, "test", (mask * 255).astype(np.uint8))


def test_silhouettes():
    ball = from_trimesh(trimesh.creation.icosphere(6))
    views = [disk_view(1.0, look_at((4, 1, 1)), "a"), disk_view(1.0, look_at((0, -5, 2)), "b")]
    same = silhouette_iou(ball, views)
    assert same["least"] > 0.995
    assert set(same["per_view"]) == {"a", "b"}
    # The outline's radius goes as r / sqrt(d² - r²).
    smaller = silhouette_iou(scaled(ball, 0.9), views[:1])
    d2 = 18.0
    assert smaller["mean"] == pytest.approx(0.81 / (d2 - 0.81) * (d2 - 1), abs=0.01)
    assert silhouette(Mesh.empty(), views[0].camera).sum() == 0
    with pytest.raises(DataError):
        silhouette_iou(ball, [replace(views[0], mask=None)])


def test_culling_by_masks():
    camera = look_at((4, 0, 0))
    view = disk_view(0.5, camera)
    kept = cull_by_masks(BALL, [view], 0)
    uv, _ = camera.project(kept.vertices)
    assert np.hypot(*(uv - 100).T).max() <= camera.fx * 0.5 / np.sqrt(16 - 0.25) + 1
    assert 0 < len(kept.faces) < len(BALL.faces)
    assert len(cull_by_masks(BALL, [view], 200).faces) == len(BALL.faces)


def test_thinning_is_what_one_by_one_gives():
    points = np.random.default_rng(0).random((400, 3))
    found = thin(points, 0.15, np.random.default_rng(5))
    order = np.random.default_rng(5).permutation(400)
    kept: list[np.ndarray] = []
    for p in points[order]:
        if all(np.linalg.norm(p - q) > 0.15 for q in kept):
            kept.append(p)
    np.testing.assert_array_equal(found, np.array(kept))


def test_grid_on_triangles_has_the_density():
    points = grid_on_triangles(scaled(BOX, 20), 0.2)
    assert len(points) == pytest.approx(face_areas(scaled(BOX, 20)).sum() / 0.04, rel=0.02)
    assert point_to_mesh(points, scaled(BOX, 20))[0].max() < 1e-9


@pytest.fixture(scope="module")
def dtu() -> DtuTruth:
    """A ball of 10 mm, scanned above the table z = -5."""
    points = sample_surface(scaled(BALL, 10), 60_000, np.random.default_rng(9))[0]
    return DtuTruth(24, points, np.ones((31, 31, 31), bool), np.array([[-15.0] * 3, [15.0] * 3]), 1.0, np.array([0, 0, 1.0, 5.0]))


def test_dtu_protocol(dtu):
    same, larger = (dtu_chamfer(scaled(BALL, 10 * s), dtu) for s in (1.0, 1.1))
    # Two samplings of the same surface are not at distance 0: about half the spacing of the points.
    assert same["overall"] < 0.12
    assert larger["d2s"] == pytest.approx(1.0, abs=0.05)
    assert larger["s2d"] == pytest.approx(1.0, abs=0.05)
    half = keep_faces(scaled(BALL, 10), BALL.vertices[BALL.faces].mean(1)[:, 2] < 0)
    missing = dtu_chamfer(half, dtu)
    assert missing["d2s"] < 0.12
    assert missing["s2d"] > 1.0
    with pytest.raises(DataError):
        dtu_chamfer(Mesh(BALL.vertices + 1000, BALL.faces), dtu)
    with pytest.raises(DataError):
        dtu_chamfer(Mesh.empty(), dtu)


def test_dtu_files(tmp_path, dtu):
    with pytest.raises(DataError, match="Plane24"):
        load_dtu_truth(tmp_path, 24)
    (tmp_path / "Points/stl").mkdir(parents=True)
    (tmp_path / "ObsMask").mkdir()
    trimesh.PointCloud(dtu.points).export(tmp_path / "Points/stl/stl024_total.ply")
    savemat(tmp_path / "ObsMask/ObsMask24_10.mat", {"ObsMask": dtu.observed.astype(np.uint8), "BB": dtu.box, "Res": np.array([[1.0]])})
    savemat(tmp_path / "ObsMask/Plane24.mat", {"P": dtu.plane[:, None]})
    read = load_dtu_truth(tmp_path, 24)
    np.testing.assert_allclose(read.points, dtu.points, atol=1e-5)
    assert dtu_chamfer(scaled(BALL, 10), read)["overall"] == pytest.approx(dtu_chamfer(scaled(BALL, 10), dtu)["overall"], abs=1e-3)
