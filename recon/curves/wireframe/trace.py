"""Following 3D edges from seed points, guided by the 2D edges of all views: from a cloud of oriented points to ordered polylines.

A step along the tangent, then a polish on the images; the tangent is turned by what the views say, not by the noise of neighbouring
points. A track ends where too few views agree, where it would turn a corner, where it runs into an earlier track, or where it meets its
own start (a closed curve).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recon.curves.wireframe.evidence import EdgePoints, Evidence, polish

STEP_PX = 1.5
"""Length of a step in pixels at the scene's centre."""
MAX_TURN_RAD = np.radians(25.0)
"""A track that turns more than this in one step has reached a corner."""
MAX_SLIDE_PX = 1.2
"""A polish that moves a predicted point farther than this has jumped to another edge."""
GAP_STEPS = 3
"""Steps that a track may go on without enough support, for instance past a junction."""
MIN_STEPS = 4
"""Tracks with fewer points are dropped."""
MAX_STEPS = 4000
"""A closed edge of 6,000 pixels, several times around the largest picture: only ends what would never end."""
POLISH_PX = (2.0, 1.6)
"""Where a predicted point looks for edges, pass by pass: a step of 1.5 pixels along the tangent is off by less. By hand, not swept."""
TAKEN_STEPS = 1.5
"""An earlier track covers this many steps around its points, so that no gap is left between two of them."""
TAKEN_ALONG, TAKEN_ACROSS, TAKEN_RAD = 0.6, 0.7, np.radians(30.0)
"""Of that radius, the part along the track and the part beside it, how parallel: what lies ahead of an end is not taken. By hand."""
LEAST_RING = 6
"""Steps before a track may be found to have come back: fewer are still near their start."""
RING_STEPS, RING_COSINE = 0.75, 0.5
"""A closed track ends within this part of a step of its start, in its direction to 60 degrees. By hand."""


@dataclass(frozen=True)
class Track:
    """An ordered chain of points on one 3D edge.

    Attributes:
        points: Scene units, about STEP_PX pixels apart. [N, 3]
        tangents: Unit, along the chain. [N, 3]
        support: Views that see each point. [N]
        spread: See ``EdgePoints``. [N]
        closed: The last point is one step before the first.
    """

    points: np.ndarray
    tangents: np.ndarray
    support: np.ndarray
    spread: np.ndarray
    closed: bool

    def __len__(self) -> int:
        return len(self.points)


@dataclass(frozen=True)
class TraceSettings:
    """What counts as an edge.

    Attributes:
        min_support: Least number of views.
        min_spread: Least spread of the views around the edge.
    """

    min_support: int
    min_spread: float


def trace(evidence: Evidence, seeds: EdgePoints, settings: TraceSettings) -> list[Track]:
    """Trace all edges that the seeds lie on, best supported seeds first.

    Args:
        evidence: The 2D edges.
        seeds: Polished points.
        settings: What counts as an edge.
    Returns:
        Tracks; no two run along the same edge.
    """
    good = (seeds.support >= settings.min_support) & (seeds.spread >= settings.min_spread)
    order = np.argsort(-seeds.support[good], kind="stable")
    seeds = seeds[good][order]
    step = STEP_PX * evidence.pixel
    taken = _Taken(TAKEN_STEPS * step)
    tracks = []
    for k in range(len(seeds)):
        if taken.near(seeds.points[k : k + 1], seeds.tangents[k : k + 1])[0]:
            continue
        track = _trace_one(evidence, seeds[k : k + 1], step, settings, taken)
        if len(track) >= MIN_STEPS:
            taken.add(track.points, track.tangents)
            tracks.append(track)
    return tracks


def _trace_one(evidence: Evidence, seed: EdgePoints, step: float, settings: TraceSettings, taken: _Taken) -> Track:
    forward, closed = _follow(evidence, seed, 1.0, step, settings, taken)
    if closed:
        return _joined([seed, *forward], True)
    backward, _ = _follow(evidence, seed, -1.0, step, settings, taken)
    flipped = [EdgePoints(p.points, -p.tangents, p.support, p.spread, p.rmse_px) for p in reversed(backward)]
    return _joined([*flipped, seed, *forward], False)


def _joined(parts: list[EdgePoints], closed: bool) -> Track:
    return Track(
        np.concatenate([p.points for p in parts]),
        np.concatenate([p.tangents for p in parts]),
        np.concatenate([p.support for p in parts]),
        np.concatenate([p.spread for p in parts]),
        closed,
    )


def _follow(
    evidence: Evidence, seed: EdgePoints, sign: float, step: float, settings: TraceSettings, taken: _Taken
) -> tuple[list[EdgePoints], bool]:
    """Points after the seed in one direction, and whether the track came back to it."""
    point, tangent = seed.points, sign * seed.tangents
    start = point[0]
    found: list[EdgePoints] = []
    weak = 0
    while len(found) < MAX_STEPS:
        predicted = point + step * tangent
        at = polish(evidence, predicted, tangent, radii_px=POLISH_PX)
        turned = np.sign((at.tangents * tangent).sum()) * at.tangents
        moved = np.linalg.norm(at.points - predicted)
        cosine = float((turned * tangent).sum())
        if moved > MAX_SLIDE_PX * evidence.pixel or cosine < np.cos(MAX_TURN_RAD):
            break
        if taken.near(at.points, turned)[0]:
            break
        enough = at.support[0] >= settings.min_support and at.spread[0] >= 0.5 * settings.min_spread
        weak = 0 if enough else weak + 1
        if weak > GAP_STEPS:
            break
        found.append(EdgePoints(at.points, turned, at.support, at.spread, at.rmse_px))
        point, tangent = at.points, turned
        back = np.linalg.norm(point[0] - start) < RING_STEPS * step and float((tangent * sign * seed.tangents).sum()) > RING_COSINE
        if len(found) > LEAST_RING and back:
            return found, True
    return found[: len(found) - weak], False


class _Taken:
    """Points of finished tracks."""

    def __init__(self, radius: float):
        self.radius = radius
        self.points = np.zeros((0, 3))
        self.tangents = np.zeros((0, 3))

    def add(self, points: np.ndarray, tangents: np.ndarray) -> None:
        self.points = np.concatenate([self.points, points])
        self.tangents = np.concatenate([self.tangents, tangents])

    def near(self, points: np.ndarray, tangents: np.ndarray) -> np.ndarray:
        """Whether a point lies on an earlier track: near to one of its points, in the same direction, and beside it, not ahead. [N] bool"""
        if len(self.points) == 0:
            return np.zeros(len(points), bool)
        gap = points[:, None] - self.points[None]
        along = (gap * self.tangents[None]).sum(-1)
        across = np.linalg.norm(gap - along[..., None] * self.tangents[None], axis=-1)
        parallel = np.abs(tangents @ self.tangents.T) > np.cos(TAKEN_RAD)
        return ((np.abs(along) < TAKEN_ALONG * self.radius) & (across < TAKEN_ACROSS * self.radius) & parallel).any(1)
