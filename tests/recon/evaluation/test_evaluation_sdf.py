"""Figures of fitted shapes, and the true signed distances they are held against."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import trimesh

from recon.errors import DataError
from recon.evaluation.sdf import intersection_over_union, normal_errors
from recon.fit.truth import read_shape
from recon.surface.mesh import Mesh


def sphere(radius: float = 1.0, subdivisions: int = 4) -> Mesh:
    s = trimesh.creation.icosphere(subdivisions, radius)
    return Mesh(np.asarray(s.vertices, np.float64), np.asarray(s.faces, np.int32))


def write(path: Path, mesh: trimesh.Trimesh) -> Path:
    mesh.export(path)
    return path


@pytest.mark.parametrize(
    ("found", "truth", "wanted"),
    [([1, 1, 0, 0], [1, 1, 0, 0], 1.0), ([1, 1, 1, 0], [0, 1, 1, 1], 0.5), ([1, 0], [0, 1], 0.0), ([0, 0], [0, 0], 1.0)],
)
def test_intersection_over_union(found, truth, wanted):
    assert intersection_over_union(np.array(found, bool), np.array(truth, bool)) == wanted


def test_the_same_surface_is_at_the_sampling_floor():
    e = normal_errors(sphere(), sphere(), samples=50_000)
    assert e.nae_deg == pytest.approx(e.floor_deg, rel=0.1)


def test_normals_turned_by_a_known_angle():
    """A plane against the same plane tilted: the angle is that of the tilt, in both directions."""
    flat = Mesh(np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], float), np.array([[0, 1, 2], [0, 2, 3]], np.int32))
    tilt = np.radians(5.0)
    tilted = replace(flat, vertices=flat.vertices * [1, 1, 0] + flat.vertices[:, :1] * [0, 0, np.tan(tilt)])
    e = normal_errors(tilted, flat, samples=5000)
    assert e.nae_deg == pytest.approx(5.0, abs=1e-3)
    assert e.nae_released == pytest.approx((5.0 + np.cos(tilt)) / 2, abs=1e-3)  # what the released code makes of it
    assert e.floor_deg == pytest.approx(0.0, abs=1e-3)


def test_turned_over_normals_count():
    turned = replace(sphere(), faces=np.ascontiguousarray(sphere().faces[:, ::-1]))
    e = normal_errors(turned, sphere(), samples=5000)
    assert e.nae_deg > 170
    assert e.nae_released < 5


def test_distance_of_a_sphere(tmp_path: Path):
    """Against the formula, in scene units, for a mesh elsewhere and of another size, turned inside out or not."""
    made = trimesh.creation.icosphere(5, 7.0)
    made.apply_translation([30.0, -4.0, 2.0])
    for turned in (False, True):
        if turned:
            made.invert()
        shape = read_shape(write(tmp_path / f"s{turned}.ply", made))
        assert np.linalg.norm(shape.vertices, axis=1).max() == pytest.approx(0.99)
        x = np.random.default_rng(0).uniform(-1, 1, (2000, 3))
        np.testing.assert_allclose(shape.signed_distance(x), np.linalg.norm(x, axis=1) - 0.99, atol=2e-3)
        np.testing.assert_allclose(shape.world_from_scene.apply(np.zeros(3)), [30.0, -4.0, 2.0], atol=1e-6)
        assert ("turned over" in shape.sign_rule) == turned
        assert "is watertight" in shape.sign_rule


def test_a_small_hole_changes_the_sign_of_few_points(tmp_path: Path):
    whole = trimesh.creation.icosphere(4, 1.0)
    open_mesh = trimesh.Trimesh(whole.vertices, whole.faces[:-6], process=False)
    a, b = read_shape(write(tmp_path / "a.ply", whole)), read_shape(write(tmp_path / "b.ply", open_mesh))
    assert "not watertight" in b.sign_rule
    x = np.random.default_rng(0).uniform(-1, 1, (5000, 3))
    assert (a.inside(x) == b.inside(x)).mean() > 0.998


def test_points_with_normals_give_nearly_the_distance_of_their_surface(tmp_path: Path):
    made = trimesh.creation.icosphere(5, 2.0)
    points, normals = made.vertices, made.vertex_normals
    rows = "\n".join(" ".join(f"{v:.6f}" for v in row) for row in np.concatenate([points, normals], 1))
    names = "\n".join(f"property float {n}" for n in ("x", "y", "z", "nx", "ny", "nz"))
    path = tmp_path / "points.ply"
    path.write_text(f"ply\nformat ascii 1.0\nelement vertex {len(points)}\n{names}\nend_header\n{rows}\n")
    shape = read_shape(path)
    assert shape.mesh is None
    x = np.random.default_rng(0).uniform(-1, 1, (2000, 3))
    truth = np.linalg.norm(x, axis=1) - 0.99
    near = np.abs(truth) < 0.02  # between two disks the sign may be either
    np.testing.assert_allclose(shape.signed_distance(x)[~near], truth[~near], atol=5e-3)


def test_points_without_normals_and_open_sheets_are_refused(tmp_path: Path):
    path = tmp_path / "bare.ply"
    path.write_text(
        "ply\nformat ascii 1.0\nelement vertex 2\nproperty float x\nproperty float y\nproperty float z\nend_header\n0 0 0\n1 1 1\n"
    )
    with pytest.raises(DataError, match="no normals"):
        read_shape(path)
    sheet = trimesh.Trimesh([[0, 0, 0], [1, 0, 0], [0, 1, 0]], [[0, 1, 2]])
    with pytest.raises(DataError, match="nothing is inside"):
        read_shape(write(tmp_path / "sheet.obj", sheet))
    with pytest.raises(DataError, match="no such mesh"):
        read_shape(tmp_path / "absent.obj")
