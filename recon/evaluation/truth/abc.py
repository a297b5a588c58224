"""Ground truth of ABC objects (Koch et al., CVPR 2019) as the edge reconstruction benchmarks use it.

A ``*_features_*.yml`` lists curves with their kind and the mesh vertices on them; the mesh (``.obj``) holds those vertices; the chunk's
statistics hold the object's box. The benchmark's world is the object scaled to a longest side of 1, its box centred at 0.5
(Ye et al., "NEF: Neural Edge Fields", CVPR 2023), and its curves are those marked ``sharp: true``.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from scipy.interpolate import BSpline

from recon.curves.files.curve import Curve, ellipse, line
from recon.curves.files.wireframe import Wireframe
from recon.errors import DataError
from recon.evaluation.truth.curves import CurveTruth, normalisation
from recon.evaluation.truth.interpolate import bezier_through
from recon.geometry import Similarity

_FIT = 2e-4
"""A curve is written as the line, circle or ellipse of the file if its vertices are on that to this part of the object's longest side."""
_HINT = "download the object's features, mesh and statistics again"


def read_abc(path: Path) -> CurveTruth:
    """Sharp curves of an ABC object in the benchmark's world.

    Lines, circles and ellipses are exact (with the file's parameters); everything else is a cubic spline through the mesh's vertices.
    The mesh is the ``.obj`` of the same object beside the file; without it, points come from the file's curve parameters: only those of the
    ends are used (circles have others in another unit), and curves that share a vertex must agree on it. The box comes from
    ``*stats*.json`` beside the file or up to two levels above, else from the mesh, else from the curves.

    Raises:
        DataError: If a file is broken; all broken curves at once.
    """
    entries = _sharp_curves(path)
    identity = path.name.split("_")[0]
    mesh = _mesh_vertices(path, identity)
    problems: list[str] = []
    polylines = []
    for number, entry in enumerate(entries):
        try:
            polylines.append(_polyline(entry, mesh))
        except (KeyError, TypeError, ValueError, IndexError) as error:
            problems.append(f"curve {number} ({entry.get('type')}): {error}")
    if mesh is None and not problems:
        problems = _disagreements(entries, polylines)
    if problems:
        raise DataError(f"{path}: broken curves", problems, f"{_HINT}, or give points sampled on the curves (.ply)")
    if not entries:
        raise DataError(f"{path}: none of its curves is sharp", hint="compare surfaces instead")
    box, extent_of = _box(path, identity), "object"
    if box is None and mesh is not None:
        box = (mesh.min(0), mesh.max(0))
    if box is None:
        points = np.concatenate(polylines)
        box, extent_of = (points.min(0), points.max(0)), "curves"
    world_from_raw = normalisation(*box)
    polylines = tuple(world_from_raw.apply(p) for p in polylines)
    wireframe = _wireframe(entries, polylines, world_from_raw)
    return CurveTruth(str(path), wireframe, polylines, Similarity(), extent_of, 1.0 / world_from_raw.scale)


def _sharp_curves(path: Path) -> list[dict[str, Any]]:
    """The file's ``curves:`` marked sharp; the far longer ``surfaces:`` are not parsed."""
    try:
        text = path.read_text(encoding="utf-8")
        head = text if text.startswith("curves:") else text[text.find("\ncurves:") + 1 :]
        end = head.find("\nsurfaces:")
        # the C parser is some ten times faster; a safe loader like the other
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        curves = loader(head if end < 0 else head[: end + 1]).get_single_data()["curves"]
        return [c for c in curves if c["sharp"] is True]
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError) as error:
        raise DataError(f"{path}: not a features file of ABC ({type(error).__name__}: {error})", hint=_HINT) from error


def _mesh_vertices(path: Path, identity: str) -> np.ndarray | None:
    """Vertices of the object's mesh, raw units [V, 3]; None if there is no mesh."""
    found = sorted(path.parent.glob(f"{identity}*.obj"))
    if not found:
        return None
    if len(found) > 1:
        raise DataError(
            f"{path.parent}: several meshes of {identity}", [p.name for p in found], "keep the one that belongs to the features"
        )
    try:
        rows = [row.split()[1:4] for row in found[0].read_text(encoding="utf-8").splitlines() if row.startswith("v ")]
        vertices = np.array(rows, np.float64).reshape(-1, 3)
    except (OSError, ValueError) as error:
        raise DataError(f"{found[0]}: its vertices cannot be read ({error})", hint=_HINT) from error
    if len(vertices) == 0 or not np.isfinite(vertices).all():
        raise DataError(f"{found[0]}: it has no vertices, or some are not finite", hint=_HINT)
    return vertices


def _box(path: Path, identity: str) -> tuple[np.ndarray, np.ndarray] | None:
    """Lowest and highest corner of the object from the chunk's statistics, raw units; None if they do not know it."""
    for folder in (path.parent, *path.parents[1:3]):
        for file in sorted(folder.glob("*stats*.json")):
            try:
                entry = json.loads(file.read_text(encoding="utf-8")).get(identity)
                if entry is not None:
                    numbers = np.array(entry["bbox"], np.float64)
                    return numbers[:3], numbers[3:6]
            except (OSError, ValueError, KeyError, AttributeError) as error:
                raise DataError(f"{file}: the box of {identity} cannot be read ({error})", hint=_HINT) from error
    return None


def _polyline(entry: dict[str, Any], mesh: np.ndarray | None) -> np.ndarray:
    """Vertices of a curve in order, raw units. [n, 3]"""
    indices = np.array(entry["vert_indices"], np.int64)
    if indices.ndim != 1 or len(indices) < 2:
        raise ValueError("fewer than two vertices")
    if mesh is not None:
        if indices.min() < 0 or indices.max() >= len(mesh):
            raise ValueError(f"vertex {indices.max()} of {len(mesh)}")
        return mesh[indices]
    first, last = float(entry["vert_parameters"][0]), float(entry["vert_parameters"][-1])
    if entry["type"] == "Line":
        t = np.linspace(first, last, len(indices))
        return np.array(entry["location"], np.float64) + t[:, None] * np.array(entry["direction"], np.float64)
    if entry["type"] in ("Circle", "Ellipse"):
        if indices[0] == indices[-1]:
            last = first + 2 * math.pi
        center, x, y, radii = _conic(entry)
        t = np.linspace(first, last, len(indices))[:, None]
        return center + radii[0] * np.cos(t) * x + radii[1] * np.sin(t) * y
    if entry["type"] == "BSpline":
        return _spline(entry, first, last, len(indices))
    raise ValueError("needs the object's .obj beside the features file")


def _spline(entry: dict[str, Any], first: float, last: float, count: int) -> np.ndarray:
    """Points at equal parameters on a rational B-spline with a flat knot vector. [count, 3]"""
    degree, knots, poles = int(entry["degree"]), np.array(entry["knots"], np.float64), np.array(entry["poles"], np.float64)
    if poles.ndim != 2 or poles.shape[1] != 3 or len(knots) != len(poles) + degree + 1:
        raise ValueError(f"{len(knots)} knots for {len(poles)} poles of degree {degree}: needs the object's .obj beside the features file")
    lower, upper = knots[degree], knots[-degree - 1]
    if entry["vert_indices"][0] == entry["vert_indices"][-1]:
        first, last = lower, upper
    if not (lower - 1e-9 <= min(first, last) < max(first, last) <= upper + 1e-9):
        raise ValueError(f"parameters {first:g} to {last:g} are outside of its knots' {lower:g} to {upper:g}")
    weights = np.array(entry.get("weights") or np.ones(len(poles)), np.float64)[:, None]
    value = BSpline(knots, np.concatenate([poles * weights, weights], 1), degree)(np.clip(np.linspace(first, last, count), lower, upper))
    return value[:, :3] / value[:, 3:]


def _disagreements(entries: list[dict[str, Any]], polylines: list[np.ndarray]) -> list[str]:
    """Vertices that curves share, but put at different places: then the parameters do not mean what they are taken for."""
    place: dict[int, np.ndarray] = {}
    size = float(np.ptp(np.concatenate(polylines), axis=0).max(initial=0.0)) if polylines else 0.0
    found = []
    for number, (entry, points) in enumerate(zip(entries, polylines, strict=True)):
        for index, point in zip((entry["vert_indices"][0], entry["vert_indices"][-1]), points[[0, -1]], strict=True):
            if np.abs(place.setdefault(index, point) - point).max() > _FIT * size:
                found.append(f"curve {number} ({entry['type']}): its end is not where other curves have vertex {index}")
    return found


def _conic(entry: dict[str, Any]) -> tuple[np.ndarray, np.ndarray, np.ndarray, tuple[float, float]]:
    """Centre, axes and radii of a circle or an ellipse."""
    x, y = np.array(entry["x_axis"], np.float64), np.array(entry["y_axis"], np.float64)
    if entry["type"] == "Circle":
        return np.array(entry["location"], np.float64), x, y, (float(entry["radius"]), float(entry["radius"]))
    center = (np.array(entry["focus1"], np.float64) + np.array(entry["focus2"], np.float64)) / 2
    return center, x, y, (float(entry["maj_radius"]), float(entry["min_radius"]))


def _wireframe(entries: list[dict[str, Any]], polylines: tuple[np.ndarray, ...], world_from_raw: Similarity) -> Wireframe:
    """Exact curves with the vertices they share: equal indices in the file are one vertex."""
    closed = [e["vert_indices"][0] == e["vert_indices"][-1] for e in entries]
    used = sorted({e["vert_indices"][k] for e, whole in zip(entries, closed, strict=True) if not whole for k in (0, -1)})
    renumber = {old: new for new, old in enumerate(used)}
    vertices = np.zeros((len(used), 3))
    curves = []
    for entry, points, whole in zip(entries, polylines, closed, strict=True):
        pair = None
        if not whole:
            pair = (renumber[entry["vert_indices"][0]], renumber[entry["vert_indices"][-1]])
            vertices[list(pair)] = points[[0, -1]]
        curves.append(_exact(entry, points, pair, world_from_raw))
    return Wireframe(vertices, tuple(curves))


def _exact(entry: dict[str, Any], points: np.ndarray, pair: tuple[int, int] | None, world_from_raw: Similarity) -> Curve:
    """The curve of the file's kind if it runs through the vertices, else a spline through them."""
    if entry["type"] == "Line" and pair is not None and _off_line(points) < _FIT:
        return line(points[0], points[-1], vertices=pair)
    if entry["type"] in ("Circle", "Ellipse"):
        center, x, y, radii = _conic(entry)
        center, scaled = world_from_raw.apply(center), (radii[0] * world_from_raw.scale, radii[1] * world_from_raw.scale)
        local = (points - center) @ np.stack([x, y], 1) / np.array(scaled)
        angles = np.unwrap(np.arctan2(local[:, 1], local[:, 0]))
        if angles[-1] < angles[0]:  # the file runs against its own axes: turn the second one
            y, angles = -y, -angles
        if pair is None:
            angles[-1] = angles[0] + 2 * math.pi
        on = center + scaled[0] * np.cos(angles)[:, None] * x + scaled[1] * np.sin(angles)[:, None] * y
        if np.abs(on - points).max() < _FIT and angles[-1] > angles[0]:
            return ellipse(center, x, y, scaled, (angles[0], angles[-1]), entry["type"] == "Circle", vertices=pair)
    return bezier_through(points, closed=pair is None, vertices=pair)


def _off_line(points: np.ndarray) -> float:
    """Largest distance of points from the line through the first and the last."""
    chord = points[-1] - points[0]
    return float(np.linalg.norm(np.cross(points - points[0], chord), axis=1).max() / max(float(np.linalg.norm(chord)), 1e-300))
