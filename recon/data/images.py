"""Pixels: undistortion and exact resizing of one photograph with its camera.

Everything here works on one frame and is safe to call from several threads. While a frame is processed it holds about 60 bytes per
source pixel (one float32 RGBA copy, its resampled copy and the sampling grid), of a large photograph that becomes smaller about 13 bytes
per source pixel beside 60 for each of 4.5 million; what stays is 3 or 4 bytes per pixel of the final size.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from scipy import sparse

from recon.data.decoding import Header, decode, header
from recon.data.distortion import distort, is_negligible, pinhole_for
from recon.data.listing import Frame, FrameProblem, Intrinsics, Lens
from recon.data.scene import Camera

# Focal lengths in image widths: fields of view of 0.06 and 176 degrees. Beyond, the number is in millimetres, or of a normalised image.
LARGEST_FOCAL, SMALLEST_FOCAL = 1e3, 0.015
LARGEST_COEFFICIENT = 1e4
WORKING_PIXELS = 4_500_000
"""A photograph with more is first reduced to about so many, if it is to become smaller, before its distortion is undone."""
STRIP_PIXELS = 2_000_000
"""Source pixels that are resampled at a time."""
SOFTENED = 0.8
"""An undistorted picture whose focal length is less than this share of the photograph's has visibly less detail in the middle."""
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
    known = header(frame.file)
    upright = known is not None and _wants_upright(known, frame.intrinsics)
    image, remarks = decode(frame.file, upright)
    height, width = image.shape[:2]
    notes: list[str] = []
    if upright:
        notes.append(
            "photographs turned upright, as their EXIF orientation says: the cameras' width and height are those of the upright ones"
        )
    fx, fy, cx, cy, skew, note = resolve(frame.intrinsics, width, height, known is not None and known.quarter_turn)
    if note:
        notes.append(note)
    if not width / -5 <= cx <= width * 1.2 or not height / -5 <= cy <= height * 1.2:
        raise FrameProblem(
            f"the principal point ({cx:g}, {cy:g}) lies far outside the {width}x{height} image: the intrinsics belong to another image size"
        )
    if not (0 <= cx <= width and 0 <= cy <= height):
        remarks = (*remarks, "the principal point lies outside the image")
    source_size = width, height
    new_width, new_height = target_size(width, height)
    if width * height > WORKING_PIXELS and (new_width, new_height) != (width, height):
        share = max((WORKING_PIXELS / (width * height)) ** 0.5, new_width / width, new_height / height)
        width, height = max(new_width, round(width * share)), max(new_height, round(height * share))
        sx, sy = width / source_size[0], height / source_size[1]
        fx, fy, cx, cy, skew = fx * sx, fy * sy, cx * sx, cy * sy, skew * sx
        image = resize_area(image, width, height)
    mask = None
    if frame.mask is not None:
        mask, extra = decode_mask(frame.mask, width, height, upright)
        notes += extra if source_size == (width, height) else []
        if frame.mask_meaning == "ignore":
            mask = np.where(mask > 0, np.uint8(0), np.uint8(255))
    lens = frame.intrinsics.lens
    if not is_negligible(lens, fx, fy, cx, cy, skew, width, height):
        pinhole = pinhole_for(lens, fx, fy, cx, cy, skew, width, height)
        with _GRID_LOCK:  # one thread computes it, the others then find it
            grid = _sampling_grid(lens, (fx, fy, cx, cy, skew), pinhole, width, height)
        image = _resample(image, grid)
        mask = None if mask is None else _resample(mask[..., None], grid)[..., 0]
        kept = min(pinhole[0] / fx, pinhole[1] / fy)
        fx, fy, cx, cy = pinhole
        line = f"lens distortion ({lens.model}) undone once into pinhole images of the same size without empty borders"
        if kept < SOFTENED:
            line += f"; the middle keeps {100 * kept:.0f} % of its resolution, as a wide view is flattened"
        notes.append(line)
    camera = Camera(width, height, fx, fy, cx, cy, frame.world_from_camera)
    if (new_width, new_height) != (width, height):
        image = resize_area(image, new_width, new_height)
        mask = None if mask is None else resize_area(mask[..., None], new_width, new_height)[..., 0]
        camera = camera.resized(new_width, new_height)
    w, h = source_size
    if (new_width, new_height) != (w, h):
        line = f"images resampled by area from {w}x{h} to {new_width}x{new_height}"
        if w % new_width or h % new_height:
            line += f" (not a whole factor: {w / new_width:.4g} in x, {h / new_height:.4g} in y; intrinsics follow exactly)"
        notes.append(line)
    return Picture(np.ascontiguousarray(image), mask, camera, source_size, remarks, tuple(notes))


def _wants_upright(known: Header, given: Intrinsics) -> bool:
    """Whether the cameras' width and height prove that they mean the picture turned as EXIF says."""
    if not known.quarter_turn or given.width is None or given.height is None:
        return False
    stored = same_shape(given.width, given.height, known.width, known.height)
    return not stored and same_shape(given.width, given.height, known.height, known.width)


def header_size(file: Path) -> tuple[int, int] | None:
    """Width and height as stored, from the file's header, or None if it cannot be read (decoding will then say why)."""
    found = header(file)
    return None if found is None else (found.width, found.height)


def decode_mask(file: Path, width: int, height: int, upright: bool = False) -> tuple[np.ndarray, list[str]]:
    """Read a mask as [height, width] uint8, 255 inside; a mask of the same shape and another size is resampled by area or repetition.

    ``upright``: turn it as its own EXIF says, as its photograph was.
    """
    try:
        pixels, _ = decode(file, upright)
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


def resolve(given: Intrinsics, width: int, height: int, exif_turns: bool = False) -> tuple[float, float, float, float, float, str]:
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
        turned += " (its EXIF orientation asks for a quarter turn)" if exif_turns else ""
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
    rows, columns = _area_weights(h, height), _area_weights(w, width)
    out = np.empty((height, width, channels), np.uint8)
    strip = max(1, int(STRIP_PIXELS / w * height / h))  # rows of the result at a time, so that the float copy stays small
    for start in range(0, height, strip):
        part = rows[start : start + strip]
        low, high = int(part.indices.min()), int(part.indices.max()) + 1
        count = part.shape[0]
        values = _premultiplied(image[low:high])
        values = part[:, low:high] @ values.reshape(high - low, w * channels)
        values = values.reshape(count, w, channels).transpose(1, 0, 2).reshape(w, count * channels)
        values = columns @ np.ascontiguousarray(values)
        out[start : start + count] = _straight(values.reshape(width, count, channels).transpose(1, 0, 2))
    return out


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
