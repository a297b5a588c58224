"""Lengths, markers and distances."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from recon.errors import DataError, UsageError
from recon.photos.markers import Sighting, marker_side, triangulate
from recon.photos.options import PhotoOptions, parse_length, parse_marker
from recon.photos.scale import check_options, find_scale
from tests.recon.photos.made_up import photos, some_similarity, usual_model

SQUARE = np.array([[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]])


@pytest.mark.parametrize(
    ("text", "value", "unit"), [("40mm", 40, "mm"), (" 2 in ", 2, "in"), ("0.12m", 0.12, "m"), (".5cm", 0.5, "cm"), ("1e2mm", 100, "mm")]
)
def test_lengths(text, value, unit):
    length = parse_length(text, "--x")
    assert (length.value, length.unit) == (value, unit)


@pytest.mark.parametrize("text", ["40", "mm", "-3mm", "0mm", "4 furlongs", "nan mm", ""])
def test_what_is_no_length(text):
    with pytest.raises(UsageError, match="--x"):
        parse_length(text, "--x")


def test_lengths_in_other_units():
    assert parse_length("2in", "").to("mm") == pytest.approx(50.8)
    assert parse_length("40mm", "").to("m") == pytest.approx(0.04)


@pytest.mark.parametrize(
    ("text", "dictionary"),
    [
        ("aruco_4x4_50:40mm", "DICT_4X4_50"),
        ("ARUCO_6x6_1000:1in", "DICT_6X6_1000"),
        ("apriltag_36h11:40mm", "DICT_APRILTAG_36H11"),
        ("aruco_original:4cm", "DICT_ARUCO_ORIGINAL"),
    ],
)
def test_markers_by_name(text, dictionary):
    assert parse_marker(text)[0] == dictionary


@pytest.mark.parametrize("text", ["aruco_4x4_50", "40mm", "qr:40mm", "aruco_4x4_50:40", "aruco_4x4_50=40mm"])
def test_what_is_no_marker(text):
    with pytest.raises(UsageError, match="--marker"):
        parse_marker(text)


def test_two_scales_contradict():
    with pytest.raises(UsageError, match="both"):
        check_options(PhotoOptions(marker="aruco_4x4_50:40mm", distance=("a", "b", "1m")))


def test_triangulation_is_exact_and_least_squares():
    model = usual_model()
    point = np.array([0.3, -0.2, 0.5])
    turn = model.world_from_camera[:, :, :3].transpose(0, 2, 1)
    local = np.einsum("nij,nj->ni", turn, point - model.centers)
    measured = local[:, :2] / local[:, 2:]
    directions = np.einsum("nij,nj->ni", model.world_from_camera[:, :, :3], np.concatenate([measured, np.ones((len(turn), 1))], axis=1))
    np.testing.assert_allclose(triangulate(model.centers, directions, turn, measured), point, atol=1e-10)
    noisy = measured + np.random.default_rng(0).normal(0, 1e-3, measured.shape)
    found = triangulate(model.centers, directions, turn, noisy)

    def cost(p):
        q = np.einsum("nij,nj->ni", turn, p - model.centers)
        return ((q[:, :2] / q[:, 2:] - noisy) ** 2).sum()

    around = [cost(found + step) for step in 1e-4 * np.concatenate([np.eye(3), -np.eye(3)])]
    assert min(around) > cost(found)


def sightings(model, corners: np.ndarray, marker: int, rows, shift=0.0):
    out = []
    for row in rows:
        uv, _ = model.project(row, corners)
        out.append(Sighting(model.names[row], marker, (uv + shift) * 2))  # photographs are twice as large as their copies
    return out


def test_side_of_markers_through_the_lens():
    frame = some_similarity()
    model = usual_model().transformed(frame)
    corners = frame.apply(0.4 * SQUARE - [0.1, 0.3, 0.0])
    seen = sightings(model, corners, 3, range(8)) + sightings(model, frame.apply(0.4 * SQUARE + [0, 0, 0.5]), 5, (2, 4, 9))
    side, spread, used = marker_side(seen, model, photos(12))
    assert side == pytest.approx(0.4 * frame.scale, rel=1e-6)
    assert spread < 1e-6
    assert "3, 5" in used
    assert "9 photographs" in used


def test_a_wrong_sighting_is_left_out():
    model = usual_model()
    seen = sightings(model, 0.4 * SQUARE, 3, range(8)) + sightings(model, 0.4 * SQUARE, 3, [9], shift=60.0)
    assert marker_side(seen, model, photos(12))[0] == pytest.approx(0.4, rel=1e-6)


@pytest.mark.parametrize("case", ["two sides", "twice", "two views", "no camera"])
def test_markers_that_say_nothing(case):
    model = usual_model()
    if case == "two sides":
        seen = sightings(model, 0.4 * SQUARE, 3, range(8)) + sightings(model, 0.5 * SQUARE + [0, 0, 0.4], 4, range(8))
    elif case == "twice":
        seen = sightings(model, 0.4 * SQUARE, 3, range(8)) + sightings(model, 0.4 * SQUARE + [1, 0, 0], 3, range(8))
    elif case == "two views":
        seen = sightings(model, 0.4 * SQUARE, 3, (1, 2))
    else:
        seen = [replace(s, photo="elsewhere.jpg") for s in sightings(model, 0.4 * SQUARE, 3, range(8))]
    words = {"two sides": "differ by", "twice": "twice in one photograph", "two views": "3 photographs", "no camera": "3 photographs"}
    with pytest.raises(DataError, match=words[case]):
        marker_side(seen, model, photos(12))


@pytest.mark.parametrize(("unit", "expected"), [(None, 120.0), ("m", 0.12), ("cm", 12.0)])
def test_distance_of_two_cameras(unit, expected, tmp_path):
    model = usual_model()
    apart = np.linalg.norm(model.centers[0] - model.centers[7])
    options = PhotoOptions(distance=("00.jpg", "07", "120mm"))
    scale = find_scale(options, unit, model, photos(12), tmp_path, lambda done, total: None)
    assert scale.factor * apart == pytest.approx(expected, rel=1e-9)
    assert scale.unit == (unit or "mm")


def test_distances_that_cannot_be(tmp_path):
    model = usual_model()
    with pytest.raises(UsageError, match="no photograph 99"):
        find_scale(PhotoOptions(distance=("00.jpg", "99.jpg", "1m")), None, model, photos(12), tmp_path, print)
    with pytest.raises(DataError, match="no camera"):
        find_scale(PhotoOptions(distance=("00.jpg", "12.jpg", "1m")), None, model, photos(13), tmp_path, print)
    with pytest.raises(DataError, match="one place"):
        find_scale(PhotoOptions(distance=("00.jpg", "00.jpg", "1m")), None, model, photos(12), tmp_path, print)
