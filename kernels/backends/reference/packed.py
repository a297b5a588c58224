"""Packed per-ray data: samples of all rays in one array, ray-major, with ``offsets`` [R+1] saying where each ray starts.

Ray ``r`` owns entries ``offsets[r] .. offsets[r+1]``. The helpers here turn that into a padded [R, longest ray] table and back, so that
per-ray scans become ordinary ``cumsum``/``cumprod`` calls: memory is R x (longest ray) values, and one bad value cannot leak into
another ray (which a single scan over the packed array, minus its value at the start of the ray, would allow).
"""

from __future__ import annotations

import torch
from torch import Tensor


def lengths(offsets: Tensor) -> Tensor:
    """Samples of every ray. [R+1] -> [R]"""
    return offsets[1:] - offsets[:-1]


def ray_ids(offsets: Tensor, dtype: torch.dtype = torch.int64) -> Tensor:
    """The ray of every sample. [R+1] -> [N]"""
    n = lengths(offsets)
    return torch.repeat_interleave(torch.arange(n.numel(), device=offsets.device, dtype=dtype), n)


def valid_mask(offsets: Tensor) -> Tensor:
    """Which entries of the padded table are samples; their row-major order is the packed order. [R+1] -> [R, K] bool"""
    n = lengths(offsets)
    longest = int(n.max()) if n.numel() else 0
    return torch.arange(longest, device=offsets.device)[None, :] < n[:, None]


def pad(x: Tensor, mask: Tensor, fill: float = 0.0) -> Tensor:
    """Packed to padded, differentiable. [N, ...], [R, K] -> [R, K, ...]"""
    return x.new_full((*mask.shape, *x.shape[1:]), fill).masked_scatter(_like(mask, x), x)


def unpad(x: Tensor, mask: Tensor) -> Tensor:
    """Padded to packed, differentiable. [R, K, ...], [R, K] -> [N, ...]"""
    return x[mask]


def exclusive_cumsum(x: Tensor) -> Tensor:
    """Sum of the entries before each one, along dim 1. [R, K] -> [R, K]"""
    return torch.cat([torch.zeros_like(x[:, :1]), torch.cumsum(x, 1)[:, :-1]], 1)


def _like(mask: Tensor, x: Tensor) -> Tensor:
    return mask.reshape(*mask.shape, *([1] * (x.dim() - 1))).expand(*mask.shape, *x.shape[1:])
