"""From tracks to a graph of curves: shapes for every chain, ends that meet joined in one vertex, crossings opened, straight pieces united.

All lengths in pixels at the scene's centre (see ``model``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from recon.curves.wireframe.crossings import CROSSING_RAD, MISS_PX, REACH_PX
from recon.curves.wireframe.fitting import PRICE_LINE, closed_shape, distances, shapes_of_chain
from recon.curves.wireframe.model import Model, compacted, joined
from recon.curves.wireframe.shapes import Shape, evaluate, length
from recon.curves.wireframe.trace import STEP_PX, Track

TAIL_PX = 7.0
"""A piece at the end of a track that is shorter than this ran on past a corner."""
PAIR_REACH = 1.6
"""Two ends are looked at together within this many reaches: each may move one, at up to a right angle. By hand."""
PULL = 0.05
"""Weight of the ends' own places where their tangents meet: makes parallel ends meet half way, and moves others by a twentieth."""
MIN_LENGTH_PX = 3.0
STUB_PX = 11.0


def model_of_tracks(tracks: Sequence[Track]) -> Model:
    """Shapes of all tracks; neighbouring shapes of a track share a vertex, different tracks share none yet."""
    parts = []
    for track in tracks:
        fitted = shapes_of_chain(track.points, track.closed)
        if fitted[0][0].ends is None:
            parts.append((np.zeros((0, 3)), [fitted[0][0]]))
            continue
        if not track.closed:
            fitted = _without_tails(fitted)
        ends = [f[1] for f in fitted]
        corners = [ends[0][0], *((a[1] + b[0]) / 2 for a, b in pairwise(ends)), ends[-1][1]]
        if track.closed:
            corners[0] = (corners[0] + corners.pop()) / 2
        count = len(corners)
        parts.append((np.stack(corners), [replace(f[0], ends=(k, (k + 1) % count)) for k, f in enumerate(fitted)]))
    return joined(parts)


def _without_tails(fitted: list) -> list:
    while len(fitted) > 1 and length(fitted[0][0], fitted[0][1]) < TAIL_PX:
        fitted = fitted[1:]
    while len(fitted) > 1 and length(fitted[-1][0], fitted[-1][1]) < TAIL_PX:
        fitted = fitted[:-1]
    return fitted


@dataclass(frozen=True)
class _End:
    """A place where something may be joined: the free end of a shape, or a vertex where several meet already (no direction)."""

    vertex: int
    position: np.ndarray
    directions: np.ndarray  # [D, 3] outward tangents of the shapes that end here


def snap(model: Model) -> Model:
    """Join ends whose curves, prolonged a little, meet in a point."""
    incident = model.incident()
    places = [_End(v, model.vertices[v], np.stack([model.outward(k, side) for k, side in ends])) for v, ends in sorted(incident.items())]
    if len(places) < 2:
        return model
    at = np.stack([p.position for p in places])
    distance = np.linalg.norm(at[:, None] - at[None], axis=-1)
    i, j = np.nonzero(np.triu(distance < PAIR_REACH * REACH_PX, 1))
    found = []
    for a, b in zip(i.tolist(), j.tolist(), strict=True):
        meeting = _meeting([places[a], places[b]])
        if meeting is not None:
            found.append((distance[a, b] + 3 * meeting[1], a, b))
    group = {k: [k] for k in range(len(places))}
    head = list(range(len(places)))
    spots: dict[int, np.ndarray] = {}
    shapes_of = [{k for k, _ in incident[p.vertex]} for p in places]
    for _, a, b in sorted(found):
        ga, gb = head[a], head[b]
        if ga == gb:
            continue
        members = group[ga] + group[gb]
        # both ends of one short curve must not fall together
        seen = [k for m in members for k in shapes_of[m]]
        doubled = {k for k in seen if seen.count(k) > 1}
        if any(length(model.shapes[k], model.vertices) < 3 * REACH_PX for k in doubled):
            continue
        meeting = _meeting([places[m] for m in members])
        if meeting is None:
            continue
        spots[ga] = meeting[0]
        group[ga] = members
        for m in group.pop(gb):
            head[m] = ga
    target = {places[k].vertex: places[head[k]].vertex for k in range(len(places))}
    vertices = model.vertices.copy()
    for g, spot in spots.items():
        if g in group:
            vertices[places[g].vertex] = spot
    shapes = tuple(replace(s, ends=(target[s.ends[0]], target[s.ends[1]])) if s.ends is not None else s for s in model.shapes)
    return _closed_rings(Model(vertices, shapes), model)


def _meeting(places: Sequence[_End]) -> tuple[np.ndarray, float] | None:
    """Where the tangent lines of some ends come nearest to each other, and how far beside them that is; None if too far."""
    directions = np.concatenate([p.directions for p in places])
    origins = np.concatenate([np.repeat(p.position[None], len(p.directions), axis=0) for p in places])
    across = np.eye(3) - directions[:, :, None] * directions[:, None]
    x = np.linalg.solve(
        across.sum(0) + PULL * len(across) * np.eye(3), (across @ origins[:, :, None])[:, :, 0].sum(0) + PULL * origins.sum(0)
    )
    gap = x - origins
    miss = np.linalg.norm((across @ gap[:, :, None])[:, :, 0], axis=1).max()
    along = np.abs((gap * directions).sum(1)).max()
    return (x, float(miss)) if miss < MISS_PX and along < REACH_PX else None


def _closed_rings(model: Model, before: Model) -> Model:
    """A curve whose ends fell together becomes a smooth closed one where that fits, and else stays a loop; a line is dropped.

    Args:
        model: After vertices were united.
        before: The same shapes in the same order with their own ends: an arc from a point to itself is no circle.
    """
    shapes = []
    for shape, own in zip(model.shapes, before.shapes, strict=True):
        if shape.ends is None or shape.ends[0] != shape.ends[1]:
            shapes.append(shape)
        elif own.kind in ("arc", "spline") and own.ends is not None and own.ends[0] != own.ends[1]:
            count = max(int(length(own, before.vertices) / STEP_PX), 24)
            closed = closed_shape(evaluate(own, before.vertices, np.linspace(0, 1, count + 1)[:-1]))
            if closed is not None:
                shapes.append(closed[0])
            elif own.kind == "spline":
                shapes.append(shape)
        elif own.kind == "spline":  # a loop already
            shapes.append(shape)
    return compacted(Model(model.vertices, tuple(shapes)))


def drop_short(model: Model) -> Model:
    """Without curves that are too short to be seen; their two ends become one vertex."""
    lengths = model.lengths()
    target = np.arange(len(model.vertices))
    for shape, size in zip(model.shapes, lengths, strict=True):
        if shape.ends is not None and size < MIN_LENGTH_PX:
            a, b = target[shape.ends[0]], target[shape.ends[1]]
            target[target == b] = a
    before = [s for s, size in zip(model.shapes, lengths, strict=True) if size >= MIN_LENGTH_PX]
    kept = [replace(s, ends=(int(target[s.ends[0]]), int(target[s.ends[1]]))) if s.ends is not None else s for s in before]
    return _closed_rings(Model(model.vertices, tuple(kept)), Model(model.vertices, tuple(before)))


def drop_stubs(model: Model) -> Model:
    """Without short curves that have a free end: noise of the pictures around junctions, or anywhere."""
    degrees, lengths = model.degrees(), model.lengths()

    def is_stub(shape: Shape, size: float) -> bool:
        if shape.ends is None or size >= STUB_PX:
            return False
        return bool(degrees[list(shape.ends)].min() == 1)

    return model.keep([not is_stub(s, size) for s, size in zip(model.shapes, lengths, strict=True)])


def merge(model: Model) -> Model:
    """Unite two curves that meet in a vertex where nothing else ends, when one shape explains both as cheaply."""
    changed = True
    while changed:
        changed = False
        for vertex, ends in sorted(model.incident().items()):
            if len(ends) != 2 or ends[0][0] == ends[1][0]:
                continue
            united = _united(model, vertex, ends[0], ends[1])
            if united is not None:
                model, changed = united, True
                break
    return model


def _united(model: Model, vertex: int, a: tuple[int, int], b: tuple[int, int]) -> Model | None:
    if model.outward(*a) @ model.outward(*b) > -np.cos(CROSSING_RAD):
        return None
    first, second = model.shapes[a[0]], model.shapes[b[0]]
    assert first.ends is not None
    assert second.ends is not None
    if {first.kind, second.kind} <= {"line", "arc"} and first.kind != second.kind:
        return None
    outer = first.ends[1 - a[1]], second.ends[1 - b[1]]
    if outer[0] == outer[1] and first.kind == "line":
        return None
    lengths = [length(s, model.vertices) for s in (first, second)]
    chain = []
    for shape, (_, side), size in zip((first, second), (a, b), lengths, strict=True):
        t = np.linspace(0, 1, max(int(size / 1.5), 4))
        chain.append(evaluate(shape, model.vertices, t if side == 1 else t[::-1]))
    points = np.concatenate([chain[0], chain[1][::-1][1:]])
    if outer[0] == outer[1]:
        closed = shapes_of_chain(points[:-1], True)
        if closed[0][0].ends is not None:
            return None
        made = closed[0][0]
        limit = distances(made, np.zeros((0, 3)), points).max()
    else:
        options = shapes_of_chain(points, False)
        if len(options) != 1:
            return None
        if options[0][0].kind == "spline" and "spline" not in (first.kind, second.kind) and options[0][2] > 3 * PRICE_LINE:
            return None
        limit = distances(options[0][0], model.vertices[list(outer)], points).max()
        made = replace(options[0][0], ends=outer)
    if limit > MISS_PX / 2:
        return None
    kept = [s for k, s in enumerate(model.shapes) if k not in (a[0], b[0])]
    return compacted(Model(model.vertices, (*kept, made)))
