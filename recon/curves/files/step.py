"""Wireframes as STEP (extra ``[cad]``): true lines, circles, ellipses and B-splines."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from recon.curves.files.curve import Curve
from recon.curves.files.occ import occ, write_step
from recon.curves.files.wireframe import END_TOLERANCE, Wireframe
from recon.geometry import Similarity
from recon.system.files import whole

MILLIMETRES = {"mm": 1.0, "cm": 10.0, "m": 1000.0, "dm": 100.0, "um": 1e-3, "in": 25.4, "ft": 304.8, "km": 1e6}
"""STEP files are written in millimetres; a unit that is not known counts as one millimetre."""


FAR = 1e4
"""A part farther from the origin than this many times its size is moved there: CAD programs work with an absolute tolerance."""


def step_shift(wireframe: Wireframe) -> np.ndarray:
    """The point, world units, that becomes a STEP file's origin: the world's own, unless the part is far from it. [3]"""
    points = np.concatenate([c.control_points for c in wireframe.curves]) if wireframe.curves else np.zeros((1, 3))
    low, high = points.min(0), points.max(0)
    size = float((high - low).max())
    if size == 0 or float(np.abs(points).max()) <= FAR * size:
        return np.zeros(3)
    step = 10.0 ** np.floor(np.log10(size))
    return np.round((low + high) / 2 / step) * step


def write_step_curves(wireframe: Wireframe, path: Path, product: str | None = None) -> None:
    """Write one part made of trimmed curves (AP214 wireframe), millimetres; see :data:`MILLIMETRES`. ``product``: the part's name.

    Raises:
        CapabilityError: Without OpenCASCADE.
        ValueError: If OpenCASCADE refuses a curve.
        DataError: If the file cannot be written.
    """
    factor = MILLIMETRES.get(wireframe.unit or "", 1.0)
    scaled = wireframe.transformed(Similarity(factor, translation=-factor * step_shift(wireframe)))
    builder = occ("BRep").BRep_Builder()
    compound = occ("TopoDS").TopoDS_Compound()
    builder.MakeCompound(compound)
    # ends are exact relative to the coordinates, OpenCASCADE's own tolerance is absolute: large worlds need more
    tolerance = max(1e-7, 10 * END_TOLERANCE * float(np.abs(scaled.vertices).max(initial=0.0)))
    vertices = []
    for position in scaled.vertices:
        vertices.append(occ("TopoDS").TopoDS_Vertex())
        builder.MakeVertex(vertices[-1], _point(position), tolerance)
    for number, curve in enumerate(scaled.curves):
        builder.Add(compound, _edge(curve, number, vertices))
    with whole(path) as part:
        write_step(part, compound, one_part=True, product=product or path.stem)


def _edge(curve: Curve, number: int, vertices: list[Any]) -> Any:
    geometry, start, end = _geometry(curve)
    make = occ("BRepBuilderAPI").BRepBuilderAPI_MakeEdge
    if curve.vertices is None:
        made = make(geometry, start, end)
    else:
        made = make(geometry, vertices[curve.vertices[0]], vertices[curve.vertices[1]], start, end)
    if not made.IsDone():
        raise ValueError(f"curve {number} ({curve.type}): OpenCASCADE makes no edge of it ({made.Error()})")
    return made.Edge()


def _geometry(curve: Curve) -> tuple[Any, float, float]:
    """OpenCASCADE's curve, and its first and last parameter."""
    geom, gp, p = occ("Geom"), occ("gp"), curve.parameters
    if curve.type == "line":
        start, end = curve.control_points[[0, -1]]
        length = float(np.linalg.norm(end - start))
        return geom.Geom_Line(_point(start), _direction(end - start)), 0.0, length
    if curve.type == "bezier":
        return _spline(curve), 0.0, float(curve.pieces)
    start, end = p["angles_rad"]
    if curve.type != "ellipse":
        axes = gp.gp_Ax2(_point(p["center"]), _direction(p["normal"]), _direction(p["x_axis"]))
        return geom.Geom_Circle(axes, p["radius"]), start, end
    first, second = p["radii"]
    longer, turn = (p["x_axis"], 0.0) if first >= second else (p["y_axis"], math.pi / 2)
    axes = gp.gp_Ax2(_point(p["center"]), _direction(p["normal"]), _direction(longer))
    return geom.Geom_Ellipse(axes, max(first, second), min(first, second)), start - turn, end - turn


def _spline(curve: Curve) -> Any:
    """A B-spline of degree 3 whose joints are knots of multiplicity 3: the chain as it is."""
    lists = occ("collections")
    count, k = len(curve.control_points), curve.pieces
    poles, weights = lists.Array1_gp_Pnt(1, count), lists.Array1_double(1, count)
    for i, (point, weight) in enumerate(zip(curve.control_points, curve.weights, strict=True), 1):
        poles.SetValue(i, _point(point))
        weights.SetValue(i, float(weight))
    knots, multiplicities = lists.Array1_double(1, k + 1), lists.Array1_int(1, k + 1)
    for i in range(k + 1):
        knots.SetValue(i + 1, float(i))
        multiplicities.SetValue(i + 1, 4 if i in (0, k) else 3)
    return occ("Geom").Geom_BSplineCurve(poles, weights, knots, multiplicities, 3)


def _point(xyz: Any) -> Any:
    return occ("gp").gp_Pnt(*map(float, xyz))


def _direction(xyz: Any) -> Any:
    return occ("gp").gp_Dir(*map(float, xyz))
