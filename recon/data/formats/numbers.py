"""Numbers of text files, and rotations as angles or quaternions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from recon.data.listing import FrameProblem


def floats(words: Sequence[Any], what: str, count: int | None = None) -> np.ndarray:
    """Numbers from words. [count] float64

    Raises:
        FrameProblem: Not ``count`` words, or one that is no number.
    """
    try:
        values = np.array([float(word) for word in words], np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise FrameProblem(f"{what}: is not made of numbers") from error
    if count is not None and len(values) != count:
        raise FrameProblem(f"{what}: {count} numbers expected, found {len(values)}")
    return values


def rotation_of(quaternion: Sequence[float] | np.ndarray) -> np.ndarray:
    """Rotation of a quaternion w, x, y, z of any length but zero. [3, 3]

    Raises:
        FrameProblem: Not finite, or zero.
    """
    q = np.asarray(quaternion, np.float64)
    length = float(np.linalg.norm(q))
    if not np.isfinite(length) or length < 1e-9:
        raise FrameProblem("the pose's quaternion is zero or not finite")
    w, x, y, z = q / length
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


def rotation_about(vector: Sequence[float] | np.ndarray) -> np.ndarray:
    """Rotation about an axis by the vector's length, radians (Rodrigues). [3, 3]"""
    v = np.asarray(vector, np.float64)
    angle = float(np.linalg.norm(v))
    x, y, z = v if angle < 1e-12 else v / angle
    k = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + (k if angle < 1e-12 else np.sin(angle) * k + (1 - np.cos(angle)) * k @ k)


def world_from(camera_from_world_rotation: np.ndarray, translation: np.ndarray) -> np.ndarray:
    """``world_from_camera`` of x_camera = R x_world + t, R a rotation. [3, 4]"""
    r = np.asarray(camera_from_world_rotation, np.float64)
    return np.concatenate([r.T, -(r.T @ np.asarray(translation, np.float64))[:, None]], axis=1)


def opencv_from_opengl(pose: np.ndarray) -> np.ndarray:
    """A camera-to-world pose whose camera looks along -z with y up, with OpenCV's axes. [3, 4]"""
    out = np.array(pose, np.float64)
    out[:, 1:3] *= -1.0
    return out
