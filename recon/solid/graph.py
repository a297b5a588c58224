"""Who borders whom: the outlines of regions as nodes, chains between them, and loops around every region.

Everything is taken from the closed mesh by walking its half-edges, so that every chain is used by exactly two loops, once in each
direction: shells made from it are closed by construction.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from recon.solid.mesh import Mesh


@dataclass(frozen=True)
class Chain:
    """A piece of outline between two regions.

    Attributes:
        vertices: Numbers of the mesh's vertices along it; the first and the last are the same for a closed one.
        left, right: Regions, seen along it from outside.
        ends: Nodes (numbers of vertices) where it starts and ends; None for a closed one that meets no node.
    """

    vertices: np.ndarray
    left: int
    right: int
    ends: tuple[int, int] | None


@dataclass(frozen=True)
class Loop:
    """A closed outline of a region, the region on its left. ``chains``: (number of the chain, whether along it)."""

    region: int
    chains: list[tuple[int, bool]]


@dataclass(frozen=True)
class Graph:
    """Outlines of all regions. ``nodes``: for each node (a vertex of the mesh, or several that became one) the regions around it."""

    nodes: dict[int, frozenset[int]]
    positions: dict[int, np.ndarray]
    chains: list[Chain]
    loops: list[Loop]


def outlines(mesh: Mesh, labels: np.ndarray) -> Graph:
    """The graph of a labelled mesh. ``labels``: number of the region of each triangle [F]."""
    opposite, starts, ends = mesh.opposite, mesh.starts, mesh.ends
    side = np.repeat(labels, 3)
    boundary = side != side[opposite]
    half = np.flatnonzero(boundary)
    degree = np.bincount(starts[half], minlength=len(mesh.vertices))
    node = degree > 2
    around: dict[int, set[int]] = {int(v): set() for v in np.flatnonzero(node)}
    for corner in np.flatnonzero(node[mesh.starts]):
        around[int(starts[corner])].add(int(side[corner]))
    following = {int(h): _following(int(h), boundary, opposite) for h in half}
    chains: list[Chain] = []
    known: dict[int, int] = {}
    loops: list[Loop] = []
    seen: set[int] = set()
    for first in half.tolist():
        if first in seen:
            continue
        ring = []
        h = first
        while h not in seen:
            seen.add(h)
            ring.append(h)
            h = following[h]
        cuts = [k for k, h in enumerate(ring) if node[starts[h]]]
        ring = ring[cuts[0] :] + ring[: cuts[0]] if cuts else ring
        places = [k - cuts[0] for k in cuts] + [len(ring)] if cuts else [0, len(ring)]
        used = []
        for p, q in pairwise(places):
            piece = ring[p:q]
            key = min(min(piece), min(opposite[piece]))
            if key not in known:
                known[key] = len(chains)
                line = np.r_[starts[piece], ends[piece[-1]]]
                chains.append(
                    Chain(line, int(side[piece[0]]), int(side[opposite[piece[0]]]), (int(line[0]), int(line[-1])) if cuts else None)
                )
            chain = chains[known[key]]
            used.append((known[key], chain.left == side[piece[0]]))
        loops.append(Loop(int(side[first]), used))
    return Graph({k: frozenset(v) for k, v in around.items()}, {k: mesh.vertices[k] for k in around}, chains, loops)


def _following(h: int, boundary: np.ndarray, opposite: np.ndarray) -> int:
    """The next boundary half-edge of the same region: turn about the end vertex through the region's triangles."""
    h = h - h % 3 + (h + 1) % 3
    while not boundary[h]:
        h = int(opposite[h])
        h = h - h % 3 + (h + 1) % 3
    return h
