"""``knn`` on the CPU: native/cpu/knn.cpp."""

from __future__ import annotations

import torch
from torch import Tensor

from ..._native import knn_build as _build
from ..._native import knn_query as _query


def knn_build(points: Tensor, boxes: Tensor, leaf_points: Tensor, leaf_ids: Tensor) -> None:
    """Fill the tree of :class:`kernels.KnnIndex`."""
    _build(points, boxes, leaf_points, leaf_ids, torch.get_num_threads())


def knn_query(boxes: Tensor, leaf_points: Tensor, leaf_ids: Tensor, queries: Tensor, indices: Tensor, squared: Tensor) -> None:
    """indices int32 [M, k] and squared [M, k] of the queries [M, D], nearest first."""
    _query(boxes, leaf_points, leaf_ids, queries, indices, squared, torch.get_num_threads())
