"""Short chains whose two ends are one vertex of the part: noise splits a vertex of four faces into two of three."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import numpy as np

from recon.solid.contacts import meeting_point, with_contacts
from recon.solid.graph import Graph, Loop
from recon.solid.mesh import Mesh
from recon.solid.model import Primitive

LONGEST = 7.0
"""Chains longer than so many edge lengths of the mesh are edges of the part."""
UNSEEN = 2.5
"""What is shorter than so many edge lengths is not seen by the mesh."""


def collapsed(graph: Graph, mesh: Mesh, primitives: Sequence[Primitive | None], step: float, sigma: float) -> Graph:
    """The graph with the ends of such chains as one node, which has the regions of both.

    A chain goes when all surfaces around it meet near its middle within 2.5 sigma, when its two ends come to lie within 1.5 sigma of each
    other, or when it is too short to be seen. No loop is left empty.
    """
    lengths = [float(np.linalg.norm(np.diff(mesh.vertices[c.vertices], axis=0), axis=1).sum()) for c in graph.chains]
    short = sorted((k for k, length in enumerate(lengths) if length <= LONGEST * step), key=lambda k: lengths[k])

    def goes(k: int, a: int, b: int, regions: dict[int, set[int]]) -> bool:
        return _one_vertex(graph, regions[a], regions[b], primitives, a, b, lengths[k], step, sigma)

    return _contracted(graph, short, goes)


def met(graph: Graph, within: float) -> Graph:
    """The graph with nodes as one that came to lie within this of each other at the two ends of a chain. No loop is left empty."""
    ends = {k: c.ends for k, c in enumerate(graph.chains) if c.ends is not None and c.ends[0] != c.ends[1]}
    apart = {k: float(np.linalg.norm(graph.positions[a] - graph.positions[b])) for k, (a, b) in ends.items()}
    return _contracted(graph, sorted((k for k in apart if apart[k] < within), key=apart.__getitem__), lambda *_: True)


def _contracted(graph: Graph, order: Iterable[int], goes: Callable[[int, int, int, dict[int, set[int]]], bool]) -> Graph:
    """The graph without those chains in ``order`` that ``goes`` lets go: asked with a chain, its nodes by then, and all nodes' regions."""
    parent = {node: node for node in graph.nodes}

    def root(node: int) -> int:
        while parent[node] != node:
            node = parent[node]
        return node

    regions = {node: set(r) for node, r in graph.nodes.items()}
    members = {node: [node] for node in graph.nodes}
    uses: dict[int, list[int]] = {}
    for number, loop in enumerate(graph.loops):
        for k, _ in loop.chains:
            uses.setdefault(k, []).append(number)
    left = [len(loop.chains) for loop in graph.loops]
    gone: set[int] = set()
    for k in order:
        chain = graph.chains[k]
        if chain.ends is None or min(left[n] for n in uses[k]) < 2:
            continue
        a, b = (root(e) for e in chain.ends)
        if a != b and not goes(k, a, b, regions):
            continue
        gone.add(k)
        for n in uses[k]:
            left[n] -= 1
        if a != b:
            parent[a] = b
            regions[b] |= regions[a]
            members[b] += members.pop(a)
    nodes = {n: frozenset(regions[n]) for n in members}
    positions = {n: np.mean([graph.positions[m] for m in group], axis=0) for n, group in members.items()}
    number = {}
    chains = []
    for k, c in enumerate(graph.chains):
        if k not in gone:
            number[k] = len(chains)
            chains.append(c if c.ends is None else replace(c, ends=(root(c.ends[0]), root(c.ends[1]))))
    loops = [Loop(loop.region, [(number[k], along) for k, along in loop.chains if k not in gone]) for loop in graph.loops]
    return Graph(nodes, positions, chains, loops)


def _one_vertex(graph: Graph, ra: set[int], rb: set[int], primitives: Sequence[Primitive | None], a: int, b: int, length: float,
                step: float, sigma: float) -> bool:  # fmt: skip
    if length < UNSEEN * step:
        return True
    middle = 0.5 * (graph.positions[a] + graph.positions[b])

    def meet(regions: set[int], start: np.ndarray, cut: float) -> tuple[np.ndarray, float]:
        there = [p for p in (primitives[k] for k in sorted(regions)) if p is not None]
        return meeting_point(start, with_contacts(there, 3 * sigma), cut) if there else (start, 0.0)

    x, residual = meet(ra | rb, middle, 0.02)
    if residual < 2.5 * sigma and np.linalg.norm(x - middle) < 3 * step:
        return True
    xa, xb = meet(ra, graph.positions[a], 0.1)[0], meet(rb, graph.positions[b], 0.1)[0]
    return bool(np.linalg.norm(xa - xb) < 1.5 * sigma)
