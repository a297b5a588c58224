"""The formats of other programs: cameras exact to 1e-6 px, pixels where the cameras say; finding a dataset; what is not read is named."""

from __future__ import annotations

import json
import os
import shutil
import struct
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from recon.data.distortion import distort, to_pixels, undistort
from recon.data.formats.colmap_models import MODELS, intrinsics
from recon.data.load import load_scene
from recon.errors import DataError
from tests.recon.data.data_scenes import POINTS, blobs, cameras, centroids, save, write_dtu, write_json, write_nerfstudio
from tests.recon.data.written_formats import WRITERS, write_colmap_bin, write_colmap_txt, write_llff, write_metashape


def small(**lens):
    return cameras(8, **lens)


def check(scene, truths, distorted: bool = False):
    """Cameras to 1e-6 px (a pinhole of the distorted ones: by the pictures, whose blobs are good for hundredths of a pixel)."""
    assert len(scene.views) == len(truths)
    for view in scene.views:
        truth = min(truths, key=lambda t: np.linalg.norm(view.camera.center - t.center))
        np.testing.assert_allclose(view.camera.center, truth.center, atol=1e-9)
        np.testing.assert_allclose(view.camera.world_from_camera[:, :3], truth.rotation, atol=1e-9)
        uv, depth = view.camera.project(POINTS)
        assert (depth > 0).all()
        if not distorted:
            np.testing.assert_allclose(uv, truth.project(POINTS), atol=1e-6)
        np.testing.assert_allclose(centroids(view.image), uv, atol=0.06)


@pytest.mark.parametrize("kind", WRITERS)
def test_cameras_and_pictures(tmp_path, kind):
    write, options, name = WRITERS[kind]
    truths = small(**options)
    write(tmp_path, truths)
    scene = load_scene(tmp_path, split="all")
    assert scene.format == name
    check(scene, truths, distorted=any(k.startswith(("k", "p")) for k in options))
    if name in ("polycam", "record3d"):
        assert scene.unit == "m"


@pytest.mark.parametrize("kind", WRITERS)
def test_lenses_are_those_of_the_file(tmp_path, kind):
    """The lens that was read takes points to where the true one does, to 1e-6 px, before anything is resampled."""
    from recon.data.formats.table import read_listing
    from recon.data.images import resolve
    from recon.data.listing import Findings

    write, options, _ = WRITERS[kind]
    truths = small(**options)
    write(tmp_path, truths)
    frames = read_listing(tmp_path, Findings()).frames
    assert len(frames) == len(truths)
    for frame in frames:
        truth = min(truths, key=lambda t: np.linalg.norm(frame.world_from_camera[:, 3] - t.center))
        fx, fy, cx, cy, skew, _ = resolve(frame.intrinsics, truth.width, truth.height)
        p = (POINTS - frame.world_from_camera[:, 3]) @ frame.world_from_camera[:, :3]
        found = to_pixels(frame.intrinsics.lens, fx, fy, cx, cy, skew, p[:, :2] / p[:, 2:])
        np.testing.assert_allclose(found, truth.project(POINTS), atol=1e-6)


@pytest.mark.parametrize("name", MODELS)
def test_every_colmap_model_is_undone(name):
    """Newton's and the closed inverses, over the whole of a picture; parameters as real lenses have them."""
    model = MODELS[name]
    more = {"FOV": [0.9], "EUCM": [0.6, 1.2]}.get(name, [-0.12] if "DIVISION" in name else [0.02 * (-1) ** i for i in range(model.more)])
    lens = intrinsics(name, 640, 480, [500.0] * model.focals + [320.0, 240.0, *more]).lens
    xy = np.stack(np.meshgrid(np.linspace(-0.64, 0.64, 21), np.linspace(-0.48, 0.48, 21)), -1)
    np.testing.assert_allclose(undistort(lens, distort(lens, xy)), xy, atol=1e-10)
    assert lens.is_pinhole == (name in ("PINHOLE", "SIMPLE_PINHOLE"))


@pytest.mark.parametrize("place", ["sparse/0", "sparse", "colmap/sparse/0"])
def test_colmap_in_its_usual_places(tmp_path, place):
    write_colmap_bin(tmp_path, small(), place)
    for given in (tmp_path, tmp_path / place, tmp_path / place / "images.bin"):
        check(load_scene(given, split="all"), small())


def test_of_several_colmap_models_the_largest_is_read(tmp_path):
    truths = small()
    write_colmap_bin(tmp_path, truths[:3], "sparse/0", images="other")
    write_colmap_bin(tmp_path, truths, "sparse/1")
    scene = load_scene(tmp_path, split="all")
    check(scene, truths)
    assert any("sparse/1, 8 images" in w and "0: 3" in w for w in scene.warnings)


def test_colmap_with_reduced_pictures_only(tmp_path):
    write_colmap_bin(tmp_path, small())
    (tmp_path / "images_2").mkdir()
    for file in (tmp_path / "images").iterdir():
        shutil.move(file, tmp_path / "images_2" / file.name)
    for t, file in zip(small(), sorted((tmp_path / "images_2").iterdir()), strict=True):
        save(file, blobs(t)[::2, ::2].copy())
    (tmp_path / "images").rmdir()
    scene = load_scene(tmp_path, split="all")
    assert scene.views[0].camera.width == 80
    assert any("images_2/" in note for note in scene.notes)
    for view in scene.views:
        truth = min(small(), key=lambda t: np.linalg.norm(view.camera.center - t.center))
        np.testing.assert_allclose(view.camera.project(POINTS)[0], truth.project(POINTS) / 2, atol=1e-6)


def test_colmap_points_give_the_bounds(tmp_path):
    rng = np.random.default_rng(0)
    ball = rng.normal(size=(300, 3))
    ball *= 0.5 / np.linalg.norm(ball, axis=1, keepdims=True)
    far = rng.normal(size=(100, 3)) * 40
    write_colmap_bin(tmp_path, small(), points=np.concatenate([ball + np.array([0.1, 0.2, 0]), far]))
    noise = np.random.default_rng(1)
    for file in (tmp_path / "images").iterdir():
        save(file, noise.integers(0, 255, (120, 160, 3)).astype(np.uint8))  # no plain background: nothing else bounds the object
    scene = load_scene(tmp_path)
    assert any("sparse points" in note for note in scene.notes)
    np.testing.assert_allclose(scene.world_from_scene.translation, [0.1, 0.2, 0], atol=0.1)
    assert 0.5 < scene.world_from_scene.scale < 0.75
    assert scene.points is not None
    assert len(scene.points) == 400


@pytest.mark.parametrize("cut", [4, 30, 100, 300])
def test_truncated_colmap_files_are_told(tmp_path, cut):
    write_colmap_bin(tmp_path, small())
    file = tmp_path / "sparse" / "0" / "images.bin"
    file.write_bytes(file.read_bytes()[:cut])
    with pytest.raises(DataError, match="truncated"):
        load_scene(tmp_path)


def test_a_hostile_count_allocates_nothing(tmp_path):
    write_colmap_bin(tmp_path, small())
    file = tmp_path / "sparse" / "0" / "images.bin"
    file.write_bytes(struct.pack("<Q", 2**62) + file.read_bytes()[8:])
    with pytest.raises(DataError, match="truncated"):
        load_scene(tmp_path)


def test_equirectangular_colmap_is_refused_by_name(tmp_path):
    write_colmap_txt(tmp_path, small())
    file = tmp_path / "sparse" / "cameras.txt"
    file.write_text(file.read_text().replace("PINHOLE", "EQUIRECTANGULAR"))
    with pytest.raises(DataError, match="EQUIRECTANGULAR"):
        load_scene(tmp_path)


def test_metashape_entities_are_refused(tmp_path):
    write_metashape(tmp_path, small())
    file = tmp_path / "cameras.xml"
    bomb = '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>'
    file.write_text(file.read_text().replace("<document", bomb + "<document"))
    with pytest.raises(DataError, match="entities"):
        load_scene(tmp_path)


def test_llff_is_never_unpickled(tmp_path):
    write_llff(tmp_path, small())
    np.save(tmp_path / "poses_bounds.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match="no array of numbers"):
        load_scene(tmp_path)


def test_llff_and_pictures_that_do_not_fit(tmp_path):
    write_llff(tmp_path, small())
    (tmp_path / "images" / "p000.png").unlink()
    with pytest.raises(DataError, match=r"8 cameras.*7 in images"):
        load_scene(tmp_path)


def test_a_dataset_one_folder_deeper(tmp_path):
    (tmp_path / "a" / "processed").mkdir(parents=True)
    write_nerfstudio(tmp_path / "a" / "processed", small())
    scene = load_scene(tmp_path, split="all")
    check(scene, small())
    assert any("a/processed/" in note for note in scene.notes)
    write_colmap_bin(tmp_path / "a" / "other", small())
    with pytest.raises(DataError, match="2 datasets") as caught:
        load_scene(tmp_path)
    assert "recon inspect" in str(caught.value)


def test_a_converted_dataset_is_preferred_to_its_source(tmp_path):
    write_nerfstudio(tmp_path, small())
    write_colmap_bin(tmp_path, small(), "colmap/sparse/0")
    scene = load_scene(tmp_path, split="all")
    assert scene.format == "nerfstudio"
    assert any("colmap" in note for note in scene.notes)
    assert load_scene(tmp_path / "colmap" / "sparse" / "0", split="all").format == "colmap"


def zipped(source: Path, file: Path) -> Path:
    with zipfile.ZipFile(file, "w") as archive:
        for path in sorted(source.rglob("*")):
            archive.write(path, f"capture/{path.relative_to(source)}")
    return file


def test_a_zip_is_opened_once(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "cache"))
    source = tmp_path / "data"
    source.mkdir()
    write_nerfstudio(source, small())
    (source / "evil.sh").write_text("no dataset needs this")
    file = zipped(source, tmp_path / "capture.zip")
    check(load_scene(file, split="all"), small())
    written = sorted((tmp_path / "cache").rglob("*"))
    assert not any(p.suffix == ".sh" for p in written)
    check(load_scene(file, split="all"), small())
    assert sorted((tmp_path / "cache").rglob("*")) == written


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ("dots", "outside"),
        ("absolute", "outside"),
        ("drive", "outside"),
        ("link", "link"),
        ("bomb", "would grow"),
        ("many", "more than"),
        ("text", "no .zip"),
    ],
)
def test_unsafe_archives_are_refused(tmp_path, monkeypatch, change, word):
    from recon.data import archive as module

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(module, "GROWTH_FROM", 2**16)
    file = tmp_path / "x.zip"
    names = {"dots": "a/../../x.png", "absolute": "/x.png", "drive": "C:/x.png"}
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        if change == "link":
            entry = zipfile.ZipInfo("x.png")
            entry.external_attr = 0o120777 << 16
            archive.writestr(entry, "/etc/passwd")
        elif change == "bomb":
            archive.writestr("x.png", b"\0" * 2**24)
        elif change == "many":
            monkeypatch.setattr(module, "MOST_FILES", 3)
            for i in range(4):
                archive.writestr(f"{i}.png", b"x")
        else:
            archive.writestr(names.get(change, "x.png"), b"x")
    if change == "text":
        file.write_text("this is no archive")
    with pytest.raises(DataError, match=word):
        load_scene(file)
    assert not list((tmp_path / "cache").rglob("*.png"))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("a.mp4", ["a video"]),
        ("scan.psx", ["Metashape project", "Export Cameras"]),
        ("x.rcproj", ["RealityCapture project", "CSV"]),
        ("database.db", ["COLMAP database", "mapper"]),
        ("x.7z", ["archive", ".zip"]),
        ("x.step", ["a model", "recon scene"]),
        ("x.e57", ["laser scan"]),
    ],
)
def test_kinds_that_are_not_read_are_named(tmp_path, name, words):
    (tmp_path / name).write_bytes(b"whatever")
    for given in (tmp_path / name, tmp_path):
        with pytest.raises(DataError) as caught:
            load_scene(given)
        for word in words:
            assert word in str(caught.value)
    save(tmp_path / "photos" / "a.png", np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(DataError, match="1 images") as caught:
        load_scene(tmp_path)
    assert words[0] in str(caught.value)


@pytest.mark.parametrize("suffix", [".CR2", ".nef", ".heic"])
def test_pictures_of_a_kind_that_is_not_read_are_named_once(tmp_path, suffix):
    data = write_nerfstudio(tmp_path, small())
    for frame in data["frames"]:
        path = tmp_path / frame["file_path"]
        frame["file_path"] = str(Path(frame["file_path"]).with_suffix(suffix))
        path.rename(path.with_suffix(suffix))
        path.with_suffix(suffix).write_bytes(b"II*\0 not really" * 10)
    write_json(tmp_path / "transforms.json", data)
    with pytest.raises(DataError) as caught:
        load_scene(tmp_path)
    assert len(caught.value.problems) == 1
    assert ("HEIC" if suffix == ".heic" else "raw picture") in caught.value.problems[0]
    assert "truncated" not in caught.value.problems[0]


def test_paths_of_another_machine(tmp_path):
    data = write_nerfstudio(tmp_path, small())
    for i, frame in enumerate(data["frames"]):
        frame["file_path"] = ("D:\\captures\\part7\\" if i % 2 else "/home/anna/part7/") + frame["file_path"]
    write_json(tmp_path / "transforms.json", data)
    scene = load_scene(tmp_path, split="all")
    check(scene, small())
    assert sum("another machine" in note for note in scene.notes) == 1
    assert [v.name for v in scene.views] == [f"images/frame_{i}.png" for i in range(8)]
    shutil.rmtree(tmp_path / "images")
    with pytest.raises(DataError) as caught:
        load_scene(tmp_path)
    assert len(caught.value.problems) == 1  # one cause, one line
    assert "--skip-bad-frames" not in str(caught.value)


def test_pictures_beside_the_folder(tmp_path):
    data = write_nerfstudio(tmp_path, small())
    (tmp_path / "json").mkdir()
    for frame in data["frames"]:
        frame["file_path"] = "./..\\" + frame["file_path"]
    write_json(tmp_path / "json" / "transforms.json", data)
    (tmp_path / "transforms.json").unlink()
    check(load_scene(tmp_path / "json", split="all"), small())
    data["frames"][0]["file_path"] = "../../secret/x.png"
    write_json(tmp_path / "json" / "transforms.json", data)
    with pytest.raises(DataError, match="leaves the dataset"):
        load_scene(tmp_path / "json")


def test_names_that_differ_in_case_and_normalisation(tmp_path):
    data = write_nerfstudio(tmp_path, small())
    (tmp_path / "images").rename(tmp_path / "Fotos Ku\u0308che")
    for frame in data["frames"]:
        frame["file_path"] = frame["file_path"].replace("images", "fotos K\u00fcche").replace("frame", "FRAME")
    write_json(tmp_path / "transforms.json", data)
    check(load_scene(tmp_path, split="all"), small())


def test_stated_bounds_points_and_unit(tmp_path):
    data = write_nerfstudio(tmp_path, small())
    data |= {"sphere_center": [0.1, 0.2, 0.3], "sphere_radius": 0.9, "unit": "cm", "ply_file_path": "points.ply"}
    header = "ply\nformat ascii 1.0\nelement vertex 1\nproperty float x\nproperty float y\nproperty float z\nend_header\n"
    (tmp_path / "points.ply").write_text(header + "1 2 3\n")
    write_json(tmp_path / "transforms.json", data)
    scene = load_scene(tmp_path, scale=2.0)
    np.testing.assert_allclose(scene.world_from_scene.translation, [0.2, 0.4, 0.6])
    assert scene.world_from_scene.scale == pytest.approx(1.8)
    np.testing.assert_allclose(scene.points, [[2, 4, 6]])
    assert scene.unit is None  # twice a centimetre has no name
    assert load_scene(tmp_path).unit == "cm"
    assert load_scene(tmp_path, unit="mm", scale=10.0).unit == "mm"


@pytest.mark.parametrize("key", ["equirectangular", "latlong", "ftheta_p0"])
def test_ngp_panoramas_are_refused(tmp_path, key):
    data = write_nerfstudio(tmp_path, small())
    write_json(tmp_path / "transforms.json", data | {key: True})
    with pytest.raises(DataError, match=key) as caught:
        load_scene(tmp_path)
    assert len(caught.value.problems) == 1


def test_numbers_as_text(tmp_path):
    data = write_nerfstudio(tmp_path, small())
    write_json(tmp_path / "transforms.json", data | {k: str(data[k]) for k in ("fl_x", "fl_y", "cx", "w", "h")})
    check(load_scene(tmp_path, split="all"), small())


def test_a_mirrored_applied_transform_stays_undone(tmp_path):
    data = write_nerfstudio(tmp_path, small())
    write_json(tmp_path / "transforms.json", data | {"applied_transform": [[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0]]})
    scene = load_scene(tmp_path, split="all")
    check(scene, small())
    assert any("mirror" in w for w in scene.warnings)


@pytest.mark.parametrize("written", ["opencv", "opencv-inverse", "opengl-inverse"])
@pytest.mark.parametrize("middle", [[0.0, 0.0, 0.0], [0.4, -0.7, 0.2]])
def test_wrong_axes_are_recognised(tmp_path, written, middle):
    """Where another reading of the matrices makes all cameras meet, that is said, and --axes reads them so."""
    truths = [replace(t, center=t.center + np.array(middle)) for t in small()]
    data = write_nerfstudio(tmp_path, truths)
    for frame, t in zip(data["frames"], truths, strict=True):
        pose = np.eye(4)
        pose[:3, :3], pose[:3, 3] = t.rotation, t.center
        if written.startswith("opengl"):
            pose[:3, 1:3] *= -1
        frame["transform_matrix"] = (np.linalg.inv(pose) if written.endswith("inverse") else pose).tolist()
    write_json(tmp_path / "transforms.json", data)
    try:
        said = load_scene(tmp_path).warnings
    except DataError as error:  # inverted, cameras around the origin all come to stand at one point
        assert middle == [0.0, 0.0, 0.0]
        said = error.problems
    assert any(f"--axes {written}" in w for w in said)
    scene = load_scene(tmp_path, axes=written, split="all")
    for view in scene.views:
        truth = min(truths, key=lambda t: np.linalg.norm(view.camera.center - t.center))
        np.testing.assert_allclose(view.camera.project(POINTS)[0], truth.project(POINTS), atol=1e-6)
    assert not any("--axes" in w for w in scene.warnings)


def test_right_axes_raise_no_doubt(tmp_path):
    write_nerfstudio(tmp_path, small())
    assert not any("--axes" in w for w in load_scene(tmp_path).warnings)


def test_copies_are_kept_on_one_side(tmp_path):
    truths = small()
    data = write_nerfstudio(tmp_path, truths)
    for i in (0, 3):
        shutil.copy(tmp_path / f"images/frame_{i}.png", tmp_path / f"images/copy_{i}.png")
        data["frames"].append({**data["frames"][i], "file_path": f"images/copy_{i}.png"})
    write_json(tmp_path / "transforms.json", data)
    scene = load_scene(tmp_path, holdout=3)
    side = {Path(v.name).stem: v.split for v in scene.views}
    assert side["copy_0"] == side["frame_0"]
    assert side["copy_3"] == side["frame_3"]
    assert any("there twice" in w for w in scene.warnings)


def test_a_test_split_that_was_never_rendered(tmp_path):
    from tests.recon.data.data_scenes import write_blender

    write_blender(tmp_path, cameras(12, cx=80.0, cy=60.0, fy=190.0))
    shutil.rmtree(tmp_path / "test")
    scene = load_scene(tmp_path)
    assert len(scene.views) == 9
    assert len(scene.split("test")) == 2
    assert any("none of which exists" in w for w in scene.warnings)


def test_dtu_is_in_millimetres_where_its_cameras_say_so(tmp_path):
    root = tmp_path / "dtu_scan24"
    root.mkdir()
    write_dtu(root, small())
    with np.load(root / "cameras_sphere.npz") as stored:
        arrays = dict(stored)
    for key, matrix in arrays.items():
        if key.startswith("scale"):
            matrix[:3] *= 200
        else:
            matrix[:3, 3] *= 200
    np.savez(root / "cameras_sphere.npz", **arrays)
    scene = load_scene(root)
    assert scene.unit == "mm"
    assert load_scene(root, unit="m").unit == "m"


def test_json_of_dialects_survives_a_windows_editor(tmp_path):
    data = write_nerfstudio(tmp_path, small())
    (tmp_path / "transforms.json").write_bytes(b"\xef\xbb\xbf" + json.dumps(data, indent=1).replace("\n", "\r\n").encode())
    check(load_scene(tmp_path, split="all"), small())


def test_links_out_of_the_folder_are_the_users_own(tmp_path):
    (tmp_path / "data").mkdir()
    write_nerfstudio(tmp_path / "data", small())
    shutil.move(tmp_path / "data" / "images", tmp_path / "elsewhere")
    try:
        os.symlink(tmp_path / "elsewhere", tmp_path / "data" / "images")
    except OSError:
        pytest.skip("no right to make links")
    check(load_scene(tmp_path / "data", split="all"), small())
