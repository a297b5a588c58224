"""``march_rays`` in Triton, in two passes (count, fill) with the offsets between them; float32."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .launch import block, cdiv, launch
from .march_kernels import march

RAYS = 32  # of a program: one warp, which ends with its longest ray


def march_count(
    origins: Tensor, directions: Tensor, near: Tensor, far: Tensor, jitter: Tensor, bitfield: Tensor, resolution: int, step: float,
    cone_angle: float, max_samples: int, offsets: Tensor,
) -> None:  # fmt: skip
    """Where the samples of each ray start, and their number at the end, into ``offsets``, int64 [R+1]."""
    counts = torch.empty(origins.shape[0], dtype=torch.int32, device=origins.device)
    _march(origins, directions, near, far, jitter, bitfield, resolution, step, cone_angle, max_samples, None, counts, None, None, None)
    offsets[0] = 0
    torch.cumsum(counts, 0, out=offsets[1:])


def march_fill(
    origins: Tensor, directions: Tensor, near: Tensor, far: Tensor, jitter: Tensor, bitfield: Tensor, resolution: int, step: float,
    cone_angle: float, max_samples: int, offsets: Tensor, ray_indices: Tensor, t: Tensor, dt: Tensor,
) -> None:  # fmt: skip
    """Samples of each ray, from ``offsets`` int64 [R+1] on, into ray_indices int32 [N], t [N], dt [N]."""
    _march(origins, directions, near, far, jitter, bitfield, resolution, step, cone_angle, max_samples, offsets, None, ray_indices, t, dt)


def _march(
    origins: Tensor, directions: Tensor, near: Tensor, far: Tensor, jitter: Tensor, bitfield: Tensor, resolution: int, step: float,
    cone_angle: float, max_samples: int, offsets: Tensor | None, counts: Tensor | None, ray_indices: Tensor | None, t: Tensor | None,
    dt: Tensor | None,
) -> None:  # fmt: skip
    rays, cascades = origins.shape[0], bitfield.shape[0]
    half = 2.0 ** (cascades - 1)
    cone = cone_angle > 1e-5
    longest = max(2 * math.sqrt(3) * half / resolution, step)
    cones = torch.tensor([step, longest, math.log1p(cone_angle)], dtype=torch.float64, device=origins.device) if cone else near
    lanes = block(rays, RAYS)
    launch(
        march, (cdiv(rays, lanes),),
        origins, directions, near, far, jitter, bitfield, *(near if a is None else a for a in (offsets, counts, ray_indices, t, dt)),
        rays, cones, step, half, warps=1, fuse=False,
        RES=resolution, CASCADES=cascades, CONE=cone, MAX_SAMPLES=max_samples, FILL=offsets is not None, BLOCK=lanes,
    )  # fmt: skip
