"""All curves and vertices together against the 2D edges of all views.

Points on every curve are projected into every view and matched with the nearest edge of fitting direction; what is minimised is the
distance from the edge's line, robustly weighted (Geman-McClure). Levenberg-Marquardt on the parameters of all curves and the positions
of all vertices, with exact derivatives; a vertex is one variable however many curves end in it, so junctions are kept by construction,
and curves that touch smoothly are held so by a stiff term.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from recon.curves.wireframe.evidence import Evidence, Matches, match
from recon.curves.wireframe.model import Model
from recon.curves.wireframe.shapes import Shape, evaluate, evaluate_with_jacobian, sample, tangents

SPACING_PX = 2.0
MARGIN_PX = 2.0
"""Next to a junction the edges of a picture run into each other: samples stay this far away from it."""
TANGENT_RAD = np.radians(8.0)
"""Curves that meet at a smaller angle (and are not both straight) are meant to touch smoothly."""
TANGENT_WEIGHT = 1e5
ANCHOR = 0.02
"""Weight of staying where it is, per square pixel: decides only what the pictures leave open (ends along their curve)."""

Visibility = Callable[[np.ndarray, np.ndarray], np.ndarray | None]
"""(points [N, 3], tangents [N, 3]) -> which views may see them [N, V], or None for all."""


@dataclass(frozen=True)
class Sampled:
    """Points on the curves of a model.

    Attributes:
        points, tangents: [S, 3] each.
        shape: Curve of each. [S]
        parameters: Of each shape's points, [s] each.
        jacobians: Of each shape's points by its local parameters, [s, 3, L] each.
    """

    points: np.ndarray
    tangents: np.ndarray
    shape: np.ndarray
    parameters: list[np.ndarray]
    jacobians: list[np.ndarray]


def sample_model(model: Model, spacing: float = SPACING_PX, margin: float = MARGIN_PX, jacobians: bool = True) -> Sampled:
    """Points at equal distances on all curves."""
    return _sampled(model, [sample(shape, model.vertices, spacing, margin)[0] for shape in model.shapes], jacobians)


def _sampled(model: Model, parameters: list[np.ndarray], jacobians: bool) -> Sampled:
    points, directions, derivatives = [np.zeros((0, 3))], [np.zeros((0, 3))], []
    for shape, t in zip(model.shapes, parameters, strict=True):
        if jacobians:
            p, j = evaluate_with_jacobian(shape, model.vertices, t)
            derivatives.append(j)
        else:
            p = evaluate(shape, model.vertices, t)
        points.append(p)
        directions.append(tangents(shape, model.vertices, t))
    index = np.repeat(np.arange(len(model.shapes)), [len(t) for t in parameters])
    return Sampled(np.concatenate(points), np.concatenate(directions), index, parameters, derivatives)


def refine(
    model: Model,
    evidence: Evidence,
    visible: Visibility | None = None,
    radii_px: tuple[float, ...] = (3.0, 2.5, 2.0, 2.0, 1.5, 1.5, 1.5, 1.5),
) -> Model:
    """Move the model to where the pictures say it is.

    Args:
        model: A wireframe within a few pixels of the truth.
        evidence: The 2D edges.
        visible: Which views may see a point; None: all, and the robust weight sorts it out.
        radii_px: Search radius of each iteration; matches are looked for anew in each.
    """
    if not model.shapes:
        return model
    damping = 1e-3
    for radius in radii_px:
        samples = sample_model(model)
        mask = visible(samples.points, samples.tangents) if visible is not None else None
        m = match(evidence, samples.points, samples.tangents, radius, mask)
        scale = max(0.35 * radius, 0.5)
        before = _cost(model, samples, m, scale)
        h, g, slots = _normal_equations(model, samples, m, scale)
        for _ in range(4):
            ridge = damping * np.maximum(np.diag(h), 1e-6 * np.max(np.diag(h), initial=1.0)) + 1e-9
            candidate = _moved(model, np.linalg.solve(h + np.diag(ridge), -g), slots)
            if _valid(candidate) and _cost(candidate, _sampled(candidate, samples.parameters, False), m, scale) <= before * (1 + 1e-9):
                model, damping = candidate, max(damping / 3, 1e-7)
                break
            damping *= 8
    return model


def _valid(model: Model) -> bool:
    return bool(np.isfinite(model.vertices).all() and all(np.isfinite(s.parameters).all() for s in model.shapes))


def _cost(model: Model, samples: Sampled, m: Matches, scale: float) -> float:
    """Robust cost of the matches that were found, with the model moved (residuals from the matched planes, to first order)."""
    base = m.residual_px + (m.plane * (samples.points[m.point] - m.anchor)).sum(1)
    return float((m.weight * base**2 / (1 + (base / scale) ** 2)).sum()) + _tangent_cost(model)


def _slots(model: Model) -> tuple[list[np.ndarray], int]:
    """Where each shape's local parameters are in the vector of all unknowns."""
    slots, free = [], 3 * len(model.vertices)
    for shape in model.shapes:
        own = np.arange(free, free + len(shape.parameters))
        free += len(own)
        ends = np.concatenate([3 * e + np.arange(3) for e in shape.ends]) if shape.ends is not None else np.zeros(0, int)
        slots.append(np.concatenate([ends, own]).astype(int))
    return slots, free


def _normal_equations(model: Model, samples: Sampled, m: Matches, scale: float) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    slots, free = _slots(model)
    h, g = np.zeros((free, free)), np.zeros(free)
    w = m.weight / (1.0 + (m.residual_px / scale) ** 2) ** 2
    first = np.searchsorted(samples.shape, np.arange(len(model.shapes)))
    order = np.argsort(samples.shape[m.point], kind="stable")
    bounds = np.searchsorted(samples.shape[m.point][order], np.arange(len(model.shapes) + 1))
    for k, slot in enumerate(slots):
        rows = order[bounds[k] : bounds[k + 1]]
        if len(rows) == 0 or len(slot) == 0:
            continue
        j = np.einsum("ri,ril->rl", m.plane[rows], samples.jacobians[k][m.point[rows] - first[k]])
        h[np.ix_(slot, slot)] += (j * w[rows, None]).T @ j
        g[slot] += (j * w[rows, None]).T @ m.residual_px[rows]
    corner = np.arange(3 * len(model.vertices))
    h[corner, corner] += ANCHOR
    for a, b in _tangent_pairs(model):
        _add_tangency(model, a, b, slots, h, g)
    return h, g, slots


def _moved(model: Model, step: np.ndarray, slots: list[np.ndarray]) -> Model:
    count = 3 * len(model.vertices)
    vertices = model.vertices + step[:count].reshape(-1, 3)
    shapes = []
    for shape, slot in zip(model.shapes, slots, strict=True):
        own = slot[6:] if shape.ends is not None else slot
        shapes.append(replace(shape, parameters=shape.parameters + step[own]))
    return Model(vertices, tuple(_centred(s, vertices) for s in shapes))


def _centred(shape: Shape, vertices: np.ndarray) -> Shape:
    """The point that an arc goes through is put back into its middle: it may slide along the arc without changing it."""
    if shape.kind != "arc":
        return shape
    middle = evaluate(shape, vertices, np.array([0.5]))[0]
    return replace(shape, parameters=middle) if np.isfinite(middle).all() else shape


def _tangent_pairs(model: Model) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Pairs of ends in one vertex whose curves go on in each other's direction, at least one of them bent."""
    pairs = []
    for ends in model.incident().values():
        for i, a in enumerate(ends):
            for b in ends[i + 1 :]:
                straight = model.shapes[a[0]].kind == "line" and model.shapes[b[0]].kind == "line"
                if a[0] != b[0] and not straight and model.outward(*a) @ model.outward(*b) < -np.cos(TANGENT_RAD):
                    pairs.append((a, b))
    return pairs


def _end_direction(shape: Shape, vertices: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Outward direction at an end, unit (chord of the last 1e-4 of the curve), and its derivative by the local parameters. [3], [3, L]"""
    t = np.array([0.0, 1e-4]) if side == 0 else np.array([1.0, 1.0 - 1e-4])
    p, j = evaluate_with_jacobian(shape, vertices, t)
    d, jd = p[0] - p[1], j[0] - j[1]
    size = np.linalg.norm(d)
    unit = d / size
    return unit, (np.eye(3) - np.outer(unit, unit)) @ jd / size


def _add_tangency(model: Model, a: tuple[int, int], b: tuple[int, int], slots: list[np.ndarray], h: np.ndarray, g: np.ndarray) -> None:
    """Residual: sum of the two outward directions, zero when the curves touch smoothly."""
    (da, ja), (db, jb) = (_end_direction(model.shapes[k], model.vertices, side) for k, side in (a, b))
    slot = np.concatenate([slots[a[0]], slots[b[0]]])
    j = np.concatenate([ja, jb], axis=1)
    np.add.at(h, (slot[:, None], slot[None]), TANGENT_WEIGHT * (j.T @ j))
    np.add.at(g, slot, TANGENT_WEIGHT * (j.T @ (da + db)))


def _tangent_cost(model: Model) -> float:
    total = 0.0
    for a, b in _tangent_pairs(model):
        (da, _), (db, _) = (_end_direction(model.shapes[k], model.vertices, side) for k, side in (a, b))
        total += TANGENT_WEIGHT * float(((da + db) ** 2).sum())
    return total
