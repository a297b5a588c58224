"""The photographs themselves as a source of colour for a mesh."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from recon.data.scene import View
from recon.surface.mesh import Mesh
from recon.surface.raycast import ray_scene, visible
from recon.surface.texture import Color

_CHUNK = 2**15


def photograph_color(
    mesh: Mesh,
    views: Sequence[View],
    *,
    best: int = 6,
    min_cosine: float = 0.15,
    spread: float = 0.08,
    use_masks: bool = True,
) -> Color:
    """A colour function that looks each point up in the photographs that see it.

    A photograph counts for a point if the point projects into it, faces it, nothing of the mesh lies between (ray casting), and all four
    pixels around it belong to the object, where alpha or masks say so. Its weight is ``cosine² * (focal length / depth)²``: how squarely
    and at which resolution it sees the point. Of the ``best`` photographs a robust mean is taken: the weights are multiplied by
    ``1 / (1 + (difference to their median / spread)²)²``, so that a highlight or a wrong silhouette in one of them leaves no trace.
    Colours are averaged as they are stored (sRGB).

    Args:
        mesh: In any frame; points are asked for in the same one.
        views: Photographs, with their cameras in the mesh's frame.
        best: How many photographs are mixed at most.
        min_cosine: Least cosine between the normal and the direction to the camera.
        spread: Colour difference, in [0, 1], at which a photograph keeps a quarter of its weight.
        use_masks: Whether ``View.mask`` counts; alpha always does.
    Returns:
        ``color(points [N, 3], normals [N, 3]) -> [N, 3]`` float32; NaN where no photograph sees the point. It needs
        ``len(views) * 16`` bytes a point for 32,768 points at a time.
    """
    scene = ray_scene(mesh)
    tolerance = 2e-4 * max(mesh.diagonal(), 1e-300)

    def chunk_color(points: np.ndarray, normals: np.ndarray) -> np.ndarray:
        weights = np.zeros((len(views), len(points)), np.float32)
        colors = np.zeros((len(views), len(points), 3), np.float32)
        for v, view in enumerate(views):
            rows, weight = _facing(view, points, normals, min_cosine)
            seen, color = _sample(view, points[rows], use_masks)
            rows, weight, color = rows[seen], weight[seen], color[seen]
            clear = visible(scene, points[rows], view.camera.center, tolerance)
            weights[v, rows[clear]], colors[v, rows[clear]] = weight[clear], color[clear]
        return _robust_mean(weights, colors, best, spread)

    def color(points: np.ndarray, normals: np.ndarray) -> np.ndarray:
        parts = [chunk_color(points[s : s + _CHUNK], normals[s : s + _CHUNK]) for s in range(0, len(points), _CHUNK)]
        return np.concatenate(parts) if parts else np.zeros((0, 3), np.float32)

    return color


def _facing(view: View, points: np.ndarray, normals: np.ndarray, min_cosine: float) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the points in front of the camera that face it, and their weights."""
    to_eye = view.camera.center - points
    cosine = (to_eye * normals).sum(1) / np.maximum(np.linalg.norm(to_eye, axis=1), 1e-300)
    depth = -to_eye @ view.camera.world_from_camera[:, 2]
    rows = np.flatnonzero((cosine > min_cosine) & (depth > 0))
    return rows, (cosine[rows] * view.camera.fx / depth[rows]) ** 2


def _sample(view: View, points: np.ndarray, use_masks: bool) -> tuple[np.ndarray, np.ndarray]:
    """Whether each point falls on four pixels of the object, and its colour by bilinear interpolation, in [0, 1]."""
    uv, _ = view.camera.project(points)
    h, w = view.image.shape[:2]
    x, y = uv[:, 0] - 0.5, uv[:, 1] - 0.5
    inside = (x >= 0) & (y >= 0) & (x <= w - 1) & (y <= h - 1)
    x, y = np.where(inside, x, 0), np.where(inside, y, 0)
    x0, y0 = np.minimum(x.astype(np.int64), max(w - 2, 0)), np.minimum(y.astype(np.int64), max(h - 2, 0))
    x1, y1 = np.minimum(x0 + 1, w - 1), np.minimum(y0 + 1, h - 1)
    fx, fy = (x - x0)[:, None], (y - y0)[:, None]
    taps = ((y0, x0, (1 - fx) * (1 - fy)), (y0, x1, fx * (1 - fy)), (y1, x0, (1 - fx) * fy), (y1, x1, fx * fy))
    color = np.zeros((len(points), 3))
    for row, column, weight in taps:
        pixel = view.image[row, column]
        color += weight * pixel[:, :3]
        if view.image.shape[2] == 4:
            inside &= pixel[:, 3] == 255
        if use_masks and view.mask is not None:
            inside &= view.mask[row, column] > 127
        if view.ignore is not None:
            inside &= ~view.ignore[row, column]
    return inside, color / 255.0


def _robust_mean(weights: np.ndarray, colors: np.ndarray, best: int, spread: float) -> np.ndarray:
    """[V, N], [V, N, 3] -> [N, 3]; NaN where all weights are 0."""
    if len(weights) > best:
        chosen = np.argpartition(-weights, best - 1, axis=0)[:best]
        weights = np.take_along_axis(weights, chosen, 0)
        colors = np.take_along_axis(colors, chosen[:, :, None], 0)
    order = np.argsort(colors, axis=0)
    # Every photograph has one vote here, whatever its weight: else the most frontal one could outvote all others and be the wrong one.
    votes = np.broadcast_to((weights > 0)[..., None], colors.shape)
    cumulative = np.cumsum(np.take_along_axis(votes, order, 0), axis=0, dtype=np.float32)
    middle = (cumulative < 0.5 * cumulative[-1]).sum(0)[None]
    median = np.take_along_axis(np.take_along_axis(colors, order, 0), np.minimum(middle, len(colors) - 1), 0)
    difference = np.linalg.norm(colors - median, axis=2)
    w = weights / (1 + (difference / spread) ** 2) ** 2  # Geman and McClure
    total = w.sum(0)
    mean = (w[..., None] * colors).sum(0) / np.where(total > 0, total, 1)[:, None]
    return np.where(total[:, None] > 0, mean, np.nan).astype(np.float32)
