"""Samples with a bounded opacity error, against analytic solids and a transcription of Algorithm 1."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

import kernels
from recon.rendering import algorithm1 as published
from recon.rendering.algorithm1 import algorithm1
from recon.rendering.error_bounded import bounded_samples, midpoint_error
from recon.rendering.occupancy import refresh_by_sdf
from recon.rendering.rays import Rays, sphere_interval
from recon.rendering.volume import sample_positions


def sphere(p: Tensor) -> Tensor:
    return p.norm(dim=-1) - 0.6


def box(p: Tensor) -> Tensor:
    q = p.abs() - torch.tensor([0.5, 0.4, 0.3], dtype=p.dtype)
    return q.clamp_min(0).norm(dim=-1) + q.amax(-1).clamp_max(0)


def two_plates(p: Tensor) -> Tensor:
    """Thin, with a gap: a ray meets up to four surfaces within a tenth of a unit."""
    plates = torch.minimum((p[:, 0] - 0.05).abs(), (p[:, 0] + 0.05).abs()) - 0.01
    return torch.maximum(plates, p.norm(dim=-1) - 0.8)


SOLIDS = [sphere, box, two_plates]


def random_rays(count: int, seed: int = 0) -> Rays:
    g = torch.Generator().manual_seed(seed)
    origins = torch.nn.functional.normalize(torch.randn(count, 3, generator=g), dim=-1) * 2.5
    aim = torch.randn(count, 3, generator=g) * 0.35
    return Rays(origins, torch.nn.functional.normalize(aim - origins, dim=-1))


def exact_opacity(rays: Rays, near: Tensor, far: Tensor, solid, beta: float, points: int = 4096) -> Tensor:
    """By a midpoint rule far finer than beta. [R]"""
    out = []
    for o, d, a, b in zip(*(x.double().split(500) for x in (rays.origins, rays.directions, near, far)), strict=True):
        dt = (b - a) / points
        t = a[:, None] + (torch.arange(points) + 0.5) * dt[:, None]
        f = solid((o[:, None] + t[..., None] * d[:, None]).reshape(-1, 3)).reshape(t.shape)
        density = torch.where(f > 0, 0.5 * torch.exp(-f.abs() / beta), 1 - 0.5 * torch.exp(-f.abs() / beta)) / beta
        out.append(1 - torch.exp(-(density.sum(1) * dt)))
    return torch.cat(out).float()


@pytest.mark.parametrize("solid", SOLIDS)
@pytest.mark.parametrize("beta", [0.003, 0.02, 0.1])
def test_no_interval_has_a_greater_error_than_its_bound(solid, beta):
    """A hundred thousand random intervals, the integral over each by 64 points."""
    g = torch.Generator().manual_seed(1)
    count = 100_000
    middle = (torch.rand(count, 3, generator=g, dtype=torch.float64) * 2 - 1) * 0.9
    direction = torch.nn.functional.normalize(torch.randn(count, 3, generator=g, dtype=torch.float64), dim=-1)
    dt = beta * torch.rand(count, generator=g, dtype=torch.float64) * 4
    steps = (torch.arange(64) + 0.5) / 64 - 0.5
    density = lambda f: torch.where(f > 0, 0.5 * torch.exp(-f.abs() / beta), 1 - 0.5 * torch.exp(-f.abs() / beta)) / beta  # noqa: E731
    exact = sum(density(solid(middle + (s * dt)[:, None] * direction)) for s in steps) / 64 * dt
    error = (exact - density(solid(middle)) * dt).abs()
    bound = midpoint_error(solid(middle), dt, beta)
    assert float((error - bound).max()) <= 2e-4 * float(bound.max())  # the 64 points' own error
    near = bound > 0.5 * bound.max()
    assert float((error[near] / bound[near]).max()) > 0.1  # and the bound is not idle


def opacity_of(samples: kernels.RaySamples, rays: Rays, solid, beta: float) -> Tensor:
    density = kernels.laplace_density(solid(sample_positions(rays, samples)), torch.tensor(beta))
    return kernels.composite(density, samples.dt, torch.zeros(len(samples), 1), samples.offsets)[1]


@pytest.mark.parametrize("solid", SOLIDS)
@pytest.mark.parametrize(("beta", "rounds"), [(0.002, 4), (0.02, 3), (0.02, 0), (0.1, 2)])
def test_rays_that_meet_the_bound_keep_it(solid, beta, rounds):
    """Opacity of the samples against the exact one, nothing left out but what is hidden; most rays meet the bound if enough is cut."""
    rays, epsilon = random_rays(4000), 0.3
    near, far = sphere_interval(rays)
    coarse = kernels.march_rays(rays.origins, rays.directions, near, far, kernels.OccupancyGrid.full(8), step=0.03)
    found = bounded_samples(rays, coarse, solid, beta, epsilon=epsilon, rounds=rounds, visible=1e-3, faint=-1.0)
    error = (opacity_of(found.samples, rays, solid, beta) - exact_opacity(rays, near, far, solid, beta)).abs()
    assert float(error[found.met].max()) <= epsilon + 2e-3
    if rounds:
        assert float(found.met.float().mean()) > 0.4
        assert float(error.mean()) < 0.01  # and mostly it is far better than what is promised


@pytest.mark.parametrize("solid", SOLIDS)
@pytest.mark.parametrize("beta", [0.002, 0.02])
def test_what_the_grid_leaves_out_is_faint(solid, beta):
    rays = random_rays(2000)
    near, far = sphere_interval(rays)
    grid = kernels.OccupancyGrid.full(64)
    refresh_by_sdf(grid, solid, beta, 0.03)
    coarse = kernels.march_rays(rays.origins, rays.directions, near, far, grid, step=0.03)
    found = bounded_samples(rays, coarse, solid, beta, epsilon=0.3, rounds=4, visible=1e-3, faint=1e-3)
    error = (opacity_of(found.samples, rays, solid, beta) - exact_opacity(rays, near, far, solid, beta)).abs()
    assert float(error.mean()) < 0.01
    assert float(error.max()) < 0.2
    assert len(found.samples) < 0.5 * 2 / 0.03 * 2000


def test_cutting_keeps_what_is_there():
    """Intervals still fill what the coarse ones filled, in order; a cut needs two evaluations for each interval cut."""
    rays = random_rays(300)
    near, far = sphere_interval(rays)
    coarse = kernels.march_rays(rays.origins, rays.directions, near, far, kernels.OccupancyGrid.full(16), step=0.05)
    asked = []

    def counted(p: Tensor) -> Tensor:
        asked.append(len(p))
        return sphere(p)

    found = bounded_samples(rays, coarse, counted, 0.005, epsilon=0.1, rounds=3, visible=-1.0, faint=-1.0)
    assert found.queries == sum(asked)
    assert found.queries == len(found.samples)  # of three parts two are new, and one was there before
    lengths = lambda s: torch.zeros(300).index_add_(0, s.ray_indices.long(), s.dt)  # noqa: E731
    torch.testing.assert_close(lengths(found.samples), lengths(coarse), atol=1e-5, rtol=1e-5)
    same_ray = found.samples.ray_indices[1:] == found.samples.ray_indices[:-1]
    gaps = found.samples.t.diff() - 0.5 * (found.samples.dt[1:] + found.samples.dt[:-1])
    assert float(gaps[same_ray].abs().max()) < 1e-5
    assert float(found.samples.dt.min()) == pytest.approx(0.05 / 27, rel=1e-4)


@pytest.mark.parametrize(
    "rays", [Rays(torch.zeros(0, 3), torch.zeros(0, 3)), Rays(torch.tensor([[3.0, 3, 3]]), torch.tensor([[1.0, 0, 0]]))]
)
def test_rays_without_samples(rays):
    none = kernels.march_rays(rays.origins, rays.directions, *sphere_interval(rays), kernels.OccupancyGrid.full(8), step=0.1)
    found = bounded_samples(rays, none, sphere, 0.01, epsilon=0.1, rounds=2, visible=1e-3, faint=1e-3)
    assert len(found.samples) == 0
    assert found.met.all()
    assert found.samples.rays == len(rays)


def transcribed(origin, direction, near: float, far: float, solid, beta0: float) -> np.ndarray:
    """Algorithm 1 for one ray as its pseudocode has it, in float64 numpy, without randomness."""

    def f(z):
        return solid(torch.from_numpy(origin + z[:, None] * direction)).numpy()

    def density(d, beta):
        return np.where(d > 0, 0.5 * np.exp(-np.abs(d) / beta), 1 - 0.5 * np.exp(-np.abs(d) / beta)) / beta

    def bounds(z, d, beta):
        a, b, c = np.diff(z), np.abs(d[:-1]), np.abs(d[1:])
        s = 0.5 * (a + b + c)
        height = 2 * np.sqrt(np.maximum(s * (s - a) * (s - b) * (s - c), 0)) / a
        star = np.where(a * a + b * b <= c * c, b, np.where(a * a + c * c <= b * b, c, np.where(b + c > a, height, 0)))
        star = np.where(np.sign(d[:-1]) * np.sign(d[1:]) == 1, star, 0)
        error = np.cumsum(a * a * np.exp(-star / beta) / (4 * beta * beta))
        depth = np.concatenate([[0], np.cumsum(a * density(d[:-1], beta))[:-1]])
        return np.minimum(np.exp(np.minimum(error - depth, math.log(1e6))) - np.exp(-depth), 1e6)

    def inverse(z, pdf, u):
        cdf = np.concatenate([[0], np.cumsum(pdf / pdf.sum())])
        return np.interp(u, cdf, z)

    z = np.linspace(near, far, 128)
    d = f(z)
    plus = math.sqrt((np.diff(z) ** 2).sum() / (4 * math.log(1.1)))
    for done in range(1, 6):
        if bounds(z, d, beta0).max() <= 0.1:
            plus = beta0
        low = beta0
        for _ in range(10 if plus > beta0 else 0):
            middle = 0.5 * (low + plus)
            low, plus = (low, middle) if bounds(z, d, middle).max() <= 0.1 else (middle, plus)
        if plus <= beta0 or done == 5:
            break
        fresh = inverse(z, bounds(z, d, plus) + 1e-6, np.linspace(0, 1, 128))
        z, d = np.concatenate([z, fresh]), np.concatenate([d, f(fresh)])
        order = np.argsort(z, kind="stable")
        z, d = z[order], d[order]
    delta = np.append(np.diff(z), 1e10)
    depth = density(d, plus) * delta
    weights = np.exp(-np.concatenate([[0], np.cumsum(depth)[:-1]])) * (1 - np.exp(-depth))
    drawn = inverse(z, weights[:-1] + 1e-5, np.linspace(0, 1, 64))
    kept = z[np.linspace(0, len(z) - 1, 32).astype(int)]
    return np.sort(np.concatenate([drawn, kept, [near, far]]))


@pytest.mark.parametrize("solid", [sphere, box])
@pytest.mark.parametrize("beta", [0.5, 0.05, 0.005])
def test_algorithm_1_equals_its_transcription(solid, beta):
    """Ray by ray: whether a ray needs no, some or all rounds, it gets the samples that it would get alone."""
    rays = random_rays(24, seed=3)
    near, far = sphere_interval(rays)
    assert bool((far > near).all())
    found = algorithm1(Rays(rays.origins.double(), rays.directions.double()), near.double(), far.double(), solid, beta, None)
    for r in range(24):
        o, d = rays.origins[r].double().numpy(), rays.directions[r].double().numpy()
        expected = transcribed(o, d, float(near[r]), float(far[r]), solid, beta)
        np.testing.assert_allclose(found.t[r].numpy(), expected, atol=2e-3)
        assert np.median(np.abs(found.t[r].numpy() - expected)) < 1e-5


def test_algorithm_1_draws_inside_the_ray_and_where_the_surface_is():
    rays = random_rays(500)
    near, far = sphere_interval(rays)
    hits = torch.nn.functional.normalize(rays.origins, dim=-1)  # straight to the centre: every ray meets the sphere at 1.9
    rays = Rays(rays.origins, -hits)
    near, far = sphere_interval(rays)
    found = algorithm1(rays, near, far, sphere, 0.01, torch.Generator().manual_seed(0))
    assert found.t.shape == (500, published.FINAL_SAMPLES + published.EXTRA_SAMPLES + 2)
    assert bool((found.t.diff(dim=1) >= 0).all())
    assert bool((found.t[:, 0] == near).all())
    assert bool((found.t[:, -1] == far).all())
    close = ((found.t - 1.9).abs() < 0.05).sum(1)
    assert int(close.min()) > 50
    assert found.queries > 500 * 128
