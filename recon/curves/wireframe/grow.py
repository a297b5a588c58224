"""Free ends of curves go on for as long as the pictures show them, and go back where they do not.

A track ends where too few views see it; a line or arc that is known already needs less evidence for its continuation than a new curve.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from recon.curves.wireframe.evidence import Evidence, judge
from recon.curves.wireframe.model import Model
from recon.curves.wireframe.refine import Visibility
from recon.curves.wireframe.shapes import Shape, evaluate, length, tangents

INLIER_PX = 1.0
STEP_PX = 1.5
MAX_GROWTH = 0.6
"""A curve grows at one end by at most this part of its length at a time."""
SHARE_OF_USUAL = 0.3
"""Evidence that is less than this part of what the curve usually has is none."""
MAX_ARC_GROWTH = 0.4
"""The same for an arc: one that grew to more than a turn would meet itself."""
LEAST_MOVE_STEPS = 1.5
"""An end that would move by less stays where it is."""
GAP_PX = 6.0
"""Evidence may be missing over this length."""


def grow_ends(model: Model, evidence: Evidence, min_support: int, visible: Visibility | None = None) -> Model:
    """Move the free ends of lines and arcs along them to where their evidence ends.

    Args:
        model: A refined model.
        evidence: The 2D edges.
        min_support: Views that see a point which counts as evidence for a continuation; half as many are enough for what is there.
        visible: See ``refine``.
    """
    degrees = model.degrees()
    vertices, shapes = model.vertices.copy(), list(model.shapes)
    for k, shape in enumerate(model.shapes):
        if shape.ends is None or shape.kind not in ("line", "arc"):
            continue
        for side in (0, 1):
            if degrees[shape.ends[side]] != 1:
                continue
            t = _end(shapes[k], vertices, side, evidence, min_support, visible)
            if t is None:
                continue
            at = evaluate(shapes[k], vertices, np.array([t]))[0]
            span = (t, 1.0) if side == 0 else (0.0, t)
            middle = evaluate(shapes[k], vertices, np.array([sum(span) / 2]))[0]
            vertices[shape.ends[side]] = at
            if shape.kind == "arc":
                shapes[k] = replace(shapes[k], parameters=middle)
    return Model(vertices, tuple(shapes))


def _end(shape: Shape, vertices: np.ndarray, side: int, evidence: Evidence, min_support: int, visible: Visibility | None) -> float | None:
    """Parameter at which the evidence at one end stops, counted from the middle of the curve outwards; None to leave the end alone."""
    size = length(shape, vertices)
    n = int(np.ceil((0.5 + MAX_GROWTH) * size / STEP_PX))
    outward = 0.5 + np.arange(1, n + 1) * STEP_PX / size  # from the middle to beyond the end
    if shape.kind == "arc":
        outward = outward[outward < 1.0 + MAX_ARC_GROWTH]
    t = outward if side == 1 else 1.0 - outward
    points = evaluate(shape, vertices, t)
    directions = tangents(shape, vertices, np.clip(t, 0, 1)) if shape.kind == "line" else _directions(points)
    mask = visible(points, directions) if visible is not None else None
    seen = judge(evidence, points, directions, INLIER_PX, mask).support
    # Past a corner a few views still see something that fits; an edge that many views see does not go on with so few.
    usual = SHARE_OF_USUAL * float(np.median(seen[outward <= 1.0])) if (outward <= 1.0).any() else 0.0
    good = seen >= np.maximum(np.where(outward <= 1.0, 0.5 * min_support, min_support), usual)
    # The run of evidence that begins in the middle, gaps of GAP_PX allowed.
    gap = int(GAP_PX / STEP_PX)
    index = np.nonzero(good)[0]
    if len(index) == 0 or index[0] > gap:
        return None
    breaks = np.nonzero(np.diff(index) > gap + 1)[0]
    last = index[breaks[0]] if len(breaks) else index[-1]
    return float(t[last]) if abs(outward[last] - 1.0) * size > LEAST_MOVE_STEPS * STEP_PX else None


def _directions(points: np.ndarray) -> np.ndarray:
    d = np.gradient(points, axis=0)
    return d / np.maximum(np.linalg.norm(d, axis=1, keepdims=True), 1e-12)
