"""``march_rays`` in CUDA: launchers of native/cuda/march.cu."""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor

from ..reference.march import Lattice
from . import runtime
from .runtime import Unit, unit_of


@lru_cache(maxsize=64)
def lattice_numbers(step: float, cone_angle: float, longest: float, dtype: torch.dtype, device: torch.device) -> Tensor:
    """What the kernels need to know of a lattice: its step; with a cone also what follows from it.

    Returns:
        [1]; with a cone in float64 the 7 numbers of a :class:`Lattice`, in float32 10 as sums of two. [20]
    """
    lattice = Lattice(step, cone_angle, longest)
    if not lattice.cone:
        return torch.tensor([step], dtype=dtype, device=device)
    rate, t_a, t_b = lattice.log, lattice.t_a, lattice.t_b
    if dtype == torch.float64:
        return torch.tensor([step, lattice.max_step, rate, t_a, t_b, lattice.n_a, lattice.n_b], dtype=dtype, device=device)
    inverses = (1 / number for number in (step, lattice.max_step, rate, t_a))
    exact = torch.tensor([step, lattice.max_step, rate, t_a, t_b, lattice.n_b - lattice.n_a, *inverses], dtype=torch.float64)
    return torch.stack([exact.float(), (exact - exact.float().double()).float()], 1).flatten().to(device)


def _march(origins: Tensor, bitfield: Tensor, resolution: int, step: float, cone_angle: float) -> tuple[Unit, tuple[Tensor | int, ...]]:
    """The unit, and the arguments that say which grid and which lattice."""
    cascades = bitfield.shape[0]
    longest = 2 * math.sqrt(3) * 2.0 ** (cascades - 1) / resolution
    numbers = lattice_numbers(step, cone_angle, longest, origins.dtype, origins.device)
    return unit_of("march", origins, CONE=int(numbers.numel() > 1)), (bitfield, resolution, cascades, numbers)


def march_count(
    origins: Tensor, directions: Tensor, near: Tensor, far: Tensor, jitter: Tensor, bitfield: Tensor, resolution: int, step: float,
    cone_angle: float, max_samples: int, offsets: Tensor,
) -> None:  # fmt: skip
    """Where the samples of each ray start, and their number at the end, into ``offsets``, int64 [R+1]."""
    unit, grid = _march(origins, bitfield, resolution, step, cone_angle)
    rays = (origins.shape[0], origins, directions, near, far, jitter)
    counts = torch.empty(origins.shape[0], dtype=torch.int32, device=origins.device)
    runtime.launch(unit, "march_count", (origins.shape[0], 1), *rays, *grid, max_samples, counts)
    offsets[0] = 0
    torch.cumsum(counts, 0, out=offsets[1:])


def march_fill(
    origins: Tensor, directions: Tensor, near: Tensor, far: Tensor, jitter: Tensor, bitfield: Tensor, resolution: int, step: float,
    cone_angle: float, max_samples: int, offsets: Tensor, ray_indices: Tensor, t: Tensor, dt: Tensor,
) -> None:  # fmt: skip
    """Samples of each ray, from ``offsets`` on; as many as were counted."""
    del max_samples
    unit, grid = _march(origins, bitfield, resolution, step, cone_angle)
    rays = (origins.shape[0], origins, directions, near, far, jitter)
    runtime.launch(unit, "march_fill", (origins.shape[0], 1), *rays, *grid, offsets, ray_indices, t, dt)
