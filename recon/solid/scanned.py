"""Segmentation of any mesh: which kind of mesh it is, and the noisy kind from start to end."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from recon.solid.exact import TOLERANCE, Segmentation, facets
from recon.solid.fitting import fit, least_squares
from recon.solid.labels import certain, settle
from recon.solid.mesh import Mesh
from recon.solid.model import Distance, Primitive, SolidInput
from recon.solid.primitives import distance
from recon.solid.regions import find_regions
from recon.solid.scan import INSIDE, Scan, measured_sigma, prepare, with_sigma
from recon.solid.thinning import Thinned

SIGMA = 5e-4
"""Standard deviation of a surface of which nothing is known, as a part of the diagonal."""
CORRELATION = 0.02
"""Length over which errors of a surface are alike, as a part of the diagonal."""
ON_FACETS = 0.2
"""A mesh with more of its area in facets of several triangles is a tessellation: noise leaves none."""
NEAR = 0.05
"""A step onto the zero set that is shorter than this part of an edge needs no second."""
ROBUST = 3.0
MOST_POINTS = 20_000
"""A face is fitted to so many of its points; more say nothing new."""


def is_tessellation(mesh: Mesh) -> bool:
    """Whether neighbouring triangles share planes as only a CAD program's do."""
    group = facets(mesh, TOLERANCE * mesh.diagonal)
    size = np.bincount(group)
    return bool(mesh.areas[size[group] > 1].sum() > ON_FACETS * mesh.areas.sum())


def on_zero_set(mesh: Mesh, function: Distance) -> Mesh:
    """The mesh with its vertices on the zero set of a signed distance: steps of Newton's method, at most an edge long, a second one for
    vertices that the first moved far."""
    x, step = mesh.vertices.copy(), float(np.median(mesh.edge_lengths))
    moving = np.arange(len(x))
    for _ in range(2):
        value, gradient = function(x[moving])
        square = np.maximum(np.einsum("ij,ij->i", gradient, gradient), 1e-12)
        move = -(value / square)[:, None] * gradient
        length = np.linalg.norm(move, axis=1)
        x[moving] += move * np.minimum(1.0, step / np.maximum(length, 1e-300))[:, None]
        moving = moving[length > NEAR * step]
        if not len(moving):
            break
    return Mesh(x, mesh.faces)


def scan_segmentation(fine: Thinned, surface: SolidInput, seed: int) -> tuple[Segmentation, list[np.ndarray], float, float]:
    """Regions of a noisy mesh, the points each is fitted to, the standard deviation used, and the errors' correlation length."""
    mesh = fine.mesh
    scan = prepare(mesh, surface.curves, surface.sigma or SIGMA * mesh.diagonal)
    if surface.sigma is None:
        scan = with_sigma(scan, measured_sigma(scan, scan.sigma))
    sigma = scan.sigma
    find_regions(scan, seed)
    found = settle(scan)
    fitted: list[np.ndarray] = []
    a, b, _ = mesh.pairs
    beside = np.unique(np.stack([np.r_[found.labels[a], found.labels[b]], np.r_[found.labels[b], found.labels[a]]], 1), axis=0)
    for k in range(len(found.primitives)):
        near = [found.primitives[j] for j in beside[beside[:, 0] == k, 1] if j != k]
        fitted.append(certain(scan, _fitted_to(scan, found.labels, k), [q for q in near if q is not None]))
    # pieces of one surface say together where it is
    pieces: dict[int, list[int]] = {}
    for k, p in enumerate(found.primitives):
        pieces.setdefault(id(p) if p is not None else -k, []).append(k)
    points, primitives = [_some(fine.owned(v)[0]) for v in fitted], list(found.primitives)
    for group in pieces.values():
        p = found.primitives[group[0]]
        if p is None or p.kind == "bspline":
            for k in group:
                primitives[k] = None
            continue
        vertices = np.concatenate([fitted[k] for k in group])
        x, owner = fine.owned(vertices)
        x, normals = _some(x), _some(scan.normals[vertices[owner]])
        better = refined(p, x, normals, sigma)
        for k in group:
            points[k], primitives[k] = x, better
    return Segmentation(found.labels, primitives), points, sigma, CORRELATION * mesh.diagonal


def _some(rows: np.ndarray) -> np.ndarray:
    return rows[np.linspace(0, len(rows) - 1, min(len(rows), MOST_POINTS)).astype(int)]


def _fitted_to(scan: Scan, labels: np.ndarray, region: int) -> np.ndarray:
    """Vertices inside a region, away from creases where it has enough of those; else all of it."""
    mesh = scan.mesh
    mine = np.unique(mesh.faces[labels == region])
    outside = np.zeros(len(mesh.vertices), bool)
    outside[mesh.faces[labels != region].ravel()] = True
    inner = mine[~outside[mine]]
    clear = inner[scan.rings[inner] >= INSIDE]
    return clear if len(clear) >= 30 else inner if len(inner) >= 12 else mine


def refined(p: Primitive, points: np.ndarray, normals: np.ndarray, sigma: float) -> Primitive:
    """Least squares with Tukey's weights (Beaton and Tukey 1974): what is off by several sigma does not pull."""
    start = p
    if p.kind == "plane":
        start = fit("plane", points, normals, most=3000) or p
    for _ in range(3):
        off = np.abs(distance(start, points)) / (ROBUST * 2 * sigma)
        weights = np.where(off < 1, (1 - np.minimum(off, 1) ** 2) ** 2, 0.0)
        if (weights > 0).sum() < 12:
            return p
        better = least_squares(start, points, weights, rounds=12)
        if better is None:
            return start
        start = replace(better)
    return start
