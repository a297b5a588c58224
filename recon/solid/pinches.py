"""Regions that meet in the mesh and not on the part: a strip of a third face between them is narrower than the mesh sees.

There the two surfaces do not cross beside the third as the outlines say. The strip is given back to the third region.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from recon.solid.contacts import meeting_point, with_contacts
from recon.solid.graph import Graph
from recon.solid.mesh import Mesh
from recon.solid.model import Primitive
from recon.solid.primitives import distance


def without_pinches(mesh: Mesh, labels: np.ndarray, graph: Graph, primitives: Sequence[Primitive | None], near: float,
                    step: float) -> np.ndarray | None:  # fmt: skip
    """Labels with such strips given back, as far as that takes no region apart; None if there are none.

    A chain is a pinch when the same third region is at both of its ends, the three surfaces meet nowhere within ``near`` of one point
    (or only far along), and the triangles along it lie about as near to the third surface as the mesh is wide.
    """
    changed = labels.copy()
    pieces = _pieces(mesh, labels)
    for chain in graph.chains:
        if chain.ends is None or chain.ends[0] == chain.ends[1]:
            continue
        common = (graph.nodes[chain.ends[0]] & graph.nodes[chain.ends[1]]) - {chain.left, chain.right}
        three = [p for p in (primitives[k] for k in (chain.left, chain.right)) if p is not None]
        if not common or len(three) < 2 or len(graph.nodes[chain.ends[0]] | graph.nodes[chain.ends[1]]) != 3:
            continue
        third = min(common)
        surface = primitives[third]
        if surface is None or not _apart(graph, chain.ends, [*three, surface], near, step):
            continue
        strip = np.isin(mesh.faces, chain.vertices).any(1) & np.isin(labels, (chain.left, chain.right))
        middle = mesh.vertices[mesh.faces[strip]].mean(1)
        if np.median(np.abs(distance(surface, middle))) < 2 * step + near:
            trial = np.where(strip, third, changed)
            if _pieces(mesh, trial) == pieces:  # no region is taken apart
                changed = trial
    return changed if (changed != labels).any() else None


def _pieces(mesh: Mesh, labels: np.ndarray) -> int:
    a, b, _ = mesh.pairs
    return int(mesh.components(np.ones(len(labels), bool), labels[a] == labels[b]).max()) + 1


def _apart(graph: Graph, ends: tuple[int, int], surfaces: list[Primitive], near: float, step: float) -> bool:
    """Whether the three surfaces do not meet in two points, one near each end."""
    found = []
    for end in ends:
        x, residual = meeting_point(graph.positions[end], with_contacts(surfaces, near))
        if residual > 0.5 * near:
            return True
        found.append(x)
    length = np.linalg.norm(graph.positions[ends[0]] - graph.positions[ends[1]])
    return bool(length > 4 * step and np.linalg.norm(found[0] - found[1]) < 0.25 * length)
