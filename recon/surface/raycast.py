"""Rays against a mesh on the CPU, by Embree.

Embree works in float32. The mesh is moved and scaled into the unit cube for it, so that a small part far from the origin is no problem,
and the hit is computed again in float64 from the triangle that Embree names.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from embreex.mesh_construction import TriangleMesh
from embreex.rtcore_scene import EmbreeScene

from recon.surface.mesh import Mesh


@dataclass(frozen=True)
class RayScene:
    """A mesh, ready for rays.

    Attributes:
        mesh: The mesh.
        scene: Embree's structure over ``(vertices - center) / scale``.
        center: Middle of the bounding box. [3]
        scale: Half of the bounding box's longest side.
    """

    mesh: Mesh
    scene: EmbreeScene
    center: np.ndarray
    scale: float


@dataclass(frozen=True)
class Hits:
    """The first hit of each ray.

    Attributes:
        face: Face index, -1 for a miss. [N] int32
        distance: Along the unit direction, in units of the vertices; inf for a miss. [N] float64
        barycentric: Weights of the face's three vertices; 0 for a miss. [N, 3] float64
    """

    face: np.ndarray
    distance: np.ndarray
    barycentric: np.ndarray

    @property
    def hit(self) -> np.ndarray:
        """Whether anything was hit. [N] bool"""
        return self.face >= 0


def ray_scene(mesh: Mesh) -> RayScene:
    """Build Embree's structure over a mesh; an empty mesh is hit by nothing."""
    scene = EmbreeScene(robust=True)  # else rays slip between neighbouring faces
    if len(mesh.faces) == 0:
        return RayScene(mesh, scene, np.zeros(3), 1.0)
    lower, upper = mesh.vertices.min(0), mesh.vertices.max(0)
    center = (lower + upper) / 2
    scale = max(float((upper - lower).max()) / 2, 1e-300)
    TriangleMesh(scene, ((mesh.vertices - center) / scale).astype(np.float32), mesh.faces.astype(np.int32))
    return RayScene(mesh, scene, center, scale)


def cast(scene: RayScene, origins: np.ndarray, directions: np.ndarray) -> Hits:
    """First hits of rays.

    Args:
        scene: From :func:`ray_scene`.
        origins: [N, 3] in the frame of the vertices.
        directions: Unit directions. [N, 3]
    """
    n = len(origins)
    if n == 0 or len(scene.mesh.faces) == 0:
        return Hits(np.full(n, -1, np.int32), np.full(n, np.inf), np.zeros((n, 3)))
    origins, directions = np.asarray(origins, np.float64), np.asarray(directions, np.float64)
    face = scene.scene.run(*_to_embree(scene, origins, directions))
    distance, barycentric = np.full(n, np.inf), np.zeros((n, 3))
    rows = np.flatnonzero(face >= 0)
    a, b, c = (scene.mesh.vertices[scene.mesh.faces[face[rows], k]] for k in range(3))
    distance[rows], barycentric[rows] = _intersect(origins[rows], directions[rows], a, b, c)
    return Hits(face, distance, barycentric)


def visible(scene: RayScene, points: np.ndarray, eyes: np.ndarray, tolerance: float) -> np.ndarray:
    """Whether nothing lies between points of the surface and eyes.

    Args:
        scene: From :func:`ray_scene`.
        points: On or near the surface. [N, 3]
        eyes: [N, 3] or [3]
        tolerance: Hits nearer to the point than this do not count; in units of the vertices.
    Returns:
        [N] bool
    """
    offset = points - np.broadcast_to(eyes, points.shape)
    distance = np.linalg.norm(offset, axis=1)
    directions = offset / np.maximum(distance, 1e-300)[:, None]
    return cast(scene, np.broadcast_to(eyes, points.shape), directions).distance >= distance - tolerance


def _to_embree(scene: RayScene, origins: np.ndarray, directions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scaled float32 rays, their origins moved forward to the unit cube's sphere: far away, float32 would be too coarse."""
    o = (origins - scene.center) / scene.scale
    nearest = -(o * directions).sum(1)
    o = o + directions * np.maximum(nearest - 2.0, 0.0)[:, None]  # 2 > sqrt(3), the radius of the cube's sphere
    return np.ascontiguousarray(o, np.float32), np.ascontiguousarray(directions, np.float32)


def _intersect(o: np.ndarray, d: np.ndarray, a: np.ndarray, b: np.ndarray, c: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distance and barycentric weights of rays with the planes of triangles (Möller and Trumbore 1997), clamped into the triangles."""
    ab, ac, ao = b - a, c - a, o - a
    p = np.cross(d, ac)
    determinant = (ab * p).sum(1)
    safe = np.where(np.abs(determinant) > 1e-300, determinant, np.inf)
    q = np.cross(ao, ab)
    u, v = (ao * p).sum(1) / safe, (d * q).sum(1) / safe
    distance = np.where(np.isfinite(safe), (ac * q).sum(1) / safe, -(ao * d).sum(1))
    weights = np.clip(np.stack([1 - u - v, u, v], axis=1), 0, None)
    return distance, weights / weights.sum(1, keepdims=True)
