"""How near a wireframe is to the true curves: the two published protocols as their code has them, and an exact one.

Everything is measured in the normalised frame of the truth (the object's longest side is 1, its box centred at 0.5), where the
literature calls a thousandth "1 mm".
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy.spatial import KDTree

from recon.curves.files.wireframe import Wireframe
from recon.evaluation.curves_exact import PROTOCOL as EXACT_PROTOCOL
from recon.evaluation.curves_exact import exact_metrics
from recon.evaluation.truth.curves import CurveTruth

MM = 1e-3
"""One "mm" of the protocols, in normalised units."""
THRESHOLDS_MM = (5.0, 10.0, 20.0)
EMAP_SPACING = 0.005
EMAP_CELL = 2.0 / 256
NEF_SAMPLES = 500
NEF_CELL = 1.0 / 64
NEF_THRESHOLD = 0.02
NEF_TRUTH_SPACING = 0.015
"""Spacing of the truth's points where it brings no mesh vertices; those of ABC's meshes are 0.013 to 0.016 apart."""
MAX_RAW_SAMPLES = 2_000_000
"""At most about so many points on the truth, 48 MB: objects in large units are sampled more coarsely, which changes nothing measurable."""

PROTOCOL = {
    "frame": "the object's longest side is 1, its box centred at 0.5; 1 mm is a thousandth of that side",
    "emap": (
        f"Li et al. 2024 (EMAP) as coded: floor(length / {EMAP_SPACING}) samples at equal curve parameters on each predicted curve; "
        f"truth interpolated between its file's vertices, floor(distance / {EMAP_SPACING}) samples a step in the units of that file "
        f"(before normalisation; exact curves without vertices: every {EMAP_SPACING / 5:g}); mean distances in mm; precision, recall and "
        f"F-score as shares at {', '.join(f'{t:g}' for t in THRESHOLDS_MM)} mm; 'averaged': prediction averaged in cells of 2/256 as "
        "EMAP does; 'plain': not averaged, as EdgeGaussians and SketchSplat do"
    ),
    "nef": (
        f"Ye et al. 2023 (NEF) as coded: {NEF_SAMPLES} samples at equal parameters on each predicted curve, averaged in cells of 1/64; "
        f"truth: its file's vertices (exact curves without vertices: every {NEF_TRUTH_SPACING}); chamfer: sum of the two mean distances; "
        f"precision, recall, F-score and IoU at {NEF_THRESHOLD}"
    ),
    "exact": EXACT_PROTOCOL,
}


def evaluate_curves(predicted: Wireframe, truth: CurveTruth) -> dict[str, Any]:
    """All figures of a wireframe.

    Args:
        predicted: World units; may be empty.
        truth: World units.
    Returns:
        ``f5, f10, f20`` (EMAP's averaged F-scores), ``curves`` and ``curves_truth`` (counts), ``emap`` (``averaged``, ``plain``), ``nef``,
        ``exact`` (None if the truth is points only), ``truth`` (what it is), ``protocol`` in words. Shares are in [0, 1]; what cannot be
        measured is None.
    """
    normalised = predicted.transformed(truth.normalised_from_world)
    emap = _emap(normalised, truth)
    f5, f10, f20 = emap["averaged"]["fscore"]
    exact = None if truth.wireframe is None else exact_metrics(normalised, truth.wireframe.transformed(truth.normalised_from_world))
    return {
        "f5": f5,
        "f10": f10,
        "f20": f20,
        "curves": len(predicted.curves),
        "curves_truth": None if truth.wireframe is None else len(truth.wireframe.curves),
        "emap": emap,
        "nef": _nef(normalised, truth),
        "exact": exact,
        "truth": {
            "label": truth.label,
            "extent_of": truth.extent_of,
            "normalised_from_world": truth.normalised_from_world.to_json(),
            "points_only": truth.wireframe is None,
        },
        "protocol": PROTOCOL,
    }


def point_metrics(predicted: np.ndarray, truth: np.ndarray, thresholds_mm: tuple[float, ...] = THRESHOLDS_MM) -> dict[str, Any]:
    """Accuracy and completeness (mean distance to the other's nearest point, mm), precision, recall and F-score (shares within each
    threshold) of two point sets in normalised units. An empty prediction has no accuracy and scores nothing. [N, 3], [M, 3]"""
    head = {"thresholds_mm": list(thresholds_mm), "samples": len(predicted), "samples_truth": len(truth)}
    if len(predicted) == 0 or len(truth) == 0:
        zeros = [0.0] * len(thresholds_mm)
        return {**head, "accuracy_mm": None, "completeness_mm": None, "precision": zeros, "recall": zeros, "fscore": zeros}
    to_truth, to_predicted = KDTree(truth).query(predicted)[0] / MM, KDTree(predicted).query(truth)[0] / MM
    precision = [float((to_truth < t).mean()) for t in thresholds_mm]
    recall = [float((to_predicted < t).mean()) for t in thresholds_mm]
    return {
        **head,
        "accuracy_mm": float(to_truth.mean()),
        "completeness_mm": float(to_predicted.mean()),
        "precision": precision,
        "recall": recall,
        "fscore": [harmonic(p, r) for p, r in zip(precision, recall, strict=True)],
    }


def harmonic(a: float, b: float) -> float:
    """Harmonic mean; 0 if both are."""
    return 2 * a * b / (a + b) if a + b > 0 else 0.0


def voxel_average(points: np.ndarray, cell: float, origin: np.ndarray | float | None = None) -> np.ndarray:
    """The mean of the points in each occupied cell of a grid. [N, 3] -> [M, 3]

    Args:
        points: [N, 3]
        cell: Side of the cells.
        origin: A corner of the grid; default: the lowest corner of the points' box.
    """
    if len(points) == 0:
        return points
    corner = points.min(0) if origin is None else origin
    _, inverse, count = np.unique(np.floor((points - corner) / cell).astype(np.int64), axis=0, return_inverse=True, return_counts=True)
    total = np.zeros((len(count), 3))
    np.add.at(total, inverse.reshape(-1), points)
    return total / count[:, None]


def even_parameters(wireframe: Wireframe, counts: list[int]) -> np.ndarray:
    """Points at equal steps of the curves' parameters, ends included; curves with a count of 0 are left out. [N, 3]"""
    points = [c.at(np.linspace(0, c.pieces, n)) for c, n in zip(wireframe.curves, counts, strict=True) if n > 0]
    return np.concatenate(points) if points else np.zeros((0, 3))


def _emap(predicted: Wireframe, truth: CurveTruth) -> dict[str, Any]:
    points = even_parameters(predicted, [math.floor(c.length / EMAP_SPACING) for c in predicted.curves])
    known = _emap_truth(truth)
    return {"averaged": point_metrics(voxel_average(points, EMAP_CELL, -1.0), known), "plain": point_metrics(points, known)}


def _emap_truth(truth: CurveTruth) -> np.ndarray:
    """EMAP's points on the truth, normalised. [M, 3]"""
    normalise = truth.normalised_from_world
    if truth.wireframe is None:
        return normalise.apply(np.concatenate(truth.polylines))
    if not truth.polylines:
        return truth.wireframe.transformed(normalise).samples(EMAP_SPACING / 5)[0]
    starts, ends = (np.concatenate([p[k] for p in truth.polylines]) for k in (slice(None, -1), slice(1, None)))
    raw = np.linalg.norm(ends - starts, axis=1) * truth.raw_from_world
    counts = np.floor(raw / max(EMAP_SPACING, float(raw.sum()) / MAX_RAW_SAMPLES)).astype(np.int64)
    step = np.repeat(np.arange(len(counts)), counts)
    place = np.arange(len(step)) - np.repeat(np.cumsum(counts) - counts, counts)
    t = (place / np.maximum(counts[step] - 1, 1))[:, None]
    return normalise.apply(starts[step] * (1 - t) + ends[step] * t)


def _nef(predicted: Wireframe, truth: CurveTruth) -> dict[str, Any]:
    points = voxel_average(even_parameters(predicted, [NEF_SAMPLES] * len(predicted.curves)), NEF_CELL)
    if truth.polylines:
        known = truth.normalised_from_world.apply(np.concatenate(truth.polylines))
    else:
        assert truth.wireframe is not None
        known = truth.wireframe.transformed(truth.normalised_from_world).samples(NEF_TRUTH_SPACING)[0]
    figures = point_metrics(points, known, (NEF_THRESHOLD / MM,))
    (p,), (r,), (f,) = figures["precision"], figures["recall"], figures["fscore"]
    good, found = p * len(points), r * len(known)
    union = len(points) + len(known) - max(good, found)
    chamfer = None if len(points) == 0 else (figures["accuracy_mm"] + figures["completeness_mm"]) * MM
    return {"chamfer": chamfer, "precision": p, "recall": r, "fscore": f, "iou": min(good, found) / union if union > 0 else 0.0}
