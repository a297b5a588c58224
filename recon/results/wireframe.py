"""From 2D edges and a trained edge field to a wireframe and its files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch

from recon.console import Reporter
from recon.curves.drawing import contact_sheet
from recon.curves.edges2d.edges import Edges, find_edges
from recon.curves.edges2d.maps import write_map
from recon.curves.files.exports import CurveFormat, export_curves
from recon.curves.files.wireframe import Wireframe
from recon.curves.wireframe.build import build_wireframe
from recon.curves.wireframe.calibration import mark_silhouettes
from recon.curves.wireframe.contours import without_contours
from recon.data.scene import Scene
from recon.device import CPU, from_numpy, to_numpy
from recon.rendering.edge_rays import EdgeBank
from recon.results.evaluation import view_stem
from recon.runs import Run
from recon.surface.reading import read_mesh


def run_edges(run: Run, scene: Scene, reporter: Reporter) -> Edges:
    """The 2D edges that a run is configured with, also written as ``edges/VIEW.png`` to look at.

    Raises:
        DataError: No view has an edge.
    """
    edges = find_edges(scene, run.config.nef.edges, reporter)
    empty = sum(len(view.points) == 0 for view in edges.views)
    reporter.say(f"edges ({edges.source}): {edges.count} points in {len(edges.views) - empty} views")
    for warning in edges.warnings:
        reporter.warn(warning)
    folder = run.folder / "edges"
    folder.mkdir(exist_ok=True)
    for view in edges.views:
        write_map(view.strength, folder / f"{view_stem(view.name)}.png")
    return edges


def edge_pixels(run: Run, scene: Scene, edges: Edges, device: torch.device = CPU) -> EdgeBank:
    """The pixels that a run's field is trained on, kept on a device."""
    settings = run.config.nef
    everywhere = settings.sampling == "hierarchical"
    return EdgeBank(edges.views, scene.scene_from_world, settings.map_size, settings.importance, everywhere, device)


def make_wireframe(
    run: Run,
    edge_probability: Callable[[torch.Tensor], torch.Tensor],
    edges: Edges,
    scene: Scene,
    reporter: Reporter,
    formats: Sequence[CurveFormat] | None = None,
    device: torch.device = CPU,
) -> Wireframe:
    """Find the curves and write them to ``exports/`` (world units), with ``curves.png``, the curves over photographs.

    An empty field gives an empty wireframe with a warning.

    Args:
        run: Where files go.
        edge_probability: The trained field: scene points in [-1, 1]^3 -> 0 to 1. [N, 3] -> [N]
        edges: What it was trained on; the curves are refined on them.
        scene: The data.
        reporter: Where progress goes.
        formats: Of the files; None for all whose packages are installed.
        device: Where the field is.
    """

    def edge(points: np.ndarray) -> np.ndarray:
        found = to_numpy(edge_probability(from_numpy(points, device)))
        return np.where((points**2).sum(-1) < 1.0, found, 0.0)  # outside the unit sphere nothing was ever learnt

    if edges.mesh is None:
        edges = mark_silhouettes(edges, scene)
    elif not run.config.curves.keep_silhouettes:
        edges = without_contours(edges)
    may_stand = edges.mesh is None and scene.background == "unknown"
    wireframe = build_wireframe(edges, edge, scene.world_from_scene, run.config.curves, reporter, may_stand)
    wireframe = replace(wireframe, unit=scene.unit)
    if not wireframe.curves:
        reporter.warn("no curve was found: the edge field is empty; look at edges/ and preview.png, and at recon inspect DATA --edges auto")
    mesh = None if edges.mesh is None else read_mesh(edges.mesh)
    cameras = {view_stem(v.name): v.camera for v in scene.views}
    written, left_out = export_curves(run.exports, wireframe, cameras, mesh, formats, run.scene.name)
    for line in left_out:
        reporter.say(line)
    contact_sheet(wireframe, scene.split("test") or scene.split("train"), mesh, run.folder / "curves.png")
    reporter.say(f"wireframe: {len(wireframe.curves)} curves, {len(wireframe.vertices)} vertices, {len(written)} files in {run.exports}")
    return wireframe
