"""Where the background begins on a ray."""

from __future__ import annotations

import pytest
import torch

from recon.methods.background import leaves_sphere
from recon.rendering.rays import Rays, sphere_interval


def rays_at(distances: torch.Tensor, from_center: float) -> Rays:
    """Parallel to x, past the centre at these distances."""
    zero = torch.zeros_like(distances)
    return Rays(torch.stack([zero - from_center, distances, zero], 1), torch.tensor([[1.0, 0.0, 0.0]]).expand(len(distances), 3))


@pytest.mark.parametrize("from_center", [0.0, 0.7, 3.0, 40.0])
def test_rays_that_meet_the_sphere_begin_where_they_leave_it(from_center):
    rays = rays_at(torch.linspace(-0.999, 0.999, 101, dtype=torch.float64), from_center)
    torch.testing.assert_close(leaves_sphere(rays), sphere_interval(rays)[1])


def test_others_begin_before_they_are_nearest_and_never_behind_the_camera():
    distances = torch.tensor([1.25, 2.0, 5.0], dtype=torch.float64)
    expected = torch.tensor([3.0 - 0.75, 3.0 - 3.0**0.5, 0.0], dtype=torch.float64)
    torch.testing.assert_close(leaves_sphere(rays_at(distances, 3.0)), expected)
    looking_away = rays_at(distances, -3.0)
    assert (leaves_sphere(looking_away) == 0).all()


def test_there_is_no_step_at_the_outline():
    """The start goes like the root of the distance from the outline, on both sides: within 1e-6 of it, within 2e-3 of its place."""
    rays = rays_at(torch.tensor([1.0 - 1e-6, 1.0, 1.0 + 1e-6], dtype=torch.float64), 3.0)
    assert float((leaves_sphere(rays) - 3.0).abs().max()) < 2e-3
