"""All relations as hard constraints in one least squares: the surfaces move as little as their points allow, and fulfil every one exactly.

Gauss-Newton in the null space of the linearised constraints. With R dx = -c the constraints and H, g the weighted normal equations:
dx = xp + Z y, xp = -pinv(R) c, Z a basis of R's null space, (Z^T H Z) y = -Z^T (g + H xp). The singular value decomposition of R makes
redundant constraints cost nothing. Nocedal and Wright, Numerical Optimization (2006), section 18.1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from recon.solid.model import Constraint, Primitive
from recon.solid.relations import OFFSETS, Relation, offset_jacobian, shifted, tilt_jacobian, tilted

CONVERGED = 1e-9
"""Largest residual of a constraint that counts as fulfilled, as a part of the diagonal; the iteration goes on to rounding."""
WORSE, WORSE_SIGMA = 1.25, 0.3
"""A surface may fit this many times worse, plus this part of sigma, before one of its constraints is dropped."""
CHANCE = 3.0
"""Or as badly as independent samples about the true surface do, up to so many standard deviations of their mean square (chi squared)."""
DROPPED_FIRST = {"equal_radius": 8.0, "coplanar": 2.0}
"""Relations that a valid shell can do without go sooner than their residuals say."""
FEW = 6
"""Steps after which it is looked at what does not fit; the last solution is iterated to rounding."""
MOST_POINTS = 1500


def solve(
    primitives: Mapping[int, Primitive],
    points: Mapping[int, np.ndarray],
    weights: Mapping[int, float],
    sigmas: Mapping[int, float],
    samples: Mapping[int, float],
    relations: Sequence[Relation],
    size: float,
    tilting: frozenset[int] = frozenset(),
) -> tuple[dict[int, Primitive], list[Constraint]]:
    """Offsets and radii with directions as they are.

    Args:
        primitives: Start, by region.
        points: What each was fitted to [N, 3].
        weights: Of each region's mean squared distance: N_eff / sigma^2.
        sigmas: Standard deviation of each region's points.
        samples: Number of independent ones among them.
        relations: To be fulfilled.
        size: Diagonal of the part.
        tilting: Planes whose direction is free too.
    Returns:
        The primitives, and every relation with whether it was kept and why not.
    """
    points = {k: x[np.linspace(0, len(x) - 1, min(len(x), MOST_POINTS)).astype(int)] for k, x in points.items()}
    free = _iterate(primitives, points, weights, [], size, tilting)
    before = _rms(free, points)
    # few independent samples err together: the true surface may be that far off, though a free fit is not
    chance = {k: sigmas[k] * np.sqrt(1 + CHANCE * np.sqrt(2 / samples[k])) for k in free}
    allowed = {k: max(WORSE * before[k] + WORSE_SIGMA * sigmas[k], chance[k]) for k in free}
    kept = list(relations)
    dropped: list[Constraint] = []
    current = free
    while True:
        current = _iterate(current, points, weights, kept, size, tilting, FEW)
        residuals = [float(np.abs(r.value(current)).max()) for r in kept]
        if max(residuals, default=0.0) > CONVERGED * size:
            current = _iterate(current, points, weights, kept, size, tilting)
            residuals = [float(np.abs(r.value(current)).max()) for r in kept]
        after = _rms(current, points)
        worse = {k: after[k] - allowed[k] for k in current}
        out, why = None, ""
        if kept and max(residuals) > CONVERGED * size:
            out, why = int(np.argmax(residuals)), "it contradicts the other constraints"
        elif worse and max(worse.values()) > 0:
            worst = max(worse, key=lambda k: worse[k])
            of_worst = [k for k, r in enumerate(kept) if worst in r.regions]
            if of_worst:
                out = max(of_worst, key=lambda k: DROPPED_FIRST.get(kept[k].kind, 1.0) * np.abs(kept[k].value(free)).max() / kept[k].size)
                why = f"region {worst} would fit worse than its points allow"
        if out is None:
            break
        r = kept.pop(out)
        dropped.append(_report(r, free, False, why))
    if kept:
        current = _iterate(current, points, weights, kept, size, tilting)
    return current, [_report(r, free, True, "fulfilled exactly") for r in kept] + dropped


def _report(r: Relation, g: Mapping[int, Primitive], kept: bool, why: str) -> Constraint:
    return Constraint(r.kind, r.regions[0], r.regions[1], float(np.abs(r.value(g)).max()), kept, why, r.regions[2:])


def _rms(g: Mapping[int, Primitive], points: Mapping[int, np.ndarray]) -> dict[int, float]:
    return {k: float(np.sqrt(np.mean(offset_jacobian(p, points[k], 1.0)[0] ** 2))) for k, p in g.items()}


def _iterate(start: Mapping[int, Primitive], points: Mapping[int, np.ndarray], weights: Mapping[int, float],
             relations: Sequence[Relation], size: float, tilting: frozenset[int], rounds: int = 25) -> dict[int, Primitive]:  # fmt: skip
    current = dict(start)
    order = list(current)
    numbers = {k: 3 if k in tilting else OFFSETS[current[k].kind] for k in order}
    count = np.cumsum([0, *(numbers[k] for k in order)])
    place = {k: slice(count[n], count[n + 1]) for n, k in enumerate(order)}
    for _ in range(rounds):
        hessian, gradient = np.zeros((count[-1], count[-1])), np.zeros(count[-1])
        for k, p in current.items():
            d, jac = (tilt_jacobian if k in tilting else offset_jacobian)(p, points[k], size)
            w = weights[k] / len(d)
            block = w * jac.T @ jac
            # parameters that the points do not see stay where they are
            hessian[place[k], place[k]] = block + 1e-7 * max(np.trace(block), 1e-300) * np.eye(len(block))
            gradient[place[k]] = w * jac.T @ d
        if relations:
            rows, values = _linearised(relations, current, place, count[-1], size, tilting)
            u, s, vt = np.linalg.svd(rows, full_matrices=True)
            rank = int((s > 1e-8 * s[0]).sum())
            particular = -(vt[:rank].T / s[:rank]) @ (u[:, :rank].T @ values)
            null = vt[rank:].T
            reduced = null.T @ hessian @ null
            step = particular
            if null.shape[1]:
                step = particular + null @ np.linalg.solve(reduced, -null.T @ (gradient + hessian @ particular))
        else:
            step = np.linalg.solve(hessian, -gradient)
        longest = float(np.abs(step).max(initial=0.0))
        step = step * min(1.0, 0.05 * size / max(longest, 1e-300))
        current = {k: _changed(k, p, step[place[k]], size, tilting) for k, p in current.items()}
        if longest < 1e-14 * size:
            break
    return current


def _changed(k: int, p: Primitive, x: np.ndarray, size: float, tilting: frozenset[int]) -> Primitive:
    return (tilted if k in tilting else shifted)(p, x, size)


def _linearised(relations: Sequence[Relation], g: Mapping[int, Primitive], place: Mapping[int, slice], count: int,
                size: float, tilting: frozenset[int]) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Rows of derivatives (central differences) and values of all relations."""
    rows, values = [], []
    h = 1e-6 * size
    for r in relations:
        value = r.value(g)
        row = np.zeros((len(value), count))
        for k in r.regions:
            number = place[k].stop - place[k].start
            for c in range(number):
                x = np.zeros(number)
                x[c] = h
                up, down = (r.value({**g, k: _changed(k, g[k], sign * x, size, tilting)}) for sign in (1, -1))
                row[:, place[k].start + c] = (up - down) / (2 * h)
        rows.append(row)
        values.append(value)
    return np.vstack(rows), np.concatenate(values)
