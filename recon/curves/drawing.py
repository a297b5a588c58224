"""Pictures of curves over photographs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from recon.curves.files.projection import TYPE_COLORS, strokes
from recon.curves.files.wireframe import Wireframe
from recon.data.scene import Camera, View
from recon.surface.mesh import Mesh
from recon.surface.raycast import RayScene, ray_scene
from recon.system.files import write_picture

SPLAT_PX = 0.25
"""Lines are painted as dense points, so far apart."""
WIDTH_PX, HIDDEN_WIDTH_PX = 1.7, 0.7
DASH_PX = 4.0
"""Length of the dashes of hidden lines, and of the gaps between them."""
FADE = 0.45
"""How far the photograph is faded to white under the curves."""
SHEET_SIZE = 480
"""Longer side of one picture on a contact sheet, pixels."""
_LEGEND = {"line": "line", "arc": "arc", "circle": "circle", "ellipse": "ellipse", "bezier": "free curve"}


def overlay(
    photograph: np.ndarray,
    wireframe: Wireframe,
    camera: Camera,
    surface: RayScene | None,
    colors: Sequence[tuple[int, int, int]] | None = None,
) -> np.ndarray:
    """Curves drawn over a faded photograph, anti-aliased; hidden ones thin and dashed if a surface is given.

    Args:
        photograph: sRGB over white. [H, W, 3] uint8, any size; the camera is adapted to it.
        wireframe, camera, surface: World units.
        colors: Of each curve; default: by type.
    Returns:
        [H, W, 3] uint8
    """
    height, width = photograph.shape[:2]
    camera = camera.resized(width, height)
    picture = photograph * (1 - FADE) + 255 * FADE
    painted: dict[tuple[bool, tuple[int, int, int]], list[np.ndarray]] = {}
    for stroke in strokes(wireframe, camera, surface):
        color = TYPE_COLORS[wireframe.curves[stroke.curve].type] if colors is None else colors[stroke.curve]
        painted.setdefault((stroke.visible, color), []).append(_dense(stroke.pixels, dashed=not stroke.visible))
    for (seen, color), points in sorted(painted.items(), key=lambda item: item[0][0]):  # what is seen lies on top
        share = _coverage(np.concatenate(points), WIDTH_PX if seen else HIDDEN_WIDTH_PX, (height, width))[..., None]
        picture = picture * (1 - share) + np.array(color) * share
    return np.rint(picture).astype(np.uint8)


def contact_sheet(wireframe: Wireframe, views: Sequence[View], mesh: Mesh | None, path: Path, count: int = 6) -> None:
    """Write a picture of a few photographs with the curves over them, and what the colours mean.

    Args:
        wireframe, mesh: World units.
        views: The photographs; at most ``count`` of them, evenly spread, are shown.
        path: PNG file.
        count: How many.
    """
    surface = None if mesh is None or len(mesh.faces) == 0 else ray_scene(mesh)
    chosen = [views[i] for i in np.unique(np.linspace(0, len(views) - 1, count).round().astype(int))] if views else []
    pictures = [overlay(small_photograph(v, SHEET_SIZE), wireframe, v.camera, surface) for v in chosen]
    columns = min(len(pictures), 3) or 1
    rows = -(-len(pictures) // columns)
    width, height = (max((p.shape[axis] for p in pictures), default=SHEET_SIZE) for axis in (1, 0))
    legend = 28
    sheet = Image.new("RGB", (columns * width, rows * height + legend), "white")
    for number, picture in enumerate(pictures):
        sheet.paste(Image.fromarray(picture), (number % columns * width, number // columns * height))
    pen = ImageDraw.Draw(sheet)
    x, y = 10, rows * height + legend // 2
    for kind, words in _LEGEND.items():
        number = sum(c.type == kind for c in wireframe.curves)
        text = f"{words}: {number}"
        pen.line([(x, y), (x + 22, y)], fill=TYPE_COLORS[kind], width=3)
        pen.text((x + 28, y), text, fill=(30, 30, 30), anchor="lm")
        x += 28 + round(pen.textlength(text)) + 24
    write_picture(path, sheet)


def small_photograph(view: View, size: int) -> np.ndarray:
    """A view's photograph over white, its longer side at most ``size`` pixels. [h, w, 3] uint8"""
    rgba = Image.fromarray(view.image).convert("RGBA")
    scale = min(1.0, size / max(rgba.size))
    small = rgba.resize((max(round(rgba.width * scale), 1), max(round(rgba.height * scale), 1)), Image.Resampling.BOX)
    return np.asarray(Image.alpha_composite(Image.new("RGBA", small.size, "white"), small).convert("RGB"))


def _dense(pixels: np.ndarray, dashed: bool) -> np.ndarray:
    """Points and unit tangents along a polyline, :data:`SPLAT_PX` apart; only its dashes if ``dashed``. [m, 4]"""
    steps = np.diff(pixels, axis=0)
    lengths = np.linalg.norm(steps, axis=1)
    distance = np.concatenate([[0.0], np.cumsum(lengths)])
    along = np.linspace(0, distance[-1], max(int(np.ceil(distance[-1] / SPLAT_PX)), 1) + 1)
    if dashed:
        along = along[along // DASH_PX % 2 == 0]
    points = np.stack([np.interp(along, distance, pixels[:, k]) for k in (0, 1)], 1)
    segment = np.clip(np.searchsorted(distance, along, side="right") - 1, 0, len(steps) - 1)
    return np.concatenate([points, steps[segment] / np.maximum(lengths[segment], 1e-12)[:, None]], 1)


def _coverage(dense: np.ndarray, width: float, shape: tuple[int, int]) -> np.ndarray:
    """``clip(width / 2 + 0.5 - d, 0, 1)`` with d the distance of a pixel's centre from the lines, pixels. [m, 4] -> [H, W]"""
    points, tangents = dense[:, :2], dense[:, 2:]
    result = np.zeros(shape)
    base = np.floor(points).astype(np.int64)
    reach = int(np.ceil(width / 2 + 0.5)) + 1
    for dy in range(-reach, reach + 1):
        for dx in range(-reach, reach + 1):
            cell = base + np.array([dx, dy])
            away = cell + 0.5 - points
            along = np.abs((away * tangents).sum(1))
            across = away[:, 0] * tangents[:, 1] - away[:, 1] * tangents[:, 0]
            # each point stands for the short piece of line about it; beyond that, ends are round
            value = np.clip(width / 2 + 0.5 - np.hypot(across, np.maximum(along - SPLAT_PX, 0)), 0, 1)
            keep = (value > 0) & (cell >= 0).all(1) & (cell < shape[::-1]).all(1)
            np.maximum.at(result, (cell[keep, 1], cell[keep, 0]), value[keep])
    return result
