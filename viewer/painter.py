"""What a visitor's camera sees of the field: painted in bands of rows, cropped, as one of the modes, with depth for the mesh and curves.

The page's coordinates are scene units (the object in the unit sphere); whatever is said in numbers is in world units.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch

from recon.data.scene import Camera, Scene, View
from recon.device import to_numpy
from recon.geometry import Similarity
from recon.methods.base import Method, Rendering
from recon.rendering.colormaps import MapName, apply_colormap
from recon.rendering.image import RenderedView, to_uint8
from recon.rendering.modes import ERROR_RANGE, Mode, mode_picture
from recon.rendering.rays import Rays, camera_rays
from recon.results.evaluation import photograph
from viewer.loop import Frame, Painting

NOTHING_DEPTH = 160.0
"""Depth of empty pixels, scene units: near the end of what viser's 24 bits hold."""

SCENE = Similarity()


@dataclass(frozen=True)
class Crop:
    """A box with sides along the scene's axes, scene units.

    Attributes:
        low, high: Opposite corners. [3]
    """

    low: tuple[float, float, float]
    high: tuple[float, float, float]

    def limits(self, rays: Rays) -> torch.Tensor:
        """Distances at which rays enter (not before 0) and leave the box; both 0 for rays that miss it. [R, 2]"""
        # A direction of exactly zero along an axis: nearly zero gives the right infinite distances, without 0 / 0.
        d = torch.where(rays.directions.abs() < 1e-12, torch.full_like(rays.directions, 1e-12), rays.directions)
        a = (torch.tensor(self.low, device=rays.device) - rays.origins) / d
        b = (torch.tensor(self.high, device=rays.device) - rays.origins) / d
        near = torch.minimum(a, b).amax(-1).clamp_min(0.0)
        far = torch.maximum(a, b).amin(-1)
        hit = far > near
        return torch.stack([torch.where(hit, near, 0.0), torch.where(hit, far, 0.0)], -1)


@dataclass(frozen=True)
class Look:
    """How the field is shown.

    Attributes:
        mode: One of :data:`recon.rendering.modes.Mode`, or "photograph" or "blend" (half photograph, half field).
        colors: Colour map of depth, opacity, edge and error; "usual": the one that stills use.
        depth_range: World units at the two ends of the colour map of "depth"; None: what is seen.
        crop: What is left of the scene; None for all.
        side: Longest side of the full picture, pixels.
    """

    mode: str = "color"
    colors: MapName | Literal["usual"] = "usual"
    depth_range: tuple[float, float] | None = None
    crop: Crop | None = None
    side: int = 640


@dataclass(frozen=True)
class Order:
    """One visitor's picture.

    Attributes:
        camera: The visitor's, at the size of their window; pose in scene units.
        look: How.
    """

    camera: Camera
    look: Look


def picture_size(order: Order) -> tuple[int, int]:
    """Pixels of the full picture: the window's shape, not larger than the window."""
    scale = min(1.0, order.look.side / max(order.camera.width, order.camera.height))
    return max(round(order.camera.width * scale), 1), max(round(order.camera.height * scale), 1)


def window_camera(position: np.ndarray, wxyz: np.ndarray, vertical_fov_rad: float, width: int, height: int) -> Camera:
    """A browser's camera. Position and OpenCV axes in the page's frame; the principal point is the centre."""
    focal = 0.5 * height / np.tan(0.5 * vertical_fov_rad)
    pose = np.concatenate([rotation_matrix(wxyz), np.asarray(position, np.float64)[:, None]], axis=1)
    return Camera(width, height, focal, focal, 0.5 * width, 0.5 * height, pose)


def rotation_matrix(wxyz: np.ndarray) -> np.ndarray:
    """Of a quaternion, real part first. [4] -> [3, 3]"""
    w, x, y, z = np.asarray(wxyz, np.float64) / np.linalg.norm(wxyz)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


class Painter:
    """Paints for all visitors; the model may be exchanged while it runs.

    Args:
        world_from_scene: The run's similarity.
        data: The photographs, if they are there.
        unit: Name of the world unit, or None.
    """

    def __init__(self, world_from_scene: Similarity, data: Scene | None, unit: str | None):
        self.world_from_scene, self.unit = world_from_scene, unit or "world units"
        self.method: Method | None = None
        self._photographs = Photographs(data) if data is not None else None

    @property
    def has_photographs(self) -> bool:
        return self._photographs is not None

    def paint(self, order: Order, width: int, height: int, rays_per_chunk: int, level: str) -> Painting:
        """Paint a picture; see :data:`viewer.loop.Painting`. Memory: the chunk's samples, and 32 bytes a pixel."""
        method = self.method
        assert method is not None, "visitors are asked for orders when there is a model"
        camera = order.camera.resized(width, height)
        rows = max(1, rays_per_chunk // width)
        parts: list[Rendering] = []
        for first in range(0, height, rows):
            band = replace(camera, height=min(rows, height - first), cy=camera.cy - first)
            rays = camera_rays(band, SCENE).to(method.device)
            if order.look.crop is not None:
                rays.limits = order.look.crop.limits(rays)
            parts.append(method.render(rays))
            yield (first + band.height) * width
        image, caption = self._picture(self._view(parts, camera), camera, order.look)
        opacity = to_numpy(torch.cat([p.opacity for p in parts]).reshape(height, width))
        distance = to_numpy(torch.cat([p.depth for p in parts]).reshape(height, width))
        depth_z = np.where(opacity > 0.5, distance * _cosines(camera), NOTHING_DEPTH).astype(np.float32)
        return Frame(image, depth_z, level, 0.0, caption)

    def _view(self, parts: Sequence[Rendering], camera: Camera) -> RenderedView:
        shape = (camera.height, camera.width)
        rgb = to_numpy(torch.cat([p.rgb for p in parts]).clamp(0, 1).reshape(*shape, 3))
        opacity = to_numpy(torch.cat([p.opacity for p in parts]).reshape(shape))
        depth = to_numpy(torch.cat([p.depth for p in parts]).reshape(shape)) * np.float32(self.world_from_scene.scale)
        normals = [p.normal for p in parts if p.normal is not None]
        normal = None
        if normals:
            normal = self.world_from_scene.rotate(to_numpy(torch.cat(normals))).reshape(*shape, 3).astype(np.float32)
        return RenderedView(rgb, opacity, depth, normal)

    def _picture(self, view: RenderedView, camera: Camera, look: Look) -> tuple[np.ndarray, str]:
        """The picture of a mode [H, W, 3] uint8, and what its colours mean."""
        mode, unit = look.mode, self.unit
        if mode in ("error", "photograph", "blend"):
            if self._photographs is None:
                return to_uint8(view.rgb), "the photographs are not here"
            nearest = self._photographs.nearest(camera)
            seen, valid = self._photographs.sampled(nearest, camera, view, self.world_from_scene)
            name = nearest.name
            if mode == "photograph":
                return to_uint8(np.where(valid[..., None], seen, np.float32(0.5))), f"{name}, seen from here by the field's depth"
            if mode == "blend":
                return to_uint8(np.where(valid[..., None], 0.5 * (seen + view.rgb), view.rgb)), f"half {name}, half the field"
            error = np.where(valid, np.abs(view.rgb - seen).mean(-1), 0.0)
            map_name: MapName = "magma" if look.colors == "usual" else look.colors
            picture = np.where(valid[..., None], apply_colormap(error / ERROR_RANGE, map_name), np.float32(0.5))
            shown = float(error[valid].mean()) if valid.any() else 0.0
            return to_uint8(picture), f"difference from {name}: 0 to {ERROR_RANGE}, mean {shown:.3f}; grey: not in it"
        if mode == "depth":
            near, far = look.depth_range or _seen_range(view)
            if look.colors == "usual":
                return mode_picture(view, "depth", (near, far)), f"depth {near:.4g} (yellow) to {far:.4g} (blue) {unit}"
            values = (view.depth - near) / max(far - near, 1e-12)
            colored = np.where(view.opacity[..., None] > 0.5, apply_colormap(values, look.colors), np.float32(1.0))
            return to_uint8(colored), f"depth {near:.4g} to {far:.4g} {unit}, {look.colors}"
        scalar = {"opacity": view.opacity, "edge": view.rgb.mean(-1)}.get(mode)
        if scalar is not None and look.colors != "usual":
            return to_uint8(apply_colormap(scalar, look.colors)), f"{mode} from 0 to 1, {look.colors}"
        known: dict[str, Mode] = {"color": "color", "normal": "normal", "opacity": "opacity", "edge": "edge"}
        return mode_picture(view, known[mode]), {"opacity": "opacity: 0 black, 1 white", "edge": "edges: 0 black, 1 white"}.get(mode, "")


class Photographs:
    """The data's pictures, to look at from other places."""

    def __init__(self, data: Scene):
        self.scene = data
        poses = [data.scene_from_world.apply_to_pose(v.camera.world_from_camera) for v in data.views]
        self.scene_from_camera = np.stack(poses)
        self._last: tuple[str, np.ndarray] | None = None
        self._lock = threading.Lock()

    def nearest(self, camera: Camera) -> View:
        """The view whose camera is most like this one: by distance relative to that from the scene's centre, and by direction."""
        pose = camera.world_from_camera
        away = np.linalg.norm(self.scene_from_camera[:, :, 3] - pose[:, 3], axis=1) / max(float(np.linalg.norm(pose[:, 3])), 1e-3)
        turned = 1.0 - self.scene_from_camera[:, :, 2] @ pose[:, 2]
        return self.scene.views[int(np.argmin(away + turned))]

    def sampled(self, view: View, camera: Camera, seen: RenderedView, world_from_scene: Similarity) -> tuple[np.ndarray, np.ndarray]:
        """The photograph's colours at what every pixel of ``camera`` sees: at the surface by the field's depth, else far away.

        From the photograph's own place this is the photograph itself. Where the surface is hidden from the photograph, the colours are
        those of what hides it.

        Returns:
            sRGB in [0, 1], bilinear [H, W, 3]; where the photograph has it [H, W] bool.
        """
        origins, directions = camera.rays(camera.pixel_centers())
        distance = np.where(seen.opacity > 0.5, seen.depth / world_from_scene.scale, 1e4)
        points = world_from_scene.apply(origins + distance[..., None] * directions)
        uv, z = view.camera.project(points)
        picture = self._picture(view)
        height, width = picture.shape[:2]
        valid = (z > 0) & (uv >= 0).all(-1) & (uv[..., 0] < width) & (uv[..., 1] < height)
        u = np.clip(np.where(valid, uv[..., 0], 0.0) - 0.5, 0, width - 1.0)
        v = np.clip(np.where(valid, uv[..., 1], 0.0) - 0.5, 0, height - 1.0)
        i, j = np.minimum(u.astype(int), max(width - 2, 0)), np.minimum(v.astype(int), max(height - 2, 0))
        a, b = (u - i)[..., None].astype(np.float32), (v - j)[..., None].astype(np.float32)
        right, below = np.minimum(i + 1, width - 1), np.minimum(j + 1, height - 1)
        top = picture[j, i] * (1 - a) + picture[j, right] * a
        bottom = picture[below, i] * (1 - a) + picture[below, right] * a
        return top * (1 - b) + bottom * b, valid

    def _picture(self, view: View) -> np.ndarray:
        with self._lock:
            if self._last is None or self._last[0] != view.name:
                self._last = (view.name, photograph(view, self.scene))
            return self._last[1]


def _seen_range(view: RenderedView) -> tuple[float, float]:
    covered = view.depth[view.opacity > 0.5]
    if covered.size == 0:
        return 0.0, 1.0
    low, high = np.percentile(covered, [1, 99])
    return float(low), float(max(high, low * (1 + 1e-6) + 1e-12))


def _cosines(camera: Camera) -> np.ndarray:
    """Of the angle between every pixel's ray and the optical axis. [H, W]"""
    x, y = camera.pixel_slopes()
    return 1.0 / np.sqrt(1.0 + x[None, :] ** 2 + y[:, None] ** 2)
