"""What is measured, from where it is looked at, what a plane cuts: against formulas, without a browser."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import replace
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
import trimesh

from recon.curves import Wireframe
from recon.curves.files.curve import ellipse, line
from recon.geometry import Similarity
from recon.surface.mesh import Mesh
from recon.surface.raycast import ray_scene

pytest.importorskip("viser")

from viewer.index import page_with_nonce
from viewer.looking import FOV, LONG_LENS, home
from viewer.measuring import angle, described, distance, of_curve, point_under
from viewer.painter import Crop
from viewer.picking import curve_lines
from viewer.section import Section


def circle(center, radius):
    return ellipse(np.array(center, float), (1, 0, 0), (0, 1, 0), (radius, radius), (0, 2 * np.pi), True, vertices=None)


def boxed(*sizes: float) -> Mesh:
    box = trimesh.creation.box(sizes)
    return Mesh(np.asarray(box.vertices), np.asarray(box.faces, np.int32))


def test_curves_tell_their_size():
    assert [(m.what, round(m.value, 6)) for m in of_curve(circle((0, 0, 0), 2.5))] == [("diameter", 5.0), ("length", round(5 * np.pi, 6))]
    both = ellipse(np.zeros(3), (1, 0, 0), (0, 1, 0), (2.0, 3.0), (0, 2 * np.pi), False, vertices=None)
    assert [m.value for m in of_curve(both)][:2] == [6.0, 4.0]
    (found,) = of_curve(line(np.zeros(3), np.array([3.0, 4.0, 0.0]), vertices=(0, 1)))
    assert (found.what, found.value) == ("length", 5.0)


@pytest.mark.parametrize("degrees", [0.0, 0.001, 30.0, 90.0, 150.0, 180.0])
def test_angles(degrees):
    turn = np.radians(degrees)
    a, b = (line(np.zeros(3), 2.0 * np.array(p), vertices=(0, 1)) for p in ((1, 0, 0), (np.cos(turn), 0, np.sin(turn))))
    found, axis = angle(a, b), angle(a, circle((0, 0, 0), 1.0))  # whose axis is z
    assert found is not None
    assert axis is not None
    assert found.value == pytest.approx(min(degrees, 180 - degrees), abs=1e-6)
    assert axis.value == pytest.approx(90.0)


def test_clicks_find_the_surface_and_catch_curves():
    ball = trimesh.creation.icosphere(4, 0.5)
    surface = ray_scene(Mesh(np.asarray(ball.vertices), np.asarray(ball.faces, np.int32)))
    ring, behind = circle((0, 0, 0.5), 0.1), circle((0, 0, -0.5), 0.1)
    lines, hidden = (curve_lines(Wireframe(np.zeros((0, 3)), c, "mm"), Similarity()) for c in ((ring, behind), (behind,)))
    eye = np.array([0.0, 0.0, 3.0])
    np.testing.assert_allclose(point_under(eye, np.array([0.0, 0.0, -2.0]), surface, lines), [0, 0, 0.5], atol=0.01)
    assert point_under(eye, np.array([0.0, 1.0, 0.0]), surface, lines) is None
    np.testing.assert_allclose(point_under(eye, np.array([0.101, 0.0, 0.5]) - eye, surface, lines), [0.1, 0, 0.5], atol=1e-3)
    below = np.array([0.1, 0.0, -0.5]) - eye
    hit = point_under(eye, below, surface, hidden)
    assert hit is not None
    assert hit[2] > 0.3  # the surface hides the curve
    assert point_under(eye, below, None, None) is None


def test_a_known_length_scales_lengths_and_not_angles():
    found = distance(np.zeros(3), np.array([0.3, 0.4, 0.0]), 20.0)
    assert described(found, 1.0, "mm") == "distance 10 mm"
    assert described(found, 2.54, "in") == "distance 25.4 in"
    assert described(found, 1.0, None) == "distance 10 world units"
    assert described(replace(found, what="angle", scales=False), 2.54, "in") == "angle 10.00 degrees"


@pytest.mark.skipif(shutil.which("node") is None, reason="node, which runs the static page's own script, is not installed")
@pytest.mark.parametrize("up", [(0, 0, 1), (0, 1, 0), (1, 0, 0), (0.1, -0.9, 0.3)])
def test_the_start_is_the_static_pages(up):
    up = np.array(up, float) / np.linalg.norm(up)
    ball = home([np.array([[-0.3, 0.2, 0.1], [0.5, 0.4, 0.9]])], up)
    script = (resources.files("viewer") / "web" / "view.js").read_text(encoding="utf-8")
    given = json.dumps({"target": ball.target.tolist(), "radius": ball.radius})
    script += f";const v = new View({up.tolist()}, {FOV}, {given}); console.log(JSON.stringify([v.eye, v.target, v.axes[1]]))"
    said = subprocess.run(["node", "-e", script], capture_output=True, check=True, text=True).stdout
    eye, target, down = json.loads(said)
    stand = ball.start()
    np.testing.assert_allclose(stand.eye, eye, atol=1e-9)
    np.testing.assert_allclose(stand.target, target, atol=1e-9)
    assert np.array(down) @ stand.up < 0
    assert stand.eye @ up > ball.target @ up  # from above


@pytest.mark.parametrize("fov", [FOV, LONG_LENS])
def test_sides(fov):
    ball = home([np.array([[-1.0, -1, -1], [1, 1, 1]]) * 0.4 + 0.1], np.array([0.0, 0, 1]))
    right = np.array([1.0, 0.2, 0.5])
    for name, direction, up in (("front", (0.2, -1, 0), (0, 0, 1)), ("top", (0, 0, 1), (-0.2, 1, 0)), ("right", (1, 0.2, 0), (0, 0, 1))):
        stand = ball.side(name, right, fov)
        away = stand.eye - stand.target
        np.testing.assert_allclose(away / np.linalg.norm(away), np.array(direction) / np.linalg.norm(direction), atol=1e-9)
        np.testing.assert_allclose(stand.up, np.array(up) / np.linalg.norm(up), atol=1e-9)
        assert np.arcsin(ball.radius / np.linalg.norm(away)) < fov / 2  # the whole ball is in the picture


def test_nothing_to_see_is_the_whole_scene():
    empty = home([np.zeros((0, 3))], np.array([0.0, 0, 1]))
    assert (empty.radius, empty.target.tolist()) == (1.0, [0, 0, 0])


@pytest.mark.parametrize(("axis", "at", "flip"), [(0, 0.1, False), (1, -0.2, True), (2, 0.0, False)])
def test_a_plane_cuts_mesh_and_field_alike(axis, at, flip):
    sizes = np.array([1.0, 1.2, 0.8])
    left, outline = Section(axis, at, flip).cut(boxed(*sizes))
    expected = sizes.copy()
    expected[axis] = sizes[axis] / 2 + (-at if flip else at)
    np.testing.assert_allclose(np.ptp(left.vertices, axis=0), expected, atol=1e-9)
    np.testing.assert_allclose(outline[..., axis], at, atol=1e-9)
    assert np.linalg.norm(outline[:, 1] - outline[:, 0], axis=1).sum() == pytest.approx(2 * np.delete(sizes, axis).sum())
    crop = Section(axis, at, flip).crop(Crop((-0.5, -0.5, -0.5), (0.5, 0.5, 0.5)))
    inside = np.random.default_rng(0).uniform(-0.49, 0.49, (200, 3))
    kept = ((inside > crop.low) & (inside < crop.high)).all(1)
    np.testing.assert_array_equal(kept, (inside[:, axis] > at) if flip else (inside[:, axis] < at))


def test_a_plane_beside_the_mesh_leaves_all_or_nothing():
    mesh = boxed(0.5, 0.5, 0.5)
    whole, none = Section(2, 0.9).cut(mesh), Section(2, -0.9).cut(mesh)
    assert len(whole[0].faces) == len(mesh.faces)
    assert len(none[0].faces) == len(none[1]) == 0


def test_the_title_is_text():
    import viser

    index = Path(viser.__file__).parent / "client" / "build" / "index.html"
    page = page_with_nonce(index, "n0nce", "</title><script>alert(1)</script>").decode()
    assert "<title>&lt;/title&gt;&lt;script&gt;alert(1)&lt;/script&gt;</title>" in page
