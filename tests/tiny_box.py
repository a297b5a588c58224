"""A tiny scene with straight edges known exactly: a box in three greys on a transparent background, views of a few dozen pixels."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
from PIL import Image

from recon.curves.edges2d.edges import Edges, EdgeView
from recon.data.scene import Camera, Scene, View
from recon.geometry import Similarity, look_at

CENTER = np.array([2.0, -1.0, 0.5])
HALF = np.array([1.0, 0.8, 0.6])
WORLD_FROM_SCENE = Similarity(1.6, np.eye(3), CENTER)
SHADES = np.array([0.25, 0.55, 0.85])
"""Grey of the faces across x, y and z."""

TINY_SETTINGS = (
    "train.steps=12",
    "train.samples_per_step=2048",
    "train.max_rays=128",
    "train.occupancy_resolution=16",
    "train.checkpoint_every=4",
    "train.log_every=2",
    "hashgrid.levels=4",
    "hashgrid.log2_table_size=12",
    "hashgrid.finest_resolution=64",
    "hashgrid.hidden=[16]",
    "nef.step=0.05",
    "nef.occupancy_from=4",
)


def corners() -> np.ndarray:
    """World units. [8, 3]"""
    return CENTER + HALF * np.array(list(itertools.product((-1.0, 1.0), repeat=3)))


def edge_ends() -> np.ndarray:
    """The twelve edges, world units. [12, 2, 3]"""
    c = corners()
    pairs = [(i, j) for i, j in itertools.combinations(range(8), 2) if bin(i ^ j).count("1") == 1]
    return c[np.array(pairs)]


def edge_points(spacing: float = 0.02) -> np.ndarray:
    """Points along all edges, world units. [N, 3]"""
    t = np.linspace(0.0, 1.0, int(2.0 / spacing) + 1)[:, None]
    return np.concatenate([a + t * (b - a) for a, b in edge_ends()])


def cameras(count: int, size: int) -> list[Camera]:
    """On a spiral about the box, 6 units away; the box fills most of a view."""
    result = []
    for i in range(count):
        z = 0.85 - 1.7 * i / max(count - 1, 1)
        angle = 2.4 * i
        eye = CENTER + 6.0 * np.array([np.sqrt(1 - z * z) * np.cos(angle), np.sqrt(1 - z * z) * np.sin(angle), z])
        result.append(Camera(size, size, 1.7 * size, 1.7 * size, size / 2, size / 2, look_at(eye, CENTER, np.array([0.0, 0.0, 1.0]))))
    return result


def _hit(camera: Camera, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distance to the box along the rays through pixels (inf where missed), and the axis of the face. [...], [...]"""
    origins, directions = camera.rays(pixels)
    with np.errstate(divide="ignore"):
        a, b = (CENTER - HALF - origins) / directions, (CENTER + HALF - origins) / directions
    enter = np.minimum(a, b)
    near = enter.max(-1)
    return np.where(near < np.maximum(a, b).min(-1), near, np.inf), enter.argmax(-1)


def box_image(camera: Camera, fine: int = 3) -> np.ndarray:
    """RGBA, averaged over fine x fine rays a pixel, straight alpha. [H, W, 4] uint8"""
    side = (np.arange(camera.width * fine) + 0.5) / fine
    distance, axis = _hit(camera, np.stack(np.meshgrid(side, side), -1))
    inside = np.isfinite(distance)
    blocks = (camera.height, fine, camera.width, fine)
    alpha = inside.reshape(blocks).mean((1, 3))
    grey = (SHADES[axis] * inside).reshape(blocks).mean((1, 3)) / np.maximum(alpha, 1e-9)
    return (np.stack([grey, grey, grey, alpha], -1) * 255).round().astype(np.uint8)


def edge_map(camera: Camera) -> np.ndarray:
    """Visible edges as soft lines about two pixels wide. [H, W] float32"""
    points = edge_points(0.01)
    uv, _ = camera.project(points)
    origins, _ = camera.rays(uv)
    seen = _hit(camera, uv)[0] > np.linalg.norm(points - origins, axis=-1) - 0.02
    x, y = np.meshgrid(np.arange(camera.width) + 0.5, np.arange(camera.height) + 0.5)
    distance2 = ((x[..., None] - uv[seen, 0]) ** 2 + (y[..., None] - uv[seen, 1]) ** 2).min(-1)
    return np.exp(-distance2 / 2.0).astype(np.float32)


def box_edges(count: int = 12, size: int = 48) -> Edges:
    """Exact edge maps; no points."""
    none2, none1 = np.zeros((0, 2), np.float32), np.zeros(0, np.float32)
    views = [
        EdgeView(f"{i:02d}.png", c, edge_map(c), none2, none2, none1, none1.astype(np.uint8)) for i, c in enumerate(cameras(count, size))
    ]
    return Edges(tuple(views), "exact", False, ())


def box_scene(count: int = 10, size: int = 40) -> Scene:
    """All views but two are trained on."""
    views = [View(f"{i:02d}.png", box_image(c), c, "train" if i < count - 2 else "test") for i, c in enumerate(cameras(count, size))]
    return Scene("box", Path("box"), "test", tuple(views), WORLD_FROM_SCENE, "alpha")


def write_box(folder: Path, count: int = 14, size: int = 64) -> Path:
    """The scene as a Blender dataset on disk, two views of it held out."""
    folder.mkdir(parents=True, exist_ok=True)
    all_cameras = cameras(count, size)
    for split, chosen in (("train", all_cameras[:-2]), ("test", all_cameras[-2:])):
        (folder / split).mkdir()
        frames = []
        for i, camera in enumerate(chosen):
            Image.fromarray(box_image(camera)).save(folder / split / f"r_{i}.png")
            pose = np.eye(4)
            pose[:3] = camera.world_from_camera
            pose[:3, 1:3] *= -1  # OpenGL axes
            frames.append({"file_path": f"./{split}/r_{i}", "transform_matrix": pose.tolist()})
        angle = 2.0 * np.arctan(0.5 * size / all_cameras[0].fx)
        (folder / f"transforms_{split}.json").write_text(json.dumps({"camera_angle_x": angle, "frames": frames}))
    return folder
