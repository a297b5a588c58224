"""Ray casting on a solid with Embree, in units of the object's radius about its centre so that single precision suffices."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from embreex.mesh_construction import TriangleMesh
from embreex.rtcore_scene import EmbreeScene

from scenes.making.solid import Solid

SURFACE_OFFSET = 1e-4
"""How far from the surface secondary rays start, as a part of the object's radius."""


@dataclass(frozen=True)
class Tracer:
    """A solid made ready for ray casting. Build it with :func:`tracer`.

    "Local" coordinates are ``(world - center) / radius``.

    Attributes:
        center, radius: Of the sphere that maps to the unit sphere.
        corners: Triangles' corners, local. [F, 3, 3] float64
        corners_single: The same in float32.
        flat: Outward unit normals of the triangles. [F, 3] float32
        smooth: Unit normals of the surface at the corners. [F, 3, 3] float32
        scene: Embree's scene of all triangles.
        blockers: Of those that cast shadows.
    """

    center: np.ndarray
    radius: float
    corners: np.ndarray
    corners_single: np.ndarray
    flat: np.ndarray
    smooth: np.ndarray
    scene: EmbreeScene
    blockers: EmbreeScene

    def to_local(self, points_world: np.ndarray) -> np.ndarray:
        return (points_world - self.center) / self.radius

    def to_world(self, points: np.ndarray) -> np.ndarray:
        return points * self.radius + self.center

    def closest(self, origins: np.ndarray, directions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """First triangle hit (-1: none) and barycentric coordinates of its second and third corner. [N, 3] x 2 -> [N] x 3"""
        if len(origins) == 0:
            return np.zeros(0, np.int32), np.zeros(0, np.float32), np.zeros(0, np.float32)
        hit = self.scene.run(_single(origins), _single(directions), output=True)
        return hit["primID"], hit["u"], hit["v"]

    def occluded(self, origins: np.ndarray, directions: np.ndarray) -> np.ndarray:
        """Whether anything that casts shadows lies along the rays. [N, 3] x 2 -> [N] bool"""
        if len(origins) == 0:
            return np.zeros(0, bool)
        return self.blockers.run(_single(origins), _single(directions), query="OCCLUDED") >= 0

    def distance(self, origins: np.ndarray, directions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Exact distances: Embree finds the triangle, its plane is intersected in float64.

        Args:
            origins, directions: Local rays, unit directions. [N, 3] float64 each
        Returns:
            Distance in local units, infinite where nothing is hit [N] float64, and the triangle, -1 for none [N] int32.
        """
        triangle, _, _ = self.closest(origins, directions)
        hit = triangle >= 0
        corner = self.corners[triangle[hit]]
        normal = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
        along = dot(directions[hit], normal)
        result = np.full(len(triangle), np.inf)
        result[hit] = dot(corner[:, 0] - origins[hit], normal) / np.where(along == 0, 1e-300, along)
        return result, triangle

    def interpolate(self, triangle: np.ndarray, u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Points, smooth unit normals, and points lifted onto the smooth surface. [N] x 3 -> [N, 3] float32 x 3

        The lifted points are those of J. Hanika, "Hacking the Shadow Terminator" (Ray Tracing Gems II, ch. 4): shadow rays that start
        there do not see the facets of a curved surface.
        """
        first = 1 - u - v
        corner, normals = self.corners_single[triangle], self.smooth[triangle]
        points, smooth = _blend(first, u, v, corner), _blend(first, u, v, normals)
        smooth *= (1 / np.sqrt(dot(smooth, smooth)))[:, None]
        lifted = points.copy()
        for k, weight in enumerate((first, u, v)):
            below = np.minimum(dot(points - corner[:, k], normals[:, k]), 0)
            lifted -= (weight * below)[:, None] * normals[:, k]
        return points, smooth, lifted


def dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Row by row. [N, 3] x 2 -> [N]"""
    return np.einsum("ij,ij->i", a, b)


def _blend(first: np.ndarray, u: np.ndarray, v: np.ndarray, corner: np.ndarray) -> np.ndarray:
    result = first[:, None] * corner[:, 0]
    result += u[:, None] * corner[:, 1]
    result += v[:, None] * corner[:, 2]
    return result


def _single(a: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(a, dtype=np.float32)


def tracer(solid: Solid, frame: tuple[np.ndarray, float] | None = None, dark: np.ndarray | None = None) -> Tracer:
    """Make a solid ready for ray casting.

    Args:
        solid: What.
        frame: Centre and radius of local coordinates; None: the solid's own.
        dark: Which triangles cast shadows; None: all. [F] bool
    """
    center, radius = frame or (solid.center, solid.radius)
    local = (solid.vertices - center) / radius
    corners = local[solid.faces]
    flat = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    flat /= np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-300)
    scene = _embree(local, solid.faces)
    blockers = scene if dark is None else _embree(local, solid.faces[dark])
    return Tracer(center, radius, corners, _single(corners), flat.astype(np.float32), solid.normals[solid.normal_faces], scene, blockers)


def _embree(vertices: np.ndarray, faces: np.ndarray) -> EmbreeScene:
    scene = EmbreeScene(robust=True)
    TriangleMesh(scene, _single(vertices), np.ascontiguousarray(faces, dtype=np.int32))
    return scene
