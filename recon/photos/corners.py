"""Corners of a printed black square to a few hundredths of a pixel: its sides are fitted as lines and crossed.

A corner detector looks at the corner itself, which blur rounds off inwards: a square of 80 pixels comes out up to half a percent too small.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

SAMPLES = 32
"""Places along a side at which the edge is measured."""
ENDS = 0.12
"""Share of a side at each end that blur and the neighbouring side disturb."""
REACH = 0.11
"""How far on both sides of an edge it is looked at, of the side's length: a marker's black border is a sixth of it wide, or less."""
LARGEST_REACH_PX, LEAST_REACH_PX = 8.0, 2.0
STEPS = 33
NOISE_SHARE = 0.08
MOST_MOVED = 0.06
"""Of the side: a corner that moves farther is left where it was."""


def refine(grey: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Corners of a black square on white.

    Args:
        grey: Brightness. [H, W]
        corners: About where they are, in order around the square; pixel centres at integers. [4, 2]
    Returns:
        The same, refined; as given where the edges cannot be measured. [4, 2]
    """
    values = grey.astype(np.float32)
    center = corners.mean(axis=0)
    lines = []
    for k in range(4):
        start, end = corners[k], corners[(k + 1) % 4]
        length = float(np.linalg.norm(end - start))
        if length < 12:
            return corners
        along = (end - start) / length
        outward = np.array([along[1], -along[0]])
        outward *= np.sign(outward @ ((start + end) / 2 - center))
        line = _fit_side(values, start, along, outward, length)
        if line is None:
            return corners
        lines.append(line)
    refined = np.stack([_crossing(lines[k - 1], lines[k]) for k in range(4)])
    side = np.linalg.norm(corners - np.roll(corners, 1, axis=0), axis=1).mean()
    moved = np.linalg.norm(refined - corners, axis=1)
    return refined if np.isfinite(refined).all() and (moved < max(1.5, MOST_MOVED * side)).all() else corners


def _fit_side(values: np.ndarray, start: np.ndarray, along: np.ndarray, outward: np.ndarray, length: float):
    """The line of one side as point and unit direction, or None."""
    reach = float(np.clip(REACH * length, LEAST_REACH_PX, LARGEST_REACH_PX))
    s = np.linspace(ENDS, 1 - ENDS, SAMPLES) * length
    offset, good = np.zeros(SAMPLES), np.ones(SAMPLES, bool)
    slope_of_line = height = 0.0
    t = np.linspace(-reach, reach, STEPS)
    for _ in range(4):
        places = start + s[:, None, None] * along + (offset[:, None] + t)[..., None] * outward
        profile = ndimage.map_coordinates(values, [places[..., 1], places[..., 0]], order=1, mode="nearest")
        slope = np.maximum(np.gradient(profile, axis=1), 0.0)
        # Noise is left out; not more, for where an edge lies between two pixels is told by the smaller of two slopes.
        slope = np.where(slope > NOISE_SHARE * slope.max(axis=1, keepdims=True), slope, 0.0)
        contrast = profile[:, -5:].mean(axis=1) - profile[:, :5].mean(axis=1)
        weight = slope.sum(axis=1)
        good = (weight > 0) & (contrast > 30)
        if good.sum() < SAMPLES // 2:
            return None
        offset = offset + np.where(good, (slope * t).sum(axis=1) / np.maximum(weight, 1e-9), 0.0)
        offset = np.clip(offset, -reach, reach)
    for _ in range(3):
        slope_of_line, height = np.polyfit(s[good], offset[good], 1)
        miss = np.abs(offset - slope_of_line * s - height)
        good &= miss <= max(0.1, 2.5 * float(np.median(miss[good])))
        if good.sum() < SAMPLES // 3:
            return None
    direction = along + slope_of_line * outward
    return start + height * outward, direction / np.linalg.norm(direction)


def _crossing(one: tuple[np.ndarray, np.ndarray], other: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Where two lines meet."""
    matrix = np.stack([one[1], -other[1]], axis=1)
    if abs(np.linalg.det(matrix)) < 1e-6:
        return np.full(2, np.nan)
    return one[0] + np.linalg.solve(matrix, other[0] - one[0])[0] * one[1]
