"""Mesh checks, components and simplification."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import trimesh

from recon.errors import DataError, UsageError
from recon.geometry import Similarity
from recon.surface.mesh import (
    Mesh,
    check_mesh,
    keep_faces,
    largest_component,
    remove_small_components,
    signed_volume,
    transform_mesh,
    vertex_normals,
)
from recon.surface.simplify import simplify


def from_trimesh(m: trimesh.Trimesh) -> Mesh:
    return Mesh(np.array(m.vertices, np.float64), np.array(m.faces, np.int32))


def join(*meshes: Mesh) -> Mesh:
    offsets = np.cumsum([0, *(len(m.vertices) for m in meshes)])
    return Mesh(np.concatenate([m.vertices for m in meshes]), np.concatenate([m.faces + o for m, o in zip(meshes, offsets, strict=False)]))


BALL = from_trimesh(trimesh.creation.icosphere(3))
RING = from_trimesh(trimesh.creation.torus(0.5, 0.2))
SMALL = transform_mesh(BALL, Similarity(0.1, np.eye(3), np.array([3.0, 0, 0])))


@pytest.mark.parametrize(
    ("mesh", "kinds"),
    [
        (BALL, []),
        (RING, []),
        (keep_faces(BALL, np.arange(len(BALL.faces)) != 5), ["open"]),
        (replace(BALL, faces=BALL.faces[:, ::-1]), ["inside_out"]),
        (replace(BALL, faces=np.where(np.arange(len(BALL.faces))[:, None] == 7, BALL.faces[:, ::-1], BALL.faces)), ["winding"]),
        (join(BALL, SMALL), ["fragments"]),
        (replace(BALL, faces=np.concatenate([BALL.faces, [[0, 0, 0]]])), None),
        (Mesh.empty(), ["empty"]),
    ],
)
def test_problems_are_found(mesh, kinds):
    problems = check_mesh(mesh).problems
    if kinds is None:
        assert "degenerate" in [p.kind for p in problems]
    else:
        assert [p.kind for p in problems] == kinds
    assert all(p.message and p.remedy for p in problems)


def test_three_faces_on_an_edge():
    mesh = Mesh(np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1.0]]), np.array([[0, 1, 2], [1, 0, 3], [0, 1, 4]]))
    report = check_mesh(mesh)
    assert report.non_manifold_edges == 1
    assert not report.closed
    with pytest.raises(DataError):
        simplify(replace(mesh, faces=np.concatenate([mesh.faces, [[0, 2, 4], [1, 2, 4]]])), 4)


@pytest.mark.parametrize(("mesh", "genus", "euler"), [(BALL, 0, 2), (RING, 1, 0), (join(BALL, RING), 1, 2)])
def test_topology_and_measures_agree_with_trimesh(mesh, genus, euler):
    report = check_mesh(mesh)
    other = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    assert report.genus == genus
    assert report.euler_number == euler == other.euler_number
    assert report.area == pytest.approx(other.area)
    assert report.volume == pytest.approx(other.volume)
    assert report.closed == other.is_watertight


def test_touching_the_sphere_is_reported_with_its_share():
    report = check_mesh(BALL, sphere_radius=1.0, tolerance=0.02)
    assert report.bounds_area_fraction == pytest.approx(1.0)
    assert report.problems[0].kind == "touches_bounds"
    assert check_mesh(BALL, sphere_radius=1.1).problems == ()
    assert check_mesh(BALL, ((-1, -1, -1), (1, 1, 1))).bounds_area_fraction < 0.01


def test_volume_far_from_the_origin():
    far = replace(BALL, vertices=BALL.vertices + 1e6)
    assert signed_volume(far) == pytest.approx(signed_volume(BALL), rel=1e-6)


def test_components():
    both = join(SMALL, BALL)
    assert len(largest_component(both).vertices) == len(BALL.vertices)
    assert len(remove_small_components(both, 0.02).vertices) == len(BALL.vertices)
    assert len(remove_small_components(both, 0.005).vertices) == 2 * len(BALL.vertices)
    np.testing.assert_array_equal(largest_component(both).vertices, BALL.vertices)


def test_vertex_normals_point_outward():
    np.testing.assert_allclose(vertex_normals(BALL), BALL.vertices, atol=0.02)


def test_simplify_keeps_the_topology_and_the_shape():
    ring = from_trimesh(trimesh.creation.torus(0.5, 0.2, major_sections=128, minor_sections=64))
    small = simplify(replace(ring, normals=vertex_normals(ring)), 3000)
    report = check_mesh(small)
    assert len(small.faces) <= 3000
    assert report.closed
    assert report.genus == 1
    off = np.hypot(np.hypot(small.vertices[:, 0], small.vertices[:, 1]) - 0.5, small.vertices[:, 2]) - 0.2
    assert np.abs(off).max() < 2e-3
    assert small.normals is not None
    assert simplify(small, 5000) is small
    with pytest.raises(UsageError):
        simplify(ring, 3)
