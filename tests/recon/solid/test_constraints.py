"""Relations between surfaces: found within the noise, fulfilled to rounding, left alone or dropped where the points say otherwise."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("OCP")

from recon.curves.files.occ import box_diagonal
from recon.solid.constraints import Evidence, constrained
from recon.solid.directions import aligned
from recon.solid.exact import exact_segmentation
from recon.solid.fitting import fit
from recon.solid.graph import outlines
from recon.solid.mesh import Mesh, closed_mesh
from recon.solid.model import Primitive
from recon.solid.primitives import implicit, unit
from recon.solid.relations import Relation, coplanar, equal
from recon.solid.solve import solve
from scenes import modelling as m
from scenes.cad import tessellate


def noisy_part(shape, sigma: float, seed: int = 0) -> tuple[Mesh, np.ndarray, list[Primitive], list[Evidence]]:
    """A part's mesh and regions, and primitives that were each fitted by itself to noisy points of their surfaces."""
    made = tessellate(shape, box_diagonal(shape), "part")
    mesh = closed_mesh(made.vertices, made.faces)
    found = exact_segmentation(mesh)
    rng = np.random.default_rng(seed)
    primitives, evidence = [], []
    for k, p in enumerate(found.primitives):
        assert p is not None
        triangles = np.flatnonzero(found.labels == k)
        weights = rng.dirichlet(np.ones(3), (len(triangles), 1 + 600 // len(triangles)))
        x = np.einsum("tnc,tcj->tnj", weights, mesh.vertices[mesh.faces[triangles]]).reshape(-1, 3)
        for _ in range(5):
            d, n = implicit(p, x)
            x = x - d[:, None] * n
        n = implicit(p, x)[1]
        x = x + sigma * rng.normal(size=(len(x), 1)) * n
        fitted = fit(p.kind, x, n, most=5000)
        assert fitted is not None
        primitives.append(fitted)
        evidence.append(Evidence(x, sigma, len(x)))
    return mesh, found.labels, primitives, evidence


def rounded_block():
    return m.fillet(m.box((0, 0, 0), (40, 30, 20)), 5, lambda c, t: abs(t[2]) > 0.9)


def test_all_relations_of_a_rounded_block_hold_to_rounding():
    mesh, labels, primitives, evidence = noisy_part(m.moved(rounded_block(), (3, 4, 5), (1, 2, 3), 0.7), 0.01)
    solved, tried = constrained(mesh, outlines(mesh, labels), primitives, evidence, 1e-4)
    kinds = {c.kind for c in tried if c.kept}
    assert {"parallel", "perpendicular", "tangent", "equal_radius"} <= kinds
    assert sum(c.kind == "tangent" and c.kept for c in tried) == 8
    planes = [p for p in solved if p.kind == "plane"]
    cylinders = [p for p in solved if p.kind == "cylinder"]
    for p in planes:
        for q in planes:
            cosine = abs(p.axis @ q.axis)
            assert min(cosine, 1 - cosine) < 1e-12
    assert np.ptp([p.radius for p in cylinders]) < 1e-10
    assert cylinders[0].radius == pytest.approx(5, abs=0.01)
    for c in cylinders:
        gaps = sorted(abs(abs((c.point - p.point) @ p.axis) - c.radius) for p in planes if abs(p.axis @ c.axis) < 0.1)
        assert gaps[1] < 1e-10  # it touches two planes


def test_planes_that_meet_in_one_point_do_so_exactly():
    """The apex of a pyramid with six sides, each fitted by itself, is one point again."""
    turns = np.arange(6) * np.pi / 3 + 0.1
    points = [*((20 * np.cos(a), 20 * np.sin(a), 0.0) for a in turns), (1.0, 2.0, 25.0)]
    shape = m.polyhedron(points, [(5, 4, 3, 2, 1, 0), *((k, (k + 1) % 6, 6) for k in range(6))])
    mesh, labels, primitives, evidence = noisy_part(shape, 0.01)
    graph = outlines(mesh, labels)
    apex = next(r for n, r in graph.nodes.items() if len(r) == 6)

    def spread(given) -> float:
        rows = np.array([given[k].axis for k in apex])
        heights = np.array([given[k].axis @ given[k].point for k in apex])
        return float(np.abs(rows @ np.linalg.lstsq(rows, heights, rcond=None)[0] - heights).max())

    solved, tried = constrained(mesh, graph, primitives, evidence, 1e-4)
    assert any(c.kind == "concurrent" and c.kept for c in tried)
    assert spread(primitives) > 1e-4
    assert spread(solved) < 1e-10


def test_directions_are_turned_only_within_what_is_known_of_them():
    """A draft of one degree on a large face stays; a short bore that is known to five degrees takes the axis beside it."""
    tilt = np.radians(1.0)
    axes = np.array([[0, 0, 1.0], [0, np.sin(tilt), np.cos(tilt)], unit(np.array([0.06, 0.02, 1.0])), [1.0, 1e-4, 0]])
    made = aligned(axes, [1e-4, 1e-4, 0.08, 1e-4], [0, 1, 2, 3], 1e-6)
    assert made.axes[1] @ made.axes[0] == pytest.approx(np.cos(tilt), abs=1e-6)
    assert max(made.axes[2] @ made.axes[0], made.axes[2] @ made.axes[1]) == pytest.approx(1, abs=1e-12)
    assert abs(made.axes[3] @ made.axes[0]) < 1e-12


def test_a_relation_that_the_points_contradict_is_dropped_with_its_reason():
    rng = np.random.default_rng(1)
    flat = rng.uniform(-10, 10, (400, 3)) * [1, 1, 0]
    up = np.array([0, 0, 1.0])
    g = {k: Primitive("plane", np.array([0, 0, z]), up) for k, z in enumerate((0.0, 0.001, 1.0))}
    points = {k: flat + p.point + 0.005 * rng.normal(size=(400, 1)) * up for k, p in g.items()}
    relations = [Relation("coplanar", (0, 1), coplanar(0, 1), 0.01), Relation("coplanar", (0, 2), coplanar(0, 2), 0.01)]
    solved, tried = solve(g, points, dict.fromkeys(g, 1.0), dict.fromkeys(g, 0.005), dict.fromkeys(g, 400.0), relations, 30.0)
    assert [(c.b, c.kept) for c in tried] == [(1, True), (2, False)]
    assert "fit worse" in tried[1].reason
    assert abs(solved[0].point[2] - solved[1].point[2]) < 1e-12
    assert solved[2].point[2] == pytest.approx(1, abs=0.002)


@pytest.mark.parametrize(("samples", "kept"), [(1.0, True), (400.0, False)])
def test_few_independent_samples_may_err_together(samples: float, kept: bool):
    """Two planes four standard deviations apart, without scatter: one plane if each has a single sample, two if each has 400."""
    flat = np.random.default_rng(1).uniform(-10, 10, (400, 3)) * [1, 1, 0]
    g = {k: Primitive("plane", np.array([0, 0, z]), np.array([0, 0, 1.0])) for k, z in enumerate((0.0, 0.04))}
    points = {k: flat + p.point for k, p in g.items()}
    tried = solve(g, points, dict.fromkeys(g, 1.0), dict.fromkeys(g, 0.01), dict.fromkeys(g, samples),
                  [Relation("coplanar", (0, 1), coplanar(0, 1), 0.1)], 30.0)[1]  # fmt: skip
    assert [c.kept for c in tried] == [kept]


def test_redundant_relations_cost_nothing():
    rng = np.random.default_rng(2)
    angle = rng.uniform(0, 2 * np.pi, 300)
    ring = np.stack([np.cos(angle), np.sin(angle), rng.uniform(-1, 1, 300)], 1)
    g = {k: Primitive("cylinder", np.zeros(3), np.array([0, 0, 1.0]), radius=r) for k, r in enumerate((1.0, 1.01, 0.99))}
    points = {k: ring * [p.radius, p.radius, 1] for k, p in g.items()}
    relations = [Relation("equal_radius", pair, equal(*pair), 0.1) for pair in ((0, 1), (1, 2), (0, 2))]
    solved, tried = solve(g, points, dict.fromkeys(g, 1.0), dict.fromkeys(g, 0.05), dict.fromkeys(g, 300.0), relations, 3.0)
    assert all(c.kept for c in tried)
    assert np.ptp([p.radius for p in solved.values()]) < 1e-12
    assert solved[0].radius == pytest.approx(1.0, abs=1e-4)
