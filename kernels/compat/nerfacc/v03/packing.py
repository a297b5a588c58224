"""Packed data: samples of all rays one after another."""

from __future__ import annotations

import torch
from torch import Tensor

from .. import segments
from ..scans import exclusive_sum


def pack_data(data: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """[R, n, D] where ``mask`` [R, n]: the values [N, D], and start and number per ray, int32 [R, 2]."""
    if data.ndim != 3 or mask.shape != data.shape[:2] or mask.dtype != torch.bool:
        raise ValueError(f"data must be [R, n, D] and mask bool [R, n], not {list(data.shape)} and {mask.dtype} {list(mask.shape)}")
    counts = mask.sum(-1)
    return data[mask], torch.stack([counts.cumsum(0) - counts, counts], -1).int()


def pack_info(ray_indices: Tensor, n_rays: int | None = None) -> Tensor:
    """Start and number of the samples of each ray, int32 [R, 2]."""
    return segments.pack_info(ray_indices, n_rays).int()


@torch.no_grad()
def unpack_info(packed_info: Tensor, n_samples: int | None = None) -> Tensor:
    """The ray of each sample, int64 [N]."""
    return torch.repeat_interleave(torch.arange(len(packed_info), device=packed_info.device), packed_info[:, 1].long())


def unpack_to_ray_indices(packed_info: Tensor, n_samples: int | None = None) -> Tensor:
    """Older name of :func:`unpack_info`."""
    return unpack_info(packed_info, n_samples)


def unpack_data(packed_info: Tensor, data: Tensor, n_samples: int | None = None) -> Tensor:
    """[N, D] to [R, n, D], zeros behind the last sample of a ray; differentiable. ``n_samples``: n, by default that of the longest."""
    if n_samples is None:
        n_samples = int(packed_info[:, 1].max()) if len(packed_info) else 0
    place = torch.arange(n_samples, device=data.device)
    there = place[None] < packed_info[:, 1:]
    rows = (packed_info[:, :1] + place[None])[there].long()
    return data.new_zeros(len(packed_info), n_samples, data.shape[1]).masked_scatter(there[..., None], data[rows])


def ray_resampling(packed_info: Tensor, t_starts: Tensor, t_ends: Tensor, weights: Tensor, n_samples: int) -> tuple[Tensor, Tensor, Tensor]:
    """New intervals whose edges lie at equal shares of the weights: ``(k + 1/2) / (n + 1)`` of their sum, k from 0 to n.

    Args:
        packed_info: [R, 2].
        t_starts, t_ends: [N, 1].
        weights: [N] or [N, 1].
        n_samples: Intervals per ray; a ray without samples gets none.
    Returns:
        Packed information int32 [R, 2], starts [M, 1], ends [M, 1].
    """
    starts, counts = (c.long() for c in packed_info.unbind(-1))
    with torch.no_grad():
        w = weights.reshape(-1).double()
        rays = unpack_info(packed_info)
        totals = torch.zeros(len(counts), dtype=w.dtype, device=w.device).index_add_(0, rays, w)
        w = w + ((1e-5 - totals).clamp_min(0) / counts.clamp_min(1))[rays]
        cdf = segments.scan(starts, counts, w, False, False, False)
        new_counts = n_samples * (counts > 0)
        filled = torch.nonzero(counts > 0)[:, 0]
        last = starts[filled] + counts[filled] - 1
        u = (torch.arange(n_samples + 1, device=w.device) + 0.5) / (n_samples + 1) * cdf[last][:, None]
        row = torch.arange(len(filled), device=w.device)[:, None].expand_as(u).reshape(-1)
        at = segments.upper_bound(u.reshape(-1), row, cdf, starts[filled], last)
        share = ((u.reshape(-1) - (cdf[at] - w[at])) / w[at].clamp_min(1e-30)).clamp(0, 1).to(t_starts.dtype)
        edges = (t_starts[at, 0] + share * (t_ends[at, 0] - t_starts[at, 0])).view(-1, n_samples + 1)
    info = torch.stack([new_counts.cumsum(0) - new_counts, new_counts], -1).int()
    return info, edges[:, :-1].reshape(-1, 1), edges[:, 1:].reshape(-1, 1)


def distortion(packed_info: Tensor, weights: Tensor, t_starts: Tensor, t_ends: Tensor) -> Tensor:
    """Distortion per ray [R] (Barron et al. 2022, equation 15) of weights [N] and intervals [N, 1]."""
    starts, counts = packed_info.unbind(-1)
    packed = torch.stack([starts, counts], -1)
    w, t0, t1 = weights.reshape(-1), t_starts[:, 0], t_ends[:, 0]
    middle = 0.5 * (t0 + t1)
    each = w * w * (t1 - t0) / 3 + 2 * w * (middle * exclusive_sum(w, packed) - exclusive_sum(w * middle, packed))
    return torch.zeros(len(counts), dtype=w.dtype, device=w.device).index_add(0, unpack_info(packed_info), each)
