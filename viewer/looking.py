"""Where visitors stand: the start, and the sides. The start is that of the static page (viewer/web/view.js, ``reset``)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

FOV = 0.7
"""Vertical angle of view, radians."""
LONG_LENS = float(np.radians(3.0))
"""The browser draws no parallel projection; through so long a lens from so far away, parallel edges meet by less than a degree."""


@dataclass(frozen=True)
class Stand:
    """A camera, scene units. ``eye``, ``target``, ``up``: [3]; ``fov``: vertical, radians."""

    eye: np.ndarray
    target: np.ndarray
    up: np.ndarray
    fov: float


@dataclass(frozen=True)
class Home:
    """The ball that is seen: about everything shown. Scene units; ``up`` of unit length."""

    target: np.ndarray
    radius: float
    up: np.ndarray

    def start(self, fov: float = FOV, aspect: float = 1.0) -> Stand:
        """From a corner, a little from above; from farther away in a window whose width by its height, ``aspect``, is below 1."""
        side = np.cross(self.up, [1.0, 0.0, 0.0] if abs(self.up[0]) < 0.9 else [0.0, 1.0, 0.0])
        side /= np.linalg.norm(side)
        forward = -0.8 * side + 0.5 * np.cross(self.up, side) - 0.45 * self.up
        return self._from(-forward, self.up, fov, aspect)

    def side(self, name: str, right: np.ndarray, fov: float = FOV, aspect: float = 1.0) -> Stand:
        """From the front, the top or the right.

        Args:
            name: "front", "top", "right".
            right: The direction that is to the right as seen from the front; made square with ``up``. [3]
            fov: Vertical, radians.
            aspect: The window's width by its height.
        """
        right = right - (right @ self.up) * self.up
        right /= np.linalg.norm(right)
        front = np.cross(right, self.up)  # from the object to who stands before it
        eye, up = {"front": (front, self.up), "top": (self.up, -front), "right": (right, self.up)}[name]
        return self._from(eye, up, fov, aspect)

    def _from(self, direction: np.ndarray, up: np.ndarray, fov: float, aspect: float) -> Stand:
        narrow = np.arctan(np.tan(fov / 2) * min(aspect, 1.0))  # half the angle of the window's shorter side
        distance = 1.08 * self.radius / np.sin(narrow)
        return Stand(self.target + distance * direction / np.linalg.norm(direction), self.target, up, fov)


def home(parts: list[np.ndarray], up: np.ndarray) -> Home:
    """The ball about the box of all points; the whole scene if there are none.

    Args:
        parts: Points of what is shown, scene units, [N, 3] each.
        up: [3]
    """
    parts = [p for p in parts if len(p)]
    if not parts:
        return Home(np.zeros(3), 1.0, up)
    low, high = np.min([p.min(0) for p in parts], 0), np.max([p.max(0) for p in parts], 0)
    return Home((low + high) / 2, max(float(np.linalg.norm(high - low)) / 2, 1e-3), up)
