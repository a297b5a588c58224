"""From the search's own frame to the world: weak cameras go, up becomes +z, the region's centre the origin, lengths get their scale."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from recon.config.values import Unit
from recon.photos.decode import Photo
from recon.photos.masks import Masks, inside_masks
from recon.photos.model import SparseModel
from recon.photos.options import PhotoOptions
from recon.photos.region import Region, Upward, region, up_of_cameras, upward, world_from_model
from recon.photos.scale import Scale, find_scale
from recon.photos.tries import Attempt

LEAST_OBSERVATIONS = 12
MOST_RESIDUAL_SHARE = 0.004
"""Of the longer side: a photograph whose points miss by more, in the median, stands somewhere else."""


@dataclass(frozen=True)
class Placed:
    """A model in the world.

    Attributes:
        model: In world coordinates; only photographs that stand well.
        photos: Of the model.
        weak: Reason of each photograph whose camera was taken away again.
        up, region: As found, in the search's own frame.
        radius: Of the region, world units.
        scale: How large the world is.
    """

    model: SparseModel
    photos: tuple[Photo, ...]
    weak: dict[str, str]
    up: Upward
    region: Region
    radius: float
    scale: Scale


def place(
    attempt: Attempt,
    photos: Sequence[Photo],
    options: PhotoOptions,
    unit: Unit | None,
    factor: float | None,
    masks: Masks,
    clock: Callable[[str, int, int], None],
    work: Path,
) -> Placed:
    """Take weak cameras away, find up, region and scale, and go to the world."""
    model, weak = without_weak(attempt.models[0])
    by_work = {photo.work: photo for photo in photos}
    number = {photo.work: i for i, photo in enumerate(photos)}
    model = model.reordered(np.argsort([number[name] for name in model.names]))
    used = tuple(by_work[name] for name in model.names)
    up = upward(model) if options.up_from == "auto" else Upward(up_of_cameras(model.world_from_camera), "from the cameras, as asked for")
    where = region(model, inside_masks(model, used, masks), up.plane)
    scale = find_scale(options, unit, model, photos, work, lambda done, total: clock("markers", done, total))
    if factor is not None:
        known = 1.0 / where.radius if scale.factor is None else scale.factor
        how = f"{scale.how}, times {factor:g}" if scale.factor is not None else f"{factor:g} times a region of radius 1, as given"
        scale = replace(scale, factor=known * factor, unit=scale.unit or unit, how=how)
    world = world_from_model(up.direction, where, scale.factor)
    reasons = {by_work[name].name: reason for name, reason in weak.items()}
    return Placed(model.transformed(world), used, reasons, up, where, where.radius * world.scale, scale)


def without_weak(model: SparseModel) -> tuple[SparseModel, dict[str, str]]:
    """Without photographs that hang on too few points or do not fit them; and a reason for each, by the name of its copy."""
    counts = np.bincount(model.seen_by, minlength=len(model.names))
    order = np.argsort(model.seen_by, kind="stable")
    residuals = np.split(model.residuals()[order], np.cumsum(counts)[:-1])
    medians = np.array([np.median(r) if len(r) else np.inf for r in residuals]) / model.sizes[model.camera].max(axis=1)
    few, far = counts < LEAST_OBSERVATIONS, medians > MOST_RESIDUAL_SHARE
    weak = {model.names[i]: f"hangs on only {counts[i]} points" for i in np.flatnonzero(few)}
    weak |= {model.names[i]: "what it shows does not fit the others" for i in np.flatnonzero(far & ~few)}
    return model.keep(~(few | far)), weak
