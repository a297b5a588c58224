"""Volume rendering on packed samples: which samples matter, and what the rays then show."""

from __future__ import annotations

import torch
from torch import Tensor

import kernels
from recon.rendering.rays import Rays


def sample_positions(rays: Rays, samples: kernels.RaySamples) -> Tensor:
    """Midpoints of the samples, scene units. [N, 3]"""
    i = samples.ray_indices.long()
    return rays.origins[i] + samples.t[:, None] * rays.directions[i]


def optical_depth_before(thickness: Tensor, offsets: Tensor) -> Tensor:
    """Sum of ``thickness`` over earlier samples of the same ray. Summed in float64: the running total spans all rays. [N] -> [N]"""
    total = torch.cumsum(thickness.double(), 0) - thickness
    counts = offsets[1:] - offsets[:-1]
    first = total[offsets[:-1].clamp_max(max(total.numel() - 1, 0))] if total.numel() else total.new_zeros(counts.shape)
    return (total - torch.repeat_interleave(first, counts)).float()


def keep_visible(samples: kernels.RaySamples, density: Tensor, threshold: float) -> kernels.RaySamples:
    """Drop samples behind which nothing can be seen: those whose transmittance is at most ``threshold``.

    Args:
        samples: Packed samples of R rays.
        density: At the samples. [N]
        threshold: Transmittance in (0, 1).
    """
    depth = optical_depth_before(density * samples.dt, samples.offsets)
    return select_samples(samples, torch.exp(-depth) > threshold)


def select_samples(samples: kernels.RaySamples, keep: Tensor) -> kernels.RaySamples:
    """The samples where ``keep`` is true, packed again. [N] bool"""
    kept_before = torch.zeros(keep.numel() + 1, dtype=torch.int64)
    torch.cumsum(keep, 0, out=kept_before[1:])
    return kernels.RaySamples(
        offsets=kept_before[samples.offsets], ray_indices=samples.ray_indices[keep], t=samples.t[keep], dt=samples.dt[keep]
    )
