"""Pictures of a run: the overview that compares photograph and result, the turntable, and renders of a split."""

from __future__ import annotations

import importlib.util
import logging
from pathlib import Path
from typing import Literal

import imageio.v3 as iio
import numpy as np
from PIL import Image, ImageDraw

from recon.console import Reporter
from recon.data.scene import Camera, Scene
from recon.evaluate import photograph, view_stem
from recon.geometry import Similarity
from recon.methods.base import Method
from recon.rendering.image import depth_picture, normal_picture, render_view, to_uint8
from recon.rendering.meshes import over, render_mesh
from recon.rendering.orbit import orbit_cameras
from recon.runs import Run
from recon.surface.raycast import ray_scene
from recon.surface.reading import read_mesh

FRAMES_PER_SECOND = 24
CAPTION_HEIGHT = 18

_log = logging.getLogger(__name__)


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
        strips.append(_captioned(panels))
        reporter.progress("preview", (i + 1) / len(chosen), f"view {i + 1}/{len(chosen)}")
    width = max(s.shape[1] for s in strips)
    sheet = np.concatenate([np.pad(s, ((0, 4), (0, width - s.shape[1]), (0, 0)), constant_values=255) for s in strips])
    path = run.folder / "preview.png"
    Image.fromarray(sheet).save(path)
    return path


def render_orbit(run: Run, method: Method, frames: int, size: int, reporter: Reporter) -> Path:
    """Write a turntable of the field to ``renders/orbit.mp4``, or ``.gif`` where ffmpeg is missing.

    Args:
        run: Where the film goes.
        method: The trained model.
        frames: Number of frames.
        size: Longer side, pixels.
        reporter: Where progress goes.
    """
    info = run.scene_info()
    world_from_scene = Similarity.from_json(info["world_from_scene"])
    cameras = [Camera.from_json(v["camera"]) for v in info["views"] if v["split"] == "train"]
    pictures = []
    for i, camera in enumerate(orbit_cameras(cameras, world_from_scene.translation, frames, size)):
        pictures.append(to_uint8(render_view(method, camera, world_from_scene.inverse()).rgb))
        reporter.progress("turntable", (i + 1) / frames, f"frame {i + 1}/{frames}")
    return write_film(run.renders / "orbit", np.stack(pictures))


def write_film(stem: Path, frames: np.ndarray) -> Path:
    """Write frames [N, H, W, 3] uint8 as ``stem.mp4``, or as ``stem.gif`` if imageio-ffmpeg is not installed."""
    stem.parent.mkdir(parents=True, exist_ok=True)
    if importlib.util.find_spec("imageio_ffmpeg") is not None:
        path = stem.with_suffix(".mp4")
        iio.imwrite(path, frames, plugin="FFMPEG", fps=FRAMES_PER_SECOND, codec="libx264", macro_block_size=2, quality=8)
        return path
    _log.info("no ffmpeg: writing a .gif; pip install 'formfield[viewer]' for .mp4")
    path = stem.with_suffix(".gif")
    iio.imwrite(path, frames, duration=1000 / FRAMES_PER_SECOND, loop=0)
    return path


def render_split(run: Run, method: Method, scene: Scene, split: Literal["train", "test"], reporter: Reporter) -> Path:
    """Write colour, normals and depth of every view of a split to ``renders/<split>/``; returns the folder."""
    folder = run.renders / split
    folder.mkdir(parents=True, exist_ok=True)
    views = scene.split(split)
    for i, view in enumerate(views):
        rendered = render_view(method, view.camera, scene.scene_from_world)
        pictures = {"color": to_uint8(rendered.rgb), "depth": depth_picture(rendered.depth, rendered.opacity)}
        if rendered.normal is not None:
            pictures["normal"] = normal_picture(rendered.normal)
        for kind, picture in pictures.items():
            Image.fromarray(picture).save(folder / f"{view_stem(view.name)}-{kind}.png")
        reporter.progress("render", (i + 1) / len(views), f"view {i + 1}/{len(views)}")
    return folder


def _shrunk(camera: Camera, size: int) -> Camera:
    scale = min(1.0, size / max(camera.width, camera.height))
    return camera.resized(max(round(camera.width * scale), 1), max(round(camera.height * scale), 1))


def _captioned(panels: dict[str, np.ndarray]) -> np.ndarray:
    """Panels side by side with their names above. [H + caption, sum of W, 3]"""
    height = next(iter(panels.values())).shape[0] + CAPTION_HEIGHT
    columns = []
    for name, panel in panels.items():
        image = Image.new("RGB", (panel.shape[1] + 4, height), "white")
        image.paste(Image.fromarray(np.ascontiguousarray(panel)), (2, CAPTION_HEIGHT))
        ImageDraw.Draw(image).text((4, 3), name, fill="black")
        columns.append(np.asarray(image))
    return np.concatenate(columns, axis=1)
