"""Pictures of known shapes, every pixel the mean over its area."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

SUB = 12


def covered(inside: Callable[[np.ndarray, np.ndarray], np.ndarray], width: int, height: int) -> np.ndarray:
    """Share of each pixel where ``inside(x, y)`` holds. [H, W] float64"""
    x = (np.arange(width * SUB) + 0.5) / SUB
    y = (np.arange(height * SUB) + 0.5) / SUB
    shape = inside(*np.meshgrid(x, y)).astype(np.float64)
    return shape.reshape(height, SUB, width, SUB).mean((1, 3))


def half_plane(angle_deg: float, distance: float, width: int = 64) -> tuple[Callable, np.ndarray]:
    """Right of a line through the picture's middle, moved by ``distance`` px along its normal; and the normal."""
    normal = np.array([np.cos(np.radians(angle_deg)), np.sin(np.radians(angle_deg))])
    return lambda x, y: (x - width / 2) * normal[0] + (y - width / 2) * normal[1] > distance, normal


def grey(*shades: tuple[float, np.ndarray], base: float = 0.5) -> np.ndarray:
    """Layers painted over each other: (shade, coverage). [H, W, 3] uint8"""
    picture = np.full(shades[0][1].shape, base)
    for shade, cover in shades:
        picture = picture * (1 - cover) + shade * cover
    return np.repeat(np.rint(255 * picture).astype(np.uint8)[..., None], 3, 2)


def rgba(rgb: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    return np.concatenate([rgb, np.rint(255 * alpha).astype(np.uint8)[..., None]], 2)
