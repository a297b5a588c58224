"""Noisy surfaces: the right faces, dimensions better than the noise, and honest answers where nothing fits."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("OCP")

from recon.curves.files.occ import box_diagonal
from recon.solid.mesh import closed_mesh
from recon.solid.model import Primitive, SolidInput, SolidOptions
from recon.solid.primitives import distance, unit
from recon.solid.reconstruct import reconstruct_solid
from recon.solid.revolved import revolved
from recon.solid.scan import grow, prepare, simplest
from recon.solid.scanned import is_tessellation, on_zero_set
from scenes import modelling as m
from scenes.cad import tessellate
from tests.solid_batch import bored_block as block
from tests.solid_batch import noisy_shape


@pytest.fixture(scope="module")
def bored_block() -> SolidInput:
    """40 x 30 x 20 with a bore of radius 8, as a reconstruction gives it: 0.027 mm of correlated noise, rounded edges, no curves."""
    return replace(noisy_shape(block(), 0), sigma=5e-4 * box_diagonal(block()))


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


@pytest.mark.parametrize("curves", ["none", "all"])
def test_basins_are_the_faces(curves: str):
    """A plate with a bore: seven faces, one basin each, with and without curves."""
    given = noisy_shape(block(12, (20, 15, 6)), 1)
    mesh = closed_mesh(given.vertices, given.faces)
    rim = np.linspace(0, 2 * np.pi, 60)
    lines = tuple(np.stack([20 + 6 * np.cos(rim), 15 + 6 * np.sin(rim), np.full(60, z)], 1) for z in (0.0, 12.0)) if curves == "all" else ()
    scan = prepare(mesh, lines, 5e-4 * mesh.diagonal)
    deep = scan.rings >= 3
    assert len(np.unique(scan.basin[deep])) == 7
    for b in np.unique(scan.basin[deep]):
        x = mesh.vertices[deep & (scan.basin == b)]
        wall = np.ptp(x, axis=0).min() < 1.0
        bore = np.ptp(np.hypot(x[:, 0] - 20, x[:, 1] - 15)) < 1.0
        assert wall or bore


def test_a_bevel_has_the_axis_of_the_bore_beside_it(bored_block: SolidInput):
    """Points on a cone two edge lengths wide: with the bore's axis its angle is known to a few degrees."""
    mesh = closed_mesh(bored_block.vertices, bored_block.faces)
    scan = prepare(mesh, (), 5e-4 * mesh.diagonal)
    bore = Primitive("cylinder", np.array([17.0, 15.0, 0.0]), np.array([0, 0, 1.0]), 8.0)
    wall = np.flatnonzero((np.abs(distance(bore, mesh.vertices)) < 0.2) & (scan.rings >= 1))
    strip = wall[np.abs(mesh.vertices[wall, 2] - 10) < 1.2 * scan.step]
    slant = mesh.vertices.copy()
    slant[strip, :2] += ((slant[strip, :2] - bore.point[:2]) / 8.0) * (slant[strip, 2:] - 10)  # 45 degrees
    turned = scan.normals.copy()
    turned[strip] = unit(turned[strip] * [1, 1, 0] + np.array([0, 0, 1.0]))
    scan = replace(scan, mesh=replace(mesh, vertices=slant), normals=turned)
    found = revolved(scan, strip, [bore], 0.8)
    assert found is not None
    assert found[0].kind == "cone"
    assert np.degrees(found[0].half_angle) == pytest.approx(45, abs=6)
    assert revolved(scan, strip, [replace(bore, axis=np.array([1.0, 0, 0]))], 0.8) is None


def test_no_region_grows_over_what_it_does_not_explain(bored_block: SolidInput):
    mesh = closed_mesh(bored_block.vertices, bored_block.faces)
    scan = prepare(mesh, (), 5e-4 * mesh.diagonal)
    top = scan.groups((scan.rings >= 5) & (mesh.vertices[:, 2] > 19))[0]
    p = simplest(scan, top)
    assert p is not None
    assert p.kind == "plane"
    scan.take(top, p)
    grow(scan, 3.0)
    grown = scan.label == 0
    grown[top] = False
    taken = mesh.vertices[grown]
    assert len(taken) > 100
    off = np.abs((taken - p.point) @ p.axis)
    assert (off < 3 * scan.off[grown]).all()


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
