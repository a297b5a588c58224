"""What a format says about a dataset before any pixel is read, and the findings made on the way.

A format module turns its files into a :class:`Listing`; it converts axes and pixel centres and nothing else. Checks, decoding,
undistortion, resizing, split and bounds are the same for every format and live elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from recon.errors import DataError
from recon.geometry import Similarity
from recon.system.text import printable

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".heic", ".heif", ".exr")
Axes = Literal["opencv", "opengl", "opencv-inverse", "opengl-inverse"]
MaskMeaning = Literal["object", "ignore"]


@dataclass(frozen=True)
class Lens:
    """Distortion in normalised camera coordinates (x = X/Z, y = Y/Z, r^2 = x^2 + y^2), see :mod:`recon.data.distortion`.

    Attributes:
        model: What ``k`` means:
            "polynomial": radial factor 1 + k1 r^2 + k2 r^4 + k3 r^6 + k4 r^8;
            "rational": OpenCV's (1 + k1 r^2 + k2 r^4 + k3 r^6) / (1 + k4 r^2 + k5 r^4 + k6 r^6);
            "fisheye": "polynomial" on the equidistant plane, in which a point lies theta (its angle) from the centre, not r;
            "fisheye624": there a radial factor of six terms k1 .. k6 first, then the tangential and prism terms of its result;
            "fov": r becomes atan(2 r tan(k1 / 2)) / k1 (Devernay and Faugeras);
            "division": r_ideal = r / (1 + k1 r^2), r the distorted radius (Fitzgibbon);
            "eucm": x / (k1 sqrt(k2 r^2 + 1) + 1 - k1) (Khomutenko).
        k: k1 .. k6.
        p: Tangential p1, p2 of the first four models.
        s: Thin prism s1 r^2 + s2 r^4 in x and s3 r^2 + s4 r^4 in y, of the first four models.
    """

    model: Literal["polynomial", "rational", "fisheye", "fisheye624", "fov", "division", "eucm"] = "polynomial"
    k: tuple[float, float, float, float, float, float] = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    p: tuple[float, float] = (0.0, 0.0)
    s: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)

    @property
    def is_perspective(self) -> bool:
        """Whether it is a pinhole with small corrections; the other models see half a sphere and more."""
        return self.model in ("polynomial", "rational")

    @property
    def is_pinhole(self) -> bool:
        return self.is_perspective and not any(self.k) and not any(self.p) and not any(self.s)


@dataclass(frozen=True)
class Intrinsics:
    """Intrinsics as a file gives them, possibly incomplete; pixel centres at +0.5.

    Attributes:
        fx, fy: Focal lengths, pixels; None: from the angles.
        cx, cy: Principal point, pixels; None: the image's centre.
        width, height: Size the numbers belong to, pixels; None: the image's own.
        angle_x, angle_y: Whole field of view, radians.
        skew: K[0, 1], pixels.
        lens: Distortion.
    """

    fx: float | None = None
    fy: float | None = None
    cx: float | None = None
    cy: float | None = None
    width: int | None = None
    height: int | None = None
    angle_x: float | None = None
    angle_y: float | None = None
    skew: float = 0.0
    lens: Lens = Lens()


@dataclass(frozen=True)
class Frame:
    """One photograph of a listing.

    Attributes:
        where: For messages: "transforms.json frame 17 (images/0017.jpg)".
        name: Path relative to the dataset, with forward slashes.
        file: The image; it may not exist.
        world_from_camera: Pose with OpenCV camera axes, not yet checked. [3, 4] float64
        intrinsics: Not yet checked.
        split: The dataset's own assignment, if it has one.
        mask: Mask image, if the dataset names one.
        mask_meaning: "object": white is the object. "ignore": white is to be left out. None: to be found out by its look.
    """

    where: str
    name: str
    file: Path
    world_from_camera: np.ndarray
    intrinsics: Intrinsics
    split: Literal["train", "test"] | None = None
    mask: Path | None = None
    mask_meaning: MaskMeaning | None = None


@dataclass(frozen=True)
class Points:
    """Sparse points of a reconstruction.

    Attributes:
        xyz: World. [N, 3] float64
        rgb: Colours. [N, 3] uint8 or None
        track: In how many photographs each was found. [N] int or None
        error: Its mean reprojection error, pixels. [N] float or None
    """

    xyz: np.ndarray
    rgb: np.ndarray | None = None
    track: np.ndarray | None = None
    error: np.ndarray | None = None


@dataclass(frozen=True)
class Listing:
    """A dataset as its files describe it.

    Attributes:
        root: The dataset's folder.
        format: "blender", "nerfstudio", "dtu", "emap", ...
        frames: In file order.
        has_split: Whether every frame carries the dataset's own split.
        world_from_scene: Bounds the dataset states, if it does.
        bounds_note: How they are stated, for the user.
        unit: Name of the world unit, or None if unknown.
        points: Sparse points that come with it.
        axes: Camera axes that the file was read as having.
    """

    root: Path
    format: str
    frames: tuple[Frame, ...]
    has_split: bool = False
    world_from_scene: Similarity | None = None
    bounds_note: str = ""
    unit: str | None = None
    points: Points | None = None
    axes: Literal["opencv", "opengl"] = "opencv"


class FrameProblem(Exception):
    """One frame cannot be used; the text says why, without naming the frame."""


@dataclass
class Findings:
    """Everything found wrong, mended or worth saying about a dataset, gathered so that it is reported at once.

    Attributes:
        fatal: Problems of the dataset as a whole.
        bad: (where, text) per frame that cannot be used.
        mended: (where, text) per frame that was mended or converted.
        warnings, notes: Lines for the user.
    """

    fatal: list[str] = field(default_factory=list)
    bad: list[tuple[str, str]] = field(default_factory=list)
    mended: list[tuple[str, str]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def all_warnings(self) -> tuple[str, ...]:
        """Warnings, with those that repeat over frames folded into one line each."""
        return tuple(printable(line) for line in (*self.warnings, *grouped(self.mended)))

    def all_notes(self) -> tuple[str, ...]:
        """Notes, safe to show."""
        return tuple(printable(line) for line in self.notes)

    def raise_if_any(self, root: Path, frames: int | None = None) -> None:
        """Raise one :class:`DataError` with every problem gathered so far, if there is one; ``frames``: how many were listed."""
        problems = [printable(line) for line in (*self.fatal, *grouped(self.bad))]
        if not problems:
            return
        if self.fatal:
            hint = "Mend what is listed and load again; `recon inspect` shows what is understood without training."
        else:
            hint = "Mend the frames named, or leave them out with --skip-bad-frames."
            if frames is not None and len({where for where, _ in self.bad}) >= frames:
                hint = "Mend what is listed: it holds for all frames, so there is none to go on with."
        raise DataError(f"the dataset {root} cannot be used:", problems, hint)

    def skip_bad(self) -> None:
        """Turn the bad frames into warnings; the caller has already left them out."""
        self.warnings += [f"left out: {line}" for line in grouped(self.bad)]
        self.bad.clear()


def grouped(lines: Iterable[tuple[str, str]]) -> list[str]:
    """Fold (where, text) pairs whose text repeats in more than three frames into one line. Order of first appearance is kept."""
    by_text: dict[str, list[str]] = {}
    for where, text in lines:
        by_text.setdefault(text, []).append(where)
    out = []
    for text, wheres in by_text.items():
        if len(wheres) <= 3:
            out += [f"{where}: {text}" for where in wheres]
        else:
            out.append(f"{len(wheres)} frames ({', '.join(wheres[:3])}, ...): {text}")
    return out


def natural_key(name: str) -> tuple:
    """Sort key that puts 2.png before 10.png."""
    return tuple((0, int(part), "") if part.isdigit() and part.isascii() else (1, 0, part.lower()) for part in re.split(r"([0-9]+)", name))
