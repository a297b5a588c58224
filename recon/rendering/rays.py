"""Rays in scene units: all training pixels as one table to draw from, and one view as a batch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from recon.data.scene import Camera, Scene, View
from recon.data.shelf import table
from recon.device import CPU
from recon.errors import DataError
from recon.geometry import Similarity


@dataclass
class Rays:
    """A batch of rays in scene units.

    Attributes:
        origins: [R, 3]
        directions: Unit length. [R, 3]
        limits: Distances between which the scene is looked at, to crop it; None for all of it. [R, 2]
        views: Number of the training view that each ray belongs to; None where it belongs to none. int64 [R]
    """

    origins: Tensor
    directions: Tensor
    limits: Tensor | None = None
    views: Tensor | None = None

    def __len__(self) -> int:
        return self.origins.shape[0]

    @property
    def device(self) -> torch.device:
        return self.origins.device

    def to(self, device: torch.device) -> Rays:
        """The same rays on another device."""
        limits, views = (None if a is None else a.to(device) for a in (self.limits, self.views))
        return Rays(self.origins.to(device), self.directions.to(device), limits, views)

    def slice(self, start: int, stop: int) -> Rays:
        limits, views = (None if a is None else a[start:stop] for a in (self.limits, self.views))
        return Rays(self.origins[start:stop], self.directions[start:stop], limits, views)


@dataclass
class Targets:
    """What the photographs, or the edge maps, say about a batch of rays.

    Attributes:
        rgb: Straight colour in [0, 1]. [R, 3]; for edge maps their strength. [R, 1]
        alpha: Coverage by the object in [0, 1], 1 everywhere if neither alpha nor masks are used. [R]
    """

    rgb: Tensor
    alpha: Tensor


def sphere_interval(rays: Rays, radius: float = 1.0) -> tuple[Tensor, Tensor]:
    """Distances at which rays enter (not before 0) and leave the sphere about the origin, within their limits; both 0 for rays that miss
    it. [R], [R]"""
    b = (rays.origins * rays.directions).sum(-1)
    # The distance of the line from the centre by its foot point: |o|^2 - b^2 would cancel for far cameras.
    foot = rays.origins - b[:, None] * rays.directions
    half = (radius * radius - (foot * foot).sum(-1)).clamp_min(0.0).sqrt()
    far = (-b + half).clamp_min(0.0)
    near = torch.minimum((-b - half).clamp_min(0.0), far)
    near, far = torch.where(half > 0, near, 0.0), torch.where(half > 0, far, 0.0)
    if rays.limits is not None:
        near = torch.maximum(near, rays.limits[:, 0])
        far = torch.minimum(far, rays.limits[:, 1])
        met = far > near
        near, far = torch.where(met, near, 0.0), torch.where(met, far, 0.0)
    return near, far


def camera_rays(camera: Camera, scene_from_world: Similarity) -> Rays:
    """One ray through the centre of every pixel, row by row. Rays of length H * W, on the CPU."""
    origins, directions = camera.rays(camera.pixel_centers().reshape(-1, 2))
    to = lambda a: torch.from_numpy(np.ascontiguousarray(a, dtype=np.float32))  # noqa: E731
    return Rays(to(scene_from_world.apply(origins)), to(scene_from_world.rotate(directions)))


def through_pixels(columns: Tensor, rows: Tensor, intrinsics: Tensor, scene_from_camera: Tensor) -> tuple[Tensor, Tensor]:
    """Rays through the centres of pixels, each of its own camera.

    Args:
        columns, rows: Of the pixels. int [N]
        intrinsics: fx, fy, cx, cy, pixels. [N, 4]
        scene_from_camera: [N, 3, 4]
    Returns:
        Origins and unit directions, scene units. [N, 3], [N, 3]
    """
    x = (columns + 0.5 - intrinsics[:, 2]) / intrinsics[:, 0]
    y = (rows + 0.5 - intrinsics[:, 3]) / intrinsics[:, 1]
    axes = scene_from_camera
    d = axes[:, :, 0] * x[:, None] + axes[:, :, 1] * y[:, None] + axes[:, :, 2]
    return axes[:, :, 3].contiguous(), torch.nn.functional.normalize(d, dim=-1)


def view_pixels(view: View, background: object) -> np.ndarray:
    """RGBA of a view as it is used: alpha from the image or the mask, else opaque everywhere. [H, W, 4] uint8"""
    h, w = view.image.shape[:2]
    opaque = np.full((h, w, 1), 255, np.uint8)
    if background == "alpha" and view.image.shape[2] == 4:
        return view.image
    if background == "masks" and view.mask is not None:
        return np.concatenate([view.image[..., :3], view.mask[..., None]], -1)
    return np.concatenate([view.image[..., :3], opaque], -1)


class PixelBank:
    """All pixels of the training views but those that their masks ignore, drawn from uniformly and evenly.

    Memory: 4 bytes a pixel (beyond 1.1 GiB in a file), plus 64 bytes a view, plus 8 a pixel that is kept where some are ignored.

    Args:
        scene: Its training views.
        device: Where the pixels are kept and drawn.
    """

    def __init__(self, scene: Scene, device: torch.device = CPU):
        views = scene.split("train")
        counts = [v.camera.width * v.camera.height for v in views]
        pixels = table(sum(counts), 4)
        for view, end in zip(views, np.cumsum(counts), strict=True):
            rgba = view_pixels(view, scene.background)
            if view.ignore is not None:  # never drawn; and covered by nothing for whoever looks beside what was drawn
                rgba = rgba.copy()
                rgba[view.ignore, 3] = 0
            pixels[end - view.image.shape[0] * view.image.shape[1] : end] = rgba.reshape(-1, 4)
        self.pixels = torch.from_numpy(pixels).to(device)
        self.kept: Tensor | None = None  # numbers of the pixels that count, if not all do
        if any(v.ignore is not None for v in views):
            ignored = [np.zeros(n, bool) if v.ignore is None else v.ignore.reshape(-1) for v, n in zip(views, counts, strict=True)]
            self.kept = torch.from_numpy(np.flatnonzero(~np.concatenate(ignored))).to(device)
            if len(self.kept) == 0:
                raise DataError(
                    "the masks ignore every pixel of every training view", hint="turn them round, or leave them out: --masks none"
                )
        self.starts = torch.tensor(np.concatenate([[0], np.cumsum(counts)]), dtype=torch.int64, device=device)  # [V + 1]
        self.widths = torch.tensor([v.camera.width for v in views], dtype=torch.int64, device=device)
        intrinsics = [[v.camera.fx, v.camera.fy, v.camera.cx, v.camera.cy] for v in views]
        self.intrinsics = torch.tensor(intrinsics, dtype=torch.float32, device=device)
        poses = [scene.scene_from_world.apply_to_pose(v.camera.world_from_camera) for v in views]
        self.scene_from_camera = torch.tensor(np.stack(poses), dtype=torch.float32, device=device)  # [V, 3, 4]

    def draw(self, count: int, generator: torch.Generator) -> tuple[Rays, Targets]:
        """Rays through the centres of pixels, and what was photographed there, in the order of the pixels.

        The row of all pixels is cut into ``count`` equal stretches and one pixel is drawn uniformly of each: every photograph and every
        part of it has its share in each step, so that steps differ less than with independent draws.
        """
        total = self.pixels.shape[0] if self.kept is None else len(self.kept)
        device = self.pixels.device
        at = torch.arange(count, device=device) + torch.rand(count, generator=generator, dtype=torch.float64, device=device)
        index = (at * (total / count)).long().clamp_max(total - 1)
        if self.kept is not None:
            index = self.kept[index]
        view = torch.searchsorted(self.starts, index, right=True) - 1
        local = index - self.starts[view]
        width = self.widths[view]
        row = torch.div(local, width, rounding_mode="floor")
        origin, direction = through_pixels(local % width, row, self.intrinsics[view], self.scene_from_camera[view])
        rgba = self.pixels[index].float() / 255.0
        rays = Rays(origin, direction, views=view)
        return rays, Targets(rgba[:, :3], rgba[:, 3])
