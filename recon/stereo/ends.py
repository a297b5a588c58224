"""Where a surface ends: what stereo saw of it, and what training made up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

import kernels
from recon.geometry import Similarity
from recon.rendering.hull import ONE_SIDE
from recon.runs import Run
from recon.stereo.points import read_ply
from recon.surface.mesh import Mesh, face_areas, keep_faces, remove_small_components

REACH = 0.04
"""A vertex is known if a point of stereo lies this near, scene units: a hole without texture is closed that far from its border."""
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
        open: The surface is to be trimmed to what was seen.
    """

    index: kernels.KnnIndex
    count: np.ndarray
    open: bool

    def seen(self, vertices: np.ndarray) -> np.ndarray:
        """In how many photographs the surface was seen at each vertex; 0: in none, it is made up. [V, 3] -> uint8 [V]"""
        queries = torch.from_numpy(np.ascontiguousarray(vertices, np.float32))
        nearest, squared = kernels.knn(self.index, queries, 1)
        known = squared[:, 0].numpy() < REACH**2
        return np.where(known, self.count[nearest[:, 0].numpy().clip(0)], 0).astype(np.uint8)

    def trim(self, mesh: Mesh) -> Mesh:
        """The faces all of whose vertices were seen, without small islands."""
        if len(mesh.faces) == 0:
            return mesh
        known = (self.seen(mesh.vertices) > 0)[mesh.faces].all(1)
        kept = keep_faces(mesh, np.asarray(known))
        return kept if len(kept.faces) == 0 else remove_small_components(kept, LEAST_ISLAND)

    def invented(self, mesh: Mesh) -> float:
        """Share of the area that no photograph shows."""
        if len(mesh.faces) == 0:
            return 0.0
        areas = face_areas(mesh)
        unknown = (self.seen(mesh.vertices) == 0)[mesh.faces].any(1)
        return float(areas[unknown].sum() / max(areas.sum(), 1e-30))


def ends_of(run: Run, closed: Closed, scene_from_world: Similarity, eyes: np.ndarray) -> Ends | None:
    """What a run's stereo says about where its surface ends; None where there was none.

    Args:
        run: Its ``exports/points.ply`` is read, if it was made by stereo.
        closed: auto: open if all cameras stand on one side.
        scene_from_world: The run's.
        eyes: Camera centres, scene units. [V, 3]
    """
    path = run.exports / "points.ply"
    if not (run.folder / "stereo" / "stereo.json").is_file() or not path.is_file():
        return None
    position, confidence, count = read_ply(path)
    sure = confidence >= LEAST_CONFIDENCE
    points = scene_from_world.apply(position[sure]).astype(np.float32)
    if len(points) == 0:
        return None
    away = eyes / np.linalg.norm(eyes, axis=1, keepdims=True)
    one_sided = float(np.linalg.norm(away.mean(0))) >= ONE_SIDE
    is_open = one_sided if closed == "auto" else closed == "no"
    return Ends(kernels.knn_index(torch.from_numpy(points)), count[sure], is_open)
