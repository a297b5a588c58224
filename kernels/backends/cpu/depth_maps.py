"""``refit_normals`` and ``filter_depth`` on the CPU: native/cpu/depth_maps.cpp."""

from __future__ import annotations

import torch
from torch import Tensor

from ..._native import filter_depth as _filter
from ..._native import refit_normals as _refit


def refit_normals(depth: Tensor, camera: list[float], radius: int, jump: float, normal: Tensor) -> None:
    """normal [H, W, 3] of the depth [H, W]."""
    _refit(depth, camera, radius, jump, normal, torch.get_num_threads())


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
    _filter(depth, camera, others, geometry, earlier, pixels, relative, mean, angle, count, before, torch.get_num_threads())
