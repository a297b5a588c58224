"""``refit_normals`` and ``filter_depth`` in CUDA: launchers of native/cuda/depth_maps.cu."""

from __future__ import annotations

import struct

from torch import Tensor

from . import runtime
from .runtime import records, unit_of


def refit_normals(depth: Tensor, camera: list[float], radius: int, jump: float, normal: Tensor) -> None:
    """normal [H, W, 3] of the depth [H, W]."""
    pixels = depth.numel()
    given = (pixels, depth.shape[1], depth, *map(float, camera), radius, float(jump), normal)
    runtime.launch(unit_of("depth_maps", depth), "refit_pixels", (pixels, 1), *given)


def filter_depth(
    depth: Tensor,
    camera: list[float],
    others: list[Tensor],
    geometry: Tensor,
    earlier: int,
    pixels: float,
    relative: float,
    mean: Tensor,
    angle: Tensor,
    count: Tensor,
    before: Tensor,
) -> None:
    """mean, angle (float32), count and before (uint8) [H, W] of the depth. geometry [others, 15]: pixel [3, 4] and centre of each."""
    rows = (struct.pack("Pii15f4x", d.data_ptr(), d.shape[1], d.shape[0], *g) for d, g in zip(others, geometry.tolist(), strict=True))
    views = records(b"".join(rows), depth.device)
    given = (depth.numel(), depth.shape[1], depth, *map(float, camera), views, len(others), earlier, float(pixels), float(relative))
    runtime.launch(unit_of("depth_maps", depth), "filter_pixels", (depth.numel(), 1), *given, mean, angle, count, before)
