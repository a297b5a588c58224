"""The picture of a solid: it with its edges, beside the photograph and the deviation of the mesh."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from recon.curves.drawing import overlay, small_photograph
from recon.curves.files.wireframe import Wireframe
from recon.data.scene import Camera, View
from recon.rendering.meshes import over, render_mesh, turntable_cameras
from recon.solid.deviation import deviation_colors
from recon.solid.facets import Facets
from recon.solid.report import COLORS
from recon.surface.mesh import Mesh
from recon.surface.raycast import RayScene, ray_scene
from recon.system.files import write_picture

SIZE = 480
"""Longer side of one panel, pixels."""
LOOK = 48
"""Longer side of the pictures by which a camera is chosen."""
EDGE = (20, 20, 20)
LEGEND = 64


@dataclass(frozen=True)
class Shown:
    """What is drawn, world units.

    Attributes:
        facets: Of the solid.
        kinds: Of its faces.
        edges: Of the solid.
        mesh: That it stands for, in the colours of its deviation.
        reach: Where those colours end, world units.
        unit: Name of the unit.
    """

    facets: Facets
    kinds: Sequence[str]
    edges: Wireframe
    mesh: Mesh
    reach: float
    unit: str


def write_solid_picture(shown: Shown, views: Sequence[View], path: Path) -> None:
    """Photograph with the solid's edges (where there are photographs), solid coloured by the kind of its faces, deviation; and a legend.

    Args:
        shown: The solid.
        views: Photographs, cameras in the world; the one that sees most faces is used. May be empty.
        path: A .png file.
    """
    solid, mesh = ray_scene(shown.facets.mesh), ray_scene(shown.mesh)
    cameras = [v.camera for v in views] or turntable_cameras(shown.mesh, 8, size=SIZE, elevation_deg=28.0)
    best = max(range(len(cameras)), key=lambda k: _faces_seen(solid, shown.facets, cameras[k]))
    camera = _sized(cameras[best], SIZE)
    black = [EDGE] * len(shown.edges.curves)
    panels, titles = [], []
    if views:
        panels.append(overlay(small_photograph(views[best], SIZE), shown.edges, views[best].camera, solid))
        titles.append("photograph, edges of the solid")
    panels.append(overlay(_by_kind(solid, shown, camera), shown.edges, camera, solid, black))
    titles.append("solid")
    panels.append(over(render_mesh(mesh, camera, shading="color", ambient_rays=0)))
    titles.append("deviation of the mesh from the solid")
    height, width = panels[-1].shape[:2]
    sheet = Image.new("RGB", (width * len(panels), height + LEGEND), "white")
    pen = ImageDraw.Draw(sheet)
    for number, (panel, title) in enumerate(zip(panels, titles, strict=True)):
        sheet.paste(Image.fromarray(panel).resize((width, height)), (number * width, 0))
        pen.text((number * width + 8, 6), title, fill=(30, 30, 30))
    _kind_legend(pen, shown.kinds, (10 + (width if views else 0), height + 14))
    sheet.paste(_bar(200), (sheet.width - width + 20, height + 12))
    for share, text in ((0.0, f"-{shown.reach:.3g}"), (0.5, "0"), (1.0, f"+{shown.reach:.3g} {shown.unit}")):
        pen.text((sheet.width - width + 20 + 200 * share, height + 32), text, fill=(30, 30, 30), anchor="ma")
    pen.text((sheet.width - width + 20, height + 48), "blue: mesh inside of the solid, red: outside", fill=(30, 30, 30))
    write_picture(path, sheet)


def _by_kind(solid: RayScene, shown: Shown, camera: Camera) -> np.ndarray:
    """The solid in clay, tinted by the kinds of its faces, over white. [H, W, 3] uint8"""
    picture = render_mesh(solid, camera, shading="clay")
    tints = np.array([COLORS[kind] for kind in shown.kinds])
    face = np.where(picture["face"] >= 0, shown.facets.face[picture["face"]], 0)
    tint = np.where((picture["face"] >= 0)[..., None], tints[face], 0.8)
    return over({**picture, "rgb": np.clip(picture["rgb"] * tint / 0.78, 0, 1)})


def _faces_seen(solid: RayScene, facets: Facets, camera: Camera) -> int:
    picture = render_mesh(solid, _sized(camera, LOOK), shading="normals", supersample=1)
    hit = picture["face"][picture["face"] >= 0]
    return len(np.unique(facets.face[hit]))


def _sized(camera: Camera, longest: int) -> Camera:
    scale = longest / max(camera.width, camera.height)
    return camera.resized(max(round(camera.width * scale), 1), max(round(camera.height * scale), 1))


def _kind_legend(pen: ImageDraw.ImageDraw, kinds: Sequence[str], at: tuple[int, int]) -> None:
    x, y = at
    for number, (kind, color) in enumerate((k, c) for k, c in COLORS.items() if k in kinds):
        left, top = x + number % 3 * 140, y + number // 3 * 22
        pen.rectangle((left, top, left + 14, top + 14), fill=tuple(round(255 * c) for c in color), outline=EDGE)
        pen.text((left + 20, top + 7), f"{list(kinds).count(kind)} {kind}", fill=(30, 30, 30), anchor="lm")


def _bar(width: int) -> Image.Image:
    row = deviation_colors(np.linspace(-1, 1, width), 1.0)
    return Image.fromarray(np.repeat(np.rint(255 * row).astype(np.uint8)[None], 16, 0))
