"""The systematic displacement of given edge maps, estimated from the edges themselves.

A learned detector puts its lines beside the true edges, always in the same way: all of them by a part of a pixel in one direction
(resampling inside the network), and those between object and background outwards by about a pixel (they lie on the background's side).
Three numbers a detector, and each is as large as what is asked of the result. They show up as a contradiction between views that look at
the same 3D edge from different sides, so they are found together with the positions of the 3D points: Gauss-Newton on all of them, with
the points eliminated (Schur complement), in a few iterations.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from recon.curves.edges2d.edges import KIND_SILHOUETTE, Edges, EdgeView
from recon.curves.wireframe.evidence import EdgePoints, Evidence, match, polish, with_points
from recon.data.scene import Scene, View
from recon.evaluation.silhouettes import object_mask

SILHOUETTE_PX = 3.0
"""An edge this near to the object's outline and parallel to it is the detector's version of the outline."""
SCALE_PX = 0.5
"""Scale of the robust weight."""


@dataclass(frozen=True)
class Calibration:
    """Where a detector's edges lie, relative to the true ones.

    Attributes:
        offset_px: Displacement of every edge (x, y), pixels.
        outward_px: Further displacement of silhouettes away from the object, pixels.
    """

    offset_px: tuple[float, float] = (0.0, 0.0)
    outward_px: float = 0.0


def mark_silhouettes(edges: Edges, scene: Scene) -> Edges:
    """Find out which given edges are the object's outline, from alpha or masks, and let their normals point away from the object.

    Views without alpha and mask keep their edges as they are.
    """
    by_name = {v.name: v for v in scene.views}
    return replace(edges, views=tuple(_marked(e, by_name.get(e.name)) for e in edges.views))


def _marked(edges: EdgeView, view: View | None) -> EdgeView:
    mask = object_mask(view) if view is not None else None
    if mask is None or len(edges.points) == 0:
        return edges
    height, width = mask.shape
    inside = np.asarray(mask) > 0
    # Signed distance to the outline in mask pixels, positive outside; half a pixel because the outline runs between pixel centres.
    distance = np.where(inside, 0.5 - _distance(inside), _distance(~inside) - 0.5)
    down, right = np.gradient(ndimage.gaussian_filter(distance, 1.5))
    outward = np.stack([right, down], axis=-1)
    scale = np.array([width / edges.camera.width, height / edges.camera.height])
    column, row = np.clip((edges.points * scale).astype(int), 0, [width - 1, height - 1]).T
    away = outward[row, column]
    away = away / np.maximum(np.linalg.norm(away, axis=1, keepdims=True), 1e-9)
    cosine = (away * edges.normals).sum(1)
    outline = (np.abs(distance[row, column]) < SILHOUETTE_PX * scale.mean()) & (np.abs(cosine) > 0.9)
    normals = np.where(outline[:, None], edges.normals * np.where(cosine < 0, -1.0, 1.0)[:, None], edges.normals)
    kinds = np.where(outline, KIND_SILHOUETTE, edges.kinds).astype(np.uint8)
    return replace(edges, normals=normals.astype(np.float32), kinds=kinds)


def _distance(inside: np.ndarray) -> np.ndarray:
    """Distance of each pixel to the nearest one that is not inside. [H, W]"""
    return np.asarray(ndimage.distance_transform_edt(inside), np.float64)


def calibrate(evidence: Evidence, points: EdgePoints, iterations: int = 8) -> tuple[Evidence, Calibration, EdgePoints]:
    """Estimate the displacement from points on 3D edges, and take it out of the evidence.

    Args:
        evidence: Edges of a detector.
        points: Well supported points; some thousands are plenty.
        iterations: Each matches anew, solves for the three numbers and polishes the points.
    Returns:
        The corrected evidence, what was found, and the points polished on it.
    """
    original, found = evidence, Calibration()
    for _ in range(iterations):
        step = _solve(evidence, points)
        x, y, outward = (float(v) for v in step)
        found = Calibration((found.offset_px[0] + x, found.offset_px[1] + y), found.outward_px + outward)
        evidence = corrected(original, found)
        points = polish(evidence, points.points, points.tangents, radii_px=(2.5, 2.0))
        if np.abs(step).max() < 0.01:
            break
    return evidence, found, points


def corrected(evidence: Evidence, calibration: Calibration) -> Evidence:
    """The evidence with every edge moved to where the calibration says it really is."""
    outline = (evidence.kinds == KIND_SILHOUETTE)[:, None]
    moved = evidence.points - np.array(calibration.offset_px) - calibration.outward_px * outline * evidence.normals
    return with_points(evidence, moved)


def _solve(evidence: Evidence, points: EdgePoints) -> np.ndarray:
    """One Gauss-Newton step for (offset x, offset y, outward), the points' positions across their tangents eliminated. [3]"""
    n = len(points)
    m = match(evidence, points.points, points.tangents, 2.5)
    outline = evidence.kinds[m.edge] == KIND_SILHOUETTE
    # residual = normal . (uv - q); moving the edge back, q - offset - outward normal, adds normal . offset + outward
    c = np.column_stack([evidence.normals[m.edge], outline.astype(np.float64)])  # [M, 3]
    w = m.weight / (1.0 + (m.residual_px / SCALE_PX) ** 2) ** 2
    across = m.plane - (m.plane * points.tangents[m.point]).sum(1, keepdims=True) * points.tangents[m.point]
    a = _sums(n, m.point, w, across, across)
    b = _sums(n, m.point, w, across, c)
    g = _sums(n, m.point, w, across, m.residual_px[:, None])[:, :, 0]
    trace = np.trace(a, axis1=1, axis2=2)[:, None, None]
    inverse = np.linalg.inv(a + (1e-4 * trace + 1e-9) * np.eye(3))  # the tangent direction has no information and gets no step
    schur = (c * w[:, None]).T @ c - np.einsum("nji,njk,nkl->il", b, inverse, b)
    right = (c * w[:, None]).T @ m.residual_px - np.einsum("nji,njk,nk->i", b, inverse, g)
    # Where nothing tells (no silhouettes known), the damping keeps the number at 0.
    return np.linalg.solve(schur + 1e-3 * np.trace(schur) / 3 * np.eye(3) + 1e-9 * np.eye(3), -right)


def _sums(n: int, index: np.ndarray, w: np.ndarray, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Sum of w * left right^T over the rows of each index. [n, L, R]"""
    return np.stack(
        [np.stack([np.bincount(index, w * l * r, minlength=n) for r in right.T], axis=1) for l in left.T],
        axis=1,
    )
