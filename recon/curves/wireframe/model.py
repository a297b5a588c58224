"""The wireframe while it is being worked on: vertices that curves share, and the curves between them.

Lengths are in pixels: one unit is what a pixel spans at the scene's centre, so that every tolerance can be said in pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from recon.curves.wireframe.shapes import Shape, length, tangents


@dataclass(frozen=True)
class Model:
    """Vertices and shapes.

    Attributes:
        vertices: Positions. [V, 3]
        shapes: Their ``ends`` index ``vertices``.
    """

    vertices: np.ndarray
    shapes: tuple[Shape, ...]

    def lengths(self) -> np.ndarray:
        """Arc length of each shape. [K]"""
        return np.array([length(s, self.vertices) for s in self.shapes])

    def degrees(self) -> np.ndarray:
        """How many curve ends meet in each vertex. [V]"""
        ends = [e for s in self.shapes if s.ends is not None for e in s.ends]
        return np.bincount(np.array(ends, int), minlength=len(self.vertices))

    def incident(self) -> dict[int, list[tuple[int, int]]]:
        """Vertex to the (shape, side) that end there; side 0 is the start."""
        found: dict[int, list[tuple[int, int]]] = {}
        for k, shape in enumerate(self.shapes):
            for side, vertex in enumerate(shape.ends or ()):
                found.setdefault(vertex, []).append((k, side))
        return found

    def outward(self, shape: int, side: int) -> np.ndarray:
        """Unit tangent at an end, pointing out of the curve. [3]"""
        t = tangents(self.shapes[shape], self.vertices, np.array([float(side)]))[0]
        return t if side else -t

    def keep(self, wanted: Sequence[bool] | np.ndarray) -> Model:
        """Only some of the shapes; vertices that nothing ends in are dropped."""
        return compacted(replace(self, shapes=tuple(s for s, w in zip(self.shapes, wanted, strict=True) if w)))


def compacted(model: Model) -> Model:
    """Without the vertices that nothing ends in."""
    used = sorted({e for s in model.shapes for e in (s.ends or ())})
    place = {old: new for new, old in enumerate(used)}
    shapes = tuple(replace(s, ends=(place[s.ends[0]], place[s.ends[1]])) if s.ends is not None else s for s in model.shapes)
    return Model(model.vertices[used].reshape(-1, 3), shapes)


def joined(parts: Sequence[tuple[np.ndarray, Sequence[Shape]]]) -> Model:
    """One model from parts with vertices of their own."""
    vertices: list[np.ndarray] = []
    shapes: list[Shape] = []
    first = 0
    for points, part in parts:
        vertices.append(points.reshape(-1, 3))
        shapes += [replace(s, ends=(s.ends[0] + first, s.ends[1] + first)) if s.ends is not None else s for s in part]
        first += len(points)
    return Model(np.concatenate([*vertices, np.zeros((0, 3))]), tuple(shapes))
