"""Noisy surfaces: the right faces, dimensions better than the noise, and honest answers where nothing fits."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("OCP")

from recon.curves.files.occ import box_diagonal
from recon.solid.mesh import closed_mesh
from recon.solid.model import SolidInput, SolidOptions
from recon.solid.reconstruct import reconstruct_solid
from recon.solid.scan import grow, prepare, simplest
from recon.solid.scanned import is_tessellation, on_zero_set
from scenes import modelling as m
from scenes.cad import tessellate
from tests.solid_batch import noisy


@pytest.fixture(scope="module")
def bored_block() -> SolidInput:
    """40 x 30 x 20 with a bore of radius 8, as a reconstruction gives it: 0.027 mm of correlated noise, rounded edges, no curves."""
    shape = m.cut(m.box((0, 0, 0), (40, 30, 20)), m.cylinder((17, 15, -1), (0, 0, 1), 8, 30))
    made = tessellate(shape, box_diagonal(shape), "part")
    known = SimpleNamespace(vertices=made.vertices, faces=made.faces, diagonal=box_diagonal(shape))
    return replace(noisy(known, 0, 90), sigma=5e-4 * known.diagonal)  # pyright: ignore[reportArgumentType]


def test_noisy_part_becomes_the_solid_it_was(bored_block: SolidInput):
    result = reconstruct_solid(bored_block, SolidOptions())
    assert result.status == "solid", result.reasons
    assert Counter(r.primitive.kind for r in result.regions) == {"plane": 6, "cylinder": 1}
    bore = next(r.primitive for r in result.regions if r.primitive.kind == "cylinder")
    assert bore.radius == pytest.approx(8, abs=0.03)
    assert bore.sigma_radius is not None
    assert abs(bore.radius - 8) < 4 * bore.sigma_radius + 0.01
    # three pairs of parallel planes, to rounding, at the block's size
    heights = [(r.primitive.axis, r.primitive.axis @ r.primitive.point) for r in result.regions if r.primitive.kind == "plane"]
    sizes = sorted(abs(h - (a @ b) * k) for n, (a, h) in enumerate(heights) for b, k in heights[:n] if abs(a @ b) > 1 - 1e-12)
    assert sizes == pytest.approx([20, 30, 40], abs=0.1)


def test_noise_is_not_taken_for_a_tessellation(bored_block: SolidInput):
    assert not is_tessellation(closed_mesh(bored_block.vertices, bored_block.faces))
    box = tessellate(m.box((0, 0, 0), (3, 2, 1)), 4.0, "box")
    assert is_tessellation(closed_mesh(box.vertices, box.faces))


def test_points_come_to_lie_on_the_zero_set_of_a_distance(bored_block: SolidInput):
    """A sphere's distance, twice too steep and off the mesh by less than an edge."""
    mesh = closed_mesh(bored_block.vertices, bored_block.faces)
    centre = mesh.vertices.mean(0)
    away = mesh.vertices - centre
    ball = closed_mesh(centre + 10 * away / np.linalg.norm(away, axis=1, keepdims=True), mesh.faces)
    moved = on_zero_set(ball, lambda x: (2 * (np.linalg.norm(x - centre, axis=1) - 10.2), 2 * (x - centre) / 10))
    assert np.linalg.norm(moved.vertices - centre, axis=1) == pytest.approx(10.2, abs=1e-3)


def test_no_region_grows_over_what_it_does_not_explain(bored_block: SolidInput):
    mesh = closed_mesh(bored_block.vertices, bored_block.faces)
    scan = prepare(mesh, (), 5e-4 * mesh.diagonal)
    top = scan.groups(~scan.crease & (mesh.vertices[:, 2] > 19))[0]
    p = simplest(scan, top)
    assert p is not None
    assert p.kind == "plane"
    scan.take(top, p)
    grow(scan, 3.0)
    grown = scan.label == 0
    grown[top] = False
    taken = mesh.vertices[grown]
    assert len(taken) > 100
    assert np.abs((taken - p.point) @ p.axis).max() < 3 * scan.sigma


@pytest.mark.parametrize(("freeform", "status"), [("omit", {"none", "open_shell"}), ("facets", {"solid", "open_shell", "none"})])
def test_what_has_no_primitive_is_not_made_up(freeform, status: set[str]):
    """A potato: with ``omit`` every hole is named, with ``facets`` all faces are planes; never a primitive that is not there."""
    import trimesh

    ball = trimesh.creation.icosphere(2)
    v = ball.vertices * (1 + 0.3 * np.sin(3 * ball.vertices[:, :1]) * ball.vertices[:, 1:2]) * [3, 2, 1.5]
    flat = SolidInput(np.asarray(v), np.asarray(ball.faces))
    result = reconstruct_solid(flat, SolidOptions(freeform=freeform))
    assert result.status in status
    if result.status != "solid":
        assert result.reasons
    if freeform == "facets":
        assert {r.primitive.kind for r in result.regions} == {"plane"}
