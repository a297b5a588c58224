"""Rays of edge maps, and the grid that decodes an edge field."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from recon.curves.wireframe.edge_grid import edge_grid
from recon.rendering.edge_rays import STRONG, EdgeBank, shrunk_map
from tests.tiny_box import WORLD_FROM_SCENE, box_edges

SCENE_FROM_WORLD = WORLD_FROM_SCENE.inverse()


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize("importance", [0.0, 0.5, 1.0])
def test_a_ray_goes_through_the_pixel_it_is_compared_with(importance):
    """Rays leave a camera's centre through a pixel's centre, and carry that pixel's strength."""
    edges = box_edges(3, 20)
    rays, targets = EdgeBank(edges.views, SCENE_FROM_WORLD, 400, importance).draw(300, generator())
    origins = WORLD_FROM_SCENE.apply(rays.origins.numpy())
    ahead = WORLD_FROM_SCENE.apply((rays.origins + rays.directions).numpy())
    seen = np.zeros(300, bool)
    for view in edges.views:
        own = np.linalg.norm(origins - view.camera.center, axis=1) < 1e-4
        uv, _ = view.camera.project(ahead[own])
        column, row = np.floor(uv).astype(int).T
        np.testing.assert_allclose(uv, np.stack([column, row], -1) + 0.5, atol=1e-3)
        np.testing.assert_allclose(targets.rgb[own, 0], view.strength[row, column], atol=1e-6)
        seen |= own
    assert seen.all()


@pytest.mark.parametrize("importance", [0.0, 0.5])
def test_strong_pixels_are_drawn_as_often_as_stated(importance):
    """The share of strong pixels among draws: uniform, plus EMAP's probability in the importance half."""
    view = box_edges(1, 40).views[0]
    bank = EdgeBank([view], SCENE_FROM_WORLD, 400, importance, everywhere=True)
    strong, eta = (view.strength > STRONG).sum(), view.strength.mean()
    others = view.strength.size - strong
    p = importance * strong * (1 - eta) / (strong * (1 - eta) + others * eta)
    expected = p + (1 - p) * strong / view.strength.size
    _, targets = bank.draw(20000, generator())
    assert float((targets.rgb > STRONG).float().mean()) == pytest.approx(expected, abs=0.015)


def test_pixels_that_miss_the_sphere_are_left_out_unless_wanted():
    views = box_edges(2, 30).views
    far = WORLD_FROM_SCENE.__class__(0.5, np.eye(3), WORLD_FROM_SCENE.translation).inverse()  # a sphere smaller than the box
    assert len(EdgeBank(views, far, 400, 0.5).strength) < 0.3 * 2 * 900
    assert len(EdgeBank(views, far, 400, 0.5, everywhere=True).strength) == 2 * 900


def test_views_without_edges_are_drawn_too():
    views = list(box_edges(2, 20).views)
    object.__setattr__(views[0], "strength", np.zeros((20, 20), np.float32))
    _, targets = EdgeBank(views, SCENE_FROM_WORLD, 400, 1.0).draw(500, generator())
    assert 0.2 < float((targets.rgb == 0).float().mean()) < 0.9


@pytest.mark.parametrize(("shape", "longest", "expected"), [((40, 60), 30, (20, 30)), ((60, 40), 400, (60, 40)), ((33, 50), 25, (16, 25))])
def test_shrunk_map(shape, longest, expected):
    """Means are kept; the camera sees the same through the whole image."""
    view = box_edges(1, 60).views[0]
    camera = view.camera.resized(shape[1], shape[0])
    strength = np.random.default_rng(0).random(shape).astype(np.float32)
    small, fitted = shrunk_map(strength, camera, longest)
    assert small.shape == expected == (fitted.height, fitted.width)
    assert small.mean() == pytest.approx(strength.mean(), abs=0.01)
    point = np.array([2.1, -0.9, 0.6])
    scale = np.array([fitted.width / camera.width, fitted.height / camera.height])
    np.testing.assert_allclose(fitted.project(point)[0], camera.project(point)[0] * scale, rtol=1e-12)


@pytest.mark.parametrize("resolution", [2, 5, 9])
def test_grid_is_decoded_exactly(resolution):
    """A linear function comes back at the decoded points, both corners included (dividing a side by R instead would miss by a cell)."""
    low, high = np.array([-1.2, 0.0, 0.3]), np.array([1.2, 0.5, 1.9])
    slope = np.array([0.1, 0.3, -0.2])
    grid = edge_grid(lambda p: p @ slope + 0.4, resolution, (low, high))
    index = np.stack(np.meshgrid(*[np.arange(resolution)] * 3, indexing="ij"), -1)
    np.testing.assert_allclose(grid.points(index) @ slope + 0.4, grid.values, atol=1e-6)
    np.testing.assert_allclose(grid.points(np.zeros(3)), low)
    np.testing.assert_allclose(grid.points(np.full(3, resolution - 1)), high)
