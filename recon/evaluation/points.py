"""How near the points of stereo are to the true surface, and how much of it they cover; in the units of the points."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.spatial import KDTree

from recon.data.scene import Camera
from recon.evaluation.surfaces import LEAST_EYES, joined, point_to_mesh, sample_surface, seen_by
from recon.surface.mesh import Mesh
from recon.surface.raycast import ray_scene

SAMPLES = 100_000
LIMITS = (0.002, 0.005, 0.01)
"""Shares of the truth's diagonal, for precision and recall."""


def point_metrics(points: np.ndarray, truth: Mesh, cameras: Sequence[Camera], around: Mesh | None = None, seed: int = 0) -> dict[str, Any]:
    """Points against the truth.

    Args:
        points: [N, 3]
        truth: The object.
        cameras: Those whose photographs the points come from.
        around: What else is there; points nearer to it than to the object do not count.
        seed: Of the points on the truth.
    Returns:
        ``accuracy``, ``accuracy_median``: distance from the points to the object; ``completeness``, ``completeness_median``: distance from
        what two cameras see of the object to the nearest point; each also in percent of the object's diagonal; ``precision``, ``recall``:
        shares of both within each of ``thresholds``; ``points``: how many count. Distances are None where no point counts.
    """
    whole = truth if around is None else joined(truth, around)
    off, face = point_to_mesh(points, whole)
    own = face < len(truth.faces)
    off, near = off[own], points[own]
    on_truth, _ = sample_surface(truth, SAMPLES, np.random.default_rng(seed))
    on_truth = on_truth[seen_by(ray_scene(whole), on_truth, cameras, LEAST_EYES)]
    diagonal = truth.diagonal()
    limits = [s * diagonal for s in LIMITS]
    if len(near) == 0 or len(on_truth) == 0:
        return {"points": len(near), "accuracy": None, "completeness": None}
    gap = np.asarray(KDTree(near).query(on_truth)[0])
    found = {
        "accuracy": float(off.mean()),
        "accuracy_median": float(np.median(off)),
        "completeness": float(gap.mean()),
        "completeness_median": float(np.median(gap)),
    }
    return {
        "points": len(near),
        **found,
        **{f"{name}_percent": 100.0 * value / diagonal for name, value in found.items()},
        "thresholds": limits,
        "precision": [float((off < t).mean()) for t in limits],
        "recall": [float((gap < t).mean()) for t in limits],
    }
