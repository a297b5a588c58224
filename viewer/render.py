"""`recon render`: pictures and films of a run's field, mesh and curves, without a display."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from recon import pipeline
from recon.console import Reporter
from recon.data.scene import Scene
from recon.errors import UsageError
from recon.model import METHODS
from recon.rendering.image import to_uint8
from recon.rendering.meshes import Shading
from recon.rendering.modes import Mode, check_modes, depth_colors, error_colors, sphere_depth_range
from recon.results.films import usual_film
from recon.results.renders import Draw, Shot, draw_field, numbered, orbit_shots, sized, split_shots, write_shots
from recon.runs import Run
from viewer.loading import load_surface, load_wireframe
from viewer.paths import load_path
from viewer.stills import Still, stage

Subject = Literal["field", "mesh", "curves"]
MESH_MODES = ("color", "clay", "normal", "depth", "opacity", "overlay", "error")
CURVE_MODES = ("color", "depth", "opacity", "overlay")
PHOTOGRAPH_MODES = ("overlay", "error")
"""Modes that need the photograph from the same camera."""
SHADINGS: dict[str, Shading] = {"color": "color", "clay": "clay", "normal": "normals", "overlay": "clay", "error": "color"}
"""How the mesh is coloured for a mode."""
OVERLAY = 0.6
"""How opaque a mesh is over a photograph; curves alone are wholly."""
DEFAULT_SIZE = 400


@dataclass(frozen=True)
class RenderOptions:
    """What `recon render` is asked for.

    Attributes:
        of: The trained field alone, or the exported mesh, the curves, or both of these.
        path: A camera path; None: see ``split``.
        split: The cameras of a split; None, without a path either: a turn about the object.
        modes: See :mod:`recon.rendering.modes`; the mesh also has "clay". Empty: the first that there is.
        size: Longer side, pixels; None: as the photographs were used for a split, else 400.
        frames: Pictures of a turn (default 48) or along a path (default: what its times say).
        fps: Of films; None: the path's own, else 24.
        depth_range: Ends of the colour map of "depth", world units; None: from the bounds of the object.
        out: An .mp4 or .gif, or a folder for .png; None: in the run's ``renders``.
    """

    of: tuple[Subject, ...] = ("field",)
    path: Path | None = None
    split: Literal["train", "test"] | None = None
    modes: tuple[str, ...] = ()
    size: int | None = None
    frames: int | None = None
    fps: float | None = None
    depth_range: tuple[float, float] | None = None
    out: Path | None = None


def render(run: Run, options: RenderOptions, open_scene: Callable[[], Scene], reporter: Reporter) -> list[Path]:
    """Render a run as asked.

    Args:
        run: A run folder.
        options: See there.
        open_scene: Opens the run's data; called only if photographs are needed.
        reporter: Where progress, and the depth range, go.
    Returns:
        The files, or the folder, written.
    Raises:
        UsageError: If the options contradict each other, or a mode does not exist here.
        DataError: If the run has no mesh, no curves, no checkpoint or no such views.
        CapabilityError: If the mesh or curves are wanted and pyvista is missing.
    """
    modes = _modes(run, options)
    world_from_scene = run.scene.world_from_scene
    shots, fps = _shots(run, options, open_scene if set(modes) & set(PHOTOGRAPH_MODES) else None)
    near, far = options.depth_range or sphere_depth_range([s.camera for s in shots], world_from_scene)
    if not near < far:
        raise UsageError(f"a depth range from {near:g} to {far:g}", "--depth-range NEAR FAR, NEAR the smaller")
    if "depth" in modes:
        reporter.say(f"depth: yellow is {near:.4g}, blue is {far:.4g} {run.scene.unit or 'world units'} (viridis)")
    if "error" in modes:
        reporter.say("error: mean absolute difference of sRGB in [0, 1], black is 0, yellow is 0.25 and more (magma)")
    if options.of == ("field",):
        method = pipeline.load_method(run, reporter)
        drawing: AbstractContextManager[Draw] = nullcontext(draw_field(method, world_from_scene, _field_modes(modes), (near, far)))
    else:
        drawing = draw_geometry(run, options.of, modes, (near, far))
    with drawing as draw:
        return write_shots(shots, modes, draw, options.out or _usual_out(run, options), fps, reporter)


def _modes(run: Run, options: RenderOptions) -> tuple[str, ...]:
    subjects = set(options.of)
    if not subjects or len(subjects) < len(options.of) or ("field" in subjects and len(subjects) > 1):
        raise UsageError(f"pictures of {' and '.join(options.of) or 'nothing'}", "--of takes field, mesh, curves, or mesh curves")
    if options.of == ("field",):
        available: tuple[str, ...] = METHODS[run.config.method].modes
        what = f"a run of the method {run.config.method}"
    else:
        available = MESH_MODES if "mesh" in subjects else CURVE_MODES
        what = f"a picture of {' and '.join(options.of)}"
    if options.split is None:
        for mode in PHOTOGRAPH_MODES:
            if mode in options.modes and mode in available:
                raise UsageError(f"the mode '{mode}' needs a photograph from the same camera", "use --split test or --split train")
        available = tuple(m for m in available if m not in PHOTOGRAPH_MODES)
    check_modes(options.modes, available, what)
    if len(set(options.modes)) < len(options.modes):
        raise UsageError(f"a mode is named twice: {' '.join(options.modes)}", "name each once")
    return options.modes or available[:1]


def _field_modes(modes: Sequence[str]) -> tuple[Mode, ...]:
    return tuple(m for m in ("color", "depth", "normal", "opacity", "edge", "error") if m in modes)


def _shots(run: Run, options: RenderOptions, open_scene: Callable[[], Scene] | None) -> tuple[list[Shot], float]:
    """The pictures to make and the frames per second."""
    if options.split is not None:
        if options.path is not None or options.frames is not None:
            raise UsageError("a split has its own cameras", "give --split alone, or --path, or --orbit, with --frames")
        return split_shots(run, options.split, options.size, open_scene() if open_scene is not None else None), options.fps or 24.0
    size = options.size or DEFAULT_SIZE
    if options.path is None:
        return orbit_shots(run, 48 if options.frames is None else options.frames, size), options.fps or 24.0
    path = load_path(options.path)
    like = sized(run.scene.views[0].camera, size)
    return numbered(path.cameras(like.width, like.height, options.frames)), options.fps or path.fps


def _usual_out(run: Run, options: RenderOptions) -> Path:
    name = options.split or (options.path.stem if options.path is not None else "orbit")
    if options.of != ("field",):
        name += "-" + "-".join(options.of)
    return run.renders / name if options.split is not None else usual_film(run.renders / name)


@contextmanager
def draw_geometry(run: Run, of: Sequence[Subject], modes: Sequence[str], depth_range: tuple[float, float]) -> Iterator[Draw]:
    """A context in which the exported mesh, the curves or both can be drawn; see :func:`viewer.stills.stage`."""
    mesh = load_surface(run) if "mesh" in of else None
    wireframe = load_wireframe(run) if "curves" in of else None
    shadings: tuple[Shading, ...] = tuple(dict.fromkeys(SHADINGS[mode] for mode in modes if mode in SHADINGS))
    with stage(mesh, wireframe, shadings=shadings or ("color",)) as look:

        def draw(shot: Shot, progress: Callable[[float], None]) -> dict[str, np.ndarray]:
            still = look(shot.camera)
            return {mode: _picture(still, mode, depth_range, shot.photograph, 1.0 if mesh is None else OVERLAY) for mode in modes}

        yield draw


def _picture(still: Still, mode: str, depth_range: tuple[float, float], photograph: np.ndarray | None, opacity: float) -> np.ndarray:
    if mode == "depth":
        return depth_colors(still.depth, still.alpha, depth_range)
    if mode == "opacity":
        return to_uint8(np.repeat(still.alpha[..., None], 3, -1))
    if mode == "overlay" and photograph is not None:
        return still.over(photograph, SHADINGS[mode], opacity)
    if mode == "error" and photograph is not None:
        return error_colors(still.colors[SHADINGS[mode]], photograph)
    return still.over_white(SHADINGS[mode])
