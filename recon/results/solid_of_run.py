"""Where `recon solid` takes its surface from: a run, with its signed distance and its photographs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np

from recon.config.values import Unit
from recon.console import Reporter
from recon.data.scene import Scene, View
from recon.errors import DataError, UsageError, recon_command
from recon.results.query import Loaded, load_run
from recon.results.solid import SolidSource, photograph_counts
from recon.results.solid_sources import curve_polylines, require_closed, welded
from recon.runs import Run, open_run
from recon.solid.model import Distance, SolidInput
from recon.surface.reading import read_mesh
from recon.system.foreign import read_json


def run_source(folder: Path, curves: Path | None, device: str, views: Sequence[View] | None, reporter: Reporter) -> SolidSource:
    """The surface of a finished run: its mesh, its signed distance, and in how many photographs each vertex is seen.

    Args:
        folder: Of a run of a method with a surface.
        curves: A run of an edge field, or a file of curves; None for none.
        device: Where the distance is computed.
        views: The photographs, if they are at hand.
        reporter: Where progress goes.
    Raises:
        UsageError: If the run has no surface.
        DataError: If its mesh is missing or not closed.
    """
    run = open_run(folder, device)
    scene = run.scene
    path = run.exports / "mesh.ply"
    if not path.is_file():
        if run.config.method != "volsdf":
            raise UsageError(f"{folder}: a {run.config.method} run has no surface to make a solid of", "give a run of --method volsdf")
        raise DataError(f"{folder}: it has no mesh yet", hint=recon_command("resume", folder))
    mesh = welded(read_mesh(path))
    require_closed(mesh, str(path), "a one-sided capture has no other side; " + recon_command("export", folder, "--closed", "yes"))
    reporter.progress("solid", 0.01, "in how many photographs each part of the surface is seen")
    cameras = [v.camera for v in scene.split("train")]
    seen = photograph_counts(mesh, cameras)
    distance = above_support(run_distance(load_run(folder, device)), run)
    given = SolidInput(mesh.vertices, mesh.faces, distance, curve_polylines(curves, mesh), views=seen)
    return SolidSource(str(folder), scene.name, given, cast("Unit | None", scene.unit), views or ())


def photographs(open_scene: Callable[[], Scene], reporter: Reporter) -> Sequence[View] | None:
    """A run's photographs for the picture; None, which is said, if its data are not there any more: everything else does without them."""
    try:
        return open_scene().split("train")
    except DataError as error:
        reporter.warn(f"the picture has no photograph: {error.message.splitlines()[0]}")
        return None


def run_distance(loaded: Loaded) -> Distance | None:
    """A run's signed distance in the world; None for runs of anything else. Beyond what was trained it is that of the border."""
    if loaded.kind != "signed distance":
        return None
    frame: Any = loaded.from_points
    back = frame.inverse()

    def distance(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        inside = back.apply(np.clip(frame.apply(points), -1.0, 1.0))
        found = loaded.query(inside, gradient=True)
        assert found.gradient is not None
        return found.values[:, 0].astype(np.float64), found.gradient

    return distance


def above_support(distance: Distance | None, run: Run) -> Distance | None:
    """The same, of what was left when the flat support was cut off: without it, the bottom of the mesh would lie in the table."""
    path = run.exports / "mesh.json"
    plane = read_json(path, "what was found about a mesh").get("support_plane") if path.is_file() else None
    if plane is None or distance is None:
        return distance
    normal, offset = np.array(plane["normal"], np.float64), float(plane["offset"])

    def cut(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        values, gradients = distance(points)
        below = offset - points @ normal
        outside = below > values
        return np.where(outside, below, values), np.where(outside[:, None], -normal, gradients)

    return cut
