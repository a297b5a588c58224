"""A patch for every region that no primitive explains, or a plane for each of its triangles."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from recon.errors import DataError
from recon.solid.exact import Segmentation, corner_points
from recon.solid.graph import Graph
from recon.solid.mesh import Mesh
from recon.solid.model import Primitive
from recon.solid.patches import extrusion_direction, extrusion_patch, height_patch

FOLLOWS = 6.0
"""A patch has 97 % of its points within so many standard deviations."""
MOST_FACETS = 4000
"""More plane faces than this make a file that no CAD program likes to open."""


def as_facets(mesh: Mesh, found: Segmentation, points: list[np.ndarray]) -> tuple[Segmentation, list[np.ndarray]]:
    """Every triangle of a region without a primitive as a region of its own, and the points of all regions.

    Raises:
        DataError: If there are more than :data:`MOST_FACETS`.
    """
    free = np.array([p is None for p in found.primitives])
    chosen = np.flatnonzero(free[found.labels])
    if len(chosen) > MOST_FACETS:
        raise DataError(
            f"{len(chosen)} triangles are of free form; as plane faces at most {MOST_FACETS} are written",
            hint="Simplify the mesh first, or take B-spline patches (--freeform bspline).",
        )
    number = np.cumsum(~free) - 1
    labels = number[found.labels]
    kept = int((~free).sum())
    labels[chosen] = kept + np.arange(len(chosen))
    planes = [Primitive("plane", mesh.vertices[mesh.faces[t]].mean(0), mesh.normals[t]) for t in chosen]
    primitives: list[Primitive | None] = [p for p in found.primitives if p is not None]
    primitives += planes
    corners = [mesh.vertices[mesh.faces[t]] for t in chosen]
    facets = frozenset(range(kept, len(primitives)))
    return Segmentation(labels, primitives, facets), [x for x, none in zip(points, free, strict=True) if not none] + corners


def patch_for(mesh: Mesh, graph: Graph, labels: np.ndarray, region: int, sigma: float, exact: bool) -> Primitive | None:
    """The patch of a region: drawn along a direction if its normals allow, else a height over a plane; None if neither can be."""
    triangles = np.flatnonzero(labels == region)
    _, points, normals = corner_points(mesh, triangles)
    direction = extrusion_direction(mesh.normals[triangles], mesh.areas[triangles], 1e-3 if exact else 0.08)
    if direction is not None:
        guide, closed = _guide(mesh, graph, region, direction)
        if guide is not None:
            found = extrusion_patch(points, direction, guide, closed, exact, max(4, min(24, len(points) // 60)))
            if found is not None and np.quantile(np.abs(found.patch.implicit(points)[0]), 0.97) < FOLLOWS * sigma:
                return found
    found = height_patch(points, normals, sigma)
    # a tessellation is followed as well as it can be
    if found is None or exact or np.quantile(np.abs(found.patch.implicit(points)[0]), 0.97) < FOLLOWS * sigma:
        return found
    return None


def _guide(mesh: Mesh, graph: Graph, region: int, direction: np.ndarray) -> tuple[np.ndarray | None, bool]:
    """The piece of the region's outline that runs along its profile: across the direction, without the sides along it."""
    best: tuple[float, np.ndarray | None, bool] = (0.0, None, False)
    for loop in graph.loops:
        if loop.region != region:
            continue
        line = mesh.vertices[_around(graph, loop.chains)]
        step = np.diff(line, axis=0)
        across = step - np.outer(step @ direction, direction)
        side = np.linalg.norm(across, axis=1) < 0.2 * np.linalg.norm(step, axis=1)
        flat = line - np.outer(line @ direction, direction)
        if not side.any():
            length = float(np.linalg.norm(across, axis=1).sum())
            if length > best[0]:
                best = (length, flat, True)
            continue
        first = int(np.flatnonzero(side)[0])
        line, side = np.roll(flat[:-1], -first, axis=0), np.roll(side, -first)
        start = 0
        while start < len(side):
            if side[start]:
                start += 1
                continue
            end = start
            while end < len(side) and not side[end]:
                end += 1
            piece = line[start : end + 1] if end < len(side) else np.vstack([line[start:], line[:1]])
            length = float(np.linalg.norm(np.diff(piece, axis=0), axis=1).sum())
            if length > best[0]:
                best = (length, piece, False)
            start = end
    return best[1], best[2]


def _around(graph: Graph, chains: Sequence[tuple[int, bool]]) -> np.ndarray:
    """Vertices along a loop, the first again at the end."""
    pieces = [graph.chains[k].vertices if along else graph.chains[k].vertices[::-1] for k, along in chains]
    return np.concatenate([*(p[:-1] for p in pieces), pieces[0][:1]])
