"""``bounded_samples`` on the CPU: native/cpu/bounded.cpp."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..._native import BoundedResult
from ..._native import bounded_samples as _bounded_samples
from ..._native import bounded_walker as _bounded_walker
from ...errors import ArgumentError
from ...specs import HashGridSpec, MLPSpec
from .hash_encode import native_grid
from .mlp import native_mlp

Rays = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]  # origins, directions, near, far, jitter
Rule = tuple[float, float, float, float, float, int]  # beta, slope, epsilon, visible, faint, cuts


def _lattice(bitfield: Tensor, resolution: int, step: float) -> tuple[Tensor, int, float]:
    return bitfield.clone() if bitfield.data_ptr() % 8 else bitfield, resolution, step  # the native code reads 8 bytes at a time


def bounded_by_field(
    rays: Rays, bitfield: Tensor, resolution: int, step: float, rule: Rule, table: Tensor, params: Tensor, grid: HashGridSpec, mlp: MLPSpec,
    include_input: bool, active_levels: int,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, int]:  # fmt: skip
    """Samples, whether each ray meets the bound, and queries; the field is evaluated by the kernel itself. float32"""
    field = (table, params, native_grid(grid), native_mlp(mlp), include_input, active_levels)
    result = _bounded_samples(*rays, *_lattice(bitfield, resolution, step), *rule, *field, torch.get_num_threads())
    return _written(result, rays[0])


def bounded_by_function(
    rays: Rays, bitfield: Tensor, resolution: int, step: float, rule: Rule, distance: Callable[[Tensor], Tensor]
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, int]:
    """The same with the distances of a function, asked in turns for one point at most of each ray."""
    walker = _bounded_walker(*rays, *_lattice(bitfield, resolution, step), *rule)
    while asked := walker.asked():
        points = rays[0].new_empty(asked, 3)
        walker.points(points)
        answer = distance(points)
        if tuple(answer.shape) != (asked,):
            raise ArgumentError(f"bounded_samples: distance must give [{asked}] for {asked} points, not {list(answer.shape)}")
        walker.answer(answer.detach().to(points.dtype).contiguous())
    return _written(walker.finish(), rays[0])


def _written(result: BoundedResult, like: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, int]:
    rays, samples = like.shape[0], result.samples()
    offsets, met = torch.empty(rays + 1, dtype=torch.int64), torch.empty(rays, dtype=torch.bool)
    ray_indices, t, dt = torch.empty(samples, dtype=torch.int32), like.new_empty(samples), like.new_empty(samples)
    result.write(offsets, ray_indices, t, dt, met)
    return offsets, ray_indices, t, dt, met, result.queries()
