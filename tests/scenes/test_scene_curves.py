"""Curves against closed forms, and their JSON form."""

import json
import math
import re

import numpy as np
import pytest
from scipy.special import ellipe

from recon.curves.files import curve as curves
from recon.curves.files.curve import Curve, ellipse, from_json, line, to_json
from recon.errors import DataError

X, Y = np.array([0.6, 0.8, 0.0]), np.array([0.0, 0.0, 1.0])
CENTER = np.array([10.0, -4.0, 7.0])


@pytest.mark.parametrize(("start", "end"), [(0.0, 2 * math.pi), (0.3, 0.9), (-1.0, 4.5), (2.0, 2.0 + 2 * math.pi / 3)])
def test_arc_lies_on_its_circle_and_has_its_length(start, end):
    arc = ellipse(CENTER, X, Y, (3.0, 3.0), (start, end), True, vertices=None)
    points = arc.at(np.linspace(0, arc.pieces, 301))
    assert np.abs(np.linalg.norm(points - CENTER, axis=1) - 3).max() < 1e-12
    assert np.abs((points - CENTER) @ np.cross(X, Y)).max() < 1e-12
    assert arc.length == pytest.approx(3 * (end - start), rel=1e-10)
    ends = [CENTER + 3 * (math.cos(a) * X + math.sin(a) * Y) for a in (start, end)]
    np.testing.assert_allclose(arc.at(np.array([0.0, arc.pieces])), ends, atol=1e-12)
    assert arc.type == ("circle" if end - start > 6.28 else "arc")


def test_ellipse_perimeter_is_the_complete_elliptic_integral():
    whole = ellipse(CENTER, X, Y, (5.0, 2.0), (0.0, 2 * math.pi), False, vertices=None)
    assert whole.length == pytest.approx(4 * 5 * ellipe(1 - (2 / 5) ** 2), rel=1e-9)
    local = (whole.at(np.linspace(0, whole.pieces, 200)) - CENTER) @ np.stack([X, Y], 1)
    assert np.abs((local / (5, 2)) ** 2 @ np.ones(2) - 1).max() < 1e-12


def test_tangent_is_the_derivative():
    arc = ellipse(CENTER, X, Y, (5.0, 2.0), (0.2, 3.0), False, vertices=(0, 1))
    t = np.linspace(0.05, arc.pieces - 0.05, 40)
    t = t[np.abs(t - np.round(t)) > 0.01]
    numeric = (arc.at(t + 1e-6) - arc.at(t - 1e-6)) / 2e-6
    np.testing.assert_allclose(arc.tangent(t), numeric, atol=1e-6)


@pytest.mark.parametrize("spacing", [0.01, 0.3, 100.0])
def test_samples_are_evenly_spaced_and_include_both_ends(spacing):
    arc = ellipse(CENTER, X, Y, (5.0, 2.0), (0.2, 3.0), False, vertices=(0, 1))
    points, tangents = arc.sample(spacing)
    gaps = np.linalg.norm(np.diff(points, axis=0), axis=1)
    assert gaps.max() <= spacing * 1.01
    if len(points) > 10:
        assert gaps.max() / gaps.min() < 1.02
    np.testing.assert_allclose(points[[0, -1]], arc.at(np.array([0.0, arc.pieces])), atol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(tangents, axis=1), 1, atol=1e-12)


def test_json_round_trip_keeps_every_bit():
    vertices = np.array([[0.1, 0.2, 0.3], [1.0, 2.0, 3.0]])
    sharp = [line(vertices[0], vertices[1], vertices=(0, 1), dihedral_rad=1.25)]
    smooth = [ellipse(CENTER, X, Y, (1 / 3, 1 / 3), (0, 2 * math.pi), True, vertices=None, label="fillet_boundary")]
    document = json.loads(json.dumps(to_json(vertices, sharp, smooth, "mm")))
    back_vertices, back_sharp, back_smooth = from_json(document, "test")
    np.testing.assert_array_equal(back_vertices, vertices)
    for before, after in zip([*sharp, *smooth], [*back_sharp, *back_smooth], strict=True):
        np.testing.assert_array_equal(before.control_points, after.control_points)
        np.testing.assert_array_equal(before.weights, after.weights)
        assert (before.type, before.vertices, before.label, before.dihedral_rad) == (
            after.type, after.vertices, after.label, after.dihedral_rad)  # fmt: skip


def _document(**changes):
    curve = line(np.zeros(3), np.ones(3), vertices=(0, 1)).to_json(0) | changes
    return {"version": 1, "vertices": [[0, 0, 0], [1, 1, 1]], "curves": [curve]}


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (_document(type="helix"), "helix"),
        (_document(vertices=[0, 7]), "not among the 2"),
        (_document(weights=[1, 1, 1]), "not a cubic chain"),
        (_document(weights=[1, -1, 1, 1]), "positive"),
        (_document(control_points=[[0, 0, 0]] * 3 + [[math.nan, 0, 0]]), "finite"),
        ({"version": 99}, "version 99"),
    ],
)
def test_broken_documents_are_refused(document, words):
    with pytest.raises(DataError, match=words):
        from_json(document, "test.json")


@pytest.mark.parametrize("text", ["{", '{"version": 1}', '{"version": 1, "vertices": [[0]], "curves": []}', "[]"])
def test_files_that_are_no_curves_are_refused(tmp_path, text):
    path = tmp_path / "curves.json"
    path.write_text(text)
    with pytest.raises(DataError, match=re.escape(str(path))):
        curves.read(path)
    with pytest.raises(DataError, match="no such file"):
        curves.read(tmp_path / "none.json")


def test_a_rational_chain_joins_smoothly():
    arc = ellipse(CENTER, X, Y, (2.0, 2.0), (0, 2 * math.pi), True, vertices=None)
    seams = np.arange(1.0, arc.pieces)
    before, after = arc.tangent(seams - 1e-9), arc.tangent(seams + 1e-9)
    np.testing.assert_allclose(before, after, atol=1e-6)
    assert isinstance(arc, Curve)
    assert arc.closed
