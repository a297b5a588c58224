"""``update_occupancy``, ``decay_occupancy`` and ``cells_seen`` in CUDA: launchers of native/cuda/occupancy.cu."""

from __future__ import annotations

from torch import Tensor

from . import runtime
from .runtime import unit_of


def occupancy_pack(values: Tensor, threshold: float, bitfield: Tensor) -> None:
    """Bits of the values [cascades, cells] above the threshold."""
    count = bitfield.numel()
    runtime.launch(unit_of("occupancy", values), "pack_cells", (count, 1), count, values, float(threshold), bitfield)


def occupancy_see(planes: Tensor, resolution: int, size: float, radius: float, seen: Tensor) -> None:
    """seen uint8 [resolution^3] of the planes [V, 5, 4]; cells of side ``size``, spheres of ``radius`` around them."""
    cells = seen.numel()
    runtime.launch(
        unit_of("occupancy", planes), "see_cells", (cells, 1), cells, resolution, float(size), float(radius), planes, planes.shape[0], seen
    )


def occupancy_decay(values: Tensor, fresh: Tensor, indices: Tensor | None, decay: float) -> None:
    """In place; see :func:`kernels.decay_occupancy`. values [cells], fresh [M], indices int64 [M] or None (M = cells)."""
    unit, cells, count = unit_of("occupancy", values), values.numel(), fresh.numel()
    runtime.launch(unit, "decay_cells", (cells, 1), cells, fresh if indices is None else None, float(decay), values)
    if indices is not None:
        runtime.launch(unit, "raise_cells", (count, 1), count, fresh, indices, values)
