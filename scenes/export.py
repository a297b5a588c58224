"""Scenes written to a folder, in Blender's and in nerfstudio's format over the same pictures, with everything that is true beside them.

::

    OUT/train/r_000.png ...  OUT/test/r_000.png ...      RGBA, straight alpha
    OUT/transforms_train.json  transforms_test.json      Blender (original NeRF); intrinsics that differ are also given per frame
    OUT/transforms.json                                  nerfstudio and instant-ngp
    OUT/truth/mesh.ply  curves.json  meta.json  part.step
    OUT/truth/geometry/train/r_000.npz ...               distance, depth_z (world units, infinite outside) and normal (world axes)
    OUT/truth/edges/train/r_000.png ...                  visible sharp curves as anti-aliased lines
"""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from recon.curves.files.curve import to_json
from recon.data.ply import XYZ, columns_of, write_ply
from recon.data.scene import Camera, View
from recon.errors import DataError, UsageError
from scenes.edges import draw_lines, visible_points
from scenes.library import SceneOptions, Truth, photograph, truth, usual
from scenes.making.render import render_geometry

FORMATS = ("blender", "nerfstudio")
_OPENGL_FROM_OPENCV = np.diag([1.0, -1.0, -1.0])
Progress = Callable[[int, int], None]


def write(
    name: str,
    out: Path,
    options: SceneOptions | None = None,
    *,
    views: int | None = None,
    size: int | None = None,
    formats: Sequence[str] = FORMATS,
    geometry: bool = True,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Write a built-in scene as a dataset.

    Args:
        name: Of the scene, with or without ``scenes:``.
        out: Folder to make. It appears only when it is whole.
        options: Number and kind of views.
        views: Training views, if other than the options'; a quarter as many are held out.
        size: Width and height in pixels, if other than the options'.
        formats: "blender", "nerfstudio", or both.
        geometry: Also write depth, normals and edge maps of every view.
        overwrite: Replace ``out`` if it is there.
        progress: Called with (views done, views in all) while geometry is written.
    Returns:
        ``out``.
    Raises:
        UsageError: Unknown scene or format, or ``out`` exists.
    """
    options = options or usual(name)
    return write_truth(truth(name), out, options, views=views, size=size, formats=formats, geometry=geometry, overwrite=overwrite,
                       progress=progress)  # fmt: skip


def write_truth(
    known: Truth,
    out: Path,
    options: SceneOptions | None = None,
    *,
    views: int | None = None,
    size: int | None = None,
    formats: Sequence[str] = FORMATS,
    geometry: bool = True,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Render any object with known surface, and write it; see :func:`write`."""
    options = options or SceneOptions()
    if views is not None:
        options = replace(options, train=views, test=max(views // 4, 1))
    if size is not None:
        options = replace(options, width=size, height=size)
    unknown = sorted(set(formats) - set(FORMATS))
    if unknown or not formats:
        raise UsageError(f"unknown formats {unknown}" if unknown else "no format was asked for", f"Formats: {', '.join(FORMATS)}.")
    if out.exists() and not overwrite and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out} exists already", "Choose another folder, or ask to overwrite it.")
    temporary = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    try:
        temporary.mkdir(parents=True)
        pictures = photograph(known, options)
        _pictures(temporary, pictures)
        if "blender" in formats:
            _blender(temporary, pictures)
        if "nerfstudio" in formats:
            _nerfstudio(temporary, pictures)
        _truth(temporary / "truth", known, options)
        if geometry:
            _geometry(temporary / "truth", known, pictures, progress)
        if out.exists():
            shutil.rmtree(out) if out.is_dir() and not out.is_symlink() else out.unlink()
        os.replace(temporary, out)
    except OSError as error:
        raise DataError(f"{out} could not be written: {error}", hint="Check that there is room and that the folder is writable.") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return out


def _pictures(out: Path, views: Sequence[View]) -> None:
    for view in views:
        path = out / view.name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(view.image).save(path, compress_level=4)


def _matrix(camera: Camera) -> list[list[float]]:
    """World from camera with OpenGL axes (x right, y up, z backward). [4, 4]"""
    pose = np.eye(4)
    pose[:3, :3] = camera.world_from_camera[:, :3] @ _OPENGL_FROM_OPENCV
    pose[:3, 3] = camera.center
    return pose.tolist()


def _intrinsics(camera: Camera) -> dict:
    return {"fl_x": camera.fx, "fl_y": camera.fy, "cx": camera.cx, "cy": camera.cy, "w": camera.width, "h": camera.height}


def _blender(out: Path, views: Sequence[View]) -> None:
    """The field of view that the format knows holds for centred principal points only; where it does not say all, each frame
    carries its own intrinsics."""
    shared = len({tuple(_intrinsics(v.camera).values()) for v in views}) == 1
    centred = all(v.camera.cx == v.camera.width / 2 and v.camera.cy == v.camera.height / 2 for v in views)
    for split in ("train", "test"):
        chosen = [v for v in views if v.split == split]
        if not chosen:
            continue
        first = chosen[0].camera
        frames = []
        for view in chosen:
            frame: dict = {"file_path": "./" + view.name.removesuffix(".png"), "transform_matrix": _matrix(view.camera)}
            if not (shared and centred):
                frame |= _intrinsics(view.camera)
            frames.append(frame)
        document = {"camera_angle_x": 2 * math.atan(first.width / 2 / first.fx), "frames": frames}
        _dump(out / f"transforms_{split}.json", document)


def _nerfstudio(out: Path, views: Sequence[View]) -> None:
    document: dict = {"camera_model": "OPENCV", "k1": 0.0, "k2": 0.0, "p1": 0.0, "p2": 0.0}
    shared = len({tuple(_intrinsics(v.camera).values()) for v in views}) == 1
    if shared:
        document |= _intrinsics(views[0].camera)
    frames = []
    for view in views:
        frame: dict = {"file_path": view.name, "transform_matrix": _matrix(view.camera)}
        if not shared:
            frame |= _intrinsics(view.camera)
        frames.append(frame)
    document["frames"] = frames
    document["train_filenames"] = [v.name for v in views if v.split == "train"]
    held = [v.name for v in views if v.split == "test"]
    if held:
        document["val_filenames"] = held
        document["test_filenames"] = held
    _dump(out / "transforms.json", document)


def _truth(folder: Path, known: Truth, options: SceneOptions) -> None:
    folder.mkdir(parents=True)
    solid = known.solid
    with open(folder / "mesh.ply", "wb") as file:
        write_ply(file, columns_of(XYZ, "<f8", solid.vertices), solid.faces)
    _dump(folder / "curves.json", to_json(solid.curve_vertices, solid.curves, solid.tangent_curves, known.unit))
    if known.step is not None:
        shutil.copyfile(known.step, folder / "part.step")
    low, high = solid.bounds
    render = {k: v for k, v in vars(options.render).items() if k != "threads"}
    meta = {
        "version": 1,
        "name": known.name,
        "unit": known.unit,
        "bounds": [low.tolist(), high.tolist()],
        "diagonal": solid.diagonal,
        "world_from_scene": known.world_from_scene.to_json(),
        "vertices": len(solid.vertices),
        "faces": len(solid.faces),
        "curves": len(solid.curves),
        "tangent_curves": len(solid.tangent_curves),
        "views": {k: v for k, v in vars(options).items() if k != "render"},
        "render": render,
    }
    _dump(folder / "meta.json", meta)


def _geometry(folder: Path, known: Truth, views: Sequence[View], progress: Progress | None) -> None:
    ready = known.traced()
    for number, view in enumerate(views):
        seen = render_geometry(ready, view.camera)
        arrays = folder / "geometry" / view.name.replace(".png", ".npz")
        arrays.parent.mkdir(parents=True, exist_ok=True)
        distance, depth_z = seen.distance.astype(np.float32), seen.depth_z.astype(np.float32)
        np.savez_compressed(arrays, distance=distance, depth_z=depth_z, normal=seen.normal.astype(np.float16))
        lines = draw_lines(visible_points(ready, view.camera, known.curves), view.camera.width, view.camera.height)
        picture = folder / "edges" / view.name
        picture.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(lines).save(picture)
        if progress is not None:
            progress(number + 1, len(views))


def _dump(path: Path, document: dict) -> None:
    path.write_text(json.dumps(document, indent=1, allow_nan=False) + "\n", encoding="utf-8")
