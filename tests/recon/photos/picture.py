"""``python -m tests.recon.photos.picture docs/photographs.png``: how to photograph, and how not to, rendered. Takes about ten seconds."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from recon.data.scene import Camera
from scenes import truth
from scenes.making.render import RenderOptions, render_views
from scenes.making.tracing import tracer
from tests.recon.photos.studio import Paper, around, blur, photograph, printed, with_marker

WIDTH, HEIGHT = 400, 300
STEP_DEG = 12.0


def main(path: Path) -> None:
    known = truth("bracket")
    solid = known.solid
    center, low = solid.center, solid.bounds[0][2]
    plain = Paper(np.full((8, 8, 3), 235, np.uint8), (center[0], center[1]), 900.0, low)
    sheet = with_marker(printed((center[0], center[1]), 240.0, low), 7, (center[0] + 30.0, center[1] - 50.0), 40.0)
    near, far = solid.radius / np.sin(np.deg2rad(20)) * 1.15, solid.radius * 14

    def from_here(turn_deg: float, elevation_deg: float, distance: float = near) -> Camera:
        turn, pitch = np.deg2rad(turn_deg), np.deg2rad(elevation_deg)
        eye = center + distance * np.array([np.cos(pitch) * np.cos(turn), np.cos(pitch) * np.sin(turn), np.sin(pitch)])
        (camera,) = around(center, distance, (elevation_deg,), 1, WIDTH, HEIGHT, 48.0)
        from recon.geometry import look_at

        return Camera(WIDTH, HEIGHT, camera.fx, camera.fy, camera.cx, camera.cy, look_at(eye, center, np.array([0.0, 0.0, 1.0])))

    rows = [
        ("good: one step of 10 to 15 degrees", sheet, from_here(-60, 30), None),
        ("... to the next: two thirds are the same", sheet, from_here(-60 + STEP_DEG, 30), None),
        ("good: a second round from higher up", sheet, from_here(-60 + STEP_DEG, 58), None),
        ("bad: nothing around it has texture", plain, from_here(-60, 30), None),
        ("bad: small in the picture", sheet, from_here(-60, 30, far), None),
        ("bad: blurred", sheet, from_here(-60, 30), 4.0),
    ]
    pictures = render_views(tracer(solid), [camera for _, _, camera, _ in rows], known.material, RenderOptions())
    font, gap = ImageFont.load_default(size=17), 10
    whole = Image.new("RGB", (3 * (WIDTH + gap) + gap, 2 * (HEIGHT + 34) + gap), (255, 255, 255))
    draw = ImageDraw.Draw(whole)
    for k, ((caption, paper, camera, pixels), cutout) in enumerate(zip(rows, pictures, strict=True)):
        image = photograph(paper, camera, cutout)
        x, y = gap + (k % 3) * (WIDTH + gap), gap + (k // 3) * (HEIGHT + 34)
        whole.paste(Image.fromarray(image if pixels is None else blur(image, pixels)), (x, y))
        draw.text((x, y + HEIGHT + 4), caption, fill=(20, 120, 50) if k < 3 else (180, 40, 30), font=font)
    whole.save(path)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
