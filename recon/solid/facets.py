"""Triangles of a boundary representation, each with the number of its face. Needs OpenCASCADE (extra ``[cad]``)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from recon.curves.files.occ import occ, static, subshapes
from recon.errors import DataError
from recon.surface.mesh import Mesh

FACET_RAD = 0.12
"""Largest angle between neighbouring facets of a curved face, radians."""


@dataclass(frozen=True)
class Facets:
    """Faces meshed one by one: along an edge each face has vertices of its own.

    Attributes:
        vertices: On the surfaces. [V, 3] float64
        normals: Of the surfaces there, unit, out of the solid. [V, 3] float64
        triangles: Counter-clockwise seen from outside. [T, 3] int64
        face: Number of each triangle's face, in the order of the shape's faces. [T] int32
        missing: Numbers of the faces that could not be meshed.
    """

    vertices: np.ndarray
    normals: np.ndarray
    triangles: np.ndarray
    face: np.ndarray
    missing: tuple[int, ...] = ()

    @property
    def mesh(self) -> Mesh:
        """As a mesh, open along the edges."""
        return Mesh(self.vertices, self.triangles.astype(np.int32), normals=self.normals)


def facets(shape: Any, chord: float, source: str, angle: float = FACET_RAD) -> Facets:
    """Mesh every face of a shape.

    Args:
        shape: OpenCASCADE shape.
        chord: Largest distance between a facet and its surface, in the shape's unit.
        source: What to call the shape in messages.
        angle: Largest angle between neighbouring facets, radians.
    Raises:
        CapabilityError: Without OpenCASCADE.
        DataError: If no face can be meshed.
    """
    static_tri = static(occ("BRep").BRep_Tool, "Triangulation")
    normals_of = static(occ("BRepLib").BRepLib_ToolTriangulatedShape, "ComputeNormals")
    # OpenCASCADE bounds the sagitta of edges and face nodes by this, and checks faces on samples only: half of it leaves room
    mesher = occ("BRepMesh").BRepMesh_IncrementalMesh(shape, 0.5 * chord, False, angle, False)
    mesher.Perform()
    positions, normals, triangles, owners, missing = [], [], [], [], []
    count = 0
    for number, face in enumerate(subshapes(shape, "FACE")):
        location = occ("TopLoc").TopLoc_Location()
        mesh = static_tri(face, location)
        if mesh is None or mesh.NbTriangles() == 0:
            missing.append(number)
            continue
        normals_of(face, mesh)
        move = location.Transformation()
        flip = face.Orientation() == occ("TopAbs").TopAbs_REVERSED
        nodes = range(1, mesh.NbNodes() + 1)
        points = [mesh.Node(k).Transformed(move) for k in nodes]
        slopes = [mesh.Normal(k).Transformed(move) for k in nodes]
        positions.append(np.array([(p.X(), p.Y(), p.Z()) for p in points]))
        normals.append(np.array([(n.X(), n.Y(), n.Z()) for n in slopes]) * (-1.0 if flip else 1.0))
        corner = np.array([mesh.Triangle(k).Get() for k in range(1, mesh.NbTriangles() + 1)], np.int64) - 1 + count
        triangles.append(corner[:, ::-1] if flip else corner)
        owners.append(np.full(len(corner), number, np.int32))
        count += mesh.NbNodes()
    if not triangles:
        raise DataError(f"{source}: its faces cannot be meshed", hint="repair the solid in the CAD program")
    return Facets(np.concatenate(positions), np.concatenate(normals), np.concatenate(triangles), np.concatenate(owners), tuple(missing))
