"""Which photographs a photograph is compared with, from the cameras alone."""

from __future__ import annotations

import numpy as np

from recon.data.scene import Camera

BEST_ANGLE, NARROWER, WIDER = 12.0, 4.6, 8.4
"""Degrees between two rays that stereo likes best, and how far below and above it likes half as much (OpenMVS' constants)."""
LEAST_ANGLE, MOST_ANGLE = 1.0, 65.0
BETWEEN = 40.0
"""Degrees: sources whose base lines point the same way count half, so that they come to stand all around."""
DIRECTIONS = 256
INNER = 0.6
"""Where the object's points are taken to be, as a share of the sphere's radius."""


def choose_sources(cameras: list[Camera], center: np.ndarray, radius: float, count: int) -> list[list[int]]:
    """For each camera the others to compare it with, the best first.

    A pair is worth the mean, over points of a sphere that both see from the same side, of how good the angle is between their rays and how
    alike their pixels are in size there. The best is taken, then the best of the rest with a penalty for pointing the same way, and so on.

    Args:
        cameras: In the world.
        center: Of the sphere that holds the object, world units. [3]
        radius: Its radius.
        count: Sources wanted.
    Returns:
        Indices, at most ``count`` for each camera; none for one that shares nothing with any other.
    """
    points, outward = _sphere(center, INNER * radius)
    seen = np.stack([_sees(c, points, outward) for c in cameras])  # [V, P]
    eyes = np.stack([c.center for c in cameras])
    to_eye = eyes[:, None] - points[None]
    far = np.linalg.norm(to_eye, axis=2)
    to_eye = to_eye / far[..., None]
    footprint = far / np.array([c.fx for c in cameras])[:, None]
    chosen = []
    for i in range(len(cameras)):
        angle = np.degrees(np.arccos(np.clip((to_eye[i] * to_eye).sum(-1), -1.0, 1.0)))
        off = (angle - BEST_ANGLE) / np.where(angle < BEST_ANGLE, NARROWER, WIDER)
        worth = np.maximum(np.exp(-0.5 * off**2), 0.1) * ((angle >= LEAST_ANGLE) & (angle <= MOST_ANGLE))
        ratio = footprint / footprint[i]  # above 1: the source's pixels are coarser
        alike = np.where(ratio > 1.6, (1.6 / ratio) ** 2, np.where(ratio < 1.0, ratio**2, 1.0))
        score = (worth * alike * (seen & seen[i])).mean(1)
        score[i] = 0.0
        chosen.append(_spread(score, eyes - eyes[i], count))
    return chosen


def _spread(score: np.ndarray, base: np.ndarray, count: int) -> list[int]:
    """The best, one after the other, those that point the way of one already taken counting less. [V], [V, 3]"""
    unit = base / np.maximum(np.linalg.norm(base, axis=1, keepdims=True), 1e-12)
    taken: list[int] = []
    left = score.copy()
    while len(taken) < count and left.max() > 0:
        best = int(left.argmax())
        taken.append(best)
        apart = np.degrees(np.arccos(np.clip(unit @ unit[taken].T, -1.0, 1.0)))  # [V, taken]
        left = score * (1.0 - 0.5 * np.exp(-0.5 * (apart / BETWEEN) ** 2).max(1))
        left[taken] = 0.0
    return taken


def _sphere(center: np.ndarray, radius: float) -> tuple[np.ndarray, np.ndarray]:
    """Points of a sphere, evenly (Fibonacci's lattice), and its centre; and the way out, none at the centre. [P, 3], [P, 3]"""
    i = np.arange(DIRECTIONS)
    z = 1.0 - (2.0 * i + 1.0) / DIRECTIONS
    turn = np.pi * (1.0 + 5.0**0.5) * i
    out = np.stack([np.sqrt(1.0 - z * z) * np.cos(turn), np.sqrt(1.0 - z * z) * np.sin(turn), z], 1)
    out = np.concatenate([out, np.zeros((1, 3))])
    return center + radius * out, out


def _sees(camera: Camera, points: np.ndarray, outward: np.ndarray) -> np.ndarray:
    """Which points lie in the picture and on the near side. [P] bool"""
    uv, z = camera.project(points)
    with np.errstate(invalid="ignore"):
        inside = (z > 0) & (uv >= 0).all(-1) & (uv <= [camera.width, camera.height]).all(-1)
    return inside & (((camera.center - points) * outward).sum(1) >= 0)
