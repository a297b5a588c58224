"""Frames and similarities. Names say ``target_from_source``; all transforms are float64.

Camera axes are OpenCV's: x right, y down, z forward. Pixel (column i, row j) has its centre at (i + 0.5, j + 0.5).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Similarity:
    """``x_target = scale * rotation @ x_source + translation``.

    Attributes:
        scale: Positive factor, target units per source unit.
        rotation: Proper rotation. [3, 3]
        translation: In target units. [3]
    """

    scale: float = 1.0
    rotation: np.ndarray = field(default_factory=lambda: np.eye(3))
    translation: np.ndarray = field(default_factory=lambda: np.zeros(3))

    def apply(self, points: np.ndarray) -> np.ndarray:
        """Map points from the source to the target frame. [..., 3] -> [..., 3]"""
        return self.scale * np.asarray(points, np.float64) @ self.rotation.T + self.translation

    def rotate(self, directions: np.ndarray) -> np.ndarray:
        """Map directions (lengths are kept). [..., 3] -> [..., 3]"""
        return np.asarray(directions, np.float64) @ self.rotation.T

    def inverse(self) -> Similarity:
        """The similarity ``source_from_target``."""
        r = self.rotation.T
        return Similarity(1.0 / self.scale, r, -(r @ self.translation) / self.scale)

    def apply_to_pose(self, source_from_camera: np.ndarray) -> np.ndarray:
        """Map a rigid camera pose into the target frame; the result is rigid again. [3, 4] -> [3, 4]"""
        rotation = self.rotation @ source_from_camera[:, :3]
        return np.concatenate([rotation, self.apply(source_from_camera[:, 3])[:, None]], axis=1)

    def matrix(self) -> np.ndarray:
        """Homogeneous form. [4, 4]"""
        m = np.eye(4)
        m[:3, :3] = self.scale * self.rotation
        m[:3, 3] = self.translation
        return m

    def to_json(self) -> dict:
        return {"scale": self.scale, "rotation": self.rotation.tolist(), "translation": self.translation.tolist()}

    @staticmethod
    def from_json(data: dict) -> Similarity:
        return Similarity(float(data["scale"]), np.array(data["rotation"], np.float64), np.array(data["translation"], np.float64))


def look_at(eye: np.ndarray, target: np.ndarray, up: np.ndarray | Sequence[float] = (0.0, 0.0, 1.0)) -> np.ndarray:
    """Pose of a camera at ``eye`` that looks at ``target``; ``up`` points to the top of the picture. [3, 4], OpenCV axes

    Where the camera looks along ``up``, +y takes its place.
    """
    z = (target - eye) / np.linalg.norm(target - eye)
    x = np.cross(z, up)
    if np.linalg.norm(x) < 1e-9:
        x = np.cross(z, np.array([0.0, 1.0, 0.0]))
    x /= np.linalg.norm(x)
    return np.stack([x, np.cross(z, x), z, eye], axis=1)
