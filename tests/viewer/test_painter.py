"""What a visitor's camera sees of a sphere that is known exactly: crop, depth, modes, photographs from other places; and picking curves."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from recon.curves import Wireframe
from recon.curves.files.curve import Curve, ellipse, line
from recon.data.scene import Camera
from recon.geometry import Similarity, look_at
from recon.methods.base import Rendering
from recon.rendering.rays import Rays, camera_rays, sphere_interval
from tests.tiny import WORLD_FROM_SCENE, tiny_scene
from viewer.loop import Frame, Painting
from viewer.painter import SCENE, Crop, Look, Order, Painter, picture_size, rotation_matrix, window_camera
from viewer.picking import curve_lines, pick

BALL = 0.6
"""Radius of the tiny scene's sphere, scene units."""


class BallModel:
    """A solid ball of known colour, rendered exactly; what a method gives for it. Looks only between the rays' limits.

    Args:
        turned: Give it other colours than the photographs show.
    """

    device = torch.device("cpu")

    def __init__(self, turned: bool = False):
        self.phase = 2.0 if turned else 0.0

    def render(self, rays: Rays) -> Rendering:
        near, far = sphere_interval(rays)
        b = (rays.origins * rays.directions).sum(-1)
        square = b * b - (rays.origins**2).sum(-1) + BALL**2
        root = square.clamp_min(0).sqrt()
        enter = torch.maximum(-b - root, near)
        hit = (square > 0) & (enter < torch.minimum(-b + root, far))
        points = rays.origins + enter[:, None] * rays.directions
        rgb = torch.where(hit[:, None], 0.5 + 0.5 * torch.sin(points / BALL * 2.0 + self.phase), torch.ones(3))
        normal = torch.where(hit[:, None], points / points.norm(dim=-1, keepdim=True), torch.zeros(3))
        return Rendering(rgb, hit.float(), torch.where(hit, enter, 0.0), normal)


def painter(photographs: bool = True) -> Painter:
    made = Painter(WORLD_FROM_SCENE, tiny_scene() if photographs else None, "mm")
    made.method = BallModel()  # pyright: ignore[reportAttributeAccessIssue]  # only render is used
    return made


def window(eye=(0.0, -3.0, 0.0), width: int = 90, height: int = 60) -> Camera:
    pose = look_at(np.array(eye), np.zeros(3), np.array([0.0, 0.0, 1.0]))
    return Camera(width, height, 1.2 * height, 1.2 * height, width / 2, height / 2, pose)


def finished(painting: Painting) -> Frame:
    while True:
        try:
            next(painting)
        except StopIteration as done:
            return done.value


def paint(look: Look, camera: Camera | None = None, chunk: int = 8192, made: Painter | None = None) -> Frame:
    camera = camera or window()
    return finished((made or painter()).paint(Order(camera, look), camera.width, camera.height, chunk, "full"))


@pytest.mark.parametrize("chunk", [1, 90, 91, 1000, 10**6])
def test_bands_make_the_same_picture(chunk: int):
    whole, banded = paint(Look()), paint(Look(), chunk=chunk)
    np.testing.assert_array_equal(whole.image, banded.image)
    np.testing.assert_array_equal(whole.depth_z, banded.depth_z)


def test_progress_counts_rays():
    assert list(painter().paint(Order(window(), Look()), 90, 60, 900, "full")) == [900 * k for k in range(1, 7)]


def test_depth_is_along_the_axis():
    """Every covered pixel's depth puts it back on the ball."""
    camera = window()
    frame = paint(Look(), camera)
    assert frame.depth_z is not None
    covered = frame.depth_z < 100
    assert 0.1 < covered.mean() < 0.5
    y, x = np.nonzero(covered)
    z = frame.depth_z[covered].astype(np.float64)
    inside = np.stack([(x + 0.5 - camera.cx) / camera.fx * z, (y + 0.5 - camera.cy) / camera.fy * z, z], -1)
    points = inside @ camera.world_from_camera[:, :3].T + camera.center
    np.testing.assert_allclose(np.linalg.norm(points, axis=1), BALL, atol=1e-4)


def brute_force_limits(origin: np.ndarray, direction: np.ndarray, crop: Crop) -> tuple[float, float]:
    t = np.linspace(0, 10, 100_001)
    points = origin + t[:, None] * direction
    inside = ((points >= crop.low) & (points <= crop.high)).all(1)
    return (t[inside][0], t[inside][-1]) if inside.any() else (0.0, 0.0)


@pytest.mark.parametrize("direction", [(0, 1, 0), (0.1, 1, -0.05), (1, 0, 0), (0.3, 1, 0.2), (0, -1, 0)])
@pytest.mark.parametrize("origin", [(0.05, -3, 0.1), (0.1, 0.0, 0.05)])
def test_crop_limits_against_sampling(origin, direction):
    crop = Crop((-0.5, -0.25, -0.3), (0.2, 0.7, 0.4))
    d = np.array(direction) / np.linalg.norm(direction)
    rays = Rays(torch.tensor([origin], dtype=torch.float32), torch.tensor(d[None], dtype=torch.float32))
    near, far = crop.limits(rays)[0].tolist()
    wanted = brute_force_limits(np.array(origin, float), d, crop)
    assert (near, far) == pytest.approx(wanted, abs=2e-4)


def test_crop_cuts_the_ball():
    """From above, the half of the ball with x < 0 is left; the cut shows its inside, nearer than the ball's surface behind it."""
    camera = window()
    camera = replace(camera, world_from_camera=look_at(np.array([0.0, -0.001, 3.0]), np.zeros(3), np.array([0.0, 1.0, 0.0])))
    whole, half = paint(Look(), camera), paint(Look(crop=Crop((-1, -1, -1), (0, 1, 1))), camera)
    assert whole.depth_z is not None
    assert half.depth_z is not None
    covered, left = whole.depth_z < 100, half.depth_z < 100
    assert left.sum() == pytest.approx(0.5 * covered.sum(), rel=0.1)
    assert not (left & ~covered).any()
    sliced = paint(Look(crop=Crop((-1, -1, -1), (1, 1, 0.2))), camera)
    assert sliced.depth_z is not None
    center = sliced.depth_z[30, 45]
    assert center == pytest.approx(3.0 - 0.2, abs=2e-3)


def test_rays_keep_their_limits_when_sliced():
    rays = camera_rays(window(), SCENE)
    rays.limits = torch.arange(2 * len(rays), dtype=torch.float32).reshape(-1, 2)
    part = rays.slice(10, 20)
    assert part.limits is not None
    assert part.limits[0, 0] == 20


@pytest.mark.parametrize("mode", ["color", "depth", "normal", "opacity", "error", "photograph", "blend"])
def test_modes_differ(mode: str):
    frame = paint(Look(mode=mode))
    assert frame.image.shape == (60, 90, 3)
    others = [paint(Look(mode=m)).image for m in ("color", "depth", "opacity") if m != mode]
    assert all((frame.image != other).any() for other in others)


def test_depth_colors_follow_the_range_and_the_map():
    near = paint(Look(mode="depth", depth_range=(0.0, 100.0)))
    own = paint(Look(mode="depth"))
    gray = paint(Look(mode="depth", colors="gray"))
    assert (near.image != own.image).any()
    assert (gray.image[..., 0] == gray.image[..., 1]).all()
    # 3 units from the centre at 5 mm a unit, the ball's front is 12 mm away
    assert "12" in own.caption
    assert "mm" in own.caption


def test_error_is_nothing_at_a_photographs_own_place_and_something_beside_it():
    made = painter()
    view = tiny_scene().views[2]
    pose = WORLD_FROM_SCENE.inverse().apply_to_pose(view.camera.world_from_camera)
    there = replace(view.camera, world_from_camera=pose)
    frame = paint(Look(mode="error"), there, made=made)
    assert view.name in frame.caption
    photographs = made._photographs
    assert photographs is not None
    seen = made._view([BallModel().render(camera_rays(there, SCENE))], there)
    colors, valid = photographs.sampled(view, there, seen, WORLD_FROM_SCENE)
    assert valid.mean() > 0.9
    inside = seen.opacity > 0.5
    assert np.abs(colors - seen.rgb)[inside & valid].max() < 0.02
    made.method = BallModel(turned=True)  # pyright: ignore[reportAttributeAccessIssue]
    assert paint(Look(mode="error"), there, made=made).image.mean() > frame.image.mean() + 20


def test_photographs_agree_from_another_place():
    """Colours depend on the place on the ball alone: seen by the depth from elsewhere, a photograph shows what the field shows."""
    made = painter()
    photographs = made._photographs
    assert photographs is not None
    camera = window((0.6, -2.2, 0.7))
    seen = made._view([BallModel().render(camera_rays(camera, SCENE))], camera)
    view = photographs.nearest(camera)
    colors, valid = photographs.sampled(view, camera, seen, WORLD_FROM_SCENE)
    x, y = np.meshgrid(np.arange(90) + 0.5, np.arange(60) + 0.5)
    origins, directions = camera.rays(np.stack([x, y], -1))
    normals = (origins + seen.depth[..., None] / 5.0 * directions) / BALL
    eye = WORLD_FROM_SCENE.inverse().apply(view.camera.center)
    facing = (normals * (eye / np.linalg.norm(eye))).sum(-1) > 0.6  # what the photograph sees, away from its edge
    both = valid & facing & (seen.opacity > 0.5)
    assert both.sum() > 100
    assert np.median(np.abs(colors - seen.rgb)[both]) < 0.03


def test_without_photographs_colours_are_shown():
    frame = paint(Look(mode="error"), made=painter(photographs=False))
    np.testing.assert_array_equal(frame.image, paint(Look()).image)
    assert "not here" in frame.caption


def test_sizes_keep_the_windows_shape():
    assert picture_size(Order(window(width=1200, height=800), Look(side=600))) == (600, 400)
    assert picture_size(Order(window(width=300, height=200), Look(side=600))) == (300, 200)


def test_window_camera_matches_the_field_of_view():
    camera = window_camera(np.array([1.0, 2.0, 3.0]), np.array([1.0, 0, 0, 0]), np.pi / 2, 200, 100)
    _, directions = camera.rays(np.array([100.0, 0.0]))
    np.testing.assert_allclose(directions, np.array([0, -1, 1]) / np.sqrt(2), atol=1e-12)
    w = np.array([0.3, -0.5, 0.2, 0.7])
    rotation = rotation_matrix(w)
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(rotation_matrix(-w), rotation)


def wireframe() -> Wireframe:
    vertices = np.array([[0.0, 0, 0], [10, 0, 0], [0, 10, 0]])
    circle = ellipse((5, 5, 5), (1, 0, 0), (0, 1, 0), (2, 2), (0, 2 * np.pi), True, vertices=None)
    curves: tuple[Curve, ...] = (
        line(vertices[0], vertices[1], vertices=(0, 1)),
        line(vertices[0], vertices[2], vertices=(0, 2)),
        circle,
    )
    return Wireframe(vertices, curves, "mm")


WIRE_FROM_WORLD = Similarity(0.1, np.eye(3), np.array([-0.5, -0.5, 0.0]))


@pytest.mark.parametrize("seed", range(6))
def test_picking_against_brute_force(seed: int):
    """The curve with the smallest angle to any of many points on it."""
    rng = np.random.default_rng(seed)
    frame = wireframe()
    lines = curve_lines(frame, WIRE_FROM_WORLD)
    points, _, index = frame.samples(0.01)
    points = WIRE_FROM_WORLD.apply(points)
    for _ in range(20):
        origin = rng.normal(size=3) * 0.3 + np.array([0, 0, 3.0])
        direction = points[rng.integers(len(points))] - origin + rng.normal(size=3) * 0.02
        rays = points - origin
        cosine = rays @ direction / np.linalg.norm(rays, axis=1) / np.linalg.norm(direction)
        angle = np.arccos(np.clip(cosine, -1, 1))
        best = [angle[index == k].min() for k in range(3)]
        order = np.argsort(best)
        found = pick(lines, origin, direction)
        if best[order[0]] > np.radians(1.02):
            assert found is None
        elif best[order[0]] < np.radians(0.98) and best[order[1]] > best[order[0]] + np.radians(0.15):
            assert found == order[0]


def test_picking_prefers_the_nearer_of_two_that_cover_each_other():
    vertices = np.array([[0.0, 0, 1], [1, 0, 1], [-1, 0, 0], [2, 0, 0]])
    front = line(vertices[0], vertices[1], vertices=(0, 1))
    back = line(vertices[2], vertices[3], vertices=(2, 3))
    lines = curve_lines(Wireframe(vertices, (back, front), None), SCENE)
    assert pick(lines, np.array([0.5, 0.0, 5.0]), np.array([0.0, 0.0, -1.0])) == 1


def test_picking_nothing():
    lines = curve_lines(wireframe(), WIRE_FROM_WORLD)
    assert pick(lines, np.array([0.0, 0.0, 3.0]), np.array([0.0, 0.0, 1.0])) is None  # all curves are behind
    assert pick(curve_lines(Wireframe(np.zeros((0, 3)), ()), SCENE), np.zeros(3), np.ones(3)) is None
