"""``knn`` in Triton: one lane per query, few queries a program, which runs to its longest; float32.

The tree needs no stack: going up, whether a node was its parent's near child is worked out again, from the same numbers.
"""
# pyright: reportArgumentType=false, reportOperatorIssue=false, reportIndexIssue=false, reportGeneralTypeIssues=false, reportAttributeAccessIssue=false

from __future__ import annotations

import math

import torch
import triton
import triton.language as tl
from torch import Tensor

from ..reference.knn import knn_build as knn_build
from .launch import block, cdiv, launch, power_of_two

QUERIES = 32  # of a program: one warp, which ends with its longest query
INTERPRETED = 64  # of a program in the interpreter


@triton.jit
def _box_distance2(BOXES, node, qx, qy, qz, m, D: tl.constexpr):
    """Squared distance to the boxes of nodes; infinite where ``m`` is not set. [lanes]"""
    at = BOXES + node.to(tl.int64) * (2 * D)
    dx = tl.maximum(tl.maximum(tl.load(at, mask=m, other=float("inf")) - qx, qx - tl.load(at + D, mask=m, other=0.0)), 0.0)
    dy = tl.maximum(tl.maximum(tl.load(at + 1, mask=m, other=float("inf")) - qy, qy - tl.load(at + D + 1, mask=m, other=0.0)), 0.0)
    sum = dx * dx + dy * dy
    if D == 3:
        dz = tl.maximum(tl.maximum(tl.load(at + 2, mask=m, other=float("inf")) - qz, qz - tl.load(at + 5, mask=m, other=0.0)), 0.0)
        sum += dz * dz
    return sum


@triton.jit
def _near_child(BOXES, node, qx, qy, qz, m, D: tl.constexpr):
    """The child that is visited first, by its distance, the left one of two equals."""
    left = _box_distance2(BOXES, 2 * node, qx, qy, qz, m, D)
    right = _box_distance2(BOXES, 2 * node + 1, qx, qy, qz, m, D)
    return 2 * node + (right < left).to(tl.int32)


@triton.jit
def knn_queries(
    BOXES, LEAF_POINTS, LEAF_IDS, LEAVES, QUERIES, IDS, SQUARED, N, limit,
    D: tl.constexpr, K: tl.constexpr, KP: tl.constexpr, LEAF: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """The K nearest points in no order. ``limit``: infinity, an argument because a comparison with it must not be folded away."""
    i = (tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)).to(tl.int64)
    slot = tl.arange(0, KP)
    m = i < N
    qx = tl.load(QUERIES + i * D, mask=m, other=0.0)
    qy = tl.load(QUERIES + i * D + 1, mask=m, other=0.0)
    qz = qx * 0.0
    if D == 3:
        qz = tl.load(QUERIES + i * D + 2, mask=m, other=0.0)
    # slots beyond K can never be the farthest
    best = tl.zeros((BLOCK, KP), tl.float32) + tl.where(slot < K, limit, -1.0)[None, :]
    ids = tl.full((BLOCK, KP), -1, tl.int32)
    worst = tl.zeros((BLOCK,), tl.float32) + limit
    node = tl.full((BLOCK,), 1, tl.int32)
    down = m
    active = m
    while tl.max(active.to(tl.int32), axis=0) > 0:
        # A point's computed distance can be below that of its box by rounding, so look a little farther than the worst.
        close = active & down & (_box_distance2(BOXES, node, qx, qy, qz, active & down, D) * (1 - 1e-6) < worst)
        leaf = close & (node >= LEAVES)
        inner = close & (node < LEAVES)
        if tl.max(leaf.to(tl.int32), axis=0) > 0:
            index = (node - LEAVES).to(tl.int64)
            points = LEAF_POINTS + index * (D * LEAF)
            for j in range(0, LEAF):
                dx = tl.load(points + j, mask=leaf, other=float("inf")) - qx
                dy = tl.load(points + LEAF + j, mask=leaf, other=0.0) - qy
                d2 = dx * dx + dy * dy
                if D == 3:
                    dz = tl.load(points + 2 * LEAF + j, mask=leaf, other=0.0) - qz
                    d2 += dz * dz
                better = leaf & (d2 < worst)
                if tl.max(better.to(tl.int32), axis=0) > 0:
                    found = tl.load(LEAF_IDS + index * LEAF + j, mask=better, other=-1)
                    here = better[:, None] & (slot[None, :] == tl.argmax(best, 1)[:, None])
                    best = tl.where(here, d2[:, None], best)
                    ids = tl.where(here, found[:, None], ids)
                    worst = tl.max(best, 1)
        near = _near_child(BOXES, node, qx, qy, qz, inner, D)
        # up: from a near child to its sibling, from a far one to the parent, from the root out
        up = active & ~inner
        rising = up & (node > 1)
        from_near = rising & (_near_child(BOXES, node >> 1, qx, qy, qz, rising, D) == node)
        active = active & ~(up & (node == 1))
        down = inner | from_near
        node = tl.where(inner, near, tl.where(from_near, node ^ 1, tl.where(rising, node >> 1, node)))
    where = i[:, None] * K + slot[None, :]
    mask = m[:, None] & (slot[None, :] < K)
    tl.store(IDS + where, ids, mask=mask)
    tl.store(SQUARED + where, best, mask=mask)


def knn_query(boxes: Tensor, leaf_points: Tensor, leaf_ids: Tensor, queries: Tensor, indices: Tensor, squared: Tensor) -> None:
    """indices int32 [M, k] and squared [M, k] of the queries [M, D], nearest first."""
    rows, k = indices.shape
    leaves, dims, leaf = leaf_points.shape
    lanes = min(block(rows, QUERIES), INTERPRETED)
    ids, distances = torch.empty_like(indices), torch.empty_like(squared)
    launch(
        knn_queries, (cdiv(rows, lanes),), boxes, leaf_points, leaf_ids, leaves, queries, ids, distances, rows, math.inf, warps=1,
        D=dims, K=k, KP=max(power_of_two(k), 2), LEAF=leaf, BLOCK=lanes,
    )  # fmt: skip
    order = distances.argsort(dim=1, stable=True)
    squared.copy_(distances.gather(1, order))
    indices.copy_(ids.gather(1, order))
