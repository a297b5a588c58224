"""``knn``: exact nearest neighbours in two and three dimensions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .. import backends
from ..backends.reference import knn as reference
from ..errors import ArgumentError
from . import packed_checks as checks
from .tensors import raw

LEAF = 16
"""Points to a leaf of the tree."""
MAX_NEIGHBORS = 64


@dataclass(frozen=True)
class KnnIndex:
    """A balanced k-d tree over points that do not move, built once and asked often.

    The tree is implicit: 2^h leaves, node i has the children 2i and 2i+1, the root is 1, leaf j is node 2^h + j and holds at most 16
    points. Every split is at the median of the widest side of the node's box, so clustered and repeated points are no special case.

    Attributes:
        points: What was indexed. [N, D]
        boxes: Lower, then upper corner of each node's points (row 0 unused). [2^(h+1), 2 D]; empty if only the reference will be used
        leaf_points: Coordinates of the points of each leaf, one axis after another, missing ones at infinity. [2^h, D, 16]
        leaf_ids: Their indices, missing ones -1. int32 [2^h, 16]
    """

    points: Tensor
    boxes: Tensor
    leaf_points: Tensor
    leaf_ids: Tensor


@torch.no_grad()
def knn_index(points: Tensor, *, backend: str | None = None) -> KnnIndex:
    """Build the search structure of :func:`knn`.

    Args:
        points: Finite; float32 or float64, D = 2 or 3. [N, D]
        backend: Force a backend.
    Raises:
        ArgumentError: Wrong shape or dtype, NaN or infinity.
        BackendError: A forced backend is missing.
    """
    _check_points("knn_index", "points", points)
    if points.device.type == "cpu" and not bool(torch.isfinite(points).all()):
        raise ArgumentError("knn_index: points must be finite")
    points = points.detach()
    name = backends.backend("knn", points.device, backend)
    if name == "reference":
        return KnnIndex(points, points.new_empty(0, 2 * points.shape[1]), points.new_empty(0), points.new_empty(0, dtype=torch.int32))
    leaves = 1
    while leaves * LEAF < points.shape[0]:
        leaves *= 2
    boxes = points.new_empty(2 * leaves, 2 * points.shape[1])
    leaf_points = points.new_empty(leaves, points.shape[1], LEAF)
    leaf_ids = torch.empty(leaves, LEAF, dtype=torch.int32, device=points.device)
    _kernels(name, points).knn_build(raw(points), boxes, leaf_points, leaf_ids)
    return KnnIndex(points, boxes, leaf_points, leaf_ids)


@torch.no_grad()
def knn(points: Tensor | KnnIndex, queries: Tensor, k: int, *, backend: str | None = None) -> tuple[Tensor, Tensor]:
    """The k nearest points of every query, nearest first. Exact.

    Args:
        points: [N, D], D = 2 or 3, or an index built before.
        queries: [M, D], finite, dtype of ``points``. Neighbouring queries that follow each other are found fastest.
        k: 1 to 64.
        backend: Force a backend.
    Returns:
        Indices int32 [M, k] and squared distances [M, k]; -1 and infinity where there are fewer than k points. Which of several points
        at the same distance comes first is not specified, but always the same.
    Raises:
        ArgumentError: Wrong shape, dtype or k, NaN or infinity.
        BackendError: A forced backend is missing.
    """
    cloud = points.points if isinstance(points, KnnIndex) else points
    _check_points("knn", "points", cloud)
    checks.floats("knn", points=(cloud, (None, cloud.shape[1])), queries=(queries, (None, cloud.shape[1])))
    if not 1 <= k <= MAX_NEIGHBORS:
        raise ArgumentError(f"knn: k must be 1 to {MAX_NEIGHBORS}, not {k}")
    if isinstance(points, Tensor) and points.device.type == "cpu" and not bool(torch.isfinite(points).all()):
        raise ArgumentError("knn: points must be finite")
    if queries.device.type == "cpu" and not bool(torch.isfinite(queries).all()):
        raise ArgumentError("knn: queries must be finite")
    name = backends.backend("knn", cloud.device, backend)
    if name == "reference":
        return reference.knn(cloud.detach(), queries.detach(), k)
    index = points if isinstance(points, KnnIndex) and points.boxes.shape[0] else knn_index(cloud, backend=name)
    return _query(index.boxes, index.leaf_points, index.leaf_ids, queries, k, name)


def _check_points(op: str, name: str, points: Tensor) -> None:
    if not isinstance(points, Tensor) or points.dim() != 2 or points.shape[1] not in (2, 3):
        raise ArgumentError(f"{op}: {name} must have shape [N, 2] or [N, 3]")
    checks.floats(op, **{name: (points, (None, points.shape[1]))})
    if points.shape[0] >= 2**31 - LEAF:
        raise ArgumentError(f"{op}: at most 2^31 - {LEAF} points")


def _kernels(backend: str, like: Tensor):
    """The raw functions of a backend; type checkers see those of the CPU, which all have."""
    if TYPE_CHECKING:
        from ..backends.cpu import knn

        return knn
    return backends.raw(backend, "knn", like)


@torch.library.custom_op("formfield::knn", mutates_args=())
def _query(boxes: Tensor, leaf_points: Tensor, leaf_ids: Tensor, queries: Tensor, k: int, backend: str) -> tuple[Tensor, Tensor]:
    indices = torch.empty(queries.shape[0], k, dtype=torch.int32, device=queries.device)
    squared = queries.new_empty(queries.shape[0], k)
    _kernels(backend, queries).knn_query(boxes, leaf_points, leaf_ids, raw(queries), indices, squared)
    return indices, squared


@_query.register_fake
def _(boxes, leaf_points, leaf_ids, queries, k, backend):
    return queries.new_empty(queries.shape[0], k, dtype=torch.int32), queries.new_empty(queries.shape[0], k)
