"""Corners of a printed square against the ones it was rendered with."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from recon.errors import DataError, UsageError
from recon.photos import markers
from recon.photos.corners import refine
from recon.photos.decode import prepare
from tests.recon.photos.studio import around, blur, photograph, printed, save, with_marker

SIDE = 40.0
SQUARE = np.array([[-20.0, 20, 0], [20, 20, 0], [20, -20, 0], [-20, -20, 0]])
cv2 = pytest.importorskip("cv2", reason="the extra [photos] is not installed")
PAPER = with_marker(printed((0, 0), 240.0, 0.0), 7, (-20.0, 20.0), SIDE)


@pytest.mark.parametrize(("elevation", "distance", "sigma"), [(80, 180.0, 0.0), (50, 200.0, 0.0), (40, 200.0, 1.2), (30, 160.0, 0.8)])
def test_corners_are_where_they_were_rendered(elevation, distance, sigma):
    (camera,) = around((3, -2, 0), distance, (elevation,), 1, 240, 180, 24.0)
    image = photograph(PAPER, camera, samples=8)
    grey = (blur(image, sigma) if sigma else image).mean(axis=2)
    truth = camera.project(SQUARE)[0]
    start = truth - 0.5 + np.random.default_rng(0).uniform(-0.8, 0.8, (4, 2))
    found = refine(grey, start[:: 1 if elevation > 45 else -1])[:: 1 if elevation > 45 else -1] + 0.5  # either way around
    assert np.abs(found - truth).max() < 0.07
    sides, true_sides = (np.linalg.norm(c - np.roll(c, 1, axis=0), axis=1) for c in (found, truth))
    assert np.abs(sides / true_sides - 1).max() < 0.0015


def test_what_is_no_square_stays_where_it_was():
    start = np.array([[30.0, 30], [90, 30], [90, 90], [30, 90]])
    np.testing.assert_array_equal(refine(np.full((120, 120), 128.0), start), start)
    np.testing.assert_array_equal(refine(np.random.default_rng(0).uniform(0, 255, (120, 120)), start), start)
    tiny = start / 10
    np.testing.assert_array_equal(refine(np.zeros((120, 120)), tiny), tiny)


@pytest.mark.parametrize("largest", [3000, 320])
def test_markers_are_found_in_full_upright_pixels(largest, tmp_path, monkeypatch):
    """Also in a photograph that lies on its side, and in one that is searched smaller than it is."""
    monkeypatch.setattr(markers, "LARGEST_SEARCH", largest)
    (camera,) = around((3, -2, 0), 150.0, (60,), 1, 480, 360, 45.0)
    exif = Image.Exif()
    exif[0x0112] = 6
    save(np.rot90(photograph(PAPER, camera, samples=6), 1), tmp_path / "a.png", exif=exif)
    (found,) = markers.find(prepare(tmp_path / "a.png", "a.png", tmp_path, 400), "DICT_4X4_50")
    assert found.marker == 7
    np.testing.assert_allclose(found.corners, camera.project(SQUARE)[0], atol=0.1 if largest > 480 else 0.25)


def test_a_marker_of_another_dictionary_is_named(tmp_path):
    (camera,) = around((3, -2, 0), 150.0, (60,), 1, 480, 360, 45.0)
    save(photograph(PAPER, camera), tmp_path / "a.png")
    photo = prepare(tmp_path / "a.png", "a.png", tmp_path, 400)
    with pytest.raises(DataError, match="no marker of aruco_6x6_250") as failed:
        markers.find_all([photo], "DICT_6X6_250", tmp_path, lambda done, total: None)
    assert "aruco_4x4_50" in str(failed.value)
    with pytest.raises(UsageError, match="no dictionary aruco_9x9_50"):
        markers.find_all([photo], "DICT_9X9_50", tmp_path, lambda done, total: None)
