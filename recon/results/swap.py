"""Shape and appearance of two runs exchanged: VolSDF's claim that its geometry and its radiance come apart (section 4.2, figure 6).

A VolSDF is ``(d, z) = f(x)`` and ``c = L(x, grad d, v, z)``: a geometry network with a signed distance and a feature, and a radiance
network. As in the paper, what changes hands is L alone, the grid that it may have included. Position, gradient **and feature** come from
the run that gives the shape, because z is an output of its geometry network, which L only reads; so are the density's scale, the
occupancy and what lies behind the object. Nothing ties the features of two runs that were trained apart to each other: the other run's L
sees a z that it was not trained on. What it understands in both is where a point is and how its surface is turned, so the colours that
carry over are those that follow these two.

Both runs are put on each other in scene units: the unit sphere of one is the unit sphere of the other.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from recon.console import Reporter
from recon.data.record import SceneRecord
from recon.data.scene import Camera
from recon.errors import UsageError
from recon.geometry import Similarity
from recon.methods.base import Method
from recon.model import METHODS
from recon.pipeline import load_method
from recon.rendering.image import render_view, to_uint8
from recon.results.films import FRAMES_PER_SECOND, usual_film
from recon.results.mesh import field_color, support_plane, surface, textured_surface, write_mesh
from recon.results.preview import captioned
from recon.results.renders import Draw, Shot, orbit_shots, sized, write_shots
from recon.runs import Run
from recon.surface.texture import color_vertices
from recon.system.files import write_picture


@dataclass(frozen=True)
class SwapOptions:
    """What is made.

    Attributes:
        views: Number of A's cameras in the picture.
        size: Longer side of each panel, pixels.
        frames: Pictures of a turn about the object; 0 for no film.
        export: Write A's mesh with B's appearance, too.
    """

    views: int = 3
    size: int = 400
    frames: int = 0
    export: bool = False


def repainted(shape: Method, appearance: Method) -> Method:
    """The geometry of one model under the radiance network of another; see the module's text.

    Args:
        shape: Gives all but the radiance network; it is left as it is.
        appearance: Gives the radiance network, which both then share.
    Raises:
        UsageError: If the radiance network reads a feature of another length than the geometry network gives.
    """
    own, other = shape.appearance, appearance.appearance
    assert own is not None
    assert other is not None
    given, read = own.features, other.features
    if given != read:
        raise UsageError(
            f"one run's geometry gives a feature of {given} numbers, the other's radiance network reads {read}",
            "train both with the same --set volsdf.features=",
        )
    return shape.with_appearance(other)


def swap(run_a: Run, run_b: Run, out: Path | None, options: SwapOptions, reporter: Reporter) -> list[Path]:
    """Write the pictures, and what else is asked for, of two runs that exchange their appearance.

    ``swap.png`` has a row for each camera and four columns: A, B, A's shape with B's appearance, B's shape with A's appearance. With
    ``frames`` a film ``orbit.mp4`` (``.gif`` without ffmpeg) shows the same four. With ``export``, ``mesh.glb`` (textured) and ``mesh.ply``
    (all faces) are A's mesh with B's appearance, in A's world units.

    Args:
        run_a, run_b: Trained volsdf runs.
        out: Folder; None for ``renders/swap-...`` of A.
        options: See :class:`SwapOptions`.
        reporter: Where progress goes.
    Returns:
        Files written.
    Raises:
        UsageError: If a run is no surface, or they do not fit together.
    """
    a, b = _with_appearance(run_a, reporter), _with_appearance(run_b, reporter)
    a_as_b, b_as_a = repainted(a, b), repainted(b, a)
    name_a, name_b = run_a.scene.name, run_b.scene.name
    if name_a == name_b:
        name_a, name_b = f"{name_a} (A)", f"{name_b} (B)"
    panels = {name_a: a, name_b: b, f"{name_a} as {name_b}": a_as_b, f"{name_b} as {name_a}": b_as_a}
    draw = _draw(panels, run_a.scene.scene_from_world)
    folder = out or run_a.renders / f"swap-{run_b.scene.name}-{run_b.folder.name}"
    cameras = _cameras(run_a.scene, options.views, options.size)
    folder.mkdir(parents=True, exist_ok=True)
    written, rows = [folder / "swap.png"], []
    for i, camera in enumerate(cameras):
        rows.append(draw(Shot(f"{i:05d}", camera), lambda share: None)["color"])
        reporter.progress("swap", (i + 1) / len(cameras), f"view {i + 1}/{len(cameras)}")
    width = max(r.shape[1] for r in rows)
    sheet = np.concatenate([np.pad(r, ((0, 4), (0, width - r.shape[1]), (0, 0)), constant_values=255) for r in rows])
    write_picture(written[0], Image.fromarray(sheet))
    if options.frames:
        film = usual_film(folder / "orbit")
        shots = orbit_shots(run_a, options.frames, options.size)
        written += write_shots(shots, ("color",), draw, film, FRAMES_PER_SECOND, reporter)
    if options.export:
        written += _export(run_a, run_b, a_as_b, folder, reporter)
    return written


def _with_appearance(run: Run, reporter: Reporter) -> Method:
    if not METHODS[run.config.method].has_appearance:
        raise UsageError(
            f"{run.folder}: a {run.config.method} run has no radiance network apart from its shape, so nothing can be swapped",
            "give two runs of --method volsdf",
        )
    return load_method(run, reporter)


def _cameras(scene: SceneRecord, count: int, size: int) -> list[Camera]:
    """A few of a run's cameras, held-out ones if there are any, spread evenly."""
    if count < 1:
        raise UsageError(f"{count} views", "at least one")
    views = scene.split("test") or scene.views
    chosen = np.unique(np.linspace(0, len(views) - 1, count).round().astype(int))
    return [sized(views[i].camera, size) for i in chosen]


def _draw(panels: dict[str, Method], scene_from_world: Similarity) -> Draw:
    """Draws all models from the same camera, side by side with their names."""

    def draw(shot: Shot, progress) -> dict[str, np.ndarray]:
        pictures = {}
        for i, (name, method) in enumerate(panels.items()):
            pictures[name] = to_uint8(render_view(method, shot.camera, scene_from_world).rgb)
            if i + 1 < len(panels):  # the end of the picture is told by the caller
                progress((i + 1) / len(panels))
        return {"color": captioned(pictures)}

    return draw


def _export(run_a: Run, run_b: Run, a_as_b: Method, folder: Path, reporter: Reporter) -> list[Path]:
    # The shape is A's, and so are the settings; but A's photographs show A's colours.
    settings = replace(run_a.config.export, texture="field")
    mesh = surface(a_as_b, settings, reporter, support_plane(a_as_b, settings, run_a.scene, reporter))
    if len(mesh.faces) == 0:
        raise UsageError(f"{run_a.folder}: there is no surface to paint", "train longer, and look at a rendered view")
    centers = run_b.scene.camera_centers  # the colours are B's, and know the directions that B was photographed from
    written = write_mesh(color_vertices(mesh, field_color(a_as_b, centers)), folder, ("ply",), run_a.scene)
    return written + write_mesh(textured_surface(a_as_b, mesh, settings, reporter, centers), folder, ("glb",), run_a.scene, settings.up)
