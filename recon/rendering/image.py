"""Rendering whole images in chunks of rays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from recon.data.scene import Camera
from recon.device import to_numpy
from recon.geometry import Similarity
from recon.methods.base import Method, Rendering
from recon.rendering.rays import camera_rays

RAYS_PER_CHUNK = 8192
"""Bounds the memory of rendering: at most 1024 samples a ray, in practice some tens."""


@dataclass
class RenderedView:
    """A rendered image. Distances and normals are in the world.

    Attributes:
        rgb: sRGB in [0, 1], over the background. [H, W, 3] float32
        opacity: [H, W] float32
        depth: Expected distance along the unit-length ray, world units; 0 where there is nothing. [H, W] float32
        normal: World axes, length = opacity; None for methods without a surface. [H, W, 3] float32
    """

    rgb: np.ndarray
    opacity: np.ndarray
    depth: np.ndarray
    normal: np.ndarray | None


def render_view(
    method: Method, camera: Camera, scene_from_world: Similarity, on_chunk: Callable[[int], None] | None = None
) -> RenderedView:
    """Render a camera's image.

    Args:
        method: The model.
        camera: In world coordinates.
        scene_from_world: The run's similarity.
        on_chunk: Called with the number of rays done after each chunk.
    """
    rays = camera_rays(camera, scene_from_world).to(method.device)
    parts: list[Rendering] = []
    for start in range(0, len(rays), RAYS_PER_CHUNK):
        parts.append(method.render(rays.slice(start, start + RAYS_PER_CHUNK)))
        if on_chunk is not None:
            on_chunk(min(start + RAYS_PER_CHUNK, len(rays)))
    shape = (camera.height, camera.width)
    rgb = to_numpy(torch.cat([p.rgb for p in parts]).clamp(0, 1).reshape(*shape, 3))
    opacity = to_numpy(torch.cat([p.opacity for p in parts]).reshape(shape))
    depth = to_numpy(torch.cat([p.depth for p in parts]).reshape(shape)) / np.float32(scene_from_world.scale)
    normals = [p.normal for p in parts if p.normal is not None]
    normal = None
    if normals:
        normal = scene_from_world.inverse().rotate(to_numpy(torch.cat(normals))).reshape(*shape, 3).astype(np.float32)
    return RenderedView(rgb, opacity, depth.astype(np.float32), normal)


def to_uint8(image: np.ndarray) -> np.ndarray:
    """[0, 1] to 0..255, rounded to nearest."""
    return (np.clip(image, 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8)


def normal_picture(normal: np.ndarray) -> np.ndarray:
    """Normals as colours: (n + 1) / 2 where there is a surface, white elsewhere. [H, W, 3] in [-1, 1] -> uint8"""
    length = np.linalg.norm(normal, axis=-1, keepdims=True)
    shaded = (normal / np.maximum(length, 1e-6) + 1.0) * 0.5
    return to_uint8(shaded * length + (1.0 - length))


def depth_picture(depth: np.ndarray, opacity: np.ndarray) -> np.ndarray:
    """Near is bright, far is dark, over the range that is seen; white where there is nothing. [H, W] -> [H, W, 3] uint8"""
    seen = opacity > 0.5
    if not seen.any():
        return np.full((*depth.shape, 3), 255, np.uint8)
    low, high = np.percentile(depth[seen], [1, 99])
    gray = 0.9 - 0.8 * np.clip((depth - low) / max(high - low, 1e-9), 0.0, 1.0)
    return to_uint8(np.repeat(np.where(seen, gray, 1.0)[..., None], 3, -1))
