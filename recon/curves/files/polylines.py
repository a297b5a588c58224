"""Wireframes in formats that know straight pieces and polynomial cubics only: OBJ, PLY, and EMAP's ``parametric_edges.json``."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from recon.curves.files.curve import Curve, line
from recon.curves.files.projection import TYPE_COLORS
from recon.curves.files.wireframe import Wireframe, from_curves, load
from recon.errors import DataError
from recon.system.files import write_text_atomically
from recon.system.foreign import read_json, reading

SEGMENT_SHARE = 0.01
"""Longest segment on a bent curve, as a share of the wireframe's largest side; at least eight a piece."""
CUBIC_SHARE = 1e-5
"""Rational pieces are split until polynomial cubics are nearer than this share of the wireframe's largest side."""


def extent(wireframe: Wireframe) -> float:
    """Largest side of the box about the curves' control points; 0 without any."""
    if not wireframe.curves:
        return 0.0
    return float(np.ptp(np.concatenate([c.control_points for c in wireframe.curves]), axis=0).max())


def polylines(wireframe: Wireframe) -> tuple[np.ndarray, list[np.ndarray]]:
    """Straight pieces that keep who meets whom.

    Returns:
        Points: the wireframe's vertices first, then what lies between [N, 3]; and for each curve the indices along it, the first again at
        the end if it is closed. Lines have two points, other curves lie on their points exactly.
    """
    longest = SEGMENT_SHARE * extent(wireframe)
    points, paths, count = [wireframe.vertices], [], len(wireframe.vertices)
    for curve in wireframe.curves:
        segments = 1 if curve.type == "line" else max(8 * curve.pieces, int(np.ceil(curve.length / longest)))
        along = curve.at(np.linspace(0, curve.pieces, segments + 1))
        if curve.vertices is None:
            points.append(along[:-1])
            paths.append(np.concatenate([count + np.arange(segments), [count]]))
            count += segments
        else:
            points.append(along[1:-1])
            paths.append(np.concatenate([[curve.vertices[0]], count + np.arange(segments - 1), [curve.vertices[1]]]))
            count += segments - 1
    return np.concatenate(points), paths


def write_obj(wireframe: Wireframe, path: Path) -> None:
    """Wavefront OBJ with an object and a line element for each curve, named by its number and type."""
    points, paths = polylines(wireframe)
    rows = [f"# {len(paths)} curves as polylines" + (f", unit {wireframe.unit}" if wireframe.unit else "")]
    rows += [f"v {x!r} {y!r} {z!r}" for x, y, z in points.tolist()]
    for number, (curve, along) in enumerate(zip(wireframe.curves, paths, strict=True)):
        rows += [f"o curve_{number}_{curve.type}", "l " + " ".join(map(str, (along + 1).tolist()))]
    write_text_atomically(path, "\n".join(rows) + "\n")


def write_ply(wireframe: Wireframe, path: Path) -> None:
    """PLY (text) with vertices and edges; edges are coloured by type and carry their curve's number."""
    points, paths = polylines(wireframe)
    rows = []
    for number, (curve, along) in enumerate(zip(wireframe.curves, paths, strict=True)):
        color = " ".join(map(str, TYPE_COLORS[curve.type]))
        rows += [f"{a} {b} {color} {number}" for a, b in zip(along[:-1].tolist(), along[1:].tolist(), strict=True)]
    head = ["ply", "format ascii 1.0", f"element vertex {len(points)}", *(f"property double {axis}" for axis in "xyz")]
    head += [f"element edge {len(rows)}", "property int vertex1", "property int vertex2"]
    head += [*(f"property uchar {c}" for c in ("red", "green", "blue")), "property int curve", "end_header"]
    body = [f"{x!r} {y!r} {z!r}" for x, y, z in points.tolist()]
    write_text_atomically(path, "\n".join([*head, *body, *rows]) + "\n")


def write_parametric_edges(wireframe: Wireframe, path: Path) -> None:
    """EMAP's file: ``lines_end_pts`` (m x 6) and ``curves_ctl_pts`` (n x 4 x 3, polynomial cubics).

    A curve of several pieces, or a rational one, becomes several cubics, within :data:`CUBIC_SHARE` of the largest side.
    """
    tolerance = CUBIC_SHARE * extent(wireframe)
    lines = [c.control_points[[0, -1]].reshape(-1).tolist() for c in wireframe.curves if c.type == "line"]
    cubics = [piece for c in wireframe.curves if c.type != "line" for piece in polynomial_cubics(c, tolerance).tolist()]
    write_text_atomically(path, json.dumps({"curves_ctl_pts": cubics, "lines_end_pts": lines}, allow_nan=False))


def polynomial_cubics(curve: Curve, tolerance: float) -> np.ndarray:
    """Polynomial Bézier cubics along a curve. Pieces of equal weights are copied; others are halved until the cubics with their end points
    and derivatives are within ``tolerance`` (at equal parameters, 15 places each). [n, 4, 3]"""
    found: list[np.ndarray] = []
    inner = np.linspace(0, 1, 17)[1:-1, None]
    basis = np.concatenate([(1 - inner) ** 3, 3 * inner * (1 - inner) ** 2, 3 * inner**2 * (1 - inner), inner**3], 1)
    for piece in range(curve.pieces):
        rows = slice(3 * piece, 3 * piece + 4)
        if np.ptp(curve.weights[rows]) <= 1e-12 * curve.weights[rows].max():
            found.append(curve.control_points[rows][None])
            continue
        cubics = np.zeros((0, 4, 3))
        for parts in 2 ** np.arange(11):
            t = piece + np.linspace(0, 1, parts + 1)
            # a joint belongs to the piece on either side; asked from inside, so that each has its own derivative
            ends = np.stack([t[:-1], np.minimum(t[1:], np.nextafter(piece + 1, piece))])
            (a, b), (da, db) = curve.at(ends), curve.tangent(ends) / (3 * parts)
            cubics = np.stack([a, a + da, b - db, b], 1)
            true = curve.at(t[:-1, None] + inner[:, 0] / parts)
            if np.linalg.norm(np.einsum("sk,nkd->nsd", basis, cubics) - true, axis=-1).max() <= tolerance:
                break
        cubics[1:, 0] = cubics[:-1, 3]
        cubics[-1, 3] = curve.control_points[3 * piece + 3]
        found.append(cubics)
    return np.concatenate(found)


def read_parametric_edges(path: Path) -> Wireframe:
    """Lines and cubics from a file of EMAP's form, by whomever; ends at one place become one vertex.

    Raises:
        DataError: If it is not such a file.
    """
    with reading(path, "a file of parametric edges"):
        data = read_json(path, "a file of parametric edges")
        cubics = np.array(data["curves_ctl_pts"], np.float64).reshape(-1, 4, 3)
        ends = np.array(data["lines_end_pts"], np.float64).reshape(-1, 2, 3)
        if not (np.isfinite(cubics).all() and np.isfinite(ends).all()):
            raise DataError(f"{path}: some of its points are not finite")
        open_ended = (0, 0)  # renumbered below
        curves = [line(a, b, vertices=open_ended) for a, b in ends]
        curves += [Curve("bezier", c, np.ones(4), None if np.array_equal(c[0], c[3]) else open_ended) for c in cubics]
        return from_curves(curves)


def read_curves(path: Path) -> Wireframe:
    """Curves from a file of either form: ``curves.json`` or EMAP's ``parametric_edges.json``.

    Raises:
        DataError: If it is neither.
    """
    data = read_json(path, "a file of curves", "give a curves.json or a parametric_edges.json")
    return read_parametric_edges(path) if isinstance(data, dict) and "curves_ctl_pts" in data else load(path)
