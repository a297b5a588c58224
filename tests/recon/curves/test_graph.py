"""Chains to shapes, shapes to a graph, the graph onto the pictures."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from recon.config.values import CurvesConfig
from recon.console import Reporter
from recon.curves.edges2d.edges import Edges
from recon.curves.files.curve import ellipse, line
from recon.curves.wireframe import build
from recon.curves.wireframe.build import build_wireframe
from recon.curves.wireframe.crossings import split_at_crossings
from recon.curves.wireframe.fitting import shapes_of_chain
from recon.curves.wireframe.graph import drop_short, drop_stubs, merge, snap
from recon.curves.wireframe.grow import grow_ends
from recon.curves.wireframe.model import Model, joined
from recon.curves.wireframe.prune import support_of
from recon.curves.wireframe.refine import refine
from recon.curves.wireframe.segment import cut
from recon.curves.wireframe.shapes import Shape, evaluate, tangents
from recon.geometry import Similarity
from tests.recon.curves.drawn import box_edges, circle_edge, draw, draw_contours, pixel_frame

TURN = np.linalg.qr(np.random.default_rng(7).normal(size=(3, 3)))[0]


def straight(start, end, step: float = 1.5) -> np.ndarray:
    start, end = np.asarray(start, float), np.asarray(end, float)
    n = max(int(np.linalg.norm(end - start) / step), 2)
    return start + np.linspace(0, 1, n + 1)[:, None] * (end - start)


def elliptic(a: float, b: float, first: float, last: float, center=(0.0, 0.0), step: float = 1.5) -> np.ndarray:
    n = max(int(max(a, b) * (last - first) / step), 6)
    t = np.linspace(first, last, n + 1)
    return np.stack([center[0] + a * np.cos(t), center[1] + b * np.sin(t), np.zeros_like(t)], axis=1)


SLOT = np.concatenate(
    [
        straight((-30, -15, 0), (30, -15, 0)),
        elliptic(15, 15, -np.pi / 2, np.pi / 2, (30, 0))[1:],
        straight((30, 15, 0), (-30, 15, 0))[1:],
        elliptic(15, 15, np.pi / 2, 3 * np.pi / 2, (-30, 0))[1:-1],
    ]
)
S = np.linspace(0, 1, 90)
WAVE = np.stack([120 * S, 12 * np.sin(6.3 * S), 8 * np.cos(3 * S)], axis=1)
SQUARE = np.concatenate([straight(a, b)[:-1] for a, b in [((0, 0, 0), (40, 0, 0)), ((40, 0, 0), (40, 40, 0)),
                                                          ((40, 40, 0), (0, 40, 0)), ((0, 40, 0), (0, 0, 0))]])  # fmt: skip


@pytest.mark.parametrize(
    ("chain", "closed", "kinds"),
    [
        (straight((0, 0, 0), (50, 20, 10)), False, ["line"]),
        (np.concatenate([straight((0, 0, 0), (40, 0, 0)), straight((40, 0, 0), (60, 40, 0))[1:]]), False, ["line", "line"]),
        (np.concatenate([straight((0, 0, 0), (40, 0, 0)), straight((40, 0, 0), (80, 14, 0))[1:]]), False, ["line", "line"]),
        (elliptic(40, 40, 0.3, 2.0), False, ["arc"]),
        (elliptic(40, 40, 0.0, 5.0), False, ["arc"]),
        (np.concatenate([straight((40, -50, 0), (40, 0, 0)), elliptic(40, 40, 0, 1.5)[1:]]), False, ["line", "arc"]),
        (elliptic(90, 45, 0.2, 1.4), False, ["conic"]),
        (WAVE, False, ["spline"]),
        (elliptic(40, 40, 0, 2 * np.pi)[:-1], True, ["circle"]),
        (elliptic(55, 30, 0, 2 * np.pi)[:-1], True, ["ellipse"]),
        (SLOT, True, ["arc", "line", "arc", "line"]),
        (SQUARE, True, ["line"] * 4),
    ],
    ids=["line", "corner", "obtuse corner", "arc", "long arc", "line into arc", "elliptic arc", "free curve", "circle", "ellipse", "slot",
         "square"],
)  # fmt: skip
@pytest.mark.parametrize("noise", [0.05, 0.2])
def test_kinds_of_a_chain(chain: np.ndarray, closed: bool, kinds: list[str], noise: float):
    rng = np.random.default_rng(11)
    noisy = chain @ TURN + rng.normal(scale=noise, size=chain.shape)
    found = shapes_of_chain(noisy, closed)
    names = [f[0].kind for f in found]
    if closed:  # where a closed chain begins does not matter
        assert sorted(names) == sorted(kinds)
    else:
        assert names == kinds
    dense = np.concatenate([evaluate(s, e, np.linspace(0, 1, 400)) for s, e, _ in found])
    off = np.sqrt((((chain @ TURN)[:, None] - dense[None]) ** 2).sum(-1).min(1))
    assert np.median(off) < 0.25


def test_the_cut_is_the_cheapest():
    """Against all possible cuts of a short chain, with the same costs."""
    from recon.curves.wireframe.segment import _costs

    rng = np.random.default_rng(2)
    chain = np.concatenate([straight((0, 0, 0), (12, 0, 0)), straight((12, 0, 0), (14, 12, 0))[1:]]) + rng.normal(scale=0.1, size=(17, 3))
    n = len(chain)
    best = np.minimum(*_costs(chain, np.arange(n)))
    cheapest = np.inf
    for mask in range(1 << (n - 2)):
        stops = [0, *(k + 1 for k in range(n - 2) if mask >> k & 1), n - 1]
        cheapest = min(cheapest, sum(best[a, b] for a, b in pairwise(stops)))
    found = cut(chain)
    assert sum(best[p.first, p.last] for p in found) == pytest.approx(cheapest)
    assert [p.first for p in found[1:]] == [p.last for p in found[:-1]]


def lines(*ends) -> Model:
    return joined([(np.array([a, b], float), [Shape("line", (0, 1), np.zeros(0))]) for a, b in ends])


@pytest.mark.parametrize(
    ("model", "vertices", "curves"),
    [
        (lines(((0, 0, 0), (37, 0, 0)), ((40, 3, 0), (40, 40, 0)), ((40, 0, 4), (40, 0, 60))), 4, 3),
        (lines(((0, 0, 0), (40, 0, 0)), ((60, 0, 0), (60, 40, 0))), 4, 2),
        (lines(((0, 0, 0), (37, 0, 0)), ((40, 3, 5), (40, 40, 5))), 4, 2),
    ],
    ids=["corner", "too far", "passing each other"],
)
def test_snap(model: Model, vertices: int, curves: int):
    snapped = snap(model)
    assert (len(np.unique([e for s in snapped.shapes for e in s.ends or ()])), len(snapped.shapes)) == (vertices, curves)
    if vertices == 4 and curves == 3:
        corner = snapped.vertices[int(snapped.degrees().argmax())]
        np.testing.assert_allclose(corner, [40, 0, 0], atol=0.3)


def test_an_end_that_runs_into_a_curve_cuts_it():
    model = split_at_crossings(lines(((0, 0, 0), (100, 0, 0)), ((50, 4, 0), (50, 60, 0))))
    assert len(model.shapes) == 3
    junction = int(model.degrees().argmax())
    assert model.degrees()[junction] == 3
    np.testing.assert_allclose(model.vertices[junction], [50, 0, 0], atol=0.6)


def test_pieces_of_one_line_are_united_unless_another_curve_ends_there():
    pieces = Model(np.array([[0, 0, 0], [40, 0.1, 0], [90, 0, 0], [40, 50, 0.0]]),
                   (Shape("line", (0, 1), np.zeros(0)), Shape("line", (1, 2), np.zeros(0))))  # fmt: skip
    assert len(merge(pieces).shapes) == 1
    third = Model(pieces.vertices, (*pieces.shapes, Shape("line", (1, 3), np.zeros(0))))
    assert len(merge(third).shapes) == 3


def test_half_circles_become_a_circle():
    arcs = Model(np.array([[40, 0, 0], [-40, 0, 0.0]]),
                 (Shape("arc", (0, 1), np.array([0, 40, 0.0])), Shape("arc", (1, 0), np.array([0, -40, 0.0]))))  # fmt: skip
    united = merge(arcs)
    assert [s.kind for s in united.shapes] == ["circle"]
    assert abs(united.shapes[0].parameters[6]) == pytest.approx(40, abs=0.05)


def test_a_free_curve_whose_ends_meet_becomes_a_closed_one():
    """It was once dropped, and with it the whole outline of a cam."""
    t = np.linspace(0.005, 0.995, 500) * 2 * np.pi
    radius = 100 + 14 * np.cos(2 * t) + 9 * np.sin(3 * t)
    chain = np.stack([radius * np.cos(t), radius * np.sin(t), 0 * t], axis=1)
    fitted = shapes_of_chain(chain, False)
    assert [f[0].kind for f in fitted] == ["spline"]
    done = snap(Model(fitted[0][1], (fitted[0][0],)))
    assert [(s.kind, s.ends) for s in done.shapes] == [("spline", None)]
    dense = evaluate(done.shapes[0], done.vertices, np.linspace(0, 1, 2000))
    assert np.sqrt(((chain[:, None] - dense[None]) ** 2).sum(-1).min(1)).max() < 1.0


def test_an_arc_whose_ends_meet_becomes_a_circle():
    """Its ends in one vertex, an arc through three points is undefined; it has to be looked at before."""
    t = np.array([0.02, 3.1, 6.26])
    points = 60 * np.stack([np.cos(t), np.sin(t), 0 * t], axis=1)
    done = drop_short(snap(Model(points[[0, 2]], (Shape("arc", (0, 1), points[1].copy()),))))
    assert [(s.kind, s.ends) for s in done.shapes] == [("circle", None)]
    assert abs(done.shapes[0].parameters[6]) == pytest.approx(60, abs=0.1)


def test_short_curves_and_stubs_go():
    model = Model(
        np.array([[0, 0, 0], [40, 0, 0], [41.5, 0, 0], [80, 30, 0], [40, 8, 0.0]]),
        (Shape("line", (0, 1), np.zeros(0)), Shape("line", (1, 2), np.zeros(0)), Shape("line", (2, 3), np.zeros(0)),
         Shape("line", (1, 4), np.zeros(0))),
    )  # fmt: skip
    without = drop_stubs(drop_short(model))
    assert len(without.shapes) == 2
    assert without.degrees().max() == 2


def cube_model(frame: Similarity, rng: np.random.Generator, noise_px: float) -> Model:
    curves = box_edges()
    corners = np.unique(np.round(np.concatenate([c.control_points[[0, -1]] for c in curves]), 9), axis=0)
    shapes = []
    for c in curves:
        ends = tuple(int(np.linalg.norm(corners - p, axis=1).argmin()) for p in c.control_points[[0, -1]])
        shapes.append(Shape("line", (ends[0], ends[1]), np.zeros(0)))
    vertices = frame.apply(corners)
    return Model(vertices + rng.normal(scale=noise_px, size=vertices.shape), tuple(shapes))


def test_refinement_is_exact_on_exact_edges():
    """Cube from 1 px noise on its corners, circle from disturbed parameters: back to the truth far below a pixel."""
    curves = [*box_edges(), circle_edge()]
    evidence, frame = pixel_frame(draw(curves, 24))
    rng = np.random.default_rng(0)
    cube = cube_model(frame, rng, 1.0)
    x = frame.scale
    circle = Shape("circle", None, np.array([0.6, -0.5, 0.4, np.sin(0.3) + 0.02, 0.01, -np.cos(0.3), 0.4 * x + 0.8]))
    model = Model(cube.vertices, (*cube.shapes, circle))
    done = refine(model, evidence)
    assert np.abs(np.abs(done.vertices) - 0.5 * x).max() < 0.02
    p = done.shapes[-1].parameters
    assert np.abs(p[:3]).max() < 0.02
    assert abs(p[6]) == pytest.approx(0.4 * x, abs=0.02)
    normal = p[3:6] / np.linalg.norm(p[3:6])
    assert abs(normal @ np.array([-np.sin(0.3), 0, np.cos(0.3)])) > 1 - 1e-6


def test_smooth_joints_stay_smooth():
    """A slot of two lines and two half circles, disturbed, on noisy edges: neighbours end in one direction, to a third of a degree."""
    x, y = np.eye(3)[0], np.eye(3)[1]
    half = [ellipse(s * 0.3 * x, s * y, -s * x, (0.2, 0.2), (-np.pi, 0.0), True, vertices=(0, 1)) for s in (1, -1)]
    sides = [line(np.array([-0.3, h, 0]), np.array([0.3, h, 0]), vertices=(0, 1)) for h in (-0.2, 0.2)]
    evidence, frame = pixel_frame(draw([*half, *sides], 24, 0.2))
    corners = np.array([[0.3, -0.2, 0], [0.3, 0.2, 0], [-0.3, 0.2, 0], [-0.3, -0.2, 0.0]])
    vertices = frame.apply(corners) + np.random.default_rng(3).normal(scale=0.5, size=(4, 3))
    shapes = (
        Shape("arc", (0, 1), frame.apply(np.array([[0.5, 0, 0]]))[0]),
        Shape("line", (1, 2), np.zeros(0)),
        Shape("arc", (2, 3), frame.apply(np.array([[-0.5, 0, 0]]))[0]),
        Shape("line", (3, 0), np.zeros(0)),
    )
    done = refine(Model(vertices, shapes), evidence)
    for ends in done.incident().values():
        a, b = (tangents(done.shapes[k], done.vertices, np.array([float(side)]))[0] * (1 if side else -1) for k, side in ends)
        assert np.degrees(np.arccos(np.clip(-a @ b, -1, 1))) < 0.33
    assert np.abs(done.vertices[:, 2]).max() < 0.3
    assert np.abs(np.abs(done.vertices[:, 1]) - 0.2 * frame.scale).max() < 0.3


def test_a_curve_explained_by_others_has_no_support_of_its_own():
    """A copy of an edge two thirds of a pixel beside it is seen by as many views, but brings none of its own."""
    evidence, frame = pixel_frame(draw(box_edges(), 24))
    cube = cube_model(frame, np.random.default_rng(0), 0.0)
    a, b = cube.vertices[list(cube.shapes[0].ends or ())]
    ghost = np.stack([a, b]) + np.array([0.0, 0.5, 0.4])
    model = Model(np.concatenate([cube.vertices, ghost]), (*cube.shapes, Shape("line", (8, 9), np.zeros(0))))
    support = support_of(model, evidence, 4)
    assert support.views[-1] > 12
    assert support.own[-1] < 1.0
    assert support.own[:-1].min() > 12


@pytest.mark.parametrize(("first", "last"), [(0.3, 0.7), (0.0, 1.25), (0.4, 1.2)], ids=["too short", "too long", "one of each"])
@pytest.mark.parametrize("kind", ["line", "arc"])
def test_free_ends_go_to_where_the_evidence_ends(kind: str, first: float, last: float):
    a, b = np.array([-0.5, 0.1, 0.2]), np.array([0.4, -0.3, 0.1])
    if kind == "line":
        truth, at = line(a, b, vertices=(0, 1)), lambda t: a + t * (b - a)
        made = Shape("line", (0, 1), np.zeros(0))
    else:
        x, y = np.array([1.0, 0, 0]), np.array([0, 0.6, 0.8])
        truth = ellipse(np.zeros(3), x, y, (0.5, 0.5), (0.0, 2.0), True, vertices=(0, 1))
        at = lambda t: 0.5 * (np.cos(2 * t) * x + np.sin(2 * t) * y)  # noqa: E731
        made = Shape("arc", (0, 1), at((first + last) / 2))
    evidence, frame = pixel_frame(draw([truth], 16))
    made = Shape(made.kind, made.ends, frame.apply(made.parameters[None])[0] if len(made.parameters) else made.parameters)
    model = Model(frame.apply(np.stack([at(first), at(last)])), (made,))
    for _ in range(3):
        model = grow_ends(model, evidence, 6)
    ends = evaluate(model.shapes[0], model.vertices, np.array([0.0, 1.0]))
    np.testing.assert_allclose(ends, frame.apply(np.stack([at(0.0), at(1.0)])), atol=2.5)


def edge_of_cube(points: np.ndarray) -> np.ndarray:
    """An edge field like a trained one: 1 on the edges of the cube of ``box_edges``, falling off over 0.02."""
    a = np.sort(np.abs(points), axis=1)
    d2 = (a[:, 2] - 0.5) ** 2 + (a[:, 1] - 0.5) ** 2 + np.maximum(a[:, 0] - 0.5, 0.0) ** 2
    return np.exp(-d2 / (2 * 0.015**2)).astype(np.float32)


@pytest.mark.parametrize("noise_px", [0.0, 0.3])
def test_a_cube_from_its_field_and_edges(noise_px: float, monkeypatch: pytest.MonkeyPatch):
    """The whole way: 12 lines between 8 shared vertices, in world units, from a world that is not the scene's frame."""
    monkeypatch.setattr(build, "FINE_GRID", 96)  # for speed
    world_from_scene = Similarity(1.0, np.eye(3), np.zeros(3))
    edges = draw(box_edges(), 20, noise_px)
    with Reporter(quiet=True) as reporter:
        wireframe = build_wireframe(edges, edge_of_cube, world_from_scene, CurvesConfig(), reporter)
    assert [c.type for c in wireframe.curves] == ["line"] * 12
    assert len(wireframe.vertices) == 8
    assert np.abs(np.abs(wireframe.vertices) - 0.5).max() < (0.002 if noise_px else 0.0005)
    assert min(c.support for c in wireframe.curves) >= 14
    assert max(c.rmse_px or 0 for c in wireframe.curves) < 0.5


@pytest.mark.parametrize("keep", [False, True])
def test_contours_of_smooth_surfaces_are_dropped_unless_wanted(keep: bool, monkeypatch: pytest.MonkeyPatch):
    """A cylinder: its two circles are edges, the outlines of its wall are not, though the field has something there too."""
    monkeypatch.setattr(build, "FINE_GRID", 96)
    radius, half = 0.3, 0.4
    x, y = np.eye(3)[0], np.eye(3)[1]
    rims = [ellipse(np.array([0, 0, z]), x, y, (radius, radius), (0.0, 2 * np.pi), True, vertices=None) for z in (-half, half)]
    drawn, walls = draw(rims, 40), draw_contours(radius, 40)
    by_name = {v.name: v for v in walls.views}
    views = [
        replace(v, **{n: np.concatenate([getattr(v, n), getattr(by_name[v.name], n)]) for n in ("points", "normals", "weights", "kinds")})
        if v.name in by_name
        else v
        for v in drawn.views
    ]

    def edge(p: np.ndarray) -> np.ndarray:
        wall = np.hypot(p[:, 0], p[:, 1]) - radius
        rim = wall**2 + (np.abs(p[:, 2]) - half) ** 2
        on_wall = 0.7 * np.exp(-(wall**2) / (2 * 0.015**2)) * (np.abs(p[:, 2]) < half) * (np.cos(8 * np.arctan2(p[:, 1], p[:, 0])) > 0.9)
        return np.maximum(np.exp(-rim / (2 * 0.015**2)), on_wall).astype(np.float32)

    with Reporter(quiet=True) as reporter:
        settings = CurvesConfig(keep_silhouettes=keep)
        found = build_wireframe(Edges(tuple(views), "drawn", False, ()), edge, Similarity(), settings, reporter)
    circles = [c for c in found.curves if c.type == "circle"]
    others = [c for c in found.curves if c.type != "circle"]
    assert len(circles) == 2
    assert all(c.parameters["radius"] == pytest.approx(radius, abs=2e-3) for c in circles)
    assert bool(others) == keep


def test_an_empty_field_gives_an_empty_wireframe():
    with Reporter(quiet=True) as reporter:
        edges = draw([line(np.zeros(3), np.ones(3) * 0.1, vertices=(0, 1))], 4)
        nothing = build_wireframe(edges, lambda p: np.zeros(len(p), np.float32), Similarity(), CurvesConfig(), reporter)
    assert nothing.curves == ()
    assert nothing.vertices.shape == (0, 3)
