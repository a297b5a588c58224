"""Solids with exact distances, rays at them, and the opacity that the Laplace density gives them."""

from __future__ import annotations

import torch
from torch import Tensor

import kernels
from recon.rendering.rays import Rays
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


def opacity_of(samples: kernels.RaySamples, rays: Rays, solid, beta: float) -> Tensor:
    density = kernels.laplace_density(solid(sample_positions(rays, samples)), torch.tensor(beta, dtype=samples.t.dtype))
    return kernels.composite(density, samples.dt, torch.zeros(len(samples), 1, dtype=samples.t.dtype), samples.offsets)[1]
