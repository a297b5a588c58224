"""Bounds, background, facts and picture."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from recon.data import bounds
from recon.data.inspect import camera_picture, describe, sphere_outline
from recon.data.load import load_scene
from recon.data.scene import Camera
from recon.geometry import Similarity
from tests.recon.data.data_scenes import Truth, cameras, disc, save, write_blender, write_json, write_nerfstudio


def as_camera(t: Truth) -> Camera:
    return Camera(t.width, t.height, t.fx, t.fy, t.cx, t.cy, np.concatenate([t.rotation, t.center[:, None]], axis=1))


def moved(truths, offset):
    return [Truth(**{**t.__dict__, "center": t.center + offset}) for t in truths]


def rgba(truth):
    inside = disc(truth)
    return np.dstack([np.full((*inside.shape, 3), 90, np.uint8), 255 * inside.astype(np.uint8)])


@pytest.mark.parametrize("radius", [0.05, 0.3, 0.7])
@pytest.mark.parametrize("spoiled", [0, 2])
def test_hull_of_a_sphere(radius, spoiled):
    """The visual hull of a sphere seen from all around is little more than the sphere, wherever it is and with two wrong masks."""
    truths = cameras(24, width=200, height=200, fx=220.0, fy=220.0, cx=100, cy=100)
    silhouettes = [disc(t, radius) for t in truths]
    for i in range(spoiled):
        silhouettes[5 * i] = np.zeros_like(silhouettes[0])
    offset = np.array([10.0, -20.0, 5.0])
    found = bounds.from_silhouettes([as_camera(t) for t in moved(truths, offset)], silhouettes)
    assert found is not None
    np.testing.assert_allclose(found.translation, offset, atol=0.2 * radius)
    reach = np.linalg.norm(found.translation - offset) + radius
    assert reach <= found.scale  # the object is inside
    assert found.scale < 1.6 * radius


@pytest.mark.parametrize("kind", ["empty", "full", "contradictory"])
def test_silhouettes_that_bound_nothing(kind):
    truths = cameras(12)
    shape = (truths[0].height, truths[0].width)
    if kind == "contradictory":
        silhouettes = [np.zeros(shape, bool) for _ in truths]
        for i, s in enumerate(silhouettes):
            s[: 10 + i, : 20 + i] = True
            s[:] = np.roll(s, 37 * i, axis=1)
    else:
        silhouettes = [np.full(shape, kind == "full") for _ in truths]
    found = bounds.from_silhouettes([as_camera(t) for t in truths], silhouettes)
    assert found is None or kind == "full"


def test_point_nearest_axes_withstands_stray_cameras():
    truths = moved(cameras(20), np.array([1.0, 2, 3]))
    stray = [Truth(**{**t.__dict__, "rotation": t.rotation[:, [1, 2, 0]]}) for t in truths[:3]]
    point, _ = bounds.point_nearest_axes([as_camera(t) for t in truths + stray])
    np.testing.assert_allclose(point, [1, 2, 3], atol=0.02)


def test_bounds_from_cameras():
    similarity, note, warning = bounds.from_cameras([as_camera(t) for t in cameras(20)])
    np.testing.assert_allclose(similarity.translation, 0, atol=1e-6)
    assert similarity.scale == pytest.approx(1.95)
    assert warning is None
    assert "0.65" in note


@pytest.mark.parametrize("kind", ["forward", "outward"])
def test_captures_that_are_not_around_an_object_are_told(kind):
    truths = cameras(12)
    if kind == "forward":
        rng = np.random.default_rng(0)
        truths = [Truth(**{**t.__dict__, "rotation": np.eye(3), "center": rng.uniform(-1, 1, 3) * [1, 1, 0.1]}) for t in truths]
    else:
        truths = [Truth(**{**t.__dict__, "rotation": t.rotation * [-1, 1, -1]}) for t in truths]
    similarity, _, warning = bounds.from_cameras([as_camera(t) for t in truths])
    assert warning is not None
    assert similarity.scale > 0
    assert np.isfinite(similarity.translation).all()
    if kind == "forward":
        assert similarity.translation[2] > 0.5  # in front of them


def test_enclosing_sphere_is_nearly_the_smallest():
    rng = np.random.default_rng(0)
    directions = rng.normal(size=(500, 3))
    points = 2.0 * directions / np.linalg.norm(directions, axis=1, keepdims=True) + [5, 6, 7]
    center, radius = bounds.enclosing_sphere(points)
    assert (np.linalg.norm(points - center, axis=1) <= radius + 1e-12).all()
    assert radius < 2.0 * 1.01


@pytest.mark.parametrize("kind", ["alpha", "white", "noisy", "masks"])
def test_background_and_bounds_of_a_scene(tmp_path, kind):
    truths = cameras(12, cx=80.0, cy=60.0, fy=190.0)
    if kind == "alpha":
        write_blender(tmp_path, truths, pixels=rgba)
    else:
        rng = np.random.default_rng(0)

        def picture(t):
            back = 255 if kind == "white" else rng.integers(0, 255, (t.height, t.width, 3))
            return np.where(disc(t)[..., None], 90, back).astype(np.uint8)

        data = write_nerfstudio(tmp_path, truths, pixels=lambda t: np.broadcast_to(picture(t), (t.height, t.width, 3)).copy())
        if kind == "masks":
            for i, (frame, t) in enumerate(zip(data["frames"], truths, strict=True)):
                save(tmp_path / f"m{i}.png", 255 * disc(t).astype(np.uint8))
                frame["mask_path"] = f"m{i}.png"
            write_json(tmp_path / "transforms.json", data)
    scene = load_scene(tmp_path)
    expected = {"alpha": "alpha", "white": (1.0, 1.0, 1.0), "noisy": "unknown", "masks": "masks"}[kind]
    assert scene.background == expected
    bounds_note = next(note for note in scene.notes if note.startswith("bounds"))
    assert ("hull" in bounds_note) == (kind != "noisy")
    assert np.linalg.norm(scene.world_from_scene.translation) + 0.7 <= scene.world_from_scene.scale
    np.testing.assert_array_equal(scene.world_from_scene.rotation, np.eye(3))
    assert load_scene(tmp_path, use_masks=False).background == ("unknown" if kind == "masks" else expected)


def test_given_bounds_win(tmp_path):
    write_nerfstudio(tmp_path, cameras())
    given = Similarity(2.0, np.eye(3), np.array([0.1, 0.2, 0.3]))
    scene = load_scene(tmp_path, world_from_scene=given)
    assert scene.world_from_scene is given
    assert any("as given" in note for note in scene.notes)
    away = load_scene(tmp_path, world_from_scene=Similarity(0.01, np.eye(3), np.array([0.0, 0.0, 50.0])))
    assert any("do not see the bounding sphere" in w for w in away.warnings)


def test_some_images_without_alpha(tmp_path):
    truths = cameras(12, cx=80.0, cy=60.0, fy=190.0)
    write_blender(tmp_path, truths, pixels=rgba)
    save(tmp_path / "train" / "r_3.png", rgba(truths[6])[..., :3])
    scene = load_scene(tmp_path)
    assert all(view.image.shape[2] == 4 for view in scene.views)
    assert any("no alpha" in w for w in scene.warnings)
    # Alpha that is opaque everywhere is no alpha.
    other = tmp_path / "opaque"
    write_blender_opaque = [np.dstack([rgba(t)[..., :3], np.full((120, 160), 255, np.uint8)]) for t in truths]
    other.mkdir()
    pictures = iter(write_blender_opaque)
    write_blender(other, truths, pixels=lambda _: next(pictures))
    assert load_scene(other).views[0].image.shape[2] == 3


def test_sphere_outline_is_where_rays_touch():
    camera = as_camera(cameras()[0])
    center, radius = np.array([0.1, -0.2, 0.1]), 0.6
    outline = sphere_outline(camera, center, radius)
    assert outline is not None
    origins, directions = camera.rays(outline)
    offsets = center - origins
    distance = np.linalg.norm(offsets - (offsets * directions).sum(-1, keepdims=True) * directions, axis=-1)
    np.testing.assert_allclose(distance, radius, atol=1e-9)
    assert sphere_outline(camera, camera.center, 1.0) is None


def test_facts_and_picture(tmp_path):
    write_blender(tmp_path, cameras(12, cx=80.0, cy=60.0, fy=190.0), pixels=rgba)
    scene = load_scene(tmp_path, downscale=3)
    facts = json.loads(json.dumps(describe(scene)))
    assert facts["views"] == {"total": 12, "train": 9, "test": 3}
    assert facts["image_sizes"] == [{"width": 53, "height": 40, "count": 12}]
    assert facts["cameras"]["distance_in_radii"][0] > 1
    assert facts["world_from_scene"] == scene.world_from_scene.to_json()
    assert 0 < facts["object_share"] < 1
    camera_picture(scene, tmp_path / "cameras.png")
    with Image.open(tmp_path / "cameras.png") as picture:
        pixels = np.asarray(picture)
    assert pixels.shape[1] == 1920
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 50
