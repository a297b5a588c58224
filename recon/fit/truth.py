"""The true signed distance of a mesh or of oriented points, by libigl."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import igl
import numpy as np
import torch
import trimesh

import kernels
from recon.errors import DataError
from recon.evaluation.surfaces import point_to_mesh, sample_surface
from recon.geometry import Similarity
from recon.surface.mesh import Mesh, face_cross, signed_volume
from recon.surface.reading import read_mesh
from recon.system.foreign import load_trimesh

RADIUS = 0.99
"""Distance of the farthest vertex from the centre, scene units (NeuRBF)."""
DISKS = 8
"""Points: the nearest of this many disks gives the distance."""


@dataclass(frozen=True)
class Shape:
    """A closed surface in scene units: centred, its farthest vertex at 0.99.

    Attributes:
        vertices: Of the mesh, or the points. [V, 3]
        mesh: None for points.
        normals: Of points, unit, outwards; empty for a mesh. [V, 3]
        radii: Of points: half the distance at which neighbours lie; each stands for a disk of this size. [V]
        world_from_scene: World is the file's frame.
        sign_rule: How inside and outside are told apart, in words.
    """

    vertices: np.ndarray
    mesh: Mesh | None
    normals: np.ndarray
    radii: np.ndarray
    world_from_scene: Similarity
    sign_rule: str

    def facts(self) -> dict[str, Any]:
        """What identifies the shape, for the run's folder."""
        faces = 0 if self.mesh is None else len(self.mesh.faces)
        return {
            "vertices": len(self.vertices),
            "faces": faces,
            "sign_rule": self.sign_rule,
            "world_from_scene": self.world_from_scene.to_json(),
        }

    def sample(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Points on the surface, uniform by area; of points, themselves at random. [count, 3]"""
        return self.sample_with_normals(count, rng)[0]

    def sample_with_normals(self, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """As :meth:`sample`, with unit normals, outwards: of the faces, or the points' own. [count, 3], [count, 3]"""
        if self.mesh is None:
            chosen = rng.integers(len(self.vertices), size=count)
            return self.vertices[chosen], self.normals[chosen]
        points, faces = sample_surface(self.mesh, count, rng)
        cross = face_cross(self.mesh)
        return points, (cross / np.maximum(np.linalg.norm(cross, axis=1, keepdims=True), 1e-300))[faces]

    def inside(self, points: np.ndarray) -> np.ndarray:
        """Whether the generalised winding number exceeds one half (Barill et al. 2018, "Fast Winding Numbers"). [N, 3] -> bool [N]"""
        points = np.ascontiguousarray(points, np.float64)
        if self.mesh is not None:
            return np.asarray(igl.fast_winding_number(self.mesh.vertices, self.mesh.faces.astype(np.int64), points)) > 0.5
        areas = np.pi * self.radii**2
        return np.asarray(igl.fast_winding_number(self.vertices, self.normals, areas, points)) > 0.5

    def signed_distance(self, points: np.ndarray) -> np.ndarray:
        """Distance to the triangles, or to the nearest of the points' disks; negative inside. [N, 3] -> [N]"""
        distance = point_to_mesh(points, self.mesh)[0] if self.mesh is not None else self._to_disks(points)
        return np.where(self.inside(points), -distance, distance)

    def _to_disks(self, points: np.ndarray) -> np.ndarray:
        k = min(DISKS, len(self.vertices))
        nearest = kernels.knn(torch.from_numpy(self.vertices), torch.from_numpy(np.ascontiguousarray(points)), k)[0].numpy()
        offset = points[:, None] - self.vertices[nearest]
        height = (offset * self.normals[nearest]).sum(2)
        across = np.sqrt(np.maximum((offset**2).sum(2) - height**2, 0.0))
        return np.sqrt(height**2 + np.maximum(across - self.radii[nearest], 0.0) ** 2).min(1)


def read_shape(path: Path) -> Shape:
    """Read a mesh (.obj, .ply, .stl, .glb, .off), or a .ply of points with normals.

    Raises:
        DataError: If it cannot be read, encloses nothing, or points have no normals.
    """
    if path.suffix.lower() == ".ply" and path.is_file():
        cloud = _read_points(path)
        if cloud is not None:
            return cloud
    mesh = read_mesh(path)
    used = np.unique(mesh.faces)
    world_from_scene = _normalisation(mesh.vertices[used])
    mesh = replace(mesh, vertices=world_from_scene.inverse().apply(mesh.vertices), colors=None)
    joined = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    joined.merge_vertices(merge_tex=True, merge_norm=True)
    closed = bool(joined.is_watertight)
    turned = signed_volume(mesh) < 0
    if turned:
        mesh = replace(mesh, faces=np.ascontiguousarray(mesh.faces[:, ::-1]))
    rule = "inside is where the generalised winding number exceeds 1/2; the mesh is " + (
        "watertight" if closed else "not watertight, holes are closed by this rule"
    )
    rule += ", its faces were turned over" if turned else ""
    shape = Shape(mesh.vertices, mesh, np.zeros((0, 3)), np.zeros(0), world_from_scene, rule)
    rng = np.random.default_rng(0)
    if not shape.inside(shape.sample(4096, rng) + rng.normal(0.0, 0.01, (4096, 3))).any():
        raise DataError(f"{path}: nothing is inside the mesh", hint="a signed distance needs a surface that encloses a volume")
    return shape


def _read_points(path: Path) -> Shape | None:
    """A .ply without faces, as oriented disks; None if it has faces."""
    loaded = load_trimesh(path, "give a mesh, or a .ply of points with nx, ny, nz")
    if not isinstance(loaded, trimesh.PointCloud):
        return None
    data = loaded.metadata.get("_ply_raw", {}).get("vertex", {}).get("data")
    # trimesh gives a dict for files in text, a structured array for binary ones.
    names = () if data is None else data.keys() if isinstance(data, dict) else data.dtype.names
    if data is None or not {"nx", "ny", "nz"} <= set(names):
        raise DataError(
            f"{path}: its points have no normals (nx, ny, nz)", hint="estimate and orient them first, with MeshLab or Open3D for example"
        )
    points = np.asarray(loaded.vertices, np.float64)
    normals = np.stack([np.asarray(data[n], np.float64).reshape(-1) for n in ("nx", "ny", "nz")], 1)
    length = np.linalg.norm(normals, axis=1)
    good = np.isfinite(points).all(1) & np.isfinite(length) & (length > 0)
    if good.sum() < 100 or good.mean() < 0.99:
        raise DataError(f"{path}: {int((~good).sum())} of {len(points)} points have no usable position or normal")
    points, normals = points[good], normals[good] / length[good, None]
    world_from_scene = _normalisation(points)
    points = world_from_scene.inverse().apply(points)
    tensor = torch.from_numpy(points)
    squared = kernels.knn(tensor, tensor, 7)[1][:, 1:].mean(1)
    radii = 0.5 * np.sqrt(squared.numpy())
    rule = "inside is where the winding number of the points, each a disk of half its neighbours' distance, exceeds 1/2"
    return Shape(points, None, normals, radii, world_from_scene, rule)


def _normalisation(points: np.ndarray) -> Similarity:
    """``world_from_scene``: the middle of the bounding box becomes the origin, the farthest point comes to 0.99."""
    center = (points.min(0) + points.max(0)) / 2
    farthest = float(np.linalg.norm(points - center, axis=1).max())
    if farthest == 0:
        raise DataError("the shape is a single point")
    return Similarity(farthest / RADIUS, np.eye(3), center)
