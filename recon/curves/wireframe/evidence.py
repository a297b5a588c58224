"""What the 2D edges of all views say about a point in space that has a direction.

A sub-pixel edge point with its normal is a line in the picture, and with the camera a plane in space. A 3D edge lies in the planes of all
views that see it: its direction is what the planes' normals have least of, and its position is where the planes meet across it. Both are
the eigenvectors and the solution of one 3 x 3 matrix (the normal equations of the distances in pixels), so a point is polished in a few
Gauss-Newton steps without any sampling of images. Everything here is in scene units and float64; distances are in pixels.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial import KDTree

from recon.curves.edges2d.edges import Edges
from recon.data.scene import Camera
from recon.geometry import Similarity

ANGLE_SCALE_PX = 4.0
"""Directions theta apart count as 2 ANGLE_SCALE_PX sin(theta) pixels when the nearest edge point is looked for."""
MAX_ANGLE_RAD = np.radians(25.0)
"""Edge points whose direction differs by more than this from the projected direction are of another edge."""
VIEW_GAP = 1e6
"""Pixels between the views in the common search tree: more than any search radius."""
CHUNK = 1 << 17
"""Point-view pairs handled at a time: about 40 MB of working arrays."""


@dataclass(frozen=True)
class Evidence:
    """The 2D edge points of all views in one search tree, and the cameras that map scene points to pixels.

    Attributes:
        projections: Homogeneous scene point to (u w, v w, w). [V, 3, 4] float64
        sizes: Width and height of each view, pixels. [V, 2]
        points: Edge points (x, y), all views one after another. [E, 2]
        normals: Unit normals; of silhouettes they point away from the object. [E, 2]
        weights: In (0, 1]. [E]
        kinds: As in ``edges2d``. [E] uint8
        view: View of each edge point. [E] int64
        tree: Search tree over (x, y, scaled cos and sin of twice the direction, view). [E, 5]
        pixel: Scene units that one pixel spans at the scene's centre, median over views.
        calibration_free: Whether the edges come from a detector whose systematic displacement is not known (given edge maps).
    """

    projections: np.ndarray
    sizes: np.ndarray
    points: np.ndarray
    normals: np.ndarray
    weights: np.ndarray
    kinds: np.ndarray
    view: np.ndarray
    tree: KDTree
    pixel: float
    calibration_free: bool

    @property
    def views(self) -> int:
        return len(self.projections)


def projection_matrix(camera: Camera, scene_from_world: Similarity) -> np.ndarray:
    """Homogeneous scene point to (u w, v w, w), w the depth in scene units. [3, 4] float64"""
    pose = scene_from_world.apply_to_pose(camera.world_from_camera)  # scene_from_camera
    rotation = pose[:, :3].T
    k = np.array([[camera.fx, 0.0, camera.cx], [0.0, camera.fy, camera.cy], [0.0, 0.0, 1.0]])
    return k @ np.concatenate([rotation, -(rotation @ pose[:, 3])[:, None]], axis=1)


def gather_evidence(edges: Edges, scene_from_world: Similarity) -> Evidence:
    """Put the edge points of all views into one tree. Memory: about 200 bytes an edge point."""
    projections = np.stack([projection_matrix(v.camera, scene_from_world) for v in edges.views])
    points = np.concatenate([v.points for v in edges.views]).astype(np.float64)
    normals = np.concatenate([v.normals for v in edges.views]).astype(np.float64)
    view = np.repeat(np.arange(len(edges.views)), [len(v.points) for v in edges.views])
    depth = projections[:, 2, 3]  # of the scene's centre
    focal = np.array([np.sqrt(v.camera.fx * v.camera.fy) for v in edges.views])
    ahead = depth > 0
    pixel = float(np.median(depth[ahead] / focal[ahead])) if ahead.any() else float(np.median(1.0 / focal))
    return Evidence(
        projections=projections,
        sizes=np.array([[v.camera.width, v.camera.height] for v in edges.views], np.float64),
        points=points,
        normals=normals,
        weights=np.concatenate([v.weights for v in edges.views]).astype(np.float64),
        kinds=np.concatenate([v.kinds for v in edges.views]),
        view=view,
        tree=KDTree(_lifted(points, np.stack([-normals[:, 1], normals[:, 0]], 1), view)),
        pixel=pixel,
        calibration_free=edges.offset_free,
    )


def with_points(evidence: Evidence, points: np.ndarray) -> Evidence:
    """The same evidence with its edge points elsewhere. [E, 2]"""
    directions = np.stack([-evidence.normals[:, 1], evidence.normals[:, 0]], 1)
    return replace(evidence, points=points, tree=KDTree(_lifted(points, directions, evidence.view)))


def _lifted(points: np.ndarray, directions: np.ndarray, view: np.ndarray) -> np.ndarray:
    """Search coordinates; twice the angle, because a line has no sign. [N, 5]"""
    c, s = directions[:, 0], directions[:, 1]
    return np.column_stack([points, ANGLE_SCALE_PX * (c * c - s * s), ANGLE_SCALE_PX * 2 * c * s, VIEW_GAP * view])


@dataclass(frozen=True)
class Matches:
    """For each pair of a point and a view that sees a fitting edge there: the nearest edge point with a fitting direction.

    Attributes:
        point, view, edge: Indices of the pair and of its edge point. [M] int64
        residual_px: Signed distance of the projected point from the edge's line. [M]
        plane: Derivative of the residual by the scene point. [M, 3], pixels per scene unit
        anchor: The scene point that was matched. [M, 3]
        weight: The edge's own weight times the agreement of directions. [M]
    """

    point: np.ndarray
    view: np.ndarray
    edge: np.ndarray
    residual_px: np.ndarray
    plane: np.ndarray
    anchor: np.ndarray
    weight: np.ndarray


def project(evidence: Evidence, points: np.ndarray, tangents: np.ndarray, view: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pixels [N, 2], unit directions in the picture [N, 2] and depth [N] of points with tangents, each in its own view [N]."""
    a = evidence.projections[view]
    h = np.einsum("nij,nj->ni", a[:, :, :3], points) + a[:, :, 3]
    z = np.where(np.abs(h[:, 2]) < 1e-9, 1e-9, h[:, 2])
    uv = h[:, :2] / z[:, None]
    d = np.einsum("nij,nj->ni", a[:, :, :3], tangents)
    flow = (d[:, :2] - uv * d[:, 2:]) / z[:, None]
    return uv, flow, h[:, 2]


def match(
    evidence: Evidence,
    points: np.ndarray,
    tangents: np.ndarray,
    radius_px: float,
    visible: np.ndarray | None = None,
) -> Matches:
    """Look for the edge under every point in every view.

    Args:
        evidence: The 2D edges.
        points: Scene points. [N, 3]
        tangents: Unit tangents there. [N, 3]
        radius_px: Farthest distance of an edge from the projected point, pixels.
        visible: Pairs to look at; None: all. [N, V] bool
    """
    n, v = len(points), evidence.views
    parts: list[tuple[np.ndarray, ...]] = []
    rows = max(CHUNK // max(v, 1), 1)
    for first in range(0, n, rows):
        last = min(first + rows, n)
        point = np.repeat(np.arange(first, last), v)
        view = np.tile(np.arange(v), last - first)
        if visible is not None:
            keep = visible[first:last].reshape(-1)
            point, view = point[keep], view[keep]
        parts.append(_match_pairs(evidence, points, tangents, point, view, radius_px))
    columns = [np.concatenate(c) for c in zip(*parts, strict=True)] if parts else []
    if not columns:
        none = np.zeros(0, np.int64)
        return Matches(none, none, none, np.zeros(0), np.zeros((0, 3)), np.zeros((0, 3)), np.zeros(0))
    return Matches(*columns)


def _match_pairs(
    evidence: Evidence, points: np.ndarray, tangents: np.ndarray, point: np.ndarray, view: np.ndarray, radius_px: float
) -> tuple[np.ndarray, ...]:
    uv, flow, z = project(evidence, points[point], tangents[point], view)
    speed = np.linalg.norm(flow, axis=1)
    # An edge seen end-on has no direction in the picture: slower than a fifth of one seen from the side.
    size = evidence.sizes[view]
    seen = (z > 0) & (uv > -2).all(1) & (uv < size + 2).all(1) & (speed * evidence.pixel > 0.2)
    point, view, uv, flow, z, speed = point[seen], view[seen], uv[seen], flow[seen], z[seen], speed[seen]
    direction = flow / np.maximum(speed, 1e-12)[:, None]
    bound = np.hypot(radius_px, 2 * ANGLE_SCALE_PX * np.sin(MAX_ANGLE_RAD))
    _, edge = evidence.tree.query(_lifted(uv, direction, view), distance_upper_bound=bound)
    found = edge < len(evidence.points)
    point, view, uv, direction, z, edge = point[found], view[found], uv[found], direction[found], z[found], edge[found]
    normal, q = evidence.normals[edge], evidence.points[edge]
    gap = uv - q
    residual = (normal * gap).sum(1)
    sine = np.abs((normal * direction).sum(1))
    good = (np.linalg.norm(gap, axis=1) <= radius_px) & (sine < np.sin(MAX_ANGLE_RAD))
    point, view, edge, residual, normal, uv, z, sine = (x[good] for x in (point, view, edge, residual, normal, uv, z, sine))
    a = evidence.projections[view]
    plane = (np.einsum("ni,nij->nj", normal, a[:, :2, :3]) - (normal * uv).sum(1)[:, None] * a[:, 2, :3]) / z[:, None]
    agreement = 1.0 - (sine / np.sin(MAX_ANGLE_RAD)) ** 2
    return point, view, edge, residual, plane, points[point], evidence.weights[edge] * agreement


@dataclass(frozen=True)
class EdgePoints:
    """Points on 3D edges.

    Attributes:
        points: Scene units. [N, 3]
        tangents: Unit. [N, 3]
        support: Views whose edges pass within the inlier distance. [N] int64
        spread: Second over first eigenvalue of the planes' normals, 0 to 1: how far around the edge the views stand that see it. The
            contour of a smooth surface is seen by each part of it only along its tangent plane: spread near 0. [N]
        rmse_px: Root mean square distance of the supporting edges, inf without any. [N]
    """

    points: np.ndarray
    tangents: np.ndarray
    support: np.ndarray
    spread: np.ndarray
    rmse_px: np.ndarray

    def __getitem__(self, index) -> EdgePoints:
        return EdgePoints(self.points[index], self.tangents[index], self.support[index], self.spread[index], self.rmse_px[index])

    def __len__(self) -> int:
        return len(self.points)


def polish(
    evidence: Evidence,
    points: np.ndarray,
    tangents: np.ndarray,
    radii_px: tuple[float, ...] = (4.0, 3.0, 2.0, 2.0),
    inlier_px: float = 1.2,
    visible: np.ndarray | None = None,
    turn: bool = True,
) -> EdgePoints:
    """Move points across their tangents to where the edges of all views meet, and turn the tangents the way the edges run.

    Gauss-Newton with Geman-McClure weights; the search radius shrinks from step to step.

    Args:
        evidence: The 2D edges.
        points: Scene points near edges. [N, 3]
        tangents: Unit tangents, roughly right. [N, 3]
        radii_px: Search radius of each step.
        inlier_px: Farthest distance of an edge that counts as support.
        visible: Point-view pairs that may be used. [N, V] bool
        turn: Whether tangents are turned too.
    """
    points, tangents = points.copy(), tangents.copy()
    n = len(points)
    for radius in radii_px:
        m = match(evidence, points, tangents, radius, visible=visible)
        scale = max(0.4 * radius, 0.6)
        w = m.weight / (1.0 + (m.residual_px / scale) ** 2) ** 2
        normal_matrix, gradient = _accumulate(n, m, w)
        values, vectors = np.linalg.eigh(normal_matrix)
        if turn:
            new = vectors[:, :, 0] * np.sign((vectors[:, :, 0] * tangents).sum(1, keepdims=True) + 1e-300)
            # With fewer than three planes, or planes that all agree, the smallest eigenvector says little.
            sure = (values[:, 1] > 0.02 * values[:, 2]) & (values[:, 0] < 0.2 * values[:, 1])
            tangents = np.where(sure[:, None], new, tangents)
        # The step across the tangent: a small damping keeps points with parallel planes where they are along the open direction.
        damping = 1e-3 * values[:, 2] + 1e-9
        across = np.eye(3) - tangents[:, :, None] * tangents[:, None, :]
        system = across @ normal_matrix @ across + damping[:, None, None] * np.eye(3) + tangents[:, :, None] * tangents[:, None, :]
        step = -np.linalg.solve(system, (across @ gradient[:, :, None]))[:, :, 0]
        length = np.linalg.norm(step, axis=1, keepdims=True)
        points += step * np.minimum(1.0, radius * evidence.pixel / np.maximum(length, 1e-12))
    return judge(evidence, points, tangents, inlier_px, visible)


def judge(evidence: Evidence, points: np.ndarray, tangents: np.ndarray, inlier_px: float, visible: np.ndarray | None = None) -> EdgePoints:
    """Support, spread and residual of points as they are."""
    n = len(points)
    m = match(evidence, points, tangents, inlier_px, visible=visible)
    support = np.bincount(m.point, minlength=n)
    unit = m.plane / np.maximum(np.linalg.norm(m.plane, axis=1, keepdims=True), 1e-12)
    moments, _ = _accumulate(n, replace(m, plane=unit), np.ones(len(m.point)))
    values = np.linalg.eigvalsh(moments)
    squares = np.bincount(m.point, m.residual_px**2, minlength=n)
    with np.errstate(divide="ignore", invalid="ignore"):
        rmse = np.where(support > 0, np.sqrt(squares / np.maximum(support, 1)), np.inf)
        spread = np.where(values[:, 2] > 0, values[:, 1] / np.maximum(values[:, 2], 1e-12), 0.0)
    return EdgePoints(points, tangents, support, spread, rmse)


def _accumulate(n: int, m: Matches, w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Normal equations of each point: sum of w J J^T [N, 3, 3] and of w r J [N, 3]."""
    matrix = np.zeros((n, 3, 3))
    for i in range(3):
        for j in range(i, 3):
            matrix[:, i, j] = matrix[:, j, i] = np.bincount(m.point, w * m.plane[:, i] * m.plane[:, j], minlength=n)
    gradient = np.stack([np.bincount(m.point, w * m.residual_px * m.plane[:, i], minlength=n) for i in range(3)], axis=1)
    return matrix, gradient
