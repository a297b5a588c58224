"""Pictures of curves over photographs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from recon.curves.projection import TYPE_COLORS, strokes
from recon.curves.wireframe import Wireframe
from recon.data.scene import Camera, View
from recon.surface.mesh import Mesh
from recon.surface.raycast import RayScene, ray_scene

SUPERSAMPLING = 3
WIDTH_PX, HIDDEN_WIDTH_PX = 1.7, 0.7
DASH_PX = 4.0
"""Length of the dashes of hidden lines, and of the gaps between them."""
FADE = 0.45
"""How far the photograph is faded to white under the curves."""
SHEET_SIZE = 480
"""Longer side of one picture on a contact sheet, pixels."""
_LEGEND = {"line": "line", "circle": "circle, arc", "ellipse": "ellipse", "bezier": "free curve"}


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
    scale = SUPERSAMPLING
    canvas = Image.new("RGBA", (width * scale, height * scale), (255, 255, 255, 0))
    pen = ImageDraw.Draw(canvas)
    ordered = sorted(strokes(wireframe, camera, surface), key=lambda s: s.visible)  # what is seen lies on top
    for stroke in ordered:
        color = TYPE_COLORS[wireframe.curves[stroke.curve].type] if colors is None else colors[stroke.curve]
        points = stroke.pixels * scale
        if stroke.visible:
            _line(pen, points, color, WIDTH_PX * scale)
        else:
            for piece in _dashes(points, DASH_PX * scale):
                _line(pen, piece, color, HIDDEN_WIDTH_PX * scale)
    faded = np.rint(photograph * (1 - FADE) + 255 * FADE).astype(np.uint8)
    lines = canvas.resize((width, height), Image.Resampling.BOX)  # Pillow weighs colours by alpha
    return np.asarray(Image.alpha_composite(Image.fromarray(faded).convert("RGBA"), lines).convert("RGB"))


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
    counts = [sum(c.type in (kind, "arc" if kind == "circle" else kind) for c in wireframe.curves) for kind in _LEGEND]
    for (kind, words), number in zip(_LEGEND.items(), counts, strict=True):
        text = f"{words}: {number}"
        pen.line([(x, y), (x + 22, y)], fill=TYPE_COLORS[kind], width=3)
        pen.text((x + 28, y), text, fill=(30, 30, 30), anchor="lm")
        x += 28 + round(pen.textlength(text)) + 24
    sheet.save(path)


def small_photograph(view: View, size: int) -> np.ndarray:
    """A view's photograph over white, its longer side at most ``size`` pixels. [h, w, 3] uint8"""
    rgba = Image.fromarray(view.image).convert("RGBA")
    scale = min(1.0, size / max(rgba.size))
    small = rgba.resize((max(round(rgba.width * scale), 1), max(round(rgba.height * scale), 1)), Image.Resampling.BOX)
    return np.asarray(Image.alpha_composite(Image.new("RGBA", small.size, "white"), small).convert("RGB"))


def _line(pen: ImageDraw.ImageDraw, points: np.ndarray, color: tuple[int, int, int], width: float) -> None:
    # Pillow's coordinates name pixels by their corner: half a fine pixel less is the same place
    pen.line([(float(x), float(y)) for x, y in points - 0.5], fill=(*color, 255), width=max(round(width), 1), joint="curve")


def _dashes(points: np.ndarray, length: float) -> list[np.ndarray]:
    """Every other piece of ``length`` along a polyline. Each [m, 2]"""
    distance = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    starts = np.arange(0.0, distance[-1], 2 * length)
    pieces = []
    for start in starts:
        stop = min(start + length, distance[-1])
        inner = (distance > start) & (distance < stop)
        along = np.concatenate([[start], distance[inner], [stop]])
        pieces.append(np.stack([np.interp(along, distance, points[:, k]) for k in (0, 1)], 1))
    return pieces
