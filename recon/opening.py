"""The one door for data: from what a user names, photographs, a dataset, ``scenes:NAME``, to a scene and what is known of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from recon.config.values import RunConfig
from recon.errors import UsageError

if TYPE_CHECKING:
    from recon.console import Reporter
    from recon.data.scene import Scene
    from recon.evaluation.truth.known import GroundTruth
    from recon.photos.options import PhotoOptions

# Torch, and the package of made-up scenes, are imported inside the functions: the command line must answer at once without them.


def with_cameras(source: str, options: PhotoOptions, out: Path, reporter: Reporter, seed: int = 0) -> str:
    """``DATA`` as it is if it has cameras; of photographs or a video, the dataset that is made of them, or was made before.

    Args:
        source: What the user names.
        options: How cameras are found.
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
    for line in summary_lines(process(path, folder, options, reporter, seed=seed)):
        reporter.say(line)
    return str(folder)


def lacks_cameras(path: Path) -> bool:
    """Whether a path is a video, or a folder of photographs that no format of :mod:`recon.data.formats` knows."""
    from recon.data.formats import blender, dtu, emap, nerfstudio
    from recon.photos.gather import VIDEO_SUFFIXES, gather

    if path.is_file():
        return path.suffix.lower() in VIDEO_SUFFIXES
    if not path.is_dir() or any(module.recognises(path) for module in (blender, nerfstudio, dtu, emap)):
        return False
    found = gather(path)
    return bool(found.photographs or found.videos)


def open_data(source: str, config: RunConfig) -> Scene:
    """The dataset behind ``DATA``: a path, or ``scenes:NAME``."""
    d = config.data
    if source.startswith("scenes:"):
        import scenes

        if not d.use_masks:
            raise UsageError(
                "the built-in scenes have a transparent background: there is nothing behind the object to learn", "drop --no-masks"
            )
        usual = scenes.SceneOptions()
        size = min(round(usual.width / d.downscale), d.max_size or usual.width)
        return scenes.load(source, scenes.SceneOptions(width=size, height=size))
    import numpy as np

    from recon.data.load import load_scene
    from recon.geometry import Similarity

    bounds = None
    if d.bounds is not None:
        *center, radius = d.bounds
        bounds = Similarity(radius, translation=np.array(center))
    return load_scene(
        Path(source),
        downscale=d.downscale,
        max_size=d.max_size,
        holdout=d.holdout,
        use_masks=d.use_masks,
        skip_bad_frames=d.skip_bad_frames,
        world_from_scene=bounds,
    )


def open_truth(source: str, given: Path | None, scan: int | None = None) -> GroundTruth:
    """What is known of the object, in world units: what the user gives (of DTU the scan), else what a built-in scene brings."""
    from recon.evaluation.dtu import scan_number
    from recon.evaluation.truth.known import GroundTruth, read_truth

    if given is not None:
        return read_truth(given, scan_number(source) if scan is None else scan)
    if not source.startswith("scenes:"):
        return GroundTruth()
    import scenes
    from recon.curves.files.wireframe import Wireframe
    from recon.evaluation.truth.curves import from_wireframe
    from recon.surface.mesh import Mesh

    known = scenes.truth(source)
    solid, curves = known.solid, None
    if solid.curves:
        wireframe = Wireframe(solid.curve_vertices, solid.curves, known.unit)
        curves = from_wireframe(wireframe, source, (solid.bounds[0], solid.bounds[1]))
    return GroundTruth(Mesh(solid.vertices, solid.faces), curves)
