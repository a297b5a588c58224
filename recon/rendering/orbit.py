"""Cameras on a circle about the object, as the photographs' cameras suggest it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from recon.data.scene import Camera
from recon.geometry import look_at

NEAR_AN_AXIS = float(np.cos(np.radians(20.0)))


def common_up(cameras: Sequence[Camera]) -> np.ndarray:
    """The direction that is up in most pictures, a unit vector in the world; +z if there is none, as of cameras all around. [3]"""
    up = np.sum([-c.world_from_camera[:, 1] for c in cameras], axis=0)
    length = np.linalg.norm(up)
    return np.array([0.0, 0.0, 1.0]) if length < 0.05 * max(len(cameras), 1) else up / length


def upright(cameras: Sequence[Camera]) -> np.ndarray:
    """:func:`common_up`, or the world's axis that it means: one that is within 20 degrees. Cameras that all look down from one side
    lean over, and the axes of a world that was set up by hand or by gravity are better than their mean. [3]
    """
    up = common_up(cameras)
    axis = np.zeros(3)
    axis[np.argmax(np.abs(up))] = np.sign(up[np.argmax(np.abs(up))])
    return axis if up @ axis >= NEAR_AN_AXIS else up


def orbit_cameras(cameras: list[Camera], center: np.ndarray, frames: int, size: int) -> list[Camera]:
    """Evenly spaced cameras that look at the object from the photographs' usual distance and height.

    Args:
        cameras: The training cameras, in the world.
        center: Centre of the object in the world. [3]
        frames: How many.
        size: Longer side of the pictures, pixels; their shape and field of view are the first camera's.
    """
    up = common_up(cameras)
    offsets = np.stack([c.center for c in cameras]) - center
    height = float(np.clip(np.median(offsets @ up / np.linalg.norm(offsets, axis=1)), -0.7, 0.7))  # sine of the elevation
    height = max(height, 0.35) if abs(height) < 0.1 else height
    distance = float(np.median(np.linalg.norm(offsets, axis=1)))
    flat = offsets[0] - (offsets[0] @ up) * up
    if np.linalg.norm(flat) < 1e-6 * distance:
        flat = np.cross(up, [1.0, 0.0, 0.0] if abs(up[0]) < 0.9 else [0.0, 1.0, 0.0])
    a = flat / np.linalg.norm(flat)
    b = np.cross(up, a)
    scale = size / max(cameras[0].width, cameras[0].height)
    like = cameras[0].resized(max(round(cameras[0].width * scale), 2) // 2 * 2, max(round(cameras[0].height * scale), 2) // 2 * 2)
    result = []
    for angle in np.arange(frames) * 2.0 * np.pi / frames:
        around = np.cos(angle) * a + np.sin(angle) * b
        eye = center + distance * (np.sqrt(1.0 - height**2) * around + height * up)
        pose = look_at(eye, center, up)
        result.append(Camera(like.width, like.height, like.fx, like.fy, like.width / 2, like.height / 2, pose))
    return result
