"""Morton order, bit packing and occupancy look-up in plain torch.

Cell (i, j, k) of a grid of ``resolution`` cells per axis has the Morton index whose bits interleave as ... k1 j1 i1 k0 j0 i0 (i is x).
Eight consecutive indices are a block of 2 x 2 x 2 cells, so one byte of the bitfield is one such block, 8 bytes a block of 4 x 4 x 4.
"""

from __future__ import annotations

import torch
from torch import Tensor


def morton_encode(cells: Tensor) -> Tensor:
    """Interleave cell coordinates. Integers [..., 3] in [0, 1024) -> int64 [...]"""
    v = cells.to(torch.int64)
    v = (v | (v << 16)) & 0x030000FF
    v = (v | (v << 8)) & 0x0300F00F
    v = (v | (v << 4)) & 0x030C30C3
    v = (v | (v << 2)) & 0x09249249
    return v[..., 0] | (v[..., 1] << 1) | (v[..., 2] << 2)


def morton_decode(indices: Tensor) -> Tensor:
    """Inverse of :func:`morton_encode`. int [...] -> int64 [..., 3]"""
    i = indices.to(torch.int64)
    v = torch.stack([i, i >> 1, i >> 2], -1) & 0x09249249
    v = (v | (v >> 2)) & 0x030C30C3
    v = (v | (v >> 4)) & 0x0300F00F
    v = (v | (v >> 8)) & 0x030000FF
    return (v | (v >> 16)) & 0x3FF


def pack_bits(occupied: Tensor) -> Tensor:
    """Eight cells to a byte, the first in the lowest bit. bool [..., 8 n] -> uint8 [..., n]"""
    weights = torch.tensor([1, 2, 4, 8, 16, 32, 64, 128], dtype=torch.uint8, device=occupied.device)
    return (occupied.reshape(*occupied.shape[:-1], -1, 8).to(torch.uint8) * weights).sum(-1, dtype=torch.uint8)


def unpack_bits(bitfield: Tensor) -> Tensor:
    """Inverse of :func:`pack_bits`. uint8 [..., n] -> bool [..., 8 n]"""
    shifts = torch.arange(8, dtype=torch.uint8, device=bitfield.device)
    return ((bitfield[..., None] >> shifts) & 1).bool().flatten(-2)


def lookup(points: Tensor, bitfield: Tensor, resolution: int) -> Tensor:
    """Whether the cell of the finest cascade that holds each point is occupied; points must lie in the outermost cube.

    Cascade m covers [-2^m, 2^m]^3. A point with largest absolute coordinate a belongs to the first cascade with a < 2^m (the last one
    when a equals its half side).

    Args:
        points: [..., 3]
        bitfield: uint8 [cascades, resolution^3 / 8]
        resolution: Cells per axis, a power of two.
    Returns:
        bool [...]
    """
    cascades = bitfield.shape[0]
    largest = points.abs().amax(-1)
    halves = 2.0 ** torch.arange(cascades - 1, dtype=points.dtype, device=points.device)
    cascade = (largest[..., None] >= halves).sum(-1)
    scale = (resolution / 2) * 0.5 ** cascade.to(points.dtype)  # a power of two: the product below is exact
    cells = torch.floor(points * scale[..., None] + resolution / 2).to(torch.int64).clamp_(0, resolution - 1)
    index = morton_encode(cells)
    byte = bitfield.reshape(-1)[cascade * (resolution**3 // 8) + (index >> 3)]
    return ((byte >> (index & 7).to(torch.uint8)) & 1).bool()


def decay_and_merge(values: Tensor, fresh: Tensor, indices: Tensor | None, decay: float) -> Tensor:
    """``max(decay * old, fresh)`` for cells that are not marked invisible (negative); NaN in ``fresh`` does not count.

    All cells decay, sampled or not.

    Args:
        values: [cells]
        fresh: [M], or [cells] if ``indices`` is None
        indices: int64 [M], may repeat, or None
    Returns:
        New values [cells]; ``values`` is left as it is.
    """
    merged = values * decay
    if indices is None:
        merged = torch.where(fresh > merged, fresh, merged)  # a comparison with NaN is false
    else:
        merged = merged.scatter_reduce(0, indices, fresh.nan_to_num(nan=-torch.inf, posinf=torch.inf), "amax", include_self=True)
    return torch.where(values < 0, values, merged)


def frustum_planes(intrinsics: Tensor, scene_from_camera: Tensor, size: Tensor, near: float) -> Tensor:
    """The side and near planes of pinhole cameras: unit normals that point inwards, and offsets, scene axes and units.

    A point p is inside where ``normal . p >= offset`` for all five.

    Args:
        intrinsics: [V, 3, 3], pixels
        scene_from_camera: [V, 3, 4], OpenCV axes
        size: Width and height in pixels. [V, 2]
        near: Depth of the near plane.
    Returns:
        [V, 5, 4]
    """
    rows = intrinsics  # u = rows[0].p / rows[2].p, so u >= 0 is the half space rows[0].p >= 0 in front of the camera
    planes = torch.stack(
        [rows[:, 0], size[:, :1] * rows[:, 2] - rows[:, 0], rows[:, 1], size[:, 1:] * rows[:, 2] - rows[:, 1], rows[:, 2]], 1
    )
    planes = planes / planes.norm(dim=-1, keepdim=True)
    normals = planes @ scene_from_camera[:, :, :3].transpose(1, 2)  # to scene axes. [V, 5, 3]
    shift = (normals * scene_from_camera[:, None, :, 3]).sum(-1)
    shift[:, 4] += near
    return torch.cat([normals, shift[..., None]], -1)


def spheres_seen(centers: Tensor, radius: float, planes: Tensor) -> Tensor:
    """Whether a sphere reaches the frustum of at least one camera (conservative: never drops one that does).

    Args:
        centers: [M, 3]
        radius: Of all spheres.
        planes: Of :func:`frustum_planes`. [V, 5, 4]
    Returns:
        bool [M]
    """
    distance = torch.einsum("vpa,ma->vpm", planes[..., :3], centers) - planes[..., 3:]
    return (distance >= -radius).all(1).any(0)
