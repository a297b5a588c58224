"""What a photograph says about the camera that took it."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

EXIF_IFD, ORIENTATION, MAKE, MODEL = 0x8769, 0x0112, 0x010F, 0x0110
FOCAL_MM, FOCAL_35MM, DIGITAL_ZOOM, LENS_MODEL = 0x920A, 0xA405, 0xA404, 0xA434
PIXEL_X, PIXEL_Y, PLANE_X_RESOLUTION, PLANE_UNIT = 0xA002, 0xA003, 0xA20E, 0xA210
DIAGONAL_35MM = math.hypot(36.0, 24.0)
"""The 35 mm equivalent of a focal length keeps the angle of view along the diagonal (CIPA DCG-001)."""
PLANE_UNIT_MM = {2: 25.4, 3: 10.0, 4: 1.0}
USUAL_ASPECTS = (4 / 3, 3 / 2, 16 / 9)


@dataclass(frozen=True)
class CameraTag:
    """Camera of a photograph as its file describes it.

    Attributes:
        name: "Canon EOS 5D 50 mm", or "" if the file says nothing.
        orientation: EXIF's, 1 to 8.
        focal_px: Focal length, pixels of the full picture, or None.
        whole: Whether the picture seems to be the whole frame, so that ``focal_px`` can be trusted.
    """

    name: str
    orientation: int
    focal_px: float | None
    whole: bool


def read_tag(exif: Any, width: int, height: int) -> CameraTag:
    """The camera of a file with Pillow's ``exif`` and a size in pixels; what is malformed counts as not said."""
    more = exif.get_ifd(EXIF_IFD)
    focal_mm, focal_35, zoom = (_positive(more.get(key)) for key in (FOCAL_MM, FOCAL_35MM, DIGITAL_ZOOM))
    words = [_text(exif.get(MAKE)), _text(exif.get(MODEL)), _text(more.get(LENS_MODEL))]
    if focal_mm is not None:
        words.append(f"{focal_mm:g} mm")
    if zoom is not None and zoom != 1:
        words.append(f"digital zoom {zoom:g}")
    orientation = exif.get(ORIENTATION, 1)
    recorded = sorted(side for side in (_positive(more.get(PIXEL_X)), _positive(more.get(PIXEL_Y))) if side is not None)
    uncropped = len(recorded) < 2 or recorded == sorted((width, height))
    aspect = max(width, height) / min(width, height)
    focal = None
    if focal_35 is not None:
        focal = focal_35 / DIAGONAL_35MM * math.hypot(width, height)
    elif focal_mm is not None and (density := _positive(more.get(PLANE_X_RESOLUTION))) is not None:
        frame = recorded[-1] if len(recorded) == 2 else max(width, height)
        focal = focal_mm * density / PLANE_UNIT_MM.get(more.get(PLANE_UNIT, 2), 25.4) * max(width, height) / frame
    if focal is not None and not 0.2 < focal / max(width, height) < 30:
        focal = None
    return CameraTag(
        name=" ".join(word for word in words if word),
        orientation=orientation if orientation in range(1, 9) else 1,
        focal_px=focal,
        whole=uncropped and any(abs(aspect / usual - 1) < 0.01 for usual in USUAL_ASPECTS),
    )


def _positive(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    return number if math.isfinite(number) and number > 0 else None


def _text(value: Any) -> str:
    """Printable words of a tag."""
    return re.sub(r"[^\x20-\x7e]+", " ", value).strip() if isinstance(value, str) else ""
