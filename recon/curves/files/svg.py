"""A camera's drawing of a wireframe as SVG, in the photograph's own pixels."""

from __future__ import annotations

from html import escape
from pathlib import Path

from recon.curves.files.projection import TYPE_COLORS, strokes
from recon.curves.files.wireframe import Wireframe
from recon.data.scene import Camera
from recon.surface.raycast import RayScene
from recon.system.files import write_text_atomically


def write_svg(wireframe: Wireframe, camera: Camera, surface: RayScene | None, path: Path, title: str) -> None:
    """Write one picture: user units are pixels (the top left pixel's centre is at 0.5, 0.5), so it lies over the photograph as it is.

    Args:
        wireframe, camera, surface: World units. With a surface, hidden pieces are in the group "hidden", thin and dashed; without one
            everything is drawn.
        path: File to write.
        title: Shown by viewers.
    """
    groups: dict[bool, list[str]] = {True: [], False: []}
    for stroke in strokes(wireframe, camera, surface):
        kind = wireframe.curves[stroke.curve].type
        points = " ".join(f"{x:.6f},{y:.6f}" for x, y in stroke.pixels.tolist())
        groups[stroke.visible].append(f'<polyline class="{kind}" data-curve="{stroke.curve}" points="{points}"/>')
    style = "".join(f".{kind}{{stroke:rgb{color}}}".replace(" ", "") for kind, color in TYPE_COLORS.items())
    w, h = camera.width, camera.height
    rows = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{w}" height="{h}" viewBox="0 0 {w} {h}">',
        f"<title>{escape(title)}</title>",
        f"<style>polyline{{fill:none;stroke-linecap:round;stroke-linejoin:round}}{style}</style>",
        '<g id="hidden" stroke-width="0.6" stroke-dasharray="3 3" stroke-opacity="0.5">',
        *groups[False],
        "</g>",
        '<g id="visible" stroke-width="1.5">',
        *groups[True],
        "</g>",
        "</svg>",
    ]
    write_text_atomically(path, "\n".join(rows) + "\n")
