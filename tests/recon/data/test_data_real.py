"""The loaders on real data, where the development data folder is there."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from recon.data import bounds
from recon.data.load import load_scene
from recon.data.silhouettes import silhouettes_of
from recon.errors import DataError
from tests.recon.data.data_scenes import DEVELOPMENT_DATA

pytestmark = [
    pytest.mark.data,
    pytest.mark.skipif(not DEVELOPMENT_DATA.is_dir(), reason=f"the development data folder ({DEVELOPMENT_DATA}) is absent"),
]


def share_of_object_rays_that_meet_the_sphere(scene, silhouettes):
    met = total = 0
    for view, silhouette in zip(scene.views, silhouettes, strict=True):
        row, column = np.nonzero(silhouette)
        origins, directions = view.camera.rays(np.stack([column + 0.5, row + 0.5], -1))
        offset = scene.world_from_scene.translation - origins
        along = (offset * directions).sum(-1, keepdims=True)
        met += (np.linalg.norm(offset - along * directions, axis=-1) <= scene.world_from_scene.scale).sum()
        total += len(row)
    return met / total


def test_lego():
    scene = load_scene(DEVELOPMENT_DATA / "lego_400", downscale=4)
    assert (len(scene.split("train")), len(scene.split("test"))) == (100, 25)
    assert scene.background == "alpha"
    assert scene.warnings == ()
    camera = scene.views[0].camera
    assert (camera.width, camera.cx, camera.cy) == (100, 50.0, 50.0)
    assert camera.fx == pytest.approx(50 / np.tan(0.6911112070083618 / 2))
    assert share_of_object_rays_that_meet_the_sphere(scene, silhouettes_of(scene.views, "alpha")) == 1.0
    assert scene.world_from_scene.scale < 1.7  # and the sphere is not wasteful: the model's half diagonal is about 1.3
    assert np.abs(scene.world_from_scene.translation[:2]).max() < 0.1


def test_fox():
    scene = load_scene(DEVELOPMENT_DATA / "fox", downscale=8)
    assert (len(scene.split("train")), len(scene.split("test"))) == (43, 7)
    assert len(scene.warnings) == 1
    assert "17 of the 67" in scene.warnings[0]
    assert "images/0005.jpg" in scene.warnings[0]
    assert scene.background == "unknown"
    assert scene.views[0].image.shape == (240, 135, 3)
    distances = [np.linalg.norm(v.camera.center - scene.world_from_scene.translation) for v in scene.views]
    assert min(distances) > scene.world_from_scene.scale


def test_dtu_hull_agrees_with_its_masks():
    scene = load_scene(DEVELOPMENT_DATA / "dtu_scan24", downscale=4)
    assert (len(scene.views), scene.unit, scene.background) == (49, "mm", "masks")
    assert scene.world_from_scene.scale == pytest.approx(231.0682, abs=1e-3)
    distances = [np.linalg.norm(v.camera.center - scene.world_from_scene.translation) / scene.world_from_scene.scale for v in scene.views]
    assert min(distances) > 2.7
    assert max(distances) < 3.0
    assert load_scene(DEVELOPMENT_DATA / "dtu_scan24", downscale=4, use_masks=False).background == "unknown"
    # Carve a grid with all masks but one, project what is left into the one left out: it must cover that mask, and little more. A wrong
    # axis or images in the wrong order leave nothing. (A constant shift of all images hardly shows here: the hull shifts along.)
    silhouettes = silhouettes_of(scene.views, "masks")
    assert silhouettes is not None
    axis = (np.arange(72) + 0.5) / 36 - 1
    grid = scene.world_from_scene.apply(np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3))
    grid = grid[np.linalg.norm(grid - scene.world_from_scene.translation, axis=1) <= scene.world_from_scene.scale]
    outside = []
    for view, silhouette in zip(scene.views, silhouettes, strict=True):
        column, row, seen = pixels_of(view, grid)
        out = np.zeros(len(grid), bool)
        out[seen] = ~silhouette[row[seen], column[seen]]
        outside.append(out)
    times_outside = np.sum(outside, axis=0)
    covered, ious = [], []
    for left_out in range(0, 49, 6):
        mask = silhouettes[left_out]
        column, row, seen = pixels_of(scene.views[left_out], grid[times_outside - outside[left_out] == 0])
        drawn = np.zeros_like(mask)
        drawn[row[seen], column[seen]] = True
        drawn = ndimage.binary_dilation(drawn, np.ones((3, 3)))  # cells are about three pixels wide
        covered.append((drawn & mask).sum() / mask.sum())
        ious.append((drawn & mask).sum() / (drawn | mask).sum())
    assert min(covered) > 0.97, covered
    assert np.mean(ious) > 0.95, ious


def pixels_of(view, points):
    """Column, row, and whether they lie in the image."""
    uv, _ = view.camera.project(points)
    column, row = np.floor(uv).astype(int).T
    return column, row, (column >= 0) & (row >= 0) & (column < view.camera.width) & (row < view.camera.height)


def test_nef_abc_uses_photographs_and_the_true_centre():
    scene = load_scene(DEVELOPMENT_DATA / "abc_nef" / "00000952", downscale=8)
    assert (len(scene.split("train")), len(scene.split("test"))) == (50, 4)
    assert scene.background == "alpha"
    assert all("_img/" in view.name for view in scene.views)
    assert scene.views[0].camera.cx == pytest.approx(50.0)
    np.testing.assert_allclose(scene.world_from_scene.translation, 0.5, atol=0.02)
    point, _ = bounds.point_nearest_axes([view.camera for view in scene.views])
    np.testing.assert_allclose(point, 0.5, atol=1e-3)


def test_emap_truncated_image():
    root = DEVELOPMENT_DATA / "abc_nef" / "00004926"
    with pytest.raises(DataError, match="21_colors") as caught:
        load_scene(root, downscale=8)
    assert "--skip-bad-frames" in str(caught.value)
    scene = load_scene(root, downscale=8, skip_bad_frames=True)
    assert len(scene.views) == 49
    np.testing.assert_allclose(scene.world_from_scene.translation, 0.5, atol=0.05)


def test_photographs_without_cameras():
    with pytest.raises(DataError, match="recon process"):
        load_scene(DEVELOPMENT_DATA / "photos_sceaux")
