"""From pictures with exact depth to depth maps, points, a start, evidence and ends."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from recon.config.values import ExportConfig, RunConfig, StereoConfig
from recon.console import Reporter
from recon.data.record import record_of
from recon.data.scene import Camera, Scene, View
from recon.errors import DataError
from recon.geometry import Similarity
from recon.runs import create_run
from recon.stereo.ends import ends_of
from recon.stereo.evidence import Evidence, schedule
from recon.stereo.fusion import fuse_distance, start_distance
from recon.stereo.known import evidence_of, export_points, find_depth, find_maps, start_of, wanted
from recon.stereo.match import DepthMap, match_views
from recon.stereo.points import Points, beside_jumps, fuse, read_ply, write_points
from recon.stereo.sources import choose_sources
from recon.stereo.storing import load_maps, save_maps
from recon.surface.mesh import Mesh
from recon.surface.simplify import simplify
from tests.stereo_scenes import Eye, Plane, Shot, Sphere, looking_at, shoot

SIZE, FOCAL = 96, 110.0
CENTER, SCALE = np.array([5.0, -1.0, 2.0]), 2.0
WORLD_FROM_SCENE = Similarity(SCALE, np.eye(3), CENTER)
BALL = Sphere(CENTER, 0.6 * SCALE)


def eye_at(direction: np.ndarray, size: int = SIZE, focal: float = FOCAL) -> Eye:
    return Eye(size, size, focal, looking_at(CENTER + 3.0 * SCALE * direction / np.linalg.norm(direction), CENTER))


def camera_of(eye: Eye) -> Camera:
    return Camera(eye.width, eye.height, *eye.intrinsics, eye.world_from_camera)


def scene_of(shots: list[Shot], background="unknown", masks: list[np.ndarray] | None = None) -> Scene:
    views = []
    for i, shot in enumerate(shots):
        image = np.repeat(shot.grey[..., None], 3, 2)
        if masks is not None:
            image = np.concatenate([image, masks[i][..., None]], 2)
        views.append(View(f"{i}.png", image, camera_of(shot.eye), "train"))
    return Scene("made", None, "made", tuple(views), WORLD_FROM_SCENE, background)  # type: ignore[arg-type]


def ring(count: int, arc: float, height: float = 0.5) -> list[np.ndarray]:
    angles = np.radians(np.linspace(-arc / 2, arc / 2, count, endpoint=arc < 360))
    return [np.array([np.sin(a), -height + height * (i % 2), -np.cos(a)]) for i, a in enumerate(angles)]


def exact_maps(directions: list[np.ndarray], things: list) -> list[DepthMap]:
    maps = []
    for i, direction in enumerate(directions):
        eye = eye_at(direction, 64, 74.0)
        shot = shoot(eye, things, None)
        seen = np.isfinite(shot.depth)
        depth = torch.from_numpy(np.where(seen, shot.depth, 0.0).astype(np.float32))
        normal = torch.from_numpy(np.where(seen[..., None], np.nan_to_num(shot.normal), 0.0).astype(np.float32))
        whole = torch.ones_like(depth) * (depth > 0)
        maps.append(DepthMap(i, camera_of(eye), depth, normal, whole, 0.3 * whole, (4 * whole).to(torch.uint8)))
    return maps


@pytest.fixture(scope="module")
def shots() -> list[Shot]:
    wall = Plane(CENTER + np.array([0.0, 0.0, 1.4]), np.array([0.0, 0.0, -1.0]))
    return [shoot(eye_at(d, 120, 135.0), [BALL, wall], 0.18) for d in ring(7, 80.0)]


@pytest.fixture(scope="module")
def matched(shots: list[Shot]) -> tuple[list[DepthMap], list[list[int]]]:
    return match_views(scene_of(shots), 10**7, 800, 0, lambda share, text: None)


def test_sources_stand_around_a_view_and_see_what_it_sees() -> None:
    cameras = [camera_of(eye_at(d)) for d in ring(36, 360.0, 0.0)]
    away = camera_of(Eye(SIZE, SIZE, FOCAL, looking_at(CENTER - np.array([0, 0, 6.0]), CENTER - np.array([0, 0, 20.0]))))
    chosen = choose_sources([*cameras, away], CENTER, SCALE, 4)
    assert chosen[-1] == []
    for i, sources in enumerate(chosen[:-1]):
        steps = [(j - i + 18) % 36 - 18 for j in sources]
        assert set(steps[:2]) == {-1, 1}  # 10 degrees to either side
        assert all(abs(s) <= 4 for s in steps)
        assert len(cameras) not in sources
    assert choose_sources(cameras[:1], CENTER, SCALE, 4) == [[]]


def test_depth_of_all_views_is_right_or_not_there(shots: list[Shot], matched: tuple[list[DepthMap], list[list[int]]]) -> None:
    for shot, found in zip(shots, matched[0], strict=True):
        known = found.depth.numpy() > 0
        error = np.abs(found.depth.numpy() / shot.depth - 1.0)[known]
        assert known.mean() > 0.5
        assert np.median(error) < 2e-3
        assert (error > 0.05).mean() < 0.02
        assert (found.count.numpy()[known] >= 2).all()
        assert (found.confidence.numpy()[~known] == 0).all()


def test_points_lie_on_what_was_photographed_and_come_once(shots: list[Shot], matched: tuple[list[DepthMap], list[list[int]]]) -> None:
    maps, near_views = matched
    points = fuse(maps, near_views, scene_of(shots).split("train"))
    assert len(points) < 0.5 * sum(int((m.depth > 0).sum()) for m in maps)
    position = points.position.numpy().astype(np.float64)
    off_ball = np.abs(np.linalg.norm(position - CENTER, axis=1) - BALL.radius)
    on_ball = off_ball < np.abs(position[:, 2] - CENTER[2] - 1.4)
    off = np.where(on_ball, off_ball, np.abs(position[:, 2] - CENTER[2] - 1.4))
    sure = points.confidence.numpy() > 0.3
    assert np.median(off[sure]) < 0.005 * SCALE
    assert (off[sure] > 0.05 * SCALE).mean() < 0.01
    normal = points.normal.numpy()[sure & on_ball]
    out = (position - CENTER)[sure & on_ball]
    out = out / np.linalg.norm(out, axis=1, keepdims=True)
    turned = np.degrees(np.arccos(np.clip((normal * out).sum(1), -1, 1)))[np.linalg.norm(normal, axis=1) > 0.5]
    assert np.median(turned) < 6.0  # 0 or 180 would be a sign lost


def test_the_same_maps_come_of_the_same_seed(shots: list[Shot], matched: tuple[list[DepthMap], list[list[int]]]) -> None:
    again = match_views(scene_of(shots), 10**7, 800, 0, lambda share, text: None)[0]
    assert all(torch.equal(a.depth, b.depth) for a, b in zip(again, matched[0], strict=True))


def test_a_budget_shrinks_pictures_and_masks_bound_depth(shots: list[Shot]) -> None:
    masks = [np.where(s.depth < 3.0 * SCALE, 255, 0).astype(np.uint8) for s in shots]
    maps, _ = match_views(scene_of(shots, "alpha", masks), 7 * 60 * 60, 800, 0, lambda share, text: None)
    assert {m.depth.shape for m in maps} == {(60, 60)}
    assert all(m.camera.width == 60 and m.camera.fx == 67.5 for m in maps)
    for shot, found in zip(shots, maps, strict=True):
        outside = torch.from_numpy(shot.depth.reshape(60, 2, 60, 2).min((1, 3)) > 3.2 * SCALE)
        assert not found.depth[outside].any()


def test_ignored_pixels_get_no_depth(shots: list[Shot]) -> None:
    scene = scene_of(shots)
    ignore = np.zeros(shots[0].grey.shape, bool)
    ignore[40:80, 40:80] = True
    views = (dataclasses.replace(scene.views[0], ignore=ignore), *scene.views[1:])
    maps, _ = match_views(dataclasses.replace(scene, views=views), 7 * 60 * 60, 800, 0, lambda share, text: None)
    assert not maps[0].depth[20:40, 20:40].any()
    assert (maps[0].depth > 0).float().mean() > 0.3


def test_maps_are_read_back(tmp_path, matched: tuple[list[DepthMap], list[list[int]]]) -> None:
    maps, near_views = matched
    assert load_maps(tmp_path) is None
    save_maps(tmp_path, maps, near_views, {"share": 0.5})
    found = load_maps(tmp_path)
    assert found is not None
    assert found[1] == near_views
    assert found[2]["share"] == 0.5
    for a, b in zip(maps, found[0], strict=True):
        assert torch.allclose(a.depth, b.depth, rtol=5e-5)
        assert torch.equal(a.depth > 0, b.depth > 0)
        assert torch.allclose(a.confidence, b.confidence, atol=0.002)
        assert ((a.normal * b.normal).sum(-1)[a.normal.norm(dim=-1) > 0.5] > 0.9999).all()
    (tmp_path / "000001.npz").write_bytes(b"no")
    with pytest.raises(DataError, match="000001"):
        load_maps(tmp_path)


def ball_distance(resolution: int) -> np.ndarray:
    axis = (np.arange(resolution) + 0.5) * 2 / resolution - 1
    return np.sqrt(axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2) - 0.6


def test_the_start_from_all_round_is_the_ball() -> None:
    directions = [*ring(16, 360.0), np.array([0.05, -1.0, 0.1]), np.array([0.1, 1.0, 0.05])]
    maps = exact_maps(directions, [BALL])
    distance, shares = start_distance(fuse_distance(maps, WORLD_FROM_SCENE.inverse(), 64))
    error = np.abs(distance.numpy() - ball_distance(64))
    cell = 2 / 64
    near = np.abs(ball_distance(64)) < 2 * cell
    inside_ball = ball_distance(64) < 0.3
    assert np.median(error[near]) < 0.2 * cell
    assert np.quantile(error[near], 0.99) < 0.6 * cell
    wrong = (np.sign(distance.numpy()) != np.sign(ball_distance(64))) & (np.abs(ball_distance(64)) > 0.5 * cell)
    assert wrong[inside_ball].mean() < 0.001
    assert sum(shares.values()) == pytest.approx(1.0)


def test_from_one_side_the_back_is_unknown_and_said_so() -> None:
    wall = Plane(CENTER + np.array([0.0, 0.0, 0.4]), np.array([0.0, 0.0, -1.0]))
    fused = fuse_distance(exact_maps(ring(5, 40.0), [wall]), WORLD_FROM_SCENE.inverse(), 64)
    distance, shares = start_distance(fused)
    middle = distance.numpy()[32, 32]  # along z, away from the cameras
    z = (np.arange(64) + 0.5) / 32 - 1
    assert (middle[z < 0.15] > 0).all()  # the wall is at 0.2
    assert (middle[z > 0.25] < 0).all()
    assert np.interp(0.0, -middle[28:44], z[28:44]) == pytest.approx(0.2, abs=0.005)
    assert shares["behind"] > 0.2
    assert shares["free"] > 0.2


def test_the_hull_bounds_stereo_and_fills_what_it_does_not_know() -> None:
    fused = fuse_distance(exact_maps(ring(5, 40.0), [BALL]), WORLD_FROM_SCENE.inverse(), 64)
    hull = torch.from_numpy((ball_distance(64) - 0.1).astype(np.float32))  # a ball of 0.7
    distance = start_distance(fused, hull)[0].numpy()
    assert (distance >= hull.numpy() - 1e-6).all()
    assert distance[32, 32, 12] > 0.0  # before the ball, inside the hull: stereo carves (z = -0.61)
    assert distance[32, 32, 52] < 0.0  # behind it the hull holds (z = 0.64)


def test_evidence_is_least_on_the_true_surface_and_pulls_towards_it() -> None:
    generator = torch.Generator().manual_seed(0)
    out = torch.nn.functional.normalize(torch.randn(8000, 3, generator=generator), dim=-1)
    out = out[out[:, 2] < -0.7]  # what a camera at -z sees, not too much from the side
    count = len(out)
    points = Points(
        (torch.from_numpy(CENTER) + BALL.radius * out).float(),
        out.float(),
        torch.ones(count),
        torch.full((count,), 0.004),
        torch.zeros(count, dtype=torch.int64),
        torch.full((count,), 3, dtype=torch.uint8),
        torch.zeros(count, 3, dtype=torch.uint8),
    )
    evidence = Evidence(points, (CENTER - np.array([0.0, 0.0, 6.0]))[None], WORLD_FROM_SCENE.inverse())
    assert torch.allclose(evidence.position.norm(dim=1), torch.full((count,), 0.6), atol=1e-5)

    def ball(radius: float, sign: float = 1.0):
        def field(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return sign * (x.norm(dim=1, keepdim=True) - radius), sign * torch.nn.functional.normalize(x, dim=-1)

        return field

    def total(field, share: float = 0.0) -> dict[str, float]:
        return {k: float(v) for k, v in evidence.losses(field, share, torch.Generator().manual_seed(1)).items()}

    right, small, large, flipped = total(ball(0.6)), total(ball(0.5)), total(ball(0.75)), total(ball(0.6, -1.0))
    assert right["points"] < 1e-6
    assert small["points"] == pytest.approx(0.1, rel=0.05)  # linear far away
    assert right["normals"] == pytest.approx(0.0, abs=1e-5)
    assert flipped["normals"] == pytest.approx(0.2, rel=0.05)
    assert large["free"] > 10 * right["free"]  # the front half's space before the points
    assert total(ball(0.5), 1.0)["points"] == pytest.approx(0.02 * small["points"], rel=1e-3)
    assert [schedule(s) for s in (0.0, 0.29, 0.8, 1.0)] == [1.0, 1.0, 0.02, 0.02]
    assert 0.05 < schedule(0.6) < schedule(0.4) < 1.0


def test_what_lies_beside_a_jump_of_depth_is_not_trusted() -> None:
    depth = torch.full((20, 30), 2.0)
    depth[:, 15:] = 3.0
    depth[0, 0] = 0.0
    marked = beside_jumps(depth)
    assert marked[10, 12:18].all()
    assert not marked[10, :12].any()
    assert not marked[10, 18:].any()


def run_of(tmp_path, scene: Scene):
    return create_run(tmp_path, RunConfig(stereo=StereoConfig(pixels=10**7)), record_of(scene, "scenes:made"))


def test_a_run_keeps_its_depth_and_its_surface_ends_where_it_was_seen(tmp_path, shots: list[Shot]) -> None:
    scene = scene_of(shots)
    run = run_of(tmp_path, scene)
    with Reporter(quiet=True) as reporter:
        known = find_depth(run, scene, reporter)
        assert known is not None
        again = find_depth(run, scene, reporter)  # read, not made again
        assert again is not None
        assert torch.equal(known.points.position, again.points.position)
        distance = start_of(known, scene, 32, None, reporter)
        assert export_points(run, scene, reporter) == run.exports / "points.ply"
    assert distance.shape == (32, 32, 32)
    assert distance[16, 16, 2] > 0 > distance[16, 16, 12]  # before the ball, and in it
    assert len(evidence_of(known, scene)) > 1000
    position, confidence, seen = read_ply(run.exports / "points.ply")
    assert np.array_equal(position, known.points.position.numpy())
    assert seen.min() >= 3
    assert 0 <= confidence.min() <= confidence.max() <= 1
    to_scene = scene.scene_from_world.apply_to_pose
    cameras = [dataclasses.replace(v.camera, world_from_camera=to_scene(v.camera.world_from_camera)) for v in scene.views]
    ends = ends_of(run, "auto", scene.scene_from_world, cameras)
    assert ends is not None
    assert ends.open is None  # its outline says
    ball = sphere_mesh(0.6)
    assert ends.closed_share(ball) > 0.8
    trimmed = ends.trim(ball)
    front = trimmed.vertices[:, 2] < 0
    assert front.mean() > 0.9  # the cameras look along +z
    assert 0.2 < len(trimmed.faces) / len(ball.faces) < 0.7
    assert len(simplify(trimmed, len(trimmed.faces) // 4).faces) < len(trimmed.faces) // 2  # it is a manifold with a border
    assert ends.invented(ball) == pytest.approx(1 - len(trimmed.faces) / len(ball.faces), abs=0.1)
    assert ends.invented(trimmed) == 0.0
    assert (ends.seen(trimmed.vertices) >= 3).all()
    standing = ends_of(run, "auto", scene.scene_from_world, cameras, stands=True)
    assert standing is not None
    assert standing.open is False
    closed = ends_of(run, "yes", scene.scene_from_world, cameras)
    assert closed is not None
    assert closed.open is False


def sphere_mesh(radius: float) -> Mesh:
    from skimage.measure import marching_cubes

    axis = np.linspace(-1, 1, 60)
    values = np.sqrt(axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2) - radius
    vertices, faces, _, _ = marching_cubes(values, 0.0)
    return Mesh(vertices / 59 * 2 - 1, faces.astype(np.int32))


def test_without_texture_or_partners_stereo_says_so(tmp_path, shots: list[Shot]) -> None:
    plain = [dataclasses.replace(s, grey=np.full_like(s.grey, 99)) for s in shots]
    for name, pictures in (("plain", plain), ("one", shots[:1])):
        scene = scene_of(pictures)
        run = run_of(tmp_path / name, scene)
        said: list[str] = []
        with Reporter(quiet=True) as reporter:
            reporter.say = said.append  # type: ignore[method-assign]
            assert find_depth(run, scene, reporter) is None
            assert "too little texture, or too few views" in said[0]
            assert not (run.exports / "points.ply").exists()
            with pytest.raises(DataError, match="no points"):
                export_points(run, scene, reporter)


def test_a_device_without_kernels_of_stereo_leaves_it_to_the_cpu(shots: list[Shot]) -> None:
    with Reporter(quiet=True) as reporter:
        here, there = (
            find_maps(scene_of(shots[:3]), StereoConfig(pixels=3 * 48**2), 0, reporter, torch.device(d)) for d in ("cpu", "meta")
        )
    assert all(torch.equal(a.depth, b.depth) for a, b in zip(here[0], there[0], strict=True))


def test_a_file_of_something_else_is_refused(tmp_path) -> None:
    (tmp_path / "points.ply").write_bytes(b"ply\nformat ascii 1.0\nend_header\n")
    with pytest.raises(DataError, match="not the points of a run"):
        read_ply(tmp_path / "points.ply")


def test_auto_means_where_no_outline_is_known(shots: list[Shot]) -> None:
    assert wanted(StereoConfig(), scene_of(shots))
    assert not wanted(StereoConfig(), scene_of(shots, "alpha"))
    assert wanted(StereoConfig(use="on"), scene_of(shots, "alpha"))
    assert not wanted(StereoConfig(use="off"), scene_of(shots))
    assert ExportConfig().closed == "auto"


def test_points_are_written_whole(tmp_path) -> None:
    ones = torch.ones(5)
    points = Points(torch.rand(5, 3), torch.rand(5, 3), ones, ones, ones.long(), ones.to(torch.uint8), torch.ones(5, 3, dtype=torch.uint8))
    write_points(points, tmp_path / "points.ply", "mm")
    data = (tmp_path / "points.ply").read_bytes()
    assert b"comment unit mm" in data
    assert len(data) == data.index(b"end_header\n") + 11 + 5 * (24 + 3 + 4 + 1)
