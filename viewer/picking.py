"""Which curve a click means: the nearest in angle, as seen from the eye."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recon.curves import Wireframe
from recon.geometry import Similarity
from recon.surface.raycast import RayScene, cast

TOLERANCE_RAD = np.radians(1.0)
"""How far a click may miss: some ten pixels at usual windows and fields of view."""
CHORD = 0.004
"""Longest distance of points on drawn curves, scene units (the object has radius 1)."""
SAME_PLACE = 0.05
"""Along the ray, scene units."""
MOST_POINTS = 200_000
"""On all drawn curves together; with more, points lie further apart."""


@dataclass(frozen=True)
class CurveLines:
    """Curves as line segments, scene units.

    Attributes:
        segments: [S, 2, 3] float32
        curve: Index of each segment's curve. [S]
    """

    segments: np.ndarray
    curve: np.ndarray


def curve_lines(wireframe: Wireframe, scene_from_world: Similarity) -> CurveLines:
    """Line segments of all curves, short enough to look smooth."""
    spacing = max(CHORD / scene_from_world.scale, wireframe.length / MOST_POINTS)
    segments, index = [], []
    for number, curve in enumerate(wireframe.curves):
        if curve.type == "line":
            points = curve.control_points[[0, -1]]
        else:
            points, _ = curve.sample(spacing)
        points = scene_from_world.apply(points)
        segments.append(np.stack([points[:-1], points[1:]], 1))
        index.append(np.full(len(points) - 1, number))
    if not segments:
        return CurveLines(np.zeros((0, 2, 3), np.float32), np.zeros(0, np.int64))
    return CurveLines(np.concatenate(segments).astype(np.float32), np.concatenate(index))


def pick_face(solid: RayScene, owner: np.ndarray, origin: np.ndarray, direction: np.ndarray) -> int | None:
    """The face of a solid that a ray meets first.

    Args:
        solid: Its triangles.
        owner: Number of each triangle's face. [T]
        origin, direction: The ray, in the frame of the triangles; the direction need not be of unit length. [3], [3]
    """
    hits = cast(solid, np.asarray(origin, np.float64)[None], (np.asarray(direction, np.float64) / np.linalg.norm(direction))[None])
    return int(owner[hits.face[0]]) if hits.hit[0] else None


def pick(lines: CurveLines, origin: np.ndarray, direction: np.ndarray, tolerance_rad: float = TOLERANCE_RAD) -> int | None:
    """Index of the curve that a ray passes nearest; None if none is within the tolerance. See :func:`pick_point`."""
    found = pick_point(lines, origin, direction, tolerance_rad)
    return None if found is None else found[0]


def pick_point(
    lines: CurveLines, origin: np.ndarray, direction: np.ndarray, tolerance_rad: float = TOLERANCE_RAD
) -> tuple[int, np.ndarray] | None:
    """The curve that a ray passes nearest, and its point there.

    Args:
        lines: What is drawn.
        origin, direction: The ray, scene units; the direction need not be of unit length. [3], [3]
        tolerance_rad: Largest angle between the ray and the nearest point of the curve.
    Returns:
        Index of the curve, and the point, scene units [3]; None if none is within the tolerance. Of curves at the same angle (to a tenth
        of the tolerance) the nearest.
    """
    if len(lines.segments) == 0:
        return None
    d = np.asarray(direction, np.float64) / np.linalg.norm(direction)
    a = lines.segments[:, 0].astype(np.float64) - origin
    along = lines.segments[:, 1].astype(np.float64) - origin - a
    # The point of a segment that is nearest to the ray's line: what is left of both when their parts along the ray are taken out.
    a_flat, along_flat = a - np.outer(a @ d, d), along - np.outer(along @ d, d)
    square = (along_flat**2).sum(1)
    t = np.clip(-(a_flat * along_flat).sum(1) / np.maximum(square, 1e-300), 0.0, 1.0)
    point = a + t[:, None] * along
    depth = point @ d
    angle = np.arctan2(np.linalg.norm(point - np.outer(depth, d), axis=1), depth)
    if not (angle <= tolerance_rad).any():
        return None
    close = angle <= angle.min() + 0.1 * tolerance_rad
    nearest = np.flatnonzero(close)[np.argmin(depth[close])]
    # Of that curve, where it comes nearest to the ray; a part of it that lies further behind (a ring seen from its side) is another place.
    same = np.flatnonzero(close & (lines.curve == lines.curve[nearest]) & (depth <= depth[nearest] + SAME_PLACE))
    best = same[np.argmin(angle[same])]
    return int(lines.curve[best]), point[best] + origin
