"""What can be shown of a rendered view, and how it becomes a picture.

========  =============================================================================================================================
color     The rendered colour over the background.
depth     Expected distance along the ray, viridis, near is yellow and far is blue, over a range in world units that is said with the
          picture; white where nothing is.
normal    ``(n + 1) / 2`` in world axes as red, green, blue; white where nothing is. Methods with a surface only.
opacity   0 is black, 1 is white.
edge      What an edge field renders: 0 is black, 1 is white.
error     Mean absolute difference from the photograph over the three sRGB channels, magma from 0 (black) to 0.25 and more (yellow).
========  =============================================================================================================================
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from recon.data.scene import Camera
from recon.errors import UsageError
from recon.geometry import Similarity
from recon.methods.base import Mode
from recon.rendering.colormaps import apply_colormap
from recon.rendering.image import RenderedView, normal_picture, to_uint8

ERROR_RANGE = 0.25
"""Difference from the photograph that is shown in the brightest colour."""


def check_modes(modes: Sequence[str], available: Sequence[str], what: str) -> None:
    """Refuse modes that do not exist here.

    Args:
        modes: What was asked for.
        available: What there is.
        what: For the message, e.g. "a radiance field".
    Raises:
        UsageError: Naming those that there are.
    """
    missing = [m for m in modes if m not in available]
    if missing:
        raise UsageError(f"{what} has no mode {' or '.join(missing)}", f"it has: {', '.join(available)}")


def sphere_depth_range(cameras: Sequence[Camera], world_from_scene: Similarity) -> tuple[float, float]:
    """Distances between which every camera has the whole object: one range for a film, so that it does not flicker. World units."""
    distances = [float(np.linalg.norm(c.center - world_from_scene.translation)) for c in cameras]
    return max(min(distances) - world_from_scene.scale, 0.0), max(distances) + world_from_scene.scale


def depth_colors(depth: np.ndarray, opacity: np.ndarray, depth_range: tuple[float, float]) -> np.ndarray:
    """Distances as colours, near is bright; white where less than half is covered. [H, W], [H, W] -> [H, W, 3] uint8"""
    near, far = depth_range
    colors = apply_colormap(1.0 - (depth - near) / max(far - near, 1e-12), "viridis")
    return to_uint8(np.where(opacity[..., None] > 0.5, colors, np.float32(1.0)))


def error_colors(rendered: np.ndarray, photograph: np.ndarray) -> np.ndarray:
    """Mean absolute difference over the channels as colours, over :data:`ERROR_RANGE`. [H, W, 3] in [0, 1], twice -> [H, W, 3] uint8"""
    return to_uint8(apply_colormap(np.abs(rendered - photograph).mean(-1) / ERROR_RANGE, "magma"))


def mode_picture(
    view: RenderedView, mode: Mode, depth_range: tuple[float, float] = (0.0, 1.0), photograph: np.ndarray | None = None
) -> np.ndarray:
    """One mode of a rendered view.

    Args:
        view: Rendered with a method that has the mode.
        mode: Which.
        depth_range: For "depth": distances of the two ends of the colour map, world units.
        photograph: For "error": sRGB in [0, 1] at the view's size. [H, W, 3]
    Returns:
        [H, W, 3] uint8
    Raises:
        UsageError: If the view lacks what the mode shows.
    """
    match mode:
        case "color":
            return to_uint8(view.rgb)
        case "depth":
            return depth_colors(view.depth, view.opacity, depth_range)
        case "opacity":
            return to_uint8(apply_colormap(view.opacity, "gray"))
        case "edge":
            return to_uint8(apply_colormap(view.rgb.mean(-1), "gray"))
        case "normal":
            if view.normal is None:
                raise UsageError("this method has no surface, and so no normals", "choose another mode")
            return normal_picture(view.normal)
        case "error":
            if photograph is None:
                raise UsageError("the mode 'error' needs a photograph from the same camera", "use --split test or --split train")
            return error_colors(view.rgb, photograph)
