"""Which edges of a boundary representation are features, and their exact curves. Needs OpenCASCADE (extra ``[cad]``)."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from recon.curves.files.curve import Curve, ellipse, line
from recon.curves.files.occ import box, box_diagonal, distinct, occ, read_step, static, subshapes
from recon.curves.files.wireframe import Wireframe
from recon.errors import DataError
from recon.evaluation.truth.curves import CurveTruth, from_wireframe

SHARP_RAD = math.radians(5.0)
"""An edge is sharp when the normals of its faces differ by more than this anywhere along it."""
CURVATURE_JUMP = 0.02
"""A tangent edge is a fillet's boundary when the curvature across it jumps by more than this over the diagonal."""
_ALONG = (0.03, 0.2, 0.4, 0.5, 0.6, 0.8, 0.97)


def feature_curves(shape: Any, diagonal: float) -> tuple[np.ndarray, tuple[Curve, ...], tuple[Curve, ...]]:
    """Feature curves of a shape.

    Args:
        shape: OpenCASCADE shape.
        diagonal: Of its bounding box; makes the curvature threshold and tolerances relative.
    Returns:
        Vertices [V, 3] (ends of the curves, used ones only), sharp and boundary curves, fillet boundaries. Seams of one smooth
        surface, and tangent edges across which the curvature does not jump, are left out.
    """
    faces = subshapes(shape, "FACE")
    uses = [(edge, number) for number, face in enumerate(faces) for edge in subshapes(face, "EDGE")]
    edges, index = distinct([edge for edge, _ in uses])
    owners: list[list[int]] = [[] for _ in edges]
    for (_, face), edge in zip(uses, index, strict=True):
        owners[edge].append(face)
    brep = occ("BRep").BRep_Tool
    sharp: list[Curve] = []
    tangent: list[Curve] = []
    corners, corner_index = distinct([vertex for edge in edges for vertex in _ends(edge)])
    positions = np.array([_xyz(static(brep, "Pnt")(v)) for v in corners]).reshape(-1, 3)
    for number, edge in enumerate(edges):
        if static(brep, "Degenerated")(edge):
            continue
        label, bend = _classify(edge, [faces[k] for k in owners[number]], diagonal)
        if label is None:
            continue
        pair = (corner_index[2 * number], corner_index[2 * number + 1])
        common = {"vertices": None if pair[0] == pair[1] else pair, "label": label, "dihedral_rad": bend}
        curve = exact_curve(edge, diagonal, common)
        (tangent if label == "fillet_boundary" else sharp).append(curve)
    sharp = _whole_conics(sharp, tangent)
    used = sorted({v for c in (*sharp, *tangent) if c.vertices for v in c.vertices})
    renumber = {old: new for new, old in enumerate(used)}

    def fit(curve: Curve) -> Curve:
        if curve.vertices is None:
            return curve
        a, b = curve.vertices
        start, stop = curve.control_points[0], curve.control_points[-1]
        straight = np.linalg.norm(start - positions[a]) + np.linalg.norm(stop - positions[b])
        turned = np.linalg.norm(start - positions[b]) + np.linalg.norm(stop - positions[a])
        pair = (a, b) if straight <= turned else (b, a)
        return Curve(curve.type, curve.control_points, curve.weights, (renumber[pair[0]], renumber[pair[1]]),
                     curve.parameters, curve.label, curve.dihedral_rad)  # fmt: skip

    return positions[used].reshape(-1, 3), tuple(map(fit, sharp)), tuple(map(fit, tangent))


def _whole_conics(curves: list[Curve], others: list[Curve]) -> list[Curve]:
    """Join arcs that make up one whole circle or ellipse and whose ends no other curve shares: files and kernels cut closed edges
    at seams, which are no features."""
    groups: dict[tuple, list[int]] = {}
    for number, curve in enumerate(curves):
        if curve.type in ("arc", "ellipse") and curve.vertices is not None:
            p = curve.parameters
            radii = [p["radius"]] if curve.type == "arc" else p["radii"]
            direction = p["normal"] if curve.type == "arc" else [*p["normal"], *p["x_axis"]]
            numbers = np.concatenate([np.array(p["center"]) / radii[0], np.log(radii), np.abs(direction)])
            groups.setdefault((curve.type, *np.round(numbers, 6) + 0.0), []).append(number)
    valence = Counter(v for c in (*curves, *others) if c.vertices for v in c.vertices)
    gone: set[int] = set()
    whole: list[Curve] = []
    for members in groups.values():
        spans = [curves[k].parameters["angles_rad"] for k in members]
        inner = Counter(v for k in members for v in curves[k].vertices or ())
        if abs(sum(b - a for a, b in spans) - 2 * math.pi) < 1e-6 and all(n == 2 == valence[v] for v, n in inner.items()):
            first = curves[members[0]]
            p = first.parameters
            radii = (p["radius"], p["radius"]) if first.type == "arc" else (p["radii"][0], p["radii"][1])
            bend = max(curves[k].dihedral_rad for k in members)
            common = {"vertices": None, "label": first.label, "dihedral_rad": bend}
            turn = (spans[0][0], spans[0][0] + 2 * math.pi)
            whole.append(ellipse(p["center"], p["x_axis"], p["y_axis"], radii, turn, first.type == "arc", **common))
            gone.update(members)
    return [c for k, c in enumerate(curves) if k not in gone] + whole


def exact_curve(edge: Any, diagonal: float, common: dict) -> Curve:
    """The curve of an edge: lines, circles and ellipses exactly; polynomial and rational splines up to degree 3 exactly; others
    within 1e-7 of the diagonal."""
    adaptor = occ("BRepAdaptor").BRepAdaptor_Curve(edge)
    first, last = adaptor.FirstParameter(), adaptor.LastParameter()
    kind = str(adaptor.GetType()).rpartition("_")[2]
    if kind == "Line":
        return line(_xyz(adaptor.Value(first)), _xyz(adaptor.Value(last)), **common)
    if kind in ("Circle", "Ellipse"):
        conic = adaptor.Circle() if kind == "Circle" else adaptor.Ellipse()
        radii = (conic.Radius(),) * 2 if kind == "Circle" else (conic.MajorRadius(), conic.MinorRadius())
        x, y = conic.XAxis().Direction(), conic.YAxis().Direction()
        return ellipse(_xyz(conic.Location()), _xyz(x), _xyz(y), radii, (first, last), kind == "Circle", **common)
    points, weights, error = _bezier_chain(edge, diagonal)
    if _straight(points, weights, 1e-9 * diagonal):
        return line(points[0], points[-1], **common)
    parameters = {"approximation_error": error} if error > 0 else {}
    return Curve("bezier", points, weights, parameters=parameters, **common)


def _bezier_chain(edge: Any, diagonal: float) -> tuple[np.ndarray, np.ndarray, float]:
    """Control points [3k+1, 3], weights [3k+1] and the error bound (0 when exact) of an edge's spline."""
    convert, shapes = occ("GeomConvert"), occ("GeomAbs")
    located = static(occ("BRep").BRep_Tool, "Curve")(edge, 0.0, 0.0)
    curve = located[0] if isinstance(located, tuple) else located
    first, last = static(occ("BRep").BRep_Tool, "Range")(edge)
    trimmed = occ("Geom").Geom_TrimmedCurve(curve, first, last)
    spline = static(convert.GeomConvert, "CurveToBSplineCurve")(trimmed)
    error = 0.0
    if spline.Degree() > 3:
        for tolerance in (1e-7, 1e-6, 1e-5, 1e-4):
            fitted = convert.GeomConvert_ApproxCurve(spline, tolerance * diagonal, shapes.GeomAbs_C1, 2000, 3)
            if fitted.HasResult() and fitted.MaxError() <= 2 * tolerance * diagonal:
                spline, error = fitted.Curve(), float(fitted.MaxError())
                break
        else:
            raise ValueError("a spline edge of high degree could not be written in cubic pieces")
    pieces = convert.GeomConvert_BSplineCurveToBezierCurve(spline)
    points: list[np.ndarray] = []
    weights: list[float] = []
    for number in range(1, pieces.NbArcs() + 1):
        piece = pieces.Arc(number)
        if piece.Degree() < 3:
            piece.Increase(3)
        rescale = weights[-1] / piece.Weight(1) if weights else 1.0
        begin = 2 if weights else 1
        points += [_xyz(piece.Pole(k)) for k in range(begin, 5)]
        weights += [piece.Weight(k) * rescale for k in range(begin, 5)]
    return np.array(points), np.array(weights), error


def _straight(points: np.ndarray, weights: np.ndarray, tolerance: float) -> bool:
    """Whether control points lie in order on a segment, so that the curve is that segment."""
    chord = points[-1] - points[0]
    length = float(np.linalg.norm(chord))
    if length <= tolerance or np.ptp(weights) > 1e-9 * weights.max():
        return False
    along = (points - points[0]) @ chord / length
    off = points - points[0] - along[:, None] * chord / length
    return bool(np.linalg.norm(off, axis=1).max() <= tolerance and (np.diff(along) >= -tolerance).all())


def _ends(edge: Any) -> tuple[Any, Any]:
    tools = occ("TopExp").TopExp
    return static(tools, "FirstVertex")(edge, False), static(tools, "LastVertex")(edge, False)


def _xyz(value: Any) -> np.ndarray:
    return np.array([value.X(), value.Y(), value.Z()])


def _classify(edge: Any, owners: list[Any], diagonal: float) -> tuple[str | None, float]:
    """Label of an edge (None when it is no feature) and the largest angle between its faces' normals."""
    if len(owners) == 1:
        return "boundary", 0.0
    first, second = owners[0], owners[1]
    reverse = len(owners) == 2 and first.IsSame(second)
    other = static(occ("TopoDS").TopoDS, "Edge")(edge.Reversed()) if reverse else edge
    sides = [_side(edge, first), _side(other, second)]
    cosine = np.clip((sides[0][0] * sides[1][0]).sum(1), -1, 1)
    bend = float(np.arccos(cosine).max())
    if bend > SHARP_RAD:
        return "sharp", bend
    jump = float(np.abs(sides[0][1] - sides[1][1]).max()) * diagonal
    return ("fillet_boundary" if jump > CURVATURE_JUMP and not reverse else None), 0.0


def _side(edge: Any, face: Any) -> tuple[np.ndarray, np.ndarray]:
    """Outward normals [7, 3] of a face along its edge, and its normal curvature [7] across the edge (sign by the outward normal)."""
    gp = occ("gp")
    on_surface = occ("BRepAdaptor").BRepAdaptor_Curve2d(edge, face)
    surface = occ("BRepAdaptor").BRepAdaptor_Surface(face)
    spatial = occ("BRepAdaptor").BRepAdaptor_Curve(edge)
    sign = -1.0 if face.Orientation() == occ("TopAbs").TopAbs_REVERSED else 1.0
    first, last = spatial.FirstParameter(), spatial.LastParameter()
    normals, curvatures = [], []
    for part in _ALONG:
        parameter = first + part * (last - first)
        uv = on_surface.Value(parameter)
        point = gp.gp_Pnt()
        vectors = [gp.gp_Vec() for _ in range(5)]
        surface.D2(uv.X(), uv.Y(), point, *vectors)
        du, dv, duu, dvv, duv = (_xyz(v) for v in vectors)
        normal = np.cross(du, dv)
        normal = sign * normal / max(float(np.linalg.norm(normal)), 1e-300)
        tangent = gp.gp_Vec()
        spatial.D1(parameter, point, tangent)
        across = np.cross(normal, _xyz(tangent))
        across /= max(float(np.linalg.norm(across)), 1e-300)
        (a, b), *_ = np.linalg.lstsq(np.stack([du, dv], 1), across, rcond=None)[:1]
        normals.append(normal)
        curvatures.append(float(normal @ (a * a * duu + 2 * a * b * duv + b * b * dvv)))
    return np.array(normals), np.array(curvatures)


def read_step_curves(path: Path) -> CurveTruth:
    """The sharp edges of a STEP file's solid as truth; its unit is the millimetre (OpenCASCADE converts).

    Raises:
        CapabilityError: Without OpenCASCADE.
        DataError: If the file is no STEP, or has no solid or no sharp edge.
    """
    shape = read_step(path)
    diagonal = box_diagonal(shape)
    if not (math.isfinite(diagonal) and diagonal > 0):
        raise DataError(f"{path}: it is empty or infinite", hint="Export a solid, not a sketch or an empty assembly.")
    vertices, curves, _ = feature_curves(shape, diagonal)
    return from_wireframe(Wireframe(vertices, curves, "mm"), str(path), box(shape))
