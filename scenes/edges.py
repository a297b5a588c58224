"""Where feature curves are seen in a picture: hidden parts removed by ray casting, the rest drawn as anti-aliased lines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recon.curves.files.curve import Curve
from recon.data.scene import Camera
from scenes.making.tracing import Tracer

HIDDEN_DEPTH = 2e-3
"""A point of a curve is hidden when a surface is nearer to the camera by more than this part of the object's radius."""
STEP_PX = 0.25
"""Curves are sampled at least this densely, pixels."""


@dataclass(frozen=True)
class VisiblePoints:
    """Samples of curves that a camera sees.

    Attributes:
        pixels: Positions in the picture (pixel centres at +0.5). [N, 2] float64
        tangents: Unit tangents of the projected curves. [N, 2] float64
        curve: Index of the curve each sample is on. [N] int64
    """

    pixels: np.ndarray
    tangents: np.ndarray
    curve: np.ndarray


def visible_points(tracer: Tracer, camera: Camera, curves: Sequence[Curve]) -> VisiblePoints:
    """Sample curves a quarter of a pixel apart and keep what nothing hides.

    Visibility is exact up to :data:`HIDDEN_DEPTH`: a curve that dips behind a surface less deep than that still counts as seen.
    """
    if not curves:
        return VisiblePoints(np.zeros((0, 2)), np.zeros((0, 2)), np.zeros(0, np.int64))
    nearest = float(np.linalg.norm(camera.center - tracer.center)) - tracer.radius
    spacing = STEP_PX * max(nearest, 0.05 * tracer.radius) / max(camera.fx, camera.fy)
    samples = [curve.sample(spacing) for curve in curves]
    points, tangents = (np.concatenate([s[k] for s in samples]) for k in (0, 1))
    number = np.repeat(np.arange(len(curves)), [len(s[0]) for s in samples])
    pixels, z = camera.project(points)
    inside = (z > 0) & (pixels > -1).all(1) & (pixels < np.array([camera.width, camera.height]) + 1.0).all(1)
    points, tangents, number, pixels, z = points[inside], tangents[inside], number[inside], pixels[inside], z[inside]
    local = tracer.to_local(points)
    eye = tracer.to_local(camera.center)
    distance = np.linalg.norm(local - eye, axis=1)
    seen, _ = tracer.distance(np.broadcast_to(eye, local.shape), (local - eye) / distance[:, None])
    visible = seen > distance - HIDDEN_DEPTH
    direction = tangents @ camera.world_from_camera[:, :3]
    at = (points - camera.center) @ camera.world_from_camera[:, :3]
    flow = np.stack([camera.fx * (direction[:, k] - at[:, k] / z * direction[:, 2]) for k in (0, 1)], 1)
    flow[:, 1] *= camera.fy / camera.fx
    flow /= np.maximum(np.linalg.norm(flow, axis=1, keepdims=True), 1e-12)
    return VisiblePoints(pixels[visible], flow[visible], number[visible])


def draw_lines(points: VisiblePoints, width: int, height: int, line_px: float = 1.5) -> np.ndarray:
    """Lines through visible points: 255 within ``line_px / 2`` of a curve, falling to 0 over one pixel. [H, W] uint8

    The value at a pixel is ``255 * clip(line_px / 2 + 0.5 - d, 0, 1)`` with d the distance of its centre to the curve.
    """
    reach = int(np.ceil(line_px / 2 + 0.5)) + 1
    image = np.zeros((height, width), np.float32)
    base = np.floor(points.pixels).astype(np.int64)
    for dy in range(-reach, reach + 1):
        for dx in range(-reach, reach + 1):
            cell = base + np.array([dx, dy])
            away = cell + 0.5 - points.pixels
            along = (away * points.tangents).sum(1)
            across = np.abs(away[:, 0] * points.tangents[:, 1] - away[:, 1] * points.tangents[:, 0])
            # each sample stands for the short piece of the curve about it; beyond that, its ends are round
            distance = np.hypot(across, np.maximum(np.abs(along) - STEP_PX, 0))
            value = np.clip(line_px / 2 + 0.5 - distance, 0, 1).astype(np.float32)
            keep = (value > 0) & (cell >= 0).all(1) & (cell < (width, height)).all(1)
            np.maximum.at(image, (cell[keep, 1], cell[keep, 0]), value[keep])
    return np.round(image * 255).astype(np.uint8)
