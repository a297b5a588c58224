"""Faces that could not be joined: given up as primitives, so that what is sound around them can be.

Where a surface is wrong (a pocket that photographs do not show well) some cones and tori lie within its noise as well, but their
intersections are nowhere near the mesh, and one such face spoils all that touch it. What is left of them is one part of free form.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import replace

import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components

from recon.solid.exact import Segmentation, connected_regions
from recon.solid.mesh import Mesh

LARGE = 0.05
"""Faces with a larger part of the area are not given up: their neighbours are what is wrong with them."""


def surrendered(mesh: Mesh, found: Segmentation, points: list[np.ndarray], bad: Set[int]) -> tuple[Segmentation, list[np.ndarray]] | None:
    """Regions and their points after bad ones are given up and joined with those of free form beside them; None if none can be.

    Of bad regions that touch each other the largest stays: it may have been spoilt by the others. Round ones go before planes.

    Args:
        mesh: The surface.
        found: Its regions.
        points: What each is fitted to.
        bad: Numbers of regions whose faces are not valid.
    """
    a, b, _ = mesh.pairs
    n = len(found.primitives)
    areas = np.bincount(found.labels, weights=mesh.areas, minlength=n)
    member = np.zeros(n, bool)
    member[sorted(bad)] = True
    x, y = found.labels[a], found.labels[b]
    touch = (x != y) & member[x] & member[y]
    group = connected_components(csr_matrix((np.ones(touch.sum(), np.int8), (x[touch], y[touch])), shape=(n, n)), directed=False)[1]
    given: set[int] = set()
    for number in np.unique(group[member]):
        ranked = sorted(np.flatnonzero(member & (group == number)).tolist(), key=lambda k: areas[k])
        given |= {k for k in (ranked[:-1] if len(ranked) > 1 else ranked) if areas[k] < LARGE * areas.sum()}
    given -= {k for k, p in enumerate(found.primitives) if p is None}
    if not given:
        return None
    # noise makes more round faces than plane ones: planes only if that does not help
    round_ones = {k for k in given if (p := found.primitives[k]) is not None and p.kind != "plane"}
    given = round_ones or given
    free = np.array([k in given or p is None for k, p in enumerate(found.primitives)])
    first = int(np.flatnonzero(free)[0])
    joined = connected_regions(
        mesh,
        np.where(free[found.labels], first, found.labels),
        [None if free[k] else p for k, p in enumerate(found.primitives)],
    )
    before = np.zeros(len(joined.primitives), int)
    before[joined.labels] = found.labels
    return replace(joined, facets=found.facets), [points[k] for k in before]
