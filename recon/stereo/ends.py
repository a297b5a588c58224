"""Where a surface ends: what stereo saw of it, and what training made up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

import kernels
from recon.data.scene import Camera
from recon.geometry import Similarity
from recon.rendering.hull import ONE_SIDE
from recon.runs import Run
from recon.stereo.known import kept
from recon.stereo.outline import closed_share
from recon.stereo.points import read_ply
from recon.surface.mesh import Mesh, face_areas, face_components, keep_faces, remove_small_components

REACH, SPACINGS = 0.02, 4.0
"""A vertex was seen if a point of stereo lies this near, scene units, or so many times as near as points lie to each other."""
HOLE = 0.01
"""Holes in what was seen are closed up to this area, scene units squared: panes and plain walls in a facade."""
SAMPLE = 4096
"""Points whose distance to the next is measured."""
LEAST_CLOSED = 0.6
"""Of the border of what was seen from one side: with free space behind more of it, it is an object, and stays closed."""
LEAST_CONFIDENCE = 0.1
LEAST_ISLAND = 0.01
"""Of the area: smaller islands of an open surface are dropped."""

Closed = Literal["auto", "yes", "no"]


@dataclass(frozen=True)
class Ends:
    """What was seen, by the points of stereo; scene units.

    Attributes:
        index: Points.
        count: Photographs that agree on each. uint8 [N]
        reach: A vertex this near to a point was seen.
        cameras: Of all views, scene units.
        open: Whether the surface is to be trimmed to what was seen; None: that depends on its outline.
    """

    index: kernels.KnnIndex
    count: np.ndarray
    reach: float
    cameras: Sequence[Camera]
    open: bool | None

    def seen(self, vertices: np.ndarray) -> np.ndarray:
        """In how many photographs the surface was seen at each vertex; 0: in none, it is made up. [V, 3] -> uint8 [V]"""
        queries = torch.from_numpy(np.ascontiguousarray(vertices, np.float32))
        nearest, squared = kernels.knn(self.index, queries, 1)
        known = squared[:, 0].numpy() < self.reach**2
        return np.where(known, self.count[nearest[:, 0].numpy().clip(0)], 0).astype(np.uint8)

    def kept(self, mesh: Mesh) -> np.ndarray:
        """The faces all of whose vertices were seen, and those of small holes in them. [F] bool"""
        kept = np.asarray((self.seen(mesh.vertices) > 0)[mesh.faces].all(1))
        rest = np.flatnonzero(~kept)
        if kept.any() and len(rest):
            holes = keep_faces(mesh, ~kept)
            part = face_components(holes)
            small = np.bincount(part, face_areas(holes)) < HOLE
            kept[rest[small[part]]] = True
        return kept

    def closed_share(self, mesh: Mesh) -> float:
        """How much of the border of what was seen is an outline with free space behind it; see :func:`closed_share`."""
        return closed_share(mesh, self.kept(mesh), self.cameras)

    def trim(self, mesh: Mesh) -> Mesh:
        """The faces that were seen, with small holes closed and without small islands."""
        if len(mesh.faces) == 0:
            return mesh
        trimmed = _without_bow_ties(keep_faces(mesh, self.kept(mesh)))
        return trimmed if len(trimmed.faces) == 0 else remove_small_components(trimmed, LEAST_ISLAND)

    def invented(self, mesh: Mesh) -> float:
        """Share of the area that no photograph shows."""
        if len(mesh.faces) == 0:
            return 0.0
        areas = face_areas(mesh)
        unknown = (self.seen(mesh.vertices) == 0)[mesh.faces].any(1)
        return float(areas[unknown].sum() / max(areas.sum(), 1e-30))


def _without_bow_ties(mesh: Mesh) -> Mesh:
    """Without the faces at vertices where the border meets itself: simplification and slicers want fans of faces only."""
    while len(mesh.faces):
        sides = np.sort(mesh.faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
        edges, faces = np.unique(sides, axis=0, return_counts=True)
        bad = np.bincount(edges[faces == 1].ravel(), minlength=len(mesh.vertices)) > 2
        if not bad.any():
            break
        mesh = keep_faces(mesh, np.asarray(~bad[mesh.faces].any(1)))
    return mesh


def ends_of(run: Run, closed: Closed, scene_from_world: Similarity, cameras: Sequence[Camera], stands: bool = False) -> Ends | None:
    """What a run's stereo says about where its surface ends; None where there was none.

    Args:
        run: Its ``exports/points.ply`` is read, if it was made by stereo.
        closed: auto: closed unless all cameras stand on one side; then, too, if it stands on something; else its outline says.
        scene_from_world: The run's.
        cameras: Of all views, scene units.
        stands: The object was cut off from what it stands on.
    """
    path = run.exports / "points.ply"
    if not kept(run) or not path.is_file():
        return None
    position, confidence, count = read_ply(path)
    sure = confidence >= LEAST_CONFIDENCE
    points = scene_from_world.apply(position[sure]).astype(np.float32)
    if len(points) == 0:
        return None
    eyes = np.stack([c.center for c in cameras])
    away = eyes / np.linalg.norm(eyes, axis=1, keepdims=True)
    one_sided = float(np.linalg.norm(away.mean(0))) >= ONE_SIDE
    is_open = (None if one_sided and not stands else False) if closed == "auto" else closed == "no"
    index = kernels.knn_index(torch.from_numpy(points))
    some = torch.from_numpy(points[:: max(1, len(points) // SAMPLE)])
    spacing = float(kernels.knn(index, some, 2)[1][:, 1].sqrt().median())  # the first is the point itself
    return Ends(index, count[sure], max(REACH, SPACINGS * spacing), cameras, is_open)
