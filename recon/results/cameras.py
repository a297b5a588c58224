"""The way out of the same door: a run's cameras with the pictures that they belong to, as a dataset that any program reads.

``transforms.json`` (nerfstudio's, with the split, the bounds and the unit), ``images/`` as they were trained on (without distortion, at
their size), ``masks/`` where there are any, and a COLMAP model in text, ``sparse/0``, with points that start Gaussian splatting.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from PIL import Image

from recon.checkpoint import write_text_atomically
from recon.console import Reporter
from recon.data.ply import RGB, XYZ, columns_of, write_ply
from recon.data.scene import Camera, Scene, View
from recon.errors import UsageError
from recon.runs import Run
from recon.surface.reading import read_mesh
from recon.system.files import whole

FOLDER = "cameras"
MOST_POINTS = 50_000
"""Points of the COLMAP model."""


def export_cameras(run: Run, scene: Scene, reporter: Reporter, out: Path | None = None) -> Path:
    """Write a run's cameras, and the pictures that belong to them, as the dataset ``exports/cameras``; an earlier one is replaced.

    Args:
        run: Its mesh, if it has been exported, gives the points of the COLMAP model; else the dataset's sparse points do.
        scene: The data, as the run has read them.
        reporter: Where progress goes.
        out: Folder in which ``cameras`` is made; None: the run's exports.
    Returns:
        The path of ``transforms.json``.
    Raises:
        UsageError: If there is a folder ``cameras`` already that is no such dataset.
    """
    folder = (out or run.exports) / FOLDER
    if folder.is_dir() and not (folder / "transforms.json").is_file():
        raise UsageError(f"{folder}: this folder is not one that was exported, and would be replaced", "give another --out")
    folder.parent.mkdir(parents=True, exist_ok=True)
    names = picture_names([view.name for view in scene.views])
    new = folder.with_name(FOLDER + ".new")
    if new.is_dir():
        shutil.rmtree(new)  # of a process that was killed between the last two lines
    with whole(new) as part:
        (part / "images").mkdir(parents=True)
        for number, (view, name) in enumerate(zip(scene.views, names, strict=True), 1):
            _write_pictures(part, view, name, scene.background)
            reporter.progress("cameras", number / len(names), f"picture {number} of {len(names)}")
        write_text_atomically(part / "transforms.json", json.dumps(transforms(scene, names), indent=1))
        _write_colmap(part / "sparse" / "0", scene, names, *_points(run, scene))
    if folder.is_dir():
        shutil.rmtree(folder)
    new.rename(folder)
    return folder / "transforms.json"


def picture_names(names: Sequence[str]) -> list[str]:
    """A file name for each picture, without folders, all different, as .png."""
    out, taken = [], set()
    for name in names:
        stem = PurePosixPath(name).stem.replace(" ", "_") or "picture"
        option, k = stem, 1
        while option.casefold() in taken:
            k += 1
            option = f"{stem}_{k}"
        taken.add(option.casefold())
        out.append(f"{option}.png")
    return out


def transforms(scene: Scene, names: Sequence[str]) -> dict[str, Any]:
    """The content of ``transforms.json`` (OpenGL axes, pixel centres at +0.5, world units); read back it gives the same scene."""
    frames = []
    for view, name in zip(scene.views, names, strict=True):
        c = view.camera
        pose = np.eye(4)
        pose[:3] = c.world_from_camera
        pose[:3, 1:3] *= -1.0
        frame = {"file_path": f"images/{name}", "w": c.width, "h": c.height, "fl_x": c.fx, "fl_y": c.fy, "cx": c.cx, "cy": c.cy}
        if _mask(view, scene.background) is not None:
            frame["mask_path"] = f"masks/{name}"
        frames.append({**frame, "transform_matrix": pose.tolist()})
    split: dict[str, list[str]] = {
        f"{side}_filenames": [f"images/{n}" for v, n in zip(scene.views, names, strict=True) if v.split == side]
        for side in ("train", "test")
    }
    return {
        "camera_model": "PINHOLE",
        **({"unit": scene.unit} if scene.unit else {}),
        "sphere_center": scene.world_from_scene.translation.tolist(),
        "sphere_radius": scene.world_from_scene.scale,
        **(split if split["test_filenames"] else {}),
        "ply_file_path": "sparse/0/points3D.ply",
        "frames": frames,
    }


def _mask(view: View, background: object) -> np.ndarray | None:
    if view.ignore is not None:
        return np.where(view.ignore, np.uint8(0), np.uint8(255))
    return view.mask if background != "alpha" else None


def _write_pictures(folder: Path, view: View, name: str, background: object) -> None:
    Image.fromarray(view.image).save(folder / "images" / name)
    mask = _mask(view, background)
    if mask is not None:
        (folder / "masks").mkdir(exist_ok=True)
        Image.fromarray(mask).save(folder / "masks" / name)


def _points(run: Run, scene: Scene) -> tuple[np.ndarray, np.ndarray]:
    """Points [N, 3], world, and colours [N, 3] uint8 to start from: of the exported mesh, else the dataset's, else spread in the sphere."""
    mesh_path = run.exports / "mesh.ply"
    if mesh_path.is_file():
        mesh = read_mesh(mesh_path)
        xyz, rgb = mesh.vertices, mesh.colors
    elif scene.points is not None:
        xyz, rgb = scene.points, scene.point_colors
    else:
        # Uniform in the ball: directions of normal variates, radii by the cube root. Splatting wants some points, wherever they are.
        rng = np.random.default_rng(0)
        directions = rng.normal(size=(5000, 3))
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        xyz, rgb = scene.world_from_scene.apply(directions * np.cbrt(rng.random((5000, 1)))), None
    step = max(1, -(-len(xyz) // MOST_POINTS))
    xyz = xyz[::step]
    return xyz, np.full((len(xyz), 3), 128, np.uint8) if rgb is None else rgb[::step]


def _write_colmap(folder: Path, scene: Scene, names: Sequence[str], xyz: np.ndarray, rgb: np.ndarray) -> None:
    """``cameras.txt``, ``images.txt``, ``points3D.txt`` and ``points3D.ply``; cameras that are equal are one."""
    folder.mkdir(parents=True)
    cameras: dict[tuple, int] = {}
    lines = []
    for number, (view, name) in enumerate(zip(scene.views, names, strict=True), 1):
        c = view.camera
        camera = cameras.setdefault((c.width, c.height, c.fx, c.fy, c.cx, c.cy), len(cameras) + 1)
        numbers = " ".join(f"{x:.17g}" for x in camera_from_world(c))
        lines += [f"{number} {numbers} {camera} {name}", ""]
    models = [f"{k} PINHOLE {w} {h} " + " ".join(f"{x:.17g}" for x in rest) for (w, h, *rest), k in cameras.items()]
    write_text_atomically(folder / "cameras.txt", "\n".join(["# CAMERA_ID MODEL WIDTH HEIGHT fx fy cx cy", *models, ""]))
    write_text_atomically(
        folder / "images.txt",
        "\n".join(["# IMAGE_ID qw qx qy qz tx ty tz CAMERA_ID NAME, then a line of features", *lines, ""]),
    )
    rows = np.concatenate([np.arange(1, len(xyz) + 1)[:, None], xyz, rgb, np.zeros((len(xyz), 1))], axis=1)
    text = ("%d %.12g %.12g %.12g %d %d %d %g\n" * len(rows)) % tuple(rows.ravel().tolist())
    write_text_atomically(folder / "points3D.txt", "# POINT3D_ID X Y Z R G B ERROR\n" + text)
    with open(folder / "points3D.ply", "wb") as file:
        write_ply(file, [*columns_of(XYZ, "<f8", xyz), *columns_of(RGB, "u1", rgb)])


def camera_from_world(camera: Camera) -> np.ndarray:
    """COLMAP's quaternion w, x, y, z and translation of a camera. [7]"""
    r = camera.world_from_camera[:, :3].T
    # The largest of the four squares first, so that nothing cancels (Shepperd 1978).
    squares = np.array([1 + np.trace(r), *(1 + 2 * np.diag(r) - np.trace(r))])
    k = int(np.argmax(squares))
    pairs = np.array(
        [
            [squares[0], r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1]],
            [r[2, 1] - r[1, 2], squares[1], r[1, 0] + r[0, 1], r[0, 2] + r[2, 0]],
            [r[0, 2] - r[2, 0], r[1, 0] + r[0, 1], squares[2], r[2, 1] + r[1, 2]],
            [r[1, 0] - r[0, 1], r[0, 2] + r[2, 0], r[2, 1] + r[1, 2], squares[3]],
        ]
    )
    q = pairs[k] / np.linalg.norm(pairs[k])
    return np.concatenate([q if q[0] >= 0 else -q, -r @ camera.center])
