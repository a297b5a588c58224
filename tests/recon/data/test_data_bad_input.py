"""One test per way a dataset can be broken: exit code 3, the file and frame named, a remedy, and nothing left out silently."""

from __future__ import annotations

import json
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recon.data import reading
from recon.data.load import load_scene
from recon.errors import DataError, MemoryLimitError, ReconError, UsageError
from recon.geometry import Similarity
from tests.recon.data.data_scenes import cameras, save, write_blender, write_dtu, write_emap, write_json, write_nerfstudio


def frame(data, i, **changes):
    data["frames"][i] |= changes
    return data


def pose(data, i, change):
    m = np.array(data["frames"][i]["transform_matrix"])
    change(m)
    return frame(data, i, transform_matrix=m.tolist())


def nan(m):
    m[0, 3] = np.nan


def infinite(m):
    m[2, 1] = np.inf


def mirrored(m):
    m[:3, 0] *= -1


def sheared(m):
    m[:3, 0] += 0.3 * m[:3, 1]


def doubled(m):
    m[:3, :3] *= 2


def singular(m):
    m[:3, 0] = 0


def transposed(m):
    m[:] = m.T.copy()


def without(data, *keys):
    return {k: v for k, v in data.items() if k not in keys}


# What is changed in transforms.json, and what the error must say.
TRANSFORMS = {
    "NaN pose": (lambda d: pose(d, 3, nan), ["frame 3 (images/frame_3.png)", "NaN", "--skip-bad-frames"]),
    "infinite pose": (lambda d: pose(d, 3, infinite), ["frame 3", "infinity"]),
    "mirrored pose": (lambda d: pose(d, 2, mirrored), ["frame 2", "mirrored"]),
    "sheared pose": (lambda d: pose(d, 2, sheared), ["frame 2", "not a rotation"]),
    "scaled pose": (lambda d: pose(d, 2, doubled), ["frame 2", "scaled by 2"]),
    "singular pose": (lambda d: pose(d, 2, singular), ["frame 2", "singular"]),
    "transposed pose": (lambda d: pose(d, 2, transposed), ["frame 2", "transposed"]),
    "pose of words": (lambda d: frame(d, 1, transform_matrix="abc"), ["frame 1", "4x4"]),
    "ragged pose": (lambda d: frame(d, 1, transform_matrix=[[1, 2], [3]]), ["frame 1", "4x4"]),
    "no pose": (lambda d: frame(d, 1, transform_matrix=None), ["frame 1", "4x4", "none"]),
    "zero focal": (lambda d: {**d, "fl_x": 0.0}, ["10 frames", "focal length must be positive"]),
    "negative focal in one frame": (lambda d: frame(d, 4, fl_x=-5.0, fl_y=5.0), ["frame 4", "positive"]),
    "focal NaN": (lambda d: {**d, "fl_y": float("nan")}, ["not finite", "fl_y"]),
    "focal a word": (lambda d: {**d, "fl_x": "wide"}, ['"fl_x" must be a number']),
    "a number too large": (lambda d: {**d, "cx": 10**400}, ['"cx"', "too large"]),
    "no focal": (lambda d: without(d, "fl_x", "fl_y"), ["no focal length", "camera_angle_x"]),
    "impossible angle": (lambda d: {**without(d, "fl_x", "fl_y"), "camera_angle_x": 4.0}, ["between 0 and pi"]),
    "focal in image widths": (lambda d: {**d, "fl_x": 1.2, "fl_y": 1.2}, ["fits no camera", "another unit"]),
    "principal point far outside": (lambda d: {**d, "cx": 1000.0}, ["principal point", "another image size"]),
    "size of another shape": (lambda d: {**d, "w": 200, "h": 200}, ["160x120", "200x200", "another shape"]),
    "turned by a quarter": (lambda d: {**d, "w": 120, "h": 160}, ["quarter turn"]),
    "fractional size": (lambda d: {**d, "w": 160.5}, ["whole pixels"]),
    "unknown camera model": (lambda d: {**d, "camera_model": "THIN_PRISM"}, ["THIN_PRISM", "OPENCV_FISHEYE", "SIMPLE_PINHOLE"]),
    "pinhole with distortion": (lambda d: {**d, "camera_model": "PINHOLE", "k1": 0.1}, ["has no distortion"]),
    "distortion that folds": (lambda d: {**d, "k1": -3.0}, ["folds"]),
    "escapes upwards": (lambda d: frame(d, 5, file_path="../secret.png"), ["frame 5", "leaves the dataset"]),
    "escapes after a detour": (lambda d: frame(d, 5, file_path="images/../../x.png"), ["frame 5", "leaves the dataset"]),
    "absolute path": (lambda d: frame(d, 5, file_path="/etc/passwd.png"), ["frame 5", "absolute"]),
    "drive letter": (lambda d: frame(d, 5, file_path="C:\\photos\\x.png"), ["frame 5", "absolute"]),
    "file name a number": (lambda d: frame(d, 5, file_path=7), ["frame 5", "file_path"]),
    "mask escapes": (lambda d: frame(d, 5, mask_path="../m.png"), ["frame 5", "mask_path"]),
    "same file twice": (lambda d: frame(d, 6, file_path="images/frame_1.png"), ["frame 6", "same file", "frame 1"]),
    "frame not an object": (lambda d: {**d, "frames": [*d["frames"], 5]}, ["frame 10", "not an object"]),
    "frames not a list": (lambda d: {**d, "frames": {}}, ['no list "frames"']),
    "no frames": (lambda d: {**d, "frames": []}, ["no images"]),
    "one view": (lambda d: {**d, "frames": d["frames"][:1]}, ["one view", "at least 3"]),
    "two views": (lambda d: {**d, "frames": d["frames"][:2]}, ["2 views"]),
    "all cameras equal": (
        lambda d: {**d, "frames": [{**f, "transform_matrix": d["frames"][0]["transform_matrix"]} for f in d["frames"]]},
        ["all cameras are equal"],
    ),
    "most images missing": (
        lambda d: {**d, "frames": [{**f, "file_path": f"gone/{i}.png"} if i < 6 else f for i, f in enumerate(d["frames"])]},
        ["6 of the 10 images", "gone/0.png", "--skip-bad-frames"],
    ),
    "applied_transform no similarity": (
        lambda d: {**d, "applied_transform": [[1, 1, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]]},
        ["applied_transform"],
    ),
    "split lists overlap": (
        lambda d: {**d, "train_filenames": ["images/frame_1.png"], "test_filenames": ["images/frame_1.png"]},
        ["images/frame_1.png", "training list"],
    ),
    "split list without training": (lambda d: {**d, "test_filenames": ["images/frame_1.png"]}, ["no training image"]),
    "top level a list": (lambda d: [d], ["transforms.json", "top level"]),
}


def expect(root, words, **options):
    with pytest.raises(DataError) as caught:
        load_scene(root, **options)
    message = str(caught.value)
    assert caught.value.exit_code == 3
    assert caught.value.hint
    for word in words:
        assert word in message, message
    return message


@pytest.mark.parametrize("case", TRANSFORMS)
def test_broken_transforms(tmp_path, case):
    change, words = TRANSFORMS[case]
    data = write_nerfstudio(tmp_path, cameras())
    write_json(tmp_path / "transforms.json", change(json.loads(json.dumps(data))))
    before = sorted(tmp_path.rglob("*"))
    expect(tmp_path, words)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'{"frames": [,]}', ["transforms.json", "not JSON", "line 1, column 13"]),
        (b"", ["not JSON", "line 1"]),
        (b"\xff\xfe\x00", ["not UTF-16"]),
        (b"{\xff}", ["not UTF-8"]),
        (b"[" * 200000, ["transforms.json"]),
        (b'{"w": ' + b"9" * 5000 + b"}", ["transforms.json"]),
    ],
)
def test_json_that_is_not(tmp_path, content, words):
    (tmp_path / "transforms.json").write_bytes(content)
    expect(tmp_path, words)


@pytest.mark.parametrize("damage", ["truncated", "empty", "text", "directory"])
def test_broken_image(tmp_path, damage):
    write_nerfstudio(tmp_path, cameras())
    file = tmp_path / "images" / "frame_7.png"
    content = file.read_bytes()
    file.unlink()
    if damage == "directory":
        file.mkdir()
        scene = load_scene(tmp_path)  # as good as missing
        assert "images/frame_7.png" in scene.warnings[0]
        return
    file.write_bytes({"truncated": content[: len(content) // 2], "empty": b"", "text": b"<html>404</html>"}[damage])
    expect(tmp_path, ["frame 7 (images/frame_7.png)", "--skip-bad-frames", "copy it again"])
    scene = load_scene(tmp_path, skip_bad_frames=True)
    assert len(scene.views) == 9
    assert any("frame_7" in w and "left out" in w for w in scene.warnings)


def test_every_problem_is_reported_at_once(tmp_path):
    data = write_nerfstudio(tmp_path, cameras())
    pose(data, 1, nan)
    pose(data, 2, mirrored)
    frame(data, 3, fl_x=-1.0)
    frame(data, 4, file_path="../x.png")
    write_json(tmp_path / "transforms.json", data)
    (tmp_path / "images" / "frame_1.png").write_bytes(b"")
    (tmp_path / "images" / "frame_5.png").write_bytes(b"x")
    with pytest.raises(DataError) as caught:
        load_scene(tmp_path)
    text = "\n".join(caught.value.problems)
    assert len(caught.value.problems) == 6
    for word in ("frame 1", "NaN", "0 bytes", "mirrored", "positive", "leaves", "frame_5"):
        assert word in text
    scene = load_scene(tmp_path, skip_bad_frames=True)
    assert len(scene.views) == 5
    assert len(scene.warnings) == 6


def test_skipping_too_many_still_fails(tmp_path):
    data = write_nerfstudio(tmp_path, cameras())
    for i in range(8):
        pose(data, i, nan)
    write_json(tmp_path / "transforms.json", data)
    expect(tmp_path, ["only 2 views"], skip_bad_frames=True)


def test_few_missing_images_are_one_warning(tmp_path):
    write_nerfstudio(tmp_path, cameras())
    for i in (2, 5, 6, 8):
        (tmp_path / "images" / f"frame_{i}.png").unlink()
    scene = load_scene(tmp_path)
    assert len(scene.views) == 6
    assert len(scene.warnings) == 1
    for word in ("4 of the 10", "images/frame_2.png", "images/frame_6.png, ...", "other 6"):
        assert word in scene.warnings[0]


def test_slightly_bent_rotations_are_mended_with_a_warning(tmp_path):
    data = write_nerfstudio(tmp_path, cameras())

    def bend(m):
        m[:3, 0] += 1e-3 * m[:3, 1]

    write_json(tmp_path / "transforms.json", pose(data, 1, bend))
    scene = load_scene(tmp_path)
    assert any("re-orthonormalised" in w for w in scene.warnings)
    for view in scene.views:
        rotation = view.camera.world_from_camera[:, :3]
        np.testing.assert_allclose(rotation.T @ rotation, np.eye(3), atol=1e-12)
        assert np.linalg.det(rotation) > 0


def test_turning_on_the_spot_gives_no_depth(tmp_path):
    data = write_nerfstudio(tmp_path, cameras())

    def same_place(m):
        m[:3, 3] = [1, 2, 3]

    for i in range(10):
        pose(data, i, same_place)
    write_json(tmp_path / "transforms.json", data)
    expect(tmp_path, ["same point", "parallax"])


def test_blender_problems_name_their_file(tmp_path):
    write_blender(tmp_path, cameras(cx=80.0, cy=60.0, fy=190.0))
    (tmp_path / "test" / "r_1.png").write_bytes(b"")
    (tmp_path / "train" / "r_2.png").write_bytes(b"")
    expect(tmp_path, ["transforms_test.json frame 1 (test/r_1.png)", "transforms_train.json frame 2 (train/r_2.png)"])
    (tmp_path / "transforms_test.json").write_text("{")
    expect(tmp_path, ["transforms_test.json: is not JSON"])


def test_broken_npz(tmp_path):
    write_dtu(tmp_path, cameras())
    file = tmp_path / "cameras_sphere.npz"
    content = file.read_bytes()
    for damaged in (content[: len(content) // 2], b"", b"no archive", content[:-30]):
        file.write_bytes(damaged)
        expect(tmp_path, ["cameras_sphere.npz", "copy it again"])
    np.savez(file, something=np.zeros(3))
    expect(tmp_path, ["world_mat_0"])
    np.savez(file, world_mat_0=np.array([{}], dtype=object))
    expect(tmp_path, ["cameras_sphere.npz"])  # pickled objects are never unpacked


@pytest.mark.parametrize(("matrix", "word"), [(np.full((4, 4), np.nan), "NaN"), (np.zeros((4, 4)), "singular"), (np.eye(3), "4x4")])
def test_broken_projection(tmp_path, matrix, word):
    write_dtu(tmp_path, cameras())
    with np.load(tmp_path / "cameras_sphere.npz") as data:
        arrays = dict(data)
    arrays["world_mat_4"] = matrix
    np.savez(tmp_path / "cameras_sphere.npz", **arrays)
    expect(tmp_path, ["world_mat_4 (image/000004.png)", word])


def test_images_that_nothing_assigns_to_cameras(tmp_path):
    write_dtu(tmp_path, cameras())
    for i, file in enumerate(sorted((tmp_path / "image").iterdir())[:8]):
        file.rename(file.with_name(f"{'abcdefgh'[i]}.png"))
    save(tmp_path / "image" / "extra.png", np.zeros((120, 160, 3), np.uint8))
    expect(tmp_path, ["11 images", "10 cameras"])


def test_emap_problems(tmp_path):
    write_emap(tmp_path, cameras())
    data = json.loads((tmp_path / "meta_data.json").read_text())
    data["frames"][2]["intrinsics"] = [[1, 2]]
    data["frames"][3]["camtoworld"][0][0] = float("nan")
    write_json(tmp_path / "meta_data.json", data)
    expect(tmp_path, ["frame 2 (color/2_colors.png)", "3x3", "frame 3 (color/3_colors.png)", "NaN"])
    write_json(tmp_path / "meta_data.json", {**data, "camera_model": "X"})
    expect(tmp_path, ["unknown camera_model"])


def test_what_is_no_dataset(tmp_path):
    expect(tmp_path / "nowhere", ["no such file"])
    expect(tmp_path, ["transforms.json", "cameras_sphere.npz"])
    save(tmp_path / "a.jpg", np.zeros((4, 4, 3), np.uint8))
    expect(tmp_path, ["1 images but no cameras", "recon process"])
    expect(tmp_path / "a.jpg", ["not a dataset"])


@pytest.mark.parametrize(
    "options",
    [
        {"downscale": 0.5},
        {"downscale": float("nan")},
        {"max_size": 0},
        {"holdout": 1},
        {"holdout": -8},
        {"split": "val"},
        {"world_from_scene": Similarity(-1.0)},
        {"world_from_scene": Similarity(1.0, 2 * np.eye(3))},
    ],
)
def test_arguments_out_of_range(tmp_path, options):
    with pytest.raises(UsageError):
        load_scene(tmp_path, **options)


def test_images_that_cannot_fit_into_memory_are_refused_before_decoding(tmp_path, monkeypatch):
    write_nerfstudio(tmp_path, cameras())
    known = {"SC_AVPHYS_PAGES": 10, "SC_PHYS_PAGES": 100, "SC_PAGE_SIZE": 4096}
    monkeypatch.setattr(reading.os, "sysconf", known.__getitem__)
    with pytest.raises(MemoryLimitError, match="--downscale") as caught:
        load_scene(tmp_path)
    assert caught.value.exit_code == 5


JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.sampled_from([1e300, -1e300, 1e-300, 10**30, float("nan"), float("inf"), -0.0, 0.5]),
    st.text(max_size=5),
    st.sampled_from([[], {}, [[]], [1, 2, 3], "..", "/", "images", "images/frame_0.png\0", "x" * 5000]),
)


@pytest.fixture(scope="module")
def good_dataset():
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        data = write_nerfstudio(root, cameras(6, width=40, height=30, fx=50.0, fy=50.0, cx=20.0, cy=15.0, k1=0.01), camera_model="OPENCV")
        data |= {"applied_transform": np.eye(4)[:3].tolist(), "train_filenames": [f["file_path"] for f in data["frames"]]}
        data["frames"][0]["camera_intrinsics"] = [[50, 0, 20], [0, 50, 15], [0, 0, 1]]
        yield root, data


@settings(max_examples=150, deadline=None, derandomize=True)
@given(choice=st.data())
def test_no_junk_value_ends_in_a_crash(good_dataset, choice):
    """Any value replaced by anything: a scene with finite cameras, or an error made for users, and never a NumPy warning."""
    root, data = good_dataset
    data = json.loads(json.dumps(data))
    node = data
    while True:
        key = choice.draw(st.sampled_from(sorted(node)) if isinstance(node, dict) else st.integers(0, len(node) - 1))
        if not isinstance(node[key], dict | list) or not node[key] or choice.draw(st.booleans()):
            node[key] = choice.draw(JUNK)
            break
        node = node[key]
    write_json(root / "transforms.json", data)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            scene = load_scene(root)
        except ReconError:
            return
    for view in scene.views:
        c = view.camera
        assert np.isfinite([c.fx, c.fy, c.cx, c.cy]).all()
        assert np.isfinite(c.world_from_camera).all()
    assert np.isfinite(scene.world_from_scene.scale)
