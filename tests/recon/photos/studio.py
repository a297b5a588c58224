"""A small studio: an object on printed paper, a printed marker beside it, known cameras. Exact, and quick to render."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy import ndimage

from recon.data.scene import Camera
from recon.geometry import look_at

PAPER_PX = 2400
CELLS = ((150, 0.35), (60, 0.35), (24, 0.3))
"""The paper's print: squares so many a side, and their share of the contrast."""


@dataclass(frozen=True)
class Paper:
    """A printed sheet in the plane z = height.

    Attributes:
        pixels: Brightness and colour; row 0 is at the greatest y. [P, P, 3] uint8
        center: Of the sheet, x and y, world units.
        side: World units.
        height: World units.
    """

    pixels: np.ndarray
    center: tuple[float, float]
    side: float
    height: float

    def sample(self, xy: np.ndarray) -> np.ndarray:
        """Colours at places of the plane, grey outside of the sheet. [..., 2] -> [..., 3] float"""
        size = len(self.pixels)
        u = (xy[..., 0] - self.center[0]) / self.side + 0.5
        v = 0.5 - (xy[..., 1] - self.center[1]) / self.side
        places = np.stack([v, u], -1) * size - 0.5
        outside = ((u < 0) | (u >= 1) | (v < 0) | (v >= 1))[..., None]
        rows, columns = (np.clip(np.rint(p), 0, size - 1).astype(int) for p in (places[..., 0], places[..., 1]))
        return np.where(outside, 150.0, self.pixels[rows, columns])


def printed(center: tuple[float, float], side: float, height: float, seed: int = 0) -> Paper:
    """A sheet of random squares of three sizes, which has corners at every distance."""
    generator = np.random.default_rng(seed)
    pixels = np.zeros((PAPER_PX, PAPER_PX, 3))
    for cells, share in CELLS:
        block = generator.random((cells, cells, 3)) * np.array([1.0, 0.9, 0.8])
        pixels += share * np.kron(block, np.ones((PAPER_PX // cells, PAPER_PX // cells, 1)))
    return Paper((40 + 200 * pixels).clip(0, 255).astype(np.uint8), center, side, height)


def with_marker(paper: Paper, number: int, at: tuple[float, float], side: float) -> Paper:
    """The sheet with a marker of DICT_4X4_50 glued on it, its black square ``side`` long, with a white margin."""
    import cv2

    size = round(side / paper.side * PAPER_PX)
    assert abs(size * paper.side / PAPER_PX - side) < 1e-9, "the marker's side must be whole pixels of the paper"
    black = cv2.aruco.generateImageMarker(cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_4X4_50), number, size)
    margin = size // 5
    stamp = np.full((size + 2 * margin, size + 2 * margin), 255, np.uint8)
    stamp[margin : margin + size, margin : margin + size] = black
    pixels = paper.pixels.copy()
    column = round(((at[0] - paper.center[0]) / paper.side + 0.5) * PAPER_PX) - margin
    row = round((0.5 - (at[1] - paper.center[1]) / paper.side) * PAPER_PX) - margin
    pixels[row : row + len(stamp), column : column + len(stamp)] = stamp[..., None]
    return Paper(pixels, paper.center, paper.side, paper.height)


def photograph(paper: Paper, camera: Camera, cutout: np.ndarray | None = None, samples: int = 3) -> np.ndarray:
    """What a camera above the paper sees, and the object's own picture (straight RGBA) before it. [H, W, 3] uint8

    Args:
        samples: Rays per pixel and side.
    """
    offsets = (np.arange(samples) + 0.5) / samples
    x, y = np.meshgrid((np.arange(camera.width)[:, None] + offsets).ravel(), (np.arange(camera.height)[:, None] + offsets).ravel())
    origins, directions = camera.rays(np.stack([x, y], -1))
    with np.errstate(divide="ignore", invalid="ignore"):
        t = (paper.height - origins[..., 2]) / directions[..., 2]
        ground = origins + t[..., None] * directions
    seen = (t > 0) & np.isfinite(t)
    colors = np.where(seen[..., None], paper.sample(np.where(seen[..., None], ground, 1e9)[..., :2]), 205.0)
    colors = colors.reshape(camera.height, samples, camera.width, samples, 3).mean(axis=(1, 3))
    if cutout is not None:
        alpha = cutout[..., 3:] / 255.0
        colors = cutout[..., :3] * alpha + colors * (1 - alpha)
    return np.rint(colors).clip(0, 255).astype(np.uint8)


def around(
    center: Sequence[float],
    distance: float,
    elevations_deg: Sequence[float],
    count: int,
    width: int,
    height: int,
    fov_deg: float,
    turn_deg: float = 360.0,
) -> list[Camera]:
    """Cameras on circles (or parts of them) that look at a point, taken in turns of elevation."""
    focal = width / 2 / np.tan(np.deg2rad(fov_deg) / 2)
    middle = np.asarray(center, np.float64)
    cameras = []
    for k in range(count):
        e, a = np.deg2rad(elevations_deg[k % len(elevations_deg)]), np.deg2rad(turn_deg) * k / count
        eye = middle + distance * np.array([np.cos(e) * np.cos(a), np.cos(e) * np.sin(a), np.sin(e)])
        cameras.append(Camera(width, height, focal, focal, width / 2, height / 2, look_at(eye, middle, np.array([0.0, 0.0, 1.0]))))
    return cameras


def blur(image: np.ndarray, pixels: float) -> np.ndarray:
    """A picture out of focus."""
    return ndimage.gaussian_filter(image.astype(np.float32), (pixels, pixels, 0)).astype(np.uint8)


def save(image: np.ndarray, path, **options) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path, **options)
