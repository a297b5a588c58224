"""Exported cameras belong to pictures that exist: read back, the dataset is the same scene."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from recon import pipeline
from recon.config.values import RunConfig
from recon.console import Reporter
from recon.data.load import load_scene
from recon.results.cameras import camera_from_world, export_cameras, picture_names
from tests.recon.data.data_scenes import POINTS, cameras, centroids, disc, save, write_json, write_nerfstudio

QUIET = Reporter(quiet=True)


@pytest.fixture
def exported(tmp_path: Path):
    """Of photographs with a lens, masks and a unit, all in folders with spaces."""
    root = tmp_path / "my data"
    root.mkdir()
    data = write_nerfstudio(root, cameras(9, fx=150.0, fy=148.0, k1=-0.2, k2=0.05, p1=0.001))
    for i, t in enumerate(cameras(9, fx=150.0, fy=148.0, k1=-0.2, k2=0.05)):
        save(root / "m" / f"{i}.png", 255 * disc(t).astype(np.uint8))
        data["frames"][i]["mask_path"] = f"m/{i}.png"
    write_json(root / "transforms.json", {**data, "unit": "cm"})
    scene = load_scene(root, downscale=1.25)
    run = pipeline.start(scene, str(root), RunConfig(), tmp_path / "runs")
    return scene, export_cameras(run, scene, QUIET), run


def test_read_back_it_is_the_same_scene(exported):
    scene, path, _ = exported
    back = load_scene(path.parent)
    assert (back.unit, back.background) == ("cm", "masks")
    assert len(back.split("test")) == len(scene.split("test")) == 2
    np.testing.assert_allclose(back.world_from_scene.translation, scene.world_from_scene.translation, atol=1e-12)
    assert back.world_from_scene.scale == pytest.approx(scene.world_from_scene.scale, rel=1e-12)
    assert not any("distortion" in note for note in back.notes)  # undone once
    for a, b in zip(scene.views, back.views, strict=True):
        assert a.split == b.split
        np.testing.assert_array_equal(a.image, b.image)
        np.testing.assert_allclose(a.camera.project(POINTS)[0], b.camera.project(POINTS)[0], atol=1e-9)
        np.testing.assert_allclose(centroids(b.image), b.camera.project(POINTS)[0], atol=0.06)


def test_the_colmap_model_is_the_same_scene(exported):
    scene, path, _ = exported
    back = load_scene(path.parent / "sparse" / "0", split="all")
    assert back.format == "colmap"
    assert len(back.views) == 9
    for view in back.views:
        other = min(scene.views, key=lambda v: np.linalg.norm(v.camera.center - view.camera.center))
        np.testing.assert_allclose(view.camera.project(POINTS)[0], other.camera.project(POINTS)[0], atol=1e-8)
        np.testing.assert_array_equal(view.image, other.image)
    assert back.points is not None
    assert len(back.points) == 5000
    inside = np.linalg.norm(back.points - scene.world_from_scene.translation, axis=1) <= scene.world_from_scene.scale
    assert inside.all()


def test_again_replaces_the_earlier_one(exported):
    scene, path, run = exported
    (path.parent / "images" / "stray.png").write_bytes(b"")
    assert export_cameras(run, scene, QUIET) == path
    assert not (path.parent / "images" / "stray.png").exists()
    assert [p.name for p in run.exports.iterdir()] == ["cameras"]


def test_names_of_pictures_are_all_different():
    assert picture_names(["a/x.png", "b/x.jpg", "b/X.jpg", "c/ü y.png"]) == ["x.png", "x_2.png", "X_3.png", "ü_y.png"]


@pytest.mark.parametrize("axis", [[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 2, -3]])
@pytest.mark.parametrize("angle", [0.0, 1e-9, 2.0, np.pi, -3.0])
def test_quaternions(axis, angle):
    from scipy.spatial.transform import Rotation

    from recon.data.scene import Camera

    r = Rotation.from_rotvec(angle * np.array(axis) / np.linalg.norm(axis)).as_matrix()
    center = np.array([1.0, -2.0, 3.0])
    q = camera_from_world(Camera(4, 4, 1, 1, 2, 2, np.concatenate([r.T, center[:, None]], 1)))
    np.testing.assert_allclose(Rotation.from_quat([*q[1:4], q[0]]).as_matrix(), r, atol=1e-12)
    np.testing.assert_allclose(q[4:], -r @ center, atol=1e-12)
    assert q[0] >= 0
