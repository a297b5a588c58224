"""Cells that silhouettes say are empty: never one that holds a part of the object, and nearly all others that some photograph shows."""

from pathlib import Path

import numpy as np
import pytest
import torch

import kernels
from recon.config.values import MLPConfig, RunConfig, TrainConfig, VolSDFConfig
from recon.data.scene import Camera, Scene, View
from recon.geometry import Similarity, look_at
from recon.model import build_method
from recon.rendering.hull import empty_cells, hull_distance, seen_from_around
from recon.rendering.rays import PixelBank

RADIUS, TUBE = 0.6, 0.15
WORLD = Similarity(20.0, np.eye(3), np.array([3.0, -7.0, 11.0]))


def ring(points: np.ndarray) -> np.ndarray:
    """Signed distance to a torus about z, scene units."""
    aside = np.linalg.norm(points[..., :2], axis=-1) - RADIUS
    return np.hypot(aside, points[..., 2]) - TUBE


def view(eye: np.ndarray, index: int, size=96, kind="alpha") -> View:
    """A picture of the torus whose pixels' alpha is 255 where the ray through the centre, or near it, meets the torus."""
    pose = look_at(WORLD.apply(eye), WORLD.apply(np.zeros(3)), np.array([0.0, 0.0, 1.0]))
    camera = Camera(size + 13, size, 1.4 * size, 1.5 * size, size / 2 + 4, size / 2 - 3, pose)
    rows, columns = np.mgrid[: camera.height, : camera.width]
    hit = np.zeros(rows.shape, bool)
    for du in (0.02, 0.5, 0.98):
        for dv in (0.02, 0.5, 0.98):
            o, d = camera.rays(np.stack([columns + du, rows + dv], -1))
            o, d = WORLD.inverse().apply(o), d
            t = np.full(rows.shape, 0.5)
            for _ in range(60):
                t += ring(o + t[..., None] * d)
            hit |= ring(o + t[..., None] * d) < 2e-3
    silhouette = np.where(hit, 255, 0).astype(np.uint8)
    image = np.full((*hit.shape, 3), 200, np.uint8)
    if kind == "alpha":
        return View(f"{index}.png", np.concatenate([image, silhouette[..., None]], -1), camera, "train")
    return View(f"{index}.png", image, camera, "train", mask=silhouette)


def scene(kind="alpha", count=16) -> Scene:
    angles = np.arange(count) * 2.4
    heights = np.linspace(-0.9, 0.9, count)
    eyes = 3.0 * np.stack([np.sqrt(1 - heights**2) * np.cos(angles), np.sqrt(1 - heights**2) * np.sin(angles), heights], -1)
    views = tuple(view(eye, i, kind=kind) for i, eye in enumerate(eyes))
    return Scene("ring", Path(), "made", views, WORLD, kind)


@pytest.fixture(scope="module")
def pictures() -> dict[str, Scene]:
    return {kind: scene(kind) for kind in ("alpha", "masks")}


def cells(resolution: int) -> tuple[np.ndarray, float]:
    """Distance of the torus from each cell's centre, and half a cell's diagonal."""
    return ring(kernels.OccupancyGrid.empty(resolution).cell_centers().double().numpy()), np.sqrt(3.0) / resolution


@pytest.mark.parametrize("kind", ["alpha", "masks"])
@pytest.mark.parametrize("resolution", [16, 64])
def test_no_cell_with_a_part_of_the_object_is_empty(pictures, kind, resolution):
    found = empty_cells(pictures[kind], resolution)
    assert found is not None
    centers = kernels.OccupancyGrid.empty(resolution).cell_centers().double().numpy()
    rng = np.random.default_rng(0)
    for _ in range(20):  # points in the cells, corners included
        inside = centers + (rng.integers(0, 3, centers.shape) - 1) / resolution
        assert not found.numpy()[ring(inside) < 0].any()


def test_what_photographs_show_as_empty_is_found(pictures):
    found = empty_cells(pictures["alpha"], 64)
    assert found is not None
    distance, half = cells(64)
    assert found.numpy()[distance > 0.1 + half].mean() > 0.97
    hole = np.linalg.norm(kernels.OccupancyGrid.empty(64).cell_centers().numpy(), axis=1) < 0.2
    assert found.numpy()[hole].all()


def test_a_wrong_mask_empties_nothing_but_alpha_is_believed(pictures):
    for kind, expected in (("masks", False), ("alpha", True)):
        views = list(pictures[kind].views)
        wrong = views[3]
        blank = np.zeros_like(wrong.image[..., 0])
        views[3] = View(
            wrong.name,
            wrong.image if kind == "masks" else np.concatenate([wrong.image[..., :3], blank[..., None]], -1),
            wrong.camera,
            "train",
            mask=blank if kind == "masks" else None,
        )
        found = empty_cells(Scene("ring", Path(), "made", tuple(views), WORLD, kind), 32)
        assert found is not None
        distance, half = cells(32)
        assert bool(found.numpy()[distance < -half].any()) == expected


def test_held_out_views_and_other_backgrounds_say_nothing(pictures):
    views = pictures["alpha"].views
    held_out = tuple(View(v.name, v.image, v.camera, "test") for v in views[1:])
    some, one = (Scene("ring", Path(), "made", v, WORLD, "alpha") for v in (views[:1] + held_out, views[:1]))
    a, b = empty_cells(some, 16), empty_cells(one, 16)
    assert a is not None
    assert b is not None
    assert torch.equal(a, b)
    assert empty_cells(Scene("ring", Path(), "made", views, WORLD, "unknown"), 16) is None
    assert empty_cells(Scene("ring", Path(), "made", views, WORLD, (1.0, 1.0, 1.0)), 16) is None


def test_nothing_is_sampled_there_and_the_surface_is_pushed_out(pictures):
    config = RunConfig(train=TrainConfig(occupancy_resolution=32), volsdf=VolSDFConfig(init_radius=0.5))
    method = build_method(config, "alpha")
    known = empty_cells(pictures["alpha"], 32)
    assert known is not None
    method.keep_empty(known)
    method.set_progress(0.0)
    generator = torch.Generator().manual_seed(0)
    method.refresh_occupancy(0, generator)
    assert not (method.grid.occupied()[0] & known).any()
    assert (method.wrong_cells & known).any()
    assert not (method.wrong_cells & ~known).any()
    centers = method.grid.cell_centers(method.wrong_cells.nonzero().squeeze(1))
    assert (method.sdf(centers).detach() < np.sqrt(3.0) / 32).all()

    rays, targets = PixelBank(pictures["alpha"]).draw(512, generator)
    losses = method.losses(rays, targets, generator)
    assert losses.terms["free_space"] > 0.0
    before = method.sdf(centers).detach().mean()
    optimizer = torch.optim.Adam(method.parameters(), 1e-3)
    for _ in range(30):
        method.losses(rays, targets, generator).total.backward()
        optimizer.step()
        optimizer.zero_grad()
    assert method.sdf(centers).detach().mean() > before + 0.02


def test_distance_to_the_hull_is_that_of_the_object_within_the_silhouettes_and_cells(pictures):
    empty = empty_cells(pictures["alpha"], 64)
    assert empty is not None
    distance = hull_distance(empty, 0.95)
    assert distance is not None
    axis = (torch.arange(64) + 0.5) / 32 - 1.0
    true = ring(torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), -1).numpy())
    cell = 2.0 / 64
    assert (distance.numpy() < true + cell).all()  # the hull holds the object
    outside = (true > 0) & (np.linalg.norm(np.stack(np.meshgrid(axis, axis, axis, indexing="ij")), axis=0) < 0.95)
    assert np.abs(distance.numpy() - true)[outside].mean() < 3.0 * cell  # few and small pictures
    ball = hull_distance(torch.zeros(64**3, dtype=torch.bool), 0.5)  # nothing is known
    assert ball is not None
    assert float(ball[32, 32, 32]) == pytest.approx(-0.5, abs=0.07)
    assert float(ball[32, 32, 0]) == pytest.approx(0.5, abs=0.07)
    assert hull_distance(torch.ones(32**3, dtype=torch.bool), 0.5) is None


@pytest.mark.parametrize(("field", "overlap"), [("hashgrid", 0.9), ("neurbf", 0.9), ("rbfnet", 0.85), ("mlp", 0.9)])
def test_a_field_starts_as_the_hull(field, overlap):
    axes = torch.tensor([0.7, 0.4, 0.2])  # an ellipsoid: the order of the axes must be right
    axis = (torch.arange(32) + 0.5) / 16 - 1.0
    grid = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), -1)
    distance = ((grid / axes).norm(dim=-1) - 1.0) * 0.3
    small = MLPConfig(width=64, depth=4, skip=2)
    method = build_method(RunConfig(field=field, mlp=small, train=TrainConfig(occupancy_resolution=32)), "alpha")
    method.start_from(distance, 1e-3 if field == "mlp" else 1e-2, seed=0)
    found = method.sdf(grid.reshape(-1, 3)).detach().reshape(distance.shape)
    assert float((found - distance).abs().mean()) < 0.03
    inside = distance < 0
    assert float(((found < 0) & inside).sum() / ((found < 0) | inside).sum()) > overlap
    assert all(p.grad is None or not p.grad.any() for p in method.parameters())


def test_cameras_on_one_side_are_told_from_cameras_around(pictures):
    assert seen_from_around(pictures["alpha"])
    above = tuple(v for v in pictures["alpha"].views if WORLD.inverse().apply(v.camera.center)[2] > 1.8)
    assert len(above) > 2
    assert not seen_from_around(Scene("ring", Path(), "made", above, WORLD, "alpha"))
