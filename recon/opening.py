"""The one door for data: from what a user names, a path or ``scenes:NAME``, to a scene and to what is known of its object."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from recon.config.values import RunConfig
from recon.errors import UsageError
from recon.foreign import reading

if TYPE_CHECKING:
    from recon.data.scene import Scene
    from recon.evaluation.truth.known import GroundTruth

# Torch, and the package of made-up scenes, are imported inside the functions: the command line must answer at once without them.


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
    with reading(source, "a dataset"):
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
        with reading(given, "a file of truth"):
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
