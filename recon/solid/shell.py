"""From surfaces, vertices, edges and loops to OpenCASCADE's shell (extra ``[cad]``): edges are shared by construction, nothing is sewn."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

from recon.curves.files.occ import from_opencascade, occ, static
from recon.solid.edges import EdgeCurve
from recon.solid.graph import Graph
from recon.solid.mesh import Mesh
from recon.solid.model import Primitive
from recon.solid.primitives import frame, implicit, unit

T = TypeVar("T")

LEAST = 1e-7
"""OpenCASCADE's own precision, millimetres."""
WRAPS_RAD = 0.4
"""A face that leaves less than this of the turn open goes all the way round."""


def attempted(make: Callable[..., T], *arguments: Any) -> tuple[T | None, str]:
    """What is made, or None and why not: degenerate shapes raise, OpenCASCADE's errors and ours, and nothing else is caught."""
    try:
        return make(*arguments), ""
    except Exception as error:
        if not (from_opencascade(error) or isinstance(error, ValueError | ArithmeticError)):
            raise
        return None, (str(error).splitlines() or [type(error).__name__])[0][:100]


def point(x: np.ndarray) -> Any:
    return occ("gp").gp_Pnt(float(x[0]), float(x[1]), float(x[2]))


def direction(x: np.ndarray) -> Any:
    return occ("gp").gp_Dir(float(x[0]), float(x[1]), float(x[2]))


def points_array(points: np.ndarray, handle: bool = False) -> Any:
    lists = occ("collections")
    array = (lists.HArray1_gp_Pnt if handle else lists.Array1_gp_Pnt)(1, len(points))
    for k, x in enumerate(points):
        array.SetValue(k + 1, point(x))
    return array


def _zero_direction(p: Primitive, vertices: np.ndarray) -> np.ndarray:
    """Where the angle about the axis starts: across from the face, so that no seam crosses it; the axis's own where it goes all round."""
    x, y = frame(p.axis)
    q = vertices - p.point
    angle = np.sort(np.arctan2(q @ y, q @ x))
    gaps = np.diff(np.concatenate([angle, [angle[0] + 2 * np.pi]]))
    k = int(gaps.argmax())
    if gaps[k] < WRAPS_RAD:
        return x
    middle = angle[k] + gaps[k] / 2
    return np.cos(middle) * x + np.sin(middle) * y


def surface_of(p: Primitive, vertices: np.ndarray) -> Any:
    """OpenCASCADE's surface of a primitive, placed for a face with these vertices [n, 3]."""
    geom, gp = occ("Geom"), occ("gp")
    if p.kind == "bspline":
        return p.patch.surface()
    if p.kind == "sphere":
        return geom.Geom_SphericalSurface(gp.gp_Ax3(point(p.point), *_sphere_axes(p, vertices)), p.radius)
    if p.kind == "plane":
        return geom.Geom_Plane(gp.gp_Ax3(point(p.point), direction(p.axis), direction(frame(p.axis)[0])))
    x = _zero_direction(p, vertices)
    if p.kind == "cone":
        z = float(np.median((vertices - p.point) @ p.axis))
        axes = gp.gp_Ax3(point(p.point + z * p.axis), direction(p.axis), direction(x))
        return geom.Geom_ConicalSurface(axes, p.half_angle, z * float(np.tan(p.half_angle)))
    axes = gp.gp_Ax3(point(p.point), direction(p.axis), direction(x))
    if p.kind == "cylinder":
        return geom.Geom_CylindricalSurface(axes, p.radius)
    return geom.Geom_ToroidalSurface(axes, p.radius, p.tube_radius)


def _sphere_axes(p: Primitive, vertices: np.ndarray) -> tuple[Any, Any]:
    """Poles of a sphere: the middle of a large cap is one (its outline goes once round), a small face keeps clear of them."""
    towards = unit(unit(vertices - p.point).mean(0))
    reach = np.arccos(np.clip(unit(vertices - p.point) @ towards, -1, 1)).max()
    e = frame(towards)[0]
    return (direction(e), direction(-towards)) if reach < 1.2 else (direction(towards), direction(e))


def curve_of(g: EdgeCurve, ends: tuple[np.ndarray, np.ndarray] | None) -> tuple[Any, float, float]:
    """OpenCASCADE's curve with its first and last parameter, increasing along the chain."""
    geom, gp = occ("Geom"), occ("gp")
    if g.kind == "spline":
        if g.closed:
            maker = occ("GeomAPI").GeomAPI_Interpolate(points_array(g.points[:-1], handle=True), True, LEAST)
        else:
            maker = occ("GeomAPI").GeomAPI_Interpolate(points_array(g.points, handle=True), False, LEAST)
        maker.Perform()
        curve = maker.Curve()
        return curve, curve.FirstParameter(), curve.LastParameter()
    if g.kind == "line":
        if ends is None:
            raise ValueError("a line has no ends")
        a, b = ends
        length = float(np.linalg.norm(b - a))
        if length < LEAST:
            raise ValueError("an edge has its two ends in one point")
        return geom.Geom_Line(point(a), direction(b - a)), 0.0, length
    normal, x = g.axis, g.x_axis if g.kind == "ellipse" else frame(g.axis)[0]
    radii = (g.radius, g.radius_2) if g.kind == "ellipse" else (g.radius, g.radius)

    def angles(points: np.ndarray, n: np.ndarray) -> np.ndarray:
        q = points - g.origin
        return np.arctan2(q @ np.cross(n, x) / radii[1], q @ x / radii[0])

    turn = np.unwrap(angles(g.points, normal))
    if turn[-1] < turn[0]:
        normal = -normal
        turn = np.unwrap(angles(g.points, normal))
    axes = gp.gp_Ax2(point(g.origin), direction(normal), direction(x))
    curve = geom.Geom_Ellipse(axes, *radii) if g.kind == "ellipse" else geom.Geom_Circle(axes, g.radius)
    if ends is None:
        return curve, 0.0, 2 * np.pi
    first, last = angles(np.array(ends), normal)
    last = first + 2 * np.pi if np.linalg.norm(ends[0] - ends[1]) < LEAST else last
    return curve, float(first), float(last if last > first + 1e-12 else last + 2 * np.pi)


def make_edge(g: EdgeCurve, vertices: tuple[Any, Any] | None) -> Any:
    """An edge between two OpenCASCADE vertices (None: a closed one with a vertex of its own); its vertices' tolerances cover its ends."""
    builder, tool = occ("BRep").BRep_Builder(), occ("BRep").BRep_Tool
    ends = None
    if vertices is not None:
        where = [static(tool, "Pnt")(v) for v in vertices]
        ends = (np.array([where[0].X(), where[0].Y(), where[0].Z()]), np.array([where[1].X(), where[1].Y(), where[1].Z()]))
    curve, first, last = curve_of(g, ends)
    if vertices is None:
        vertex = make_vertex(curve.Value(first))
        vertices = (vertex, vertex)
    edge = occ("TopoDS").TopoDS_Edge()
    builder.MakeEdge(edge, curve, LEAST)
    for vertex, parameter in zip(vertices, (first, last), strict=True):
        gap = curve.Value(parameter).Distance(static(tool, "Pnt")(vertex))
        builder.UpdateVertex(vertex, max(1.05 * gap, LEAST))
    top = occ("TopAbs")
    builder.Add(edge, vertices[0].Oriented(top.TopAbs_FORWARD))
    builder.Add(edge, vertices[1].Oriented(top.TopAbs_REVERSED))
    builder.Range(edge, first, last)
    return edge


def make_vertex(where: Any) -> Any:
    vertex = occ("TopoDS").TopoDS_Vertex()
    occ("BRep").BRep_Builder().MakeVertex(vertex, where, LEAST)
    return vertex


def make_shell(
    mesh: Mesh, labels: np.ndarray, primitives: Sequence[Primitive | None], graph: Graph, curves: Sequence[EdgeCurve | None]
) -> tuple[Any, dict[int, str]]:
    """The shell of the faces of all regions that have a surface and all of their edges; and why others have no face."""
    unmade: dict[int, str] = {}
    builder, topods, top = occ("BRep").BRep_Builder(), occ("TopoDS"), occ("TopAbs")
    vertices = {node: make_vertex(point(x)) for node, x in graph.positions.items()}
    edges = []
    for chain, g in zip(graph.chains, curves, strict=True):
        ends = None if chain.ends is None else (vertices[chain.ends[0]], vertices[chain.ends[1]])
        edge, why = (None, "") if g is None else attempted(make_edge, g, ends)
        edges.append(edge)
        if why:
            unmade |= dict.fromkeys((chain.left, chain.right), f"an edge of it cannot be made ({why})")
    loops = defaultdict(list)
    for loop in graph.loops:
        loops[loop.region].append(loop.chains)
    shell = topods.TopoDS_Shell()
    builder.MakeShell(shell)
    cast = static(topods.TopoDS, "Face")
    for region, p in enumerate(primitives):
        if p is None or region in unmade:
            continue
        triangles = np.flatnonzero(labels == region)
        outward = faces_outward(mesh, triangles, p)
        face = topods.TopoDS_Face()
        builder.MakeFace(face, surface_of(p, mesh.vertices[np.unique(mesh.faces[triangles])]), LEAST)
        for chains in loops[region]:
            wire = topods.TopoDS_Wire()
            builder.MakeWire(wire)
            # material lies on the left of the surface's own normal
            for number, along in chains if outward else chains[::-1]:
                forward = along if outward else not along
                builder.Add(wire, edges[number].Oriented(top.TopAbs_FORWARD if forward else top.TopAbs_REVERSED))
            wire.Closed(True)
            builder.Add(face, wire)
        builder.Add(shell, face if outward else cast(face.Reversed()))
    return shell, unmade


def faces_outward(mesh: Mesh, triangles: np.ndarray, p: Primitive) -> bool:
    """Whether a primitive's own normal points out of the solid where a region is."""
    middles = mesh.vertices[mesh.faces[triangles]].mean(1)
    along = np.einsum("ij,ij->i", implicit(p, middles)[1], mesh.normals[triangles])
    return float(along @ mesh.areas[triangles]) > 0
