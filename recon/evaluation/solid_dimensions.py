"""Dimensions of a solid against the true ones: radii, distances of parallel planes, angles, axes; and whether the stated errors hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from recon.evaluation.solid_matching import Comparable, FaceSamples
from recon.solid.anatomy import FaceFacts

PARALLEL_RAD = 2e-4
SAME = 1e-6
"""A face of a report is one of the file if their numbers agree to this share of the solid's size."""


@dataclass(frozen=True)
class FaceSigma:
    """What a report states of one face, in the file's unit.

    Attributes:
        kind, point, axis, radius: As in :class:`~recon.solid.anatomy.FaceFacts`; of a torus the radius of the tube.
        sigma_radius: Standard deviation of that radius, or None.
        sigma_offset: Of the plane's place along its normal, or None.
    """

    kind: str
    point: np.ndarray
    axis: np.ndarray
    radius: float
    sigma_radius: float | None
    sigma_offset: float | None


def dimensions(
    found: Comparable, truth: Comparable, matches: dict[int, int], there: FaceSamples, sigmas: Sequence[FaceSigma] = ()
) -> dict[str, Any]:
    """Errors of the dimensions of the faces found.

    Args:
        found, truth: The solids, in one frame and unit.
        matches: From the number of a true face to that of the face found.
        there: Points on the true faces.
        sigmas: What the solid's report states.
    Returns:
        ``radii``, ``distances``, ``angles_deg``, ``cone_angles_deg``, ``axes`` (distance of the axes at the face): each ``count``,
        ``median``, ``q95``, ``largest`` of the absolute errors (None for none); radii and distances also ``within_2_sigma``.
    """
    pairs = [(truth.anatomy.faces[a], found.anatomy.faces[b]) for a, b in matches.items()]
    centers = [there.points[there.face == a].mean(0) for a in matches]
    size = max((float(np.abs(p.points).max()) for p in (there,) if len(p.points)), default=1.0)
    stated = [_stated(b, sigmas, size) for _, b in pairs]
    radii, radii_sigma, cones, axes = [], [], [], []
    for (a, b), center, sigma in zip(pairs, centers, stated, strict=True):
        for name, value in a.sizes.items():
            radii.append(abs(b.sizes[name] - value))
            known = sigma is not None and (a.kind != "torus" or name == "tube_radius")
            radii_sigma.append(sigma.sigma_radius if sigma is not None and known else None)
        if a.kind == "cone":
            cones.append(np.degrees(abs(a.half_angle - b.half_angle)))
        if a.kind in ("cylinder", "cone", "torus"):
            axes.append(_axes_apart(a, b, center))
    distances, distances_sigma = [], []
    planes = [k for k, (a, _) in enumerate(pairs) if a.kind == "plane"]
    for i, j in combinations(planes, 2):
        normal = pairs[i][0].axis
        if np.linalg.norm(np.cross(normal, pairs[j][0].axis)) > PARALLEL_RAD:
            continue
        true = abs(float(normal @ (centers[j] - centers[i])))
        if true > SAME * size:  # coplanar faces have no distance
            distances.append(abs(_planes_apart(pairs[i][1], pairs[j][1], centers[i], centers[j]) - true))
            distances_sigma.append(_together(stated[i], stated[j]))
    directions = [k for k, (a, _) in enumerate(pairs) if a.axis.any()]
    true_angles, found_angles = (_angles(np.array([pairs[k][side].axis for k in directions]).reshape(-1, 3)) for side in (0, 1))
    return {
        "radii": {**_summary(radii), "within_2_sigma": _coverage(radii, radii_sigma)},
        "distances": {**_summary(distances), "within_2_sigma": _coverage(distances, distances_sigma)},
        "angles_deg": _summary(np.degrees(np.abs(true_angles - found_angles))),
        "cone_angles_deg": _summary(cones),
        "axes": _summary(axes),
    }


def _stated(face: FaceFacts, sigmas: Sequence[FaceSigma], size: float) -> FaceSigma | None:
    """What the report states of a face of the file: that of the same numbers, if there is one."""
    for sigma in sigmas:
        radius = face.tube_radius if face.kind == "torus" else face.radius
        if sigma.kind != face.kind or abs(sigma.radius - radius) > SAME * size:
            continue
        if np.linalg.norm(np.cross(sigma.axis, face.axis)) > 1e-5:
            continue
        away = sigma.point - face.point
        along = away @ face.axis
        off = abs(along) if face.kind == "plane" else np.linalg.norm(away - along * face.axis)
        if off <= 10 * SAME * size:
            return sigma
    return None


def _axes_apart(a: FaceFacts, b: FaceFacts, at: np.ndarray) -> float:
    """Distance of two axes where the face is."""
    foot = a.point + ((at - a.point) @ a.axis) * a.axis
    away = foot - b.point
    return float(np.linalg.norm(away - (away @ b.axis) * b.axis))


def _planes_apart(a: FaceFacts, b: FaceFacts, at_a: np.ndarray, at_b: np.ndarray) -> float:
    """Distance of two nearly parallel planes, between the points of them that are nearest to the middles of the true faces."""
    first = at_a - ((at_a - a.point) @ a.axis) * a.axis
    second = at_b - ((at_b - b.point) @ b.axis) * b.axis
    normal = a.axis + b.axis * np.sign(a.axis @ b.axis)
    return abs(float((second - first) @ normal / np.linalg.norm(normal)))


def _angles(axes: np.ndarray) -> np.ndarray:
    """Between the lines of every two directions, radians in [0, pi / 2]. [n, 3] -> [n (n - 1) / 2]"""
    i, j = np.triu_indices(len(axes), 1)
    return np.arctan2(np.linalg.norm(np.cross(axes[i], axes[j]), axis=1), np.abs((axes[i] * axes[j]).sum(1)))


def _together(a: FaceSigma | None, b: FaceSigma | None) -> float | None:
    if a is None or b is None or a.sigma_offset is None or b.sigma_offset is None:
        return None
    return float(np.hypot(a.sigma_offset, b.sigma_offset))


def _summary(errors: Sequence[float] | np.ndarray) -> dict[str, Any]:
    if len(errors) == 0:
        return {"count": 0, "median": None, "q95": None, "largest": None}
    return {
        "count": len(errors), "median": float(np.median(errors)),
        "q95": float(np.quantile(errors, 0.95)), "largest": float(np.max(errors)),
    }  # fmt: skip


def _coverage(errors: Sequence[float], sigmas: Sequence[float | None]) -> float | None:
    """Share of the errors below two standard deviations, of those that have one; None if none has."""
    known = [(e, s) for e, s in zip(errors, sigmas, strict=True) if s is not None]
    return float(np.mean([e <= 2 * s for e, s in known])) if known else None
