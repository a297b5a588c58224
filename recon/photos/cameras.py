"""Which photographs were taken by one camera, and what is known of its lens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recon.photos.decode import Photo

USUAL_FOCAL = 1.2
"""Focal length in longer sides where nothing is known (a 40 degrees wide view)."""


@dataclass(frozen=True)
class Group:
    """Photographs that share a camera.

    Attributes:
        label: For the user.
        photos: In order.
        focal: In longer sides, where files say one; else None.
        trusted: Whether that is the focal length of these pictures for sure.
    """

    label: str
    photos: tuple[Photo, ...]
    focal: float | None
    trusted: bool


def groups_of(photos: Sequence[Photo]) -> list[Group]:
    """One group for each camera, lens, focal length and size; the largest first."""
    together: dict[tuple, list[Photo]] = {}
    for photo in photos:
        together.setdefault((photo.camera, photo.width, photo.height), []).append(photo)
    out = []
    for (camera, width, height), members in together.items():
        known = [photo.focal_px / max(width, height) for photo in members if photo.focal_px is not None]
        focal = float(np.median(known)) if known else None
        out.append(
            Group(
                f"{camera or 'unnamed camera'}, {width}x{height}",
                tuple(members),
                focal,
                bool(known) and all(p.focal_trusted for p in members),
            )
        )
    return sorted(out, key=lambda group: -len(group.photos))


def job_groups(groups: Sequence[Group], longest: int) -> list[dict]:
    """The groups as the child takes them, for small copies of a longer side of ``longest`` pixels."""
    rows = []
    for group in groups:
        width, height = group.photos[0].width, group.photos[0].height
        factor = min(1.0, longest / max(width, height))
        w, h = (round(width * factor), round(height * factor)) if factor < 1 else (width, height)
        start = USUAL_FOCAL if group.focal is None else group.focal
        params = [start * max(w, h), w / 2, h / 2, 0.0] if group.trusted else None
        rows.append({"names": [photo.work for photo in group.photos], "params": params, "factor": start})
    return rows
