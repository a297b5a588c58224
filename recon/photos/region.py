"""Which way is up, and where the object is: from cameras and the points that they share. All in the frame of the model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recon.data.bounds import PARALLEL_AXES, from_cameras, point_nearest_axes
from recon.data.scene import Camera
from recon.geometry import Similarity
from recon.photos.model import SparseModel

LEAST_TRACK, MOST_ERROR_PX = 3, 2.0
COMMON_SHARE = 0.6
"""A point belongs to the object if at least this share as many cameras hold it in their frame as the point held by most."""
RADIUS_QUANTILE, MARGIN = 0.95, 1.1
NEAREST_SHARE = 0.9
LEAST_POINTS = 20
SPREAD_OF_SIDES = 0.03
"""Second eigenvalue of the cameras' x axes below which they are all but parallel (about 10 degrees) and fix no plane."""
PLANE_TILT_DEG = 25.0
PLANE_SHARE, PLANE_LEAST, PLANE_BELOW = 0.10, 40, 0.02
PLANE_TOLERANCE = 0.008
"""Of the cameras' median distance."""
RISING_QUANTILE, RISING_MARGIN, FRAME_MARGIN = 0.97, 1.2, 1.15
PLANE_TRIALS = 2000


@dataclass(frozen=True)
class Upward:
    """A direction that is up, and how it is known.

    Attributes:
        direction: Unit. [3]
        how: For the user.
        plane: Point and normal of the support, if there is one.
    """

    direction: np.ndarray
    how: str
    plane: tuple[np.ndarray, np.ndarray] | None = None


@dataclass(frozen=True)
class Region:
    """The sphere that holds the object.

    Attributes:
        center: [3]
        radius: In the model's unit.
        how: For the user.
    """

    center: np.ndarray
    radius: float
    how: str


def upward(model: SparseModel, seed: int = 0) -> Upward:
    """Up by the support plane under the object if the points show one, else by the cameras."""
    by_cameras = up_of_cameras(model.world_from_camera)
    found = support_plane(model, by_cameras, seed)
    if found is None:
        return Upward(by_cameras, "from the cameras, which people hold level")
    point, normal, count = found
    return Upward(normal, f"across the plane that the object stands on ({count} points)", (point, normal))


def up_of_cameras(world_from_camera: np.ndarray) -> np.ndarray:
    """The direction to which the cameras' x axes are most nearly perpendicular: people hold cameras level, but tilt them.

    Unlike the mean of the cameras' up it does not lean when all look down from one side. Re-weighted ten times by 1 / deviation, so that
    a few rolled photographs do not matter. Where the x axes are all but parallel, the mean up, made perpendicular to them.

    Args:
        world_from_camera: [N, 3, 4]
    Returns:
        Unit. [3]
    """
    sides = world_from_camera[:, :, 0]
    mean_up = -world_from_camera[:, :, 1].mean(axis=0)
    if np.linalg.norm(mean_up) < 1e-6:
        mean_up = -world_from_camera[0, :, 1]
    weights = np.ones(len(sides))
    values, vectors = np.ones(3), np.eye(3)
    for _ in range(10):
        values, vectors = np.linalg.eigh(np.einsum("n,ni,nj->ij", weights, sides, sides) / weights.sum())
        weights = 1.0 / np.maximum(np.abs(sides @ vectors[:, 0]), 0.02)
    if values[1] < SPREAD_OF_SIDES:
        side = vectors[:, 2]
        up = mean_up - (mean_up @ side) * side
    else:
        up = vectors[:, 0] * (1.0 if vectors[:, 0] @ mean_up >= 0 else -1.0)
    return up / np.linalg.norm(up)


def support_plane(model: SparseModel, up: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray, int] | None:
    """The plane that the object stands on: nearly level, many points on it, next to none below, every camera above.

    2000 random triples of points, the best by points within a tolerance, refined by their covariance. Fixed seed.

    Returns:
        A point [3], the unit normal upwards [3] and the number of points on it; or None.
    """
    good = (model.tracks >= LEAST_TRACK) & (model.errors < MOST_ERROR_PX)
    points = model.points[good]
    if len(points) < 2 * PLANE_LEAST:
        return None
    distance = float(np.median(np.linalg.norm(model.centers - geometric_median(points), axis=1)))
    points = points[np.linalg.norm(points - geometric_median(points), axis=1) < 2 * distance]
    if len(points) < 2 * PLANE_LEAST:
        return None
    generator = np.random.default_rng(seed)
    a, b, c = points[generator.integers(0, len(points), (3, PLANE_TRIALS))]
    normals = np.cross(b - a, c - a)
    lengths = np.linalg.norm(normals, axis=1)
    usable = lengths > 1e-12
    normals, a = normals[usable] / lengths[usable, None], a[usable]
    normals *= np.where(normals @ up < 0, -1.0, 1.0)[:, None]
    level = normals @ up > np.cos(np.deg2rad(PLANE_TILT_DEG))
    normals, a = normals[level], a[level]
    if len(normals) == 0:
        return None
    tolerance = PLANE_TOLERANCE * distance
    heights = points @ normals.T - np.einsum("ni,ni->n", a, normals)  # [P, trials]
    on = (np.abs(heights) < tolerance).sum(axis=0)
    on[(heights < -3 * tolerance).mean(axis=0) > PLANE_BELOW] = 0
    best = int(np.argmax(on))
    point, normal = a[best], normals[best]
    for _ in range(5):
        near = np.abs((points - point) @ normal) < tolerance
        if near.sum() < 3:
            return None
        point = points[near].mean(axis=0)
        refined = np.linalg.svd(points[near] - point, full_matrices=False)[2][2]
        normal = refined * (1.0 if refined @ up >= 0 else -1.0)
    height = (points - point) @ normal
    count = int((np.abs(height) < tolerance).sum())
    believable = (
        count >= max(PLANE_LEAST, PLANE_SHARE * len(points))
        and (height < -3 * tolerance).mean() <= PLANE_BELOW
        and ((model.centers - point) @ normal > 0).all()
        and normal @ up > np.cos(np.deg2rad(PLANE_TILT_DEG))
    )
    return (point, normal, count) if believable else None


def region(model: SparseModel, inside_masks: np.ndarray | None = None, plane: tuple[np.ndarray, np.ndarray] | None = None) -> Region:
    """The sphere around what most cameras look at.

    Of the points that three photographs see well, those in the frame of at least 60 % as many cameras as the one in most: centre their
    geometric median, radius the 95th percentile of their distance and 10 % more, at most 0.9 of the nearest camera's distance. With a
    support, only what rises above it counts, and where that stands on it: a sheet of paper is not the object. With fewer than 20 points:
    from the cameras alone.

    Args:
        model: In any frame.
        inside_masks: Points that lie in the object's masks. [M] bool or None
        plane: Point and upward normal of the support, if there is one.
    """
    good = (model.tracks >= LEAST_TRACK) & (model.errors < MOST_ERROR_PX * max(1.0, float(model.sizes.max()) / 1000))
    if inside_masks is not None:
        good &= inside_masks
    points = model.points[good]
    if len(points) >= LEAST_POINTS:
        common = points[in_most_frames(model, points)]
        if plane is not None and (found := on_support(model, common, plane)) is not None:
            return found
        center = geometric_median(common)
        radius = MARGIN * float(np.quantile(np.linalg.norm(common - center, axis=1), RADIUS_QUANTILE))
        nearest = float(np.linalg.norm(model.centers - center, axis=1).min())
        if len(common) >= LEAST_POINTS and radius > 0:
            held = f"the {len(common)} of {len(model.points)} points that most cameras hold"
            if radius <= NEAREST_SHARE * nearest:
                return Region(center, radius, held)
            if nearest > 0.3 * radius:
                return Region(center, NEAREST_SHARE * nearest, f"{held}, but no farther than the nearest camera allows")
    similarity, _, _ = from_cameras(plain_cameras(model))
    return Region(similarity.translation, similarity.scale, "the cameras alone, for want of points")


def in_most_frames(model: SparseModel, points: np.ndarray) -> np.ndarray:
    """Points that lie in the frame of at least 60 % as many cameras as the point in most. [P, 3] -> [P] bool"""
    holders = np.zeros(len(points), np.int64)
    for photograph in range(len(model.names)):
        uv, depth = model.project(photograph, points)
        holders += (depth > 0) & ((uv >= 0) & (uv <= model.sizes[model.camera[photograph]])).all(axis=1)
    return holders >= COMMON_SHARE * holders.max()


def on_support(model: SparseModel, points: np.ndarray, plane: tuple[np.ndarray, np.ndarray]) -> Region | None:
    """The region around what rises above a support; None if too little does.

    An object has fewer points than printed paper, and parts of it have none. So the centre is where the cameras look, which are aimed at
    the object; the sphere holds what rises and where that stands, with a wide margin; and it is never smaller than the largest thing
    that the pictures can hold.
    """
    origin, normal = plane
    cameras = plain_cameras(model)
    center, spread = point_nearest_axes(cameras)
    distance = np.linalg.norm(model.centers - center, axis=1)
    height = (points - origin) @ normal
    above = height > 3 * PLANE_TOLERANCE * float(np.median(distance))
    if above.sum() < PLANE_LEAST or spread < PARALLEL_AXES:
        return None
    rising = points[above]
    center = center + max(0.0, -float((center - origin) @ normal)) * normal
    feet = rising - height[above, None] * normal
    needed = float(np.quantile(np.linalg.norm(np.concatenate([rising, feet]) - center, axis=1), RISING_QUANTILE))
    held = np.array([np.sin(np.arctan(min(c.width, c.height) / 2 / c.fx)) for c in cameras])
    radius = max(RISING_MARGIN * needed, FRAME_MARGIN * float(np.median(held * distance)))
    if radius > NEAREST_SHARE * float(np.linalg.norm(model.centers - center, axis=1).min()):
        return None
    return Region(center, radius, f"the {int(above.sum())} points that rise above what the object stands on, and the size of the pictures")


def geometric_median(points: np.ndarray) -> np.ndarray:
    """The point with the least sum of distances, by Weiszfeld's iteration; it turns with the frame, which medians of axes do not.

    Args:
        points: At least one. [P, 3]
    """
    center = points.mean(axis=0)
    for _ in range(50):
        distances = np.linalg.norm(points - center, axis=1)
        weights = 1.0 / np.maximum(distances, 1e-9 * distances.max() + 1e-300)
        center = weights @ points / weights.sum()
    return center


def plain_cameras(model: SparseModel) -> list[Camera]:
    """Pinhole cameras of the photographs, without the lens."""
    cameras = []
    for row, pose in enumerate(model.world_from_camera):
        f, cx, cy, _, _ = model.params[model.camera[row]]
        width, height = model.sizes[model.camera[row]]
        cameras.append(Camera(int(width), int(height), f, f, cx, cy, pose))
    return cameras


def world_from_model(up: np.ndarray, region: Region, scale: float | None) -> Similarity:
    """Up becomes +z, the region's centre the origin.

    Args:
        up: Unit, in the model's frame. [3]
        region: In the model's frame.
        scale: World units in one of the model's; None: the region's radius becomes 1.
    """
    factor = 1.0 / region.radius if scale is None else scale
    rotation = turn_to_z(up)
    return Similarity(factor, rotation, -factor * rotation @ region.center)


def turn_to_z(up: np.ndarray) -> np.ndarray:
    """The smallest rotation that takes a unit vector to +z. [3] -> [3, 3]"""
    z = np.array([0.0, 0.0, 1.0])
    axis = np.cross(up, z)
    cosine = float(up @ z)
    if cosine < -1 + 1e-12:
        return np.diag([1.0, -1.0, -1.0])
    k = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    return np.eye(3) + k + k @ k / (1 + cosine)
