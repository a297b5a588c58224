"""How near a mesh is to the true surface, in the units of the vertices.

Points are drawn uniformly by area on one mesh, with a seed, and their distance to the triangles of the other is exact (libigl's AABB
tree), not a distance to samples: the only error is that of a mean over finitely many points, about its spread / sqrt(samples).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import igl
import numpy as np

from recon.data.scene import Camera
from recon.errors import DataError
from recon.surface.mesh import Mesh, face_areas, face_cross
from recon.surface.raycast import RayScene, ray_scene, visible

LEAST_EYES = 2
"""Cameras that must see a point for it to be known how far it is."""


@dataclass(frozen=True)
class SurfaceMetrics:
    """Distances between a mesh and the truth.

    Attributes:
        accuracy: Mean distance from the mesh to the truth.
        completeness: Mean distance from the truth to the mesh.
        chamfer_l1: Mean of both.
        accuracy_median, completeness_median: Medians of the same distances.
        hausdorff: The greatest of all these distances.
        normal_consistency: Mean of |cos| between the normals of a point and of the nearest point on the other mesh, over both directions.
        thresholds, precision, recall, fscore: For each threshold, the share of the mesh nearer than it to the truth, the share of the
            truth nearer than it to the mesh, and their harmonic mean.
        truth_diagonal: Diagonal of the truth's bounding box.
        samples_mesh, samples_truth: How many points.
        samples_per_area: Points per squared unit on the truth.
        seed: Of the points.
        visible_only: Whether only points count that cameras see.
        unit: Name of the unit, if known.
        around_share: Share of the mesh's points that are nearer to what stands around the object than to it; None if that is not known.
    """

    accuracy: float
    completeness: float
    chamfer_l1: float
    accuracy_median: float
    completeness_median: float
    hausdorff: float
    normal_consistency: float
    thresholds: tuple[float, ...]
    precision: tuple[float, ...]
    recall: tuple[float, ...]
    fscore: tuple[float, ...]
    truth_diagonal: float
    samples_mesh: int
    samples_truth: int
    samples_per_area: float
    seed: int
    visible_only: bool
    unit: str | None
    around_share: float | None = None

    @property
    def chamfer_percent(self) -> float:
        """Chamfer-L1 in percent of the truth's bounding diagonal."""
        return 100 * self.chamfer_l1 / self.truth_diagonal

    def to_json(self) -> dict:
        """A plain dict with the protocol in words."""
        points = "points that a camera sees on the mesh they lie on" if self.visible_only else "points"
        protocol = (
            f"{points}, uniform by area, exact distance to the other mesh's triangles; chamfer_l1 is the mean (not the sum) of "
            "accuracy and completeness; nothing is cut off or aligned"
        )
        if self.around_share is not None:
            protocol += "; accuracy is to the object or to what stands around it, completeness counts what two cameras see of the object"
        return {**self.__dict__, "chamfer_percent_of_diagonal": self.chamfer_percent, "protocol": protocol}


def surface_metrics(
    mesh: Mesh,
    truth: Mesh,
    *,
    thresholds: Sequence[float] | None = None,
    samples: int = 200_000,
    seed: int = 0,
    cameras: Sequence[Camera] | None = None,
    unit: str | None = None,
    around: Mesh | None = None,
) -> SurfaceMetrics:
    """Compare a mesh with the truth.

    Args:
        mesh, truth: In the same frame and unit.
        thresholds: For the F-score; default 0.2, 0.5 and 1 % of the truth's bounding diagonal.
        samples: Points on each mesh. 200,000 against a million faces take about 3 s on one core.
        seed: For the points.
        cameras: If given, only points that one of them sees (nothing of their own mesh in between) count: so surfaces inside a closed
            object, which no photograph can show, are left out.
        unit: Name of the unit, for the record.
        around: What else is there: a table, a room. It hides parts of the object; points of the mesh that lie on it are not wrong; and of
            the object what :data:`LEAST_EYES` cameras see is to be complete. Only with cameras.
    Raises:
        DataError: If a mesh is empty or has no area, or the cameras see nothing of it.
    """
    for name, m in (("mesh", mesh), ("true mesh", truth)):
        if len(m.faces) == 0 or face_areas(m).sum() == 0:
            raise DataError(f"the {name} has no surface to evaluate", hint="look at the extraction's messages")
    rng = np.random.default_rng(seed)
    on_mesh, mesh_faces = sample_surface(mesh, samples, rng)
    on_truth, truth_faces = sample_surface(truth, samples, rng)
    whole, least = (truth, 1) if around is None else (joined(truth, around), LEAST_EYES)
    if cameras is not None:
        seen = seen_by(ray_scene(mesh), on_mesh, cameras)
        on_mesh, mesh_faces = on_mesh[seen], mesh_faces[seen]
        seen = seen_by(ray_scene(whole), on_truth, cameras, least)
        on_truth, truth_faces = on_truth[seen], truth_faces[seen]
        if len(on_mesh) == 0 or len(on_truth) == 0:
            raise DataError("no camera sees the mesh", hint="check that cameras and mesh are in the same units")
    to_truth, nearest_truth = point_to_mesh(on_mesh, whole)
    to_mesh, nearest_mesh = point_to_mesh(on_truth, mesh)
    normals_mesh, normals_truth = _face_normals(mesh), _face_normals(whole)
    cos_mesh = np.abs((normals_mesh[mesh_faces] * normals_truth[nearest_truth]).sum(1)).mean()
    cos_truth = np.abs((normals_truth[truth_faces] * normals_mesh[nearest_mesh]).sum(1)).mean()
    diagonal = truth.diagonal()
    limits = tuple(float(t) for t in (thresholds if thresholds is not None else np.array([0.002, 0.005, 0.01]) * diagonal))
    precision = tuple(float((to_truth < t).mean()) for t in limits)
    recall = tuple(float((to_mesh < t).mean()) for t in limits)
    return SurfaceMetrics(
        accuracy=float(to_truth.mean()),
        completeness=float(to_mesh.mean()),
        chamfer_l1=float(to_truth.mean() + to_mesh.mean()) / 2,
        accuracy_median=float(np.median(to_truth)),
        completeness_median=float(np.median(to_mesh)),
        hausdorff=float(max(to_truth.max(), to_mesh.max())),
        normal_consistency=float(cos_mesh + cos_truth) / 2,
        thresholds=limits,
        precision=precision,
        recall=recall,
        fscore=tuple(2 * p * r / (p + r) if p + r > 0 else 0.0 for p, r in zip(precision, recall, strict=True)),
        truth_diagonal=diagonal,
        samples_mesh=len(on_mesh),
        samples_truth=len(on_truth),
        samples_per_area=samples / float(face_areas(truth).sum()),
        seed=seed,
        visible_only=cameras is not None,
        unit=unit,
        around_share=None if around is None else float((nearest_truth >= len(truth.faces)).mean()),
    )


def joined(a: Mesh, b: Mesh) -> Mesh:
    """Two meshes as one; the faces of the first come first."""
    return Mesh(np.concatenate([a.vertices, b.vertices]), np.concatenate([a.faces, b.faces + len(a.vertices)]).astype(np.int32))


def sample_surface(mesh: Mesh, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Points drawn uniformly by area. Returns points [count, 3] and their faces [count]."""
    areas = face_areas(mesh)
    # Even steps along the cumulated area, so that each part of the mesh gets its share of points to within one.
    steps = (np.arange(count) + rng.random()) / count * areas.sum()
    faces = np.minimum(np.searchsorted(np.cumsum(areas), steps, side="right"), len(areas) - 1)
    u, v = rng.random((2, count))
    root = np.sqrt(u)
    weights = np.stack([1 - root, root * (1 - v), root * v], axis=1)
    return np.einsum("nk,nkd->nd", weights, mesh.vertices[mesh.faces[faces]]), faces


def point_to_mesh(points: np.ndarray, mesh: Mesh) -> tuple[np.ndarray, np.ndarray]:
    """Exact distance from points to the triangles of a mesh, and the nearest face. [N, 3] -> [N], [N]"""
    center = (mesh.vertices.min(0) + mesh.vertices.max(0)) / 2  # far from the origin, differences would cancel
    squared, faces, _ = igl.point_mesh_squared_distance(
        np.ascontiguousarray(points - center), np.ascontiguousarray(mesh.vertices - center), mesh.faces.astype(np.int64)
    )
    return np.sqrt(np.maximum(np.asarray(squared), 0)), np.asarray(faces)


def seen_by(scene: RayScene, points: np.ndarray, cameras: Sequence[Camera], least: int = 1) -> np.ndarray:
    """Whether points of a surface are inside the pictures of so many cameras, and not hidden by the surface. [N, 3] -> [N] bool"""
    count = np.zeros(len(points), np.int32)
    tolerance = 1e-4 * scene.mesh.diagonal()
    for camera in cameras:
        rows = np.flatnonzero(count < least)
        uv, z = camera.project(points[rows])
        rows = rows[(z > 0) & (uv >= 0).all(1) & (uv[:, 0] <= camera.width) & (uv[:, 1] <= camera.height)]
        count[rows] += visible(scene, points[rows], camera.center, tolerance)
    return count >= least


def _face_normals(mesh: Mesh) -> np.ndarray:
    cross = face_cross(mesh)
    return cross / np.maximum(np.linalg.norm(cross, axis=1, keepdims=True), 1e-300)
