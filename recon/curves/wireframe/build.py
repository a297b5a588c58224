"""The wireframe from a trained edge field and the 2D edges: points on the field's ridges, tracks along them, a graph of curves, all refined
together on the pictures.

The field says where in space edges are, in one piece and without false ones that a few views would suggest; the pictures say exactly
where. Lengths are in pixels at the scene's centre from here to the end, when the curves go back to the world.
"""

from __future__ import annotations

import numpy as np

from recon.config.values import CurvesConfig
from recon.console import Reporter
from recon.curves.edges2d.edges import Edges
from recon.curves.files.wireframe import Wireframe
from recon.curves.wireframe.calibration import calibrate
from recon.curves.wireframe.contours import surface_radius
from recon.curves.wireframe.crossings import split_at_crossings
from recon.curves.wireframe.edge_grid import EdgeFunction, EdgeGrid, edge_grid
from recon.curves.wireframe.evidence import EdgePoints, Evidence, gather_evidence, polish
from recon.curves.wireframe.graph import drop_short, drop_stubs, merge, model_of_tracks, snap
from recon.curves.wireframe.grow import grow_ends
from recon.curves.wireframe.model import Model
from recon.curves.wireframe.points import ridge_points
from recon.curves.wireframe.prune import Support, support_of
from recon.curves.wireframe.refine import Visibility, refine
from recon.curves.wireframe.shapes import to_curve
from recon.curves.wireframe.standing import beside_object
from recon.curves.wireframe.trace import TraceSettings, trace
from recon.curves.wireframe.visibility import visibility
from recon.geometry import Similarity

COARSE_GRID, FINE_GRID = 96, 256
MIN_EDGE = 0.3
"""Least edge probability (smoothed) of a point that is followed. The field is below it where nothing is."""
SEEDS = 5000
"""Points that are polished on the pictures; strongest first."""
STANDING_SEEDS = 12000
"""The same where the object may stand on something: a printed cloth has more of them than the object."""
CALIBRATION_POINTS = 800
SUPPORT_SHARE = 0.16
LEAST_SUPPORT, MOST_SUPPORT = 3, 12
"""A curve has to be seen in this share of the views, in so many at least: two always agree, and with a hundred views twelve are proof."""
LEAST_SPREAD, KEPT_SPREAD = 0.08, 0.05
"""Least spread of the views around an edge that is followed, and around a curve that is kept. By hand, not swept."""
LEAST_CALIBRATION = 50
"""Points below which a displacement of the maps is not estimated: it has three unknowns beside two of every point."""
CALIBRATED_PX = (2.5, 2.0)
"""Where points look for edges after calibration, which moved the maps by about a pixel."""
LAST_PX = (1.5, 1.5, 1.5, 1.2, 1.2)
"""The same in the last refinement: curves lie within a pixel by then. By hand."""
ROUNDS = 2
"""Refinements, each followed by edits of the graph."""
MIN_RMSE_PX, RMSE_FACTOR = 0.45, 2.2
"""A curve may fit this much worse than the well supported ones."""
CONTOUR_RADIUS_PX = 8.0
"""A curve across which the surface is rounder than this is the contour of a smooth surface, if also ..."""
CONTOUR_SPREAD, CONTOUR_OUTLINE = 0.2, 0.45
"""... it is seen from nearly one side, and often as the object's outline. (Next to a chamfered edge the outline jumps to the neighbouring
edge, which looks round too; but a chamfered edge is seen from all around and inside the outline.)"""


def build_wireframe(
    edges: Edges,
    edge: EdgeFunction,
    world_from_scene: Similarity,
    settings: CurvesConfig,
    reporter: Reporter,
    may_stand: bool = False,
) -> Wireframe:
    """Parametric curves of an object.

    Args:
        edges: The 2D edges of the training views.
        edge: The trained field: edge probability at scene points.
        world_from_scene: The scene's frame.
        settings: What to keep.
        reporter: Where progress goes.
        may_stand: Nothing tells the object from what it stands on: edges on a flat support beside it are left out.
    Returns:
        The wireframe in world units; empty when nothing is found.
    """
    scene_from_world = world_from_scene.inverse()
    pixel = gather_evidence(edges, scene_from_world).pixel
    s = scene_from_world
    frame_from_world = Similarity(s.scale / pixel, s.rotation, s.translation / pixel)
    evidence = gather_evidence(edges, frame_from_world)
    min_support = int(np.clip(round(SUPPORT_SHARE * evidence.views), LEAST_SUPPORT, MOST_SUPPORT))

    reporter.progress("curves", 0.0, "edge field")
    cameras = scene_from_world.apply(np.stack([v.camera.center for v in edges.views])) if may_stand else None
    seeds = _seeds(edge, pixel, evidence, SEEDS if cameras is None else STANDING_SEEDS)
    if len(seeds) == 0:
        return Wireframe(np.zeros((0, 3)), (), None)
    good = (seeds.support >= min_support) & (seeds.spread > LEAST_SPREAD)
    if cameras is not None:
        seeds = _of_object(seeds[good], pixel, cameras, reporter)
        good = np.ones(len(seeds), bool)
    if evidence.calibration_free and good.sum() >= LEAST_CALIBRATION:
        reporter.progress("curves", 0.2, "calibration of the given maps")
        some = np.random.default_rng(0).permutation(np.nonzero(good)[0])[:CALIBRATION_POINTS]
        evidence, found, _ = calibrate(evidence, seeds[some])
        reporter.say(
            f"the given maps lie ({found.offset_px[0]:+.2f}, {found.offset_px[1]:+.2f}) px beside the true edges, "
            f"silhouettes {found.outward_px:+.2f} px outside: corrected"
        )
        seeds = polish(evidence, seeds.points, seeds.tangents, radii_px=CALIBRATED_PX)
    reporter.progress("curves", 0.3, f"following {len(seeds)} points")
    tracks = trace(evidence, seeds, TraceSettings(min_support, LEAST_SPREAD))
    reporter.progress("curves", 0.6, f"{len(tracks)} tracks")
    visible = None if edges.mesh is None else visibility(edges.mesh, frame_from_world, evidence)
    model = _graph(model_of_tracks(tracks), evidence, min_support, visible, settings, reporter)
    support = support_of(model, evidence, min_support, visible)
    reporter.progress("curves", 1.0, f"{len(model.shapes)} curves")
    return _wireframe(model, support).transformed(frame_from_world.inverse())


def _seeds(edge: EdgeFunction, pixel: float, evidence: Evidence, most: int) -> EdgePoints:
    """Points on the ridges of the field, moved to where the pictures show them; frame of the evidence."""
    coarse = edge_grid(edge, COARSE_GRID, (np.full(3, -1.0), np.full(3, 1.0)))
    box = _box(coarse)
    if box is None:
        empty = np.zeros((0, 3))
        return EdgePoints(empty, empty, np.zeros(0, int), np.zeros(0), np.zeros(0))
    points, tangents, _ = ridge_points(edge_grid(edge, FINE_GRID, box), MIN_EDGE)
    if len(points) > most:
        chosen = np.sort(np.random.default_rng(0).permutation(len(points))[:most])
        points, tangents = points[chosen], tangents[chosen]
    return polish(evidence, points / pixel, tangents)


def _of_object(seeds: EdgePoints, pixel: float, cameras: np.ndarray, reporter: Reporter) -> EdgePoints:
    """Those that are not on a flat support beside the object; cameras in scene units. [V, 3]"""
    beside = beside_object(seeds.points * pixel, cameras)
    if beside is None:
        return seeds
    reporter.say(f"the object stands on something flat: {beside.sum()} of {len(seeds)} points on edges are beside it and left out")
    return seeds[~beside]


def _box(grid: EdgeGrid) -> tuple[np.ndarray, np.ndarray] | None:
    """Where the field is not empty, with a margin of two cells."""
    index = np.argwhere(grid.values > 0.5 * MIN_EDGE)
    if len(index) == 0:
        return None
    return grid.points(np.maximum(index.min(0) - 2, 0)), grid.points(np.minimum(index.max(0) + 2, COARSE_GRID - 1))


def _graph(
    model: Model, evidence: Evidence, min_support: int, visible: Visibility | None, settings: CurvesConfig, reporter: Reporter
) -> Model:
    """Curves that explain the pictures, joined where they meet."""

    def seen(candidate: Model) -> Model:
        s = support_of(candidate, evidence, min_support, visible)
        good = (s.own >= 0.5 * min_support) & (s.share > 0.5)
        # contours are seen from one side, and no curve fits them well
        return candidate.keep(good if settings.keep_silhouettes else good & (s.spread > KEPT_SPREAD) & (s.rmse_px <= _worst_rmse(s)))

    def edited(candidate: Model) -> Model:
        return merge(split_at_crossings(drop_short(snap(candidate))))

    def sharp(candidate: Model) -> Model:
        if settings.keep_silhouettes:
            return candidate
        s = support_of(candidate, evidence, min_support, visible)
        one_sided = (s.spread < CONTOUR_SPREAD) & (s.outline > CONTOUR_OUTLINE)
        return candidate.keep(~one_sided | (surface_radius(candidate, evidence) < CONTOUR_RADIUS_PX))

    model = seen(sharp(model))
    for k in range(ROUNDS):
        reporter.progress("curves", 0.7 + 0.15 * k, f"refining {len(model.shapes)} curves")
        model = refine(edited(model), evidence, visible)
        model = drop_stubs(grow_ends(seen(sharp(model)), evidence, min_support, visible))
    return refine(edited(model), evidence, visible, radii_px=LAST_PX)


def _worst_rmse(support: Support) -> float:
    """Edges that happen to lie near a curve scatter over the whole window; those of a true curve do not. What is usual is the median over
    all edges that are explained, so that true curves decide, which explain most."""
    if len(support.views) == 0:
        return 0.0
    order = np.argsort(support.rmse_px)
    explained = np.cumsum(support.explained[order])
    usual = support.rmse_px[order][np.searchsorted(explained, 0.5 * explained[-1])]
    return max(MIN_RMSE_PX, RMSE_FACTOR * float(usual))


def _wireframe(model: Model, support: Support) -> Wireframe:
    curves = [
        to_curve(shape, model.vertices, support=round(float(support.views[k])), rmse_px=float(support.rmse_px[k]))
        for k, shape in enumerate(model.shapes)
    ]
    return Wireframe(model.vertices, tuple(curves))
