"""Axes and normals that are parallel, perpendicular or at round angles become exactly so, each within what is known of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recon.solid.model import Constraint
from recon.solid.primitives import unit

SIGMAS = 3.0
WIDEST_RAD = np.radians(15.0)
"""No direction is turned by more, however little is known of it."""
STEP_RAD = np.radians(15.0)
"""Angles between directions in one plane that count as round."""


@dataclass(frozen=True)
class Directions:
    """Directions after alignment [n, 3], the group of each [n], whether it is alone and in no relation [n] bool, and what was tried."""

    axes: np.ndarray
    groups: np.ndarray
    alone: np.ndarray
    constraints: list[Constraint]


def aligned(axes: np.ndarray, sigmas: Sequence[float], regions: Sequence[int], floor: float) -> Directions:
    """Groups of parallel directions, best known first; then perpendicular and round angles between the groups.

    Args:
        axes: Unit vectors, signs do not matter. [n, 3]
        sigmas: Standard deviation of each, radians. [n]
        regions: Number of the region of each, for the constraints.
        floor: Smallest tolerance, radians.
    """
    known = np.maximum(np.asarray(sigmas, float), floor / SIGMAS)
    groups = np.full(len(axes), -1)
    means: list[np.ndarray] = []
    weights: list[float] = []
    heads: list[int] = []
    constraints: list[Constraint] = []
    for i in np.argsort(known):
        angles = [_angle(axes[i], m) for m in means]
        limits = [min(SIGMAS * np.hypot(known[i], w**-0.5), WIDEST_RAD) for w in weights]
        fitting = [k for k in range(len(means)) if angles[k] < max(limits[k], floor)]
        if not fitting:
            groups[i] = len(means)
            means.append(np.asarray(axes[i] / known[i] ** 2))
            weights.append(float(known[i] ** -2))
            heads.append(int(i))
            continue
        k = min(fitting, key=lambda j: angles[j])
        sign = np.sign(means[k] @ axes[i])
        means[k] = np.asarray(means[k] + sign * axes[i] / known[i] ** 2)
        weights[k] += float(known[i] ** -2)
        groups[i] = k
        constraints.append(Constraint("parallel", regions[heads[k]], regions[i], angles[k], True, f"within {SIGMAS:g} standard deviations"))
    mains = [unit(m) for m in means]
    deviations = [max(w**-0.5, floor / SIGMAS) for w in weights]
    mains, settled = _squared(mains, deviations, np.bincount(groups, minlength=len(mains)), [regions[h] for h in heads], constraints, floor)
    result = np.array([np.sign(mains[g] @ a) * mains[g] for g, a in zip(groups, axes, strict=True)]).reshape(-1, 3)
    alone = (np.bincount(groups)[groups] == 1) & ~np.isin(groups, sorted(settled))
    return Directions(result, groups, alone, constraints)


def _angle(a: np.ndarray, b: np.ndarray) -> float:
    """Between two lines, radians."""
    b = unit(b)
    return float(np.arctan2(np.linalg.norm(np.cross(a, b)), abs(a @ b)))


def _squared(mains: list[np.ndarray], deviations: list[float], counts: np.ndarray, heads: list[int], constraints: list[Constraint],
             floor: float) -> tuple[list[np.ndarray], set[int]]:  # fmt: skip
    """A frame from the best known groups that are nearly perpendicular; the others onto its planes, and there to round angles.

    Returns the directions, and which of them are now settled by a relation.
    """
    order = sorted(range(len(mains)), key=lambda k: (deviations[k] / np.sqrt(counts[k]), k))
    frame: list[int] = []
    for k in order:
        limit = [max(SIGMAS * np.hypot(deviations[k], deviations[j]), floor) for j in frame]
        off = [abs(np.arcsin(np.clip(mains[k] @ mains[j], -1, 1))) for j in frame]
        if len(frame) < 3 and all(o < l for o, l in zip(off, limit, strict=True)):
            axis = mains[k]
            for j in frame:
                axis = axis - (axis @ mains[j]) * mains[j]
            mains[k] = unit(axis)
            constraints += [
                Constraint("perpendicular", heads[j], heads[k], float(o), True, "frame") for j, o in zip(frame, off, strict=True)
            ]
            frame.append(k)
    settled = set(frame) if len(frame) > 1 else set()
    if len(frame) < 2:
        return mains, settled
    base = np.array([mains[k] for k in frame])
    if len(frame) == 2:
        base = np.vstack([base, np.cross(base[0], base[1])])
    for k in order:
        if k in frame:
            continue
        c = base @ mains[k]
        limit = max(SIGMAS * deviations[k], floor)
        for axis in range(3):
            if abs(np.arcsin(np.clip(c[axis], -1, 1))) > limit:
                continue
            p, q = (j for j in range(3) if j != axis)
            angle = float(np.arctan2(c[q], c[p]))
            near = float(np.round(angle / STEP_RAD) * STEP_RAD)
            round_angle = abs(angle - near) < limit
            kind = "angle" if round_angle else "perpendicular"
            residual = abs(angle - near) if round_angle else abs(float(c[axis]))
            constraints.append(
                Constraint(kind, heads[frame[min(p, len(frame) - 1)]], heads[k], float(residual), True, "within its own uncertainty")
            )
            angle = near if round_angle else angle
            mains[k] = unit(np.cos(angle) * base[p] + np.sin(angle) * base[q])
            settled.add(k)
            break
    return mains, settled
