"""Which photographs are compared with which."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

ALL_PAIRS = 60
"""Up to this many photographs, every pair is matched."""
LARGE_FEATURES = 200
"""Features of the largest scale by which photographs are compared first."""
LEAST_SHARED = 4
MOST_PARTNERS = 30
RATIO = 0.8


def choose_pairs(
    names: Sequence[str], largest: Callable[[str, int], np.ndarray], neighbors: int, progress: Callable[[int, int], None]
) -> list[tuple[int, int]]:
    """Pairs (i < j) worth matching: all of a small set; of a large one neighbours by name and what shares large features.

    Source: Wu, "Towards linear-time incremental structure from motion", 2013 (preemptive matching). Mutual nearest neighbours among the
    features of the largest scale, with Lowe's ratio; a photograph keeps its best 30 partners with at least 4. Time: n^2 / 2 products of
    200 x 128 x 200; memory: n x 100 kB.

    Args:
        names: Photographs, in the order in which they were taken.
        largest: Unit descriptors of a photograph's features of the largest scale. (name, count) -> [<= count, 128] float32
        neighbors: Photographs this many places apart, and 2, 4, 8, ... places, are paired in any case.
        progress: Called with photographs done and in all.
    """
    n = len(names)
    if n <= ALL_PAIRS:
        return [(i, j) for i in range(n) for j in range(i + 1, n)]
    steps = {*range(1, neighbors + 1), *(2**k for k in range(1, 6))}
    pairs = {(i, i + step) for i in range(n) for step in steps if i + step < n}
    descriptors = [largest(name, LARGE_FEATURES) for name in names]
    votes = np.zeros((n, n), np.int64)
    for i in range(n):
        for j in range(i + 1, n):
            votes[i, j] = votes[j, i] = shared(descriptors[i], descriptors[j])
        progress(i + 1, n)
    for i in range(n):
        best = np.argsort(-votes[i], kind="stable")[:MOST_PARTNERS]
        pairs |= {(min(i, int(j)), max(i, int(j))) for j in best if votes[i, j] >= LEAST_SHARED}
    return sorted(pairs)


def shared(a: np.ndarray, b: np.ndarray) -> int:
    """How many features of two photographs are each other's nearest, clearly. [A, 128], [B, 128] unit -> count"""
    if len(a) < 2 or len(b) < 2:
        return 0
    cosine = a @ b.T
    best = cosine.argmax(axis=1)
    two = -np.partition(-cosine, 1, axis=1)[:, :2]
    distance = np.sqrt(np.maximum(2 - 2 * two, 0))
    mutual = cosine.argmax(axis=0)[best] == np.arange(len(a))
    return int((mutual & (distance[:, 0] < RATIO * distance[:, 1])).sum())
