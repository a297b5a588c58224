"""Which face, edge and vertex of one solid is which of another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.sparse import coo_matrix
from scipy.spatial import KDTree

from recon.evaluation.surfaces import point_to_mesh, sample_surface
from recon.solid.anatomy import Anatomy
from recon.solid.facets import Facets
from recon.surface.mesh import Mesh, face_cross

IOU = 0.8
FACE_SAMPLES = 400
FACE_NEAR = 0.01
FACE_COS_DEG = 30.0
EDGE_NEAR = 0.005
VERTEX_NEAR = 0.005
EDGE_SPACING = 0.001
"""Of the points on edges, as a share of the true diagonal."""


class Comparable(Protocol):
    """What of a part is needed here."""

    @property
    def anatomy(self) -> Anatomy: ...
    @property
    def facets(self) -> Facets: ...


@dataclass(frozen=True)
class FaceSamples:
    """Points on the faces of a solid.

    Attributes:
        points: [N, 3]
        normals: Of the facets they lie on, unit, outwards. [N, 3]
        face: Number of each point's face. [N]
        weights: Area that each stands for. [N]
    """

    points: np.ndarray
    normals: np.ndarray
    face: np.ndarray
    weights: np.ndarray


def face_samples(part: Comparable, rng: np.random.Generator) -> FaceSamples:
    """The same number of points on every face, uniform by area within it: a small face is measured as well as a large one."""
    mesh, owner = part.facets.mesh, part.facets.face
    normals, order = _unit(face_cross(mesh)), np.argsort(owner, kind="stable")
    starts = np.searchsorted(owner[order], np.arange(len(part.anatomy.faces) + 1))
    points, slopes, faces, weights = [], [], [], []
    for number, face in enumerate(part.anatomy.faces):
        rows = order[starts[number] : starts[number + 1]]
        if len(rows) == 0:
            continue
        at, triangle = sample_surface(Mesh(mesh.vertices, mesh.faces[rows]), FACE_SAMPLES, rng)
        points.append(at)
        slopes.append(normals[rows[triangle]])
        faces.append(np.full(FACE_SAMPLES, number))
        weights.append(np.full(FACE_SAMPLES, face.area / FACE_SAMPLES))
    return FaceSamples(*(np.concatenate(column) for column in (points, slopes, faces, weights)))


def face_overlap(
    found: Comparable, truth: Comparable, here: FaceSamples, there: FaceSamples, diagonal: float
) -> tuple[np.ndarray, float, float]:
    """Intersection over union of area of every pair of faces [true, found], and how far 95 % of either area is from the other solid."""
    count = len(truth.anatomy.faces), len(found.anatomy.faces)
    forward, off_truth = _shared(there, found.facets, count, diagonal)
    backward, off_found = _shared(here, truth.facets, (count[1], count[0]), diagonal)
    areas = [np.array([f.area for f in p.anatomy.faces]) for p in (truth, found)]
    return _iou((forward + backward.T) / 2, *areas), off_found, off_truth


def _shared(samples: FaceSamples, other: Facets, shape: tuple[int, int], diagonal: float) -> tuple[np.ndarray, float]:
    mesh = other.mesh
    distance, triangle = point_to_mesh(samples.points, mesh)
    normals = _unit(face_cross(mesh))[triangle]
    near = (distance < FACE_NEAR * diagonal) & ((normals * samples.normals).sum(1) > np.cos(np.radians(FACE_COS_DEG)))
    rows = samples.face[near], other.face[triangle[near]]
    order = np.argsort(distance)
    share = np.cumsum(samples.weights[order]) / samples.weights.sum()
    q95 = float(distance[order][min(np.searchsorted(share, 0.95), len(order) - 1)])
    return coo_matrix((samples.weights[near], rows), shape=shape).toarray(), q95


def edge_overlap(found: Anatomy, truth: Anatomy, diagonal: float) -> np.ndarray:
    """Intersection over union of length of every pair of edges. [true, found]"""
    count = len(truth.edges), len(found.edges)
    if 0 in count:
        return np.zeros(count)
    a, b = (_dense(part, EDGE_SPACING * diagonal) for part in (truth, found))
    forward, backward = _shared_length(a, b, count, diagonal), _shared_length(b, a, (count[1], count[0]), diagonal)
    return _iou((forward + backward.T) / 2, *(np.array([e.length for e in p.edges]) for p in (truth, found)))


Dense = tuple[np.ndarray, np.ndarray, np.ndarray]


def _dense(part: Anatomy, spacing: float) -> Dense:
    """Points no farther apart than a spacing, the edge of each, and the length that each stands for."""
    points, owner, weights = [], [], []
    for number, edge in enumerate(part.edges):
        pieces = max(1, int(np.ceil(edge.weights.max() / spacing)))
        starts, steps = (np.concatenate(part) for part in zip(*((p[:-1], np.diff(p, axis=0)) for p in edge.polylines), strict=True))
        t = (np.arange(pieces) + 0.5) / pieces
        at = (starts[:, None] + t[None, :, None] * steps[:, None]).reshape(-1, 3)
        points.append(at)
        owner.append(np.full(len(at), number))
        weights.append(np.repeat(np.linalg.norm(steps, axis=1) / pieces, pieces))
    return np.concatenate(points), np.concatenate(owner), np.concatenate(weights)


def _shared_length(samples: Dense, other: Dense, shape: tuple[int, int], diagonal: float) -> np.ndarray:
    distance, nearest = map(np.asarray, KDTree(other[0]).query(samples[0]))
    near = distance < EDGE_NEAR * diagonal
    rows = samples[1][near], other[1][nearest[near]]
    return coo_matrix((samples[2][near], rows), shape=shape).toarray()


def vertex_matches(found: np.ndarray, truth: np.ndarray, diagonal: float) -> dict[int, int]:
    """Vertices that are each other's nearest and near, from the number in the truth to that in the other."""
    if len(found) == 0 or len(truth) == 0:
        return {}
    distance, to_found = map(np.asarray, KDTree(found).query(truth))
    to_truth = np.asarray(KDTree(truth).query(found)[1])
    return {a: int(b) for a, b in enumerate(to_found) if distance[a] < VERTEX_NEAR * diagonal and to_truth[b] == a}


def one_to_one(overlap: np.ndarray) -> dict[int, int]:
    """Pairs of at least :data:`IOU`, the best first, each once; from the number in the truth to that in the other."""
    pairs: dict[int, int] = {}
    rows, columns = np.nonzero(overlap >= IOU)
    for k in np.argsort(-overlap[rows, columns], kind="stable"):
        a, b = int(rows[k]), int(columns[k])
        if a not in pairs and b not in pairs.values():
            pairs[a] = b
    return pairs


def _iou(shared: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    union = first[:, None] + second[None, :] - shared
    return shared / np.maximum(union, 1e-300)


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-300)
