"""Samples found in rounds, for all rays at once, against analytic solids."""

from __future__ import annotations

import pytest
import torch

import kernels
from recon.rendering.cutting import cut_samples
from recon.rendering.rays import Rays, sphere_interval
from recon.rendering.volume import sample_positions
from tests.recon.rendering.solids import SOLIDS, exact_opacity, random_rays, sphere

FULL = kernels.OccupancyGrid.full(16)


def coarse(rays: Rays, step: float) -> kernels.RaySamples:
    return kernels.march_rays(rays.origins, rays.directions, *sphere_interval(rays), FULL, step=step)


@pytest.mark.parametrize("solid", SOLIDS)
@pytest.mark.parametrize(("beta", "rounds"), [(0.002, 4), (0.02, 3), (0.02, 0), (0.1, 2)])
def test_rays_that_meet_the_bound_keep_it(solid, beta: float, rounds: int):
    """Opacity of the samples against the exact one, nothing left out but what is hidden; most rays meet the bound if enough is cut."""
    rays, epsilon, scale = random_rays(1000), 0.3, torch.tensor(beta)
    found = cut_samples(rays, coarse(rays, 0.03), solid, scale, epsilon=epsilon, rounds=rounds, visible=1e-3, faint=-1.0)
    density = kernels.laplace_density(solid(sample_positions(rays, found.samples)), scale)
    opacity = kernels.composite(density, found.samples.dt, torch.zeros(len(found.samples), 1), found.samples.offsets)[1]
    error = (opacity - exact_opacity(rays, *sphere_interval(rays), solid, beta)).abs()
    assert float(error[found.met].max()) <= epsilon + 2e-3
    if rounds:
        assert float(found.met.float().mean()) > 0.4
        assert float(error.mean()) < 0.01  # and mostly it is far better than what is promised


def test_cutting_keeps_what_is_there():
    """Intervals still fill what the coarse ones filled, in order; a cut needs two evaluations for each interval cut."""
    rays, asked = random_rays(300), []
    first = coarse(rays, 0.05)

    def counted(p: torch.Tensor) -> torch.Tensor:
        asked.append(len(p))
        return sphere(p)

    found = cut_samples(rays, first, counted, torch.tensor(0.005), epsilon=0.1, rounds=3, visible=-1.0, faint=-1.0)
    assert found.queries == sum(asked)
    assert found.queries == len(found.samples)  # of three parts two are new, and one was there before
    lengths = [torch.zeros(300).index_add_(0, s.ray_indices.long(), s.dt) for s in (found.samples, first)]
    torch.testing.assert_close(*lengths, atol=1e-5, rtol=1e-5)
    same_ray = found.samples.ray_indices[1:] == found.samples.ray_indices[:-1]
    gaps = found.samples.t.diff() - 0.5 * (found.samples.dt[1:] + found.samples.dt[:-1])
    assert float(gaps[same_ray].abs().max()) < 1e-5
    assert float(found.samples.dt.min()) == pytest.approx(0.05 / 27, rel=1e-4)


def test_rays_without_samples():
    rays = Rays(torch.tensor([[3.0, 3, 3]]), torch.tensor([[1.0, 0, 0]]))
    found = cut_samples(rays, coarse(rays, 0.1), sphere, torch.tensor(0.01), epsilon=0.1, rounds=2, visible=1e-3, faint=1e-3)
    assert (len(found.samples), found.samples.rays, bool(found.met.all())) == (0, 1, True)
