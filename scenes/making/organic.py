"""Smooth shapes from closed formulas: meshed by marching cubes, every vertex then moved onto the zero set, normals from the gradient.

A formula is negative inside. It need not be a distance; it must be smooth near its zero set. Coordinates of formulas are about 1 in
size; :data:`SHAPES` gives each shape a size and a place in the world, millimetres, z up.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from recon.errors import UsageError
from scenes.making.solid import Solid

Formula = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Shape:
    """A formula and where it is.

    Attributes:
        formula: Coordinates [N, 3] -> values [N], negative inside.
        half: The shape lies within plus and minus this along each axis of the formula.
        scale: Millimetres per unit of the formula.
        place: Of the formula's origin in the world, millimetres.
    """

    formula: Formula
    half: tuple[float, float, float]
    scale: float
    place: tuple[float, float, float]


@lru_cache(maxsize=2)
def solid(name: str, cells: int = 144) -> Solid:
    """Mesh one of :data:`SHAPES`.

    Args:
        name: Of the shape.
        cells: Cells of the grid along the longest side of its box; 144 keeps 99 % of facets within about 2e-4
            of the diagonal of the formula's surface (see :func:`facet_errors`); a few at tight rims and cusps are off by up to 1e-3.
    Returns:
        A closed solid without curves, world units.
    """
    from skimage.measure import marching_cubes

    if name not in SHAPES:
        raise UsageError(f"there is no formula {name!r}", f"Formulas: {', '.join(SHAPES)}.")
    shape = SHAPES[name]
    half = np.array(shape.half)
    step = 2 * half.max() / cells
    counts = np.ceil(2 * half / step).astype(int) + 3
    low = -(counts - 1) * step / 2
    axes = [low[k] + step * np.arange(counts[k]) for k in range(3)]
    values = np.empty(counts)
    for k, x in enumerate(axes[0]):  # a slab at a time bounds the memory of the formula's temporaries
        grid = np.stack(np.meshgrid(x, axes[1], axes[2], indexing="ij"), -1)
        values[k] = shape.formula(grid.reshape(-1, 3)).reshape(counts[1:])
    points, faces, _, _ = marching_cubes(values, 0.0, spacing=(step,) * 3, allow_degenerate=False)
    points = points.astype(np.float64) + low
    for _ in range(6):
        gradient = _gradient(shape.formula, points)
        move = shape.formula(points) / np.maximum((gradient**2).sum(1), 1e-12)
        move = move[:, None] * gradient
        size = np.linalg.norm(move, axis=1, keepdims=True)
        points -= move * np.minimum(1, 0.5 * step / np.maximum(size, 1e-300))
    points = _spread(points, faces, shape.formula)
    gradient = _gradient(shape.formula, points)
    normals = (gradient / np.linalg.norm(gradient, axis=1, keepdims=True)).astype(np.float32)
    corners = points[faces]
    outward = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    if (outward * normals[faces].mean(1)).sum() < 0:
        faces = faces[:, ::-1]
    faces = np.ascontiguousarray(faces, np.int32)
    return Solid(points * shape.scale + np.array(shape.place), faces, normals, faces, np.zeros(len(faces), np.int32), np.zeros((0, 3)))


def facet_errors(name: str, mesh: Solid) -> np.ndarray:
    """Distance (to first order) of the middle of every facet of an organic scene's mesh from its formula's surface. [F], world units"""
    shape = SHAPES[name]
    middle = (mesh.vertices[mesh.faces].mean(1) - np.array(shape.place)) / shape.scale
    slope = np.linalg.norm(_gradient(shape.formula, middle), axis=1)
    return np.abs(shape.formula(middle)) / np.maximum(slope, 1e-12) * shape.scale


def _gradient(formula: Formula, points: np.ndarray, h: float = 1e-4) -> np.ndarray:
    """Central differences; their error is of order h² = 1e-8. [N, 3] -> [N, 3]"""
    result = np.empty_like(points)
    for k in range(3):
        shift = np.zeros(3)
        shift[k] = h
        result[:, k] = (formula(points + shift) - formula(points - shift)) / (2 * h)
    return result


def _spread(points: np.ndarray, faces: np.ndarray, formula: Formula) -> np.ndarray:
    """Two rounds of tangential smoothing, each followed by a projection: marching cubes' slivers become even triangles."""
    from scipy.sparse import coo_matrix

    pairs = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    pairs = np.concatenate([pairs, pairs[:, ::-1]])
    graph = coo_matrix((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(len(points),) * 2).tocsr()
    degree = np.asarray(graph.sum(1))
    for _ in range(2):
        gradient = _gradient(formula, points)
        normal = gradient / np.linalg.norm(gradient, axis=1, keepdims=True)
        move = graph @ points / degree - points
        points = points + 0.5 * (move - (move * normal).sum(1, keepdims=True) * normal)
        for _ in range(3):
            gradient = _gradient(formula, points)
            points = points - (formula(points) / (gradient**2).sum(1))[:, None] * gradient
    return points


# ---- formulas ----------------------------------------------------------------------------------------------------------------------


def _ball(p: np.ndarray, center: tuple[float, float, float], radii: tuple[float, float, float]) -> np.ndarray:
    """Nearly the distance to an ellipsoid: its implicit function over its gradient's size."""
    q = (p - np.array(center)) / np.array(radii)
    k0 = np.sqrt((q * q).sum(1) + 1e-12)
    k1 = np.sqrt(((q / np.array(radii)) ** 2).sum(1) + 1e-12)
    return k0 * (k0 - 1) / k1


def _rod(p: np.ndarray, a: tuple[float, float, float], b: tuple[float, float, float], start: float, end: float) -> np.ndarray:
    """A segment with a radius that changes smoothly from ``start`` to ``end``."""
    first, axis = np.array(a), np.array(b) - np.array(a)
    t = (p - first) @ axis / (axis @ axis)
    t = np.clip(t, 0, 1)
    return np.linalg.norm(p - first - t[:, None] * axis, axis=1) - (start + (end - start) * t * t * (3 - 2 * t))


def _join(blend: float, *parts: np.ndarray) -> np.ndarray:
    """Smooth union: a soft minimum (log-sum-exp) of width ``blend``."""
    values = np.stack(parts)
    least = values.min(0)
    return least - blend * np.log(np.exp((least - values) / blend).sum(0))


def _both(blend: float, *parts: np.ndarray) -> np.ndarray:
    """Smooth intersection."""
    return -_join(blend, *(-q for q in parts))


def duck(p: np.ndarray) -> np.ndarray:
    """A bath duck: body, head, bill, wings, tail."""
    wings = [_ball(p, (-0.10, side * 0.47, 0.02), (0.40, 0.15, 0.24)) for side in (-1, 1)]
    body = _ball(p, (0, 0, -0.12), (0.78, 0.56, 0.42))
    tail = _rod(p, (-0.55, 0, 0.0), (-0.90, 0, 0.30), 0.22, 0.07)
    head = _ball(p, (0.42, 0, 0.55), (0.36, 0.34, 0.34))
    bill = _ball(p, (0.83, 0, 0.48), (0.20, 0.19, 0.07))
    return _join(0.05, body, tail, head, bill, *wings)


def heart(p: np.ndarray) -> np.ndarray:
    """Taubin's heart, (x² + 9/4 y² + z² - 1)³ = x² z³ + 9/80 y² z³, divided to be of the order of a distance."""
    x, y, z = p.T
    q = x * x + 2.25 * y * y + z * z - 1
    return (q**3 - x * x * z**3 - 0.1125 * y * y * z**3) / (0.4 + 6 * q * q + 0.7 * (x * x + z * z))


def knot(p: np.ndarray) -> np.ndarray:
    """A trefoil as a Lissajous-like torus knot: two strands twisted 3/2 times about a circle, joined to one tube."""
    x, y, z = p.T
    turn = np.arctan2(y, x)
    rho = np.hypot(x, y) - 0.72
    strands = []
    for half in (0.0, np.pi):
        a = 1.5 * turn + half
        # the strand is inclined to the meridian plane: the distance across it is shorter by the cosine of that angle
        strands.append(np.sqrt((rho - 0.27 * np.cos(a)) ** 2 + (z - 0.27 * np.sin(a)) ** 2 + 1e-12) - 0.15)
    return _join(0.02, *strands)


def gyroid(p: np.ndarray) -> np.ndarray:
    """A ball cut out of a thick gyroid, with rounded rims."""
    x, y, z = (p * 5.2 + 0.4).T
    sheet = np.sin(x) * np.cos(y) + np.sin(y) * np.cos(z) + np.sin(z) * np.cos(x)
    return _both(0.04, np.sqrt(sheet**2 + 0.01) / 7.0 - 0.085, np.sqrt((p**2).sum(1) + 1e-12) - 0.9)


def vase(p: np.ndarray) -> np.ndarray:
    """A fluted vase with a foot, hollow."""
    x, y, z = p.T
    turn = np.arctan2(y, x)
    outline = 0.42 + 0.16 * np.sin(2.6 * z + 0.6) + 0.05 * np.cos(6.5 * z)
    radius = outline + 0.022 * np.cos(12 * turn + 4 * z) * (0.3 + 0.7 / (1 + np.exp(-12 * (z + 0.5))))
    r = np.sqrt(x * x + y * y + 1e-12)
    outside = _both(0.035, (r - radius) / 1.15, np.abs(z) - 0.92)
    inside = _both(0.03, (r - outline + 0.09) / 1.15, -0.80 - z)
    return _both(0.025, outside, -inside)


def asteroid(p: np.ndarray) -> np.ndarray:
    """A lumpy ball with round craters."""
    r = np.sqrt((p * p).sum(1) + 1e-12)
    d = p / r[:, None]
    lumps = (
        0.10 * np.sin(3 * d[:, 0] + 1) * np.cos(2.5 * d[:, 1]) + 0.06 * np.sin(5 * d[:, 2] + 2 * d[:, 0]) + 0.02 * np.sin(11 * d[:, 1] + 3)
    )
    index = np.arange(14)
    height = 1 - (2 * index + 1) / 14
    across = np.sqrt(1 - height * height)
    turn = 2.399963 * index + 0.5
    centers = np.stack([across * np.cos(turn), across * np.sin(turn), height], 1)
    for number, center in enumerate(centers):
        width = 0.13 + 0.11 * ((number * 5) % 14) / 14
        away = ((d - center) ** 2).sum(1) / width**2
        lumps -= 0.5 * width * (np.exp(-1.5 * away) - 0.45 * np.exp(-4 * (np.sqrt(away + 1e-9) - 1.15) ** 2))
    return (r - 0.8 - lumps) / 1.25


def rings(p: np.ndarray) -> np.ndarray:
    """A surface with three handles: tori in a row, blended."""
    tori = []
    for center in (-0.62, 0.0, 0.62):
        x = p[:, 0] - center
        tori.append(np.sqrt((np.sqrt(x * x + p[:, 1] ** 2 + 1e-12) - 0.30) ** 2 + p[:, 2] ** 2 + 1e-12) - 0.11)
    return _join(0.03, *tori)


SHAPES = {
    "duck": Shape(duck, (1.06, 0.66, 0.93), 55.0, (30, 200, 60)),
    "heart": Shape(heart, (1.16, 0.7, 1.26), 40.0, (-80, 0, 25)),
    "knot": Shape(knot, (1.17, 1.12, 0.44), 50.0, (0, -90, 300)),
    "gyroid": Shape(gyroid, (0.93, 0.93, 0.93), 60.0, (150, 150, 0)),
    "vase": Shape(vase, (0.64, 0.64, 0.96), 70.0, (-300, 40, 70)),
    "asteroid": Shape(asteroid, (0.87, 0.84, 1.02), 50.0, (500, 0, 0)),
    "rings": Shape(rings, (1.06, 0.44, 0.15), 60.0, (10, 20, -30)),
}
"""The organic scenes' formulas, by the scene's name."""
