"""Photographs that would only do harm: copies of another one, and blurred ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from recon.photos.decode import Photo

SAME_BRIGHTNESS = 1.0
"""Two thumbnails whose brightness differs by less than this on average, of 255, are of one picture ..."""
SAME_ANYWHERE = 6.0
"""... if it differs nowhere by more than this."""
BLURRED_SHARE = 0.3
"""Less than this share of the sharpness of the photographs taken before and after is blur."""
NEIGHBORS = 3
BLUR_NEEDS = 8
"""With fewer photographs nobody can say what is usual."""


def copies(photos: Sequence[Photo]) -> dict[str, str]:
    """Name of each photograph that is a copy of an earlier one, and a reason that names it. Time: n^2 / 2 x 1024 differences."""
    reasons: dict[str, str] = {}
    first: dict[str, str] = {}
    for photo in photos:
        if photo.sha1 in first:
            reasons[photo.name] = f"the same file as {first[photo.sha1]}"
        else:
            first[photo.sha1] = photo.name
    kept = [photo for photo in photos if photo.name not in reasons]
    if not kept:
        return reasons
    small = np.stack([photo.small for photo in kept]).reshape(len(kept), -1).astype(np.float32)
    for j in range(1, len(kept)):
        difference = np.abs(small[:j] - small[j])
        shape = np.array([(p.width > p.height) == (kept[j].width > kept[j].height) for p in kept[:j]])
        same = shape & (difference.mean(axis=1) < SAME_BRIGHTNESS) & (difference.max(axis=1) < SAME_ANYWHERE)
        same &= np.array([p.name not in reasons for p in kept[:j]])
        if same.any():
            reasons[kept[j].name] = f"the same picture as {kept[int(np.argmax(same))].name}"
    return reasons


def blurred(photos: Sequence[Photo]) -> dict[str, str]:
    """Name and reason of each photograph that is much less sharp than those of the same camera taken before and after it."""
    reasons: dict[str, str] = {}
    for i, photo in enumerate(photos):
        around = [p.sharpness for p in photos[max(0, i - NEIGHBORS) : i + NEIGHBORS + 1] if p is not photo]
        if len(photos) < BLUR_NEEDS or not around:
            continue
        usual = float(np.median(around))
        if photo.sharpness < BLURRED_SHARE * usual:
            reasons[photo.name] = f"blurred: {photo.sharpness / usual:.2f} of the sharpness of the photographs beside it"
    return reasons
