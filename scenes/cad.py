"""From a boundary representation (OpenCASCADE, extra ``[cad]``) to a :class:`Solid`: fine welded mesh and exact feature curves.

Only building scenes and reading STEP needs this module; the scenes that are shipped do not.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from recon.curves.files.occ import box_diagonal
from recon.errors import DataError
from recon.evaluation.truth.step import feature_curves
from recon.solid.facets import facets
from scenes.making.solid import Solid, edge_counts, signed_volume

CHORD = 1e-4
"""Largest distance between a facet and the surface, as a part of the diagonal of the bounding box."""


def tessellate(shape: Any, diagonal: float, source: str) -> Solid:
    """Mesh every face within :data:`CHORD`, weld the faces, keep the surfaces' own normals at corners. Curves are left empty.

    Raises:
        DataError: If a face cannot be meshed or nothing is left.
    """
    found = facets(shape, CHORD * diagonal, source)
    if found.missing:
        unmeshed = [f"face {number}: no triangulation" for number in found.missing]
        raise DataError(f"{source}: its faces cannot be meshed", unmeshed, "Repair the solid in the CAD program.")
    return weld(found.vertices, found.normals.astype(np.float32), found.triangles, found.face, 1e-6 * diagonal)


def weld(points: np.ndarray, normals: np.ndarray, triangles: np.ndarray, patches: np.ndarray, tolerance: float) -> Solid:
    """Join points closer than ``tolerance``; triangles that collapse are dropped, corner normals are kept apart."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components
    from scipy.spatial import KDTree

    pairs = KDTree(points).query_pairs(tolerance, output_type="ndarray")
    graph = coo_matrix((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(len(points), len(points)))
    count, label = connected_components(graph, directed=False)
    first = np.full(count, len(points))
    np.minimum.at(first, label, np.arange(len(points)))
    faces = label[triangles]
    keep = (faces[:, 0] != faces[:, 1]) & (faces[:, 1] != faces[:, 2]) & (faces[:, 2] != faces[:, 0])
    faces, corners, patches = faces[keep], triangles[keep], patches[keep]
    used, faces = np.unique(faces, return_inverse=True)
    kept, corners = np.unique(corners, return_inverse=True)
    return Solid(points[first[used]], faces.reshape(-1, 3).astype(np.int32), normals[kept], corners.reshape(-1, 3).astype(np.int32),
                 patches, np.zeros((0, 3)))  # fmt: skip


def solid_from_shape(shape: Any, source: str, must_close: bool = True) -> tuple[Solid, list[str]]:
    """Mesh and feature curves of a shape.

    Args:
        shape: An OpenCASCADE shape, in world units.
        source: What to call it in messages.
        must_close: Whether an open or wrongly oriented mesh is an error or a warning.
    Returns:
        The solid, and warnings.
    Raises:
        DataError: If it is empty, not finite, or open although ``must_close``.
    """
    diagonal = box_diagonal(shape)
    if not (math.isfinite(diagonal) and diagonal > 0):
        raise DataError(f"{source}: it is empty or infinite", hint="Export a solid, not a sketch or an empty assembly.")
    mesh = tessellate(shape, diagonal, source)
    open_edges, crowded, turned = edge_counts(mesh.faces)
    problems = []
    if open_edges or crowded or turned:
        problems.append(f"mesh is not closed: {open_edges} open edges, {crowded} shared by three or more, {turned} turned over")
    elif signed_volume(mesh.vertices, mesh.faces) <= 0:
        problems.append("mesh is inside out")
    if problems and must_close:
        raise DataError(f"{source}: not a proper solid", problems, "Repair the solid in the CAD program.")
    vertices, curves, tangent_curves = feature_curves(shape, diagonal)
    arrays = (mesh.vertices, mesh.faces, mesh.normals, mesh.normal_faces, mesh.patches)
    return Solid(*arrays, curve_vertices=vertices, curves=curves, tangent_curves=tangent_curves), problems
