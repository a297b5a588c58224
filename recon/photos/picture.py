"""One picture of what was found: cameras, points and region from three sides, and the region in some photographs. Pillow alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from recon.data.inspect import sphere_outline
from recon.photos.model import SparseModel
from recon.photos.region import plain_cameras
from recon.system.files import write_picture

PANEL, STRIP = 560, 300
INK, PAPER, CAMERA, SPHERE = (40, 40, 40), (255, 255, 255), (40, 90, 200), (20, 140, 60)
DOT = (255, 220, 0)
AXES = ((205, 40, 40), (30, 150, 40), (40, 60, 220))
SIDES = (
    ("from above: x right, y up", np.array([[1.0, 0, 0], [0, -1, 0]])),
    ("from the front: x right, z up", np.array([[1.0, 0, 0], [0, 0, -1]])),
    ("from the right: y right, z up", np.array([[0, 1.0, 0], [0, 0, -1]])),
)
SHOWN = 5


def draw_cameras(model: SparseModel, radius: float, copies: Sequence[Path], lines: Sequence[str], path: Path) -> None:
    """Write the picture as PNG.

    Args:
        model: In world coordinates, the region around the origin.
        radius: Of the region, world units.
        copies: Small copy of each photograph of the model.
        lines: Facts above the picture.
        path: Where to.
    """
    width = PANEL * len(SIDES)
    font = ImageFont.load_default(size=18)
    head = Image.new("RGB", (width, 26 * len(lines) + 16), PAPER)
    draw = ImageDraw.Draw(head)
    for i, line in enumerate(lines):
        draw.text((12, 8 + 26 * i), line, fill=INK, font=font)
    shown = np.unique(np.linspace(0, len(copies) - 1, min(SHOWN, len(copies))).round().astype(int))
    strip = Image.new("RGB", (width, STRIP), PAPER)
    cell = width // SHOWN
    for column, row in enumerate(shown):
        strip.paste(_photograph(model, int(row), radius, copies[row], (cell - 8, STRIP - 8)), (column * cell + 4, 4))
    whole = Image.new("RGB", (width, head.height + PANEL + STRIP), PAPER)
    whole.paste(head, (0, 0))
    for column, (title, axes) in enumerate(SIDES):
        whole.paste(_side(model, radius, axes, title, font), (column * PANEL, head.height))
    whole.paste(strip, (0, head.height + PANEL))
    write_picture(path, whole)


def _side(model: SparseModel, radius: float, axes: np.ndarray, title: str, font) -> Image.Image:
    """Everything seen from one side, without perspective."""
    reach = 1.08 * max(radius, float(np.quantile(np.abs(model.centers), 0.98)), float(np.abs(model.centers).max()))
    scale = (PANEL - 40) / 2 / reach
    canvas = np.full((PANEL, PANEL, 3), 255, np.uint8)
    toward = np.cross(axes[0], axes[1])  # away from the viewer: near points are drawn last
    order = np.argsort(-(model.points @ toward))
    flat = np.rint(model.points[order] @ axes.T * scale + PANEL / 2).astype(int)
    colors = model.colors[order]
    inside = ((flat >= 1) & (flat < PANEL - 1)).all(axis=1)
    flat, colors = flat[inside], colors[inside]
    for dx, dy in ((0, 0), (1, 0), (0, 1), (1, 1)):
        canvas[flat[:, 1] + dy, flat[:, 0] + dx] = colors
    image = Image.fromarray(canvas)
    draw = ImageDraw.Draw(image)
    middle = PANEL / 2
    draw.ellipse(
        [middle - radius * scale, middle - radius * scale, middle + radius * scale, middle + radius * scale], outline=SPHERE, width=2
    )
    for axis, color in zip(np.eye(3), AXES, strict=True):
        end = axes @ axis * radius * 0.4 * scale + middle
        draw.line([middle, middle, *end], fill=color, width=3)
    size = 0.06 * reach
    for pose, lens, wh in zip(model.world_from_camera, model.params[model.camera], model.sizes[model.camera], strict=True):
        half = wh / 2 / lens[0] * size
        corners = np.array([[half[0], half[1], size], [-half[0], half[1], size], [-half[0], -half[1], size], [half[0], -half[1], size]])
        corners = (corners @ pose[:, :3].T + pose[:, 3]) @ axes.T * scale + middle
        eye = pose[:, 3] @ axes.T * scale + middle
        for one, other in zip(corners, np.roll(corners, -1, axis=0), strict=True):
            draw.line([*one, *other], fill=CAMERA)
            draw.line([*eye, *one], fill=CAMERA)
    draw.text((12, 8), title, fill=INK, font=font)
    return image


def _photograph(model: SparseModel, row: int, radius: float, copy: Path, size: tuple[int, int]) -> Image.Image:
    """A photograph with the region's outline and the points that it sees."""
    with Image.open(copy) as stored:
        image = stored.convert("RGB")
    seen = model.seen_by == row
    uv, _ = model.project(row, model.points[model.seen[seen]])
    camera = plain_cameras(model)[row]
    outline = sphere_outline(camera, np.zeros(3), radius)
    factor = min(size[0] / image.width, size[1] / image.height)
    image = image.resize((max(1, round(image.width * factor)), max(1, round(image.height * factor))))
    canvas = np.array(image)
    dots = np.rint(uv * factor).astype(int)
    dots = dots[((dots >= 1) & (dots < np.array([image.width, image.height]) - 1)).all(axis=1)]
    for dx, dy in ((0, 0), (1, 0), (0, 1), (1, 1)):
        canvas[dots[:, 1] + dy, dots[:, 0] + dx] = DOT
    image = Image.fromarray(canvas)
    draw = ImageDraw.Draw(image)
    if outline is not None:
        draw.line([tuple(p) for p in np.concatenate([outline, outline[:1]]) * factor], fill=SPHERE, width=3)
    return image
