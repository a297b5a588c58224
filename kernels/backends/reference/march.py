"""Marching rays through an occupancy bitfield, the slow and obvious way: every point of the lattice is looked up."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .occupancy import lookup

PARALLEL = 1e-12  # direction components below this count as parallel to the axis planes
CHUNK = 32  # lattice points looked at together, per ray


def clip_to_cube(origins: Tensor, directions: Tensor, near: Tensor, far: Tensor, half: float) -> tuple[Tensor, Tensor]:
    """Part of every ray inside [-half, half]^3 and [near, far]; empty where start >= stop. -> start [R], stop [R]"""
    parallel = directions.abs() < PARALLEL
    d = torch.where(parallel, torch.ones_like(directions), directions)
    a, b = (-half - origins) / d, (half - origins) / d
    inf = torch.full_like(a, math.inf)
    outside = parallel & (origins.abs() > half)
    lo = torch.where(parallel, torch.where(outside, inf, -inf), torch.minimum(a, b)).amax(-1)
    hi = torch.where(parallel, torch.where(outside, -inf, inf), torch.maximum(a, b)).amin(-1)
    return torch.maximum(near, lo), torch.minimum(far, hi)


class Lattice:
    """The map between distance and lattice coordinate n, and its inverse.

    With ``cone_angle`` c = 0 steps have the constant length ``step``. With c > 0 they grow like c * t between ``step`` and ``max_step``:
    n is linear in t up to step/log(1+c), then log(t)/log(1+c), then linear again from max_step/log(1+c).
    """

    def __init__(self, step: float, cone_angle: float, max_step: float):
        self.step, self.cone, self.max_step = step, cone_angle > 1e-5, max(max_step, step)
        if self.cone:
            self.log = math.log1p(cone_angle)
            self.t_a, self.t_b = step / self.log, self.max_step / self.log
            self.n_a, self.n_b = math.log(self.t_a) / self.log, math.log(self.t_b) / self.log

    def coordinate(self, t: Tensor) -> Tensor:
        """Distance to lattice coordinate (cone stepping), in float64. [...] -> [...]"""
        t = t.double()
        middle = t.clamp(self.t_a, self.t_b).log() / self.log
        return torch.where(
            t <= self.t_a,
            (t - self.t_a) / self.step + self.n_a,
            torch.where(t <= self.t_b, middle, (t - self.t_b) / self.max_step + self.n_b),
        )

    def distance(self, n: Tensor) -> Tensor:
        """Lattice coordinate to distance (cone stepping), in float64. [...] -> [...]"""
        middle = (n.clamp(self.n_a, self.n_b) * self.log).exp()
        return torch.where(
            n <= self.n_a,
            (n - self.n_a) * self.step + self.t_a,
            torch.where(n <= self.n_b, middle, (n - self.n_b) * self.max_step + self.t_b),
        )

    def samples(self, start: Tensor, k: Tensor, jitter: Tensor) -> tuple[Tensor, Tensor]:
        """Positions and lengths of steps k. start [R], k [K], jitter [R] -> t [R, K], dt [R, K]"""
        n = k.to(start.dtype)[None, :] + jitter[:, None]
        if not self.cone:
            t = start[:, None] + n * self.step
            return t, torch.full_like(t, self.step)
        n = self.coordinate(start)[:, None] + n.double()
        return self.distance(n).to(start.dtype), (self.distance(n + 0.5) - self.distance(n - 0.5)).to(start.dtype)


def march_rays(
    origins: Tensor,
    directions: Tensor,
    near: Tensor,
    far: Tensor,
    jitter: Tensor,
    bitfield: Tensor,
    resolution: int,
    step: float,
    cone_angle: float,
    max_samples: int,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """See :func:`kernels.march_rays`. -> offsets int64 [R+1], ray_indices int32 [N], t [N], dt [N]"""
    rays, half = origins.shape[0], 2.0 ** (bitfield.shape[0] - 1)
    start, stop = clip_to_cube(origins, directions, near, far, half)
    lattice = Lattice(step, cone_angle, 2 * math.sqrt(3) * half / resolution)
    alive = torch.nonzero(start < stop).squeeze(1)
    count = torch.zeros(rays, dtype=torch.int64, device=origins.device)
    found: list[tuple[Tensor, Tensor, Tensor]] = []
    first = 0
    while alive.numel():
        k = torch.arange(first, first + CHUNK, device=origins.device)
        t, dt = lattice.samples(start[alive], k, jitter[alive])
        inside = t < stop[alive, None]
        hit = inside & lookup(origins[alive, None] + t[..., None] * directions[alive, None], bitfield, resolution)
        hit &= count[alive, None] + torch.cumsum(hit, 1) <= max_samples
        found.append((alive[:, None].expand_as(t)[hit], t[hit], dt[hit]))
        count[alive] += hit.sum(1)
        alive = alive[inside[:, -1] & (count[alive] < max_samples)]
        first += CHUNK
    offsets = torch.cat([count.new_zeros(1), torch.cumsum(count, 0)])
    if not found:
        return offsets, count.new_zeros(0, dtype=torch.int32), origins.new_zeros(0), origins.new_zeros(0)
    ray, t, dt = (torch.cat(parts) for parts in zip(*found, strict=True))
    order = torch.argsort(ray, stable=True)  # chunks came front to back, so a stable sort by ray keeps every ray sorted
    return offsets, ray[order].to(torch.int32), t[order], dt[order]
