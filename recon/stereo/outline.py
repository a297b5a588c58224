"""Whether what was seen of a surface closes: an object, with free space behind its outline, or a part of something that goes on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.ndimage import maximum_filter, minimum_filter

from recon.data.scene import Camera
from recon.surface.mesh import Mesh
from recon.surface.raycast import cast, ray_scene

EYES, SIZE = 24, 192
"""Cameras that are looked through, evenly out of all, and the longer side of their pictures, pixels."""
BESIDE = 3
"""Pixels: a surface is no longer matched shortly before it turns away."""
BEHIND = 0.1
"""Free space behind an outline from one pixel to the next, at least, scene units."""
HIDDEN = 0.05
"""What is this much nearer hides a point, scene units."""
CUT = 0.93
"""Farther out it is the sphere that ends a surface, scene units."""


def closed_share(mesh: Mesh, kept: np.ndarray, cameras: Sequence[Camera]) -> float:
    """Share of the border of the seen part, by length, where the surface ends: some camera looks past it there, at free space.

    The rest is where it goes on: into what nothing was matched on, beyond the pictures, beyond the sphere.

    Args:
        mesh: The closed surface, cut off at the unit sphere; scene units.
        kept: Faces that were seen. [F] bool
        cameras: In scene units.
    Returns:
        0 to 1; 0 where nothing was seen, 1 where everything was.
    """
    middle, length = _border(mesh, kept)
    if len(middle) == 0:
        return float(kept.any())
    closed = np.zeros(len(middle), bool)
    scene, inside = ray_scene(mesh), np.linalg.norm(middle, axis=1) < CUT
    for camera in (cameras[i] for i in np.unique(np.linspace(0, len(cameras) - 1, min(len(cameras), EYES)).round().astype(int))):
        small = SIZE / max(camera.width, camera.height)
        camera = camera.resized(max(2 * BESIDE + 1, round(camera.width * small)), max(2 * BESIDE + 1, round(camera.height * small)))
        row, column = np.mgrid[: camera.height, : camera.width] + 0.5
        distance = cast(scene, *camera.rays(np.stack([column, row], -1).reshape(-1, 2))).distance.reshape(row.shape)
        first = minimum_filter(distance, 3, mode="nearest")
        jumps = maximum_filter(distance, 3, mode="nearest") > distance + BEHIND
        outline = maximum_filter(jumps, 2 * BESIDE + 1, mode="nearest")
        uv, z = camera.project(middle)
        with np.errstate(invalid="ignore"):
            seen = (z > 0) & (uv >= BESIDE).all(1) & (uv < [camera.width - BESIDE, camera.height - BESIDE]).all(1)
        some = np.flatnonzero(seen & inside & ~closed)
        i, j = uv[some, 1].astype(int), uv[some, 0].astype(int)
        away = np.linalg.norm(middle[some] - camera.center, axis=1)
        closed[some] = (away < first[i, j] + HIDDEN) & outline[i, j]
    return float(length[closed].sum() / length.sum())


def _border(mesh: Mesh, kept: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Middles [E, 3] and lengths [E] of the edges between a kept face and another."""
    sides, count = np.sort(mesh.faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1).astype(np.int64), len(mesh.vertices)
    edges, edge = np.unique(sides[:, 0] * count + sides[:, 1], return_inverse=True)  # one number for both ends: pairs are slow to sort
    own = np.bincount(edge, weights=np.repeat(kept, 3), minlength=len(edges))
    every = np.bincount(edge, minlength=len(edges))
    chosen = edges[(own > 0) & ((own < every) | (every == 1))]
    a, b = mesh.vertices[chosen // max(count, 1)], mesh.vertices[chosen % max(count, 1)]
    return (a + b) / 2, np.linalg.norm(a - b, axis=1)
