"""k nearest neighbours by comparing everything with everything, and the tree of the GPU backends built a level at a time."""

from __future__ import annotations

import math

import torch
from torch import Tensor

CHUNK_VALUES = 1 << 24
"""Coordinate differences held at a time: 64 MiB in float32."""


def knn(points: Tensor, queries: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """See :func:`kernels.knn`. -> int32 [M, k], [M, k]"""
    count = min(k, points.shape[0])
    indices = torch.full((queries.shape[0], k), -1, dtype=torch.int32, device=points.device)
    squared = torch.full((queries.shape[0], k), math.inf, dtype=points.dtype, device=points.device)
    if count == 0:
        return indices, squared
    chunk = max(1, CHUNK_VALUES // (points.shape[0] * points.shape[1]))
    for first in range(0, queries.shape[0], chunk):
        part = slice(first, first + chunk)
        distance = (queries[part, None] - points[None]).square().sum(-1)
        squared[part, :count], order = torch.topk(distance, count, largest=False, sorted=True)
        indices[part, :count] = order.to(torch.int32)
    return indices, squared


def knn_build(points: Tensor, boxes: Tensor, leaf_points: Tensor, leaf_ids: Tensor) -> None:
    """Fill the tree of :class:`kernels.ops.knn.KnnIndex`, a level at a time: all nodes of a level have equally many places.

    Places without a point are at infinity and sort to the end, so the last leaves may be empty; empty boxes are infinitely far.
    """
    leaves, dims, leaf = leaf_points.shape
    places, count = leaves * leaf, points.shape[0]
    ids = torch.full((places,), -1, dtype=torch.int32, device=points.device)
    ids[:count] = torch.arange(count, dtype=torch.int32, device=points.device)
    coordinates = points.new_full((places, dims), math.inf)
    coordinates[:count] = points
    boxes[0] = 0
    for nodes in (1 << level for level in range(leaves.bit_length())):
        block, members = coordinates.view(nodes, -1, dims), ids.view(nodes, -1)
        lower = block.amin(1)
        upper = torch.where(members[..., None] >= 0, block, -math.inf).amax(1)
        boxes[nodes : 2 * nodes] = torch.cat([lower, upper], 1)
        if nodes == leaves:
            break
        axis = (upper - lower).argmax(1)
        order = block.gather(2, axis[:, None, None].expand(-1, block.shape[1], 1))[..., 0].argsort(dim=1, stable=True)
        coordinates = block.gather(1, order[..., None].expand_as(block)).reshape(places, dims)
        ids = members.gather(1, order).reshape(-1)
    leaf_points.copy_(coordinates.view(leaves, leaf, dims).transpose(1, 2))
    leaf_ids.copy_(ids.view(leaves, leaf))
