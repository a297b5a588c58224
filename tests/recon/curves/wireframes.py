"""Wireframes with known answers."""

from __future__ import annotations

import math

import numpy as np

from recon.curves.files.curve import Curve, ellipse, line
from recon.curves.files.wireframe import Wireframe
from recon.data.scene import Camera
from recon.geometry import Similarity, look_at
from recon.surface.mesh import Mesh

CENTER = np.array([10.0, -4.0, 2.0])
TURN = np.array([[0.36, 0.48, -0.8], [-0.8, 0.6, 0.0], [0.48, 0.64, 0.6]])
"""A rotation without a zero angle."""


def mixed(unit: str | None = "mm") -> Wireframe:
    """A chain line - arc - ellipse - rational free curve through shared vertices, a closed circle and a closed ellipse (its second radius
    the longer one), all turned and away from the origin."""
    x, y, z = TURN
    arc = ellipse(CENTER, x, y, (3.0, 3.0), (0.4, 2.9), True, vertices=None)
    bow = ellipse(CENTER + 5 * z, y, z, (2.0, 4.0), (-0.7, 1.1), False, vertices=None)
    a, b, c, d = CENTER - 6 * x, *arc.control_points[[0, -1]], CENTER + np.array([1.0, 6.0, 0.5])
    e, f = bow.control_points[[0, -1]]
    free = np.array([c, c + 2 * x, d - 3 * z + y, d, d + 3 * z - y, e - y, e])
    weights = np.array([1.0, 0.7, 1.6, 1.0, 0.8, 1.3, 1.0])
    curves = (
        line(a, b, vertices=(0, 1), support=7, rmse_px=0.25),
        ellipse(CENTER, x, y, (3.0, 3.0), (0.4, 2.9), True, vertices=(1, 2)),
        Curve("bezier", free, weights, (2, 3)),
        ellipse(CENTER + 5 * z, y, z, (2.0, 4.0), (-0.7, 1.1), False, vertices=(3, 4)),
        ellipse(CENTER - 2 * z, x, y, (1.5, 1.5), (0.3, 0.3 + 2 * math.pi), True, vertices=None),
        ellipse(CENTER + z, z, x, (1.0, 2.5), (1.0, 1.0 + 2 * math.pi), False, vertices=None),
    )
    return Wireframe(np.stack([a, b, c, e, f]), curves, unit)


BOX_CORNERS = np.array([[x, y, z] for x in (0.0, 4.0) for y in (0.0, 3.0) for z in (0.0, 2.0)])


def box() -> tuple[Wireframe, Mesh]:
    """The edges of a box of 4 x 3 x 2 with a corner at the origin, and its surface."""
    pairs = [(i, j) for i in range(8) for j in range(i + 1, 8) if np.count_nonzero(BOX_CORNERS[i] != BOX_CORNERS[j]) == 1]
    curves = tuple(line(BOX_CORNERS[i], BOX_CORNERS[j], vertices=(i, j)) for i, j in pairs)
    quads = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    faces = [t for a, b, c, d in quads for t in ((a, b, c), (a, c, d))]
    return Wireframe(BOX_CORNERS, curves), Mesh(BOX_CORNERS, np.array(faces, np.int32))


def camera(eye: np.ndarray, target: np.ndarray, focal: float = 300.0) -> Camera:
    """320 x 240, principal point off the centre."""
    return Camera(
        320, 240, focal, focal, 150.5, 118.25, look_at(np.asarray(eye, float), np.asarray(target, float), np.array([0.1, 0.2, 1.0]))
    )


SOMEWHERE = Similarity(0.37, TURN.T, np.array([3.0, -80.0, 0.5]))
