"""Pictures of a run: the overview that compares photograph and result, and the turntable."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from recon.console import Reporter
from recon.data.scene import Camera, Scene
from recon.errors import install_hint
from recon.methods.base import Method
from recon.rendering.image import depth_picture, normal_picture, render_view, to_uint8
from recon.rendering.meshes import over, render_mesh
from recon.results.evaluation import photograph
from recon.results.films import FRAMES_PER_SECOND, usual_film
from recon.results.renders import draw_field, orbit_shots, turn_of_mesh, write_shots
from recon.runs import Run
from recon.surface.raycast import ray_scene
from recon.surface.reading import read_mesh, read_surface
from recon.system.files import write_picture

CAPTION_HEIGHT = 18


def preview(run: Run, method: Method, scene: Scene, reporter: Reporter, rows: int = 3, size: int = 320) -> Path:
    """Write ``preview.png``: photograph, render, normal, depth and mesh of a few held-out views (training views if none are held out).

    Args:
        run: Where the picture goes.
        method: The trained model.
        scene: Its data.
        reporter: Where progress goes.
        rows: Number of views, spread evenly.
        size: Longer side of each panel, pixels.
    """
    views = scene.split("test") or scene.split("train")
    chosen = [views[i] for i in np.unique(np.linspace(0, len(views) - 1, rows).round().astype(int))]
    mesh_path = run.exports / "mesh.ply"
    mesh = ray_scene(read_mesh(mesh_path)) if mesh_path.is_file() else None
    strips = []
    for i, view in enumerate(chosen):
        camera = _shrunk(view.camera, size)
        rendered = render_view(method, camera, scene.scene_from_world)
        shrunk = Image.fromarray(to_uint8(photograph(view, scene))).resize((camera.width, camera.height), Image.Resampling.BOX)
        panels = {"photograph": np.asarray(shrunk), "render": to_uint8(rendered.rgb)}
        if rendered.normal is not None:
            panels["normal"] = normal_picture(rendered.normal)
        panels["depth"] = depth_picture(rendered.depth, rendered.opacity)
        if mesh is not None:
            panels["mesh"] = over(render_mesh(mesh, camera, shading="clay"))
        strips.append(captioned(panels))
        reporter.progress("preview", (i + 1) / len(chosen), f"view {i + 1}/{len(chosen)}")
    width = max(s.shape[1] for s in strips)
    sheet = np.concatenate([np.pad(s, ((0, 4), (0, width - s.shape[1]), (0, 0)), constant_values=255) for s in strips])
    path = run.folder / "preview.png"
    write_picture(path, Image.fromarray(sheet))
    return path


def render_orbit(run: Run, method: Method, frames: int, size: int, reporter: Reporter) -> Path:
    """Write a turntable to ``renders/orbit.mp4``, or ``.gif`` where ffmpeg is missing: of the textured mesh, else of the field.

    The mesh is what a person takes away, and a picture of it takes half a second; rendering the field from where nobody photographed
    takes a quarter of the time of training if what is behind it was learnt too (DTU scan 24), and shows that wrong there.

    Args:
        run: Where the film goes, and its mesh is.
        method: The trained model.
        frames: Number of frames.
        size: Longer side, pixels.
        reporter: Where progress goes.
    """
    textured = run.exports / "mesh.glb"
    if textured.is_file():
        shots, draw = turn_of_mesh(run, read_surface(textured), frames, size)
    else:
        shots = orbit_shots(run, frames, size)
        draw = draw_field(method, run.scene.world_from_scene, ("color",), (0.0, 1.0))
    path = usual_film(run.renders / "orbit")
    if path.suffix == ".gif":
        reporter.say(f"no ffmpeg: the turntable is a .gif; for .mp4: {install_hint('viewer')}")
    return write_shots(shots, ("color",), draw, path, FRAMES_PER_SECOND, reporter)[0]


def _shrunk(camera: Camera, size: int) -> Camera:
    scale = min(1.0, size / max(camera.width, camera.height))
    return camera.resized(max(round(camera.width * scale), 1), max(round(camera.height * scale), 1))


def captioned(panels: dict[str, np.ndarray]) -> np.ndarray:
    """Panels side by side with their names above. [H + caption, sum of W, 3]"""
    height = next(iter(panels.values())).shape[0] + CAPTION_HEIGHT
    columns = []
    for name, panel in panels.items():
        image = Image.new("RGB", (panel.shape[1] + 4, height), "white")
        image.paste(Image.fromarray(np.ascontiguousarray(panel)), (2, CAPTION_HEIGHT))
        ImageDraw.Draw(image).text((4, 3), name, fill="black")
        columns.append(np.asarray(image))
    return np.concatenate(columns, axis=1)
