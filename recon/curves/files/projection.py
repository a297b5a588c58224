"""Curves as a camera sees them: projected, cut where a surface starts or stops hiding them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from PIL import ImageColor

from recon.curves.files.curve import Curve
from recon.curves.files.wireframe import Wireframe
from recon.data.scene import Camera
from recon.rendering.colormaps import CURVE_COLORS
from recon.surface.raycast import RayScene, visible

TYPE_COLORS = {kind: ImageColor.getrgb(color)[:3] for kind, color in CURVE_COLORS.items()}
"""sRGB of each type, 0 to 255."""
STEP_PX = 0.5
"""Curves are sampled about this densely for visibility, pixels."""
KEPT = 4
"""Of the samples on a bent curve, each KEPT-th is a corner of the polyline: 2 px apart, so off a circle of 20 px by 0.025 px at most."""
MAX_SAMPLES = 20_000
"""Of one curve in one picture."""
SHORTEST_PX = 3.0
"""Shorter changes of visibility are noise of the surface's facets."""
DEPTH_SHARE = 0.006
"""A point is hidden when the surface is nearer to the camera by more than this share of its diagonal: a reconstructed surface rounds
edges off, and the curve may lie outside or inside of it by that much."""


@dataclass(frozen=True)
class Stroke:
    """A piece of a projected curve that is wholly seen or wholly hidden.

    Attributes:
        curve: Its index in the wireframe.
        pixels: Corners of the polyline (pixel centres at +0.5); two for a straight line. [n, 2] float64, n >= 2
        visible: Whether it is seen.
    """

    curve: int
    pixels: np.ndarray
    visible: bool


def strokes(wireframe: Wireframe, camera: Camera, surface: RayScene | None) -> list[Stroke]:
    """What a camera sees of a wireframe.

    Args:
        wireframe, camera, surface: In the same frame. Without a surface everything counts as seen.
    Returns:
        Pieces in the order of the curves. What lies behind the camera or more than a picture's size outside of it is left out.
    """
    found: list[Stroke] = []
    for number, curve in enumerate(wireframe.curves):
        points = _sampled(curve, camera)
        pixels, depth = camera.project(points)
        size = np.array([camera.width, camera.height], np.float64)
        inside = (depth > 0) & (pixels > -size).all(1) & (pixels < 2 * size).all(1)
        if not inside.any():
            continue
        seen = np.ones(len(points), bool)
        if surface is not None:
            seen = visible(surface, points, camera.center, DEPTH_SHARE * surface.mesh.diagonal())
            seen = _steady(seen, max(round(SHORTEST_PX / STEP_PX), 1))
        state = np.where(inside, seen.astype(int), 2)
        starts = np.concatenate([[0], np.flatnonzero(np.diff(state)) + 1, [len(state)]])
        for first, stop in pairwise(starts):
            if state[first] == 2:
                continue
            last = stop if stop < len(state) and state[stop] != 2 else stop - 1  # strokes of one curve touch
            if last > first:
                found.append(Stroke(number, _thinned(pixels, first, last, curve.type == "line"), bool(state[first])))
    return found


def _sampled(curve: Curve, camera: Camera) -> np.ndarray:
    """Points on a curve about :data:`STEP_PX` apart in the picture. [N, 3]"""
    coarse = curve.at(np.linspace(0, curve.pieces, 32 * curve.pieces + 1))
    pixels, depth = camera.project(coarse)
    steps = np.linalg.norm(np.diff(pixels, axis=0), axis=1)
    length_px = float(steps[(depth[1:] > 0) & (depth[:-1] > 0)].sum())
    count = int(np.clip(np.ceil(length_px / STEP_PX), 8, MAX_SAMPLES)) if np.isfinite(length_px) else MAX_SAMPLES
    return curve.at(np.linspace(0, curve.pieces, count + 1))


def _steady(seen: np.ndarray, shortest: int) -> np.ndarray:
    """Runs shorter than ``shortest`` samples between two that are alike take their value. [N] bool"""
    starts = np.concatenate([[0], np.flatnonzero(np.diff(seen)) + 1, [len(seen)]])
    result = seen.copy()
    for k in range(1, len(starts) - 2):
        if starts[k + 1] - starts[k] < shortest:
            result[starts[k] : starts[k + 1]] = result[starts[k] - 1]
    return result


def _thinned(pixels: np.ndarray, first: int, last: int, straight: bool) -> np.ndarray:
    """Corners of a polyline between two samples, both included."""
    if straight:
        return pixels[[first, last]]
    return pixels[np.unique(np.concatenate([np.arange(first, last, KEPT), [last]]))]
