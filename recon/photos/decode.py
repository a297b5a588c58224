"""Photographs as the search wants them: upright, small, with names of its own; and what was learnt while they were decoded."""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from recon.data.images import decode as decode_whole
from recon.data.listing import FrameProblem
from recon.errors import require_extra
from recon.photos.exif import CameraTag, read_tag
from recon.photos.storing import read_json, write_json
from recon.system.files import write_picture

SHARPNESS_SIZE = 640
THUMBNAIL = 32
PLAIN_MODES = ("RGB", "L")
HEIF_SUFFIXES = (".heic", ".heif", ".avif")
LEAST_SIDE = 64
BROKEN = (OSError, UnidentifiedImageError, ValueError, SyntaxError, struct.error, EOFError, Image.DecompressionBombError)


@dataclass(frozen=True)
class Photo:
    """One photograph.

    Attributes:
        name: Relative to the user's folder, with forward slashes.
        file: Where it is.
        work: Name of its small copies.
        width, height: Upright, pixels.
        orientation: EXIF's, 1: the stored pixels are upright.
        camera: What its file says of the camera; photographs with the same words and size share one.
        focal_px: Focal length as its file says, upright full pixels, or None.
        focal_trusted: Whether the file's focal length belongs to this picture.
        sharpness: See :func:`crispness`; at 640 pixels.
        sha1: Of the file.
        thumbnail: 32 x 32 brightness, as hexadecimal digits.
        alpha: Whether parts of it are transparent.
        time_s: Of a frame of a video: when.
    """

    name: str
    file: str
    work: str
    width: int
    height: int
    orientation: int
    camera: str
    focal_px: float | None
    focal_trusted: bool
    sharpness: float
    sha1: str
    thumbnail: str
    alpha: bool
    time_s: float | None = None

    @property
    def small(self) -> np.ndarray:
        """The thumbnail. [32, 32] float"""
        return np.frombuffer(bytes.fromhex(self.thumbnail), np.uint8).reshape(THUMBNAIL, THUMBNAIL).astype(np.float64)


def open_picture(file: Path) -> Image.Image:
    """Open an image file; HEIC needs the extra [photos]."""
    if file.suffix.lower() in HEIF_SUFFIXES:
        require_extra("pillow_heif", "photos", f"reading {file.name}").register_heif_opener()
    return Image.open(file)


def upright(file: Path, at_least: int | None = None) -> tuple[Image.Image, CameraTag, tuple[int, int]]:
    """Decode a photograph and turn it as its EXIF says.

    Args:
        file: The photograph.
        at_least: The longer side may come out smaller than the file's, but not smaller than this (JPEG is then decoded quicker).
    Returns:
        RGB or RGBA picture; its camera; width and height of the whole upright photograph.
    Raises:
        FrameProblem: Empty, truncated, unreadable, or of an unknown brightness range.
    """
    try:
        if file.stat().st_size == 0:
            raise FrameProblem("the file is empty (0 bytes): copy it again")
        with open_picture(file) as picture:
            width, height = picture.size
            tag = read_tag(picture.getexif(), width, height)
            if picture.mode in PLAIN_MODES and "transparency" not in picture.info:
                if at_least is not None:
                    picture.draft("RGB", (at_least, at_least))
                picture.load()
                pixels = picture.convert("RGB")
            else:
                pixels = Image.fromarray(decode_whole(file)[0])
    except FrameProblem:
        raise
    except BROKEN as error:
        reason = str(error).replace(str(file), file.name)
        raise FrameProblem(f"truncated or unreadable ({reason or type(error).__name__}): copy it again") from error
    if tag.orientation != 1:
        pixels.getexif()[0x0112] = tag.orientation
        pixels = ImageOps.exif_transpose(pixels)
        if tag.orientation >= 5:
            width, height = height, width
    if min(width, height) < LEAST_SIDE:
        raise FrameProblem(f"only {width}x{height} pixels: too small for a photograph")
    return pixels, tag, (width, height)


def shrink(picture: Image.Image, longest: int) -> Image.Image:
    """RGB, on grey where it is transparent, the longer side at most ``longest`` pixels."""
    if picture.mode == "RGBA":
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, (128, 128, 128, 255)), picture).convert("RGB")
    factor = longest / max(picture.size)
    if factor >= 1:
        return picture
    size = (max(1, round(picture.width * factor)), max(1, round(picture.height * factor)))
    return picture.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)


def work_name(file: Path, name: str) -> str:
    """Name of a photograph's small copies; another one once the file has changed."""
    stat = file.stat()
    key = f"{name}\0{stat.st_size}\0{stat.st_mtime_ns}"
    return hashlib.sha1(key.encode("utf-8", "surrogateescape")).hexdigest()[:12] + ".jpg"


def prepare(file: Path, name: str, folder: Path, longest: int, time_s: float | None = None) -> Photo:
    """Write a photograph's small copy ``folder/WORK.jpg``, and describe it.

    Raises:
        FrameProblem: See :func:`upright`.
    """
    work = work_name(file, name)
    picture, tag, (width, height) = upright(file, at_least=longest)
    alpha = picture.mode == "RGBA" and picture.getextrema()[3][0] < 255  # type: ignore[index]
    small = shrink(picture, longest)
    write_picture(folder / work, small, format="JPEG", quality=95, subsampling=0)
    grey = shrink(small, SHARPNESS_SIZE).convert("L")
    return Photo(
        name=name,
        file=str(file),
        work=work,
        width=width,
        height=height,
        orientation=tag.orientation,
        camera=tag.name,
        focal_px=tag.focal_px,
        focal_trusted=tag.whole and tag.focal_px is not None,
        sharpness=crispness(np.asarray(grey, np.float64)),
        sha1=hashlib.sha1(file.read_bytes()).hexdigest(),
        thumbnail=grey.resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX).tobytes().hex(),
        alpha=alpha,
        time_s=time_s,
    )


def sharpness(grey: np.ndarray) -> float:
    """Variance of the Laplacian. [H, W] -> brightness squared"""
    inner = grey[1:-1, 1:-1]
    return float((grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:] - 4 * inner).var())


def crispness(grey: np.ndarray) -> float:
    """Sharpness at this size over sharpness at a quarter of it: how much is in a picture cancels, how blurred it is remains. [H, W]"""
    h, w = (size // 4 * 4 for size in grey.shape)
    quarter = grey[:h, :w].reshape(h // 4, 4, w // 4, 4).mean(axis=(1, 3))
    return sharpness(grey) / max(sharpness(quarter), 1e-9)


def prepare_all(
    files: Sequence[tuple[Path, str, float | None]], work: Path, longest: int, progress: Callable[[int, int], None]
) -> tuple[list[Photo], dict[str, str]]:
    """Small copies of all photographs in ``work/LONGEST``; what was prepared before, and has not changed, is not done again.

    Args:
        files: File, name, and time in a video or None.
        work: The folder that is kept.
        longest: Longer side of the copies, pixels.
        progress: Called with photographs done and in all.
    Returns:
        The photographs that can be read, in order, and a reason for each that cannot. Memory: a decoded photograph a thread.
    """
    folder = work / str(longest)
    folder.mkdir(parents=True, exist_ok=True)
    index = folder / "photographs.json"
    known = {entry["work"]: entry for entry in read_json(index) or []}

    def one(item: tuple[Path, str, float | None]) -> Photo | str:
        file, name, time_s = item
        try:
            entry = known.get(work_name(file, name))
            if entry is not None and (folder / entry["work"]).is_file():
                return Photo(**{**entry, "file": str(file)})
            return prepare(file, name, folder, longest, time_s)
        except FrameProblem as problem:
            return str(problem)
        except OSError as error:
            return f"cannot be read ({error.strerror or error})"

    photos: list[Photo] = []
    unreadable: dict[str, str] = {}
    try:
        with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
            try:
                for done, ((_, name, _), result) in enumerate(zip(files, pool.map(one, files), strict=True), 1):
                    if isinstance(result, str):
                        unreadable[name] = result
                    else:
                        photos.append(result)
                    progress(done, len(files))
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
    finally:
        known.update({photo.work: asdict(photo) for photo in photos})
        write_json(index, list(known.values()))
    return photos, unreadable
