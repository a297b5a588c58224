"""Which views may see a point of a curve, when a surface is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from recon.curves.wireframe.evidence import Evidence
from recon.curves.wireframe.refine import Visibility
from recon.geometry import Similarity
from recon.surface.mesh import Mesh
from recon.surface.raycast import cast, ray_scene
from recon.surface.reading import read_mesh

BEHIND_PX = 4.0
"""A point this far behind the surface still counts as seen: a reconstructed surface rounds its edges off."""
CHUNK = 1 << 18


def visibility(mesh_path: Path, frame_from_world: Similarity, evidence: Evidence) -> Visibility:
    """A function that casts a ray from every camera to every point.

    Args:
        mesh_path: The surface, world units.
        frame_from_world: To the frame of the evidence.
        evidence: Gives the cameras.
    """
    mesh = read_mesh(mesh_path)
    scene = ray_scene(Mesh(frame_from_world.apply(mesh.vertices), mesh.faces))
    centers = np.stack([-np.linalg.solve(p[:, :3], p[:, 3]) for p in evidence.projections])  # [V, 3]

    def visible(points: np.ndarray, tangents: np.ndarray) -> np.ndarray:
        rows = max(CHUNK // len(centers), 1)
        parts = []
        for first in range(0, len(points), rows):
            target = points[first : first + rows]
            gap = (target[:, None] - centers[None]).reshape(-1, 3)
            distance = np.linalg.norm(gap, axis=1)
            origins = np.broadcast_to(centers[None], (len(target), len(centers), 3)).reshape(-1, 3)
            hits = cast(scene, origins, gap / distance[:, None])
            parts.append((hits.distance > distance - BEHIND_PX).reshape(len(target), len(centers)))
        return np.concatenate(parts) if parts else np.zeros((0, len(centers)), bool)

    return visible
