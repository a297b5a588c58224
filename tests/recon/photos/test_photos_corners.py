"""Corners of a printed square against the ones it was rendered with."""

from __future__ import annotations

import numpy as np
import pytest

from recon.photos.corners import refine
from tests.recon.photos.studio import around, blur, photograph, printed, with_marker

SIDE = 40.0
SQUARE = np.array([[-20.0, 20, 0], [20, 20, 0], [20, -20, 0], [-20, -20, 0]])
PAPER = with_marker(printed((0, 0), 240.0, 0.0), 7, (-20.0, 20.0), SIDE)


@pytest.mark.parametrize(("elevation", "distance", "sigma"), [(80, 130.0, 0.0), (50, 200.0, 0.0), (40, 200.0, 1.2), (30, 160.0, 0.8)])
def test_corners_are_where_they_were_rendered(elevation, distance, sigma):
    pytest.importorskip("cv2")
    (camera,) = around((3, -2, 0), distance, (elevation,), 1, 480, 360, 45.0)
    image = photograph(PAPER, camera, samples=8)
    grey = (blur(image, sigma) if sigma else image).mean(axis=2)
    truth = camera.project(SQUARE)[0]
    start = truth - 0.5 + np.random.default_rng(0).uniform(-0.8, 0.8, (4, 2))
    found = refine(grey, start) + 0.5
    assert np.abs(found - truth).max() < 0.07
    sides, true_sides = (np.linalg.norm(c - np.roll(c, 1, axis=0), axis=1) for c in (found, truth))
    assert np.abs(sides / true_sides - 1).max() < 0.0015


def test_what_is_no_square_stays_where_it_was():
    start = np.array([[30.0, 30], [90, 30], [90, 90], [30, 90]])
    np.testing.assert_array_equal(refine(np.full((120, 120), 128.0), start), start)
    np.testing.assert_array_equal(refine(np.random.default_rng(0).uniform(0, 255, (120, 120)), start), start)
    tiny = start / 10
    np.testing.assert_array_equal(refine(np.zeros((120, 120)), tiny), tiny)
