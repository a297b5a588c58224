"""Where the object is: the similarity ``world_from_scene`` whose unit sphere holds it. The rotation is always the identity.

In order: what the caller gives, what the dataset states, the visual hull of the silhouettes, sparse points, the cameras alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from recon.data.listing import Points
from recon.data.scene import Camera
from recon.geometry import Similarity

# The bounding sphere of the visual hull is enlarged by this, so that the object keeps clear of the unit sphere.
HULL_MARGIN = 1.1
# Without silhouettes: radius of the sphere as a share of the median distance from the cameras to the point they look at. An object that
# fills the frames takes about 0.35 of it; but close-ups look at a part of it only, and what is outside the sphere is lost.
CAMERA_DISTANCE_SHARE = 0.65
# ... but never more than this share of the nearest camera's distance, so that cameras stay outside.
NEAREST_CAMERA_SHARE = 0.9
# Below this smallest eigenvalue of the mean projector the optical axes are all but parallel (about 8 degrees) and meet nowhere reliably.
PARALLEL_AXES = 0.01

# A voxel of the hull is inside the silhouettes of at least this share of the views that the best-seen voxel has.
SEEN_SHARE = 0.6

FEWEST_POINTS = 20
"""Sparse points that bounds can be made of."""
MOST_POINTS = 20_000
"""More are thinned out: a median needs no more."""

_GRID = 48
_LEVELS = 3
_MAX_VIEWS = 40
_SILHOUETTE_SIZE = 256


def point_nearest_axes(cameras: Sequence[Camera]) -> tuple[np.ndarray, float]:
    """:func:`nearest_point` of the cameras' optical axes."""
    return nearest_point(np.stack([c.center for c in cameras]), np.stack([c.world_from_camera[:, 2] for c in cameras]))


def nearest_point(centers: np.ndarray, axes: np.ndarray) -> tuple[np.ndarray, float]:
    """The point nearest to lines through centres [N, 3] along unit axes [N, 3], and how well they fix it.

    Robust least squares: the sum of squared distances is re-weighted ten times by 1 / distance, so that a few cameras that look
    elsewhere do not pull it away.

    Returns:
        The point [3] and the smallest eigenvalue of the mean of I - d d^T (0: all axes parallel, 2/3: spread over all directions).
    """
    projectors = np.eye(3) - axes[:, :, None] * axes[:, None, :]
    spread = float(np.linalg.eigvalsh(projectors.mean(axis=0))[0])
    scale = np.linalg.norm(centers - centers.mean(axis=0), axis=1).max() + 1e-30
    weights = np.ones(len(centers))
    point = centers.mean(axis=0)
    for _ in range(10):
        a = (weights[:, None, None] * projectors).sum(axis=0)
        b = (weights[:, None, None] * projectors @ centers[:, :, None]).sum(axis=0)[:, 0]
        point = np.linalg.lstsq(a, b, rcond=1e-9)[0]
        distances = np.linalg.norm(np.einsum("nij,nj->ni", projectors, point - centers), axis=1)
        weights = 1.0 / np.maximum(distances, 1e-3 * scale)
    return point, spread


def from_cameras(cameras: Sequence[Camera]) -> tuple[Similarity, str, str | None]:
    """Bounds from the cameras alone.

    Returns:
        ``world_from_scene``, a note saying how, and a warning if the cameras do not look at one place.
    """
    point, spread = point_nearest_axes(cameras)
    centers = np.stack([c.center for c in cameras])
    axes = np.stack([c.world_from_camera[:, 2] for c in cameras])
    depths = np.einsum("ni,ni->n", axes, point - centers)
    remedy = "look at the bounds with `recon inspect`, and give them yourself if the object is not inside (--bounds X Y Z RADIUS)"
    if spread < PARALLEL_AXES or np.median(depths) <= 0:
        center = centers.mean(axis=0)
        extent = float(np.linalg.norm(centers - center, axis=1).max())
        if spread < PARALLEL_AXES:
            # A forward-facing capture: nothing says how far the object is; twice the baseline is a common ratio.
            direction = axes.mean(axis=0) / np.linalg.norm(axes.mean(axis=0))
            ahead = 2.0 * extent
            similarity = Similarity(CAMERA_DISTANCE_SHARE * ahead, np.eye(3), center + ahead * direction)
            return (
                similarity,
                "bounds: guessed in front of cameras that all look the same way",
                f"the cameras look nearly the same way; {remedy}",
            )
        similarity = Similarity(2.0 * extent, np.eye(3), center)
        return (
            similarity,
            "bounds: guessed around cameras that look outward",
            f"the cameras look away from each other, not at one object; {remedy}",
        )
    distances = np.linalg.norm(centers - point, axis=1)
    radius = min(CAMERA_DISTANCE_SHARE * float(np.median(distances)), NEAREST_CAMERA_SHARE * float(distances.min()))
    radius = max(radius, 0.2 * float(np.median(distances)))
    note = (
        f"bounds: sphere around the point the cameras look at, radius {radius / np.median(distances):.2f} of their median distance "
        "(no silhouettes to bound the object)"
    )
    return Similarity(radius, np.eye(3), point), note, None


def from_silhouettes(cameras: Sequence[Camera], silhouettes: Sequence[np.ndarray]) -> Similarity | None:
    """Bounds from a coarse visual hull: the smallest sphere around what no silhouette excludes, enlarged by 10 %.

    A voxel is kept if its projection touches the silhouette in all views that see it but up to two (none below 8 views, one below 16),
    and in at least 60 % as many views as the voxel seen by most. Three grids of 48^3 refine the box;
    time about views x 3 x 48^3 projections, at most 40 views are used, memory below 100 MB.

    Args:
        cameras: One per silhouette.
        silhouettes: True inside. [H, W] bool
    Returns:
        ``world_from_scene``, or None if the silhouettes do not bound anything (empty, contradictory, or open towards a side).
    """
    found = hull_voxels(cameras, silhouettes)
    if found is None:
        return None
    points, _, bounded = found
    center, radius = enclosing_sphere(points)
    distances = np.linalg.norm(np.stack([c.center for c in cameras]) - point_nearest_axes(cameras)[0], axis=1)
    if radius > 0.9 * float(np.median(distances)) or not bounded:
        return None
    return Similarity(HULL_MARGIN * radius, np.eye(3), center)


def hull_voxels(cameras: Sequence[Camera], silhouettes: Sequence[np.ndarray]) -> tuple[np.ndarray, float, bool] | None:
    """Centres [N, 3] of the voxels that the silhouettes leave, half a voxel's diagonal, and whether they keep clear of the first box;
    None if none is left. Arguments and cost as in :func:`from_silhouettes`."""
    if len(cameras) > _MAX_VIEWS:
        chosen = np.unique(np.linspace(0, len(cameras) - 1, _MAX_VIEWS).round().astype(int))
        cameras, silhouettes = [cameras[i] for i in chosen], [silhouettes[i] for i in chosen]
    maps = [distance_map(s, _SILHOUETTE_SIZE) for s in silhouettes]
    start, _ = point_nearest_axes(cameras)
    distances = np.linalg.norm(np.stack([c.center for c in cameras]) - start, axis=1)
    low, high = start - distances.max(), start + distances.max()
    first = (low, high)
    points, half = np.empty((0, 3)), 0.0
    for _ in range(_LEVELS):
        cell = (high - low) / _GRID
        half = float(np.linalg.norm(cell)) / 2
        axes = [low[i] + (np.arange(_GRID) + 0.5) * cell[i] for i in range(3)]
        kept = _survives(axes, half, cameras, maps)
        points = np.stack([axis[index] for axis, index in zip(axes, np.nonzero(kept), strict=True)], axis=-1)
        if len(points) == 0:
            return None
        low, high = points.min(axis=0) - cell, points.max(axis=0) + cell
    return points, half, not ((low <= first[0]).any() or (high >= first[1]).any())


def from_points(cameras: Sequence[Camera], points: Points) -> Similarity | None:
    """Bounds from the sparse points of a reconstruction, the ones that most cameras look at.

    Points found in fewer than three photographs, or two pixels off and more, are left out. Of the rest those count that lie in the pictures
    of at least 60 % as many cameras as the point in most. The centre is their median; the radius the 95th percentile of their distances
    from it with 10 % margin, but not more than 0.9 of the nearest camera's distance.

    Returns:
        ``world_from_scene``, or None: fewer than 20 points count, or they lie around the cameras.
    """
    keep = np.isfinite(points.xyz).all(1)
    if points.track is not None:
        keep &= points.track >= 3
    if points.error is not None:
        keep &= points.error < 2.0
    xyz = points.xyz[keep]
    xyz = xyz[:: max(1, len(xyz) // MOST_POINTS)]
    if len(xyz) < FEWEST_POINTS:
        return None
    seen = np.zeros(len(xyz), np.int32)
    for camera in cameras:
        uv, depth = camera.project(xyz)
        seen += (depth > 0) & (uv >= 0).all(1) & (uv[:, 0] <= camera.width) & (uv[:, 1] <= camera.height)
    xyz = xyz[seen >= np.ceil(SEEN_SHARE * seen.max(initial=1))]
    if len(xyz) < FEWEST_POINTS:
        return None
    center = np.median(xyz, axis=0)
    radius = HULL_MARGIN * float(np.percentile(np.linalg.norm(xyz - center, axis=1), 95))
    nearest = float(min(np.linalg.norm(c.center - center) for c in cameras))
    if not 0 < radius <= NEAREST_CAMERA_SHARE * nearest:
        return None
    return Similarity(radius, np.eye(3), center)


def enclosing_sphere(points: np.ndarray) -> tuple[np.ndarray, float]:
    """Centre [3] and radius of a sphere around all points [N, 3], within about 1 % of the smallest.

    Source: Badoiu and Clarkson, "Smaller core-sets for balls", 2003: step towards the farthest point by 1 / (i + 1).
    """
    center = (points.min(axis=0) + points.max(axis=0)) / 2
    for i in range(1, 200):
        offsets = points - center
        farthest = offsets[np.argmax(np.einsum("ni,ni->n", offsets, offsets))]
        center = center + farthest / (i + 1)
    return center, float(np.linalg.norm(points - center, axis=1).max())


def distance_map(silhouette: np.ndarray, longest: int) -> tuple[np.ndarray, float]:
    """Distance of every coarse pixel to the silhouette, in pixels of the full image, and the coarse pixel's size.

    Args:
        silhouette: True inside. A coarse pixel is inside if any of its pixels is. [H, W] bool
        longest: Coarse pixels along the longer side, at most about.
    """
    h, w = silhouette.shape
    step = max(1, int(np.ceil(max(h, w) / longest)))
    padded = np.pad(silhouette, ((0, -h % step), (0, -w % step)))
    coarse = padded.reshape(padded.shape[0] // step, step, padded.shape[1] // step, step).any(axis=(1, 3))
    if not coarse.any():
        return np.full(coarse.shape, np.inf, np.float32), float(step)
    distance = np.asarray(ndimage.distance_transform_edt(~coarse), dtype=np.float32)
    return distance * np.float32(step), float(step)


def _survives(axes: list[np.ndarray], half_diagonal: float, cameras: Sequence[Camera], maps: list[tuple[np.ndarray, float]]) -> np.ndarray:
    """Which voxels of a grid (centres at axes x, y, z) the silhouettes leave. [X, Y, Z] bool"""
    n = len(cameras)
    tolerated = 0 if n < 8 else 1 if n < 16 else 2
    shape = tuple(len(axis) for axis in axes)
    inside, outside = np.zeros(shape, np.int16), np.zeros(shape, np.int16)
    for camera, (distance, step) in zip(cameras, maps, strict=True):
        # Camera coordinates are sums of three one-dimensional terms, which is far quicker than a product per voxel.
        terms = [(axes[i] - camera.center[i])[:, None] * camera.world_from_camera[i, :3] for i in range(3)]
        x, y, z = (
            (terms[0][:, None, None, j] + terms[1][None, :, None, j] + terms[2][None, None, :, j]).astype(np.float32) for j in range(3)
        )
        front = z > 0
        scale = np.divide(1.0, z, out=np.zeros_like(z), where=front)
        u, v = camera.fx * x * scale + camera.cx, camera.fy * y * scale + camera.cy
        seen = front & (u >= 0) & (u < camera.width) & (v >= 0) & (v < camera.height)
        # Division may round up to the next whole number at the last pixel.
        column = np.minimum((u[seen] / step).astype(np.int32), distance.shape[1] - 1)
        row = np.minimum((v[seen] / step).astype(np.int32), distance.shape[0] - 1)
        reach = max(camera.fx, camera.fy) * half_diagonal * scale[seen] + step / 2
        hit = distance[row, column] <= reach
        inside[seen] += hit
        outside[seen] += ~hit
    kept = outside <= tolerated
    # Regions that only a few cameras see are excluded by nobody; the object is where nearly all of them look.
    needed = max(2, int(np.ceil(SEEN_SHARE * inside.max(initial=0, where=kept))))
    return kept & (inside >= needed)
