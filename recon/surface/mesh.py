"""The triangle mesh that extraction makes, and what can be wrong with one.

A mesh is counter-clockwise seen from outside, so that ``cross(b - a, c - a)`` points out of the solid. Which frame its vertices are in
(scene or world units) is the caller's to say; nothing here depends on it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from recon.geometry import Similarity


@dataclass(frozen=True)
class Mesh:
    """Triangles.

    Attributes:
        vertices: Positions. [V, 3] float64
        faces: Vertex indices, counter-clockwise seen from outside. [F, 3] int32
        normals: Unit outward normals at the vertices, or None. [V, 3] float64
        colors: sRGB at the vertices, or None. [V, 3] uint8
        uv: Texture coordinates, or None. (0, 0) is the lower left corner of the texture picture, (1, 1) the upper right, as in OBJ.
            Vertices on a seam of the atlas are stored once per chart. [V, 2] float64
        texture: sRGB picture that ``uv`` refers to, or None. Row 0 is the top. [H, W, 3] uint8
        seen: In how many photographs each vertex was seen, 0 where the surface is made up; or None. [V] uint8
    """

    vertices: np.ndarray
    faces: np.ndarray
    normals: np.ndarray | None = None
    colors: np.ndarray | None = None
    uv: np.ndarray | None = None
    texture: np.ndarray | None = None
    seen: np.ndarray | None = None

    @staticmethod
    def empty() -> Mesh:
        return Mesh(np.zeros((0, 3)), np.zeros((0, 3), np.int32))

    def diagonal(self) -> float:
        """Length of the diagonal of the axis-aligned bounding box; 0 for an empty mesh."""
        if len(self.vertices) == 0:
            return 0.0
        return float(np.linalg.norm(self.vertices.max(0) - self.vertices.min(0)))


def transform_mesh(mesh: Mesh, target_from_source: Similarity) -> Mesh:
    """The mesh in another frame; a similarity has no mirror in it, so the winding stays right."""
    normals = None if mesh.normals is None else target_from_source.rotate(mesh.normals)
    return replace(mesh, vertices=target_from_source.apply(mesh.vertices), normals=normals)


def face_cross(mesh: Mesh) -> np.ndarray:
    """Outward normals of the faces, their length twice the area. [F, 3]"""
    a, b, c = (mesh.vertices[mesh.faces[:, k]] for k in range(3))
    return np.cross(b - a, c - a)


def face_areas(mesh: Mesh) -> np.ndarray:
    """Areas of the faces in squared units of the vertices. [F]"""
    areas = np.empty(len(mesh.faces))
    for part in _face_chunks(mesh):
        areas[part] = 0.5 * np.linalg.norm(face_cross(replace(mesh, faces=mesh.faces[part])), axis=1)
    return areas


def _face_chunks(mesh: Mesh):
    """Slices of 2 million faces: what is computed for a face takes some 150 bytes, and a mesh can have 30 million faces."""
    return (slice(start, start + 2**21) for start in range(0, len(mesh.faces), 2**21))


def signed_volume(mesh: Mesh) -> float:
    """Enclosed volume by the divergence theorem; negative for a mesh turned inside out, meaningless for an open one."""
    if len(mesh.faces) == 0:
        return 0.0
    # Relative to a point nearby, because far from the origin the terms would cancel.
    center, total = mesh.vertices.mean(0), 0.0
    for part in _face_chunks(mesh):
        a, b, c = (mesh.vertices[mesh.faces[part, k]] - center for k in range(3))
        total += float(np.einsum("ij,ij->", a, np.cross(b, c)))
    return total / 6.0


def vertex_normals(mesh: Mesh) -> np.ndarray:
    """Unit vertex normals, the mean of the adjacent faces weighted by area; zero where no face has area. [V, 3]"""
    normals = np.zeros_like(mesh.vertices)
    for part in _face_chunks(mesh):
        faces = mesh.faces[part]
        cross = face_cross(replace(mesh, faces=faces))
        for axis in range(3):
            normals[:, axis] += np.bincount(faces.ravel(), np.repeat(cross[:, axis], 3), minlength=len(normals))
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    return np.divide(normals, length, out=normals, where=length > 0)


def face_components(mesh: Mesh) -> np.ndarray:
    """Connected component of each face, numbered from 0; faces are connected when they share a vertex. [F] int32"""
    f = mesh.faces
    rows, columns = np.concatenate([f[:, 0], f[:, 1]]), np.concatenate([f[:, 1], f[:, 2]])
    graph = coo_matrix((np.ones(len(rows), np.int8), (rows, columns)), shape=(len(mesh.vertices),) * 2).tocsr()
    del rows, columns
    labels = connected_components(graph, directed=False)[1][f[:, 0]]
    return np.unique(labels, return_inverse=True)[1].astype(np.int32)


def keep_faces(mesh: Mesh, keep: np.ndarray) -> Mesh:
    """The mesh of the chosen faces and the vertices that they use.

    Args:
        mesh: Any mesh.
        keep: Which faces. [F] bool
    """
    faces = mesh.faces[keep]
    used = np.zeros(len(mesh.vertices), bool)
    used[faces.ravel()] = True
    new_index = np.cumsum(used, dtype=np.int64) - 1

    def pick(values: np.ndarray | None) -> np.ndarray | None:
        return None if values is None else values[used]

    return replace(
        mesh,
        vertices=mesh.vertices[used],
        faces=new_index[faces].astype(mesh.faces.dtype),
        normals=pick(mesh.normals),
        colors=pick(mesh.colors),
        uv=pick(mesh.uv),
        seen=pick(mesh.seen),
    )


def largest_component(mesh: Mesh) -> Mesh:
    """Only the connected component with the greatest area. It may also remove thin parts that came loose."""
    return _keep_components(mesh, lambda areas: areas == areas.max())


def remove_small_components(mesh: Mesh, min_area_fraction: float = 0.01) -> Mesh:
    """Drop connected components with less than this share of the area of the greatest.

    Args:
        mesh: Any mesh.
        min_area_fraction: In [0, 1]; 0 keeps all, 1 the greatest alone.
    """
    return _keep_components(mesh, lambda areas: areas >= min_area_fraction * areas.max())


def _keep_components(mesh: Mesh, choose) -> Mesh:
    if len(mesh.faces) == 0:
        return mesh
    labels = face_components(mesh)
    return keep_faces(mesh, choose(np.bincount(labels, face_areas(mesh)))[labels])


@dataclass(frozen=True)
class MeshProblem:
    """One thing that is wrong with a mesh.

    Attributes:
        kind: Which.
        message: What is wrong, with figures.
        remedy: What the user can do.
    """

    kind: Literal["empty", "open", "non_manifold", "winding", "inside_out", "touches_bounds", "fragments", "degenerate"]
    message: str
    remedy: str


@dataclass(frozen=True)
class MeshReport:
    """What :func:`check_mesh` found. Areas and volume are in the units of the vertices.

    Attributes:
        vertices, faces: Counts.
        closed: Every edge has exactly two faces (an even number in a non-manifold mesh does not count).
        oriented: The two faces at an edge run along it in opposite directions, everywhere.
        boundary_edges: Edges with one face.
        non_manifold_edges: Edges with more than two faces.
        component_areas: Area of each connected component, greatest first.
        area: Total area.
        volume: Signed; positive if the faces look outward. Only meaningful if closed.
        euler_number: V - E + F of the vertices in use; 2 (components - handles) for a closed manifold.
        genus: Number of handles, summed over components; None unless closed.
        bounds_area_fraction: Share of the area that lies on the box or sphere in which the surface was sought.
        degenerate_faces: Faces without area.
        problems: Everything a user should know, the gravest first.
    """

    vertices: int
    faces: int
    closed: bool
    oriented: bool
    boundary_edges: int
    non_manifold_edges: int
    component_areas: tuple[float, ...]
    area: float
    volume: float
    euler_number: int
    genus: int | None
    bounds_area_fraction: float
    degenerate_faces: int
    problems: tuple[MeshProblem, ...] = field(default=())

    def to_json(self, max_components: int = 20) -> dict:
        """A plain dict; at most ``max_components`` component areas are listed."""
        plain = {k: v for k, v in self.__dict__.items() if k not in ("component_areas", "problems")}
        plain["components"] = len(self.component_areas)
        plain["component_areas"] = list(self.component_areas[:max_components])
        plain["problems"] = [p.__dict__ for p in self.problems]
        return plain


def check_mesh(
    mesh: Mesh,
    bounds: tuple[tuple[float, float, float], tuple[float, float, float]] | None = None,
    *,
    sphere_radius: float | None = None,
    tolerance: float | None = None,
) -> MeshReport:
    """Look for everything that makes a mesh useless, and say what to do about it.

    A textured mesh has seams, at which vertices are stored twice: check the mesh before the atlas is made. Takes about 100 bytes a face at
    the peak; some 3 s for 8 million faces.

    Args:
        mesh: Any mesh.
        bounds: The box in which the surface was sought, lower and upper corner, in the units of the vertices; None: not checked.
        sphere_radius: Radius of the sphere about the origin at which the surface was cut; None: not checked.
        tolerance: How near to the box or sphere counts as touching; default 1e-3 of the sphere's radius or of half the box.
    """
    if len(mesh.faces) == 0:
        problem = MeshProblem(
            "empty",
            "the mesh has no faces: the field has no surface inside the bounds",
            "train longer, check the masks or alpha, and look at a rendered view; for a density field lower the threshold",
        )
        return MeshReport(len(mesh.vertices), 0, False, True, 0, 0, (), 0.0, 0.0, 0, None, 0.0, 0, (problem,))
    edges, boundary, non_manifold, oriented = _edge_counts(mesh)
    areas = face_areas(mesh)
    components = np.sort(np.bincount(face_components(mesh), areas))[::-1]
    closed = boundary == 0 and non_manifold == 0
    used = np.zeros(len(mesh.vertices), bool)
    used[mesh.faces.ravel()] = True
    euler = int(used.sum()) - edges + len(mesh.faces)
    total = float(areas.sum())
    touching = _touches(mesh, bounds, sphere_radius, tolerance)
    volume = signed_volume(mesh)
    report = MeshReport(
        vertices=len(mesh.vertices),
        faces=len(mesh.faces),
        closed=closed,
        oriented=oriented,
        boundary_edges=boundary,
        non_manifold_edges=non_manifold,
        component_areas=tuple(float(a) for a in components),
        area=total,
        volume=volume,
        euler_number=euler,
        genus=(2 * len(components) - euler) // 2 if closed else None,
        bounds_area_fraction=float(areas[touching[mesh.faces].all(1)].sum() / total) if total > 0 else 0.0,
        degenerate_faces=int((areas == 0).sum()),
    )
    return replace(report, problems=tuple(_problems(report)))


def _edge_counts(mesh: Mesh) -> tuple[int, int, int, bool]:
    """Number of edges, of edges with one face, of edges with more than two, and whether neighbours agree in winding."""
    # One integer per half-edge: the undirected edge in the high bits, the direction in the lowest. Made one side at a time and sorted
    # in place, because of a large mesh these are the largest arrays.
    keys = np.empty(mesh.faces.size, np.int64)
    for side in range(3):
        start, end = mesh.faces[:, side].astype(np.int64), mesh.faces[:, (side + 1) % 3]
        part = slice(side * len(mesh.faces), (side + 1) * len(mesh.faces))
        keys[part] = (np.minimum(start, end) * len(mesh.vertices) + np.maximum(start, end)) * 2 + (start > end)
    keys.sort()
    if len(keys) % 2 == 0:
        first, second = keys[::2], keys[1::2]
        if (second == first + 1).all() and (first % 2 == 0).all() and (first[1:] > second[:-1]).all():
            return len(first), 0, 0, True  # the good case: every edge once in each direction
    undirected = keys >> 1
    starts = np.flatnonzero(np.r_[True, undirected[1:] != undirected[:-1]])
    counts = np.diff(np.r_[starts, len(keys)])
    forward = np.add.reduceat((keys & 1) == 0, starts, dtype=np.int64)
    pairs = counts == 2
    return len(starts), int((counts == 1).sum()), int((counts > 2).sum()), bool((forward[pairs] == 1).all())


def _touches(mesh: Mesh, bounds, sphere_radius: float | None, tolerance: float | None) -> np.ndarray:
    touching = np.zeros(len(mesh.vertices), bool)
    if bounds is not None:
        lower, upper = (np.asarray(b, np.float64) for b in bounds)
        slack = 1e-3 * float((upper - lower).max()) / 2 if tolerance is None else tolerance
        touching |= ((mesh.vertices <= lower + slack) | (mesh.vertices >= upper - slack)).any(1)
    if sphere_radius is not None:
        slack = 1e-3 * sphere_radius if tolerance is None else tolerance
        touching |= np.linalg.norm(mesh.vertices, axis=1) >= sphere_radius - slack
    return touching


def _problems(r: MeshReport):
    if r.boundary_edges:
        yield MeshProblem(
            "open",
            f"the mesh has holes: {r.boundary_edges} edges have only one face",
            "extract with the sphere cut on, or enlarge the bounds; a printer's slicer will not accept it as it is",
        )
    if r.non_manifold_edges:
        yield MeshProblem(
            "non_manifold",
            f"{r.non_manifold_edges} edges have more than two faces",
            "extract at another resolution, or without simplification",
        )
    if not r.oriented:
        yield MeshProblem("winding", "neighbouring faces disagree about which side is out", "extract the mesh again from the run")
    if r.closed and r.oriented and r.volume < 0:
        yield MeshProblem(
            "inside_out",
            f"the faces look inward (volume {r.volume:.4g})",
            "the field's sign is swapped, or the mesh was mirrored: flip the faces",
        )
    if r.bounds_area_fraction > 1e-4:
        yield MeshProblem(
            "touches_bounds",
            f"{100 * r.bounds_area_fraction:.1f} % of the surface lies on the border of the region that was searched",
            "the background became part of the object: use masks, or a smaller or shifted scene sphere, or keep the largest component only",
        )
    if len(r.component_areas) > 1:
        share = 100 * r.component_areas[0] / r.area if r.area > 0 else 0.0
        yield MeshProblem(
            "fragments",
            f"the mesh has {len(r.component_areas)} separate parts; the largest holds {share:.1f} % of the area",
            "if they are not part of the object, remove small components or keep only the largest",
        )
    if r.degenerate_faces:
        yield MeshProblem("degenerate", f"{r.degenerate_faces} faces have no area", "harmless to look at; weld vertices before simulation")
