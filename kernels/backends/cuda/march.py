"""``march_rays`` in CUDA: launchers of native/cuda/march.cu."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from . import runtime
from .runtime import unit_of


def _lattice(bitfield: Tensor, resolution: int, step: float, cone_angle: float) -> tuple[int | float, ...]:
    cascades = bitfield.shape[0]
    longest = 2 * math.sqrt(3) * 2.0 ** (cascades - 1) / resolution
    return resolution, cascades, float(step), float(cone_angle), math.log1p(cone_angle), longest


def march_count(
    origins: Tensor, directions: Tensor, near: Tensor, far: Tensor, jitter: Tensor, bitfield: Tensor, resolution: int, step: float,
    cone_angle: float, max_samples: int, offsets: Tensor,
) -> None:  # fmt: skip
    """Where the samples of each ray start, and their number at the end, into ``offsets``, int64 [R+1]."""
    lattice = _lattice(bitfield, resolution, step, cone_angle)
    rays = (origins.shape[0], origins, directions, near, far, jitter, bitfield)
    counts = torch.empty(origins.shape[0], dtype=torch.int32, device=origins.device)
    runtime.launch(unit_of("march", origins), "march_count", (origins.shape[0], 1), *rays, *lattice, max_samples, counts)
    offsets[0] = 0
    torch.cumsum(counts, 0, out=offsets[1:])


def march_fill(
    origins: Tensor, directions: Tensor, near: Tensor, far: Tensor, jitter: Tensor, bitfield: Tensor, resolution: int, step: float,
    cone_angle: float, max_samples: int, offsets: Tensor, ray_indices: Tensor, t: Tensor, dt: Tensor,
) -> None:  # fmt: skip
    """Samples of each ray, from ``offsets`` on; as many as were counted."""
    del max_samples
    lattice = _lattice(bitfield, resolution, step, cone_angle)
    rays = (origins.shape[0], origins, directions, near, far, jitter, bitfield)
    runtime.launch(unit_of("march", origins), "march_fill", (origins.shape[0], 1), *rays, *lattice, offsets, ray_indices, t, dt)
