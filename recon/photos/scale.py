"""How large the world is: by a printed marker, by the distance of two cameras, or by a factor."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from recon.config.values import Unit
from recon.errors import DataError, UsageError
from recon.photos.decode import Photo
from recon.photos.markers import find_all, marker_side
from recon.photos.model import SparseModel
from recon.photos.options import PhotoOptions, parse_length, parse_marker


@dataclass(frozen=True)
class Scale:
    """The size of the world.

    Attributes:
        factor: World units in one of the model's; None: nothing is known, the region's radius becomes 1.
        unit: Name of the world's unit, or None.
        how: For the user.
    """

    factor: float | None
    unit: Unit | None
    how: str


def check_options(options: PhotoOptions) -> None:
    """Refuse what cannot be meant before any work is done.

    Raises:
        UsageError: A marker or length that is not understood, or both ways at once.
    """
    if options.marker is not None and options.distance is not None:
        raise UsageError("--marker and --distance both give the scale", "give one of them")
    if options.marker is not None:
        parse_marker(options.marker)
    if options.distance is not None:
        parse_length(options.distance[2], "--distance")
    if options.frames < 3:
        raise UsageError(f"--frames {options.frames}: a shape needs at least three photographs", "40 to 120 are usual")


def find_scale(
    options: PhotoOptions, unit: Unit | None, model: SparseModel, photos: Sequence[Photo], work: Path, progress: Callable[[int, int], None]
) -> Scale:
    """The scale that the options ask for.

    Args:
        options: What the user gave.
        unit: Of the world; None: that of the length given.
        model: In its own unit.
        photos: All; those without a camera are of no use.
        work: Keeps the markers that were found.
        progress: Photographs searched for markers, and all.
    Raises:
        DataError: No marker to be seen, markers that contradict each other, unknown names, cameras at one place.
    """
    if options.marker is not None:
        dictionary, side = parse_marker(options.marker)
        sightings = find_all(photos, dictionary, work, progress)
        measured, _, used = marker_side(sightings, model, photos)
        unit = unit or side.unit
        return Scale(side.to(unit) / measured, unit, f"by the printed {used}, {side.value:g} {side.unit}")
    if options.distance is not None:
        length = parse_length(options.distance[2], "--distance")
        rows = [_camera(name, model, photos) for name in options.distance[:2]]
        apart = float(np.linalg.norm(model.centers[rows[0]] - model.centers[rows[1]]))
        extent = float(np.linalg.norm(np.ptp(model.centers, axis=0)))
        if apart < 1e-3 * extent:
            raise DataError(
                f"{options.distance[0]} and {options.distance[1]} were taken at one place", hint="choose two that are far apart"
            )
        unit = unit or length.unit
        how = f"by the distance of {options.distance[0]} and {options.distance[1]}, {length.value:g} {length.unit}"
        return Scale(length.to(unit) / apart, unit, how)
    return Scale(None, None, "not known: nothing in photographs tells it (give --marker or --distance); the region's radius is 1")


def _camera(name: str, model: SparseModel, photos: Sequence[Photo]) -> int:
    """Row in the model of a photograph named by its path, its file name, or that without the suffix."""
    wanted = name.replace("\\", "/")
    tests: tuple[Callable[[PurePosixPath], bool], ...] = (
        lambda path: str(path) == wanted,
        lambda path: path.name == wanted,
        lambda path: path.stem == wanted,
    )
    for test in tests:
        found = [photo for photo in photos if test(PurePosixPath(photo.name))]
        if len(found) > 1:
            raise UsageError(
                f"--distance: {name} is the name of {len(found)} photographs: {', '.join(p.name for p in found[:3])}", "give the path"
            )
        if found:
            if found[0].work not in model.names:
                raise DataError(f"--distance: {found[0].name} has no camera", hint="name two photographs that have one")
            return model.names.index(found[0].work)
    raise UsageError(f"--distance: there is no photograph {name}", "give the file's name, as IMG_1.jpg")
