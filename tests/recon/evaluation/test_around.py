"""An object among other things: what lies on them is not wrong, and what they hide need not be there."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh

from recon.evaluation.points import point_metrics
from recon.evaluation.surfaces import joined, sample_surface, surface_metrics
from recon.surface.mesh import Mesh, keep_faces
from tests.recon.evaluation.test_evaluation_surfaces import from_trimesh, look_at

BALL = from_trimesh(trimesh.creation.icosphere(4))
TABLE = from_trimesh(trimesh.creation.box((6.0, 6.0, 0.2), trimesh.transformations.translation_matrix([0, 0, -1.1001])))
EYES = [look_at([4 * np.cos(t), 4 * np.sin(t), 2.0]) for t in np.arange(8) * np.pi / 4]


def moved(mesh: Mesh, by: float) -> Mesh:
    return Mesh(mesh.vertices * (1 + by), mesh.faces)


@pytest.mark.parametrize("by", [0.0, 0.02])
def test_a_table_in_the_mesh_is_not_wrong(by):
    found = surface_metrics(joined(moved(BALL, by), TABLE), BALL, samples=20_000, cameras=EYES, around=TABLE)
    assert found.around_share == pytest.approx(0.7, abs=0.25)
    assert found.accuracy == pytest.approx(by * (1 - found.around_share), abs=0.1 * by + 1e-6)
    without = surface_metrics(joined(moved(BALL, by), TABLE), BALL, samples=20_000, cameras=EYES)
    assert without.accuracy > 0.3


def test_only_what_two_cameras_see_is_to_be_complete():
    middles = BALL.vertices[BALL.faces].mean(1)
    open_below = keep_faces(BALL, middles[:, 2] > -0.8)
    everything = surface_metrics(open_below, BALL, samples=20_000)
    seen = surface_metrics(open_below, BALL, samples=20_000, cameras=EYES, around=TABLE)
    assert seen.completeness < 1e-3 < 0.01 < everything.completeness
    one = surface_metrics(open_below, BALL, samples=20_000, cameras=EYES[:2], around=TABLE)
    assert one.samples_truth < 0.6 * seen.samples_truth


@pytest.mark.parametrize("by", [0.0, 0.01, -0.03])
def test_points_of_the_table_do_not_count(by):
    rng = np.random.default_rng(1)
    ball, table = sample_surface(moved(BALL, by), 30_000, rng)[0], sample_surface(TABLE, 9_000, rng)[0]
    found = point_metrics(np.concatenate([ball, table]), BALL, EYES, TABLE)
    assert found["points"] == pytest.approx(30_000, rel=0.03)
    assert found["accuracy"] == pytest.approx(abs(by), abs=2e-4)
    assert found["completeness"] == pytest.approx(abs(by), abs=0.012)  # points are 0.02 apart
    assert found["accuracy_percent"] == pytest.approx(100 * found["accuracy"] / BALL.diagonal())
    assert point_metrics(table, BALL, EYES, TABLE)["accuracy"] is None


def test_a_half_covered_object_is_half_complete():
    rng = np.random.default_rng(2)
    points = sample_surface(BALL, 40_000, rng)[0]
    found = point_metrics(points[points[:, 0] > 0], BALL, EYES)
    assert found["recall"][-1] == pytest.approx(0.5, abs=0.05)
    assert found["accuracy"] < 1e-6
