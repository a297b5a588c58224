"""Between OpenCASCADE's faces and the regions that they were made of; what is left of a shape that is no solid."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from recon.curves.files.occ import occ, static, subshapes
from recon.solid.graph import Graph
from recon.solid.mesh import Mesh
from recon.solid.model import Hole, Kind, Primitive
from recon.solid.primitives import distance

_KINDS: dict[str, Kind] = {
    "GeomAbs_Plane": "plane",
    "GeomAbs_Cylinder": "cylinder",
    "GeomAbs_Cone": "cone",
    "GeomAbs_Sphere": "sphere",
    "GeomAbs_Torus": "torus",
}


def kind_of(face: Any) -> Kind:
    """Of a face's surface; everything that is no primitive counts as a patch."""
    name = str(occ("BRepAdaptor").BRepAdaptor_Surface(face).GetType()).split(".")[-1]
    return _KINDS.get(name, "bspline")


def outline_points(face: Any, count: int = 7) -> np.ndarray:
    """Points along the edges of a face. [n, 3]"""
    found = []
    for edge in subshapes(face, "EDGE"):
        if static(occ("BRep").BRep_Tool, "Degenerated")(edge):
            continue
        curve = occ("BRepAdaptor").BRepAdaptor_Curve(edge)
        for t in np.linspace(curve.FirstParameter(), curve.LastParameter(), count):
            p = curve.Value(float(t))
            found.append((p.X(), p.Y(), p.Z()))
    return np.array(found).reshape(-1, 3)


def regions_of_faces(shape: Any, mesh: Mesh, labels: np.ndarray, primitives: Sequence[Primitive | None]) -> list[tuple[Any, int]]:
    """Each face of a shape with the number of its region: by order where the repair kept it, else by kind, surface and place."""
    faces = subshapes(shape, "FACE")
    kinds = [kind_of(f) for f in faces]
    present = [(k, p) for k, p in enumerate(primitives) if p is not None]
    if kinds == [p.kind for _, p in present]:
        return list(zip(faces, (k for k, _ in present), strict=True))
    middles = np.array([mesh.vertices[np.unique(mesh.faces[labels == k])].mean(0) for k, _ in present])
    found = []
    for face, kind in zip(faces, kinds, strict=True):
        x = outline_points(face)
        if not len(x):
            x = middles
        off = [np.abs(distance(p, x)).max() + (0.0 if p.kind == kind else mesh.diagonal) for _, p in present]
        near = np.linalg.norm(middles - x.mean(0), axis=1)
        found.append((face, present[int(np.argmin(np.array(off) * 10 + near * 0.1))][0]))
    return found


def largest_tolerance(face: Any) -> float:
    measure = occ("ShapeAnalysis").ShapeAnalysis_ShapeTolerance()
    return float(max(measure.Tolerance(face, 1, getattr(occ("TopAbs"), f"TopAbs_{k}")) for k in ("EDGE", "VERTEX")))


def compound(faces: Sequence[Any]) -> Any:
    """An open shell of faces."""
    builder, shell = occ("BRep").BRep_Builder(), occ("TopoDS").TopoDS_Shell()
    builder.MakeShell(shell)
    for face in faces:
        builder.Add(shell, face)
    return shell


def holes_of(mesh: Mesh, graph: Graph, missing: dict[int, str]) -> list[Hole]:
    """The outlines of missing regions, with the reason of each."""
    holes = []
    for loop in graph.loops:
        if loop.region not in missing:
            continue
        pieces = [graph.chains[k].vertices if along else graph.chains[k].vertices[::-1] for k, along in loop.chains]
        if pieces:
            points = mesh.vertices[np.concatenate(pieces)]
            length = float(np.linalg.norm(np.diff(points, axis=0), axis=1).sum())
            holes.append(Hole(points, length, missing[loop.region]))
    return holes
