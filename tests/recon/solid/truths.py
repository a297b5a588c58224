"""True solids dressed as results of a reconstruction, so that what comes after it can be tested without it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from recon.curves.files.occ import read_step, subshapes
from recon.results.solid import SolidSource
from recon.solid.anatomy import FREEFORM, anatomy
from recon.solid.model import Constraint, Primitive, Region, SolidInput, SolidResult
from scenes.library import DATA, truth


def source_of(name: str) -> SolidSource:
    """The true mesh of a built-in part."""
    known = truth(name)
    return SolidSource(f"scenes:{name}", name, SolidInput(known.vertices, known.faces), "mm")


def result_of(name: str, sigma: float = 0.02) -> SolidResult:
    """The true solid of a built-in part, a region for each face."""
    known = truth(name)
    shape = read_step(DATA / name / "part.step")
    regions = []
    for number, face in enumerate(anatomy(shape).faces):
        triangles = np.flatnonzero(known.solid.patches == number)
        kind = "bspline" if face.kind == FREEFORM else face.kind
        primitive = Primitive(kind, face.point, face.axis, face.radius, face.tube_radius, face.half_angle, sigma / 3, 1e-3)
        vertices = np.unique(known.faces[triangles])
        regions.append(Region(primitive, vertices, triangles, face.area, sigma, 9.0, 12.0))
    constraints = [
        Constraint("coaxial", 0, 1, 0.003, True, "within 2 sigma"),
        Constraint("tangent", 1, 2, 0.4, False, "<b>rms</b> would rise"),
    ]
    faces = [(face, number) for number, face in enumerate(subshapes(shape, "FACE"))]
    given = SolidInput(known.vertices, known.faces)
    return SolidResult("solid", shape, regions, faces, constraints, [], [], given, sigma, 1e-7, 1e-4, ["made up"])


def without_faces(result: SolidResult, count: int) -> SolidResult:
    """The same as an open shell without its first faces."""
    from recon.curves.files.occ import occ
    from recon.solid.model import Hole

    builder, shell = occ("BRep").BRep_Builder(), occ("TopoDS").TopoDS_Shell()
    builder.MakeShell(shell)
    for face, _ in result.faces[count:]:
        builder.Add(shell, face)
    hole = Hole(np.eye(3) * 10, 42.0, "nothing <fits> there")
    return replace(result, status="open_shell", shape=shell, faces=result.faces[count:], holes=[hole], reasons=["1 face is missing"])
