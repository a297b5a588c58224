"""What a boundary representation is made of, as plain values: faces with their surfaces, edges, vertices, who touches whom, what is wrong.

Needs OpenCASCADE (extra ``[cad]``).
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np

from recon.curves.files.occ import distinct, occ, static, subshapes

KINDS = {
    "Plane": "plane", "Cylinder": "cylinder", "Cone": "cone", "Sphere": "sphere", "Torus": "torus"
}  # fmt: skip
"""OpenCASCADE's names of analytic surfaces; every other surface is ``freeform``."""
FREEFORM = "freeform"
CURVES = {"Line": "line", "Circle": "circle", "Ellipse": "ellipse"}
"""The same for curves; every other one is ``other``."""
EDGE_SAMPLES = 65
"""Points along an edge."""


@dataclass(frozen=True)
class FaceFacts:
    """A face and its surface, in the shape's unit.

    Attributes:
        kind: "plane", "cylinder", "cone", "sphere", "torus" or "freeform".
        point: On the plane, on the axis of cylinder and torus (its centre), apex of the cone, centre of the sphere; zeros for freeform. [3]
        axis: Unit normal out of the solid, for a plane; unit axis; zeros for sphere and freeform. [3]
        radius: Of cylinder and sphere, of the torus's centre circle; else 0.
        tube_radius: Of the torus; else 0.
        half_angle: Of the cone, radians; else 0.
        hollow: The surface is looked at from its inside: a bore, not a boss.
        area: Of the face.
    """

    kind: str
    point: np.ndarray
    axis: np.ndarray
    radius: float
    tube_radius: float
    half_angle: float
    hollow: bool
    area: float

    @property
    def sizes(self) -> dict[str, float]:
        """The lengths that a user would write beside the face; empty for planes and freeform faces."""
        return {
            "cylinder": {"radius": self.radius},
            "sphere": {"radius": self.radius},
            "torus": {"radius": self.radius, "tube_radius": self.tube_radius},
        }.get(self.kind, {})


@dataclass(frozen=True)
class EdgeFacts:
    """An edge between two faces, or several such that run on into each other.

    Attributes:
        kind: "line", "circle", "ellipse" or "other".
        points: At equal parameters along it, of all its pieces. [n, 3]
        weights: Length that each point stands for. [n]
        faces: Numbers of the faces on both sides, the smaller first; the same twice never (a seam is no edge).
        vertices: Numbers of the vertices at its ends; none if it is closed.
    """

    kind: str
    points: np.ndarray
    weights: np.ndarray
    faces: tuple[int, ...]
    vertices: tuple[int, ...]

    @property
    def length(self) -> float:
        return float(self.weights.sum())

    @property
    def polylines(self) -> list[np.ndarray]:
        """The points of each piece. [:data:`EDGE_SAMPLES`, 3] each"""
        return np.split(self.points, len(self.points) // EDGE_SAMPLES)


@dataclass(frozen=True)
class Anatomy:
    """A shape taken apart. Seams, degenerated edges and vertices at which only one edge runs on are left out: kernels differ about them."""

    faces: tuple[FaceFacts, ...]
    edges: tuple[EdgeFacts, ...]
    vertices: np.ndarray

    @property
    def analytic_share(self) -> float:
        """Share of the area that is not freeform, in [0, 1]."""
        total = sum(f.area for f in self.faces)
        return sum(f.area for f in self.faces if f.kind != FREEFORM) / total if total > 0 else 0.0


def anatomy(shape: Any) -> Anatomy:
    """Take a shape apart. Faces are in the order of ``subshapes(shape, "FACE")``."""
    faces = subshapes(shape, "FACE")
    edges, vertices = _edges(faces)
    return Anatomy(tuple(face_facts(face) for face in faces), edges, vertices)


def face_facts(face: Any) -> FaceFacts:
    """What is known of one face."""
    adaptor = occ("BRepAdaptor").BRepAdaptor_Surface(face)
    kind = KINDS.get(str(adaptor.GetType()).rpartition("_")[2], FREEFORM)
    properties = occ("GProp").GProp_GProps()
    static(occ("BRepGProp").BRepGProp, "SurfaceProperties")(face, properties)
    area, reversed_ = abs(float(properties.Mass())), face.Orientation() == occ("TopAbs").TopAbs_REVERSED
    if kind == FREEFORM:
        return FaceFacts(kind, np.zeros(3), np.zeros(3), 0.0, 0.0, 0.0, False, area)
    surface = getattr(adaptor, kind.capitalize())()
    point, frame = _xyz(surface.Location()), surface.Position()
    axis, right = _xyz(frame.Direction()), bool(frame.Direct())
    hollow = reversed_ == right  # a left-handed frame has its normal on the other side
    if kind == "plane":
        normal = axis if right != reversed_ else -axis
        return FaceFacts(kind, point, normal, 0.0, 0.0, 0.0, False, area)
    if kind == "sphere":
        return FaceFacts(kind, point, np.zeros(3), float(surface.Radius()), 0.0, 0.0, hollow, area)
    if kind == "cone":
        angle = float(surface.SemiAngle())
        apex = _xyz(surface.Apex())
        return FaceFacts(kind, apex, axis if angle > 0 else -axis, 0.0, 0.0, abs(angle), hollow, area)
    if kind == "torus":
        return FaceFacts(kind, point, axis, float(surface.MajorRadius()), float(surface.MinorRadius()), 0.0, hollow, area)
    return FaceFacts(kind, point, axis, float(surface.Radius()), 0.0, 0.0, hollow, area)


def _edges(faces: list[Any]) -> tuple[tuple[EdgeFacts, ...], np.ndarray]:
    brep, tools = occ("BRep").BRep_Tool, occ("TopExp").TopExp
    uses = [(edge, number) for number, face in enumerate(faces) for edge in subshapes(face, "EDGE")]
    edges, index = distinct([edge for edge, _ in uses])
    owners: list[list[int]] = [[] for _ in edges]
    for (_, face), k in zip(uses, index, strict=True):
        owners[k].append(face)
    # a seam is used twice by its face; a kept edge has one face (the shell is open there) or two
    seam = [len(found) == 2 and len(set(found)) == 1 for found in owners]
    kept = [k for k, edge in enumerate(edges) if not seam[k] and not static(brep, "Degenerated")(edge)]
    ends = [(static(tools, "FirstVertex")(edges[k], False), static(tools, "LastVertex")(edges[k], False)) for k in kept]
    corners, place = distinct([v for pair in ends for v in pair])
    pieces = [_Piece(*_sampled(edges[k]), tuple(sorted(set(owners[k]))), (place[2 * i], place[2 * i + 1])) for i, k in enumerate(kept)]
    at: dict[int, list[int]] = {}
    for number, piece in enumerate(pieces):
        for vertex in piece.ends:
            at.setdefault(vertex, []).append(number)
    group = list(range(len(pieces)))

    def root(k: int) -> int:
        while group[k] != k:
            k = group[k]
        return k

    joints = set()
    for vertex, members in at.items():
        if len(members) == 2 and pieces[members[0]].runs_on_into(pieces[members[1]]):
            joints.add(vertex)
            group[root(members[0])] = root(members[1])
    chains: dict[int, list[int]] = {}
    for number in range(len(pieces)):
        chains.setdefault(root(number), []).append(number)
    real = sorted({v for members in chains.values() for v in _chain_ends([pieces[m] for m in members], joints)})
    renumber = {old: new for new, old in enumerate(real)}
    found = tuple(_joined([pieces[m] for m in members], joints, renumber) for members in chains.values())
    points = [_xyz(static(brep, "Pnt")(corners[v])) for v in real]
    return found, np.array(points).reshape(-1, 3)


@dataclass(frozen=True)
class _Piece:
    kind: str
    points: np.ndarray
    weights: np.ndarray
    faces: tuple[int, ...]
    ends: tuple[int, int]

    def runs_on_into(self, other: _Piece) -> bool:
        """Whether both lie between the same faces and are of one kind: cut only by a seam, or by the program that made the file."""
        return self.faces == other.faces and self.kind == other.kind


def _chain_ends(pieces: list[_Piece], joints: set[int]) -> tuple[int, ...]:
    count = Counter(v for piece in pieces for v in piece.ends)
    return tuple(v for v, n in count.items() if n == 1 and v not in joints)


def _joined(pieces: list[_Piece], joints: set[int], renumber: dict[int, int]) -> EdgeFacts:
    ends = tuple(sorted(renumber[v] for v in _chain_ends(pieces, joints)))
    points, weights = (np.concatenate([getattr(p, name) for p in pieces]) for name in ("points", "weights"))
    return EdgeFacts(pieces[0].kind, points, weights, pieces[0].faces, ends)


def _sampled(edge: Any) -> tuple[str, np.ndarray, np.ndarray]:
    adaptor = occ("BRepAdaptor").BRepAdaptor_Curve(edge)
    kind = CURVES.get(str(adaptor.GetType()).rpartition("_")[2], "other")
    t = np.linspace(adaptor.FirstParameter(), adaptor.LastParameter(), EDGE_SAMPLES)
    points = np.array([_xyz(adaptor.Value(float(x))) for x in t])
    steps = np.linalg.norm(np.diff(points, axis=0), axis=1)
    return kind, points, np.r_[steps, 0.0] / 2 + np.r_[0.0, steps] / 2


def _xyz(value: Any) -> np.ndarray:
    return np.array([value.X(), value.Y(), value.Z()])


@dataclass(frozen=True)
class Check:
    """What OpenCASCADE says of a shape.

    Attributes:
        valid: BRepCheck finds nothing wrong.
        closed: There are faces, and every edge that is no seam has two of them.
        solids, shells, faces: Counts.
        tolerance: Largest of all vertices and edges, in the shape's unit.
        volume: Signed; NaN for an open shape, which has none.
        problems: What is wrong, a line each.
    """

    valid: bool
    closed: bool
    solids: int
    shells: int
    faces: int
    tolerance: float
    volume: float
    problems: tuple[str, ...]

    @property
    def is_solid(self) -> bool:
        """One valid closed solid of one shell, right side out."""
        return self.valid and self.closed and self.solids == 1 and self.shells == 1 and self.volume > 0


def check(shape: Any) -> Check:
    """Ask OpenCASCADE whether a shape is what it should be."""
    analyzer = occ("BRepCheck").BRepCheck_Analyzer(shape)
    valid = bool(analyzer.IsValid())
    faces = subshapes(shape, "FACE")
    edges, index = distinct([edge for face in faces for edge in subshapes(face, "EDGE")])
    degenerated = static(occ("BRep").BRep_Tool, "Degenerated")
    uses = Counter(index)
    free = sum(uses[k] == 1 and not degenerated(edge) for k, edge in enumerate(edges))
    crowded = sum(uses[k] > 2 for k in range(len(edges)))
    tolerances, kinds = occ("ShapeAnalysis").ShapeAnalysis_ShapeTolerance(), occ("TopAbs")
    largest = max(float(tolerances.Tolerance(shape, 1, kind)) for kind in (kinds.TopAbs_EDGE, kinds.TopAbs_VERTEX)) if faces else math.nan
    solids, shells = len(subshapes(shape, "SOLID")), len(subshapes(shape, "SHELL"))
    closed = bool(faces) and free == 0 and crowded == 0
    volume = math.nan
    if closed:
        properties = occ("GProp").GProp_GProps()
        static(occ("BRepGProp").BRepGProp, "VolumeProperties")(shape, properties)
        volume = float(properties.Mass())
    problems = []
    if not valid:
        bad = [k for k, face in enumerate(faces) if not analyzer.IsValid(face)]
        problems.append(f"OpenCASCADE calls it invalid (faces {', '.join(map(str, bad)) or 'none of them alone'})")
    if free:
        problems.append(f"{free} edges have only one face")
    if crowded:
        problems.append(f"{crowded} edges have more than two faces")
    if solids != 1:
        problems.append(f"{solids} solids instead of one")
    elif shells != 1:
        problems.append(f"{shells} shells instead of one")
    if volume <= 0:
        problems.append("it is inside out")
    return Check(valid, closed, solids, shells, len(faces), largest, volume, tuple(problems))
