"""``march_rays``: samples along rays, where the occupancy grid says there is something."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .. import backends
from ..backends.reference import march as reference
from ..errors import ArgumentError
from . import packed_checks as checks
from .occupancy import OccupancyGrid
from .tensors import raws

MAX_LATTICE = 1 << 22
"""Longest lattice of a ray: beyond it float32 distances could no longer tell neighbouring steps apart."""


@dataclass(frozen=True)
class RaySamples:
    """Samples of R rays, packed: ray r owns entries ``offsets[r]`` to ``offsets[r+1]``, front to back.

    Attributes:
        offsets: int64 [R+1]
        ray_indices: The ray of every sample. int32 [N]
        t: Distances of the samples (midpoints of their intervals) along the unit-length ray directions. [N]
        dt: Lengths of the intervals. [N]
    """

    offsets: Tensor
    ray_indices: Tensor
    t: Tensor
    dt: Tensor

    def __len__(self) -> int:
        return self.t.shape[0]

    @property
    def rays(self) -> int:
        """Number of rays, those without samples included."""
        return self.offsets.shape[0] - 1


@torch.no_grad()
def march_rays(
    origins: Tensor,
    directions: Tensor,
    near: Tensor,
    far: Tensor,
    grid: OccupancyGrid,
    *,
    step: float,
    jitter: Tensor | None = None,
    cone_angle: float = 0.0,
    max_samples: int = 1024,
    backend: str | None = None,
) -> RaySamples:
    """Sample rays at the occupied points of one lattice per ray.

    A ray is clipped to the outermost cube of the grid and to [near, far], which leaves [start, stop]. Its samples are those points
    ``t_k = start + (k + jitter) * step``, k = 0, 1, ..., below stop whose cell is occupied (see :class:`OccupancyGrid` for which cell
    that is). The lattice does not depend on the occupancy: another grid picks other points of the same lattice. With ``cone_angle`` c
    above 1e-5 the step grows with distance, about c * t, but is never below ``step`` or above the diagonal of a cell of the outermost
    cascade: lattice coordinates are then mapped to distances by a line, an exponential and a line (instant-ngp's stepping); intervals
    still touch each other.

    Args:
        origins: [R, 3], scene units; float32 or float64.
        directions: Unit length. [R, 3]
        near, far: Distances along the ray; far may be inf. [R]
        grid: Occupied cells.
        step: Length of a (first) step, scene units.
        jitter: In [0, 1), one number per ray; None is 0.5, the middle of every interval. [R]
        cone_angle: Growth of the step per distance.
        max_samples: Only the first so many samples of a ray are kept.
        backend: Force a backend.
    Returns:
        :class:`RaySamples`, ray-major, front to back; the same bits whatever the number of threads. Not differentiable.
        Memory: 12 bytes a sample (native), for float32 rays.
    Raises:
        ArgumentError: Wrong shape, dtype, device, NaN, directions that are not of unit length, or a step so small that a ray through
            the cube has more than 2^22 of them.
        BackendError: A forced backend is missing.
    """
    rays = checks.length("march_rays", "origins", origins)
    given = {"jitter": (jitter, (rays,))} if jitter is not None else {}
    checks.floats(
        "march_rays", origins=(origins, (None, 3)), directions=(directions, (rays, 3)), near=(near, (rays,)), far=(far, (rays,)), **given
    )
    checks.no_nan("march_rays", origins=origins, directions=directions, near=near, far=far)
    if grid.bitfield.device != origins.device:
        raise ArgumentError(f"march_rays: the grid is on {grid.bitfield.device}, the rays on {origins.device}")
    if origins.device.type == "cpu" and rays and not bool(((directions * directions).sum(-1) - 1).abs().max() < 1e-3):
        raise ArgumentError("march_rays: directions must be of unit length")
    if jitter is None:
        jitter = torch.full_like(near, 0.5)
    elif origins.device.type == "cpu" and rays and not bool(((jitter >= 0) & (jitter < 1)).all()):
        raise ArgumentError("march_rays: jitter must be in [0, 1)")
    smallest = 2 * math.sqrt(3) * grid.half_size / MAX_LATTICE
    if not (math.isfinite(step) and step > smallest):
        raise ArgumentError(f"march_rays: step must be finite and above {smallest:.2g}, not {step}")
    if not (math.isfinite(cone_angle) and 0 <= cone_angle < 1):
        raise ArgumentError(f"march_rays: cone_angle must be in [0, 1), not {cone_angle}")
    if max_samples < 1:
        raise ArgumentError(f"march_rays: max_samples must be at least 1, not {max_samples}")
    name = backends.backend("march_rays", origins.device, backend)
    arguments = (origins, directions, near, far, jitter, grid.bitfield, grid.resolution, step, cone_angle, max_samples)
    return RaySamples(*(reference.march_rays(*arguments) if name == "reference" else _march(*arguments, name)))


def _kernels(backend: str, like: Tensor):
    """The raw functions of a backend; type checkers see those of the CPU, which all have."""
    if TYPE_CHECKING:
        from ..backends.cpu import march

        return march
    return backends.raw(backend, "march", like)


@torch.library.custom_op("formfield::march_rays", mutates_args=())
def _march(
    origins: Tensor, directions: Tensor, near: Tensor, far: Tensor, jitter: Tensor, bitfield: Tensor, resolution: int, step: float,
    cone_angle: float, max_samples: int, backend: str,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    kernels = _kernels(backend, origins)
    tensors = raws(origins, directions, near, far, jitter, bitfield)
    lattice = (resolution, step, cone_angle, min(max_samples, 2**31 - 1))
    offsets = torch.empty(origins.shape[0] + 1, dtype=torch.int64, device=origins.device)
    kernels.march_count(*tensors, *lattice, offsets)
    samples = int(offsets[-1])  # the size of the results: the one place that waits for the device
    ray_indices = torch.empty(samples, dtype=torch.int32, device=origins.device)
    t, dt = origins.new_empty(samples), origins.new_empty(samples)
    kernels.march_fill(*tensors, *lattice, offsets, ray_indices, t, dt)
    return offsets, ray_indices, t, dt


@_march.register_fake
def _(origins, directions, near, far, jitter, bitfield, resolution, step, cone_angle, max_samples, backend):
    samples = torch.library.get_ctx().new_dynamic_size()
    return (
        near.new_empty(origins.shape[0] + 1, dtype=torch.int64),
        near.new_empty(samples, dtype=torch.int32),
        near.new_empty(samples),
        near.new_empty(samples),
    )
