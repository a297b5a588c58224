"""Pixels: decoding, undistortion and exact resizing of one photograph with its camera.

Everything here works on one frame and is safe to call from several threads. While a frame is processed it holds about 60 bytes per
source pixel (one float32 RGBA copy, its resampled copy and the sampling grid); what stays is 3 or 4 bytes per pixel of the final size.
"""

from __future__ import annotations

import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError
from scipy import sparse

from recon.data.distortion import distort, is_negligible, pinhole_for
from recon.data.listing import Frame, FrameProblem, Intrinsics, Lens
from recon.data.scene import Camera

EXIF_ORIENTATION = 274
# Focal lengths in image widths: fields of view of 0.06 and 176 degrees. Beyond, the number is in millimetres, or of a normalised image.
LARGEST_FOCAL, SMALLEST_FOCAL = 1e3, 0.015
LARGEST_COEFFICIENT = 1e4
_GRID_LOCK = threading.Lock()


@dataclass(frozen=True)
class Picture:
    """A frame's pixels and camera, ready for a :class:`~recon.data.scene.View`.

    Attributes:
        image: Straight alpha if four channels. [H, W, 3 or 4] uint8
        mask: 255 inside, soft at the rim. [H, W] uint8 or None
        camera: Pinhole camera of ``image``; its pose is the frame's, unchecked.
        source_size: Width and height of the file, pixels.
        remarks: Conversions worth telling the user.
        notes: What was done to the intrinsics or the size, for the user.
    """

    image: np.ndarray
    mask: np.ndarray | None
    camera: Camera
    source_size: tuple[int, int]
    remarks: tuple[str, ...]
    notes: tuple[str, ...]


def read_picture(frame: Frame, target_size: Callable[[int, int], tuple[int, int]]) -> Picture:
    """Decode a frame, undo its lens distortion, resize it, and give the camera that fits the result exactly.

    Args:
        frame: The file exists.
        target_size: Maps (width, height) of the photograph to the wanted (width, height), each not larger.
    Raises:
        FrameProblem: Unreadable or truncated file, intrinsics that do not fit the picture, distortion that cannot be undone.
    """
    image, remarks = decode(frame.file)
    height, width = image.shape[:2]
    notes: list[str] = []
    fx, fy, cx, cy, skew, note = resolve(frame.intrinsics, width, height)
    if note:
        notes.append(note)
    if not width / -5 <= cx <= width * 1.2 or not height / -5 <= cy <= height * 1.2:
        raise FrameProblem(
            f"the principal point ({cx:g}, {cy:g}) lies far outside the {width}x{height} image: the intrinsics belong to another image size"
        )
    if not (0 <= cx <= width and 0 <= cy <= height):
        remarks = (*remarks, "the principal point lies outside the image")
    mask = None
    if frame.mask is not None:
        mask, extra = decode_mask(frame.mask, width, height)
        notes += extra
    lens = frame.intrinsics.lens
    if not is_negligible(lens, fx, fy, cx, cy, skew, width, height):
        pinhole = pinhole_for(lens, fx, fy, cx, cy, skew, width, height)
        with _GRID_LOCK:  # one thread computes it, the others then find it
            grid = _sampling_grid(lens, (fx, fy, cx, cy, skew), pinhole, width, height)
        image = _resample(image, grid)
        mask = None if mask is None else _resample(mask[..., None], grid)[..., 0]
        fx, fy, cx, cy = pinhole
        notes.append(f"lens distortion ({lens.model}) undone once into pinhole images of the same size without empty borders")
    camera = Camera(width, height, fx, fy, cx, cy, frame.world_from_camera)
    new_width, new_height = target_size(width, height)
    if (new_width, new_height) != (width, height):
        image = resize_area(image, new_width, new_height)
        mask = None if mask is None else resize_area(mask[..., None], new_width, new_height)[..., 0]
        camera = camera.resized(new_width, new_height)
        line = f"images resampled by area from {width}x{height} to {new_width}x{new_height}"
        if width % new_width or height % new_height:
            line += f" (not a whole factor: {width / new_width:.4g} in x, {height / new_height:.4g} in y; intrinsics follow exactly)"
        notes.append(line)
    return Picture(np.ascontiguousarray(image), mask, camera, (width, height), remarks, tuple(notes))


def header_size(file: Path) -> tuple[int, int] | None:
    """Width and height from the file's header, or None if it cannot be read (decoding will then say why)."""
    try:
        with Image.open(file) as picture:
            return picture.size
    except (OSError, UnidentifiedImageError, ValueError, SyntaxError, struct.error, Image.DecompressionBombError):
        return None


def decode(file: Path) -> tuple[np.ndarray, tuple[str, ...]]:
    """Read an image file as 8-bit RGB, or RGBA if it carries transparency.

    The stored orientation is kept: camera poses refer to stored pixels, and an EXIF rotation would silently turn the image under them.

    Returns:
        Pixels [H, W, 3 or 4] uint8 and remarks on conversions.
    Raises:
        FrameProblem: The file is unreadable, truncated, or of a kind without a known brightness range.
    """
    remarks: list[str] = []
    try:
        if file.stat().st_size == 0:
            raise FrameProblem("the image file is empty (0 bytes): copy it again")
        with Image.open(file) as picture:
            if picture.getexif().get(EXIF_ORIENTATION, 1) not in (0, 1):
                remarks.append("EXIF asks for a rotated display; the stored orientation is kept, because poses refer to stored pixels")
            picture.load()
            mode = picture.mode
            if mode == "F":
                raise FrameProblem("floating-point images have no known brightness range: convert to 8-bit PNG")
            if mode in ("I", "I;16", "I;16B", "I;16L", "I;16N"):
                values = np.asarray(picture, dtype=np.int64)
                if values.min(initial=0) < 0 or values.max(initial=0) > 65535:
                    raise FrameProblem("32-bit integer images have no known brightness range: convert to 8-bit PNG")
                remarks.append("16-bit grey image reduced to 8 bits")
                return np.repeat(((values * 255 + 32767) // 65535).astype(np.uint8)[..., None], 3, axis=2), tuple(remarks)
            if mode == "CMYK":
                remarks.append("CMYK image converted to RGB without its colour profile")
            transparent = mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in picture.info
            return np.array(picture.convert("RGBA" if transparent else "RGB")), tuple(remarks)
    except FrameProblem:
        raise
    except Image.DecompressionBombError as error:
        raise FrameProblem(f"the image is too large to be a photograph ({error})") from error
    except (OSError, UnidentifiedImageError, ValueError, SyntaxError, struct.error, EOFError) as error:
        reason = str(error).replace(str(file), file.name).replace(repr(str(file)), file.name)
        raise FrameProblem(f"the image file is truncated or unreadable ({reason or type(error).__name__}): copy it again") from error


def decode_mask(file: Path, width: int, height: int) -> tuple[np.ndarray, list[str]]:
    """Read a mask as [height, width] uint8, 255 inside; a mask of the same shape and another size is resampled by area or repetition."""
    try:
        pixels, _ = decode(file)
    except FrameProblem as problem:
        raise FrameProblem(f"mask {file.name}: {problem}") from problem
    mask = pixels[..., :3].max(axis=2)
    if pixels.shape[2] == 4 and (pixels[..., 3] < 255).any():
        # A cut-out saved as a mask: what is transparent is outside, whatever colour lies below.
        mask = pixels[..., 3] if mask.min() == mask.max() else np.minimum(mask, pixels[..., 3])
    if mask.max(initial=0) == 1:
        mask = mask * np.uint8(255)
    h, w = mask.shape
    if (w, h) == (width, height):
        return mask, []
    if not same_shape(w, h, width, height):
        raise FrameProblem(f"mask {file.name} is {w}x{h}, the image is {width}x{height}: make one for this image")
    if w >= width and h >= height:
        mask = resize_area(mask[..., None], width, height)[..., 0]
    else:
        rows = np.minimum((np.arange(height) * h) // height, h - 1)
        cols = np.minimum((np.arange(width) * w) // width, w - 1)
        mask = mask[rows][:, cols]
    return mask, [f"masks resampled from {w}x{h} to {width}x{height}"]


def resolve(given: Intrinsics, width: int, height: int) -> tuple[float, float, float, float, float, str]:
    """Complete the intrinsics of a file for the image that was found.

    Returns:
        fx, fy, cx, cy, skew in pixels of the image, and a note if they had to be rescaled ("" otherwise).
    Raises:
        FrameProblem: No or impossible focal length, non-finite numbers, an image of another shape than the intrinsics'.
    """
    w, h = given.width or width, given.height or height
    fx = given.fx if given.fx is not None else _focal(given.angle_x, w, "camera_angle_x")
    fy = given.fy if given.fy is not None else _focal(given.angle_y, h, "camera_angle_y")
    fx, fy = (fx if fx is not None else fy), (fy if fy is not None else fx)
    if fx is None or fy is None:
        raise FrameProblem("no focal length is given: add fl_x (pixels) or camera_angle_x (radians)")
    cx = given.cx if given.cx is not None else w / 2
    cy = given.cy if given.cy is not None else h / 2
    numbers = {"fl_x": fx, "fl_y": fy, "cx": cx, "cy": cy, "skew": given.skew}
    wrong = [f"{name} = {value}" for name, value in numbers.items() if not np.isfinite(value)]
    wrong += [name for name, values in (("k", given.lens.k), ("p", given.lens.p)) if not np.isfinite(values).all()]
    if wrong:
        raise FrameProblem(f"intrinsics that are not finite numbers: {', '.join(wrong)}")
    if fx <= 0 or fy <= 0:
        raise FrameProblem(f"the focal length must be positive, found fl_x = {fx:g}, fl_y = {fy:g}")
    if max(fx, fy) > LARGEST_FOCAL * w or min(fx, fy) < SMALLEST_FOCAL * w:
        raise FrameProblem(f"the focal length ({fx:g}, {fy:g}) px fits no camera with images {w} px wide: is it in another unit?")
    if max(map(abs, (*given.lens.k, *given.lens.p))) > LARGEST_COEFFICIENT:
        raise FrameProblem(
            f"a distortion coefficient beyond {LARGEST_COEFFICIENT:g}: are the coefficients in another unit (pixels, millimetres)?"
        )
    fx, fy, cx, cy, skew = float(fx), float(fy), float(cx), float(cy), float(given.skew)
    if (w, h) == (width, height):
        return fx, fy, cx, cy, skew, ""
    if not same_shape(w, h, width, height):
        turned = " (it looks rotated by a quarter turn)" if same_shape(h, w, width, height) else ""
        raise FrameProblem(
            f"the image is {width}x{height}{turned} but its intrinsics are for {w}x{h}, another shape: "
            "restore the original images or correct w and h"
        )
    sx, sy = width / w, height / h
    note = f"intrinsics are for {w}x{h} images, rescaled to the {width}x{height} found"
    return fx * sx, fy * sy, cx * sx, cy * sy, skew * sx, note


def same_shape(w: int, h: int, width: int, height: int) -> bool:
    """Whether one size is the other one resampled: the aspect agrees to the one pixel that rounding can cost."""
    if w >= width:
        return abs(h * width / w - height) <= 1.0 or abs(w * height / h - width) <= 1.0
    return abs(height * w / width - h) <= 1.0 or abs(width * h / height - w) <= 1.0


def resize_area(image: np.ndarray, width: int, height: int) -> np.ndarray:
    """Resample by exact area: every output pixel is the mean of the source over its footprint, fractions of pixels included.

    Colours are averaged as stored (sRGB), as the common datasets do; with four channels they are weighted by alpha and the result is
    straight again.

    Args:
        image: [H, W, C] uint8, C = 4 means straight alpha.
        width, height: Not larger than the source's.
    Returns:
        [height, width, C] uint8
    """
    h, w, channels = image.shape
    values = _premultiplied(image)
    values = _area_weights(h, height) @ values.reshape(h, w * channels)
    values = values.reshape(height, w, channels).transpose(1, 0, 2).reshape(w, height * channels)
    values = _area_weights(w, width) @ np.ascontiguousarray(values)
    return _straight(values.reshape(width, height, channels).transpose(1, 0, 2))


@lru_cache(maxsize=64)
def _area_weights(source: int, target: int) -> sparse.csr_matrix:
    """Row i holds the share of each source pixel in target pixel i. [target, source] float32"""
    edges = np.arange(target + 1) * (source / target)
    span = int(np.ceil(source / target)) + 1
    columns = np.floor(edges[:-1]).astype(int)[:, None] + np.arange(span)
    overlap = np.minimum(columns + 1, edges[1:, None]) - np.maximum(columns, edges[:-1, None])
    inside = (overlap > 1e-9) & (columns < source)
    rows = np.broadcast_to(np.arange(target)[:, None], columns.shape)
    weights = overlap[inside] * (target / source)
    return sparse.csr_matrix((weights.astype(np.float32), (rows[inside], columns[inside])), shape=(target, source))


def _focal(angle: float | None, size: int, name: str) -> float | None:
    if angle is None:
        return None
    if not 0 < angle < np.pi:
        raise FrameProblem(f"{name} must lie between 0 and pi radians, found {angle:g}")
    return 0.5 * size / float(np.tan(0.5 * angle))


@lru_cache(maxsize=2)
def _sampling_grid(
    lens: Lens, source: tuple[float, float, float, float, float], pinhole: tuple[float, float, float, float], width: int, height: int
):
    """For each undistorted pixel centre, where to read in the photograph, as grid_sample wants it. [1, H, W, 2] float32 tensor"""
    import torch

    fx, fy, cx, cy, skew = source
    new_fx, new_fy, new_cx, new_cy = pinhole
    x = (np.arange(width) + 0.5 - new_cx) / new_fx
    y = (np.arange(height) + 0.5 - new_cy) / new_fy
    grid = np.empty((1, height, width, 2), np.float32)
    for start in range(0, height, 256):  # in strips, so that float64 intermediates stay small
        rows = y[start : start + 256]
        d = distort(lens, np.stack(np.broadcast_arrays(x[None, :], rows[:, None]), -1))
        grid[0, start : start + 256, :, 0] = 2 * (fx * d[..., 0] + skew * d[..., 1] + cx) / width - 1
        grid[0, start : start + 256, :, 1] = 2 * (fy * d[..., 1] + cy) / height - 1
    return torch.from_numpy(grid)


def _resample(image: np.ndarray, grid) -> np.ndarray:
    """Bicubic look-up of an [H, W, C] uint8 image at the grid, alpha premultiplied meanwhile."""
    import torch

    values = torch.from_numpy(_premultiplied(image)).permute(2, 0, 1)[None]
    out = torch.nn.functional.grid_sample(values, grid, mode="bicubic", padding_mode="border", align_corners=False)[0]
    return _straight(out.permute(1, 2, 0).contiguous().numpy())


def _premultiplied(image: np.ndarray) -> np.ndarray:
    """[H, W, C] uint8 -> [H, W, C] float32 in 0..255, colours times alpha if C = 4."""
    values = image.astype(np.float32)
    if image.shape[2] == 4:
        values[..., :3] *= values[..., 3:] / 255.0
    return values


def _straight(values: np.ndarray) -> np.ndarray:
    """Inverse of :func:`_premultiplied`, rounded to uint8; fully transparent pixels become black."""
    if values.shape[2] == 4:
        alpha = np.clip(values[..., 3:], 0.0, 255.0)
        rgb = np.divide(values[..., :3] * 255.0, alpha, out=np.zeros_like(values[..., :3]), where=alpha > 0)
        values = np.concatenate([rgb, alpha], axis=2)
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)
