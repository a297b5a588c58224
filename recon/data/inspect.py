"""What was understood of a dataset, as facts and as a picture. Drawn with Pillow alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from recon.console import Reporter
from recon.data.scene import Camera, Scene, View
from recon.system.files import write_picture

_PANEL = 480
_STRIP_WIDTH = 4 * _PANEL
_TRAIN, _TEST, _SPHERE, _INK, _PAPER = (40, 90, 200), (235, 120, 20), (120, 160, 120), (40, 40, 40), (255, 255, 255)
_AXES = (("x", (205, 40, 40)), ("y", (30, 150, 40)), ("z", (40, 60, 220)))


def describe(scene: Scene) -> dict:
    """Facts about a scene that JSON can hold: counts, sizes, cameras, bounds, background, notes and warnings.

    Lengths are in world units, angles in degrees; ``distance`` is from camera centres to the bounds' centre.
    """
    cameras = [view.camera for view in scene.views]
    sizes = Counter((c.width, c.height) for c in cameras)
    center, radius = scene.world_from_scene.translation, scene.world_from_scene.scale
    distances = [float(np.linalg.norm(c.center - center)) for c in cameras]
    fov = [2 * np.degrees(np.arctan2(c.width / 2, c.fx)) for c in cameras]
    image_bytes = sum(v.image.nbytes + (0 if v.mask is None else v.mask.nbytes) for v in scene.views)
    return {
        "name": scene.name,
        "source": str(scene.source),
        "format": scene.format,
        "views": {"total": len(scene.views), "train": len(scene.split("train")), "test": len(scene.split("test"))},
        "image_sizes": [{"width": w, "height": h, "count": n} for (w, h), n in sizes.most_common()],
        "channels": int(scene.views[0].image.shape[2]),
        "masks": sum(v.mask is not None for v in scene.views),
        "memory_mib": round(image_bytes / 2**20, 1),
        "background": list(scene.background) if isinstance(scene.background, tuple) else scene.background,
        "cameras": {
            "focal_px": _range([c.fx for c in cameras] + [c.fy for c in cameras]),
            "principal_point_px": [_range([c.cx for c in cameras]), _range([c.cy for c in cameras])],
            "horizontal_fov_deg": _range(fov),
            "distance": _range(distances),
            "distance_in_radii": _range([d / radius for d in distances]),
            "inside_bounds": sum(d < radius for d in distances),
        },
        "bounds": {"center": [float(x) for x in center], "radius": float(radius), "unit": scene.unit},
        "world_from_scene": scene.world_from_scene.to_json(),
        "object_share": _object_share(scene.views, scene.background),
        "notes": list(scene.notes),
        "warnings": list(scene.warnings),
    }


def camera_picture(scene: Scene, path: Path) -> None:
    """Write a PNG: cameras, unit sphere and axes from four sides, and some images with the projected unit sphere drawn over them.

    Training views are blue, held-out ones orange. Everything is in scene axes; the sphere is the region that is reconstructed.
    """
    facts = describe(scene)
    views_from = [
        ("from above: x right, y up", np.array([[1.0, 0, 0], [0, -1, 0], [0, 0, -1]])),
        ("from the front: x right, z up", np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])),
        ("from the right: y right, z up", np.array([[0, 1.0, 0], [0, 0, -1], [-1, 0, 0]])),
        ("oblique: z up", _oblique()),
    ]
    panels = Image.new("RGB", (_STRIP_WIDTH, _PANEL), _PAPER)
    for i, (title, panel_from_scene) in enumerate(views_from):
        panels.paste(_panel(scene, panel_from_scene, title), (i * _PANEL, 0))
    sheet = _contact_sheet(scene)
    header = Image.new("RGB", (_STRIP_WIDTH, 64), _PAPER)
    draw, counts, bounds = ImageDraw.Draw(header), facts["views"], facts["bounds"]
    size = facts["image_sizes"][0]
    first = (
        f"{scene.name} ({scene.format}): {counts['train']} training and {counts['test']} held-out views, {size['width']}x{size['height']}, "
        f"background {_text(facts['background'])}, warnings: {len(scene.warnings)}"
    )
    x, y, z = bounds["center"]
    second = f"unit sphere = centre ({x:.4g}, {y:.4g}, {z:.4g}), radius {bounds['radius']:.4g} {bounds['unit'] or 'world units'}; "
    second += f"cameras at {facts['cameras']['distance_in_radii'][0]:.2f} to {facts['cameras']['distance_in_radii'][1]:.2f} radii"
    draw.text((12, 8), first, fill=_INK, font=ImageFont.load_default(size=20))
    draw.text((12, 36), second, fill=_INK, font=ImageFont.load_default(size=18))
    picture = Image.new("RGB", (_STRIP_WIDTH, header.height + panels.height + sheet.height), _PAPER)
    picture.paste(header, (0, 0))
    picture.paste(panels, (0, header.height))
    picture.paste(sheet, (0, header.height + panels.height))
    write_picture(path, picture, format="PNG")


def sphere_outline(camera: Camera, center: np.ndarray, radius: float, count: int = 180) -> np.ndarray | None:
    """Outline of a sphere in a camera's image: the projected circle where viewing rays touch it.

    Args:
        center, radius: World units.
    Returns:
        Pixels [count, 2], or None if the camera is inside the sphere or part of the circle lies behind it.
    """
    to_camera = camera.center - center
    distance = float(np.linalg.norm(to_camera))
    if distance <= radius:
        return None
    axis = to_camera / distance
    side = np.cross(axis, np.eye(3)[np.argmin(np.abs(axis))])
    side /= np.linalg.norm(side)
    t = np.linspace(0, 2 * np.pi, count, endpoint=False)[:, None]
    ring = radius * np.sqrt(1 - (radius / distance) ** 2) * (np.cos(t) * side + np.sin(t) * np.cross(axis, side))
    uv, depth = camera.project(center + axis * (radius**2 / distance) + ring)
    return uv if (depth > 1e-6 * distance).all() else None


def _panel(scene: Scene, panel_from_scene: np.ndarray, title: str) -> Image.Image:
    """Parallel projection of cameras, sphere and axes; ``panel_from_scene`` maps to (right, down, away). [3, 3]"""
    factor = 2  # drawn larger and reduced, for smooth lines
    size = _PANEL * factor
    corners = [_frustum(scene, view) for view in scene.views]
    stacked = np.concatenate(corners).reshape(-1, 3) @ panel_from_scene.T
    extent = max(1.15, 1.08 * float(np.abs(stacked[:, :2]).max()))

    def to_px(points: np.ndarray) -> np.ndarray:
        return (points @ panel_from_scene.T)[..., :2] * (size / 2 / extent) + size / 2

    picture = Image.new("RGB", (size, size), _PAPER)
    draw = ImageDraw.Draw(picture)
    r = size / 2 / extent
    draw.ellipse((size / 2 - r, size / 2 - r, size / 2 + r, size / 2 + r), fill=(238, 245, 238), outline=_SPHERE, width=factor * 2)
    t = np.linspace(0, 2 * np.pi, 97)
    for a, b in ((0, 1), (1, 2), (0, 2)):
        circle = np.zeros((len(t), 3))
        circle[:, a], circle[:, b] = np.cos(t), np.sin(t)
        draw.line(_flat(to_px(circle)), fill=_SPHERE, width=factor)
    for index, (label, color) in enumerate(_AXES):
        tip = to_px(np.stack([np.zeros(3), np.eye(3)[index]]))
        if np.linalg.norm(tip[1] - tip[0]) > 4 * factor:
            draw.line(_flat(tip), fill=color, width=3 * factor)
            draw.text(tuple(tip[1] + 4), label, fill=color, font=ImageFont.load_default(size=18 * factor))
    for view, points in zip(scene.views, corners, strict=True):
        color, px = (_TRAIN if view.split == "train" else _TEST), to_px(points)
        for i in range(4):
            draw.line(_flat(px[[0, 1 + i]]), fill=color, width=factor)
            draw.line(_flat(px[[1 + i, 1 + (i + 1) % 4]]), fill=color, width=factor)
        # The thick side is the top of the image.
        draw.line(_flat(px[[1, 2]]), fill=color, width=3 * factor)
    draw.text((10 * factor, 8 * factor), title, fill=_INK, font=ImageFont.load_default(size=15 * factor))
    draw.rectangle((0, 0, size - 1, size - 1), outline=(210, 210, 210))
    return picture.resize((_PANEL, _PANEL), Image.Resampling.LANCZOS)


def _frustum(scene: Scene, view: View) -> np.ndarray:
    """Camera centre and the corners of its image plane (top left, top right, bottom right, bottom left), scene units. [5, 3]"""
    c = view.camera
    scene_from_world = scene.scene_from_world
    center = scene_from_world.apply(c.center)
    corners = np.array([[0, 0], [c.width, 0], [c.width, c.height], [0, c.height]], np.float64)
    _, directions = c.rays(corners)
    axis = c.world_from_camera[:, 2]
    directions = directions / (directions @ axis)[:, None]
    length = 0.12 * max(float(np.linalg.norm(center)), 0.5)
    return np.concatenate([center[None], center + length * scene_from_world.rotate(directions)])


def _contact_sheet(scene: Scene, count: int = 8) -> Image.Image:
    """Up to ``count`` views in two rows, with the unit sphere's outline and the scene's axes drawn over them."""
    chosen = [scene.views[i] for i in np.unique(np.linspace(0, len(scene.views) - 1, min(count, len(scene.views))).round().astype(int))]
    columns = 4
    cell = _STRIP_WIDTH // columns
    tallest = max(view.camera.height / view.camera.width for view in chosen)
    cell_height = int(cell * min(tallest, 1.0)) + 28
    rows = -(-len(chosen) // columns)
    sheet = Image.new("RGB", (_STRIP_WIDTH, rows * cell_height), _PAPER)
    for i, view in enumerate(chosen):
        sheet.paste(_thumbnail(scene, view, cell - 8, cell_height - 28), ((i % columns) * cell + 4, (i // columns) * cell_height + 26))
        draw, color = ImageDraw.Draw(sheet), (_TRAIN if view.split == "train" else _TEST)
        label = view.name if len(view.name) <= 44 else "..." + view.name[-41:]
        position = ((i % columns) * cell + 6, (i // columns) * cell_height + 3)
        draw.text(position, f"{label} ({view.split})", fill=color, font=ImageFont.load_default(size=16))
    return sheet


def _thumbnail(scene: Scene, view: View, width: int, height: int) -> Image.Image:
    factor = min(width / view.camera.width, height / view.camera.height)
    size = (max(1, round(view.camera.width * factor)), max(1, round(view.camera.height * factor)))
    if view.image.shape[2] == 4:
        photo = Image.new("RGBA", (view.camera.width, view.camera.height), (225, 225, 225, 255))
        photo.alpha_composite(Image.fromarray(view.image))
        photo = photo.convert("RGB")
    else:
        photo = Image.fromarray(view.image)
    photo = photo.resize(size, Image.Resampling.BOX if factor < 1 else Image.Resampling.BILINEAR)
    draw, camera = ImageDraw.Draw(photo), view.camera.resized(*size)
    center, radius = scene.world_from_scene.translation, scene.world_from_scene.scale
    outline = sphere_outline(camera, center, radius)
    if outline is not None:
        draw.line(_flat(np.concatenate([outline, outline[:1]])), fill=(40, 200, 60), width=2)
    ends = scene.world_from_scene.apply(np.concatenate([np.zeros((1, 3)), 0.5 * np.eye(3)]))
    uv, depth = camera.project(ends)
    for index, (_, color) in enumerate(_AXES):
        if (depth[[0, 1 + index]] > 0).all():
            draw.line(_flat(uv[[0, 1 + index]]), fill=color, width=2)
    return photo


def _object_share(views: Sequence[View], background: object) -> float | None:
    """Mean share of the picture that is object, where alpha or masks say so."""
    if background == "alpha":
        return round(float(np.mean([v.image[..., 3].mean() / 255 for v in views])), 4)
    if background == "masks":
        return round(float(np.mean([v.mask.mean() / 255 for v in views if v.mask is not None])), 4)
    return None


def _oblique() -> np.ndarray:
    """Rows: right, down, away, for an eye at azimuth -55 and elevation 25 degrees, z up. [3, 3]"""
    azimuth, elevation = np.radians(-55.0), np.radians(25.0)
    away = -np.array([np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)])
    right = np.cross(away, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(away, right), away])


def _range(values: Sequence[float]) -> list[float]:
    return [float(min(values)), float(max(values))]


def _flat(points: np.ndarray) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in points]


def _text(background: object) -> str:
    return "colour (" + ", ".join(f"{255 * c:.0f}" for c in background) + ")" if isinstance(background, list) else str(background)


def describe_briefly(scene: Scene, reporter: Reporter) -> None:
    """One line on the dataset, then its notes and warnings."""
    train, test = (len(scene.split(s)) for s in ("train", "test"))
    camera = scene.views[0].camera
    reporter.say(f"{scene.name}: {scene.format}, {train} training and {test} held-out views, first {camera.width}x{camera.height}")
    for note in scene.notes:
        reporter.say(f"  {note}")
    for warning in scene.warnings:
        reporter.warn(warning)
