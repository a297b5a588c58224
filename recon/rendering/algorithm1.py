"""VolSDF's Algorithm 1: samples over whole rays, drawn where the opacity error is not yet bounded (Yariv et al. 2021, section 3.4)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

import kernels
from recon.rendering.hierarchical import stratified
from recon.rendering.rays import Rays

FIRST_SAMPLES = 128
"""Evenly spaced samples at the start, and samples that a round adds."""
FINAL_SAMPLES = 64
"""Samples drawn in the end from the weights."""
EXTRA_SAMPLES = 32
"""Samples taken over from those that were evaluated, so that no part of a ray is without."""
ROUNDS = 5
BISECTIONS = 10
EPSILON = 0.1


@dataclass(frozen=True)
class DrawnSamples:
    """What :func:`algorithm1` found.

    Attributes:
        t: Rising distances: the final and extra samples, and both ends. [R, FINAL_SAMPLES + EXTRA_SAMPLES + 2]
        met: Whether the bound holds for the model's own beta. [R] bool
        queries: Evaluations of the signed distance.
    """

    t: Tensor
    met: Tensor
    queries: int


@torch.no_grad()
def algorithm1(
    rays: Rays, near: Tensor, far: Tensor, sdf: Callable[[Tensor], Tensor], beta: float, generator: torch.Generator | None
) -> DrawnSamples:
    """Draw samples until the bound of the opacity error is at most ``EPSILON``, or for ``ROUNDS`` rounds.

    All constants are VolSDF's. As in its released code the upper end of the bisection is Lemma 2's for the first, even samples, and is
    kept; a ray that does not converge is sampled with the least beta for which its bound holds. Otherwise than there, a ray that has
    converged is finished, while the code goes on with all rays until the last one has; and the bound is Theorem 2's, where the code caps
    its exponential before it is multiplied with the transmittance. Where all rays converge in the same round the samples are the same.

    Args:
        rays: R rays.
        near, far: Where each begins and ends, far > near. [R]
        sdf: Points [N, 3] -> signed distance [N].
        beta: The model's.
        generator: Training: the first samples are stratified, the others random. None: evenly spaced quantiles.
    """
    count = len(rays)
    final = rays.origins.new_empty(count, FINAL_SAMPLES + EXTRA_SAMPLES)
    met = torch.zeros(count, dtype=torch.bool, device=rays.device)
    active = torch.arange(count, device=rays.device)
    t = stratified(near, far, FIRST_SAMPLES, generator)
    distance = _query(sdf, rays, active, t)
    queries = t.numel()
    upper = kernels.bound_beta(t.reshape(-1), _offsets(t), EPSILON)
    for done in range(1, ROUNDS + 1):
        upper, converged = _least_beta(distance, t, beta, upper)
        finished = converged if done < ROUNDS else torch.ones_like(converged)
        if bool(finished.any()):
            rows = active[finished]
            final[rows] = _final(t[finished], distance[finished], upper[finished], generator)
            met[rows] = converged[finished]
        going = ~finished
        if not bool(going.any()):
            break
        active, t, distance, upper = active[going], t[going], distance[going], upper[going]
        bound = kernels.opacity_error(distance.reshape(-1), t.reshape(-1), _offsets(t), upper)
        u = torch.linspace(0.0, 1.0, FIRST_SAMPLES, dtype=t.dtype, device=t.device).expand(len(active), -1).contiguous()
        fresh = kernels.sample_pdf(t.reshape(-1), bound + 1e-6, u, _offsets(t))
        at_fresh = _query(sdf, rays, active, fresh)
        queries += fresh.numel()
        t, order = torch.sort(torch.cat([t, fresh], 1), dim=1, stable=True)
        distance = torch.gather(torch.cat([distance, at_fresh], 1), 1, order)
    t = torch.sort(torch.cat([near[:, None], final, far[:, None]], 1), dim=1).values
    return DrawnSamples(t, met, queries)


def _offsets(t: Tensor) -> Tensor:
    return torch.arange(t.shape[0] + 1, device=t.device) * t.shape[1]


def _query(sdf: Callable[[Tensor], Tensor], rays: Rays, rows: Tensor, t: Tensor) -> Tensor:
    points = rays.origins[rows, None] + t[..., None] * rays.directions[rows, None]
    return sdf(points.reshape(-1, 3)).reshape(t.shape)


def _least_beta(distance: Tensor, t: Tensor, beta: float, upper: Tensor) -> tuple[Tensor, Tensor]:
    """Per ray, ``beta`` if the bound holds for it, else what bisection up to ``upper`` finds [R]; and whether it does [R]."""
    f, x, offsets = distance.reshape(-1), t.reshape(-1), _offsets(t)
    low = torch.full_like(upper, beta)
    converged = kernels.error_bound(f, x, offsets, low) <= EPSILON
    high = torch.where(converged, low, upper.maximum(low))
    for _ in range(BISECTIONS):
        middle = 0.5 * (low + high)
        good = kernels.error_bound(f, x, offsets, middle) <= EPSILON
        low, high = torch.where(good, low, middle), torch.where(good, middle, high)
    return high, converged


def _final(t: Tensor, distance: Tensor, beta: Tensor, generator: torch.Generator | None) -> Tensor:
    """Samples in proportion to the weights that ``beta`` gives, and some of those that are there. [R, FINAL + EXTRA]"""
    count, n = t.shape
    delta = torch.cat([t[:, 1:] - t[:, :-1], torch.full_like(t[:, :1], 1e10)], 1)
    density = kernels.laplace_density(distance.reshape(-1), beta.repeat_interleave(n)).reshape(count, n)
    depth = density * delta
    transmittance = torch.exp(-(torch.cumsum(depth, 1) - depth))
    weights = transmittance * (1.0 - torch.exp(-depth)) + 1e-5
    if generator is None:
        u = torch.linspace(0.0, 1.0, FINAL_SAMPLES, dtype=t.dtype, device=t.device).expand(count, -1).contiguous()
        kept = torch.linspace(0, n - 1, EXTRA_SAMPLES, device=t.device).long()
    else:
        u = torch.rand(count, FINAL_SAMPLES, generator=generator, dtype=t.dtype, device=t.device)
        kept = torch.randperm(n, generator=generator, device=t.device)[:EXTRA_SAMPLES]
    drawn = kernels.sample_pdf(t.reshape(-1), weights.reshape(-1), u, _offsets(t))
    return torch.cat([drawn, t[:, kept]], 1)
