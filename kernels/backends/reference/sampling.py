"""Inverse transform sampling of piecewise constant densities along packed rays."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .packed import lengths, pad, valid_mask


def sample_pdf(bins: Tensor, weights: Tensor, u: Tensor, offsets: Tensor) -> Tensor:
    """See :func:`kernels.sample_pdf`. -> [R, S]"""
    mask, n = valid_mask(offsets), lengths(offsets)
    if mask.shape[1] == 0:
        return torch.full_like(u, math.nan)
    x, w = pad(bins, mask), pad(weights, mask)
    interval = torch.cat([mask[:, 1:], torch.zeros_like(mask[:, :1])], 1)
    w = torch.where(interval, w, torch.zeros_like(w))
    last = (n - 1).clamp_min(0)[:, None]
    flat = w.sum(1, keepdim=True) <= 0
    following = torch.cat([x[:, 1:], x[:, -1:]], 1)
    w = torch.where(flat & interval, following - x, w)  # nothing to go by: uniform over the whole span
    cdf = torch.cumsum(w, 1)
    total = torch.gather(cdf, 1, last)
    target = u * total
    k = torch.searchsorted(cdf, target, right=True).clamp(max=(last - 1).clamp_min(0))
    before, inside = torch.gather(cdf, 1, k) - torch.gather(w, 1, k), torch.gather(w, 1, k)
    fraction = torch.where(
        inside > 0, (target - before) / torch.where(inside > 0, inside, torch.ones_like(inside)), torch.zeros_like(inside)
    )
    lo = torch.gather(x, 1, k)
    hi = torch.gather(x, 1, torch.minimum(k + 1, last))
    out = lo + fraction.clamp(0, 1) * (hi - lo)
    return torch.where(n[:, None] > 0, out, torch.full_like(out, math.nan))
