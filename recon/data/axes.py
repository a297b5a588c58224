"""Camera axes that contradict themselves: which other reading of the same matrices makes all cameras meet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np

from recon.data.bounds import PARALLEL_AXES, nearest_point
from recon.data.listing import Axes

MEETS_FRONT, MEETS_MISS = 0.95, 0.25
"""Cameras meet if this share of them has the point nearest to all optical axes in front, and half of them miss it by no more than this
share of their distance."""
FAILS_FRONT, FAILS_RATIO = 0.5, 4.0
"""They do not as given if fewer than this share has it in front, or if they miss it by so many times more than in another reading."""


def reinterpret(pose: np.ndarray, read_as: Literal["opencv", "opengl"], wanted: Axes) -> np.ndarray:
    """``world_from_camera`` [3, 4] of the same matrix read with other camera axes, or as the inverse (camera from world)."""
    raw = pose.copy()
    if read_as == "opengl":
        raw[:, 1:3] *= -1.0
    if wanted.endswith("inverse"):
        rotation = raw[:, :3].T
        raw = np.concatenate([rotation, -(rotation @ raw[:, 3])[:, None]], axis=1)
    if wanted.startswith("opengl"):
        raw[:, 1:3] *= -1.0
    return raw


def meeting(poses: Sequence[np.ndarray]) -> tuple[float, float, float]:
    """How well cameras look at one point: the share that has it in front, the median distance by which they miss it in shares of their
    distance to it, and the spread of their directions (:func:`recon.data.bounds.nearest_point`)."""
    stacked = np.stack(poses)
    centers, axes = stacked[:, :, 3], stacked[:, :, 2]
    point, spread = nearest_point(centers, axes)
    offsets = point - centers
    depths = np.einsum("ni,ni->n", axes, offsets)
    distances = np.linalg.norm(offsets, axis=1)
    misses = np.linalg.norm(offsets - depths[:, None] * axes, axis=1)
    return float((depths > 0).mean()), float(np.median(misses / np.maximum(distances, 1e-300))), spread


def better_reading(poses: Sequence[np.ndarray], read_as: Literal["opencv", "opengl"]) -> Axes | None:
    """The reading in which all cameras meet, if they do not as they were read."""
    front, miss, _ = meeting(poses)
    best: tuple[float, Axes] | None = None
    for wanted in get_args(Axes):
        if wanted == read_as:
            continue
        other_front, other_miss, spread = meeting([reinterpret(pose, read_as, wanted) for pose in poses])
        meets = other_front >= MEETS_FRONT and other_miss <= MEETS_MISS and spread >= PARALLEL_AXES
        if meets and (front < FAILS_FRONT or miss > FAILS_RATIO * max(other_miss, 0.02)) and (best is None or other_miss < best[0]):
            best = other_miss, wanted
    return None if best is None else best[1]


MEANING: dict[Axes, str] = {
    "opencv": "camera axes as OpenCV's (x right, y down, z forward)",
    "opengl": "camera axes as OpenGL's (x right, y up, z backward)",
    "opencv-inverse": "camera-from-world matrices, the inverse, with OpenCV's axes",
    "opengl-inverse": "camera-from-world matrices, the inverse, with OpenGL's axes",
}
