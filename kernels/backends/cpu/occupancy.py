"""``update_occupancy``, ``decay_occupancy`` and ``cells_seen`` on the CPU: native/cpu/occupancy.cpp."""

from __future__ import annotations

import torch
from torch import Tensor

from ..._native import occupancy_decay as _decay
from ..._native import occupancy_pack as _pack
from ..._native import occupancy_see as _see


def occupancy_pack(values: Tensor, threshold: float, bitfield: Tensor) -> None:
    """Bits of the values [cascades, cells] above the threshold."""
    _pack(values, threshold, bitfield, torch.get_num_threads())


def occupancy_see(planes: Tensor, resolution: int, size: float, radius: float, seen: Tensor) -> None:
    """seen uint8 [resolution^3] of the planes [V, 5, 4]; cells of side ``size``, spheres of ``radius`` around them."""
    _see(planes, resolution, size, radius, seen, torch.get_num_threads())


def occupancy_decay(values: Tensor, fresh: Tensor, indices: Tensor | None, decay: float) -> None:
    """In place; see :func:`kernels.decay_occupancy`. values [cells], fresh [M], indices int64 [M] or None (M = cells)."""
    _decay(values, fresh, indices, decay, torch.get_num_threads())
