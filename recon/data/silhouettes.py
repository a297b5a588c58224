"""What separates the object from its background: alpha, masks, one plain colour, or nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
from scipy import ndimage

from recon.data.listing import Findings
from recon.data.scene import View

Background = Literal["alpha", "masks", "unknown"] | tuple[float, float, float]

# A plain background: this share of all border pixels within this distance (of 255) of one colour, in every channel.
PLAIN_SHARE = 0.95
PLAIN_DISTANCE = 2
# Further from the background colour than this (of 255) in some channel is object; well above JPEG noise.
OBJECT_DISTANCE = 12


def unify_alpha(views: tuple[View, ...], findings: Findings) -> tuple[View, ...]:
    """Give all views four channels if any has a transparent pixel, else three."""
    transparent = [view.image.shape[2] == 4 and bool((view.image[..., 3] < 255).any()) for view in views]
    if not any(transparent):
        return tuple(replace(view, image=np.ascontiguousarray(view.image[..., :3])) for view in views)
    opaque = [view for view in views if view.image.shape[2] == 3]
    if opaque:
        findings.warnings.append(
            f"{len(opaque)} of {len(views)} images have no alpha (first: {opaque[0].name}) and count as opaque throughout"
        )
    return tuple(
        view
        if view.image.shape[2] == 4
        else replace(view, image=np.concatenate([view.image, np.full_like(view.image[..., :1], 255)], axis=2))
        for view in views
    )


def note_premultiplied(views: Sequence[View], findings: Findings) -> None:
    """Say so if colours look multiplied by alpha, which PNG does not mean: none exceeds its alpha, and they fade towards the rim."""
    if views[0].image.shape[2] != 4:
        return
    faint, solid, count = [], [], 0
    for view in views:
        alpha, brightest = view.image[..., 3], view.image[..., :3].max(axis=2)
        rim = (alpha > 0) & (alpha < 255)
        if (brightest[rim] > alpha[rim]).any():
            return
        count += int(rim.sum())
        faint.append(brightest[rim & (alpha < 85)])
        solid.append(brightest[rim & (alpha > 170)])
    if count < 100 or not sum(map(len, faint)) or not sum(map(len, solid)):
        return
    if float(np.concatenate(faint).mean()) < 0.5 * float(np.concatenate(solid).mean()):
        findings.notes.append("colours look premultiplied: none is brighter than its alpha; they are read as straight, as PNG has them")


def detect_background(views: Sequence[View], use_masks: bool, findings: Findings) -> Background:
    """What is behind the object, see :attr:`recon.data.scene.Scene.background`; adds a note that says so."""
    if views[0].image.shape[2] == 4:
        findings.notes.append("background: transparent (alpha)")
        return "alpha"
    with_mask = sum(view.mask is not None for view in views)
    if with_mask == len(views) and use_masks:
        if masks_are_silhouettes(views):
            findings.notes.append("background: everything outside the masks")
            return "masks"
    elif with_mask and not use_masks:
        findings.notes.append("masks are there but not used")
    color = plain_color(views)
    if color is not None:
        rgb = tuple(round(255 * c) for c in color)
        findings.notes.append(f"background: one plain colour {rgb}")
        return color
    findings.notes.append("background: unknown, to be learned")
    return "unknown"


def plain_color(views: Sequence[View]) -> tuple[float, float, float] | None:
    """The colour (in [0, 1]) that 95 % of all border pixels share within 2/255, if there is one."""
    border = np.concatenate([np.concatenate([v.image[0], v.image[-1], v.image[:, 0], v.image[:, -1]])[:, :3] for v in views]).astype(
        np.int64
    )
    # The most frequent exact colour is the candidate: a median over channels could be a colour that no pixel has.
    values, counts = np.unique(border @ np.array([65536, 256, 1]), return_counts=True)
    best = int(values[np.argmax(counts)])
    color = np.array([best >> 16, (best >> 8) & 255, best & 255])
    if (np.abs(border - color).max(axis=1) <= PLAIN_DISTANCE).mean() < PLAIN_SHARE:
        return None
    r, g, b = (color / 255.0).tolist()
    return r, g, b


def masks_are_silhouettes(views: Sequence[View]) -> bool:
    """Whether masks outline an object, rather than marking a few pixels to ignore: on average they leave at least half the border empty."""
    masks = [view.mask for view in views if view.mask is not None]
    if len(masks) < len(views):
        return False
    covered = [np.mean(np.concatenate([m[0], m[-1], m[:, 0], m[:, -1]]) >= 128) for m in masks]
    return bool(np.mean(covered) < 0.5)


def silhouettes_of(views: Sequence[View], background: Background) -> list[np.ndarray] | None:
    """One boolean picture per view, True on the object, or None if the background is unknown. [H, W] each"""
    if background == "alpha":
        return [view.image[..., 3] >= 128 for view in views]
    if background == "masks":
        masks = [view.mask for view in views if view.mask is not None]
        return [mask >= 128 for mask in masks] if len(masks) == len(views) else None
    if isinstance(background, tuple):
        color = np.rint(np.array(background) * 255).astype(np.int16)
        out = []
        for view in views:
            differs = np.abs(view.image[..., :3].astype(np.int16) - color).max(axis=2) > OBJECT_DISTANCE
            # Parts of the object that have the background's colour show as holes; specks of noise do not bound anything.
            out.append(np.asarray(ndimage.binary_fill_holes(ndimage.binary_opening(differs, iterations=1)), dtype=bool))
        return out
    return None
