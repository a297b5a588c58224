"""The one door for data: from what a user names, photographs, a dataset, ``scenes:NAME``, to a scene and what is known of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from recon.config.values import DataConfig, RunConfig
from recon.errors import UsageError
from recon.system.foreign import reading

if TYPE_CHECKING:
    from recon.console import Reporter
    from recon.data.scene import Scene
    from recon.evaluation.truth.known import GroundTruth
    from recon.geometry import Similarity
    from recon.photos.options import PhotoOptions

# Torch, and the package of made-up scenes, are imported inside the functions: the command line must answer at once without them.


def with_cameras(source: str, options: PhotoOptions, data: DataConfig, out: Path, reporter: Reporter, seed: int = 0) -> str:
    """``DATA`` as it is if it has cameras; of photographs or a video, the dataset that is made of them, or was made before.

    Args:
        source: What the user names.
        options: How cameras are found.
        data: The unit of the dataset that is made, and its masks.
        out: Datasets are kept in ``out/datasets``, one for each folder of photographs, so that a second run need not search again.
        reporter: Told what is done.
        seed: Of everything random in the search.
    Returns:
        The dataset's folder, or ``source``.
    Raises:
        UsageError: Options for photographs, and data that have cameras.
        DataError: No cameras that can be believed.
    """
    from recon.photos.options import USUAL

    lacking = not source.startswith("scenes:") and lacks_cameras(Path(source))
    if not lacking:
        if options != USUAL:
            raise UsageError(
                f"{source} has cameras, so that --marker, --distance and the like change nothing", "give its lengths with --scale"
            )
        return source
    import hashlib
    import re

    from recon.photos.process import process
    from recon.photos.report import summary_lines

    path = Path(source).resolve()
    key = hashlib.sha1(str(path).encode("utf-8", "surrogateescape")).hexdigest()[:6]
    folder = out.resolve() / "datasets" / f"{re.sub(r'[^A-Za-z0-9_.-]+', '_', path.stem)}-{key}"
    reporter.say(f"{source} has no cameras: finding them first; the dataset goes to {folder}")
    for line in summary_lines(process(path, folder, options, reporter, unit=data.unit, masks=data.masks, seed=seed)):
        reporter.say(line)
    return str(folder)


def lacks_cameras(path: Path) -> bool:
    """Whether a path is a video, or a folder of photographs and of nothing that says where they were taken from."""
    from recon.data.formats.table import has_dataset
    from recon.data.formats.unread import refusal
    from recon.photos.gather import VIDEO_SUFFIXES, gather

    if path.is_file():
        return path.suffix.lower() in VIDEO_SUFFIXES
    if not path.is_dir() or has_dataset(path):
        return False
    found = gather(path)
    # A project of another program beside them is a choice of the user's, which the reader of data explains.
    return bool((found.photographs and refusal(path) is None) or found.videos)


def open_data(source: str, config: RunConfig, progress: Callable[[float, str], None] | None = None) -> Scene:
    """The dataset behind ``DATA``: a path, or ``scenes:NAME``; ``progress`` hears the share of its pictures that is read, and a text."""
    d = config.data
    if source.startswith("scenes:"):
        return _built_in(source, d)
    if (d.views, d.arc, d.exposure, d.noise) != (None, None, 0.0, 0.0):
        raise UsageError(
            f"{source}: these photographs are taken already", "drop --views, --arc, --exposure, --noise: they are for scenes:NAME"
        )
    from recon.data.load import load_scene

    with reading(source, "a dataset"):
        return load_scene(
            Path(source),
            downscale=d.downscale,
            max_size=d.max_size,
            usual_size=d.usual_size,
            holdout=d.holdout,
            use_masks=d.use_masks and d.masks != "none",
            mask_source=d.masks,
            mask_meaning=d.mask_meaning,
            axes=d.axes,
            unit=d.unit,
            scale=d.scale,
            progress=progress,
            skip_bad_frames=d.skip_bad_frames,
            world_from_scene=_given_bounds(d),
        )


def _built_in(source: str, d: DataConfig) -> Scene:
    """A scene of this program, photographed as the configuration says."""
    from dataclasses import replace

    import scenes

    if not d.use_masks:
        raise UsageError(
            "the built-in scenes have no masks; but for those in a room they are transparent around the object", "drop --no-masks"
        )
    if (d.masks, d.mask_meaning, d.axes, d.unit, d.scale) != (None, None, None, None, 1.0):
        raise UsageError("the built-in scenes have masks, axes and units of their own", "drop --masks, --axes, --unit, --scale")
    usual = scenes.usual(source)
    size = min(round(usual.width / d.downscale), d.max_size or usual.width)
    scene = scenes.load(source, scenes.photographed(usual, size, d.views, d.arc, d.exposure, d.noise))
    bounds = _given_bounds(d)
    return scene if bounds is None else replace(scene, world_from_scene=bounds)


def _given_bounds(d: DataConfig) -> Similarity | None:
    import numpy as np

    from recon.geometry import Similarity

    if d.bounds is None:
        return None
    *center, radius = d.bounds
    return Similarity(radius, translation=np.array(center))


def open_truth(source: str, given: Path | None, scan: int | None = None) -> GroundTruth:
    """What is known of the object, in world units: what the user gives (of DTU the scan), else what a built-in scene brings."""
    from recon.evaluation.dtu import scan_number
    from recon.evaluation.truth.known import GroundTruth, read_truth

    if given is not None:
        with reading(given, "a file of truth"):
            return read_truth(given, scan_number(source) if scan is None else scan)
    if not source.startswith("scenes:"):
        return GroundTruth()
    import scenes
    from recon.curves.files.wireframe import Wireframe
    from recon.evaluation.truth.curves import from_wireframe
    from recon.surface.mesh import Mesh

    known = scenes.truth(source)
    solid, curves, around = known.solid, None, None
    if solid.curves:
        wireframe = Wireframe(solid.curve_vertices, solid.curves, known.unit)
        curves = from_wireframe(wireframe, source, (solid.bounds[0], solid.bounds[1]))
    if known.rest is not None:
        around = Mesh(known.rest.vertices, known.rest.faces)
    return GroundTruth(Mesh(solid.vertices, solid.faces), curves, around=around, solid=known.step)
