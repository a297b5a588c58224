"""Narrow faces about an axis that is known from elsewhere: bevels, tips of teeth, rims.

A strip a few triangles wide does not say where its axis is; with the axis of the bore or the shaft beside it, it is a line in (rho, z).
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from recon.solid.model import Primitive
from recon.solid.primitives import AXIAL, cylindrical
from recon.solid.scan import Scan, explains, misfit

MERIDIAN, IN_MERIDIAN = 2.5, 0.8
"""So many standard deviations normals may leave the plane of the axis, and the part of them that must not."""
STEEP, FLAT = np.radians(3.0), np.radians(80.0)
"""A profile nearer to the axis's direction is a cylinder's, one further from it may be a plane's."""


def revolved(scan: Scan, vertices: np.ndarray, axes: Iterable[Primitive], share: float) -> tuple[Primitive, np.ndarray] | None:
    """The cylinder or cone about one of the axes that explains most of some vertices, and which those are; None below ``share``."""
    best: tuple[Primitive, np.ndarray] | None = None
    for base in axes:
        z, rho, away = cylindrical(base, scan.points[vertices])
        sideways = np.abs(np.einsum("ij,ij->i", scan.normals[vertices], np.cross(away, base.axis)))
        if (np.arcsin(np.minimum(sideways, 1.0)) < MERIDIAN * scan.angle[vertices]).mean() < IN_MERIDIAN:
            continue
        p = _about(base, z, rho, scan.off[vertices])
        if p is None:
            continue
        mine = vertices[explains(scan, p, vertices, 2.5)]
        least = share * len(vertices) if best is None else len(best[1])
        if len(mine) > least and misfit(scan, p, mine)[0] < 1.3:
            best = (p, mine)
    return best


def _about(base: Primitive, z: np.ndarray, rho: np.ndarray, off: np.ndarray) -> Primitive | None:
    """A line through (rho, z), what is far from it left out, as a surface about the axis."""
    x = np.column_stack([rho, z])
    keep = np.ones(len(x), bool)
    middle, along = x[0], x[0]
    for _ in range(5):
        w = 1 / off[keep] ** 2
        middle = np.average(x[keep], axis=0, weights=w)
        along = np.linalg.eigh((x[keep] - middle).T @ ((x[keep] - middle) * w[:, None]))[1][:, 1]
        d = np.abs((x - middle) @ [along[1], -along[0]])
        keep = d < 2.5 * off
        if keep.sum() < 8:
            return None
    along = along if along[1] > 0 else -along
    angle = float(np.arctan2(along[0], along[1]))  # of the profile to the axis
    if abs(angle) < STEEP:
        return Primitive("cylinder", base.point + middle[1] * base.axis, base.axis, float(middle[0]))
    if abs(angle) > FLAT:
        return None
    apex = middle[1] - middle[0] / np.tan(angle)
    return Primitive("cone", base.point + apex * base.axis, base.axis * np.sign(angle), half_angle=abs(angle))


def known_axes(scan: Scan, least: int) -> list[Primitive]:
    """Cylinders and cones with at least so many vertices, largest first."""
    size = np.bincount(scan.label[scan.label >= 0], minlength=len(scan.primitives))
    order = np.argsort(-size, kind="stable")
    return [scan.primitives[k] for k in order if size[k] >= least and scan.primitives[k].kind in AXIAL[:2]]
