"""Films, frame by frame: one frame is in memory at a time; a .gif keeps its frames to the end, one byte a pixel."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

from recon.errors import UsageError, require_extra
from recon.system.files import whole

FRAMES_PER_SECOND = 24
FILM_SUFFIXES = (".mp4", ".gif")


def usual_film(stem: Path) -> Path:
    """``stem.mp4``, or ``stem.gif`` where imageio-ffmpeg (extra ``[viewer]``) is missing. Nothing after a dot in the stem is lost."""
    return stem.with_name(stem.name + (".mp4" if importlib.util.find_spec("imageio_ffmpeg") is not None else ".gif"))


@contextmanager
def film(path: Path, fps: float = FRAMES_PER_SECOND) -> Iterator[Callable[[np.ndarray], None]]:
    """Write a film; yields the function that takes the next frame, [H, W, 3] uint8, all of one size.

    The file appears under its name when it is complete. H.264 wants even sizes: an odd last row or column is doubled.

    Args:
        path: An .mp4 (H.264, plays in every browser) or a .gif (256 colours a frame, larger).
        fps: Frames per second; a .gif counts in hundredths of a second.
    Raises:
        UsageError: If the suffix is another, or frames differ in size.
        CapabilityError: For an .mp4 without imageio-ffmpeg.
    """
    suffix = path.suffix.lower()
    if suffix not in FILM_SUFFIXES:
        raise UsageError(f"cannot write a film as '{path.name}'", f"use one of {', '.join(FILM_SUFFIXES)}")
    if not 0 < fps <= 120:
        raise UsageError(f"{fps} frames per second", "choose between 1 and 120")
    path.parent.mkdir(parents=True, exist_ok=True)
    shape: tuple[int, ...] | None = None

    def add(frame: np.ndarray) -> None:
        nonlocal shape
        if shape is not None and frame.shape != shape:
            raise UsageError(
                f"the frames of {path.name} differ in size: {shape[1]}x{shape[0]}, {frame.shape[1]}x{frame.shape[0]}", "give --size"
            )
        shape = frame.shape
        frames.send(np.ascontiguousarray(frame))

    with whole(path) as part, closing(_mp4(part, fps) if suffix == ".mp4" else _gif(part, fps)) as frames:
        next(frames)
        yield add
        frames.close()
        if shape is None:
            raise UsageError(f"{path.name}: a film of no frames", "give at least one")


def _mp4(path: Path, fps: float):
    ffmpeg = require_extra("imageio_ffmpeg", "viewer", "writing .mp4")
    writer = None
    try:
        while True:
            frame = yield
            even = np.pad(frame, ((0, frame.shape[0] % 2), (0, frame.shape[1] % 2), (0, 0)), mode="edge")
            if writer is None:
                size = (even.shape[1], even.shape[0])
                writer = ffmpeg.write_frames(str(path), size, fps=fps, codec="libx264", quality=8, macro_block_size=2)
                writer.send(None)
            writer.send(np.ascontiguousarray(even))
    finally:
        if writer is not None:
            writer.close()


def _gif(path: Path, fps: float):
    frames: list[Image.Image] = []
    try:
        while True:
            frames.append(Image.fromarray((yield)).quantize(256, dither=Image.Dither.NONE))
    finally:
        if frames:
            frames[0].save(path, format="GIF", save_all=True, append_images=frames[1:], duration=round(1000.0 / fps), loop=0)
