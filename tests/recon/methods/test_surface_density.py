"""The even density against what it is made for: half of the light is left on the zero set, at every angle."""

from __future__ import annotations

import math

import pytest
import torch

import kernels
from recon.methods.surface_density import LEAST_COSINE, STRAIGHT_ON, even_density

BETA = torch.tensor([0.01], dtype=torch.float64)


def depth_to_the_plane(cosine: float, even: bool) -> float:
    """Optical depth from far outside to the zero set of a plane met at a cosine, by a midpoint rule far finer than beta."""
    direction = torch.tensor([[math.sqrt(1.0 - cosine**2), 0.0, -cosine]], dtype=torch.float64)
    dt = float(BETA) / 50
    t = (torch.arange(60_000, dtype=torch.float64) + 0.5) * dt  # before the surface
    sdf = cosine * t
    slope = torch.tensor([[0.0, 0.0, 1.7]], dtype=torch.float64).expand(len(t), 3)  # its length is no matter
    rays = torch.zeros(len(t), dtype=torch.int32)
    density = even_density(sdf, slope, direction, rays, BETA) if even else kernels.laplace_density(sdf, BETA)
    return float(density.sum() * dt)


@pytest.mark.parametrize("cosine", [0.11, 0.2, 0.3, 0.5, 0.7, STRAIGHT_ON])
def test_half_of_the_light_is_left_on_the_zero_set(cosine):
    assert math.exp(-depth_to_the_plane(cosine, even=True)) == pytest.approx(0.5, abs=1e-3)
    assert cosine > 0.6 or math.exp(-depth_to_the_plane(cosine, even=False)) < 0.45  # which VolSDF's own does not do


def test_straight_on_half_of_the_light_is_left_within_a_hundredth_of_beta():
    """Behind STRAIGHT_ON the place is inside the solid, where the length is an approximation."""
    dt = float(BETA) / 1000
    s = 0.5 - (torch.arange(600_000, dtype=torch.float64) + 0.5) * dt
    slope = torch.tensor([[0.0, 0.0, 1.0]], dtype=torch.float64).expand(len(s), 3)
    direction = torch.tensor([[0.0, 0.0, -1.0]], dtype=torch.float64)
    density = even_density(s, slope, direction, torch.zeros(len(s), dtype=torch.int32), BETA)
    half = int(torch.searchsorted(torch.cumsum(density * dt, 0), math.log(2.0)))
    assert abs(float(s[half])) < 0.01 * float(BETA)


def test_a_ray_that_only_passes_is_half_dark_near_the_outline():
    """A sphere's outline. Such a ray goes through the fog twice, in and out: ``ln 2`` beta outside if its angle counted down to nothing;
    with VolSDF's density 1.8 beta farther out than with this one."""
    radius, beta = 0.5, torch.tensor([0.001], dtype=torch.float64)
    t = torch.linspace(-0.6, 0.6, 120_001, dtype=torch.float64)
    dt = float(t[1] - t[0])
    direction = torch.tensor([[0.0, 0.0, 1.0]], dtype=torch.float64)
    rays = torch.zeros(len(t), dtype=torch.int32)

    def light(past: float, even: bool) -> float:
        points = torch.stack([torch.full_like(t, radius + past), torch.zeros_like(t), t], 1)
        norm = points.norm(dim=1)
        sdf, slope = norm - radius, points / norm[:, None]
        density = even_density(sdf, slope, direction, rays, beta) if even else kernels.laplace_density(sdf, beta)
        return math.exp(-float(density.sum()) * dt)

    def outline(even: bool) -> float:
        low, high = -5.0, 8.0
        for _ in range(30):
            middle = (low + high) / 2
            low, high = (middle, high) if light(middle * float(beta), even) < 0.5 else (low, middle)
        return low

    assert 0.0 < outline(even=True) < 2.0
    assert outline(even=False) - outline(even=True) == pytest.approx(1.8, abs=0.2)


def test_gradients_go_through_the_distance_and_beta_only():
    g = torch.Generator().manual_seed(0)
    sdf = (torch.randn(50, generator=g, dtype=torch.float64) * 0.02).requires_grad_()
    slope = torch.randn(50, 3, generator=g, dtype=torch.float64).requires_grad_()
    directions = torch.nn.functional.normalize(torch.randn(7, 3, generator=g, dtype=torch.float64), dim=-1)
    rays, beta = torch.arange(50, dtype=torch.int32) % 7, BETA.clone().requires_grad_()
    density = even_density(sdf, slope, directions, rays, beta)
    density.sum().backward()
    assert slope.grad is None
    # the same as VolSDF's at the distances moved, with the length that moves them held
    cosine = (torch.nn.functional.normalize(slope, dim=-1) * directions[rays.long()]).sum(-1).abs().clamp_min(LEAST_COSINE).detach()
    moved = (sdf.detach() + BETA * torch.log(STRAIGHT_ON / cosine)).requires_grad_()
    again = BETA.clone().requires_grad_()
    kernels.laplace_density(moved, again).sum().backward()
    assert torch.equal(sdf.grad, moved.grad)
    assert torch.equal(beta.grad, again.grad)
