"""``knn`` in CUDA: launchers of native/cuda/knn.cu."""

from __future__ import annotations

import math

from torch import Tensor

from ..reference.knn import knn_build as knn_build
from . import runtime
from .runtime import unit_of


def knn_query(boxes: Tensor, leaf_points: Tensor, leaf_ids: Tensor, queries: Tensor, indices: Tensor, squared: Tensor) -> None:
    """indices int32 [M, k] and squared [M, k] of the queries [M, D]."""
    rows, k = indices.shape
    unit = unit_of("knn", queries, DIMS=queries.shape[1])
    tree = (boxes, leaf_points, leaf_ids, leaf_ids.shape[0])
    runtime.launch(unit, "knn_queries", (rows, 1), rows, *tree, queries, k, math.inf, indices, squared)
