"""Dense meshes: fewer triangles to find faces on, all points to fit them to; basins as persistence defines them; measured noise."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh

pytest.importorskip("OCP")

from recon.solid import thinning
from recon.solid.basins import FEWEST, basins
from recon.solid.mesh import Mesh, closed_mesh
from recon.solid.model import SolidInput, SolidOptions
from recon.solid.reconstruct import reconstruct_solid
from recon.solid.scan import measured_sigma, prepare
from recon.solid.thinning import thinned
from tests.solid_batch import bored_block, noisy_shape


@pytest.fixture(scope="module")
def block() -> SolidInput:
    """With 0.027 mm of noise; how much, nobody says."""
    return noisy_shape(bored_block(), 0)


def ball(subdivisions: int) -> Mesh:
    made = trimesh.creation.icosphere(subdivisions)
    return closed_mesh(np.asarray(made.vertices) * 10 + [500, 0, 0], np.asarray(made.faces))


def test_a_dense_mesh_is_thinned_evenly_on_its_own_surface(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(thinning, "DENSITY", 5000)
    dense = ball(5)
    found = thinned(dense)
    assert len(found.mesh.faces) == pytest.approx(5000 * dense.areas.sum() / dense.diagonal**2, rel=0.01)
    centre = [500, 0, 0]
    # between the ball and its facets, nowhere else: no shrinking
    sagitta = 10 - np.linalg.norm(dense.vertices[dense.faces].mean(1) - centre, axis=1).min()
    off = 10 - np.linalg.norm(found.mesh.vertices - centre, axis=1)
    assert off.min() > -1e-9
    assert off.max() <= sagitta + 1e-9
    low, high = np.quantile(found.mesh.edge_lengths, (0.05, 0.95))
    assert high < 2.5 * low


def test_every_point_belongs_to_the_vertex_nearest_to_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(thinning, "DENSITY", 1500)
    dense = ball(4)
    found = thinned(dense)
    assert len(found.mesh.vertices) < len(dense.vertices)
    everything = np.arange(len(found.mesh.vertices))
    points, owner = found.owned(everything)
    assert sorted(map(tuple, points)) == sorted(map(tuple, dense.vertices))
    away = np.linalg.norm(points[:, None] - found.mesh.vertices, axis=2)
    assert np.take_along_axis(away, owner[:, None], 1).ravel() == pytest.approx(away.min(1), abs=1e-9)
    some, place = found.owned(np.array([7, 3]))
    assert np.array_equal(some, np.concatenate([points[owner == 7], points[owner == 3]]))
    assert np.array_equal(place, np.sort(place))
    assert dense.vertices[found.nearest] == pytest.approx(found.mesh.vertices, abs=0.5 * dense.edge_lengths.max())


def test_a_mesh_that_is_not_dense_stays_as_it_is():
    mesh = ball(3)
    found = thinned(mesh)
    assert found.mesh is mesh
    assert np.array_equal(found.owned(np.array([4, 2]))[0], mesh.vertices[[4, 2]])


def test_a_dense_part_becomes_the_solid_it_was(block: SolidInput, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(thinning, "DENSITY", 7000)
    said: list[tuple[float, str]] = []
    result = reconstruct_solid(block, SolidOptions(), lambda share, text: said.append((share, text)))
    assert len(result.mesh.faces) < 0.5 * len(block.faces)
    assert result.status == "solid", result.reasons
    assert sorted(r.primitive.kind for r in result.regions) == ["cylinder"] + 6 * ["plane"]
    bore = next(r.primitive for r in result.regions if r.primitive.kind == "cylinder")
    assert bore.radius == pytest.approx(8, abs=0.03)
    shares = [share for share, _ in said]
    assert shares == sorted(shares)
    assert len({text for _, text in said}) >= 4


def joined_by_all_edges(mesh: Mesh, height: np.ndarray, depth: float) -> list[np.ndarray]:
    """Sublevel sets grown edge by edge, all edges in order of their height: the definition, without trees or shortcuts."""
    half = mesh.pairs[2]
    i, j = mesh.starts[half], mesh.ends[half]
    level = np.maximum(height[i], height[j])
    label = np.arange(len(height))
    floor = height.copy()
    for e in np.lexsort((np.minimum(height[i], height[j]), level)):
        a, b = label[i[e]], label[j[e]]
        if a != b and level[e] - max(floor[a], floor[b]) < depth:
            floor[a] = min(floor[a], floor[b])
            label[label == b] = a
    return [np.flatnonzero(label == k) for k in np.unique(label)]


@pytest.mark.parametrize("seed", range(4))
def test_basins_are_those_of_persistence(seed: int):
    mesh = ball(3)
    rng = np.random.default_rng(seed)
    height = rng.normal(size=len(mesh.vertices))
    for _ in range(1 + seed % 2):
        height = (mesh.neighbours @ height + height) / 7
    height = 0.3 * np.exp(2 * height / height.std())
    found = basins(mesh, height, np.full(len(height), np.inf), 1.0)
    wanted = joined_by_all_edges(mesh, height, max(np.radians(8.0), 5 * float(np.quantile(height, 0.1))))
    wanted = [w for w in wanted if len(w) >= FEWEST]
    assert len(wanted) > 1
    assert {tuple(np.flatnonzero(found == k)) for k in np.unique(found[found >= 0])} == {tuple(w) for w in wanted}


@pytest.mark.parametrize("times", [1.0, 6.0])
def test_noise_is_measured_on_the_faces(block: SolidInput, times: float):
    """The block's noise, and noise six times as large, which the surface itself tells."""
    mesh = closed_mesh(block.vertices, block.faces)
    size = np.sqrt(40**2 + 30**2 + 20**2)
    scan = prepare(mesh, (), 5e-4 * size)
    if times > 1:
        bend = np.sin(mesh.vertices / 40 * 2 * np.pi * 3 + 1).prod(1)
        shift = bend * (times * 5e-4 * size / bend.std())
        scan = prepare(Mesh(mesh.vertices + shift[:, None] * mesh.vertex_normals, mesh.faces), (), 5e-4 * size)
    assert measured_sigma(scan, 0.0) == pytest.approx(times * 5e-4 * size, rel=0.4)
    assert measured_sigma(scan, 1.0) == 1.0


def test_what_has_no_faces_tells_no_noise():
    made = ball(5)
    v = made.vertices - [500, 0, 0]
    lumps = Mesh(v * (1 + 0.3 * np.sin(0.5 * v[:, :1]) * np.cos(0.4 * v[:, 1:2] + 1)), made.faces)
    assert measured_sigma(prepare(lumps, (), 1e-3), 1e-3) == 1e-3
