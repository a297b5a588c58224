"""What a user says about photographs without cameras. Nothing here imports anything heavy, so that ``--help`` answers at once."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from recon.config.values import Unit
from recon.data.units import METRES
from recon.errors import UsageError


@dataclass(frozen=True)
class PhotoOptions:
    """How cameras are found for photographs or a video that come without, and how large their world is."""

    marker: str | None = None
    """A printed marker in the picture that gives the scale, and the side of its black square: aruco_4x4_50:40mm, apriltag_36h11:2in."""
    distance: tuple[str, str, str] | None = None
    """Two photographs and how far apart they were taken, which gives the scale: IMG_1.jpg IMG_7.jpg 120mm."""
    up_from: Literal["auto", "cameras"] = "auto"
    """What is taken for up. auto: the plane that the object stands on, where the points show one, else the cameras, held level."""
    frames: int = 80
    """Of a video: at most this many sharp frames are used."""
    force_cameras: bool = False
    """Go on with cameras that failed a check (use what there is of them)."""


USUAL = PhotoOptions()
"""Nothing asked for."""


@dataclass(frozen=True)
class Length:
    """A length with its unit."""

    value: float
    unit: Unit

    def to(self, unit: str) -> float:
        """The value in another unit."""
        return self.value * METRES[self.unit] / METRES[unit]


def parse_length(text: str, what: str) -> Length:
    """ "40mm", "2 in", "0.12m".

    Raises:
        UsageError: Not a positive number with a unit.
    """
    match = re.fullmatch(r"\s*([0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?)\s*(mm|cm|m|in)\s*", text)
    if match is None or not 0 < float(match[1]) < float("inf"):
        raise UsageError(f"{what}: {text!r} is not a length", "write a positive number with its unit: 40mm, 4cm, 0.12m or 2in")
    unit: Unit = match[2]  # type: ignore[assignment]
    return Length(float(match[1]), unit)


def parse_marker(text: str) -> tuple[str, Length]:
    """ "aruco_4x4_50:40mm" to the dictionary's name in OpenCV, DICT_4X4_50, and the side.

    Raises:
        UsageError: Not of that form. Whether OpenCV has the dictionary is found when it is opened.
    """
    family, colon, side = text.partition(":")
    match = re.fullmatch(r"(aruco|apriltag)_([a-z0-9_]+)", family.strip().lower())
    if match is None or not colon:
        raise UsageError(
            f"--marker {text!r} is not understood",
            "write the dictionary and the side of the black square: aruco_4x4_50:40mm, apriltag_36h11:40mm",
        )
    kind, rest = match[1], match[2].upper()
    name = f"DICT_{'APRILTAG' if kind == 'apriltag' else 'ARUCO'}_{rest}" if kind == "apriltag" or rest == "ORIGINAL" else f"DICT_{rest}"
    return name, parse_length(side, "--marker")
