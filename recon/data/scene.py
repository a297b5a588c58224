"""What every loader produces and everything downstream consumes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np

from recon.geometry import Similarity

BackgroundKind = Literal["alpha", "masks", "unknown"] | tuple[float, float, float]
"""What the data say of what is behind the object; see :class:`Scene`."""


@dataclass(frozen=True)
class Camera:
    """A pinhole camera without distortion.

    A point ``p`` in camera coordinates (x right, y down, z forward) projects to ``(fx*p.x/p.z + cx, fy*p.y/p.z + cy)`` in pixels, where
    the centre of the pixel in column i and row j is (i + 0.5, j + 0.5) and the image covers [0, width] x [0, height].

    Attributes:
        width, height: Image size, pixels.
        fx, fy: Focal lengths, pixels.
        cx, cy: Principal point, pixels, in the convention above.
        world_from_camera: Rigid pose, camera to world. [3, 4] float64
    """

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float
    world_from_camera: np.ndarray

    def to_json(self) -> dict:
        """Plain values, read back by :meth:`from_json`."""
        return {
            "width": self.width,
            "height": self.height,
            "fx": self.fx,
            "fy": self.fy,
            "cx": self.cx,
            "cy": self.cy,
            "world_from_camera": np.asarray(self.world_from_camera).tolist(),
        }

    @staticmethod
    def from_json(data: dict) -> Camera:
        return Camera(**{**data, "world_from_camera": np.array(data["world_from_camera"], np.float64)})

    @property
    def center(self) -> np.ndarray:
        """Camera centre in the world. [3]"""
        return self.world_from_camera[:, 3]

    def project(self, points_world: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """World points [..., 3] -> pixels [..., 2] and depth along the optical axis ``depth_z`` [...]."""
        p = (np.asarray(points_world, np.float64) - self.center) @ self.world_from_camera[:, :3]
        z = p[..., 2]
        with np.errstate(divide="ignore", invalid="ignore"):
            uv = np.stack([self.fx * p[..., 0] / z + self.cx, self.fy * p[..., 1] / z + self.cy], axis=-1)
        return uv, z

    def rays(self, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Pixels [..., 2] (x, y; a pixel's centre is at +0.5) -> origins and unit directions in the world, both [..., 3]."""
        pixels = np.asarray(pixels, np.float64)
        x = (pixels[..., 0] - self.cx) / self.fx
        y = (pixels[..., 1] - self.cy) / self.fy
        d = np.stack([x, y, np.ones_like(x)], axis=-1)
        d /= np.linalg.norm(d, axis=-1, keepdims=True)
        directions = d @ self.world_from_camera[:, :3].T
        return np.broadcast_to(self.center, directions.shape), directions

    def pixel_centers(self, rows: np.ndarray | None = None) -> np.ndarray:
        """Centres of the pixels of some rows, or of all. [R, W, 2] float64 (x, y)"""
        rows = np.arange(self.height) if rows is None else rows
        return np.stack(np.meshgrid(np.arange(self.width) + 0.5, rows + 0.5), axis=-1)

    def pixel_slopes(self) -> tuple[np.ndarray, np.ndarray]:
        """Of the rays through pixel centres, for each unit forward: to the right by column [W], down by row [H]."""
        return (np.arange(self.width) + 0.5 - self.cx) / self.fx, (np.arange(self.height) + 0.5 - self.cy) / self.fy

    def resized(self, width: int, height: int) -> Camera:
        """The same camera for an image resampled to width x height; exact because pixel coordinates are continuous."""
        sx, sy = width / self.width, height / self.height
        return replace(self, width=width, height=height, fx=self.fx * sx, fy=self.fy * sy, cx=self.cx * sx, cy=self.cy * sy)


@dataclass(frozen=True)
class View:
    """One photograph with its camera.

    Attributes:
        name: Path of the image relative to the dataset, unique within the scene.
        image: sRGB, straight (not premultiplied) alpha if there are four channels. [H, W, 3 or 4] uint8
        camera: Its camera, in world coordinates.
        split: Whether it is trained on or held out.
        mask: Object mask from the dataset, 255 inside. Kept apart from alpha so that it can be ignored. [H, W] uint8 or None
        ignore: Pixels that are left out of every loss and comparison: a person who walked by, a time stamp. [H, W] bool or None
    """

    name: str
    image: np.ndarray
    camera: Camera
    split: Literal["train", "test"]
    mask: np.ndarray | None = None
    ignore: np.ndarray | None = None


def moved(views: Sequence[View], target_from_world: Similarity) -> list[View]:
    """The views with their cameras in another frame."""
    return [
        replace(v, camera=replace(v.camera, world_from_camera=target_from_world.apply_to_pose(v.camera.world_from_camera))) for v in views
    ]


@dataclass(frozen=True)
class Scene:
    """A dataset, understood.

    The program works in scene units, in which the object lies inside the unit sphere; cameras here are in **world** units, the
    dataset's own, and everything that is exported is too.

    Attributes:
        name: Short name for folders and titles.
        source: Folder or file it came from.
        format: "blender", "nerfstudio", "dtu", ...
        views: Training views first, then held-out views.
        world_from_scene: Scene units (object in the unit sphere) to world units.
        background: "alpha" where images carry alpha; "masks" where masks are given and used; a constant colour (r, g, b) in [0, 1]
            if every image has the same one around the object; "unknown" when the background must be learned.
        unit: Name of the world unit ("mm"), or None if unknown.
        notes: How bounds and split were found, one line each, for the user.
        warnings: Things that were mended or left out, one line each.
        points: Sparse points of the reconstruction that the cameras come from, world. [N, 3] float64 or None
        point_colors: [N, 3] uint8, with ``points``.
    """

    name: str
    source: Path
    format: str
    views: tuple[View, ...]
    world_from_scene: Similarity
    background: BackgroundKind
    unit: str | None = None
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = field(default=())
    points: np.ndarray | None = None
    point_colors: np.ndarray | None = None

    def split(self, name: Literal["train", "test"]) -> tuple[View, ...]:
        """The views of one split, in order."""
        return tuple(v for v in self.views if v.split == name)

    @property
    def scene_from_world(self) -> Similarity:
        return self.world_from_scene.inverse()
