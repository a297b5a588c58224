"""Sharp frames of a video, spread evenly over how far the camera moved."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from recon.errors import DataError, require_extra
from recon.photos.decode import sharpness
from recon.photos.storing import read_json, write_json
from recon.system.files import write_picture

LOOK_SIZE = 320
"""Longer side of the frames by which motion and sharpness are measured, pixels."""
STEP = 0.08
"""A frame is wanted each time the picture has moved by this share of its width ..."""
LEAST_FRAMES = 24
"""... but at least so many are, from a video that has them."""
LEAST_MOTION = 0.002
"""Motion of a picture, in widths, below which a frame adds nothing."""
QUALITY = 95
PQ, HLG = 16, 18
"""Transfer characteristics of high dynamic range (ITU-T H.273)."""


@dataclass(frozen=True)
class Look:
    """What was measured of all frames, in order.

    Attributes:
        times: Seconds. [F]
        motion: Since the frame before, in widths of the picture. [F]
        sharpness: Variance of the Laplacian. [F]
        hdr: Whether brightness is coded for high dynamic range.
    """

    times: np.ndarray
    motion: np.ndarray
    sharpness: np.ndarray
    hdr: bool


def pick(look: Look, most: int) -> np.ndarray:
    """Indices of the frames to use: the way is cut into equal parts, and the sharpest frame of each is taken.

    The parts are as long as a twelfth of the picture's width, or longer where there would be more than ``most``; frames are taken from
    the middle two thirds of a part so that neighbours stay apart.

    Args:
        look: Of all frames.
        most: Most frames to take.
    Returns:
        Rising. [<= most] int64
    """
    frames = len(look.times)
    way = np.cumsum(np.where(look.motion > LEAST_MOTION / 4, look.motion, 0.0))
    total = float(way[-1]) if frames else 0.0
    if total < LEAST_MOTION * 3:
        return np.unique(np.linspace(0, frames - 1, min(frames, 3)).round().astype(np.int64))
    count = int(np.clip(np.ceil(total / STEP), min(LEAST_FRAMES, most), most))
    position = way / total * count
    part = np.minimum(position.astype(np.int64), count - 1)
    middle = np.abs(position - part - 0.5) <= 1 / 3
    chosen = []
    for index in range(count):
        inside = np.flatnonzero(part == index)
        central = inside[middle[inside]]
        options = central if len(central) else inside
        if len(options):
            chosen.append(int(options[np.argmax(look.sharpness[options])]))
    return np.array(chosen, np.int64)


def frames_of(file: Path, folder: Path, most: int, progress: Callable[[str, int, int], None]) -> list[tuple[Path, str, float]]:
    """Write the picked frames of a video as ``folder/frame_000123.jpg``; what was written before is not written again.

    Two passes: one over small grey frames, one that decodes the picked ones in full. Memory: two frames.

    Args:
        file: The video.
        folder: Is made.
        most: Most frames to take.
        progress: Called with stage, frames done and in all.
    Returns:
        File, name and time in seconds of each.
    Raises:
        DataError: It cannot be decoded, or has fewer than three frames.
    """
    av = require_extra("av", "photos", f"reading {file.name}")
    require_extra("cv2", "photos", f"reading {file.name}")
    stat = file.stat()
    key = [file.name, stat.st_size, stat.st_mtime_ns, most]
    index = folder / "frames.json"
    stored = read_json(index)
    if stored is not None and stored["key"] == key and all((folder / row["name"]).is_file() for row in stored["frames"]):
        return [(folder / row["name"], row["name"], row["time_s"]) for row in stored["frames"]]
    folder.mkdir(parents=True, exist_ok=True)
    try:
        look = look_through(file, progress)
        if len(look.times) < 3:
            raise DataError(
                f"{file}: only {len(look.times)} frames can be decoded", hint="copy the video again, or convert it to H.264 .mp4"
            )
        wanted = pick(look, most)
        rows = _write(file, folder, wanted, look, progress)
    except av.error.FFmpegError as error:
        raise DataError(f"{file}: cannot be decoded ({error})", hint="copy it again, or convert it to H.264 .mp4") from error
    write_json(index, {"key": key, "frames": rows, "of": len(look.times)})
    return [(folder / row["name"], row["name"], row["time_s"]) for row in rows]


def look_through(file: Path, progress: Callable[[str, int, int], None]) -> Look:
    """Measure every frame of a video."""
    import cv2

    times, motion, sharp = [], [], []
    before = None
    with _opened(file) as (container, stream):
        total = stream.frames or int(float((stream.duration or 0) * (stream.time_base or 0)) * float(stream.average_rate or 0))
        hdr = stream.codec_context.color_trc in (PQ, HLG)
        for frame in container.decode(stream):
            scale = min(1.0, LOOK_SIZE / max(frame.width, frame.height))
            width, height = max(16, round(frame.width * scale)), max(16, round(frame.height * scale))
            grey = frame.reformat(width=width, height=height, format="gray").to_ndarray().astype(np.float32)
            if before is None or before.shape != grey.shape:
                motion.append(0.0)
            else:
                motion.append(_motion(cv2, before, grey))
            before = grey
            times.append(float(frame.time or len(times) / 30.0))
            sharp.append(sharpness(grey.astype(np.float64)))
            progress("video", len(times), max(total, len(times)))
    return Look(np.array(times), np.array(motion), np.array(sharp), hdr)


def _motion(cv2: Any, before: np.ndarray, now: np.ndarray) -> float:
    """Median motion of nine parts of the picture, each by phase correlation, in widths of the picture."""
    rows, columns = (np.linspace(0, size, 4).astype(int) for size in now.shape)
    shifts = []
    for i in range(3):
        for j in range(3):
            part = np.s_[rows[i] : rows[i + 1], columns[j] : columns[j + 1]]
            shape = before[part].shape
            hann = cv2.createHanningWindow((shape[1], shape[0]), cv2.CV_32F)
            (dx, dy), _ = cv2.phaseCorrelate(np.ascontiguousarray(before[part]), np.ascontiguousarray(now[part]), hann)
            shifts.append(np.hypot(dx, dy))
    return float(np.median(shifts)) / now.shape[1]


def _write(file: Path, folder: Path, wanted: np.ndarray, look: Look, progress: Callable[[str, int, int], None]) -> list[dict]:
    chosen, rows = set(wanted.tolist()), []
    with _opened(file) as (container, stream):
        for number, frame in enumerate(container.decode(stream)):
            if number not in chosen:
                continue
            picture = Image.fromarray(_rgb(frame, look.hdr))
            turn = getattr(frame, "rotation", 0) % 360
            if turn:
                picture = picture.rotate(turn, expand=True)
            name = f"frame_{number:06d}.jpg"
            write_picture(folder / name, picture, quality=QUALITY, subsampling=0)
            rows.append({"name": name, "time_s": float(look.times[number])})
            progress("frames", len(rows), len(chosen))
            if len(rows) == len(chosen):
                break
    return rows


def _rgb(frame: Any, hdr: bool) -> np.ndarray:
    """8-bit sRGB-like colours of a frame; high dynamic range is brought down by ffmpeg's own filters where it has them. [H, W, 3] uint8"""
    from av.filter import Graph, filters_available

    if hdr and {"zscale", "tonemap"} <= set(filters_available):
        graph = Graph()
        chain = [
            graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base),
            graph.add("zscale", "transfer=linear:npl=100"),
            graph.add("tonemap", "tonemap=hable:desat=0"),
            graph.add("zscale", "primaries=bt709:transfer=bt709:matrix=bt709:range=tv"),
            graph.add("format", "yuv420p"),
            graph.add("buffersink"),
        ]
        for one, other in itertools.pairwise(chain):
            one.link_to(other)
        graph.configure()
        graph.push(frame)
        frame = graph.pull()
    return frame.to_ndarray(format="rgb24")


@contextmanager
def _opened(file: Path) -> Iterator[tuple[Any, Any]]:
    import av

    with av.open(str(file)) as container:
        if not container.streams.video:
            raise DataError(f"{file}: has no video in it", hint="give a video file, or a folder of photographs")
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        yield container, stream
