"""``march_rays`` on the CPU: native/cpu/march.cpp."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..._native import march_count as _count
from ..._native import march_fill as _fill


def _lattice(bitfield: Tensor, resolution: int, step: float, cone_angle: float) -> tuple[Tensor, int, float, float, float]:
    if bitfield.data_ptr() % 8:
        bitfield = bitfield.clone()  # the native code reads 8 bytes at a time
    longest = 2 * math.sqrt(3) * 2.0 ** (bitfield.shape[0] - 1) / resolution
    return bitfield, resolution, step, cone_angle, longest


def march_count(
    origins: Tensor, directions: Tensor, near: Tensor, far: Tensor, jitter: Tensor, bitfield: Tensor, resolution: int, step: float,
    cone_angle: float, max_samples: int, offsets: Tensor,
) -> None:  # fmt: skip
    """Where the samples of each ray start, and their number at the end, into ``offsets``, int64 [R+1]."""
    lattice = _lattice(bitfield, resolution, step, cone_angle)
    _count(origins, directions, near, far, jitter, *lattice, max_samples, offsets, torch.get_num_threads())


def march_fill(
    origins: Tensor, directions: Tensor, near: Tensor, far: Tensor, jitter: Tensor, bitfield: Tensor, resolution: int, step: float,
    cone_angle: float, max_samples: int, offsets: Tensor, ray_indices: Tensor, t: Tensor, dt: Tensor,
) -> None:  # fmt: skip
    """Samples of each ray, from ``offsets`` on; as many as were counted."""
    del max_samples
    lattice = _lattice(bitfield, resolution, step, cone_angle)
    _fill(origins, directions, near, far, jitter, *lattice, offsets, ray_indices, t, dt, torch.get_num_threads())
