"""PatchMatch stereo in plain torch: the twin of kernels/native/bodies/patch_match.h, all pixels of a colour at once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from ...ops.patch_match import StereoView

OFFSETS = [(dx, dy) for dy in range(-5, 6, 2) for dx in range(-5, 6, 2)]
LEAST_WEIGHT = 1.2
WORST = 2.0
TURNS = [(-1, 0), (1, 0), (0, -1), (0, 1)]
FANS = [[(ax, ay), *((ax * (1 + i) + ay * t * i, ay * (1 + i) + ax * t * i) for i in (1, 2, 3) for t in (-1, 1))] for ax, ay in TURNS]
LINES = [[(ax * reach, ay * reach) for reach in range(3, 24, 2)] for ax, ay in TURNS]


@dataclass
class _Patch:
    x: Tensor
    y: Tensor
    weight: Tensor  # [36, P]
    centred: Tensor
    variance: Tensor
    ray: Tensor  # [P, 3]


@dataclass
class _Job:
    """What stays the same during a match."""

    view: StereoView
    sources: Sequence[StereoView]
    geometry: Tensor
    geometric: float
    variance: float
    near: float = 0.0
    far: float = 0.0
    best: int = 1


def match(view, sources, geometry, geometric, variance, near, far, best, iterations, perturbation, seeds, planes, costs) -> None:
    """See :func:`kernels.patch_match`. planes [H, W, 4] and costs [H, W] are overwritten."""
    job = _Job(view, sources, geometry, geometric, variance, near, far, best)
    y, x = _pixels(view)
    patch = _build(job, x, y)
    usable = patch.variance >= variance
    if view.mask is not None:
        usable &= view.mask.flatten() > 0
    plane = planes.view(-1, 4).clone()
    drawn = torch.cat([_random_depth(job, patch, seeds[0], 0)[:, None], _random_normal(job, patch, seeds[0], 1)], 1)
    plane = torch.where(_allowed(job, patch, plane)[:, None], plane, drawn) * usable[:, None]
    planes.copy_(plane.view(planes.shape))
    costs.fill_(1e9)
    some = usable.nonzero().squeeze(1)
    costs.view(-1)[some] = _aggregate(job, _build(job, x[some], y[some]), plane[some])
    for i in range(iterations):
        for colour in (0, 1):
            some = ((planes[..., 0] > 0).flatten() & ((x + y) % 2 == colour)).nonzero().squeeze(1)
            _update(job, _build(job, x[some], y[some]), seeds[i + 1], perturbation / 2**i, planes, costs)


def costs(view, sources, geometry, geometric, variance, planes, out) -> None:
    """See :func:`kernels.patch_costs`. out [sources, H, W]"""
    job = _Job(view, sources, geometry, geometric, variance)
    height, width = view.grey.shape
    y, x = _pixels(view)
    patch, plane = _build(job, x, y), planes.view(-1, 4)
    usable = (plane[:, 0] > 0) & ((plane[:, 1:] * patch.ray).sum(1) < 0)
    plane = torch.where(usable[:, None], plane, plane.new_tensor([1.0, 0.0, 0.0, -1.0]))
    for i in range(len(sources)):
        out[i] = torch.where(usable, _cost(job, patch, plane, i), WORST).view(height, width)


def _pixels(view: StereoView) -> tuple[Tensor, Tensor]:
    """Rows and columns of all pixels. [H W], [H W]"""
    rows, columns = (torch.arange(n, device=view.grey.device) for n in view.grey.shape)
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    return y.flatten(), x.flatten()


def _build(job: _Job, x: Tensor, y: Tensor) -> _Patch:
    view = job.view
    height, width = view.grey.shape
    fx, fy, cx, cy = view.intrinsics
    grey, weight = [], []
    middle = view.grey[y, x].float()
    for dx, dy in OFFSETS:
        inside = (x + dx >= 0) & (x + dx < width) & (y + dy >= 0) & (y + dy < height)
        i, j = (y + dy).clamp(0, height - 1), (x + dx).clamp(0, width - 1)
        if view.mask is not None:
            inside &= view.mask[i, j] > 0
        grey.append(torch.where(inside, view.grey[i, j].float(), 0.0))
        likeness = torch.exp(-((grey[-1] - middle) ** 2) / (2 * 51.0**2) - (dx * dx + dy * dy) / 50.0)
        weight.append(torch.where(inside, likeness, 0.0))
    grey, weight = torch.stack(grey), torch.stack(weight)
    total = weight.sum(0)
    weight = torch.where(total > LEAST_WEIGHT, weight / total.clamp_min(LEAST_WEIGHT), 0.0)
    centred = weight * (grey - (weight * grey).sum(0))
    ray = torch.stack([(x + 0.5 - cx) / fx, (y + 0.5 - cy) / fy, torch.ones_like(middle)], 1).float()
    return _Patch(x, y, weight, centred, (centred * (grey - (weight * grey).sum(0))).sum(0), ray)


def _cost(job: _Job, patch: _Patch, plane: Tensor, source: int) -> Tensor:
    s, g = job.sources[source], job.geometry[source].to(plane)
    a, b, center = g[:9].view(3, 3), g[9:12], g[12:]
    fx, fy = job.view.intrinsics[:2]
    height, width = s.grey.shape
    z, normal = plane[:, 0], plane[:, 1:]
    m = 1.0 / ((normal * patch.ray).sum(1) * z)
    p = patch.ray @ a.T + b / z[:, None]
    right = (a[:, 0] + b * (normal[:, 0] * m)[:, None]) / fx
    down = (a[:, 1] + b * (normal[:, 1] * m)[:, None]) / fy
    at = torch.stack([p + right * dx + down * dy for dx, dy in OFFSETS])  # [36, P, 3]
    corner = at[[0, 5, 30, 35]]
    valid = (corner[..., 2] > 1e-3) & (corner[..., :2] >= 0).all(-1)
    valid &= (corner[..., 0] <= corner[..., 2] * (width - 1)) & (corner[..., 1] <= corner[..., 2] * (height - 1))
    valid = valid.all(0)
    error = torch.zeros_like(z)
    middle = torch.where(valid[:, None], p, p.new_tensor([0.0, 0.0, 1.0]))
    column, row = ((middle[:, k] / middle[:, 2] + 0.5).long() for k in (0, 1))
    if s.mask is not None:
        valid = valid & (s.mask[row, column] > 0)
    if s.depth is not None and job.geometric > 0.0:
        k = torch.where(valid, s.depth[row, column], 0.0) / (z * middle[:, 2])
        back = k[:, None] * z[:, None] * patch.ray + (1.0 - k)[:, None] * center
        known = (k > 0) & (back[:, 2] > 1e-3 * z)
        there = back[:, :2] / torch.where(known, back[:, 2], 1.0)[:, None] - patch.ray[:, :2]
        error = torch.where(known, (there * there.new_tensor([fx, fy])).norm(dim=1).clamp_max(3.0), 3.0)
    uv = torch.where(valid[None, :, None], at[..., :2] / at[..., 2:], 0.0)
    left = uv.long()
    f = uv - left
    next_ = torch.minimum(left + 1, left.new_tensor([width - 1, height - 1]))
    grey = s.grey.float()
    above = torch.lerp(grey[left[..., 1], left[..., 0]], grey[left[..., 1], next_[..., 0]], f[..., 0])
    below = torch.lerp(grey[next_[..., 1], left[..., 0]], grey[next_[..., 1], next_[..., 0]], f[..., 0])
    value = torch.lerp(above, below, f[..., 1])
    mean = (patch.weight * value).sum(0)
    variance = (patch.weight * (value - mean) ** 2).sum(0)
    textured = valid & (variance >= job.variance) & (patch.variance >= job.variance)
    ncc = (patch.centred * value).sum(0) / torch.where(textured, variance * patch.variance, 1.0).sqrt()
    return torch.where(textured, (1.0 - ncc).clamp(0.0, WORST), WORST) + job.geometric * error


def _aggregate(job: _Job, patch: _Patch, plane: Tensor) -> Tensor:
    each = torch.stack([_cost(job, patch, plane, i) for i in range(len(job.sources))])
    return each.sort(0).values[: job.best].mean(0)


def _random(job: _Job, patch: _Patch, seed: int, draw: int) -> Tensor:
    """32-bit integers in int64: products of 32 bits with 31 fit."""
    low = 0xFFFFFFFF
    h = (patch.y * job.view.grey.shape[1] + patch.x + ((seed + draw * 0x9E3779B9) & low)) & low
    h = ((h ^ (h >> 16)) * 0x7FEB352D) & low
    h = h ^ (h >> 15)
    h = ((h * 0x846C) * 65536 + h * 0xA68B) & low
    h = h ^ (h >> 16)
    return (h >> 8).float() / 16777216.0


def _normalised(v: Tensor) -> Tensor:
    return v / (v.square().sum(1, keepdim=True) + 1e-20).sqrt()


def _random_normal(job: _Job, patch: _Patch, seed: int, draw: int) -> Tensor:
    n = _normalised(torch.stack([2.0 * _random(job, patch, seed, draw + i) - 1.0 for i in range(3)], 1))
    n = torch.where((n * patch.ray).sum(1, keepdim=True) > 0, -n, n)
    return _normalised(n - 0.1 * _normalised(patch.ray))


def _random_depth(job: _Job, patch: _Patch, seed: int, draw: int) -> Tensor:
    low, high = 1.0 / job.far, 1.0 / job.near
    return 1.0 / (low + (high - low) * _random(job, patch, seed, draw))


def _allowed(job: _Job, patch: _Patch, plane: Tensor) -> Tensor:
    return (plane[:, 0] >= job.near) & (plane[:, 0] <= job.far) & ((plane[:, 1:] * patch.ray).sum(1) < -0.05)


def _neighbor(job: _Job, patch: _Patch, area: list[tuple[int, int]], planes: Tensor, costs: Tensor) -> tuple[Tensor, Tensor]:
    """The plane of the cheapest pixel of an area, as the pixel's own ray meets it, and where there is one."""
    height, width = costs.shape
    fx, fy = job.view.intrinsics[:2]
    steps = torch.tensor(area, device=costs.device)
    x, y = patch.x + steps[:, :1], patch.y + steps[:, 1:]
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    cost = torch.where(inside, costs[y.clamp(0, height - 1), x.clamp(0, width - 1)], 1e9)
    least, which = cost.min(0)
    step = steps[which]
    found = planes[(patch.y + step[:, 1]).clamp(0, height - 1), (patch.x + step[:, 0]).clamp(0, width - 1)].clone()
    there = (found[:, 1:] * (patch.ray + torch.cat([step / step.new_tensor([fx, fy], dtype=torch.float32), step[:, :1] * 0], 1))).sum(1)
    here = (found[:, 1:] * patch.ray).sum(1)
    usable = (least < 1e8) & (found[:, 0] > 0) & (here < -0.05)
    found[:, 0] = torch.where(usable, found[:, 0] * there / torch.where(usable, here, -1.0), 0.0)
    return found, usable & _allowed(job, patch, found)


def _update(job: _Job, patch: _Patch, seed: int, perturbation: float, planes: Tensor, costs: Tensor) -> None:
    kept, cost = planes[patch.y, patch.x], costs[patch.y, patch.x]

    def offer(plane: Tensor, allowed: Tensor) -> None:
        nonlocal kept, cost
        safe = torch.where(allowed[:, None], plane, kept)
        other = torch.where(allowed, _aggregate(job, patch, safe), math.inf)
        kept = torch.where((other < cost)[:, None], plane, kept)
        cost = torch.minimum(other, cost)

    for area in [*FANS, *LINES]:
        offer(*_neighbor(job, patch, area, planes, costs))
    for change in range(5):
        draw, plane = 8 * change, kept.clone()
        if change in (0, 2):
            plane[:, 0] = _random_depth(job, patch, seed, draw)
        if change in (1, 2):
            plane[:, 1:] = _random_normal(job, patch, seed, draw + 1)
        if change == 3:
            plane[:, 0] *= 1.0 + perturbation * (2.0 * _random(job, patch, seed, draw) - 1.0)
        if change == 4:
            turn = torch.stack([2.0 * _random(job, patch, seed, draw + i) - 1.0 for i in range(3)], 1)
            plane[:, 1:] = _normalised(plane[:, 1:] + math.pi * perturbation * turn)
        offer(plane, _allowed(job, patch, plane))
    planes[patch.y, patch.x] = kept
    costs[patch.y, patch.x] = cost
