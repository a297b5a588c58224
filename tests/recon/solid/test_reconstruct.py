"""Whole solids from small parts whose shape is known, and what must not be called one."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest

pytest.importorskip("OCP")

from recon.curves.files.occ import box_diagonal, occ, subshapes
from recon.errors import DataError
from recon.solid.collapse import met
from recon.solid.contacts import contact, meeting_point, with_contacts
from recon.solid.exact import exact_segmentation
from recon.solid.graph import Chain, Graph, Loop, outlines
from recon.solid.mesh import closed_mesh
from recon.solid.model import Primitive, SolidInput, SolidOptions
from recon.solid.reconstruct import gates, reconstruct_solid
from recon.solid.repair import Checked, repaired, volume_of
from recon.solid.shell import make_edge
from scenes import modelling as m
from scenes.cad import tessellate

Z = (0, 0, 1)
PARTS = {
    "block with a bore": (lambda: m.cut(m.box((0, 0, 0), (40, 30, 20)), m.cylinder((15, 15, -1), Z, 6, 30)), {"plane": 6, "cylinder": 1}),
    "rounded block": (
        lambda: m.fillet(m.box((0, 0, 0), (40, 30, 20)), 5, lambda c, t: abs(t[2]) > 0.9),
        {"plane": 6, "cylinder": 4},
    ),
    "dome and ring": (
        lambda: m.cut(m.common(m.sphere((0, 0, 0), 20), m.box((-30, -30, -5), (30, 30, 30))), m.torus((0, 0, -5), Z, 10, 3)),
        {"plane": 2, "sphere": 1, "torus": 1},
    ),
    "countersunk": (
        lambda: m.cut(m.box((-20, -20, 0), (20, 20, 15)), m.cylinder((0, 0, -1), Z, 5, 30), m.cone((0, 0, 9), Z, 5, 11, 6)),
        {"plane": 6, "cylinder": 1, "cone": 1},
    ),
}


def mesh_of(shape) -> SolidInput:
    made = tessellate(shape, box_diagonal(shape), "part")
    return SolidInput(made.vertices, made.faces)


@pytest.mark.parametrize("name", PARTS)
def test_part_comes_back_as_it_was(name: str):
    """Kinds and number of faces, volume to the precision of the kernel, every edge between two faces."""
    build, kinds = PARTS[name]
    shape = build()
    result = reconstruct_solid(mesh_of(shape), SolidOptions())
    assert result.status == "solid", result.reasons
    assert Counter(r.primitive.kind for r in result.regions) == kinds
    assert volume_of(result.shape) == pytest.approx(volume_of(shape), rel=1e-6)
    assert occ("BRepCheck").BRepCheck_Analyzer(result.shape).IsValid()
    assert len(subshapes(result.shape, "SHELL")) == 1
    assert sorted(k for _, k in result.faces) == sorted(range(len(result.regions)))
    assert all(c.kept for c in result.constraints)


@pytest.mark.parametrize("error", [ValueError("an edge has its two ends in one point"), KeyError("a mistake of ours")])
def test_an_edge_that_cannot_be_made_costs_its_two_faces_and_no_more(error, monkeypatch):
    """What degenerate shapes raise; anything else is a mistake, and is not caught."""
    made = []

    def fails_once(*arguments):
        made.append(arguments)
        if len(made) == 1:
            raise error
        return make_edge(*arguments)

    monkeypatch.setattr("recon.solid.shell.make_edge", fails_once)
    given = mesh_of(PARTS["block with a bore"][0]())
    if isinstance(error, KeyError):
        with pytest.raises(KeyError):
            reconstruct_solid(given, SolidOptions())
        return
    result = reconstruct_solid(given, SolidOptions())
    assert result.status == "open_shell"
    assert len(result.faces) == 5
    assert {h.reason for h in result.holes} == {"an edge of it cannot be made (an edge has its two ends in one point)"}


def chain(left: int, right: int, *ends: int) -> Chain:
    return Chain(np.array(ends), left, right, (ends[0], ends[1]))


def four_faces(apart: float, inner: list[tuple[int, bool]] | None = None) -> Graph:
    """Faces 0 to 3 about a place where nodes 1 and 2 lie so far from each other, with an edge between them."""
    places = {1: (0, 0, 0), 2: (apart, 0, 0), 3: (-1, 1, 0), 4: (-1, -1, 0), 5: (1, -1, 0), 6: (1, 1, 0)}
    around = {1: {0, 1, 2}, 2: {0, 2, 3}, 3: {0, 1}, 4: {1, 2}, 5: {2, 3}, 6: {0, 3}}
    chains = [chain(0, 2, 1, 2), chain(1, 0, 1, 3), chain(2, 1, 1, 4), chain(3, 2, 2, 5), chain(0, 3, 2, 6)]
    first = inner or [(1, False), (0, True), (4, True)]
    of_faces = (first, [(1, True), (2, False)], [(2, True), (0, False), (3, False)], [(3, True), (4, False)])
    loops = [Loop(k, used) for k, used in enumerate(of_faces)]
    return Graph({n: frozenset(r) for n, r in around.items()}, {n: np.array(x, float) for n, x in places.items()}, chains, loops)


def test_two_vertices_in_one_place_become_one():
    graph = met(four_faces(1e-4), 1e-3)
    (joint,) = (n for n, regions in graph.nodes.items() if len(regions) == 4)
    assert graph.nodes[joint] == {0, 1, 2, 3}
    assert len(graph.nodes) == 5
    assert [c.ends for c in graph.chains] == [(joint, 3), (joint, 4), (joint, 5), (joint, 6)]
    assert [loop.chains for loop in graph.loops] == [[(0, False), (3, True)], [(0, True), (1, False)], [(1, True), (2, False)],
                                                     [(2, True), (3, False)]]  # fmt: skip
    np.testing.assert_allclose(graph.positions[joint], [5e-5, 0, 0])


@pytest.mark.parametrize(
    ("graph", "why"), [(four_faces(2e-3), "they lie apart"), (four_faces(1e-4, [(0, True)]), "a loop has no other edge")]
)
def test_two_vertices_stay_two(graph, why):
    after = met(graph, 1e-3)
    assert (after.nodes, after.loops) == (graph.nodes, graph.loops), why


def test_every_chain_is_used_once_each_way():
    given = mesh_of(PARTS["countersunk"][0]())
    mesh = closed_mesh(given.vertices, given.faces)
    found = exact_segmentation(mesh)
    graph = outlines(mesh, found.labels)
    uses = Counter(use for loop in graph.loops for use in loop.chains)
    assert uses == Counter((k, along) for k in range(len(graph.chains)) for along in (True, False))
    # Euler: a sphere with one handle; a face with two loops counts once more, a closed chain has a vertex of its own
    closed = sum(c.ends is None for c in graph.chains)
    faces = len(found.primitives) - sum(max(sum(loop.region == k for loop in graph.loops) - 1, 0) for k in range(len(found.primitives)))
    assert len(graph.nodes) + closed - len(graph.chains) + faces == 0


def surface(kind: str, point: tuple, axis: tuple, *radii: float) -> Primitive:
    return Primitive(kind, np.array(point, float), np.array(axis, float), *radii)


RING = surface("torus", (0, 0, 0), Z, 9.0, 2.0)


@pytest.mark.parametrize(
    ("a", "b", "on"),
    [
        (surface("plane", (0, 0, 0), Z), surface("cylinder", (0, 0, 2), (1, 0, 0), 2.0), (5, 0, 0)),
        (RING, surface("plane", (0, 0, 2), Z), (9, 0, 2)),
        (RING, surface("cylinder", (0, 0, 0), Z, 7.0), (7, 0, 0)),
        (RING, surface("cylinder", (9, 0, 0), (0, 1, 0), 2.0), (11, 0, 0)),
        (surface("sphere", (0, 0, 0), (0, 0, 0), 3.0), surface("cylinder", (0, 0, 0), Z, 3.0), (3, 0, 0)),
    ],
)
def test_contact_holds_the_curve_where_surfaces_touch(a: Primitive, b: Primitive, on: tuple[float, float, float]):
    third = contact(a, b, 1e-6)
    assert third is not None
    x, residual = meeting_point(np.array(on, float) + 0.05, with_contacts([a, b], 1e-6))
    assert residual < 1e-9
    assert abs(np.linalg.norm(x - on)) < 0.2
    lifted = (
        Primitive(b.kind, b.point, b.axis, b.radius + 0.1, b.tube_radius)
        if b.kind != "plane"
        else Primitive("plane", b.point + 0.1, b.axis)
    )
    assert contact(a, lifted, 1e-3) is None


SOUND = Checked(valid=True, shells=1, closed=True, tolerance=1e-4, volume=1.0)


@pytest.mark.parametrize(
    ("known", "error", "word"),
    [
        (Checked(valid=False, shells=1, closed=True, tolerance=1e-4, bad_faces=(2,)), 0.0, "check fails"),
        (Checked(valid=True, shells=2, closed=True, tolerance=1e-4), 0.0, "shells"),
        (Checked(valid=True, shells=1, closed=False, tolerance=1e-4), 0.0, "not closed"),
        (Checked(valid=True, shells=1, closed=True, tolerance=7.0), 0.0, "tolerance"),
        (Checked(valid=True, shells=1, closed=True, tolerance=math.nan), 0.0, "tolerance"),
        (SOUND, -0.034, "volume"),
        (SOUND, math.nan, "volume"),
    ],
)
def test_gates_name_what_is_wrong(known: Checked, error: float, word: str):
    assert not gates(SOUND, 0.002, 0.01)
    reasons = gates(known, error, 0.01)
    assert len(reasons) == 1
    assert word in reasons[0]


def test_a_shell_with_a_face_missing_is_no_solid():
    shape = m.box((0, 0, 0), (10, 10, 10))
    shell = occ("TopoDS").TopoDS_Shell()
    builder = occ("BRep").BRep_Builder()
    builder.MakeShell(shell)
    for face in subshapes(shape, "FACE")[:5]:
        builder.Add(shell, face)
    made, known = repaired(shell, 1e-6, 60)
    assert made is not None
    assert gates(known, known.volume / 1000 - 1, 0.01)


def test_an_open_mesh_is_refused():
    given = mesh_of(PARTS["block with a bore"][0]())
    with pytest.raises(DataError, match="not closed: 3 open edges"):
        reconstruct_solid(SolidInput(given.vertices, given.faces[1:]), SolidOptions())


def test_regions_count_in_the_mesh_that_is_returned():
    """Vertices that nothing uses, and triangles without area, are not in it; what each vertex was seen by goes along."""
    given = mesh_of(PARTS["block with a bore"][0]())
    n = len(given.vertices)
    spoiled = SolidInput(
        np.vstack([np.zeros((2, 3)), given.vertices]),
        np.vstack([[[2, 2, 3]], given.faces + 2]),
        views=np.r_[[99, 99], np.full(n, 7)],
    )
    result = reconstruct_solid(spoiled, SolidOptions())
    assert len(result.mesh.vertices) == n
    assert sorted(np.concatenate([r.triangles for r in result.regions])) == list(range(len(given.faces)))
    assert {r.views for r in result.regions} == {7.0}


def test_an_inside_out_mesh_is_turned():
    given = mesh_of(PARTS["block with a bore"][0]())
    result = reconstruct_solid(SolidInput(given.vertices, given.faces[:, ::-1]), SolidOptions())
    assert result.status == "solid"
    assert result.volume_error == pytest.approx(0, abs=1e-3)
