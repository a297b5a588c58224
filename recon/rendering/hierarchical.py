"""NEF's (and NeRF's) dense samples: stratified along every ray, then more where the first ones had weight."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

import kernels
from recon.rendering.rays import Rays


def stratified(near: Tensor, far: Tensor, count: int, generator: torch.Generator | None) -> Tensor:
    """Rising distances: ``count`` evenly spaced from near to far, each moved to a random place between its neighbours' midpoints.

    Args:
        near, far: [R]
        count: Samples per ray.
        generator: Source of the moves; None leaves the samples where they are.
    Returns:
        [R, count]
    """
    share = torch.linspace(0.0, 1.0, count, dtype=near.dtype, device=near.device)
    t = near[:, None] * (1.0 - share) + far[:, None] * share
    if generator is None:
        return t
    middle = 0.5 * (t[:, 1:] + t[:, :-1])
    lower, upper = torch.cat([t[:, :1], middle], -1), torch.cat([middle, t[:, -1:]], -1)
    return lower + (upper - lower) * torch.rand(t.shape, generator=generator, dtype=t.dtype, device=t.device)


def refined(t: Tensor, weights: Tensor, count: int, generator: torch.Generator | None) -> Tensor:
    """The samples and ``count`` more, drawn between their midpoints in proportion to the weights of the inner ones, sorted.

    Args:
        t: Rising. [R, S]
        weights: Of the samples; no gradient is kept. [R, S]
        count: New samples per ray.
        generator: Source of the draws; None takes evenly spaced quantiles.
    Returns:
        [R, S + count]
    """
    rays, samples = t.shape
    middle = 0.5 * (t[:, 1:] + t[:, :-1])  # [R, S - 1]
    inner = weights.detach()[:, 1:-1] + 1e-5
    padded = torch.cat([inner, torch.zeros_like(inner[:, :1])], -1)  # the weight of a ray's last point is ignored
    if generator is None:
        u = torch.linspace(0.0, 1.0, count, dtype=t.dtype, device=t.device).expand(rays, count).contiguous()
    else:
        u = torch.rand(rays, count, generator=generator, dtype=t.dtype, device=t.device)
    offsets = torch.arange(rays + 1, device=t.device) * (samples - 1)
    fresh = kernels.sample_pdf(middle.reshape(-1), padded.reshape(-1), u, offsets)
    return torch.sort(torch.cat([t, fresh], -1), dim=-1).values


def dense_weights(density: Tensor, t: Tensor) -> Tensor:
    """Weights as NEF computes them: ``alpha = 1 - exp(-density * delta)``, ``w_i = alpha_i prod_{j<i} (1 - alpha_j + 1e-10)``.

    The last interval is 1e10 long, so that whatever light is left ends in the last sample.

    Args:
        density: [R, S]
        t: Rising distances along unit directions. [R, S]
    """
    delta = torch.cat([t[:, 1:] - t[:, :-1], torch.full_like(t[:, :1], 1e10)], -1)
    alpha = 1.0 - torch.exp(-density * delta)
    transmittance = torch.cumprod(torch.cat([torch.ones_like(alpha[:, :1]), 1.0 - alpha + 1e-10], -1), -1)[:, :-1]
    return alpha * transmittance


def query_dense(query: Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]], rays: Rays, t: Tensor) -> tuple[Tensor, Tensor]:
    """Two values [R, S] at the samples of dense rays; ``query`` takes points [N, 3], directions [R, 3] and ray numbers [N]."""
    points = rays.origins[:, None] + t[..., None] * rays.directions[:, None]
    numbers = torch.arange(t.shape[0], device=t.device).repeat_interleave(t.shape[1])
    first, second = query(points.reshape(-1, 3), rays.directions, numbers)
    return first.reshape(t.shape), second.reshape(t.shape)
