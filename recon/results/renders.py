"""Pictures from many cameras: which cameras, what is drawn from each, and the files it goes to, one frame in memory at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from recon.console import Reporter, duration
from recon.data.scene import Camera, Scene
from recon.errors import DataError, UsageError
from recon.geometry import Similarity
from recon.methods.base import Method
from recon.rendering.image import render_view
from recon.rendering.meshes import over, render_mesh, turntable_cameras
from recon.rendering.modes import Mode, mode_picture
from recon.rendering.orbit import orbit_cameras, upright
from recon.results.evaluation import photograph, view_stem
from recon.results.films import FILM_SUFFIXES, film
from recon.runs import Run
from recon.surface.mesh import Mesh
from recon.surface.raycast import ray_scene
from recon.system.files import write_picture


@dataclass(frozen=True)
class Shot:
    """One picture to make.

    Attributes:
        name: For its file.
        camera: In the world, at the size of the picture.
        photograph: What was photographed from there over white, sRGB in [0, 1], or None. [H, W, 3]
    """

    name: str
    camera: Camera
    photograph: np.ndarray | None = None


Draw = Callable[[Shot, Callable[[float], None]], dict[str, np.ndarray]]
"""Draws a shot: calls back with the share that is done, returns a picture [H, W, 3] uint8 for each mode."""


def orbit_shots(run: Run, frames: int, size: int) -> list[Shot]:
    """A turn about the object, from the usual distance and height of the photographs."""
    if frames < 1:
        raise UsageError(f"{frames} frames", "at least one")
    center = run.scene.world_from_scene.translation
    cameras = [v.camera for v in run.scene.split("train")]
    return numbered(orbit_cameras(cameras, center, frames, checked_size(size)))


def split_shots(run: Run, split: Literal["train", "test"], size: int | None, scene: Scene | None = None) -> list[Shot]:
    """The cameras of a split.

    Args:
        run: Its ``scene.json`` knows the cameras.
        split: Which.
        size: Longer side of the pictures, pixels; None: as the photographs were used.
        scene: The data, if the photographs are wanted; at their own size or shrunk by area.
    Raises:
        DataError: If the split is empty.
    """
    views = run.scene.split(split)
    if not views:
        raise DataError(f"{run.folder}: it has no {split} views", hint="use the other split, or --orbit")
    pictures = {} if scene is None else {v.name: v for v in scene.split(split)}
    shots = []
    for view in views:
        camera = sized(view.camera, size)
        shown = None
        if scene is not None:
            if view.name not in pictures:
                raise DataError(f"{scene.source}: the photograph {view.name} of this run is no longer there")
            shown = _resized(photograph(pictures[view.name], scene), camera)
        shots.append(Shot(view_stem(view.name), camera, shown))
    return shots


def numbered(cameras: Sequence[Camera]) -> list[Shot]:
    """Shots that are named by their number."""
    return [Shot(f"{i:05d}", c) for i, c in enumerate(cameras)]


def sized(camera: Camera, size: int | None) -> Camera:
    """The camera for pictures whose longer side has ``size`` pixels; as it is for None."""
    if size is None:
        return camera
    scale = checked_size(size) / max(camera.width, camera.height)
    return camera.resized(max(round(camera.width * scale), 1), max(round(camera.height * scale), 1))


def checked_size(size: int) -> int:
    """The size, if a picture can have it.

    Raises:
        UsageError: If it is not between 8 and 8192 pixels.
    """
    if not 8 <= size <= 8192:
        raise UsageError(f"pictures of {size} pixels", "--size takes 8 to 8192")
    return size


def draw_field(method: Method, world_from_scene: Similarity, modes: Sequence[Mode], depth_range: tuple[float, float]) -> Draw:
    """Draws a trained model by volume rendering.

    Args:
        method: The model.
        world_from_scene: The run's similarity.
        modes: Which pictures.
        depth_range: Of the colour map of "depth", world units.
    """
    scene_from_world = world_from_scene.inverse()

    def draw(shot: Shot, progress: Callable[[float], None]) -> dict[str, np.ndarray]:
        rays = shot.camera.width * shot.camera.height
        # The end of the picture is told by the caller.
        view = render_view(method, shot.camera, scene_from_world, lambda done: progress(done / rays) if done < rays else None)
        return {mode: mode_picture(view, mode, depth_range, shot.photograph) for mode in modes}

    return draw


def turn_of_mesh(run: Run, mesh: Mesh, frames: int, size: int) -> tuple[list[Shot], Draw]:
    """A turn about a textured mesh that shows all of it, from where most photographs were taken on, over white."""
    cameras = [v.camera for v in run.scene.split("train")]
    middle = run.scene.world_from_scene.translation
    front = np.mean([c.center - middle for c in cameras], axis=0)
    cast = ray_scene(mesh)
    shots = numbered(turntable_cameras(mesh, frames, size=checked_size(size), up=upright(cameras), first=front))
    return shots, lambda shot, progress: {"color": over(render_mesh(cast, shot.camera, shading="color"))}


def write_shots(shots: Sequence[Shot], modes: Sequence[str], draw: Draw, out: Path, fps: float, reporter: Reporter) -> list[Path]:
    """Draw all shots into a film or a folder.

    Args:
        shots: At least one.
        modes: What ``draw`` returns; with several, every mode has its own film ``NAME-MODE.mp4``.
        draw: See :data:`Draw`.
        out: ``.mp4`` or ``.gif``: a film. Else a folder, of ``NAME-MODE.png``.
        fps: Frames per second of a film.
        reporter: Where progress and the time left go.
    Returns:
        The films, or the folder.
    """
    if out.suffix and out.suffix.lower() not in FILM_SUFFIXES:
        raise UsageError(f"cannot write pictures as '{out.name}'", f"--out takes a folder for .png files, or {' or '.join(FILM_SUFFIXES)}")
    began = time.monotonic()
    with _sinks(modes, out, fps) as (written, add):
        for i, shot in enumerate(shots):

            def progress(share: float, i: int = i) -> None:
                done = (i + share) / len(shots)
                left = (time.monotonic() - began) * (1 - done) / max(done, 1e-9)
                reporter.progress(
                    "render", done, f"picture {i + 1}/{len(shots)}, {duration(left)} left" if done < 1 else f"{len(shots)} pictures"
                )

            for mode, picture in draw(shot, progress).items():
                add(shot.name, mode, picture)
            progress(1.0)
    return written


@contextmanager
def _sinks(modes: Sequence[str], out: Path, fps: float) -> Iterator[tuple[list[Path], Callable[[str, str, np.ndarray], None]]]:
    """Where pictures go: the paths that will be there, and a function of name, mode and picture."""
    if out.suffix.lower() in FILM_SUFFIXES:
        paths = {mode: out if len(modes) == 1 else out.with_name(f"{out.stem}-{mode}{out.suffix}") for mode in modes}
        with ExitStack() as stack:
            films = {mode: stack.enter_context(film(path, fps)) for mode, path in paths.items()}
            yield list(paths.values()), lambda _, mode, picture: films[mode](picture)
    else:
        out.mkdir(parents=True, exist_ok=True)
        yield [out], lambda name, mode, picture: write_picture(out / f"{name}-{mode}.png", Image.fromarray(picture))


def _resized(image: np.ndarray, camera: Camera) -> np.ndarray:
    """By the area that each new pixel covers when it shrinks, linearly when it grows. [H, W, 3] in [0, 1]"""
    if image.shape[:2] == (camera.height, camera.width):
        return image
    way = Image.Resampling.BOX if camera.width < image.shape[1] else Image.Resampling.BILINEAR
    channels = [
        Image.fromarray(np.ascontiguousarray(image[..., k], dtype=np.float32)).resize((camera.width, camera.height), way) for k in range(3)
    ]
    return np.stack([np.asarray(c) for c in channels], -1)
