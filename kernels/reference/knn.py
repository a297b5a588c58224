"""k nearest neighbours by comparing everything with everything."""

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
