"""Every format: cameras exact to 1e-6 px, and pixels where the cameras say (half-pixel conventions, axes, distortion, resizing)."""

import json

import numpy as np
import pytest

from recon.data.load import load_scene
from recon.geometry import Similarity
from tests.recon.data.data_scenes import (
    POINTS,
    blobs,
    cameras,
    centroids,
    disc,
    save,
    write_blender,
    write_dtu,
    write_emap,
    write_json,
    write_nef,
    write_nerfstudio,
)

CENTRED = {"cx": 80.0, "cy": 60.0, "fy": 190.0}  # what a Blender file without more keys can say


def write(kind, root):
    truths = cameras(**CENTRED) if kind == "blender" else cameras()
    writers = {"blender": write_blender, "nef": write_nef, "nerfstudio": write_nerfstudio, "dtu": write_dtu, "emap": write_emap}
    if kind == "nerfstudio per frame":
        truths = [cameras(fx=150.0 + 5 * i, cx=78.0 + i)[i] for i in range(10)]
        write_nerfstudio(root, truths, shared=False)
    else:
        writers[kind](root, truths)
    return truths


def matched(scene, truths):
    """(view, truth) pairs by camera position."""
    for view in scene.views:
        distances = [np.linalg.norm(view.camera.center - truth.center) for truth in truths]
        assert min(distances) < 1e-8
        yield view, truths[int(np.argmin(distances))]


@pytest.mark.parametrize("kind", ["blender", "nef", "nerfstudio", "nerfstudio per frame", "dtu", "emap"])
@pytest.mark.parametrize(
    ("options", "sx", "sy"),
    [({}, 1, 1), ({"downscale": 2}, 2, 2), ({"max_size": 53}, 160 / 53, 3), ({"downscale": 1.7}, 160 / 94, 120 / 71)],
)
def test_round_trip(tmp_path, kind, options, sx, sy):
    truths = write(kind, tmp_path)
    scene = load_scene(tmp_path, **options)
    assert len(scene.views) == 10
    for view, truth in matched(scene, truths):
        expected = truth.project(POINTS) / [sx, sy]
        uv, depth = view.camera.project(POINTS)
        assert (depth > 0).all()
        np.testing.assert_allclose(uv, expected, atol=1e-6)
        assert view.image.shape == (view.camera.height, view.camera.width, 3)
        # Blobs are rounded to 8 bits and cut off below 3, which costs a few hundredths of a pixel.
        np.testing.assert_allclose(centroids(view.image), expected, atol=0.05)
        origins, directions = view.camera.rays(uv)
        offsets = POINTS - origins
        np.testing.assert_allclose(directions, offsets / np.linalg.norm(offsets, axis=1, keepdims=True), atol=1e-12)


@pytest.mark.parametrize(
    "lens",
    [
        {"k1": 0.06, "k2": -0.08, "p1": -0.001, "p2": 0.0005},
        {"k1": -0.25, "k2": 0.05, "p1": 0.002, "p2": -0.003},
        {"k1": -0.3, "camera_model": "SIMPLE_RADIAL"},
        {"k1": -0.2, "k2": 0.05, "k3": -0.01, "k4": 0.002},
        {"k1": 0.1, "k2": 0.02, "k3": 0.01, "k4": 0.3, "k5": 0.05, "k6": 0.01, "p1": 0.001, "p2": 0.001, "camera_model": "FULL_OPENCV"},
        {"k1": 0.05, "k2": -0.01, "k3": 0.003, "k4": -0.001, "camera_model": "OPENCV_FISHEYE"},
    ],
)
def test_distorted_photographs_become_pinhole_images(tmp_path, lens):
    truths = cameras(fx=150.0, fy=148.0, **lens)
    write_nerfstudio(tmp_path, truths)
    scene = load_scene(tmp_path)
    moved = []
    for view, truth in matched(scene, truths):
        uv, _ = view.camera.project(POINTS)
        moved.append(np.abs(uv - truth.project(POINTS)).max())
        np.testing.assert_allclose(centroids(view.image), uv, atol=0.06)
    assert max(moved) > 0.3  # the distortion was worth undoing
    assert any("distortion" in note for note in scene.notes)


def test_applied_transform_is_undone(tmp_path):
    truths = cameras()
    data = write_nerfstudio(tmp_path, truths)
    applied = Similarity(1.0, np.array([[0.0, 1, 0], [1, 0, 0], [0, 0, -1]]), np.array([0.3, -0.2, 0.5]))
    factor = 0.4
    for frame in data["frames"]:
        m = applied.matrix() @ np.array(frame["transform_matrix"])
        m[:3, 3] *= factor
        frame["transform_matrix"] = m.tolist()
    data |= {"applied_transform": applied.matrix()[:3].tolist(), "applied_scale": factor}
    write_json(tmp_path / "transforms.json", data)
    scene = load_scene(tmp_path)
    for view, truth in matched(scene, truths):
        np.testing.assert_allclose(view.camera.project(POINTS)[0], truth.project(POINTS), atol=1e-6)


def test_intrinsics_of_another_size_are_rescaled(tmp_path):
    truths = cameras()
    data = write_nerfstudio(tmp_path, truths)
    for key, factor in (("fl_x", 4), ("fl_y", 4), ("cx", 4), ("cy", 4), ("w", 4), ("h", 4)):
        data[key] *= factor
    write_json(tmp_path / "transforms.json", data)
    scene = load_scene(tmp_path)
    for view, truth in matched(scene, truths):
        np.testing.assert_allclose(view.camera.project(POINTS)[0], truth.project(POINTS), atol=1e-6)
    assert any("rescaled" in note for note in scene.notes)


def test_dtu_bounds_are_the_scale_mat(tmp_path):
    root = tmp_path / "dtu_scan1"
    root.mkdir()
    scale_mat = write_dtu(root, cameras(), masks=True)
    scene = load_scene(root)
    np.testing.assert_allclose(scene.world_from_scene.matrix(), scale_mat, atol=1e-12)
    assert (scene.unit, scene.background) == (None, "masks")  # the folder's name proves no unit
    assert load_scene(root, use_masks=False).background == (0.0, 0.0, 0.0)
    assert all(view.mask is not None and (view.mask >= 128).any() for view in scene.views)


def test_skew_is_resampled_away(tmp_path):
    truths = cameras()
    skew = 6.0  # pixels of x per unit of normalised y
    sheared = []
    for truth in truths:
        y = np.arange(truth.height) + 0.5
        shift = skew * (y - truth.cy) / truth.fy
        image, columns = blobs(truth), np.arange(truth.width)
        sheared.append(np.stack([[np.interp(columns - d, columns, row[:, c]) for c in range(3)] for row, d in zip(image, shift)]))
    pictures = iter(np.rint(np.array(sheared)).astype(np.uint8).transpose(0, 1, 3, 2))
    write_dtu(tmp_path, truths, pixels=lambda _: np.ascontiguousarray(next(pictures)))
    with np.load(tmp_path / "cameras_sphere.npz") as data:
        arrays = dict(data)
    for i, t in enumerate(truths):
        k = np.array([[t.fx, skew, t.cx - 0.5], [0, t.fy, t.cy - 0.5], [0, 0, 1]])
        arrays[f"world_mat_{i}"][:3, :3], arrays[f"world_mat_{i}"][:3, 3] = k @ t.rotation.T, -k @ t.rotation.T @ t.center
    np.savez(tmp_path / "cameras_sphere.npz", **arrays)
    for view, _ in matched(load_scene(tmp_path), truths):
        np.testing.assert_allclose(centroids(view.image), view.camera.project(POINTS)[0], atol=0.06)


def test_dtu_matches_images_by_number_when_some_are_gone(tmp_path):
    truths = cameras()
    write_dtu(tmp_path, truths)
    (tmp_path / "image" / "000004.png").unlink()
    scene = load_scene(tmp_path)
    assert len(scene.views) == 9
    assert "000004.png" in scene.warnings[0]
    for view, truth in matched(scene, truths):
        np.testing.assert_allclose(centroids(view.image), truth.project(POINTS), atol=0.05)


def test_blender_split_is_kept_and_val_is_left_alone(tmp_path):
    truths = cameras(**CENTRED)
    write_blender(tmp_path, truths)
    (tmp_path / "transforms_val.json").write_text("not read at all")
    scene = load_scene(tmp_path)
    assert [len(scene.split(s)) for s in ("train", "test")] == [7, 3]
    assert all(view.name.startswith("test/") for view in scene.split("test"))
    (tmp_path / "transforms_test.json").rename(tmp_path / "transforms_val.json")
    assert [len(load_scene(tmp_path).split(s)) for s in ("train", "test")] == [7, 3]
    assert [len(load_scene(tmp_path, split="all").split(s)) for s in ("train", "test")] == [10, 0]


def test_every_eighth_by_natural_order(tmp_path):
    write_nerfstudio(tmp_path, cameras(20))
    scene = load_scene(tmp_path)
    assert [view.name for view in scene.split("test")] == [f"images/frame_{i}.png" for i in (0, 8, 16)]
    assert [view.name for view in scene.split("train")][:3] == [f"images/frame_{i}.png" for i in (1, 2, 3)]
    assert any("every 8th" in note for note in scene.notes)
    assert len(load_scene(tmp_path, holdout=5).split("test")) == 4
    assert len(load_scene(tmp_path, holdout=0).split("test")) == 0


@pytest.mark.parametrize("how", ["keys", "bare names", "json file", "text files"])
def test_given_split_lists_are_kept(tmp_path, how):
    data = write_nerfstudio(tmp_path, cameras(9))
    train, test = [f"images/frame_{i}.png" for i in range(6)], ["images/frame_7.png", "images/frame_8.png"]
    if how == "keys":
        write_json(tmp_path / "transforms.json", {**data, "train_filenames": train, "val_filenames": test})
    elif how == "bare names":
        bare = {"train": [n.split("/")[1] for n in train], "test": [n.split("/")[1] for n in test]}
        write_json(tmp_path / "train_test_lists.json", bare)
    elif how == "json file":
        write_json(tmp_path / "train_test_lists.json", {"train": train, "test": test})
    else:
        (tmp_path / "train.txt").write_text("\n".join(train) + "\n")
        (tmp_path / "test.txt").write_text("\n".join(test))
    scene = load_scene(tmp_path)
    assert [v.name for v in scene.split("train")] == train
    assert [v.name for v in scene.split("test")] == test
    assert any("1 frames are in none" in warning for warning in scene.warnings)


def test_nerfstudio_masks(tmp_path):
    truths = cameras()
    data = write_nerfstudio(tmp_path, truths)
    for i, (frame, truth) in enumerate(zip(data["frames"], truths)):
        frame["mask_path"] = f"masks/{i}.png"
        save(tmp_path / "masks" / f"{i}.png", 255 * disc(truth).astype(np.uint8))
    write_json(tmp_path / "transforms.json", data)
    scene = load_scene(tmp_path, downscale=2)
    assert scene.background == "masks"
    assert scene.views[0].mask is not None
    assert scene.views[0].mask.shape == scene.views[0].image.shape[:2]
    # Masks that cover nearly everything mark what to ignore; they outline no object.
    for i in range(10):
        save(tmp_path / "masks" / f"{i}.png", np.full((120, 160), 255, np.uint8))
    scene = load_scene(tmp_path)
    assert scene.background != "masks"
    assert any("reach the images' borders" in w for w in scene.warnings)


def test_a_camera_file_is_as_good_as_its_folder(tmp_path):
    write_nerfstudio(tmp_path, cameras())
    a, b = load_scene(tmp_path), load_scene(tmp_path / "transforms.json")
    assert [v.name for v in a.views] == [v.name for v in b.views]


def test_file_names_without_suffix_in_other_case_and_with_backslashes(tmp_path):
    data = write_nerfstudio(tmp_path, cameras())
    names = ["images/frame_0", "images\\frame_1.png", "./images/FRAME_2.PNG", str(tmp_path / "images" / "frame_3.png")]
    for frame, name in zip(data["frames"], names):
        frame["file_path"] = name
    write_json(tmp_path / "transforms.json", data)
    scene = load_scene(tmp_path)
    assert {v.name for v in scene.views} == {f"images/frame_{i}.png" for i in range(10)}
    assert json.loads((tmp_path / "transforms.json").read_text()) == data  # inputs are never touched


def test_blobs_are_a_fair_oracle():
    truth = cameras()[0]
    np.testing.assert_allclose(centroids(blobs(truth)), truth.project(POINTS), atol=0.02)
