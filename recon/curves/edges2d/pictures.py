"""Edges to look at: a sheet of photographs with the points found on them, beside their edge maps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from recon.curves.edges2d.edges import Edges, EdgeView
from recon.data.scene import Scene, View
from recon.system.files import write_picture

# By kind: intensity, silhouette, crease, step, given.
NAMES = ("intensity", "silhouette", "crease", "step", "given")
COLORS = np.array([[214, 40, 40], [0, 105, 235], [0, 160, 60], [245, 140, 0], [180, 40, 190]], np.uint8)
_CELL, _COLUMNS, _MARGIN = 480, 4, 6


def edge_counts(edges: Edges) -> dict:
    """Figures about edges that JSON can hold: source, points per kind, points of the poorest and the richest view, warnings."""
    per_view = [len(v.points) for v in edges.views]
    kinds = np.bincount(np.concatenate([v.kinds for v in edges.views]), minlength=len(NAMES))
    return {
        "source": edges.source,
        "views": len(edges.views),
        "points": int(sum(per_view)),
        "points_per_view": [min(per_view), max(per_view)],
        "kinds": {name: int(n) for name, n in zip(NAMES, kinds, strict=True) if n},
        "warnings": list(edges.warnings),
    }


def edge_sheet(edges: Edges, scene: Scene, path: Path, count: int = 4) -> None:
    """Write a PNG: some views cropped to their edges, the photograph with the points in their kind's colour, below it the edge map."""
    chosen = [edges.views[i] for i in np.unique(np.linspace(0, len(edges.views) - 1, min(count, len(edges.views))).round().astype(int))]
    by_name = {view.name: view for view in scene.views}
    header, line = 34, 24
    sheet = Image.new("RGB", (_COLUMNS * _CELL, header + 2 * _CELL + line), (255, 255, 255))
    draw = ImageDraw.Draw(sheet)
    x = 10
    counts = edge_counts(edges)
    for text, color in [(f"{scene.name}, edges {edges.source}:", (0, 0, 0))] + [
        (f"{name} {counts['kinds'][name]}", tuple(int(c) for c in COLORS[k])) for k, name in enumerate(NAMES) if name in counts["kinds"]
    ]:
        draw.text((x, 6), text, fill=color, font=ImageFont.load_default(size=18))
        x += 18 + int(draw.textlength(text, font=ImageFont.load_default(size=18)))
    for k, view in enumerate(chosen[:_COLUMNS]):
        draw.text((k * _CELL + _MARGIN, header), view.name[-44:], fill=(60, 60, 60), font=ImageFont.load_default(size=15))
        over, plain = (_cell(view, by_name[view.name], what) for what in (True, False))
        sheet.paste(over, (k * _CELL + _MARGIN, header + line))
        sheet.paste(plain, (k * _CELL + _MARGIN, header + line + _CELL))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_picture(path, sheet, format="PNG")


def _cell(edges: EdgeView, view: View, overlay: bool) -> Image.Image:
    """One picture of the sheet: the part of the view that has edges, enlarged or reduced to the cell."""
    width, height = edges.camera.width, edges.camera.height
    size = _CELL - 2 * _MARGIN
    if len(edges.points):
        low, high = edges.points.min(0) - 8, edges.points.max(0) + 8
    else:
        low, high = np.zeros(2), np.array([width, height], float)
    side = float((high - low).max())
    corner = (low + high - side) / 2
    box = (corner[0], corner[1], corner[0] + side, corner[1] + side)
    if overlay:
        photo = Image.new("RGBA", (view.camera.width, view.camera.height), (235, 235, 235, 255))
        photo.alpha_composite(Image.fromarray(view.image).convert("RGBA"))
        photo = photo.convert("RGB").resize((width, height))
    else:
        photo = Image.fromarray(np.rint(255 * np.clip(edges.strength, 0, 1)).astype(np.uint8)).convert("RGB")
    picture = photo.transform((size, size), Image.Transform.EXTENT, box, resample=Image.Resampling.BILINEAR)
    if not overlay:
        return picture
    pixels = np.array(picture)
    at = np.floor((edges.points - corner) * (size / side)).astype(int)
    for dy, dx in ((0, 0), (0, 1), (1, 0), (1, 1)):
        x, y = np.clip(at + np.array([dx, dy]), 0, size - 1).T
        pixels[y, x] = COLORS[edges.kinds]
    return Image.fromarray(pixels)
