"""What an object stands on or hangs from, in a capture without masks: the table or wall that runs through the bounding sphere.

Photographs of a real object show its support, and so the surface has it too, glued on and cut off at the sphere. A flat support is a
plane that reaches far out on a large part of a circle, with everything that is seen on the cameras' side of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recon.surface.mesh import Mesh, face_areas, face_cross
from recon.surface.raycast import ray_scene, visible

RIM = 0.5
"""The support is looked for on the parts of the surface farther from the centre than this, sphere radii."""
TOLERANCE = 0.03
"""How far the support's surface may be from its plane, sphere radii: walls and tables come out wavy."""
FACING = 0.7
"""Least cosine between a face's normal and the plane's."""
SECTORS = 36
BORDER = 0.7
"""A support goes on beyond the sphere: it must be there outside this radius. Nearer to the sphere it may have ended in rags, where the
photographs show little of it, or where a learnt background explained it."""
LEAST_SECTORS = 0.3
"""Share of the circle where the plane meets the sphere along which the support must be there."""
LEAST_OBJECT = 0.02
"""Share of the seen surface that must be above the support."""
EDGE = 0.85
LEAST_EDGE = 0.02
"""Less than this share of the seen surface outside the radius EDGE means that nothing reaches the sphere."""
MOST_ABOVE = 0.5
"""Share of what is seen of the surface outside the radius EDGE, if there is any, that may be above the plane: where more is, the scene is
more than an object on a plane."""
MOST_BEHIND = 0.12
"""Share of the seen surface that may be behind the plane, by twice TOLERANCE and more. Little can be seen through a table or wall (it may
have holes); behind the front of a house its sides can."""
IN_FRONT = 0.95
"""Share of the cameras that must be in front of the plane."""
TRIALS = 2000
POINTS = 4000
EYES = 32
"""Cameras, evenly out of all, from which the surface is looked at."""


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

    Only what the cameras can see counts: what is behind a wall is whatever training started with. The plane is found by RANSAC on the
    outer part of the surface, refined by least squares, and then lifted to where 95 % of the support's surface is below it.

    Args:
        mesh: The surface, cut off at a sphere about the origin; normals outward.
        camera_centers: Where the photographs were taken, in the mesh's frame. [V, 3]
        sphere_radius: Radius of the sphere.
        seed: Of the random trials.
    """
    centers = camera_centers / sphere_radius
    rng = np.random.default_rng(seed)
    points, normals = _seen(mesh, camera_centers, rng)
    points = points / sphere_radius
    radius = np.linalg.norm(points, axis=1)
    kept = radius < 0.985  # what is farther out is where the sphere cut
    points, normals, radius = points[kept], normals[kept], radius[kept]
    rim = radius > RIM
    if rim.sum() < 100:
        return None
    best = _ransac(points[rim], normals[rim], centers, rng)
    if best is None:
        return None
    for _ in range(5):
        on = _on(best, points, normals) & rim
        if on.sum() < 50:
            return None
        best = _fitted(points[on], best.normal)
    height = best.height(points)
    on, edge = _on(best, points, normals), radius > EDGE
    if (
        (edge.mean() > LEAST_EDGE and (height[edge] > TOLERANCE).mean() > MOST_ABOVE)
        or (height < -2.0 * TOLERANCE).mean() > MOST_BEHIND
        or _share_in_front(best, centers) < IN_FRONT
        or _sectors(points[on & (radius > BORDER)], best.normal) < LEAST_SECTORS
    ):
        return None
    plane = Plane(best.normal, best.offset + float(np.quantile(height[on & rim], 0.95)) + 0.005)
    if (plane.height(points) > 0).mean() < LEAST_OBJECT:
        return None
    return Plane(plane.normal, plane.offset * sphere_radius)


def _seen(mesh: Mesh, eyes: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Middles and unit normals of faces that some camera sees, drawn by area, so that a finely cut part weighs no more than a coarse one.

    Returns:
        [N, 3], [N, 3]; both empty if nothing is seen.
    """
    areas = face_areas(mesh)
    if areas.sum() == 0 or len(eyes) == 0:
        return np.zeros((0, 3)), np.zeros((0, 3))
    faces = rng.choice(len(areas), 4 * POINTS, p=areas / areas.sum())
    points, normals = mesh.vertices[mesh.faces[faces]].mean(1), face_cross(mesh)[faces]
    normals = normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-30)
    scene, seen = ray_scene(mesh), np.zeros(len(points), bool)
    margin = 2.0 * np.sqrt(areas.mean())  # of about two faces
    for eye in eyes[np.linspace(0, len(eyes) - 1, min(len(eyes), EYES)).round().astype(int)]:
        towards = ((eye - points) * normals).sum(1) > 0
        seen[towards] |= visible(scene, points[towards], eye, margin)
    return points[seen], normals[seen]


def _on(plane: Plane, points: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """Which points [N, 3] with normals [N, 3] lie on a plane and face its way. [N] bool"""
    return (np.abs(plane.height(points)) < TOLERANCE) & (normals @ plane.normal > FACING)


def _share_in_front(plane: Plane, centers: np.ndarray) -> float:
    return float((plane.height(centers) > TOLERANCE).mean())


def _ransac(points: np.ndarray, normals: np.ndarray, centers: np.ndarray, rng: np.random.Generator) -> Plane | None:
    """The plane through three points that has the cameras in front and most points on it. [N, 3], [N, 3], [V, 3]"""
    best, most = None, 0
    for _ in range(TRIALS):
        a, b, c = points[rng.integers(0, len(points), 3)]
        n = np.cross(b - a, c - a)
        length = np.linalg.norm(n)
        if length < 0.05:  # too small a triangle fixes no plane
            continue
        n = n / length
        n = n if n @ (centers.mean(0) - a) > 0 else -n
        plane = Plane(n, float(n @ a))
        if _share_in_front(plane, centers) < IN_FRONT:
            continue
        count = int(_on(plane, points, normals).sum())
        if count > most:
            best, most = plane, count
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
