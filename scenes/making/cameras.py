"""Cameras around an object: on a Fibonacci sphere, or on orbits."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from recon.data.scene import Camera
from recon.errors import UsageError
from recon.geometry import look_at

_GOLDEN = (1 + 5**0.5) / 2


def fibonacci_directions(count: int) -> np.ndarray:
    """Nearly even directions on the whole sphere, no one at a pole. [count, 3] float64"""
    k = np.arange(count)
    z = 1 - (2 * k + 1) / count
    turn = 2 * np.pi * k / _GOLDEN
    r = np.sqrt(1 - z * z)
    return np.stack([r * np.cos(turn), r * np.sin(turn), z], axis=1)


def orbit_directions(count: int, elevations_rad: Sequence[float]) -> np.ndarray:
    """Directions evenly around one or more circles of elevation, in turns. [count, 3] float64"""
    k = np.arange(count)
    elevation = np.asarray(elevations_rad, np.float64)[k % len(elevations_rad)]
    turn = 2 * np.pi * k / count
    return np.stack([np.cos(elevation) * np.cos(turn), np.cos(elevation) * np.sin(turn), np.sin(elevation)], axis=1)


def arc_directions(count: int, elevations_rad: Sequence[float], arc_rad: float, middle_rad: float) -> np.ndarray:
    """Directions evenly along an arc, at elevations in turns; a whole turn does not come back to its first. [count, 3] float64"""
    k = np.arange(count)
    elevation = np.asarray(elevations_rad, np.float64)[k % len(elevations_rad)]
    steps = count if arc_rad >= 2 * math.pi - 1e-9 else max(count - 1, 1)
    turn = middle_rad + arc_rad * (k / steps - 0.5)
    return np.stack([np.cos(elevation) * np.cos(turn), np.cos(elevation) * np.sin(turn), np.sin(elevation)], axis=1)


def surround(
    center: np.ndarray,
    radius: float,
    directions: np.ndarray,
    width: int,
    height: int,
    fovs_rad: Sequence[float] = (math.radians(36.0),),
    fill: float = 0.94,
    principal_jitter_px: float = 0.0,
    seed: int = 0,
) -> tuple[Camera, ...]:
    """Cameras that look at a sphere from given directions, each as near as the sphere still fits into its picture.

    Args:
        center, radius: The sphere that must be seen, world units. [3]
        directions: Unit vectors from the centre to the cameras. [N, 3]
        width, height: Pixels.
        fovs_rad: Horizontal fields of view, taken in turns.
        fill: Part of the shorter picture side that the sphere's outline covers.
        principal_jitter_px: Half width of the uniform displacement of the principal point from the picture's centre, both axes.
        seed: For the displacement.
    Returns:
        One camera for each direction.
    """
    if width < 1 or height < 1 or not 0 < fill <= 1 or not radius > 0:
        raise UsageError(f"cannot place cameras: size {width}x{height}, fill {fill}, radius {radius}")
    offsets = np.random.default_rng(seed).uniform(-principal_jitter_px, principal_jitter_px, (len(directions), 2))
    cameras = []
    for number, direction in enumerate(directions):
        fov = fovs_rad[number % len(fovs_rad)]
        if not 0 < fov < math.pi:
            raise UsageError(f"field of view {fov} rad is not between 0 and pi")
        focal = width / 2 / math.tan(fov / 2)
        half = math.atan(fill * min(width, height) / 2 / focal)
        pose = look_at(center + direction * radius / math.sin(half), center)
        cx, cy = width / 2 + offsets[number, 0], height / 2 + offsets[number, 1]
        cameras.append(Camera(width, height, focal, focal, cx, cy, pose))
    return tuple(cameras)
