"""Wireframes: file, change of frame, samples, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

import recon.curves
from recon.curves.files.curve import Curve, ellipse, line
from recon.curves.files.wireframe import Wireframe, from_curves, save
from recon.errors import DataError
from tests.recon.curves.wireframes import SOMEWHERE, box, mixed


def test_file_keeps_every_bit(tmp_path):
    before = mixed()
    save(before, tmp_path / "curves.json")
    after = recon.curves.load(tmp_path / "curves.json")
    assert after.unit == "mm"
    np.testing.assert_array_equal(after.vertices, before.vertices)
    for a, b in zip(after.curves, before.curves, strict=True):
        np.testing.assert_array_equal(a.control_points, b.control_points)
        np.testing.assert_array_equal(a.weights, b.weights)
        assert (a.type, a.vertices, a.parameters, a.support, a.rmse_px) == (b.type, b.vertices, b.parameters, b.support, b.rmse_px)
    assert [p.name for p in tmp_path.iterdir()] == ["curves.json"]


def test_file_has_the_documented_fields(tmp_path):
    save(mixed(None), tmp_path / "curves.json")
    data = json.loads((tmp_path / "curves.json").read_text())
    assert {k: data[k] for k in ("version", "frame", "unit")} == {"version": 1, "frame": "world", "unit": None}
    assert [c["id"] for c in data["curves"]] == list(range(6))
    assert [c["vertices"] for c in data["curves"]] == [[0, 1], [1, 2], [2, 3], [3, 4], None, None]
    first = data["curves"][0]
    assert (first["support"], first["rmse_px"]) == (7, 0.25)
    assert first["length"] == pytest.approx(np.linalg.norm(np.diff(mixed().vertices[:2], axis=0)))


def test_transformed_points_are_the_transform_of_points():
    before = mixed()
    after = before.transformed(SOMEWHERE, "m")
    assert after.unit == "m"
    assert not after.problems()
    assert after.length == pytest.approx(SOMEWHERE.scale * before.length, rel=1e-9)
    for a, b in zip(after.curves, before.curves, strict=True):
        t = np.linspace(0, a.pieces, 50)
        np.testing.assert_allclose(a.at(t), SOMEWHERE.apply(b.at(t)), atol=1e-12)


def test_transformed_parameters_describe_the_transformed_curve():
    for curve in mixed().transformed(SOMEWHERE).curves:
        p = curve.parameters
        if curve.type == "line":
            again = line(p["start"], p["end"], vertices=None)
        elif curve.type in ("arc", "circle"):
            again = ellipse(p["center"], p["x_axis"], p["y_axis"], (p["radius"],) * 2, p["angles_rad"], True, vertices=None)
        elif curve.type == "ellipse":
            again = ellipse(p["center"], p["x_axis"], p["y_axis"], p["radii"], p["angles_rad"], False, vertices=None)
        else:
            continue
        np.testing.assert_allclose(again.control_points, curve.control_points, atol=1e-11)
        if "normal" in p:
            np.testing.assert_allclose(np.cross(p["x_axis"], p["y_axis"]), p["normal"], atol=1e-12)


def test_there_and_back_is_where_it_was():
    before = mixed()
    after = before.transformed(SOMEWHERE).transformed(SOMEWHERE.inverse())
    np.testing.assert_allclose(after.vertices, before.vertices, atol=1e-11)
    for a, b in zip(after.curves, before.curves, strict=True):
        np.testing.assert_allclose(a.control_points, b.control_points, atol=1e-11)


def test_a_parameter_of_unknown_meaning_is_not_moved_silently():
    with pytest.raises(ValueError, match="torsion"):
        replace(mixed().curves[2], parameters={"torsion": 1.0}).transformed(SOMEWHERE)


def test_samples_name_their_curve():
    wireframe = mixed()
    points, tangents, curve = wireframe.samples(0.05)
    np.testing.assert_allclose(np.linalg.norm(tangents, axis=1), 1, atol=1e-9)
    for number, c in enumerate(wireframe.curves):
        mine = points[curve == number]
        np.testing.assert_allclose(mine[[0, -1]], c.control_points[[0, -1]], atol=1e-12)
        gaps = np.linalg.norm(np.diff(mine, axis=0), axis=1)
        assert 0.03 < gaps.min() <= gaps.max() < 0.0506
    assert len(Wireframe(np.zeros((0, 3)), ()).samples(0.1)[0]) == 0


def test_valence_counts_ends():
    np.testing.assert_array_equal(mixed().valence, [1, 2, 2, 2, 1])
    np.testing.assert_array_equal(box()[0].valence, [3] * 8)


def test_from_curves_joins_ends_at_one_place():
    known = box()[0]
    again = from_curves(known.curves)
    assert len(again.vertices) == 8
    assert not again.problems()
    np.testing.assert_array_equal(again.valence, [3] * 8)
    closed = from_curves(mixed().curves)
    assert [c.closed for c in closed.curves] == [False] * 4 + [True] * 2
    assert len(closed.vertices) == 5


def broken():
    good = mixed()
    first = good.curves[0]
    moved = replace(first, control_points=first.control_points + 1e-4)
    yield "moved", Wireframe(good.vertices, (moved,)), "does not end at its vertices"
    yield "opened", Wireframe(good.vertices, (replace(first, vertices=None),)), "its ends are"
    yield "index", Wireframe(good.vertices, (replace(first, vertices=(0, 9)),)), r"names vertices \(0, 9\) of 5"


@pytest.mark.parametrize(("wireframe", "words"), [pytest.param(w, t, id=n) for n, w, t in broken()])
def test_a_broken_wireframe_is_not_written(tmp_path, wireframe, words):
    with pytest.raises(ValueError, match=words):
        save(wireframe, tmp_path / "curves.json")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d.pop("curves"), "curves"),
        (lambda d: d.update(version=7), "version 7"),
        (lambda d: d["vertices"][0].__setitem__(0, 99.0), "do not hang together"),
        (lambda d: d["curves"][1].update(type="spiral"), "unknown type 'spiral'"),
        (lambda d: d["curves"][1]["weights"].pop(), "not a cubic chain"),
        (lambda d: d["curves"][1]["weights"].__setitem__(0, -1.0), "weights positive"),
        (lambda d: d["curves"][0].update(vertices=[0, 50]), "not among the 5 given"),
    ],
)
def test_broken_files_are_named(tmp_path, change, words):
    path = tmp_path / "curves.json"
    save(mixed(), path)
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))
    with pytest.raises(DataError, match=words) as caught:
        recon.curves.load(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("text", ["", "[]", '{"version": 1}', "hello"])
def test_what_is_no_curves_file_is_refused(tmp_path, text):
    path = tmp_path / "curves.json"
    path.write_text(text)
    with pytest.raises(DataError, match=r"curves\.json"):
        recon.curves.load(path)


def test_scene_files_read_as_wireframes():
    from scenes.library import DATA

    wireframe = recon.curves.load(DATA / "knob" / "curves.json")
    assert not wireframe.problems()
    assert {c.type for c in wireframe.curves} == {"line", "arc", "circle", "bezier"}
    assert isinstance(wireframe.curves[0], Curve)
