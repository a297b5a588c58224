"""Which curves are really there: each edge in a picture is evidence for one curve only.

Where planes of many views happen to cross, a wrong curve can look supported; but its edges are then also explained by the true curves
that made them. Curves are taken in the order of their support, each takes the edges it explains, and one that brings too few of its own
is dropped.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recon.curves.wireframe.evidence import Evidence, judge, match
from recon.curves.wireframe.model import Model
from recon.curves.wireframe.refine import Visibility, sample_model

INLIER_PX = 1.2
TAKEN_PX = 2.0
"""An explained edge explains those this near in the same view too."""


@dataclass(frozen=True)
class Support:
    """How well each curve is seen.

    Attributes:
        views: Mean over its points of the number of views that see an edge there. [K]
        own: The same, counting only edges that no better supported curve explains. [K]
        explained: Edge points that only this curve, or this one first, explains. [K]
        spread: Median over its points, see ``EdgePoints``. [K]
        share: Share of its points that are seen in enough views. [K]
        rmse_px: Root mean square distance of the edges that support it. [K]
        outline: Share of supporting edges that are silhouettes. [K]
    """

    views: np.ndarray
    own: np.ndarray
    explained: np.ndarray
    spread: np.ndarray
    share: np.ndarray
    rmse_px: np.ndarray
    outline: np.ndarray


def support_of(model: Model, evidence: Evidence, min_views: int, visible: Visibility | None = None) -> Support:
    """Judge every curve of a model against the edges of all views."""
    samples = sample_model(model, spacing=1.0, margin=1.0, jacobians=False)
    count = len(model.shapes)
    sizes = np.maximum(np.bincount(samples.shape, minlength=count), 1)
    mask = visible(samples.points, samples.tangents) if visible is not None else None
    judged = judge(evidence, samples.points, samples.tangents, INLIER_PX, mask)
    m = match(evidence, samples.points, samples.tangents, INLIER_PX, mask)
    curve = samples.shape[m.point]
    views = np.bincount(samples.shape, judged.support, minlength=count) / sizes
    squares = np.bincount(curve, m.residual_px**2, minlength=count)
    pairs = np.maximum(np.bincount(curve, minlength=count), 1)
    spread = np.array([np.median(judged.spread[samples.shape == k]) if (samples.shape == k).any() else 0.0 for k in range(count)])
    own = np.zeros(count)
    taken = np.zeros(len(evidence.points), bool)
    for k in np.argsort(-views, kind="stable"):
        rows = curve == k
        edges = m.edge[rows]
        own[k] = (~taken[edges]).sum() / sizes[k]
        mine = np.unique(edges)
        near = evidence.tree.query_ball_point(evidence.tree.data[mine], TAKEN_PX) if len(mine) else []
        taken[np.unique(np.concatenate([np.asarray(x, int) for x in near])) if len(near) else mine] = True
    outline = np.bincount(curve, (evidence.kinds[m.edge] == 1).astype(float), minlength=count) / pairs
    share = np.bincount(samples.shape, judged.support >= min_views, minlength=count) / sizes
    return Support(views, own, own * sizes, spread, share, np.sqrt(squares / pairs), outline)
