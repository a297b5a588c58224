"""Our own comparison of a wireframe with the true one: by arc length, distances to curves instead of to samples, and what a CAD user asks:
types, junctions, counts and gaps."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.spatial import KDTree

from recon.curves.files.wireframe import Wireframe

SPACING = 0.001
THRESHOLDS = (0.005, 0.01, 0.02)
MATCH = 0.01
NEIGHBOURS = 8
"""True samples that are asked for one of the right direction: at a corner, the nearest may be on the other curve."""
TIE = 1e-9
MATCH_COS = float(np.cos(np.radians(30.0)))
JUNCTION = 0.01
GAP = 0.001
FAMILIES = {"line": "line", "arc": "circle", "circle": "circle", "ellipse": "ellipse", "bezier": "bezier"}
"""An arc found in pieces of a circle is of the right type: they are one family."""

PROTOCOL = (
    f"both wireframes sampled by arc length every {SPACING} in normalised units; distances are to the curves, not to samples; accuracy, "
    f"completeness (mean and median) and precision, recall, F-score at {', '.join(f'{1000 * t:g}' for t in THRESHOLDS)} mm; recall by the "
    f"truth's type (arcs and circles are one); type agreement: share of the predicted length within {1000 * MATCH:g} mm of the truth and "
    "within 30 degrees of its direction whose type is that of the nearest such true curve; junctions: vertices where at least two ends "
    f"meet, found if a predicted junction is within {1000 * JUNCTION:g} mm; ends: share of the predicted ends that share a vertex, and "
    f"share of all ends whose nearest other end is less than {1000 * GAP:g} mm away"
)


def exact_metrics(predicted: Wireframe, truth: Wireframe) -> dict[str, Any]:
    """Figures of :data:`PROTOCOL`; both in normalised units; ``truth`` has a curve, ``predicted`` may have none."""
    p, t = predicted.samples(SPACING), truth.samples(SPACING)
    (p_points, _, p_curve), (t_points, _, t_curve) = p, t
    p_weight, t_weight = (_weights(w, i) for w, i in ((predicted, p_curve), (truth, t_curve)))
    to_truth, to_predicted = _to_samples(p_points, t_points, t_curve), _to_samples(t_points, p_points, p_curve)
    precision = [_share(to_truth < t, p_weight) for t in THRESHOLDS]
    recall = [_share(to_predicted < t, t_weight) for t in THRESHOLDS]
    types = np.array([FAMILIES[c.type] for c in truth.curves])[t_curve]
    by_type = {}
    for family in dict.fromkeys(FAMILIES.values()):
        rows = types == family
        if rows.any():
            by_type[family] = {
                "length": float(t_weight[rows].sum()),
                "curves": sum(FAMILIES[c.type] == family for c in truth.curves),
                "curves_predicted": sum(FAMILIES[c.type] == family for c in predicted.curves),
                "recall": [_share(to_predicted[rows] < t, t_weight[rows]) for t in THRESHOLDS],
            }
    found, true = len(predicted.curves), len(truth.curves)
    return {
        "thresholds_mm": [1000 * t for t in THRESHOLDS],
        "accuracy_mm": _mean(to_truth, p_weight),
        "accuracy_median_mm": float(1000 * np.median(to_truth)) if len(to_truth) else None,
        "completeness_mm": _mean(to_predicted, t_weight) if found else None,
        "completeness_median_mm": float(1000 * np.median(to_predicted)) if found else None,
        "precision": precision,
        "recall": recall,
        "fscore": [2 * a * b / (a + b) if a + b > 0 else 0.0 for a, b in zip(precision, recall, strict=True)],
        "length": float(p_weight.sum()),
        "length_truth": float(t_weight.sum()),
        "count": found,
        "count_truth": true,
        "count_ratio": found / true,
        "by_type": by_type,
        "types": _type_agreement(predicted, truth, p, t, p_weight),
        "junctions": _junctions(predicted, truth),
        "ends": _ends(predicted),
    }


def distances(points: np.ndarray, wireframe: Wireframe) -> np.ndarray:
    """Distance of points to curves: to the two chords about the nearest of the samples :data:`SPACING` apart, so exact on lines and within
    ``SPACING**2 / (8 * radius)`` elsewhere; inf if there is no curve. [N, 3] -> [N]"""
    samples, _, curve = wireframe.samples(SPACING)
    return _to_samples(points, samples, curve)


def _to_samples(points: np.ndarray, samples: np.ndarray, curve: np.ndarray) -> np.ndarray:
    """:func:`distances` to a wireframe that is sampled already."""
    if len(samples) == 0 or len(points) == 0:
        return np.full(len(points), np.inf)
    best, nearest = KDTree(samples).query(points)
    for step in (-1, 1):
        other = np.clip(nearest + step, 0, len(samples) - 1)
        other = np.where(curve[other] == curve[nearest], other, nearest)
        a, chord = samples[nearest], samples[other] - samples[nearest]
        t = ((points - a) * chord).sum(1) / np.maximum((chord * chord).sum(1), 1e-300)
        best = np.minimum(best, np.linalg.norm(points - a - np.clip(t, 0, 1)[:, None] * chord, axis=1))
    return best


Samples = tuple[np.ndarray, np.ndarray, np.ndarray]


def _type_agreement(predicted: Wireframe, truth: Wireframe, p: Samples, t: Samples, weight: np.ndarray) -> dict[str, Any]:
    """Over the matched predicted length, the share of the right family; and the table of both, in normalised length."""
    points, tangents, curve = p
    true_family = np.array([FAMILIES[c.type] for c in truth.curves], dtype=object)
    families = list(dict.fromkeys(true_family))
    nearest = np.full((len(points), len(families)), np.inf)
    for column, family in enumerate(families):
        rows = true_family[t[2]] == family
        samples, directions = t[0][rows], t[1][rows]
        if len(points) == 0:
            continue
        distance, index = KDTree(samples).query(points, k=NEIGHBOURS, distance_upper_bound=MATCH)
        directions = np.concatenate([directions, np.zeros((1, 3))])  # of what is not found
        aligned = np.abs(np.einsum("nd,nkd->nk", tangents, directions[index])) > MATCH_COS
        nearest[:, column] = np.where(aligned, distance, np.inf).min(1)
    matched = np.isfinite(nearest).any(1)
    nearest, weight = nearest[matched], weight[matched]
    family = np.array([FAMILIES[c.type] for c in predicted.curves], dtype=object)
    own = family[curve[matched]]
    true = np.array(families, dtype=object)[nearest.argmin(1)]
    for column, name in enumerate(families):  # where two true curves touch, both are right
        true[(own == name) & (nearest[:, column] <= nearest.min(1, initial=np.inf) + TIE)] = name
    table: dict[str, dict[str, float]] = {}
    for a in families:
        row = {b: float(weight[(true == a) & (own == b)].sum()) for b in dict.fromkeys(FAMILIES.values())}
        table[a] = {b: length for b, length in row.items() if length > 0}
    return {
        "agreement": _share(own == true, weight) if len(weight) else None,
        "matched_share": float(weight.sum()) / max(predicted.length, 1e-300),
        "table": table,
    }


def _junctions(predicted: Wireframe, truth: Wireframe) -> dict[str, Any]:
    """Recall and precision of vertices where at least two ends meet."""
    found, true = predicted.vertices[predicted.valence >= 2], truth.vertices[truth.valence >= 2]
    result: dict[str, Any] = {"count": len(found), "count_truth": len(true), "recall": None, "precision": None, "median_mm": None}
    if len(true):
        away = KDTree(found).query(true)[0] if len(found) else np.full(len(true), np.inf)
        result["recall"] = float((away < JUNCTION).mean())
        if (away < JUNCTION).any():
            result["median_mm"] = float(1000 * np.median(away[away < JUNCTION]))
    if len(found) and len(true):
        result["precision"] = float((KDTree(true).query(found)[0] < JUNCTION).mean())
    return result


def _ends(predicted: Wireframe) -> dict[str, Any]:
    """How the ends of open curves hang together."""
    index = np.array([v for c in predicted.curves if c.vertices is not None for v in c.vertices], np.int64)
    if len(index) == 0:
        return {"count": 0, "shared": None, "near": None, "free_gap_median_mm": None}
    points, shared = predicted.vertices[index], predicted.valence[index] >= 2
    gap = np.zeros(len(index))
    if len(index) > 1:
        gap = KDTree(points).query(points, k=2)[0][:, 1]
    gap[shared] = 0.0
    free = 1000 * gap[~shared]
    return {
        "count": len(index),
        "shared": float(shared.mean()),
        "near": float((gap < GAP).mean()),
        "free_gap_median_mm": float(np.median(free)) if len(free) else None,
    }


def _weights(wireframe: Wireframe, curve: np.ndarray) -> np.ndarray:
    """Length that each sample stands for: its curve's, shared out evenly. [N]"""
    if len(curve) == 0:
        return np.zeros(0)
    lengths = np.array([c.length for c in wireframe.curves])
    return (lengths / np.bincount(curve, minlength=len(lengths)))[curve]


def _share(chosen: Any, weight: np.ndarray) -> float:
    total = float(weight.sum())
    return float(weight[chosen].sum()) / total if total > 0 else 0.0


def _mean(distance: np.ndarray, weight: np.ndarray) -> float | None:
    return float(1000 * (distance * weight).sum() / weight.sum()) if weight.sum() > 0 else None
