"""Samples for which the opacity error is bounded (VolSDF, section 3.3), all rays at once: for devices where turns are dear.

:func:`kernels.bounded_samples` walks along each ray and asks for a distance only where it needs one. Where it has no kernel, on a GPU, it
would be thousands of small steps in plain torch, each of which waits for the device. Here, whole rounds of intervals are looked at: one
whose bound is too large is cut in three, which needs two evaluations, as the middle third keeps its midpoint. The bound is the same; the
samples are others, and more distances are asked for.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

import kernels
from recon.rendering.rays import Rays
from recon.rendering.volume import before, sample_positions, select_samples

LOG_CAP = math.log(1e6)
"""Bounds are capped at a million: beyond 1 they only say "cut", and exp must not overflow."""


def cut_samples(
    rays: Rays,
    samples: kernels.RaySamples,
    sdf: Callable[[Tensor], Tensor],
    beta: Tensor,
    *,
    epsilon: float,
    rounds: int,
    visible: float,
    faint: float,
) -> kernels.BoundedSamples:
    """Cut intervals in three where the bound of the opacity error asks for it, then drop what cannot be seen.

    The bound is VolSDF's Theorem 2, ``max_k exp(-R(t_k)) (exp(E(t_{k+1})) - 1)``, with the midpoint rule's R and E. Theorem 1 bounds the
    density's slope by ``exp(-d* / beta) / (2 beta^2)``, d* the least distance from the interval to the surface, ``d* >= |sdf| - dt / 2``;
    a slope K makes an error of at most ``K dt^2 / 4`` at a midpoint. It holds where ``|grad sdf| <= 1``, and counts what the occupancy grid
    leaves out as empty. A device is waited for once a round, and once more.

    Args:
        rays: R rays, scene units.
        samples: Their first intervals, coarse, from the occupancy grid.
        sdf: Points [N, 3] -> signed distance [N]; called without gradients.
        beta: Scale of the Laplace density, scene units. Scalar
        epsilon: Opacity error that a ray may have.
        rounds: Cuts at most; each makes an interval a third as long.
        visible: Intervals with at most this transmittance before them are dropped.
        faint: Intervals whose opacity is below this wherever the surface may be are dropped, outside the surface.
    """
    distance = sdf(sample_positions(rays, samples))
    queries = len(samples)
    error, transmittance = _error(samples, distance, beta), _transmittance(samples, distance, beta)
    for _ in range(rounds):
        # A ray has a handful of intervals with an error worth the name, so each may have its share of epsilon.
        cut = (transmittance * torch.expm1(error.clamp_max(LOG_CAP)) > 0.25 * epsilon) & (transmittance > visible)
        which = cut.nonzero().squeeze(1)
        if not len(which):
            break
        samples, distance, fresh = _cut_in_three(samples, distance, cut, which)
        distance[fresh] = sdf(sample_positions(rays, samples, fresh))
        queries += len(fresh)
        error, transmittance = _error(samples, distance, beta), _transmittance(samples, distance, beta)
    bound = transmittance * torch.expm1((before(error, samples.offsets) + error).clamp_max(LOG_CAP))
    over = torch.zeros(samples.rays, dtype=torch.int32, device=rays.device)
    over = over.scatter_reduce(0, samples.ray_indices.long(), (bound > epsilon).int(), "amax")
    brightest = 0.5 / beta * torch.exp(-(distance - 0.5 * samples.dt).clamp_min(0.0) / beta) * samples.dt
    kept, _ = select_samples(samples, (transmittance > visible) & (brightest > faint))
    return kernels.BoundedSamples(kept, over == 0, queries)


def _error(samples: kernels.RaySamples, distance: Tensor, beta: Tensor) -> Tensor:
    """Bound of what each interval adds to the optical depth's error. [N]"""
    return samples.dt**2 / (8.0 * beta * beta) * torch.exp(-(distance.abs() - 0.5 * samples.dt).clamp_min(0.0) / beta)


def _transmittance(samples: kernels.RaySamples, distance: Tensor, beta: Tensor) -> Tensor:
    """Before each interval, by the midpoint rule. [N]"""
    return torch.exp(-before(kernels.laplace_density(distance, beta) * samples.dt, samples.offsets))


def _cut_in_three(samples: kernels.RaySamples, distance: Tensor, cut: Tensor, which: Tensor) -> tuple[kernels.RaySamples, Tensor, Tensor]:
    """The intervals, those numbered ``which`` in three parts; their distances, right in the middle parts; numbers of the others."""
    parts = torch.where(cut, 3, 1)
    ends = torch.cumsum(parts, 0)
    starts = torch.cat([ends.new_zeros(1), ends])
    size = len(samples) + 2 * len(which)
    source = torch.repeat_interleave(torch.arange(len(samples), device=cut.device), parts, output_size=size)
    divided = cut[source]
    part = torch.arange(size, device=cut.device) - starts[source] - divided.long()  # -1, 0, 1 of three; 0 of one
    length = samples.dt[source]
    length = torch.where(divided, length / 3.0, length)
    t = samples.t[source] + part * length
    first = starts[which]
    return (
        kernels.RaySamples(offsets=starts[samples.offsets], ray_indices=samples.ray_indices[source], t=t, dt=length),
        distance[source],
        torch.stack([first, first + 2], 1).flatten(),
    )
