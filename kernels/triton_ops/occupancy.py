"""``update_occupancy`` and ``decay_occupancy`` in Triton."""
# pyright: reportArgumentType=false, reportOperatorIssue=false, reportIndexIssue=false

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from .launch import block, cdiv, launch


@triton.jit
def pack_cells(VALUES, BITS, N, threshold, BLOCK: tl.constexpr):
    """Eight cells to a byte, the first in the lowest bit."""
    i = (tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)).to(tl.int64)
    bit = tl.arange(0, 8)
    m = i < N
    values = tl.load(VALUES + i[:, None] * 8 + bit[None, :], mask=m[:, None], other=0.0)
    byte = tl.sum((values > threshold).to(tl.int32) << bit[None, :], 1)
    tl.store(BITS + i, byte.to(tl.uint8), mask=m)


@triton.jit
def decay_cells(VALUES, FRESH, N, decay, ALL: tl.constexpr, BLOCK: tl.constexpr):
    """Decay, and (ALL) the maximum with FRESH, which does not count where it is not a number; negative cells are left alone."""
    i = (tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)).to(tl.int64)
    m = i < N
    value = tl.load(VALUES + i, mask=m, other=0.0)
    less = decay * value
    if ALL:
        fresh = tl.load(FRESH + i, mask=m, other=0.0)
        less = tl.where(fresh > less, fresh, less)
    tl.store(VALUES + i, less, mask=m & ~(value < 0.0))


@triton.jit
def raise_cells(VALUES, FRESH, INDICES, N, BLOCK: tl.constexpr):
    """After the cells have decayed: the sign of a value, which says whether the cell is invisible, never changes here."""
    i = (tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)).to(tl.int64)
    m = i < N
    fresh = tl.load(FRESH + i, mask=m, other=0.0)
    at = tl.load(INDICES + i, mask=m, other=0)
    m = m & (fresh > 0.0)
    m = m & ~(tl.load(VALUES + at, mask=m, other=0.0) < 0.0)
    tl.atomic_max(VALUES + at, fresh, mask=m, sem="relaxed")


def occupancy_pack(values: Tensor, threshold: float, bitfield: Tensor) -> None:
    """Bits of the values [cascades, cells] above the threshold."""
    count = bitfield.numel()
    size = block(count, 256)
    launch(pack_cells, (cdiv(count, size),), values, bitfield, count, threshold, BLOCK=size)


def occupancy_decay(values: Tensor, fresh: Tensor, indices: Tensor | None, decay: float) -> None:
    """In place; see :func:`kernels.decay_occupancy`. values [cells], fresh [M], indices int64 [M] or None (M = cells)."""
    cells, count = values.numel(), fresh.numel()
    size = block(cells, 1024)
    launch(decay_cells, (cdiv(cells, size),), values, fresh, cells, decay, ALL=indices is None, BLOCK=size)
    if indices is not None:
        size = block(count, 1024)
        launch(raise_cells, (cdiv(count, size),), values, fresh, indices, count, BLOCK=size)
