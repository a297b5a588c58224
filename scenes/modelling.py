"""A few words of solid modelling over OpenCASCADE, enough to write the built-in parts readably. Millimetres; z is up.

Shapes are OpenCASCADE shapes; every function returns a new one. Needs the extra ``[cad]``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from recon.curves.files.occ import distinct, occ, static, subshapes, unify

Point = Sequence[float]


def pnt(p: Point) -> Any:
    return occ("gp").gp_Pnt(*map(float, p))


def vec(v: Point) -> Any:
    return occ("gp").gp_Vec(*map(float, v))


def axes(origin: Point, z: Point = (0, 0, 1), x: Point | None = None) -> Any:
    """A right-handed frame at ``origin``."""
    gp = occ("gp")
    direction = gp.gp_Dir(*map(float, z))
    return gp.gp_Ax2(pnt(origin), direction) if x is None else gp.gp_Ax2(pnt(origin), direction, gp.gp_Dir(*map(float, x)))


def box(low: Point, high: Point) -> Any:
    return occ("BRepPrimAPI").BRepPrimAPI_MakeBox(pnt(low), pnt(high)).Shape()


def cylinder(origin: Point, axis: Point, radius: float, height: float) -> Any:
    """Axis from ``origin`` along ``axis`` (any length) for ``height``."""
    return occ("BRepPrimAPI").BRepPrimAPI_MakeCylinder(axes(origin, axis), radius, height).Shape()


def cone(origin: Point, axis: Point, radius: float, end_radius: float, height: float) -> Any:
    return occ("BRepPrimAPI").BRepPrimAPI_MakeCone(axes(origin, axis), radius, end_radius, height).Shape()


def sphere(center: Point, radius: float) -> Any:
    return occ("BRepPrimAPI").BRepPrimAPI_MakeSphere(pnt(center), radius).Shape()


def torus(center: Point, axis: Point, radius: float, tube: float) -> Any:
    return occ("BRepPrimAPI").BRepPrimAPI_MakeTorus(axes(center, axis), radius, tube).Shape()


# ---- wires and faces -------------------------------------------------------------------------------------------------------------


def segment(a: Point, b: Point) -> Any:
    return occ("BRepBuilderAPI").BRepBuilderAPI_MakeEdge(pnt(a), pnt(b)).Edge()


def arc(a: Point, middle: Point, b: Point) -> Any:
    """Circular arc through three points."""
    curve = occ("GC").GC_MakeArcOfCircle(pnt(a), pnt(middle), pnt(b)).Value()
    return occ("BRepBuilderAPI").BRepBuilderAPI_MakeEdge(curve).Edge()


def circle(center: Point, axis: Point, radius: float) -> Any:
    curve = occ("gp").gp_Circ(axes(center, axis), radius)
    return occ("BRepBuilderAPI").BRepBuilderAPI_MakeEdge(curve).Edge()


def oval(center: Point, axis: Point, x: Point, radii: tuple[float, float]) -> Any:
    """A whole ellipse; ``radii`` along x (the larger) and across."""
    curve = occ("gp").gp_Elips(axes(center, axis, x), *radii)
    return occ("BRepBuilderAPI").BRepBuilderAPI_MakeEdge(curve).Edge()


def spline(poles: Sequence[Point], closed: bool = False) -> Any:
    """Uniform cubic B-spline by its control points: clamped at both ends, or periodic through none of them."""
    collections = occ("collections")
    count = len(poles)
    array = collections.Array1_gp_Pnt(1, count)
    for k, p in enumerate(poles):
        array.SetValue(k + 1, pnt(p))
    knots = count + 1 if closed else count - 2
    values, multiplicities = collections.Array1_double(1, knots), collections.Array1_int(1, knots)
    for k in range(knots):
        values.SetValue(k + 1, float(k))
        multiplicities.SetValue(k + 1, 4 if not closed and k in (0, knots - 1) else 1)
    curve = occ("Geom").Geom_BSplineCurve(array, values, multiplicities, 3, closed)
    return occ("BRepBuilderAPI").BRepBuilderAPI_MakeEdge(curve).Edge()


def wire(edges: Sequence[Any]) -> Any:
    maker = occ("BRepBuilderAPI").BRepBuilderAPI_MakeWire()
    for edge in edges:
        maker.Add(edge)
    if not maker.IsDone():
        raise ValueError("the edges do not form one wire")
    return maker.Wire()


def polygon(points: Sequence[Point]) -> Any:
    """A closed wire of straight segments."""
    return wire([segment(a, b) for a, b in zip(points, [*points[1:], points[0]], strict=True)])


def face(outline: Any) -> Any:
    return occ("BRepBuilderAPI").BRepBuilderAPI_MakeFace(outline, True).Face()


# ---- solids from faces -----------------------------------------------------------------------------------------------------------


def extrude(outline: Any, by: Point) -> Any:
    """A solid swept by a planar closed wire along a vector."""
    return _done(occ("BRepPrimAPI").BRepPrimAPI_MakePrism(face(outline), vec(by)))


def revolve(outline: Any, origin: Point, axis: Point, angle: float = 2 * math.pi) -> Any:
    """A solid swept by a planar closed wire about an axis."""
    around = occ("gp").gp_Ax1(pnt(origin), occ("gp").gp_Dir(*map(float, axis)))
    return _done(occ("BRepPrimAPI").BRepPrimAPI_MakeRevol(face(outline), around, angle))


def sweep(outline: Any, path: Any) -> Any:
    """A solid swept by a planar closed wire along a smooth wire that starts at it."""
    return _done(occ("BRepOffsetAPI").BRepOffsetAPI_MakePipe(path, face(outline)))


def polyhedron(points: Sequence[Point], sides: Sequence[Sequence[int]]) -> Any:
    """A solid bounded by plane polygons, each given by point numbers."""
    sewing = occ("BRepBuilderAPI").BRepBuilderAPI_Sewing(1e-6)
    for side in sides:
        sewing.Add(face(polygon([points[k] for k in side])))
    sewing.Perform()
    shell = static(occ("TopoDS").TopoDS, "Shell")(sewing.SewedShape())
    solid = occ("BRepBuilderAPI").BRepBuilderAPI_MakeSolid(shell).Solid()
    static(occ("BRepLib").BRepLib, "OrientClosedSolid")(solid)
    return solid


# ---- combining -------------------------------------------------------------------------------------------------------------------


def union(*shapes: Any) -> Any:
    """All shapes as one solid; coplanar faces and collinear edges are joined."""
    result = shapes[0]
    for shape in shapes[1:]:
        result = _done(occ("BRepAlgoAPI").BRepAlgoAPI_Fuse(result, shape))
    return unify(result)


def cut(shape: Any, *tools: Any) -> Any:
    for tool in tools:
        shape = _done(occ("BRepAlgoAPI").BRepAlgoAPI_Cut(shape, tool))
    return unify(shape)


def common(*shapes: Any) -> Any:
    result = shapes[0]
    for shape in shapes[1:]:
        result = _done(occ("BRepAlgoAPI").BRepAlgoAPI_Common(result, shape))
    return unify(result)


def moved(shape: Any, by: Point = (0, 0, 0), axis: Point = (0, 0, 1), angle: float = 0.0) -> Any:
    """Turned about an axis through the origin (radians), then shifted."""
    gp = occ("gp")
    turn, shift = gp.gp_Trsf(), gp.gp_Trsf()
    turn.SetRotation(gp.gp_Ax1(pnt((0, 0, 0)), gp.gp_Dir(*map(float, axis))), angle)
    shift.SetTranslation(vec(by))
    return _done(occ("BRepBuilderAPI").BRepBuilderAPI_Transform(shape, shift.Multiplied(turn), True))


def mirrored(shape: Any, normal: Point) -> Any:
    """Reflected in the plane through the origin with this normal."""
    trsf = occ("gp").gp_Trsf()
    trsf.SetMirror(axes((0, 0, 0), normal))
    return _done(occ("BRepBuilderAPI").BRepBuilderAPI_Transform(shape, trsf, True))


Chooser = Callable[[np.ndarray, np.ndarray], bool]
"""Decides about an edge from its middle point and its unit tangent there."""


def chosen_edges(shape: Any, choose: Chooser) -> list[Any]:
    """Edges (once each) that ``choose(middle, tangent)`` accepts."""
    found = []
    for edge in distinct(subshapes(shape, "EDGE"))[0]:
        if static(occ("BRep").BRep_Tool, "Degenerated")(edge):
            continue
        curve = occ("BRepAdaptor").BRepAdaptor_Curve(edge)
        middle, tangent = occ("gp").gp_Pnt(), occ("gp").gp_Vec()
        curve.D1((curve.FirstParameter() + curve.LastParameter()) / 2, middle, tangent)
        t = np.array([tangent.X(), tangent.Y(), tangent.Z()])
        if choose(np.array([middle.X(), middle.Y(), middle.Z()]), t / max(float(np.linalg.norm(t)), 1e-300)):
            found.append(edge)
    return found


def fillet(shape: Any, radius: float, choose: Chooser) -> Any:
    """Round the chosen edges."""
    maker = occ("BRepFilletAPI").BRepFilletAPI_MakeFillet(shape)
    for edge in _some(chosen_edges(shape, choose)):
        maker.Add(radius, edge)
    return _done(maker)


def chamfer(shape: Any, width: float, choose: Chooser) -> Any:
    """Cut the chosen edges off at equal distances."""
    maker = occ("BRepFilletAPI").BRepFilletAPI_MakeChamfer(shape)
    for edge in _some(chosen_edges(shape, choose)):
        maker.Add(width, edge)
    return _done(maker)


def _some(edges: list[Any]) -> list[Any]:
    if not edges:
        raise ValueError("no edge was chosen")
    return edges


def _done(maker: Any) -> Any:
    maker.Build()
    if not maker.IsDone():
        raise ValueError(f"{type(maker).__name__} failed")
    return maker.Shape()
