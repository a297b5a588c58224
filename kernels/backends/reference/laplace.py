"""VolSDF: the Laplace density of a signed distance, and the bound on the opacity error that its discretisation makes."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .packed import exclusive_cumsum, pad, ray_ids, unpad, valid_mask

LOG_CAP = math.log(1e6)  # the bound is capped at 1e6: beyond 1 it says only "refine", and exp must not overflow


def laplace_density(sdf: Tensor, beta: Tensor) -> Tensor:
    """See :func:`kernels.laplace_density`. [N], scalar or [N] -> [N]"""
    distance = torch.where(sdf >= 0, sdf, -sdf)  # not abs(): its derivative at 0 is 0, the density's is -1/(2 beta^2)
    half = 0.5 * torch.exp(-distance / beta)
    return torch.where(sdf >= 0, half, 1 - half) / beta


def surface_distance(sdf: Tensor, following: Tensor, delta: Tensor) -> Tensor:
    """Lower bound of the distance from an interval of a ray to the surface, from the distances at its ends.

    The balls of radius |sdf| and |following| around the ends are free of surface; on an interval of length delta the closest point
    outside both is at an end or at the apex of the triangle with these sides. Zero where the signs differ.

    Args:
        sdf, following: Signed distances at both ends. [...]
        delta: Length. [...]
    Returns:
        [...] >= 0
    """
    a, b, c = delta, sdf.abs(), following.abs()
    s = (a + b + c) / 2
    area2 = (s * (s - a) * (s - b) * (s - c)).clamp_min(0)
    height = torch.where(b + c > a, 2 * area2.sqrt() / a.clamp_min(torch.finfo(a.dtype).tiny), torch.zeros_like(a))
    d = torch.where(a * a + b * b <= c * c, b, torch.where(a * a + c * c <= b * b, c, height))
    return torch.where(sdf.sign() * following.sign() > 0, d, torch.zeros_like(d))


def opacity_error(sdf: Tensor, t: Tensor, offsets: Tensor, beta: Tensor) -> Tensor:
    """See :func:`kernels.opacity_error`. beta scalar or [R] -> [N]"""
    mask = valid_mask(offsets)
    f, x = pad(sdf, mask), pad(t, mask)
    if not mask.numel():
        return sdf.new_zeros(0)
    b = beta.expand(mask.shape[0])[:, None]
    following = torch.cat([f[:, 1:], f[:, -1:]], 1)
    delta = torch.cat([x[:, 1:], x[:, -1:]], 1) - x
    interval = torch.cat([mask[:, 1:], torch.zeros_like(mask[:, :1])], 1)
    delta = torch.where(interval, delta, torch.zeros_like(delta))
    error = torch.where(interval, delta**2 / (4 * b * b) * torch.exp(-surface_distance(f, following, delta) / b), torch.zeros_like(delta))
    error = torch.cumsum(error, 1)
    depth = exclusive_cumsum(laplace_density(f, b) * delta)
    small = torch.exp(-depth) * torch.expm1(error.clamp_max(1.0))
    large = torch.exp((error - depth).clamp_max(LOG_CAP)) - torch.exp(-depth)
    bound = torch.where(error < 1, small, large)
    return unpad(torch.where(interval, bound, torch.zeros_like(bound)), mask)


def error_bound(sdf: Tensor, t: Tensor, offsets: Tensor, beta: Tensor) -> Tensor:
    """See :func:`kernels.error_bound`. -> [R]"""
    bounds = opacity_error(sdf, t, offsets, beta)
    return bounds.new_zeros(offsets.numel() - 1).scatter_reduce(0, ray_ids(offsets), bounds, "amax", include_self=True)


def bound_beta(t: Tensor, offsets: Tensor, epsilon: float) -> Tensor:
    """See :func:`kernels.bound_beta`. -> [R]"""
    mask = valid_mask(offsets)
    x = pad(t, mask)
    delta = torch.where(mask[:, 1:], x[:, 1:] - x[:, :-1], torch.zeros_like(x[:, 1:]))
    return ((delta**2).sum(1) / (4 * math.log1p(epsilon))).sqrt()


def solve_beta(sdf: Tensor, t: Tensor, offsets: Tensor, beta: Tensor, epsilon: float, iterations: int) -> Tensor:
    """See :func:`kernels.solve_beta`. -> [R]"""
    low = beta.expand(offsets.numel() - 1).clone()
    high = torch.maximum(bound_beta(t, offsets, epsilon), low)
    high = torch.where(error_bound(sdf, t, offsets, low) <= epsilon, low, high)
    for _ in range(iterations):
        middle = 0.5 * (low + high)
        good = error_bound(sdf, t, offsets, middle) <= epsilon
        low, high = torch.where(good, low, middle), torch.where(good, middle, high)
    return high
