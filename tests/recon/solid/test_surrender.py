"""Faces that do not join are given up, those around them stay."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh

pytest.importorskip("OCP")

from recon.solid.exact import Segmentation
from recon.solid.mesh import Mesh, closed_mesh
from recon.solid.model import Primitive
from recon.solid.surrender import surrendered


@pytest.fixture(scope="module")
def dented() -> tuple[Mesh, Segmentation, list[np.ndarray]]:
    """A cube of six plane regions (5 is the top); in the middle of the top two small ones, 6 and 7, side by side; 8 on another side."""
    cube = trimesh.creation.box((2, 2, 2)).subdivide_to_size(0.2)
    mesh = closed_mesh(np.asarray(cube.vertices), np.asarray(cube.faces))
    middle = mesh.vertices[mesh.faces].mean(1)
    axes = np.array([[-1, 0, 0], [1, 0, 0], [0, -1, 0], [0, 1, 0], [0, 0, -1], [0, 0, 1]], float)
    labels = (mesh.normals @ axes.T).argmax(1)
    patch = (labels == 5) & (np.abs(middle[:, :2]) < 0.5).all(1)
    labels[patch] = np.where(middle[patch, 0] < 0.125, 6, 7)
    labels[(labels == 0) & (np.abs(middle[:, 1:]) < 0.25).all(1)] = 8
    planes: list[Primitive | None] = [Primitive("plane", a, a) for a in axes]
    bogus = [Primitive("sphere", np.zeros(3), np.zeros(3), 1.0) for _ in range(3)]
    points = [mesh.vertices[np.unique(mesh.faces[labels == k])] for k in range(9)]
    return mesh, Segmentation(labels, [*planes, *bogus]), points


@pytest.mark.parametrize(
    ("bad", "given"),
    [
        ({5, 6, 7}, [{6, 7}]),  # the top touches both and is the largest
        ({6, 7}, [{7}]),  # the larger of the two may be right
        ({6, 7, 8, 5}, [{6, 7}, {8}]),
        ({8}, [{8}]),
    ],
)
def test_the_smaller_of_bad_neighbours_are_given_up(dented, bad: set[int], given: list[set[int]]):
    mesh, found, points = dented
    again = surrendered(mesh, found, points, bad)
    assert again is not None
    after, evidence = again
    free = [k for k, p in enumerate(after.primitives) if p is None]
    assert sorted(tuple(np.unique(found.labels[after.labels == k])) for k in free) == sorted(tuple(sorted(g)) for g in given)
    assert len(after.primitives) == 9 - sum(map(len, given)) + len(given)
    for k, p in enumerate(after.primitives):
        if p is not None:
            before = int(found.labels[after.labels == k][0])
            assert p is found.primitives[before]
            assert evidence[k] is points[before]


@pytest.mark.parametrize("bad", [set(), {3}, {0, 5}])
def test_large_faces_stay(dented, bad: set[int]):
    mesh, found, points = dented
    assert surrendered(mesh, found, points, bad) is None


def test_round_faces_are_given_up_before_planes(dented):
    mesh, found, points = dented
    primitives = list(found.primitives)
    primitives[6] = primitives[5]
    again = surrendered(mesh, Segmentation(found.labels, primitives), points, {5, 6, 7})
    assert again is not None
    assert [set(np.unique(found.labels[again[0].labels == k])) for k, p in enumerate(again[0].primitives) if p is None] == [{7}]


def test_what_is_given_up_joins_what_is_free_beside_it(dented):
    mesh, found, points = dented
    primitives = list(found.primitives)
    primitives[6] = None
    again = surrendered(mesh, Segmentation(found.labels, primitives), points, {5, 7})
    assert again is not None
    free = [k for k, p in enumerate(again[0].primitives) if p is None]
    assert len(free) == 1
    assert set(np.unique(found.labels[again[0].labels == free[0]])) == {6, 7}
