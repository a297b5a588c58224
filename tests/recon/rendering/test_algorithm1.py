"""Algorithm 1 against a transcription of its pseudocode."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from recon.rendering import algorithm1 as published
from recon.rendering.algorithm1 import algorithm1
from recon.rendering.rays import Rays, sphere_interval
from tests.recon.rendering.solids import box, random_rays, sphere


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
