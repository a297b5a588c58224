"""Scenes on disk: written, read back by the program's own loaders, cached, refused."""

import json
from dataclasses import replace

import numpy as np
import pytest
import trimesh
from PIL import Image

import scenes
from recon.curves.files import curve as curves
from recon.data.load import load_scene
from recon.errors import DataError, UsageError
from scenes import library
from scenes.library import SceneOptions
from scenes.making.render import RenderOptions

SMALL = SceneOptions(48, 40, train=6, test=2, render=RenderOptions(2))
UNEVEN = replace(SMALL, fovs_deg=(30.0, 55.0), principal_jitter_px=3.0, path="orbit")


@pytest.fixture(autouse=True)
def private_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FORMFIELD_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize("options", [SMALL, UNEVEN], ids=["one camera", "several focal lengths"])
@pytest.mark.parametrize("formats", [("blender",), ("nerfstudio",), ("blender", "nerfstudio")])
def test_what_is_written_is_what_is_loaded(tmp_path, options, formats):
    out = scenes.write("bracket", tmp_path / "data", options, formats=formats, geometry=False)
    read, made = load_scene(out), scenes.load("scenes:bracket", options)
    assert [v.split for v in read.views] == ["train"] * 6 + ["test"] * 2 == [v.split for v in made.views]
    points = scenes.truth("bracket").vertices[::500]
    for a, b in zip(read.views, made.views, strict=True):
        np.testing.assert_allclose(a.camera.project(points)[0], b.camera.project(points)[0], atol=1e-8)
        np.testing.assert_array_equal(a.image, b.image)
    assert read.background == made.background == "alpha"
    # the loader finds bounds from the silhouettes; they hold the object, as the known ones do
    for scene in (read, made):
        assert np.linalg.norm(scene.scene_from_world.apply(scenes.truth("bracket").vertices), axis=1).max() < 1


def test_truth_folder_is_complete_and_consistent(tmp_path):
    out = scenes.write("ellipses", tmp_path / "data", SMALL)
    known = scenes.truth("ellipses")
    mesh = trimesh.load_mesh(out / "truth" / "mesh.ply", process=False)
    np.testing.assert_allclose(mesh.vertices, known.vertices, atol=1e-12)
    np.testing.assert_array_equal(mesh.faces, known.faces)
    assert mesh.is_watertight
    vertices, sharp, tangent = curves.read(out / "truth" / "curves.json")
    assert len(sharp) == len(known.curves)
    assert len(tangent) == len(known.tangent_curves)
    np.testing.assert_array_equal(vertices, known.solid.curve_vertices)
    meta = json.loads((out / "truth" / "meta.json").read_text())
    assert meta["unit"] == "mm"
    assert meta["diagonal"] == known.diagonal
    assert meta["world_from_scene"]["scale"] == pytest.approx(known.world_from_scene.scale)
    assert (out / "truth" / "part.step").read_bytes() == known.step.read_bytes()
    for name in ("train/r_000", "test/r_001"):
        alpha = np.asarray(Image.open(out / f"{name}.png"))[..., 3]
        with np.load(out / "truth" / "geometry" / f"{name}.npz") as data:
            hit = np.isfinite(data["depth_z"])
            assert (data["distance"][hit] >= data["depth_z"][hit]).all()
            assert hit[alpha == 255].mean() > 0.99
            assert not hit[alpha == 0].any()
            assert (data["normal"][~hit] == 0).all()
        edges = np.asarray(Image.open(out / "truth" / "edges" / f"{name}.png"))
        assert edges.shape == alpha.shape
        assert edges.max() == 255
        assert (edges > 0).mean() < 0.5


def test_nothing_is_overwritten_unasked_and_nothing_half_written(tmp_path):
    out = tmp_path / "data"
    out.mkdir()
    (out / "precious.txt").write_text("mine")
    with pytest.raises(UsageError, match="exists"):
        scenes.write("nut", out, SMALL, geometry=False)
    assert (out / "precious.txt").read_text() == "mine"

    def fail(done, total):
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError):
        scenes.write("nut", tmp_path / "other", SMALL, progress=fail)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["data"]
    scenes.write("nut", out, SMALL, geometry=False, overwrite=True, views=4, size=32)
    assert not (out / "precious.txt").exists()
    assert len(json.loads((out / "transforms_train.json").read_text())["frames"]) == 4
    assert Image.open(out / "train" / "r_003.png").size == (32, 32)


@pytest.mark.parametrize("formats", [(), ("blender", "realitycapture")])
def test_unknown_formats_are_refused(tmp_path, formats):
    with pytest.raises(UsageError):
        scenes.write("nut", tmp_path / "data", SMALL, formats=formats)
    assert not (tmp_path / "data").exists()


def test_defaults_are_48_and_12_views_at_400():
    options = SceneOptions()
    train, test = library.cameras(scenes.truth("nut"), options)
    assert (len(train), len(test)) == (48, 12)
    assert (train[0].width, train[0].height) == (400, 400)
    # held-out cameras lie between the others, not in one corner
    directions = np.array([c.center for c in test]) - scenes.truth("nut").solid.center
    assert np.linalg.norm((directions / np.linalg.norm(directions, axis=1, keepdims=True)).mean(0)) < 0.1


def test_cache_is_used_keyed_by_options_and_mended(tmp_path, monkeypatch, caplog):
    first = scenes.load("nut", SMALL)
    files = list((tmp_path / "cache" / "scenes").iterdir())
    assert len(files) == 1
    with monkeypatch.context() as patch:
        patch.setattr(library, "photograph", lambda *_: pytest.fail("rendered again"))
        second = scenes.load("nut", replace(SMALL, render=replace(SMALL.render, threads=1)))
    for a, b in zip(first.views, second.views, strict=True):
        np.testing.assert_array_equal(a.image, b.image)
    plain = scenes.load("nut", replace(SMALL, plain=True))
    assert (plain.views[0].image != first.views[0].image).any()
    assert len(list((tmp_path / "cache" / "scenes").iterdir())) == 2
    files[0].write_bytes(files[0].read_bytes()[:2000])
    third = scenes.load("nut", SMALL)
    assert "damaged" in caplog.text
    np.testing.assert_array_equal(third.views[0].image, first.views[0].image)
    assert files[0].stat().st_size > 2000


def test_scene_types_and_units():
    scene = scenes.load("scenes:nut", SMALL)
    assert (scene.name, scene.unit, scene.background, scene.format) == ("nut", "mm", "alpha", "built-in")
    assert all(v.image.shape == (40, 48, 4) and v.image.dtype == np.uint8 for v in scene.views)
    assert len({v.name for v in scene.views}) == len(scene.views)
    inside = np.linalg.norm(scene.scene_from_world.apply(scenes.truth("nut").vertices), axis=1).max()
    assert inside == pytest.approx(1 / library.MARGIN)


@pytest.mark.parametrize("damage", ["truncate", "remove", "garbage", "index"])
def test_damaged_data_files_are_named(tmp_path, monkeypatch, damage):
    folder = tmp_path / "data" / "nut"
    folder.mkdir(parents=True)
    source = library.DATA / "nut"
    for name in ("mesh.npz", "curves.json"):
        (folder / name).write_bytes((source / name).read_bytes())
    mesh = folder / "mesh.npz"
    if damage == "truncate":
        mesh.write_bytes(mesh.read_bytes()[:5000])
    elif damage == "remove":
        mesh.unlink()
    elif damage == "garbage":
        mesh.write_bytes(b"not a zip file")
    else:
        with np.load(mesh) as data:
            arrays = dict(data)
        arrays["faces"] = arrays["faces"].copy()
        arrays["faces"][0, 0] = 60000
        np.savez_compressed(mesh, **arrays)
    monkeypatch.setattr(library, "DATA", tmp_path / "data")
    with pytest.raises(DataError, match=r"mesh\.npz"):
        scenes.truth("nut")


@pytest.mark.parametrize("change", [{"train": 0}, {"path": "spiral"}, {"fovs_deg": ()}])
def test_impossible_options_are_refused(change):
    with pytest.raises(UsageError):
        SceneOptions(**change)
