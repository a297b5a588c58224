"""2D edges that a surface has: creases, depth steps and outlines of a mesh, moved to where the photograph shows them more sharply.

What is painted on the surface, shadows and highlights are edges of a photograph but not of the surface; a crease between two faces that
happen to be equally bright is one of the surface only. The mesh says which edges there are, the photograph where exactly.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import ndimage, sparse

from recon.curves.edges2d.detector import near_parallel, nearest_parallel
from recon.curves.edges2d.ridges import (
    KIND_CREASE,
    KIND_SILHOUETTE,
    KIND_STEP,
    EdgePoints,
    connected_to_strong,
    edge_points,
    gradient,
    joined,
    level_points,
    no_points,
    ridge_points,
)
from recon.data.scene import Camera
from recon.errors import UsageError
from recon.surface.mesh import Mesh, vertex_normals
from recon.surface.raycast import RayScene, cast, ray_scene
from recon.surface.reading import read_mesh

SUPERSAMPLE = 2
_RAYS = 2**18  # at once; about 80 MB

# Turn of the normals at a crease, degrees: below the first nothing is followed, a chain must reach the second somewhere.
LOWEST_TURN_DEG, SURE_TURN_DEG = 10.0, 22.0
# Steps in depth, in parts of the mesh's diagonal.
LOWEST_STEP, SURE_STEP = 0.008, 0.02
# Window over which normals are compared in the picture, pixels: a mesh is rounded at its creases by about this.
CREASE_SIGMA_PX, STEP_SIGMA_PX = 1.5, 0.8
# An edge of the photograph is explained by an edge of the surface this near and this parallel.
EXPLAIN_PX, EXPLAIN_DEG = 2.5, 20.0
# Weights of edges that only one of the two has.
SURFACE_ONLY, OUTLINE_ONLY = 0.4, 0.5
# Where normals turn by less than this about an outline (within SHARP_RADIUS of the mesh's diagonal), the surface is smooth there.
SMOOTH_TURN_DEG = 30.0
SHARP_RADIUS = 0.01
# A mesh of long edges is cut up into at most this many faces.
MOST_FACES = 1.5e6


@dataclass(frozen=True)
class Guide:
    """A mesh, made ready.

    Attributes:
        rays: For casting; its mesh has edges short enough for what follows.
        normals: Unit vertex normals. [V, 3]
        turn_deg: Angle between the normals on the two sides of a crease through the vertex that would leave the normals about it as
            scattered as they are. [V]
        diagonal: Of the mesh's bounding box, world units.
    """

    rays: RayScene
    normals: np.ndarray
    turn_deg: np.ndarray
    diagonal: float


def guide_from(path: str) -> tuple[Guide, Path]:
    """The mesh of a finished run, or a mesh file in world units.

    Raises:
        UsageError: There is neither.
        DataError: The mesh cannot be read.
    """
    given = Path(path)
    file = given / "exports" / "mesh.ply" if given.is_dir() else given
    if not file.is_file():
        raise UsageError(
            f"--edges surface:{path}: there is no {'mesh exports/mesh.ply in that folder' if given.is_dir() else 'such run or mesh'}",
            "Give the folder of a finished VolSDF run (recon reconstruct DATA --method volsdf), or a mesh in world units.",
        )
    return prepare(read_mesh(file)), file.resolve()


def prepare(mesh: Mesh) -> Guide:
    """Cut long edges, and measure how sharply the surface turns at each vertex."""
    from trimesh.remesh import subdivide_to_size  # here: half a second that most commands have no use for

    diagonal = max(mesh.diagonal(), 1e-12)
    longest = 0.6 * SHARP_RADIUS * diagonal
    edges = np.linalg.norm(mesh.vertices[mesh.faces] - mesh.vertices[np.roll(mesh.faces, 1, axis=1)], axis=2)
    if float(edges.max()) > 3 * longest:
        # every halving makes four triangles of one: long thin ones would become millions
        sides = edges.max(1)
        while float((4.0 ** np.ceil(np.log2(np.maximum(sides / longest, 1)))).sum()) > MOST_FACES:
            longest *= 1.4
        vertices, faces = subdivide_to_size(mesh.vertices, mesh.faces, longest, max_iter=20)[:2]
        _, first, where = np.unique(np.round(vertices / (1e-7 * diagonal)), axis=0, return_index=True, return_inverse=True)
        mesh = Mesh(vertices[first], where.reshape(-1)[faces].astype(np.int32))
        edges = np.full(1, longest / 1.5)
    normals = vertex_normals(mesh)
    return Guide(ray_scene(mesh), normals, _turn(mesh, normals, SHARP_RADIUS * diagonal, float(np.median(edges))), diagonal)


def _turn(mesh: Mesh, normals: np.ndarray, radius: float, edge: float) -> np.ndarray:
    """How much normals within ``radius`` scatter, as the turn at a crease that would scatter them as much. [V] degrees

    Normals are averaged over the mesh's graph twice: over a third of the radius, which takes the roughness of a mesh out, then over all of
    it; the length of the second mean is the cosine of half the turn.
    """
    f, count = mesh.faces, len(mesh.vertices)
    i, j = np.concatenate([f[:, 0], f[:, 1], f[:, 2]]), np.concatenate([f[:, 1], f[:, 2], f[:, 0]])
    graph = sparse.coo_matrix((np.ones(2 * len(i), np.float32), (np.concatenate([i, j]), np.concatenate([j, i]))), (count, count)).tocsr()
    graph.data[:] = 1
    graph = sparse.diags(1 / np.maximum(np.asarray(graph.sum(1), np.float32).ravel(), 1)) @ graph

    def averaged(values: np.ndarray, reach: float) -> np.ndarray:
        # each averaging adds about half the squared length of an edge to the variance along each direction
        for _ in range(int(np.clip(round(2 * (reach / max(edge, 1e-12)) ** 2), 1, 100))):
            values = graph @ values
        return values

    calm = averaged(normals.astype(np.float32), radius / 3)
    calm /= np.maximum(np.linalg.norm(calm, axis=1, keepdims=True), 1e-6)
    return 2 * np.degrees(np.arccos(np.clip(np.linalg.norm(averaged(calm, radius), axis=1), 0, 1)))


def surface_points(guide: Guide, camera: Camera, region: np.ndarray) -> EdgePoints:
    """Edge points of a mesh in a picture.

    Args:
        guide: The mesh.
        camera: In the world.
        region: Where points are wanted. [H, W] bool
    Returns:
        KIND_CREASE (creases, and outlines along creases), KIND_STEP (one part before another, along a crease), KIND_SILHOUETTE (outlines
        of smooth parts). Weights grow with the angle and the step.
    """
    box = _mesh_box(guide, camera, region)
    if box is None:
        return no_points()
    inverse_depth, normal, turn, hit = _cast_box(guide, camera, box)
    if not hit.any():
        return no_points()
    scale = SUPERSAMPLE
    weight = hit.astype(np.float32)
    outline = level_points(weight, 0.7 * scale)
    near_z = 1 / float(np.median(inverse_depth[hit]))
    steps = _depth_steps(inverse_depth, weight, guide.diagonal / near_z**2)
    creases = _creases(normal, weight)
    # sharpness is read where the mesh was hit, a little inside the outline
    sharp = ndimage.maximum_filter(np.where(hit, turn, 0), size=2 * scale + 1)
    smooth = _at(sharp, outline[0] + scale * outline[1]) < SMOOTH_TURN_DEG
    kinds = np.where(smooth, KIND_SILHOUETTE, KIND_CREASE)
    outlines = edge_points(outline[0], outline[1], np.ones(len(smooth)), kinds)
    if len(steps):
        across = steps.normals * (1.5 * scale)
        nearer = _at(inverse_depth, steps.points + across) > _at(inverse_depth, steps.points - across)
        inside = steps.points + np.where(nearer, 1, -1)[:, None] * across
        kinds = np.where(_at(sharp, inside) < SMOOTH_TURN_DEG, KIND_SILHOUETTE, KIND_STEP).astype(np.uint8)
        steps = EdgePoints(steps.points, steps.normals, steps.weights, kinds)
        steps = steps[~near_parallel(steps, outlines, 2 * scale, 40)]
    shown = joined([outlines, steps])
    creases = creases[~near_parallel(creases, shown, 2.5 * scale, 35)]
    found = joined([shown, creases])
    corner = np.array([box[1].start, box[0].start])
    points = found.points / scale + corner
    # the finer raster gave two points per pixel of the picture: one stays
    _, one = np.unique(np.floor(points[:, 1]) * camera.width + np.floor(points[:, 0]), return_index=True)
    one = one[_at(region, points[one])]
    return edge_points(points, found.normals, found.weights, found.kinds)[one]


def explained(surface: EdgePoints, seen: EdgePoints, is_outline: np.ndarray) -> EdgePoints:
    """Edges of the surface, at the photograph's place where it shows them.

    Args:
        surface: From :func:`surface_points`.
        seen: From the detector, faint edges included.
        is_outline: Which of ``seen`` are an outline from alpha, which is there whether the mesh has it or not. [M] bool
    """
    partner = nearest_parallel(seen, surface, EXPLAIN_PX, EXPLAIN_DEG)
    known = partner >= 0
    kinds = np.where(known, surface.kinds[partner] if len(surface) else 0, KIND_STEP).astype(np.uint8)
    weights = np.where(known, seen.weights, OUTLINE_ONLY).astype(np.float32)
    moved = EdgePoints(seen.points, seen.normals, weights, kinds)[known | is_outline]
    alone = surface[~near_parallel(surface, moved, EXPLAIN_PX + 0.5, EXPLAIN_DEG + 10)]
    alone = EdgePoints(alone.points, alone.normals, (SURFACE_ONLY * alone.weights).astype(np.float32), alone.kinds)
    return joined([moved, alone])


def _depth_steps(inverse_depth: np.ndarray, weight: np.ndarray, per_step: float) -> EdgePoints:
    """Ridges of the slope of 1/z, which is constant over planes. ``per_step``: 1/z for a step of one diagonal."""
    sigma = STEP_SIGMA_PX * SUPERSAMPLE
    g = gradient((inverse_depth / per_step)[..., None].astype(np.float32), weight, sigma)
    height = g.magnitude * np.sqrt(2 * np.pi) * sigma
    ridge = ridge_points(height, g.direction, LOWEST_STEP, g.valid & (weight > 0), side_px=4 * sigma)
    # a face seen at a grazing angle is steep all over; a step stands out
    step = np.where(ridge.values > 2 * ridge.sides, ridge.values - ridge.sides, 0)
    return _chained(ridge.points, ridge.normals, ridge.cells, step, weight.shape, LOWEST_STEP, SURE_STEP)


def _creases(normal: np.ndarray, weight: np.ndarray) -> EdgePoints:
    """Ridges of the change of normals, as steps in degrees."""
    sigma = CREASE_SIGMA_PX * SUPERSAMPLE
    g = gradient(normal, weight, sigma)
    chord = g.magnitude * np.sqrt(2 * np.pi) * sigma
    lowest = 2 * np.sin(np.radians(LOWEST_TURN_DEG) / 2)
    ridge = ridge_points(chord, g.direction, lowest, g.valid & (weight > 0), side_px=3 * sigma)
    turn = 2 * np.degrees(np.arcsin(np.clip((ridge.values - ridge.sides) / 2, 0, 1)))
    return _chained(ridge.points, ridge.normals, ridge.cells, turn, weight.shape, LOWEST_TURN_DEG, SURE_TURN_DEG)


def _chained(
    points: np.ndarray, normals: np.ndarray, cells: np.ndarray, values: np.ndarray, shape: tuple[int, int], low: float, high: float
) -> EdgePoints:
    above = values > low
    points, normals, cells, values = points[above], normals[above], cells[above], values[above]
    keep = connected_to_strong(cells, values, shape, high, shortest=5 * SUPERSAMPLE)
    weights = np.clip(values / (2 * high), 0.3, 1)
    return edge_points(points[keep], normals[keep], weights[keep], KIND_CREASE)


def _mesh_box(guide: Guide, camera: Camera, region: np.ndarray) -> tuple[slice, slice] | None:
    """Rows and columns of the picture that the mesh can be seen in."""
    uv, z = camera.project(guide.rays.mesh.vertices)
    if (z <= 1e-6 * guide.diagonal).any():
        uv = np.array([[0.0, 0.0], [camera.width, camera.height]])
    x0, y0 = np.clip(np.floor(uv.min(0)).astype(int) - 4, 0, [camera.width, camera.height])
    x1, y1 = np.clip(np.ceil(uv.max(0)).astype(int) + 4, 0, [camera.width, camera.height])
    if x1 <= x0 or y1 <= y0 or not region[y0:y1, x0:x1].any():
        return None
    return slice(int(y0), int(y1)), slice(int(x0), int(x1))


def _cast_box(guide: Guide, camera: Camera, box: tuple[slice, slice]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Inverse depth along the axis, normals, sharpness and hits, SUPERSAMPLE rays per pixel along each axis."""
    scale = SUPERSAMPLE
    height, width = (box[0].stop - box[0].start) * scale, (box[1].stop - box[1].start) * scale
    inverse_depth, turn = np.zeros((height, width)), np.zeros((height, width))
    normal, hit = np.zeros((height, width, 3), np.float32), np.zeros((height, width), bool)
    x = box[1].start + (np.arange(width) + 0.5) / scale
    axis = camera.world_from_camera[:, 2]
    count = max(1, _RAYS // width)
    for start in range(0, height, count):
        rows = slice(start, min(start + count, height))
        y = box[0].start + (np.arange(rows.start, rows.stop) + 0.5) / scale
        origins, directions = (a.reshape(-1, 3) for a in camera.rays(np.stack(np.meshgrid(x, y), -1)))
        hits = cast(guide.rays, origins, directions)
        h = hits.hit
        corners = guide.rays.mesh.faces[hits.face[h]]
        n, q, t = np.zeros((len(h), 3), np.float32), np.zeros(len(h)), np.zeros(len(h))
        mixed = np.einsum("nk,nkd->nd", hits.barycentric[h], guide.normals[corners])
        n[h] = mixed / np.maximum(np.linalg.norm(mixed, axis=1, keepdims=True), 1e-12)
        q[h] = 1 / np.maximum(hits.distance[h] * (directions[h] @ axis), 1e-12)
        t[h] = (hits.barycentric[h] * guide.turn_deg[corners]).sum(1)
        shape = (rows.stop - rows.start, width)
        normal[rows], inverse_depth[rows] = n.reshape(*shape, 3), q.reshape(shape)
        turn[rows], hit[rows] = t.reshape(shape), h.reshape(shape)
    return inverse_depth, normal, turn, hit


def _at(values: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Values of the pixels that hold the points, the border's outside."""
    cell = np.floor(points).astype(np.int64)
    return values[np.clip(cell[:, 1], 0, values.shape[0] - 1), np.clip(cell[:, 0], 0, values.shape[1] - 1)]
