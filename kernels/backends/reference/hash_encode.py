"""Hash grid encoding in plain torch."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from ...specs import HashGridSpec

PRIMES = (1, 2654435761, 805459861)
_UINT32 = 0xFFFFFFFF


def entry_indices(cell: Tensor, level: int, spec: HashGridSpec) -> Tensor:
    """Row of the table for integer vertices.

    Args:
        cell: int64 [..., dims], vertex coordinates; negative ones wrap like uint32.
        level: Level of the grid.
        spec: Geometry.
    Returns:
        int64 [...], rows of the whole table.
    """
    cell = cell & _UINT32
    index = torch.zeros_like(cell[..., 0])
    if spec.hashed[level]:
        for axis in range(spec.dims):
            index = index ^ (cell[..., axis] * PRIMES[axis] & _UINT32)
    else:
        stride = 1
        for axis in range(spec.dims):
            index = (index + cell[..., axis] * stride) & _UINT32
            stride *= spec.resolutions[level]
    return index % spec.sizes[level] + spec.offsets[level]


def hash_encode(x: Tensor, table: Tensor, spec: HashGridSpec, active_levels: int) -> Tensor:
    """Encode points: for every level, the interpolation of the 2**dims entries around the point.

    Differentiable twice by autograd, to ``x`` and ``table``.

    Args:
        x: [N, dims].
        table: [entries, features], same dtype.
        spec: Geometry.
        active_levels: Levels from here on give zeros.
    Returns:
        [N, levels * features].
    """
    corners = torch.tensor(list(itertools.product((0, 1), repeat=spec.dims)), device=x.device)  # [2**dims, dims]
    encoded = []
    for level in range(active_levels):
        position = x * spec.scales[level] + 0.5
        cell = position.detach().floor()
        u = position - cell
        if spec.interpolation == "smoothstep":
            u = u * u * (3 - 2 * u)
        index = entry_indices(cell.long()[:, None] + corners, level, spec)  # [N, 2**dims]
        weight = torch.where(corners.bool(), u[:, None], 1 - u[:, None]).prod(-1)  # [N, 2**dims]
        encoded.append((weight[..., None] * table[index]).sum(1))
    if active_levels < spec.levels:
        # zeros that autograd still sees as functions of both inputs, so that their gradients are zeros too
        zero = 0 * x[:, :1] + 0 * table[0, 0]
        encoded.append(zero.expand(-1, (spec.levels - active_levels) * spec.features))
    return torch.cat(encoded, 1)
