"""Procedural materials: a base of two colours mixed by solid noise, and pictures printed on it.

Textures are functions of the position on the object, so that every view sees the same pattern.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np

Color = tuple[float, float, float]
Pattern = Literal["plain", "granite", "marble", "stripes", "checker", "rings"]


@dataclass(frozen=True)
class Decal:
    """A picture printed along one direction onto a part of the surface.

    Attributes:
        picture: Name of a picture in :mod:`scenes.making.pictures`, or an image file.
        center: Middle of the picture, world units.
        right, up: Directions of the picture's axes in the world; it is seen upright from the side they turn about.
        size: Width and height, world units.
        depth: It is printed where the surface is within this distance of the picture's plane, world units.
    """

    picture: str
    center: Color
    right: Color
    up: Color
    size: tuple[float, float]
    depth: float = 0.05


@dataclass(frozen=True)
class Material:
    """How a surface reflects.

    Attributes:
        colors: The two colours that the pattern mixes, sRGB in [0, 1].
        pattern: "plain" is the first colour everywhere.
        scale: Size of the pattern's features as a part of the object's radius.
        contrast: How hard the two colours are separated (noise patterns).
        fleck: Strength of fine grain that is added to every pattern but "plain", as a part of the brightness.
        specular: Reflectance at normal incidence (0.04: plastic). 0 is matt.
        roughness: Width of the highlights, in (0, 1].
        decals: Printed in order.
    """

    colors: tuple[Color, Color] = ((0.66, 0.69, 0.71), (0.44, 0.48, 0.53))
    pattern: Pattern = "granite"
    scale: float = 0.065
    contrast: float = 0.8
    fleck: float = 0.10
    specular: float = 0.04
    roughness: float = 0.4
    decals: tuple[Decal, ...] = ()


PLAIN = Material(colors=((0.72, 0.72, 0.72), (0.72, 0.72, 0.72)), pattern="plain")
"""Plain grey: no texture at all, the hard case for multi-view reconstruction."""


def hash_unit(index: np.ndarray, seed: int) -> np.ndarray:
    """Reproducible numbers in [0, 1) from integers: 32-bit avalanche hash (constants by C. Wellons' prospector, "lowbias32")."""
    with np.errstate(over="ignore"):
        x = np.asarray(index).astype(np.uint32) + np.uint32((seed * 0x9E3779B9) & 0xFFFFFFFF)
        x ^= x >> np.uint32(16)
        x *= np.uint32(0x7FEB352D)
        x ^= x >> np.uint32(15)
        x *= np.uint32(0x846CA68B)
        x ^= x >> np.uint32(16)
    return (x >> np.uint32(8)).astype(np.float32) * np.float32(2**-24)


def to_linear(srgb: np.ndarray) -> np.ndarray:
    """sRGB in [0, 1] to linear light (IEC 61966-2-1)."""
    srgb = np.asarray(srgb)
    return np.where(srgb <= 0.04045, srgb / 12.92, ((np.maximum(srgb, 0.04045) + 0.055) / 1.055) ** 2.4)


def to_srgb(linear: np.ndarray) -> np.ndarray:
    """Linear light in [0, 1] to sRGB (IEC 61966-2-1)."""
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * np.maximum(linear, 0.0031308) ** (1 / 2.4) - 0.055)


_CELLS = 64
_FEATURE_CELLS = 8.0


@lru_cache(maxsize=1)
def _noise_volume() -> np.ndarray:
    """Periodic noise of unit variance whose features are about eight cells wide. [64, 64, 64] float32, 1 MiB"""
    white = hash_unit(np.arange(_CELLS**3), 7).astype(np.float64).reshape((_CELLS,) * 3) - 0.5
    f = np.fft.fftfreq(_CELLS) * _FEATURE_CELLS
    squared = f[:, None, None] ** 2 + f[None, :, None] ** 2 + f[None, None, :] ** 2
    band = np.exp(-3 * squared) * (squared > 0)
    field = np.fft.ifftn(np.fft.fftn(white) * band).real
    return np.ascontiguousarray(field / field.std(), dtype=np.float32)


def noise(points: np.ndarray, feature: float, turn: int = 0) -> np.ndarray:
    """Smooth solid noise, zero mean and unit variance. [N, 3] -> [N] float32

    Args:
        points: Any units.
        feature: Size of its blobs in those units.
        turn: Which of a few independent copies (turned, so that lattice directions do not line up).
    """
    from scipy.ndimage import map_coordinates

    a, b = 0.7 + 1.3 * turn, 0.4 + 0.9 * turn
    rotation = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    tilt = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    transform = (rotation @ tilt * (_FEATURE_CELLS / feature)).astype(np.float32)
    lattice = np.empty((3, len(points)), np.float32)
    for k in range(3):  # spelled out: a matrix product would start the linear algebra library's threads in every rendering thread
        a0, a1, a2 = transform[k]
        lattice[k] = a0 * points[:, 0] + a1 * points[:, 1] + a2 * points[:, 2] + np.float32(17.3 * (turn + 1))
    return map_coordinates(_noise_volume(), lattice, output=np.float32, order=1, mode="grid-wrap")


def albedo(material: Material, points: np.ndarray, points_world: np.ndarray) -> np.ndarray:
    """Diffuse colour, linear light. [N, 3] float32

    Args:
        points: On the surface, in units of the object's radius about its centre. [N, 3]
        points_world: The same in world units. [N, 3]
    """
    first, second = (to_linear(np.array(c)).astype(np.float32) for c in material.colors)
    if material.pattern == "plain":
        color = np.broadcast_to(first, points.shape).copy()
    else:
        mix = _mix(material, points)
        color = first + (second - first) * mix[:, None]
        color *= (1 + material.fleck * np.clip(noise(points, material.scale / 5, 2), -2, 2))[:, None]
    for decal in material.decals:
        _print(decal, color, points_world)
    return np.clip(color, 0, 1, out=color)


def _mix(material: Material, points: np.ndarray) -> np.ndarray:
    scale, pattern = material.scale, material.pattern
    if pattern == "granite":
        wave = noise(points, scale, 0) + 0.6 * noise(points, scale / 2.3, 1)
    elif pattern == "marble":
        warp = 1.4 * noise(points, 3 * scale, 0) + 0.5 * noise(points, scale, 1)
        wave = 1.5 * np.sin((points[:, 0] + 0.6 * points[:, 1] + 0.8 * points[:, 2]) / scale * np.float32(1.2) + 2 * warp)
    elif pattern == "stripes":
        wave = 3 * np.sin((points[:, 2] + 0.25 * points[:, 0]) / scale * np.float32(np.pi) + 0.8 * noise(points, 4 * scale, 0))
    elif pattern == "rings":
        radius = np.hypot(points[:, 0], points[:, 1]) + 0.12 * noise(points, 4 * scale, 0)
        wave = 1.6 * np.sin(radius / scale * np.float32(2 * np.pi)) + 0.5 * noise(points, scale, 1)
    else:
        cell = np.floor(points / np.float32(scale) + np.float32(0.31)).sum(1)
        wave = np.where(cell % 2 < 1, np.float32(4), np.float32(-4)) + noise(points, scale, 0)
    return 1 / (1 + np.exp(-np.float32(material.contrast) * wave.astype(np.float32)))


def _print(decal: Decal, color: np.ndarray, points_world: np.ndarray) -> None:
    from scipy.ndimage import map_coordinates

    from scenes.making.pictures import picture

    right, up = np.array(decal.right, np.float64), np.array(decal.up, np.float64)
    local = points_world - np.array(decal.center)
    near = np.flatnonzero(np.abs(local @ np.cross(right, up)) <= decal.depth)
    local = local[near]
    u, v = local @ right / decal.size[0] + 0.5, 0.5 - local @ up / decal.size[1]
    chosen = (u > 0) & (u < 1) & (v > 0) & (v < 1)
    inside = near[chosen]
    if len(inside) == 0:
        return
    image = picture(decal.picture)
    at = np.stack([v[chosen] * image.shape[0] - 0.5, u[chosen] * image.shape[1] - 0.5])
    texel = np.stack([map_coordinates(image[..., k], at, order=1, mode="nearest") for k in range(4)], -1)
    color[inside] += (texel[:, :3] - color[inside]) * texel[:, 3:]
