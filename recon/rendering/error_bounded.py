"""Samples for which the opacity error is bounded (VolSDF, section 3.3), inside occupied space, ray by ray.

VolSDF bounds the error of a quadrature of the Laplace density by the distance of each interval from the surface. Its Algorithm 1 draws
more samples from that bound, over the whole ray. Here an interval whose bound is too large is cut in three instead: that needs two
evaluations, as the middle third keeps its midpoint, no sorting, and works on intervals with gaps between them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

import kernels
from recon.rendering.rays import Rays
from recon.rendering.volume import before, sample_positions, select_samples

LOG_CAP = math.log(1e6)
"""Bounds are capped at a million: beyond 1 they only say "cut", and exp must not overflow."""


@dataclass(frozen=True)
class BoundedSamples:
    """What :func:`bounded_samples` found.

    Attributes:
        samples: Midpoints and lengths of the intervals that matter.
        met: Whether the bound of the opacity error is at most epsilon everywhere on the ray. [R] bool
        queries: Evaluations of the signed distance.
    """

    samples: kernels.RaySamples
    met: Tensor
    queries: int


def midpoint_error(sdf: Tensor, dt: Tensor, beta: float) -> Tensor:
    """Bound of the error that the midpoint rule makes on the integral of the density over an interval.

    Theorem 1 of VolSDF bounds the density's slope by ``exp(-d* / beta) / (2 beta^2)``, d* the least distance from the interval to the
    surface; with the distance at the midpoint known, ``d* >= |sdf| - dt / 2``. A slope K makes an error of at most ``K dt^2 / 4`` at a
    midpoint, half of what it makes at VolSDF's left end.

    Args:
        sdf: At the midpoints; never greater in size than the distance to the surface. [N]
        dt: Lengths. [N]
        beta: Scale of the Laplace density.
    """
    return dt * dt / (8.0 * beta * beta) * torch.exp(-(sdf.abs() - 0.5 * dt).clamp_min(0.0) / beta)


def bounded_samples(
    rays: Rays,
    samples: kernels.RaySamples,
    sdf: Callable[[Tensor], Tensor],
    beta: float,
    *,
    epsilon: float,
    rounds: int,
    visible: float,
    faint: float,
) -> BoundedSamples:
    """Cut intervals in three where the bound of the opacity error asks for it, then drop what cannot be seen.

    The bound is VolSDF's Theorem 2, ``max_k exp(-R(t_k)) (exp(E(t_{k+1})) - 1)``, with the midpoint rule's R and E
    (:func:`midpoint_error`). It holds where ``|grad sdf| <= 1``, and counts what the occupancy grid leaves out as empty.

    Args:
        rays: R rays, scene units.
        samples: Their first intervals, coarse, from the occupancy grid.
        sdf: Points [N, 3] -> signed distance [N]; called without gradients.
        beta: Scale of the Laplace density, scene units.
        epsilon: Opacity error that a ray may have.
        rounds: Cuts at most; each makes an interval a third as long.
        visible: Intervals with at most this transmittance before them are dropped.
        faint: Intervals whose opacity is below this wherever the surface may be are dropped, outside the surface.
    """
    distance = sdf(sample_positions(rays, samples))
    queries = len(samples)
    for done in range(rounds + 1):
        error = midpoint_error(distance, samples.dt, beta)
        thickness = kernels.laplace_density(distance, distance.new_tensor(beta)) * samples.dt
        transmittance = torch.exp(-before(thickness, samples.offsets))
        # A ray has a handful of intervals with an error worth the name, so each may have its share of epsilon.
        worst = transmittance * torch.expm1(error.clamp_max(LOG_CAP))
        cut = (worst > 0.25 * epsilon) & (transmittance > visible)
        if done == rounds or not bool(cut.any()):
            break
        samples, distance, fresh = _cut_in_three(samples, distance, cut)
        where = sample_positions(rays, samples, fresh)
        distance[fresh] = sdf(where)
        queries += len(where)
    bound = transmittance * torch.expm1((before(error, samples.offsets) + error).clamp_max(LOG_CAP))
    over = torch.zeros(samples.rays, dtype=torch.bool)
    over[samples.ray_indices[bound > epsilon].long()] = True
    brightest = 0.5 / beta * torch.exp(-(distance - 0.5 * samples.dt).clamp_min(0.0) / beta) * samples.dt
    keep = (transmittance > visible) & (brightest > faint)
    return BoundedSamples(select_samples(samples, keep), ~over, queries)


def _cut_in_three(samples: kernels.RaySamples, distance: Tensor, cut: Tensor) -> tuple[kernels.RaySamples, Tensor, Tensor]:
    """The intervals with those that are to be cut in three parts; their distances, right in the middle parts; indices of the others."""
    parts = torch.where(cut, 3, 1)
    ends = torch.cumsum(parts, 0)
    starts = torch.cat([ends.new_zeros(1), ends])
    source = torch.repeat_interleave(torch.arange(len(samples)), parts)
    divided = cut[source]
    part = torch.arange(source.numel()) - starts[source] - divided.long()  # -1, 0, 1 of three; 0 of one
    length = samples.dt[source]
    length = torch.where(divided, length / 3.0, length)
    t = samples.t[source] + part * length
    return (
        kernels.RaySamples(offsets=starts[samples.offsets], ray_indices=samples.ray_indices[source], t=t, dt=length),
        distance[source],
        (part != 0).nonzero().squeeze(1),
    )
