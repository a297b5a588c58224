"""Samples with a bounded opacity error, in plain torch: all rays in step, each at its foremost interval."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from .laplace import LOG_CAP, laplace_density

CUT_SHARE, ASK_SHARE, LEAST_SHARE, SPENT = 1 / 4, 1 / 6, 1 / 50, 0.3  # see kernels/native/bodies/bounded.h
FAR = 1e30


@dataclass
class _Stacks:
    """Intervals of every ray that are still to be settled, the foremost on top, and what is known of what lies before them. [R, S], [R]"""

    t: Tensor
    dt: Tensor
    sdf: Tensor
    cuts: Tensor
    known: Tensor
    height: Tensor

    @staticmethod
    def empty(rays: int, size: int, like: Tensor) -> _Stacks:
        zeros = lambda dtype: torch.zeros(rays, size, dtype=dtype, device=like.device)  # noqa: E731
        height = torch.zeros(rays, dtype=torch.int64, device=like.device)
        return _Stacks(zeros(like.dtype), zeros(like.dtype), zeros(like.dtype), zeros(torch.int64), zeros(torch.bool), height)

    def push(self, rays: Tensor, t: Tensor, dt: Tensor, sdf: Tensor | float, cuts: Tensor | int, known: bool) -> None:
        at = (rays, self.height[rays])
        self.t[at], self.dt[at] = t, dt
        for stack, value in ((self.sdf, sdf), (self.cuts, cuts)):
            stack[at] = value if isinstance(value, Tensor) else torch.full_like(stack[at], value)
        self.known[at] = torch.full_like(self.known[at], known)
        self.height[rays] += 1


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
    origins: Tensor,
    directions: Tensor,
    coarse: tuple[Tensor, Tensor, Tensor, Tensor],
    distance: Callable[[Tensor], Tensor],
    beta: float,
    slope: float,
    epsilon: float,
    visible: float,
    faint: float,
    cuts: int,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, int]:
    """See :func:`kernels.bounded_samples`.

    Args:
        coarse: offsets, ray_indices, t, dt of the march.
    Returns:
        offsets int64 [R+1], ray_indices int32 [N], t [N], dt [N], met bool [R], queries
    """
    count, device = origins.shape[0], origins.device
    offsets, _, coarse_t, coarse_dt = coarse
    stacks = _Stacks.empty(count, 2 * cuts + 2, origins)
    following = offsets[:-1].clone()  # next interval of the march
    before_t, before_sdf = origins.new_full((count,), -torch.inf), origins.new_zeros(count)  # the last known distance, if any
    depth, error, least = origins.new_zeros(count), origins.new_zeros(count), origins.new_zeros(count)
    met = torch.ones(count, dtype=torch.bool, device=device)
    kept: list[tuple[Tensor, Tensor, Tensor]] = []
    queries, scale = 0, origins.new_tensor(beta)
    rays = torch.arange(count, device=device)
    while True:
        bare = rays[stacks.height[rays] == 0]
        fresh = bare[following[bare] < offsets[bare + 1]]
        if len(fresh):
            stacks.push(fresh, coarse_t[following[fresh]], coarse_dt[following[fresh]], 0.0, 0, False)
            following[fresh] += 1
        rays = rays[stacks.height[rays] > 0]
        rays = rays[torch.exp(-depth[rays]) > visible]  # behind the others nothing can be seen
        if not len(rays):
            break
        top = stacks.height[rays] - 1
        t, dt, known = stacks.t[rays, top], stacks.dt[rays, top], stacks.known[rays, top]
        low, high, guess = _bounds(stacks, rays, top, before_t[rays], before_sdf[rays], slope)
        bound = midpoint_error(torch.maximum(low, -high).clamp_min(0.0), dt, beta)
        worst = torch.exp(-depth[rays]) * torch.expm1(bound.clamp_max(LOG_CAP))
        whole = torch.exp(-least[rays]) * torch.expm1((error[rays] + bound).clamp_max(LOG_CAP))
        ask = ~known & (worst > epsilon * LEAST_SHARE) & ((worst > epsilon * ASK_SHARE) | (whole > epsilon * SPENT))
        cut = ~ask & (worst > epsilon * CUT_SHARE) & (stacks.cuts[rays, top] < cuts)
        settled = ~ask & ~cut

        if bool(ask.any()):
            asking, at = rays[ask], top[ask]
            stacks.sdf[asking, at] = distance(torch.addcmul(origins[asking], directions[asking], t[ask][:, None]))
            stacks.known[asking, at] = True
            queries += len(asking)
        if bool(cut.any()):
            parted, at = rays[cut], top[cut]
            middle, sdf, part, level = t[cut], stacks.sdf[parted, at], dt[cut] / 3, stacks.cuts[parted, at] + 1
            stacks.height[parted] -= 1
            stacks.push(parted, middle + part, part, 0.0, level, False)
            stacks.push(parted, middle, part, sdf, level, True)
            stacks.push(parted, middle - part, part, 0.0, level, False)
        if bool(settled.any()):
            done, length = rays[settled], dt[settled]
            error[done] += bound[settled]
            over = torch.exp(-least[done]) * torch.expm1(error[done].clamp_max(LOG_CAP)) > epsilon
            met[done[over]] = False
            bright = 0.5 / beta * torch.exp(-(low[settled] - length / 2).clamp_min(0.0) / beta) * length > faint
            kept.append((done[bright], t[settled][bright], length[bright]))
            depth[done] += laplace_density(guess[settled], scale) * length
            least[done] += laplace_density(high[settled], scale) * length
            sure = known[settled]
            before_t[done[sure]] = t[settled][sure]
            before_sdf[done[sure]] = stacks.sdf[rays, top][settled][sure]
            stacks.height[done] -= 1
    ray, t, dt = (torch.cat(parts) for parts in zip(*kept, strict=True)) if kept else (following[:0], coarse_t[:0], coarse_dt[:0])
    order = torch.argsort(ray, stable=True)  # the parts came front to back
    counts = torch.bincount(ray, minlength=count)
    return torch.cat([counts.new_zeros(1), counts.cumsum(0)]), ray[order].to(torch.int32), t[order], dt[order], met, queries


def _bounds(
    stacks: _Stacks, rays: Tensor, top: Tensor, before_t: Tensor, before_sdf: Tensor, slope: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Least and greatest distance that the foremost intervals may have at their midpoints, and the likely one between. [R] each"""
    t = stacks.t[rays, top]
    some = before_t > -torch.inf
    low = torch.where(some, before_sdf - slope * (t - before_t), -FAR)
    high = torch.where(some, before_sdf + slope * (t - before_t), FAR)
    guess, found = torch.where(some, before_sdf, high), torch.zeros_like(some)  # where nothing is known, nothing is in the way
    for down in range(1, stacks.t.shape[1]):
        at = (top - down).clamp_min(0)
        first = ~found & (top >= down) & stacks.known[rays, at]
        next_t, next_sdf = stacks.t[rays, at], stacks.sdf[rays, at]
        low = torch.where(first, torch.maximum(low, next_sdf - slope * (next_t - t)), low)
        high = torch.where(first, torch.minimum(high, next_sdf + slope * (next_t - t)), high)
        between = before_sdf + (next_sdf - before_sdf) * ((t - before_t) / (next_t - before_t))
        guess = torch.where(first, torch.where(some, between, next_sdf), guess)
        found |= first
    known, sdf = stacks.known[rays, top], stacks.sdf[rays, top]
    guess = torch.minimum(torch.maximum(guess, low), high)
    return torch.where(known, sdf, low), torch.where(known, sdf, high), torch.where(known, sdf, guess)
