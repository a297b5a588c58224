"""Telling a sharp edge from the contour of a smooth surface, which slides over the surface from view to view.

All planes through the pictures of a sharp edge meet in the edge. The planes through the contours of a rounded surface touch it: seen along
the contour, a plane turned by phi against the mean lies ``radius (1 - cos phi)`` outside the point where the mean one touches. A curve
fitted to such planes leaves residuals that grow with phi^2, all outwards, and half their curvature is the surface's radius.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from recon.curves.edges2d.edges import KIND_SILHOUETTE, Edges
from recon.curves.wireframe.evidence import Evidence, match
from recon.curves.wireframe.model import Model
from recon.curves.wireframe.refine import sample_model

WINDOW_PX = 5.0
"""Contours this far from a curve are looked at: they leave it fast."""
MIN_MATCHES = 12


def without_contours(edges: Edges) -> Edges:
    """Without the outlines of smooth surfaces, where a surface told which they are (``surface:`` edges)."""
    views = []
    for view in edges.views:
        sharp = view.kinds != KIND_SILHOUETTE
        arrays = {name: getattr(view, name)[sharp] for name in ("points", "normals", "weights", "kinds")}
        views.append(replace(view, **arrays))
    return replace(edges, views=tuple(views))


def surface_radius(model: Model, evidence: Evidence) -> np.ndarray:
    """Radius of the surface across each curve, as its outlines in the views tell, pixels; 0 where they say nothing or it is sharp. [K]

    Only outlines against the background are used: which side is out is known for them.
    """
    samples = sample_model(model, spacing=3.0, margin=3.0, jacobians=False)
    m = match(evidence, samples.points, samples.tangents, WINDOW_PX)
    outline = evidence.kinds[m.edge] == KIND_SILHOUETTE
    if not outline.any():
        return np.zeros(len(model.shapes))
    point, plane, outside = m.point[outline], m.plane[outline], -m.residual_px[outline]  # the outline lies this far outside the point
    size = np.linalg.norm(plane, axis=1)
    normal = plane / np.maximum(size, 1e-12)[:, None]
    tangent = samples.tangents[point]
    normal = normal - (normal * tangent).sum(1, keepdims=True) * tangent
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
    mean = np.stack([np.bincount(point, normal[:, i], minlength=len(samples.points)) for i in range(3)], axis=1)
    mean /= np.maximum(np.linalg.norm(mean, axis=1, keepdims=True), 1e-12)
    first = mean[point]
    second = np.cross(tangent, first)
    phi = np.arctan2((normal * second).sum(1), (normal * first).sum(1))
    curve = samples.shape[point]
    radii = np.zeros(len(model.shapes))
    for k in range(len(model.shapes)):
        rows = (curve == k) & (np.abs(phi) < 1.0)
        if rows.sum() >= MIN_MATCHES:
            radii[k] = _radius(phi[rows], outside[rows] / size[rows])
    return radii


def _radius(phi: np.ndarray, outside: np.ndarray) -> float:
    """Robust least squares of ``outside = a + b phi + radius (1 - cos phi)``; 0 if the radius is not three standard errors above 0."""
    basis = np.stack([np.ones_like(phi), phi, 1 - np.cos(phi)], axis=1)
    w = np.ones_like(phi)
    normal, x, r = np.eye(3), np.zeros(3), outside
    for _ in range(10):
        normal = (basis * w[:, None]).T @ basis + 1e-9 * np.eye(3)
        x = np.linalg.solve(normal, (basis * w[:, None]).T @ outside)
        r = outside - basis @ x
        scale = max(1.5 * float(np.median(np.abs(r))), 0.1)
        w = 1 / (1 + (r / scale) ** 2) ** 2
    error = float(np.sqrt(np.linalg.inv(normal)[2, 2] * (w * r**2).sum() / max(w.sum() - 3, 1)))
    return float(x[2]) if x[2] > 3 * error else 0.0
