"""A plane that cuts what is shown: what is left of the mesh, and its outline in the plane."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import trimesh

from recon.surface.mesh import Mesh
from viewer.painter import Crop


@dataclass(frozen=True)
class Section:
    """Across an axis of the scene (0, 1, 2) at a place in [-1, 1]; what lies below it stays, or with ``flip`` above it."""

    axis: int
    at: float
    flip: bool = False

    @property
    def normal(self) -> np.ndarray:
        """Towards what stays. [3]"""
        return (1.0 if self.flip else -1.0) * np.eye(3)[self.axis]

    def crop(self, crop: Crop | None) -> Crop:
        """What stays of a box, for the field."""
        low, high = list((-1.0, -1.0, -1.0) if crop is None else crop.low), list((1.0, 1.0, 1.0) if crop is None else crop.high)
        if self.flip:
            low[self.axis] = max(low[self.axis], self.at)
        else:
            high[self.axis] = min(high[self.axis], self.at)
        high[self.axis] = max(high[self.axis], low[self.axis] + 0.01)
        return Crop((low[0], low[1], low[2]), (high[0], high[1], high[2]))

    def cut(self, mesh: Mesh) -> tuple[Mesh, np.ndarray]:
        """What stays of a mesh (scene units, without colours), and its outline in the plane. Mesh, [S, 2, 3]"""
        origin = self.at * np.eye(3)[self.axis]
        whole = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
        outline = np.asarray(trimesh.intersections.mesh_plane(whole, self.normal, origin), np.float64).reshape(-1, 2, 3)
        vertices, faces, *_ = trimesh.intersections.slice_faces_plane(mesh.vertices, mesh.faces, self.normal, origin)
        return Mesh(np.asarray(vertices, np.float64), np.asarray(faces, np.int32)), outline
