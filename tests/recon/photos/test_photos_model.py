"""Sparse models: projection against the program's own lens, frames, parts, files."""

from __future__ import annotations

import numpy as np
import pytest

from recon.data.distortion import to_pixels
from recon.data.listing import Lens
from recon.photos.model import load_model, save_model
from tests.recon.photos.made_up import LENS, some_similarity, usual_model


def test_projection_is_that_of_the_lens():
    model = usual_model()
    f, cx, cy, k1, k2 = LENS
    pose = model.world_from_camera[3]
    local = (model.points - pose[:, 3]) @ pose[:, :3]
    expected = to_pixels(Lens(k=(k1, k2, 0, 0, 0, 0)), f, f, cx, cy, 0.0, local[:, :2] / local[:, 2:])
    uv, depth = model.project(3, model.points)
    np.testing.assert_allclose(uv, expected, atol=1e-9)
    np.testing.assert_allclose(depth, local[:, 2], atol=1e-12)


def test_another_frame_changes_no_pixel():
    model = usual_model().transformed(some_similarity())
    assert model.residuals().max() < 1e-9
    rotations = model.world_from_camera[:, :, :3]
    np.testing.assert_allclose(rotations @ rotations.transpose(0, 2, 1), np.broadcast_to(np.eye(3), rotations.shape), atol=1e-12)


def test_residuals_see_a_moved_pixel():
    model = usual_model()
    model.pixels[17] += [3.0, 4.0]
    assert model.residuals()[17] == pytest.approx(5.0, abs=1e-9)


def test_keeping_some_photographs_keeps_their_points_and_drops_lonely_ones():
    model = usual_model(6)
    kept = np.array([True, False, True, False, False, True])
    part = model.keep(kept)
    assert part.names == tuple(n for n, k in zip(model.names, kept, strict=True) if k)
    assert part.residuals().max() < 1e-9
    assert set(part.tracks.tolist()) == {3}
    assert len(model.keep(np.array([True] + [False] * 5)).points) == 0


def test_another_order_changes_no_pixel():
    model = usual_model(6)
    order = np.array([3, 5, 0, 1, 4, 2])
    other = model.reordered(order)
    assert other.residuals().max() < 1e-9
    assert other.names == tuple(model.names[i] for i in order)
    np.testing.assert_array_equal(np.bincount(other.seen_by), np.bincount(model.seen_by)[order])


def test_files_hold_everything(tmp_path):
    model = usual_model().transformed(some_similarity())
    save_model(model, tmp_path / "m.npz")
    again = load_model(tmp_path / "m.npz")
    assert again.names == model.names
    for name in ("world_from_camera", "params", "sizes", "points", "colors", "errors", "seen_by", "seen", "pixels", "camera"):
        np.testing.assert_array_equal(getattr(again, name), getattr(model, name))
