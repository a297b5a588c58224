"""A solid as a scene needs it: a welded mesh with smooth corner normals, and its exact feature curves. Packed into small numpy files."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from recon.curves.files.curve import Curve
from recon.errors import DataError
from recon.system.foreign import load_npz, reading

_NORMAL_STEPS = 32767  # normals are stored as int16: a step is 0.002 degrees


@dataclass(frozen=True)
class Solid:
    """Surface and curves, in world units.

    Attributes:
        vertices: Welded vertices. [V, 3] float64
        faces: Triangles, counter-clockwise seen from outside. [F, 3] int32
        normals: Unit normals of the smooth surface, outward. [N, 3] float32
        normal_faces: Index into ``normals`` for each corner; corners at a sharp edge have different ones. [F, 3] int32
        patches: Which patch (CAD face) each triangle belongs to. [F] int32
        curve_vertices: End points of curves. [C, 3] float64
        curves: Sharp edges (and boundaries, if the surface is open).
        tangent_curves: Edges between tangent faces where the curvature jumps (boundaries of fillets).
    """

    vertices: np.ndarray
    faces: np.ndarray
    normals: np.ndarray
    normal_faces: np.ndarray
    patches: np.ndarray
    curve_vertices: np.ndarray
    curves: tuple[Curve, ...] = ()
    tangent_curves: tuple[Curve, ...] = ()

    @property
    def bounds(self) -> np.ndarray:
        """Lowest and highest corner of the axis-aligned box. [2, 3]"""
        return np.stack([self.vertices.min(0), self.vertices.max(0)])

    @property
    def diagonal(self) -> float:
        """Length of the diagonal of the axis-aligned bounding box, world units."""
        low, high = self.bounds
        return float(np.linalg.norm(high - low))

    @cached_property
    def center(self) -> np.ndarray:
        """Centre of a sphere about all vertices that is nearly the smallest. [3]

        Badoiu and Clarkson, "Smaller core-sets for balls" (SODA 2003): steps of 1/(i+1) towards the farthest point.
        """
        center = self.bounds.mean(0)
        for step in range(300):
            away = self.vertices - center
            center = center + away[np.argmax(np.einsum("ij,ij->i", away, away))] / (step + 2)
        return center

    @cached_property
    def radius(self) -> float:
        """Radius of the sphere about :attr:`center` that holds all vertices."""
        return float(np.linalg.norm(self.vertices - self.center, axis=1).max())


def edge_counts(faces: np.ndarray) -> tuple[int, int, int]:
    """How closed a mesh is: edges used by one triangle, by more than two, and by two in the same direction."""
    directed = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]).astype(np.int64)
    size = int(directed.max(initial=0)) + 1
    low, high = directed.min(1), directed.max(1)
    _, inverse, count = np.unique(low * size + high, return_inverse=True, return_counts=True)
    balance = np.bincount(inverse, weights=np.where(directed[:, 0] < directed[:, 1], 1, -1), minlength=len(count))
    return int((count == 1).sum()), int((count > 2).sum()), int(((count == 2) & (balance != 0)).sum())


def signed_volume(vertices: np.ndarray, faces: np.ndarray) -> float:
    """Volume enclosed by a closed mesh, positive when its triangles face outward. Units cubed."""
    a, b, c = (vertices[faces[:, k]] - vertices.mean(0) for k in range(3))
    return float(np.einsum("ij,ij->", a, np.cross(b, c)) / 6)


def save_mesh(path: Path, solid: Solid) -> None:
    """Write the mesh part, compressed: positions float32 about their centre, normals int16."""
    center = solid.center
    index = np.uint16 if max(len(solid.vertices), len(solid.normals)) < 2**16 else np.uint32
    np.savez_compressed(
        path,
        center=center,
        vertices=(solid.vertices - center).astype(np.float32),
        faces=solid.faces.astype(index),
        normals=np.round(solid.normals * _NORMAL_STEPS).astype(np.int16),
        normal_faces=solid.normal_faces.astype(index),
        patches=solid.patches.astype(np.uint16),
    )


def load_mesh(path: Path) -> Solid:
    """Read what :func:`save_mesh` wrote; the curves are empty.

    Raises:
        DataError: If the file is missing, truncated or its indices do not fit.
    """
    hint = "Reinstall, or run: python -m scenes.build"
    with reading(path, "a scene mesh", hint):
        data = load_npz(path, "a scene mesh", 2**30, hint)
        vertices = data["center"] + data["vertices"].astype(np.float64)
        faces, normal_faces = data["faces"].astype(np.int32), data["normal_faces"].astype(np.int32)
        normals = data["normals"].astype(np.float32)
        patches = data["patches"].astype(np.int32)
    if faces.max(initial=-1) >= len(vertices) or normal_faces.max(initial=-1) >= len(normals) or len(faces) == 0:
        raise DataError(f"{path}: indices beyond {len(vertices)} vertices", hint="Reinstall, or run: python -m scenes.build")
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    return Solid(vertices, faces, normals, normal_faces, patches, np.zeros((0, 3)))


def from_triangles(vertices: np.ndarray, faces: np.ndarray, crease_rad: float) -> Solid:
    """A solid from a bare mesh: normals are averaged (by corner angle) over neighbours that bend less than ``crease_rad``.

    No curves: a triangle soup does not say which of its edges are features.
    """
    vertices, faces = np.asarray(vertices, np.float64), np.asarray(faces, np.int32)
    corners = vertices[faces]
    flat = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    flat /= np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-300)
    ahead, behind = np.roll(corners, -1, 1) - corners, np.roll(corners, 1, 1) - corners
    cosine = (ahead * behind).sum(2) / np.maximum(np.linalg.norm(ahead, axis=2) * np.linalg.norm(behind, axis=2), 1e-300)
    angle = np.arccos(np.clip(cosine, -1, 1))
    # every corner sums the corners of its vertex whose flat normals are close to its own
    order = np.argsort(faces.ravel(), kind="stable")
    start = np.searchsorted(faces.ravel()[order], np.arange(len(vertices) + 1))
    valence = np.diff(start)
    total = np.zeros((faces.size, 3))
    own = flat[order // 3]
    vertex = faces.ravel()[order]
    position = np.arange(faces.size) - start[vertex]
    for turn in range(int(valence.max(initial=0))):  # over the largest valence, a few dozen at most on sane meshes
        other = start[vertex] + (position + turn) % valence[vertex]
        near = (turn < valence[vertex]) & ((own * flat[order[other] // 3]).sum(1) > np.cos(crease_rad))
        total[order] += np.where(near[:, None], flat[order[other] // 3] * angle.ravel()[order[other]][:, None], 0)
    size = np.linalg.norm(total, axis=1, keepdims=True)
    normals = np.where(size > 0, total / np.maximum(size, 1e-300), np.repeat(flat, 3, 0))
    unique, inverse = np.unique(np.round(normals * _NORMAL_STEPS).astype(np.int16), axis=0, return_inverse=True)
    smooth = unique.astype(np.float32)
    smooth /= np.maximum(np.linalg.norm(smooth, axis=1, keepdims=True), 1e-20)
    return Solid(vertices, faces, smooth, inverse.reshape(faces.shape).astype(np.int32), np.zeros(len(faces), np.int32), np.zeros((0, 3)))
