"""Volume rendering of packed samples and the distortion loss, in plain differentiable torch."""

from __future__ import annotations

import torch
from torch import Tensor

from .packed import exclusive_cumsum, pad, unpad, valid_mask


def composite(density: Tensor, dt: Tensor, channels: Tensor, offsets: Tensor, early_stop: float) -> tuple[Tensor, Tensor, Tensor]:
    """See :func:`kernels.composite`. -> values [R, C], opacity [R], weights [N]"""
    mask = valid_mask(offsets)
    depth = pad(density * dt, mask)
    transmittance = torch.exp(-exclusive_cumsum(depth)) if depth.numel() else depth
    weights = transmittance * -torch.expm1(-depth)
    return _accumulate(weights, transmittance, channels, mask, early_stop)


def composite_alpha(alpha: Tensor, channels: Tensor, offsets: Tensor, early_stop: float) -> tuple[Tensor, Tensor, Tensor]:
    """See :func:`kernels.composite_alpha`. -> values [R, C], opacity [R], weights [N]"""
    mask = valid_mask(offsets)
    a = pad(alpha, mask)
    transmittance = torch.cumprod(torch.cat([torch.ones_like(a[:, :1]), 1 - a[:, :-1]], 1), 1) if a.numel() else a
    return _accumulate(transmittance * a, transmittance, channels, mask, early_stop)


def _accumulate(weights: Tensor, transmittance: Tensor, channels: Tensor, mask: Tensor, early_stop: float) -> tuple[Tensor, Tensor, Tensor]:
    if early_stop > 0:
        weights = torch.where(transmittance.detach() < early_stop, torch.zeros_like(weights), weights)
    values = torch.einsum("rk,rkc->rc", weights, pad(channels, mask))
    return values, weights.sum(1), unpad(weights, mask)


def distortion_loss(weights: Tensor, t: Tensor, dt: Tensor, offsets: Tensor) -> Tensor:
    """See :func:`kernels.distortion_loss`. -> [R]"""
    mask = valid_mask(offsets)
    w, x, d = pad(weights, mask), pad(t, mask), pad(dt, mask)
    if not w.numel():
        return w.sum(1)
    x = x - x[:, :1]  # the loss does not change under a shift; small numbers cancel less
    between = 2 * w * (x * exclusive_cumsum(w) - exclusive_cumsum(w * x))
    return (between + w * w * d / 3).sum(1)
