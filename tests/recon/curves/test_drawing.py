"""Curves over photographs: where the lines are drawn, and in which colour."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from recon.curves.drawing import FADE, contact_sheet, overlay
from recon.curves.files.curve import line
from recon.curves.files.projection import TYPE_COLORS, strokes
from recon.curves.files.wireframe import Wireframe, from_curves
from recon.data.scene import Camera, View
from recon.geometry import Similarity
from recon.surface.raycast import ray_scene
from tests.recon.curves.wireframes import box, camera, mixed

STRAIGHT = Camera(80, 60, 100.0, 100.0, 40.0, 30.0, np.eye(4)[:3])
"""At the origin, along z: a point (x, y, 1) is at pixel (40 + 100 x, 30 + 100 y)."""


def ink(picture: np.ndarray) -> np.ndarray:
    """How far each pixel is from white, summed over colours. [H, W]"""
    return (255.0 - picture).sum(2)


@pytest.mark.parametrize("row", [10.5, 20.0, 33.3, 45.8])
@pytest.mark.parametrize("factor", [1, 2])
def test_a_line_is_drawn_where_it_projects(row, factor):
    wireframe = from_curves([line([-0.3, (row - 30) / 100, 1.0], [0.3, (row - 30) / 100, 1.0], vertices=(0, 1))])
    white = np.full((60 * factor, 80 * factor, 3), 255, np.uint8)
    dark = ink(overlay(white, wireframe, STRAIGHT, None))
    column = dark[:, 40 * factor]
    centre = (column * (np.arange(60 * factor) + 0.5)).sum() / column.sum()
    assert centre == pytest.approx(factor * row, abs=0.06)
    along = dark.sum(0) * (np.arange(80 * factor) + 0.5)
    assert along.sum() / dark.sum() == pytest.approx(40 * factor, abs=0.3)


def test_types_have_their_colours():
    wireframe = mixed()
    view = camera(np.array([30.0, -30.0, 25.0]), np.array([10.0, -3.0, 3.0]), 900.0)
    for curve in wireframe.curves:
        picture = overlay(np.full((240, 320, 3), 255, np.uint8), from_curves([curve]), view, None)
        darkest = picture.reshape(-1, 3)[ink(picture).argmax()]
        np.testing.assert_allclose(darkest, TYPE_COLORS[curve.type], atol=30)


def test_the_photograph_is_faded_not_lost():
    grey = np.full((60, 80, 3), 100, np.uint8)
    picture = overlay(grey, Wireframe(np.zeros((0, 3)), ()), STRAIGHT, None)
    assert (picture == round(100 * (1 - FADE) + 255 * FADE)).all()


def test_hidden_lines_are_thin_and_dashed():
    wireframe, mesh = box()
    view = camera((9.0, 8.0, 7.0), (2.0, 1.5, 1.0), 250.0)
    hidden = [s.curve for s in strokes(wireframe, view, ray_scene(mesh)) if not s.visible and len(s.pixels)]
    behind = from_curves([wireframe.curves[k] for k in sorted(set(hidden), key=hidden.index) if 0 in wireframe.curves[k].vertices])
    assert len(behind.curves) == 3
    white = np.full((240, 320, 3), 255, np.uint8)
    solid, dashed = (ink(overlay(white, behind, view, s)).sum() for s in (None, ray_scene(mesh)))
    assert 0.1 < dashed / solid < 0.4  # 0.7 of 1.7 pixels wide, half of the length


def test_own_colours():
    wireframe, _ = box()
    view = camera((9.0, 8.0, 7.0), (2.0, 1.5, 1.0), 250.0)
    picture = overlay(np.full((240, 320, 3), 255, np.uint8), wireframe, view, None, [(0, 0, 0)] * 12)
    assert np.ptp(picture.astype(int), axis=2).max() == 0


@pytest.mark.parametrize(("count", "columns", "rows"), [(1, 1, 1), (4, 3, 2), (9, 3, 2)])
def test_contact_sheet(tmp_path, count, columns, rows):
    wireframe, mesh = box()
    rgba = np.zeros((240, 320, 4), np.uint8)
    views = [View(f"{k}.png", rgba, camera((9.0, 8.0 - k, 7.0), (2.0, 1.5, 1.0), 250.0), "train") for k in range(count)]
    contact_sheet(wireframe, views, mesh, tmp_path / "curves.png")
    sheet = np.asarray(Image.open(tmp_path / "curves.png"))
    assert sheet.shape == (240 * rows + 28, 320 * columns, 3)
    for k in range(min(count, 6)):
        part = sheet[k // 3 * 240 :, k % 3 * 320 :][:240, :320]
        assert 500 < (ink(part) > 60).sum() < 6000
    assert (ink(sheet[240 * rows :]) > 60).any()  # what the colours mean


def test_a_sheet_of_nothing(tmp_path):
    contact_sheet(Wireframe(np.zeros((0, 3)), ()), [], None, tmp_path / "curves.png")
    assert Image.open(tmp_path / "curves.png").size[0] > 100


def test_strokes_of_one_curve_touch_where_visibility_changes():
    """A long line passes behind a box: seen, hidden, seen."""
    _, mesh = box()
    far = from_curves([line([-20.0, 1.0, -3.0], [24.0, 1.0, -3.0], vertices=(0, 1))])
    view = Camera(
        320, 240, 100.0, 100.0, 160.0, 120.0, Similarity().apply_to_pose(camera((2.0, 1.5, 30.0), (2.0, 1.5, 0.0)).world_from_camera)
    )
    pieces = strokes(far, view, ray_scene(mesh))
    assert [p.visible for p in pieces] == [True, False, True]
    for a, b in pairwise(pieces):
        np.testing.assert_array_equal(a.pixels[-1], b.pixels[0])
    whole = np.concatenate([p.pixels[[0, -1]] for p in pieces])
    chord = whole[-1] - whole[0]
    across = (whole - whole[0]) @ np.array([-chord[1], chord[0]])
    assert np.abs(across).max() < 1e-6 * (chord @ chord)
