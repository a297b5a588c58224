"""Where the background begins on a ray."""

from __future__ import annotations

import pytest
import torch

import kernels
from recon.config.values import BackgroundConfig
from recon.methods.background import Background, contract, leaves_sphere
from recon.rendering.directions import spherical_harmonics
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


@pytest.mark.parametrize("haze", [-6.0, 0.0, 2.0])
def test_a_picture_in_rounds_is_the_sum_over_all_samples(haze):
    """Nothing that is left out weighs half a step of eight bits: thin haze, half opaque, opaque after a few samples."""
    generator = torch.Generator().manual_seed(3)
    background = Background(BackgroundConfig(levels=4, log2_table_size=12, finest_resolution=64), generator).requires_grad_(False)
    for group in background.parameter_groups():
        group.tensor.normal_(0.0, 0.5, generator=generator)
    values = background.model.field.values
    background.model.field.values = lambda points: values(points) + torch.tensor([haze] + [0.0] * 15)
    kernels.update_occupancy(background.grid, torch.ones(1, background.grid.cells), 0.5)
    origins = torch.randn(300, 3, generator=generator) * 2.0
    rays = Rays(origins, torch.nn.functional.normalize(torch.randn(300, 3, generator=generator), dim=-1))
    t, dt = background._places(rays, torch.full((300, 1), 0.5))
    points = contract((rays.origins[:, None] + t[..., None] * rays.directions[:, None]).reshape(-1, 3))
    density, rgb = background.model(points, spherical_harmonics(rays.directions).repeat_interleave(t.shape[1], 0))
    depth = density.view_as(dt) * dt
    reached = torch.nn.functional.pad(depth, (1, 0)).cumsum(1)[:, :-1]
    weight = torch.exp(-reached) * (1.0 - torch.exp(-depth))
    whole = (weight[..., None] * rgb.view(*dt.shape, 3)).sum(1)
    color, evaluated = background.render(rays)
    assert float((color - whole).abs().max()) < 0.6 / 255
    assert evaluated <= t.numel()
    if haze == 2.0:
        assert evaluated < 0.7 * t.numel()
