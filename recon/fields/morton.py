"""Morton order: points that follow each other lie near each other, so that neighbour searches and gathers stay in the cache."""

from __future__ import annotations

import torch
from torch import Tensor


@torch.no_grad()
def morton_order(points: Tensor) -> Tensor:
    """Permutation that sorts points along a Z-curve over their bounding box.

    Args:
        points: [N, D], D = 2 or 3
    Returns:
        Indices. [N] int64
    """
    if points.shape[0] == 0:
        return torch.zeros(0, dtype=torch.int64, device=points.device)
    dims = points.shape[1]
    bits = 16 if dims == 2 else 10
    lower = points.amin(0)
    extent = float((points.amax(0) - lower).max())
    cells = ((points - lower) * ((2**bits - 1) / max(extent, 1e-30))).long().clamp(0, 2**bits - 1)
    code = torch.zeros(points.shape[0], dtype=torch.int64, device=points.device)
    for axis in range(dims):
        code |= _spread(cells[:, axis], dims) << axis
    return torch.argsort(code, stable=True)


def _spread(v: Tensor, dims: int) -> Tensor:
    """Insert ``dims - 1`` zero bits between the bits of v (16 bits in 2D, 10 bits in 3D)."""
    steps = ((8, 0x00FF00FF), (4, 0x0F0F0F0F), (2, 0x33333333), (1, 0x55555555))
    if dims == 3:
        steps = ((16, 0x030000FF), (8, 0x0300F00F), (4, 0x030C30C3), (2, 0x09249249))
    for shift, mask in steps:
        v = (v | (v << shift)) & mask
    return v
