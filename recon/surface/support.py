"""What an object stands on or hangs from, in a capture without masks: the table or wall that runs through the bounding sphere.

Photographs of a real object show its support, and so the surface has it too, glued on and cut off at the sphere. A flat support is a
plane that meets the sphere on a large part of a circle, with everything that is seen on the cameras' side of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recon.surface.mesh import Mesh, face_areas, face_cross

RIM = 0.7
"""Parts of the surface farther from the centre than this, sphere radii, may be the support's outer part."""
TOLERANCE = 0.03
"""How far the support's surface may be from its plane, sphere radii: walls and tables come out wavy."""
FACING = 0.7
"""Least cosine between a face's normal and the plane's."""
SECTORS = 36
BORDER = 0.85
"""A support goes on beyond the sphere: it must be there near it, outside this radius. What photographs show little of ends in rags."""
LEAST_SECTORS = 0.35
"""Share of the circle where the plane meets the sphere along which the support must be there."""
LEAST_OBJECT = 0.02
"""Share of the surface's area that must be above the support."""
LEAST_SHARE = 0.5
"""Share of the surface's outer part that must lie on the plane or be hidden behind it: else the scene is more than an object on a plane."""
IN_FRONT = 0.95
"""Share of the cameras that must be in front of the plane."""
TRIALS = 2000
POINTS = 4000


@dataclass(frozen=True)
class Plane:
    """``{x : normal . x = offset}``; the object is where ``normal . x > offset``.

    Attributes:
        normal: Unit vector. [3]
        offset: Along the normal.
    """

    normal: np.ndarray
    offset: float

    def height(self, points: np.ndarray) -> np.ndarray:
        """Signed distance of points [N, 3] above the plane. [N]"""
        return points @ self.normal - self.offset


def find_support(mesh: Mesh, camera_centers: np.ndarray, sphere_radius: float = 1.0, seed: int = 0) -> Plane | None:
    """The plane above which the object is, or None if the surface shows no flat support.

    The plane is found by RANSAC on the outer part of the surface, refined by least squares, and then lifted to where 95 % of the
    support's surface is below it.

    Args:
        mesh: The surface, cut off at a sphere about the origin; normals outward.
        camera_centers: Where the photographs were taken, in the mesh's frame. [V, 3]
        sphere_radius: Radius of the sphere.
        seed: Of the random trials.
    """
    centroid = mesh.vertices[mesh.faces].mean(1) / sphere_radius
    radius = np.linalg.norm(centroid, axis=1)
    normal = face_cross(mesh)
    normal = normal / np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-30)
    seen = radius < 0.985  # what is farther out is where the sphere cut
    rim = np.flatnonzero(seen & (radius > RIM))
    areas = face_areas(mesh)
    if len(rim) < 100 or len(camera_centers) == 0:
        return None
    rng = np.random.default_rng(seed)

    def drawn(faces: np.ndarray) -> np.ndarray:
        """Faces drawn by area, so that a finely cut part weighs no more than a coarse one."""
        return rng.choice(faces, POINTS, p=areas[faces] / areas[faces].sum())

    sample = drawn(rim)
    points, facing = centroid[sample], normal[sample]
    best = _ransac(points, facing, rng)
    if best is None:
        return None
    outer = drawn(np.flatnonzero(seen & (radius > 0.5)))
    for _ in range(5):
        height = best.height(centroid[outer])
        on = (np.abs(height) < TOLERANCE) & (normal[outer] @ best.normal > FACING)
        if on.sum() < 50:
            return None
        best = _fitted(centroid[outer][on], best.normal)
    height = best.height(points)
    on = (np.abs(height) < TOLERANCE) & (facing @ best.normal > FACING)
    if (on | (height < -TOLERANCE)).mean() < LEAST_SHARE:
        return None
    if (best.height(camera_centers / sphere_radius) > TOLERANCE).mean() < IN_FRONT:
        return None
    plane = Plane(best.normal, best.offset + float(np.quantile(height[on], 0.95)) + 0.005)
    height = best.height(centroid)
    border = seen & (radius > BORDER) & (np.abs(height) < TOLERANCE) & (normal @ best.normal > FACING)
    if _sectors(centroid[border], best.normal) < LEAST_SECTORS:
        return None
    object_area = areas[seen & (plane.height(centroid) > 0)].sum()
    return Plane(plane.normal, plane.offset * sphere_radius) if object_area >= LEAST_OBJECT * areas.sum() else None


def _ransac(points: np.ndarray, facing: np.ndarray, rng: np.random.Generator) -> Plane | None:
    """The plane through three points with most points near it that face its way. [N, 3], [N, 3]"""
    best, most = None, 0
    for _ in range(TRIALS):
        a, b, c = points[rng.integers(0, len(points), 3)]
        n = np.cross(b - a, c - a)
        length = np.linalg.norm(n)
        if length < 0.05:  # too small a triangle fixes no plane
            continue
        n = n / length
        plane = Plane(n, float(n @ a))
        towards = facing @ n
        near = np.abs(plane.height(points)) < TOLERANCE
        up, down = int((near & (towards > FACING)).sum()), int((near & (towards < -FACING)).sum())
        if max(up, down) > most:
            most = max(up, down)
            best = plane if up >= down else Plane(-n, -plane.offset)
    return best


def _fitted(points: np.ndarray, like: np.ndarray) -> Plane:
    """Least squares plane through points [N, 3], its normal on the side of ``like``."""
    middle = points.mean(0)
    n = np.linalg.svd(points - middle, full_matrices=False)[2][2]
    n = n if n @ like > 0 else -n
    return Plane(n, float(n @ middle))


def _sectors(points: np.ndarray, normal: np.ndarray) -> float:
    """Share of the directions about the normal in which there are points. [N, 3]"""
    aside = np.cross(normal, np.eye(3)[np.argmin(np.abs(normal))])
    aside = aside / np.linalg.norm(aside)
    angle = np.arctan2(points @ np.cross(normal, aside), points @ aside)
    return len(np.unique(((angle + np.pi) / (2 * np.pi) * SECTORS).astype(int) % SECTORS)) / SECTORS
