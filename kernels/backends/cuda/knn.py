"""``knn`` in CUDA: launchers of native/cuda/knn.cu."""

from __future__ import annotations

import math

from torch import Tensor

from ..reference.knn import knn_build as knn_build
from . import runtime
from .runtime import Unit, aligned, unit_of


def _unit(like: Tensor, dims: int, k: int) -> Unit:
    return unit_of("knn", like, DIMS=dims, K=k)


def knn_query(boxes: Tensor, leaf_points: Tensor, leaf_ids: Tensor, queries: Tensor, indices: Tensor, squared: Tensor) -> None:
    """indices int32 [M, k] and squared [M, k] of the queries [M, D]."""
    (rows, k), dims = indices.shape, queries.shape[1]
    tree = (aligned(boxes), aligned(leaf_points), leaf_ids, leaf_ids.shape[0])
    runtime.launch(_unit(queries, dims, k), "knn_queries", (rows, 1), rows, *tree, queries, math.inf, indices, squared)
