"""Where the end of one curve runs into the inside of another. All lengths in pixels at the scene's centre (see ``model``)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from recon.curves.wireframe.fitting import polished
from recon.curves.wireframe.model import Model
from recon.curves.wireframe.shapes import Shape, evaluate, local_parameters, tangents

REACH_PX = 8.0
"""Farthest that an end is moved along its curve to meet others."""
MISS_PX = 1.6
"""Farthest that the meeting point may lie beside an end's tangent."""
CROSSING_RAD = np.radians(20.0)
"""Curves that meet flatter than this run along each other: they neither cross, nor is there a corner between them. By hand."""
CROSSING_STEPS = 201
"""Points of a curve at which it is looked for."""


def split_at_crossings(model: Model) -> Model:
    """Where a free end runs into the inside of another curve, that curve is cut in two and the three share a vertex."""
    traced: dict[bytes, Traced] = {}  # by shape and ends: one cut changes two curves, and leaves the others as they were
    changed = True
    while changed:
        changed = False
        degrees, incident = model.degrees(), model.incident()
        others = _traced(model, traced)
        for vertex in np.nonzero(degrees == 1)[0]:
            k, side = incident[int(vertex)][0]
            hit = _crossing(others, k, model.vertices[vertex], model.outward(k, side))
            if hit is not None:
                model = _split(model, hit[0], hit[1], int(vertex))
                changed = True
                break
    return model


@dataclass(frozen=True)
class Traced:
    """Open curves at CROSSING_STEPS parameters from 0 to 1, of which a free end may run into one.

    Attributes:
        shape: Index of each curve. [K]
        points, directions: [K, S, 3], unit.
        inner: Farther than half of REACH_PX from both ends. bool [K, S]
        step: Mean distance of neighbouring points. [K]
    """

    shape: np.ndarray
    points: np.ndarray
    directions: np.ndarray
    inner: np.ndarray
    step: np.ndarray


def _traced(model: Model, known: dict[bytes, Traced]) -> Traced:
    """The open curves of a model; those that are ``known`` are not evaluated again."""
    t = np.linspace(0, 1, CROSSING_STEPS)
    found = []
    for k, shape in enumerate(model.shapes):
        if shape.ends is None:
            continue
        key = shape.kind.encode() + local_parameters(shape, model.vertices).tobytes()
        if key not in known:
            p = evaluate(shape, model.vertices, t)
            inner = (np.linalg.norm(p - p[0], axis=1) > REACH_PX / 2) & (np.linalg.norm(p - p[-1], axis=1) > REACH_PX / 2)
            step = np.linalg.norm(np.diff(p, axis=0), axis=1).mean()
            known[key] = Traced(np.array([k]), p[None], tangents(shape, model.vertices, t)[None], inner[None], np.array([step]))
        found.append(replace(known[key], shape=np.array([k])))
    if not found:
        none = np.zeros((0, CROSSING_STEPS, 3))
        return Traced(np.zeros(0, int), none, none, np.zeros((0, CROSSING_STEPS), bool), np.zeros(0))
    return Traced(*(np.concatenate([getattr(f, name) for f in found]) for name in ("shape", "points", "directions", "inner", "step")))


def _crossing(others: Traced, own: int, position: np.ndarray, direction: np.ndarray) -> tuple[int, float] | None:
    """The open curve and its parameter that an end would run into."""
    gap = others.points - position
    along = gap @ direction
    miss = np.linalg.norm(gap - along[..., None] * direction, axis=2)
    sharp = np.abs(others.directions @ direction) < np.cos(CROSSING_RAD)
    near = (np.abs(along) < REACH_PX) & (miss < MISS_PX + 0.5 * others.step[:, None])
    fits = others.inner & sharp & near & (others.shape != own)[:, None]
    if not fits.any():
        return None
    k, i = np.unravel_index(np.where(fits, np.abs(along) + 3 * miss, np.inf).argmin(), fits.shape)
    return int(others.shape[k]), float(np.linspace(0, 1, CROSSING_STEPS)[i])


def _split(model: Model, k: int, t: float, vertex: int) -> Model:
    """Cut a curve at a parameter; the cut is moved to an existing vertex, which goes to the cut."""
    shape = model.shapes[k]
    assert shape.ends is not None
    at = evaluate(shape, model.vertices, np.array([t]))[0]
    first = part_of(shape, model.vertices, 0.0, t)
    second = part_of(shape, model.vertices, t, 1.0)
    vertices = model.vertices.copy()
    vertices[vertex] = at
    shapes = list(model.shapes)
    shapes[k] = replace(first, ends=(shape.ends[0], vertex))
    shapes.append(replace(second, ends=(vertex, shape.ends[1])))
    return Model(vertices, tuple(shapes))


def part_of(shape: Shape, vertices: np.ndarray, start: float, end: float) -> Shape:
    """The same curve between two parameters; exact for lines and arcs, fitted to 80 points otherwise."""
    if shape.kind == "line":
        return shape
    points = evaluate(shape, vertices, np.linspace(start, end, 80))
    if shape.kind == "arc":
        return Shape("arc", shape.ends, points[40].copy())
    return polished(Shape(shape.kind, (0, 1), shape.parameters), points[[0, -1]], points, 15)[0]
