"""Where the object is, chosen from all that is known of it; and what does not fit to that."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from recon.data import bounds
from recon.data.axes import MEANING, better_reading
from recon.data.listing import Findings, Listing
from recon.data.scene import View
from recon.data.silhouettes import Background, masks_are_silhouettes, silhouettes_of
from recon.geometry import Similarity

FEW_SILHOUETTES = 8
"""Cones of fewer views often leave more than the object, however right they are."""


def place(
    listing: Listing, views: tuple[View, ...], background: Background, use_masks: bool, given: Similarity | None, findings: Findings
) -> Similarity:
    """Choose ``world_from_scene`` and say how."""

    def said(similarity: Similarity, how: str) -> Similarity:
        x, y, z = similarity.translation
        unit = f" {listing.unit}" if listing.unit else ""
        findings.notes.append(f"{how}; unit sphere = centre ({x:.4g}, {y:.4g}, {z:.4g}), radius {similarity.scale:.4g}{unit} in the world")
        return similarity

    doubt = _doubt(listing, views)
    if doubt:
        findings.warnings.append(doubt)
    if given is not None:
        return said(given, "bounds: as given")
    if listing.world_from_scene is not None:
        return said(listing.world_from_scene, f"bounds: {listing.bounds_note}")
    cameras = [view.camera for view in views]
    chosen, kind = list(views), background
    if background != "alpha" and use_masks:
        masked = [view for view in views if view.mask is not None and not (view.ignore is not None and view.ignore.any())] or [
            view for view in views if view.mask is not None
        ]
        if masked and masks_are_silhouettes(masked):
            chosen, kind = masked, "masks"
    silhouettes = silhouettes_of(chosen, kind)
    if silhouettes is not None and len(chosen) >= 2:
        hull = bounds.from_silhouettes([view.camera for view in chosen], silhouettes)
        if hull is not None:
            of = "silhouettes before the plain background" if isinstance(kind, tuple) else kind
            return said(hull, f"bounds: visual hull of the {of}, 10 % margin")
        findings.warnings.append(_why_no_hull(chosen, doubt is not None))
    if listing.points is not None:
        found = bounds.from_points(cameras, listing.points)
        if found is not None:
            return said(found, f"bounds: sparse points that most cameras look at ({len(listing.points.xyz)} in all), 10 % margin")
    similarity, note, warning = bounds.from_cameras(cameras)
    if warning and doubt is None:
        findings.warnings.append(warning)
    return said(similarity, note)


def _doubt(listing: Listing, views: Sequence[View]) -> str | None:
    """A line if the cameras contradict themselves and another reading of their axes does not."""
    reading = better_reading([view.camera.world_from_camera for view in views], listing.axes)
    if reading is None:
        return None
    return (
        f"the cameras do not look at one place, but all {len(views)} do if their matrices are read as {MEANING[reading]}: "
        f"if that is how they were written, give --axes {reading}"
    )


def _why_no_hull(views: Sequence[View], doubted: bool) -> str:
    instead = "the bounds are found otherwise"
    if doubted:
        return f"the silhouettes do not meet, as the cameras do not; {instead}"
    if len(views) < FEW_SILHOUETTES:
        return f"{len(views)} views are too few for their silhouettes to bound the object; {instead}"
    if bounds.point_nearest_axes([view.camera for view in views])[1] < bounds.PARALLEL_AXES:
        return f"all cameras look the same way, so their silhouettes leave the depth open; {instead}"
    return f"the silhouettes do not bound an object in space (do masks or poses contradict each other?); {instead}"


def warn_unseen(views: tuple[View, ...], world_from_scene: Similarity, findings: Findings) -> None:
    """Name the views whose frame does not touch the projected unit sphere."""
    # 200 points spread evenly over the sphere (Fibonacci lattice) and its centre.
    i = np.arange(200) + 0.5
    z, phi = 1 - i / 100, np.pi * (1 + 5**0.5) * i
    r = np.sqrt(1 - z**2)
    sphere = world_from_scene.apply(np.concatenate([np.stack([r * np.cos(phi), r * np.sin(phi), z], 1), np.zeros((1, 3))]))
    unseen = []
    for view in views:
        inside = np.linalg.norm(view.camera.center - world_from_scene.translation) < world_from_scene.scale
        uv, depth = view.camera.project(sphere)
        touches = (depth > 0) & (uv >= 0).all(axis=1) & (uv[:, 0] <= view.camera.width) & (uv[:, 1] <= view.camera.height)
        if not inside and not touches.any():
            unseen.append(view.name)
    if unseen:
        names = ", ".join(unseen[:3]) + (", ..." if len(unseen) > 3 else "")
        findings.warnings.append(
            f"{len(unseen)} views do not see the bounding sphere at all ({names}): wrong poses, or bounds to be given with --bounds"
        )
