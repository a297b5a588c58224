"""Pictures as signals: reading, pixel coordinates, where a picture has detail, and writing what was fitted."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from recon.device import to_numpy
from recon.errors import DataError, UsageError, require_extra
from recon.system.files import write_picture

SUFFIXES = (".png", ".jpg", ".jpeg", ".exr", ".tif", ".tiff", ".bmp", ".webp")


@dataclass(frozen=True)
class Raster:
    """A picture in memory, in the type that the file has.

    Attributes:
        pixels: Row by row: uint8, or float32 for HDR and 16 bits. Gray, gray + alpha, RGB or RGBA, alpha straight. [H * W, C]
        height, width: Pixels.
        hdr: Values are linear light without an upper bound; else sRGB (0 to 255 in uint8, 0 to 1 in float32).
    """

    pixels: Tensor
    height: int
    width: int
    hdr: bool

    def to(self, device: torch.device) -> Raster:
        """The same picture on another device."""
        return replace(self, pixels=self.pixels.to(device))

    @property
    def channels(self) -> int:
        return self.pixels.shape[1]

    @property
    def aspect(self) -> tuple[float, float]:
        """Width and height relative to the longer of them."""
        longest = max(self.width, self.height)
        return self.width / longest, self.height / longest

    def points(self, ids: Tensor) -> Tensor:
        """Centres of pixels by number, row by row, as field coordinates: [-1, 1] along each side. [N] -> [N, 2]"""
        column, row = (ids % self.width).float(), torch.div(ids, self.width, rounding_mode="floor").float()
        return torch.stack([(2.0 * column + 1.0) / self.width - 1.0, (2.0 * row + 1.0) / self.height - 1.0], 1)

    def colors(self, ids: Tensor) -> Tensor:
        """Values of pixels; sRGB in [0, 1] unless HDR. [N] -> float32 [N, C]"""
        values = self.pixels[ids]
        return values.float() / 255.0 if values.dtype == torch.uint8 else values

    def array(self) -> np.ndarray:
        """The whole picture in its own type. [H, W, C]"""
        return to_numpy(self.pixels.reshape(self.height, self.width, -1))


def read_raster(path: Path, crop: int | None) -> Raster:
    """Read a picture.

    Args:
        path: .png, .jpg, .tif, .bmp, .webp (8 or 16 bits), or .exr (linear light; needs the package OpenEXR).
        crop: Keep only the square of this many pixels in the middle.
    Raises:
        DataError: If it does not exist, cannot be read or holds values that are not finite.
        UsageError: If the crop is larger than the picture.
        CapabilityError: For .exr without the extra "hdr".
    """
    if not path.is_file():
        raise DataError(f"{path}: there is no such picture", hint=f"give a file that ends in {', '.join(SUFFIXES)}")
    hdr = path.suffix.lower() == ".exr"
    image = _read_exr(path) if hdr else _read_ldr(path)
    if image.shape[2] in (2, 4) and (image[..., -1] == (255 if image.dtype == np.uint8 else 1)).all():
        image = image[..., :-1]  # an alpha channel that says nothing
    height, width = image.shape[:2]
    if crop is not None:
        if not 16 <= crop <= min(height, width):
            raise UsageError(f"--crop {crop} does not fit into {width}x{height} pixels", f"give 16 to {min(height, width)}")
        top, left = (height - crop) // 2, (width - crop) // 2
        image = image[top : top + crop, left : left + crop]
        height = width = crop
    if min(height, width) < 16:
        raise DataError(f"{path}: {width}x{height} pixels are too few to fit", hint="at least 16x16")
    return Raster(torch.from_numpy(np.ascontiguousarray(image)).reshape(height * width, -1), height, width, hdr)


def _read_ldr(path: Path) -> np.ndarray:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # large pictures are what this is for
            with Image.open(path) as opened:
                opened.load()
                image = ImageOps.exif_transpose(opened)
                if image.mode.startswith("I") or image.mode == "F":
                    return (np.asarray(image, np.float32) / (65535.0 if image.mode != "F" else 1.0))[..., None]
                if image.mode not in ("L", "LA", "RGB", "RGBA"):
                    image = image.convert("RGBA" if "transparency" in image.info or "A" in image.mode else "RGB")
                array = np.array(image)
    except (OSError, UnidentifiedImageError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(f"{path}: cannot be read as a picture ({error})", hint="is the file complete?") from error
    return array[..., None] if array.ndim == 2 else array


def _read_exr(path: Path) -> np.ndarray:
    exr = require_extra("OpenEXR", "hdr", "reading .exr pictures")
    try:
        with exr.File(str(path)) as file:
            channels = {name: np.asarray(c.pixels, np.float32) for name, c in file.channels().items()}
    except (RuntimeError, OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as an OpenEXR picture ({error})", hint="is the file complete?") from error
    for name in ("RGBA", "RGB"):
        if name in channels:
            image = channels[name]
            break
    else:
        if "Y" not in channels:
            raise DataError(f"{path}: it has the channels {', '.join(channels)}; neither RGB nor Y is there")
        image = channels["Y"][..., None]
    if not np.isfinite(image).all():
        raise DataError(f"{path}: {int((~np.isfinite(image)).sum())} values are not finite", hint="clean the picture first")
    return image


def detail(raster: Raster, ids: Tensor) -> Tensor:
    """Length of the Sobel gradient at pixels, over all channels; HDR values as log(1 + v). Borders are repeated. [N] -> [N]"""
    row, column = torch.div(ids, raster.width, rounding_mode="floor"), ids % raster.width
    channels = raster.channels
    gx, gy = (torch.zeros(ids.numel(), channels, device=ids.device) for _ in range(2))
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            if dx == dy == 0:
                continue
            near = (row + dy).clamp(0, raster.height - 1) * raster.width + (column + dx).clamp(0, raster.width - 1)
            values = raster.colors(near)
            values = torch.log1p(values.clamp_min(0.0)) if raster.hdr else values
            gx += values * (dx * (2.0 if dy == 0 else 1.0) / 8.0)
            gy += values * (dy * (2.0 if dx == 0 else 1.0) / 8.0)
    return (gx * gx + gy * gy).sum(1).sqrt()


def shown(image: np.ndarray, hdr: bool) -> np.ndarray:
    """A picture for looking at: over white where transparent, HDR clipped at 1 and encoded as sRGB. [h, w, C] -> uint8 [h, w, 3]"""
    values = image.astype(np.float32) / 255.0 if image.dtype == np.uint8 else image.astype(np.float32)
    if values.shape[2] in (2, 4):
        alpha = np.clip(values[..., -1:], 0, 1)
        values = values[..., :-1] * alpha + (1 - alpha)
    if values.shape[2] == 1:
        values = np.repeat(values, 3, axis=2)
    values = np.clip(values, 0.0, 1.0)
    if hdr:
        values = np.where(values <= 0.0031308, 12.92 * values, 1.055 * values ** (1 / 2.4) - 0.055)
    return np.rint(values * 255).astype(np.uint8)


def write_raster(path: Path, image: np.ndarray, hdr: bool) -> Path:
    """Write a picture: HDR as .exr in half floats, everything else as .png with 8 bits. [H, W, C] in its own type; returns the file."""
    if not hdr:
        path = path.with_suffix(".png")
        eight = image if image.dtype == np.uint8 else np.rint(np.clip(image, 0.0, 1.0) * 255).astype(np.uint8)
        write_picture(path, Image.fromarray(eight[..., 0] if eight.shape[2] == 1 else eight))
        return path
    exr = require_extra("OpenEXR", "hdr", "writing .exr pictures")
    path = path.with_suffix(".exr")
    name = {1: "Y", 3: "RGB", 4: "RGBA"}[image.shape[2]]
    values = np.ascontiguousarray(image[..., 0] if image.shape[2] == 1 else image, np.float16)
    header = {"compression": exr.ZIP_COMPRESSION, "type": exr.scanlineimage}
    with exr.File(header, {name: values}) as file:
        file.write(str(path))
    return path
