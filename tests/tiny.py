"""A tiny scene with a known answer, rendered analytically: a sphere with a colour that varies over it, eight views of 24 x 24."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from recon.data.scene import Camera, Scene, View
from recon.geometry import Similarity, look_at
from recon.rendering.rays import Targets

CENTER = np.array([10.0, -4.0, 2.0])
RADIUS = 3.0
WORLD_FROM_SCENE = Similarity(5.0, np.eye(3), CENTER)

TINY_SETTINGS = (
    "train.steps=12",
    "train.samples_per_step=2048",
    "train.max_rays=128",
    "train.occupancy_resolution=16",
    "train.checkpoint_every=4",
    "train.log_every=2",
    "hashgrid.levels=4",
    "hashgrid.log2_table_size=10",
    "hashgrid.finest_resolution=64",
    "hashgrid.hidden=[16]",
    "neurbf.functions=200",
    "neurbf.levels=4",
    "neurbf.log2_table_size=10",
    "neurbf.finest_resolution=64",
    "neurbf.hidden=[16,16]",
    "neurbf.warmup_steps=4",
    "rbfnet.levels=4",
    "rbfnet.log2_table_size=10",
    "rbfnet.finest_resolution=64",
    "rbfnet.neurons=32",
    "volsdf.first_step=0.05",
    "volsdf.color_levels=2",
    "volsdf.color_log2_table_size=10",
    "nef.step=0.05",
    "nef.occupancy_from=4",
    "export.resolution=32",
    "export.texture_size=128",
    "export.texture_faces=500",
)


def sphere_image(camera: Camera) -> np.ndarray:
    """RGBA of the sphere through pixel centres. [H, W, 4] uint8"""
    x, y = np.meshgrid(np.arange(camera.width) + 0.5, np.arange(camera.height) + 0.5)
    origins, directions = camera.rays(np.stack([x, y], -1))
    o = origins - CENTER
    b = (o * directions).sum(-1)
    disc = b**2 - ((o**2).sum(-1) - RADIUS**2)
    hit = disc > 0
    point = o + (-b - np.sqrt(np.where(hit, disc, 0.0)))[..., None] * directions
    color = 0.5 + 0.5 * np.sin(point / RADIUS * 2.0)
    return (np.concatenate([color, hit[..., None]], -1) * hit[..., None] * 255).round().astype(np.uint8)


def cameras(count: int, size: int = 24) -> list[Camera]:
    """On a spiral about the sphere, 12 units away."""
    result = []
    for i in range(count):
        z = 0.9 - 1.6 * i / max(count - 1, 1)
        angle = 2.4 * i
        eye = CENTER + 12.0 * np.array([np.sqrt(1 - z * z) * np.cos(angle), np.sqrt(1 - z * z) * np.sin(angle), z])
        result.append(Camera(size, size, 1.5 * size, 1.5 * size, size / 2, size / 2, look_at(eye, CENTER, np.array([0.0, 0.0, 1.0]))))
    return result


def tiny_scene(background: str | tuple[float, float, float] = "alpha") -> Scene:
    """Eight training and two held-out views."""
    views = [View(f"{i:02d}.png", sphere_image(c), c, "train" if i < 8 else "test") for i, c in enumerate(cameras(10))]
    return Scene("tiny", Path("tiny"), "test", tuple(views), WORLD_FROM_SCENE, background)  # pyright: ignore[reportArgumentType]


def error_of_one_colour(targets: Targets) -> float:
    """Mean squared error of the best picture of one colour, in front of black: what knows nothing of places cannot do better."""
    shown = targets.rgb * targets.alpha[:, None]
    return float(((shown - shown.mean(0)) ** 2).mean())


def write_blender(folder: Path, count: int = 10, size: int = 24) -> Path:
    """The same scene as a Blender dataset on disk, two views of it held out."""
    folder.mkdir(parents=True, exist_ok=True)
    all_cameras = cameras(count, size)
    for split, chosen in (("train", all_cameras[:-2]), ("test", all_cameras[-2:])):
        (folder / split).mkdir()
        frames = []
        for i, camera in enumerate(chosen):
            Image.fromarray(sphere_image(camera)).save(folder / split / f"r_{i}.png")
            pose = np.eye(4)
            pose[:3] = camera.world_from_camera
            pose[:3, 1:3] *= -1  # OpenGL axes
            frames.append({"file_path": f"./{split}/r_{i}", "transform_matrix": pose.tolist()})
        angle = 2.0 * np.arctan(0.5 * size / all_cameras[0].fx)
        (folder / f"transforms_{split}.json").write_text(json.dumps({"camera_angle_x": angle, "frames": frames}))
    return folder
