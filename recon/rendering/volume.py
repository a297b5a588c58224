"""Volume rendering on packed samples: which samples matter, and what the rays then show."""

from __future__ import annotations

import torch
from torch import Tensor

import kernels
from recon.rendering.rays import Rays


def sample_positions(rays: Rays, samples: kernels.RaySamples, which: Tensor | None = None) -> Tensor:
    """Midpoints of the samples, or of those with the given indices, scene units. [N, 3]"""
    i, t = (samples.ray_indices, samples.t) if which is None else (samples.ray_indices[which], samples.t[which])
    return torch.addcmul(rays.origins.index_select(0, i), rays.directions.index_select(0, i), t[:, None])


def before(amounts: Tensor, offsets: Tensor) -> Tensor:
    """Sum of ``amounts`` over earlier samples of the same ray. Summed in float64: the running total spans all rays. [N] -> [N]"""
    total = torch.cumsum(amounts.double(), 0) - amounts
    counts = offsets[1:] - offsets[:-1]
    first = total[offsets[:-1].clamp_max(max(total.numel() - 1, 0))] if total.numel() else total.new_zeros(counts.shape)
    return (total - torch.repeat_interleave(first, counts, output_size=total.numel())).float()


def keep_visible(samples: kernels.RaySamples, density: Tensor, threshold: float) -> kernels.RaySamples:
    """Drop samples behind which nothing can be seen: those whose transmittance is at most ``threshold``.

    Args:
        samples: Packed samples of R rays.
        density: At the samples. [N]
        threshold: Transmittance in (0, 1).
    """
    return select_samples(samples, seen_samples(samples, density, threshold))[0]


def seen_samples(samples: kernels.RaySamples, density: Tensor, threshold: float) -> Tensor:
    """Whether the transmittance before each sample is more than ``threshold``. [N] bool"""
    return torch.exp(-before(density * samples.dt, samples.offsets)) > threshold


def select_samples(samples: kernels.RaySamples, keep: Tensor) -> tuple[kernels.RaySamples, Tensor]:
    """The samples where ``keep`` [N] is true, packed again, and their indices. A device is waited for once."""
    kept_before = torch.zeros(keep.numel() + 1, dtype=torch.int64, device=keep.device)
    torch.cumsum(keep, 0, out=kept_before[1:])
    kept = keep.nonzero().squeeze(1)
    packed = kernels.RaySamples(
        offsets=kept_before[samples.offsets], ray_indices=samples.ray_indices[kept], t=samples.t[kept], dt=samples.dt[kept]
    )
    return packed, kept
