"""The occupancy grid: where samples are worth taking."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .. import backends
from ..backends.reference import occupancy as reference
from ..errors import ArgumentError
from . import packed_checks as checks
from .tensors import optional, raw

CELL_CHUNK = 1 << 17
"""Cells looked at together by :func:`cells_seen`."""


@dataclass(frozen=True)
class OccupancyGrid:
    """Nested cubes of cells with one bit each.

    Cascade m covers [-2^m, 2^m]^3 in scene units with ``resolution``^3 cells. A point is looked up in the finest cascade that contains
    it, so cells of a coarse cascade that lie inside the next finer one are never read.

    Attributes:
        resolution: Cells per axis, a power of two from 8 to 512.
        cascades: Number of cubes, 1 to 16.
        bitfield: Eight cells to a byte in Morton order, the first in the lowest bit. uint8 [cascades, resolution^3 / 8]
    """

    resolution: int
    cascades: int
    bitfield: Tensor

    def __post_init__(self):
        r = self.resolution
        if not (isinstance(r, int) and 8 <= r <= 512 and r & (r - 1) == 0):
            raise ArgumentError(f"OccupancyGrid: resolution must be a power of two from 8 to 512, not {r}")
        if not 1 <= self.cascades <= 16:
            raise ArgumentError(f"OccupancyGrid: cascades must be 1 to 16, not {self.cascades}")
        if self.bitfield.dtype != torch.uint8 or tuple(self.bitfield.shape) != (self.cascades, r**3 // 8):
            raise ArgumentError(f"OccupancyGrid: bitfield must be uint8 [{self.cascades}, {r**3 // 8}]")
        if not self.bitfield.is_contiguous():
            raise ArgumentError("OccupancyGrid: bitfield must be contiguous")

    @staticmethod
    def full(resolution: int, cascades: int = 1, device: torch.device | str = "cpu") -> OccupancyGrid:
        """Every cell occupied."""
        bits = torch.full((cascades, resolution**3 // 8), 255, dtype=torch.uint8, device=device)
        return OccupancyGrid(resolution, cascades, bits)

    @staticmethod
    def empty(resolution: int, cascades: int = 1, device: torch.device | str = "cpu") -> OccupancyGrid:
        """No cell occupied."""
        return OccupancyGrid(resolution, cascades, torch.zeros(cascades, resolution**3 // 8, dtype=torch.uint8, device=device))

    @property
    def half_size(self) -> float:
        """Half the side of the outermost cube, scene units."""
        return 2.0 ** (self.cascades - 1)

    @property
    def cells(self) -> int:
        """Cells of one cascade."""
        return self.resolution**3

    def cell_size(self, cascade: int = 0) -> float:
        """Side of a cell, scene units."""
        return 2.0 ** (cascade + 1) / self.resolution

    def occupied(self) -> Tensor:
        """The bits as booleans in Morton order. [cascades, cells]"""
        return reference.unpack_bits(self.bitfield)

    def occupied_fraction(self) -> float:
        """Share of occupied cells among those that can be read, weighted by volume."""
        per_cascade = []
        for m in range(self.cascades):
            bits = self.occupied_in(m)
            kept = bits[self.readable_cells(m)] if m else bits
            per_cascade.append((kept.double().mean().item(), 8.0**m - (8.0 ** (m - 1) if m else 0.0)))
        return sum(share * volume for share, volume in per_cascade) / sum(volume for _, volume in per_cascade)

    def occupied_in(self, cascade: int) -> Tensor:
        """Bits of one cascade. bool [cells]"""
        return reference.unpack_bits(self.bitfield[cascade])

    def readable_cells(self, cascade: int) -> Tensor:
        """Morton indices of the cells of a cascade that no finer cascade covers, rising. int64 [M]"""
        index = torch.arange(self.cells, device=self.bitfield.device)
        if cascade == 0:
            return index
        ijk = reference.morton_decode(index)
        quarter = self.resolution // 4
        return index[~((ijk >= quarter) & (ijk < 3 * quarter)).all(-1)]

    def cell_centers(self, indices: Tensor | None = None, cascade: int = 0, uniform: Tensor | None = None) -> Tensor:
        """Centres of cells, or random points inside them, in scene units.

        Args:
            indices: Morton indices, int64 [M]; all cells in order if None.
            cascade: Whose cells.
            uniform: Numbers in [0, 1) that replace the centre by a point inside the cell. [M, 3]
        Returns:
            float32 [M, 3]
        """
        if indices is None:
            indices = torch.arange(self.cells, device=self.bitfield.device)
        inside = 0.5 if uniform is None else uniform
        return (reference.morton_decode(indices).float() + inside - self.resolution / 2) * self.cell_size(cascade)

    def cells_of(self, points: Tensor, cascade: int = 0) -> Tensor:
        """Morton index of the cell of a cascade that holds each point; points outside go to the nearest cell. [N, 3] -> int64 [N]"""
        ijk = torch.floor(points / self.cell_size(cascade) + self.resolution / 2).to(torch.int64).clamp_(0, self.resolution - 1)
        return reference.morton_encode(ijk)

    def contains(self, points: Tensor) -> Tensor:
        """Whether points are in occupied cells; points outside the outermost cube are not. [N, 3] -> bool [N]"""
        inside = (points.abs() <= self.half_size).all(-1)
        return inside & reference.lookup(points.clamp(-self.half_size, self.half_size), self.bitfield, self.resolution)

    def to(self, device: torch.device | str) -> OccupancyGrid:
        """The same grid on another device."""
        return OccupancyGrid(self.resolution, self.cascades, self.bitfield.to(device))


@torch.no_grad()
def update_occupancy(grid: OccupancyGrid, values: Tensor, threshold: float, *, backend: str | None = None) -> None:
    """Mark the cells whose value exceeds a threshold, and no others.

    Args:
        grid: Its bitfield is overwritten.
        values: One number per cell in Morton order: opacity, density, anything that grows with importance. float [cascades, cells]
        threshold: A cell is occupied iff ``value > threshold``; NaN is not.
        backend: Force a backend.
    Raises:
        ArgumentError: Wrong shape, dtype or device.
        BackendError: A forced backend is missing.
    """
    if values.dtype not in (torch.float32, torch.float64) or tuple(values.shape) != (grid.cascades, grid.cells):
        raise ArgumentError(
            f"update_occupancy: values must be float32 or float64 [{grid.cascades}, {grid.cells}], not {values.dtype} {list(values.shape)}"
        )
    if values.device != grid.bitfield.device:
        raise ArgumentError(f"update_occupancy: values are on {values.device}, the grid on {grid.bitfield.device}")
    name = backends.backend("update_occupancy", values.device, backend)
    if name == "reference":
        grid.bitfield.copy_(reference.pack_bits(values > threshold))
    else:
        _kernels(name, values).occupancy_pack(raw(values), float(threshold), grid.bitfield)


@torch.no_grad()
def decay_occupancy(
    values: Tensor, fresh: Tensor, indices: Tensor | None = None, decay: float = 0.95, *, backend: str | None = None
) -> None:
    """``values = max(decay * values, fresh)`` in place: the decaying running maximum of instant-ngp.

    All cells decay, sampled or not; negative cells (marked invisible) stay as they are, and fresh values that are NaN do not count.

    Args:
        values: float32 or float64, contiguous. [cells] or [cascades, cells]
        fresh: New values of the cells ``indices``, or of all cells, dtype and device of ``values``. [M] or the shape of ``values``
        indices: Into the flattened ``values``; may repeat. int64 [M] or None
        decay: In [0, 1].
        backend: Force a backend.
    Raises:
        ArgumentError: Wrong shape, dtype, device or range; cells that do not exist.
        BackendError: A forced backend is missing.
    """
    op = "decay_occupancy"
    if values.dtype not in (torch.float32, torch.float64) or fresh.dtype != values.dtype or fresh.device != values.device:
        raise ArgumentError(
            f"{op}: values and fresh must both be float32 or both float64, on one device; they are {values.dtype} on {values.device} and "
            f"{fresh.dtype} on {fresh.device}"
        )
    if values.dim() not in (1, 2):
        raise ArgumentError(f"{op}: values must have shape [cells] or [cascades, cells], not {list(values.shape)}")
    if not values.is_contiguous():
        raise ArgumentError(f"{op}: values must be contiguous: they are changed in place")
    if not 0 <= decay <= 1:
        raise ArgumentError(f"{op}: decay must be in [0, 1], not {decay}")
    if indices is None and fresh.numel() != values.numel():
        raise ArgumentError(f"{op}: fresh has {fresh.numel()} values for {values.numel()} cells")
    if indices is not None:
        _check_indices(op, indices, fresh, values)
    name = backends.backend(op, values.device, backend)
    flat, new = values.detach().view(-1), raw(fresh.reshape(-1))
    if name == "reference":
        flat.copy_(reference.decay_and_merge(flat, new, indices, decay))
    else:
        _kernels(name, values).occupancy_decay(flat, new, optional(indices), float(decay))


def _check_indices(op: str, indices: Tensor, fresh: Tensor, values: Tensor) -> None:
    checks.other(op, "indices", indices, torch.int64, values.device, (None,))
    if indices.shape != fresh.shape:
        raise ArgumentError(f"{op}: {indices.numel()} indices for {fresh.numel()} fresh values")
    if indices.numel() and values.device.type == "cpu":  # elsewhere it would have to be waited for
        low, high = (int(v) for v in torch.aminmax(indices))
        if low < 0 or high >= values.numel():
            raise ArgumentError(f"{op}: indices must be 0 to {values.numel() - 1}; they span {low} to {high}")


@torch.no_grad()
def cells_seen(
    grid: OccupancyGrid,
    intrinsics: Tensor,
    scene_from_camera: Tensor,
    size: Tensor,
    near: float = 0.0,
    cascade: int = 0,
    *,
    backend: str | None = None,
) -> Tensor:
    """Which cells at least one camera can see, walls ignored. Conservative: a cell that touches a view frustum is always seen.

    Memory of the reference: about 5 floats x cameras x 2^17 cells at a time, cameras taken 32 at a time: at most 84 MiB.

    Args:
        grid: Whose cells.
        intrinsics: Pinhole matrices, pixels. [V, 3, 3]
        scene_from_camera: Rigid poses, OpenCV axes (x right, y down, z forward), scene units. [V, 3, 4]
        size: Width and height of the images, pixels. [V, 2]
        near: Nearer depths do not count, scene units.
        cascade: Which cascade.
        backend: Force a backend.
    Returns:
        bool [cells], Morton order.
    Raises:
        ArgumentError: Wrong shape or device.
        BackendError: A forced backend is missing.
    """
    views = checks.length("cells_seen", "intrinsics", intrinsics)
    if tuple(intrinsics.shape[1:]) != (3, 3) or tuple(scene_from_camera.shape) != (views, 3, 4) or tuple(size.shape) != (views, 2):
        raise ArgumentError("cells_seen: intrinsics must be [V, 3, 3], scene_from_camera [V, 3, 4], size [V, 2]")
    device = grid.bitfield.device
    if any(t.device != device for t in (intrinsics, scene_from_camera, size)):
        found = f"{intrinsics.device}, {scene_from_camera.device} and {size.device}"
        raise ArgumentError(f"cells_seen: the grid is on {device}, intrinsics, scene_from_camera and size are on {found}; they must agree")
    planes = reference.frustum_planes(intrinsics.double(), scene_from_camera.double(), size.double(), near).float()
    cell = grid.cell_size(cascade)
    radius = 0.5 * 3**0.5 * cell
    name = backends.backend("cells_seen", device, backend)
    seen = torch.zeros(grid.cells, dtype=torch.bool, device=device)
    if name == "reference":
        for index in torch.arange(grid.cells, device=device).split(CELL_CHUNK):
            centers = grid.cell_centers(index, cascade)
            for some in planes.split(32):
                seen[index] |= reference.spheres_seen(centers, radius, some)
    else:
        _kernels(name, planes).occupancy_see(planes, grid.resolution, cell, radius, seen.view(torch.uint8))
    return seen


def _kernels(backend: str, like: Tensor):
    """The raw functions of a backend; type checkers see those of the CPU, which all have."""
    if TYPE_CHECKING:
        from ..backends.cpu import occupancy

        return occupancy
    return backends.raw(backend, "occupancy", like)
