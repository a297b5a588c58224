"""``update_occupancy``, ``decay_occupancy`` and ``cells_seen`` in Triton."""
# pyright: reportArgumentType=false, reportGeneralTypeIssues=false, reportOperatorIssue=false, reportIndexIssue=false

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


@triton.jit
def _axis(cell, RES: tl.constexpr, size):
    """Coordinate of cells' centres along the axis whose bits are the lowest of each three."""
    v = cell & 0x09249249
    v = (v | (v >> 2)) & 0x030C30C3
    v = (v | (v >> 4)) & 0x0300F00F
    v = (v | (v >> 8)) & 0x030000FF
    v = (v | (v >> 16)) & 0x3FF
    return (v.to(tl.float32) + 0.5 - RES / 2) * size


@triton.jit
def see_cells(PLANES, SEEN, N, VIEWS, size, radius, RES: tl.constexpr, BLOCK: tl.constexpr):
    """Whether the spheres around cells reach the frustum of one view at least."""
    cell = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = _axis(cell, RES, size)
    y = _axis(cell >> 1, RES, size)
    z = _axis(cell >> 2, RES, size)
    seen = tl.zeros((BLOCK,), tl.int32)
    for view in range(0, VIEWS):
        inside = tl.full((BLOCK,), 1, tl.int32)
        for plane in tl.static_range(5):
            at = PLANES + view * 20 + plane * 4
            distance = tl.load(at) * x + tl.load(at + 1) * y + tl.load(at + 2) * z - tl.load(at + 3)
            inside = inside & (distance >= -radius).to(tl.int32)
        seen = seen | inside
    tl.store(SEEN + cell, seen.to(tl.uint8), mask=cell < N)


def occupancy_see(planes: Tensor, resolution: int, size: float, radius: float, seen: Tensor) -> None:
    """seen uint8 [resolution^3] of the planes [V, 5, 4]; cells of side ``size``, spheres of ``radius`` around them."""
    cells = seen.numel()
    lanes = block(cells, 512)
    launch(see_cells, (cdiv(cells, lanes),), planes, seen, cells, planes.shape[0], size, radius, RES=resolution, BLOCK=lanes)


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
