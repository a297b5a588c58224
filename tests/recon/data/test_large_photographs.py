"""Large photographs: the size they are kept at, the file they are kept in, and that it changes no pixel."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import torch
from PIL import Image

from recon.data import decoding, images, reading, shelf
from recon.data.decoding import decode
from recon.data.images import resize_area
from recon.data.load import load_scene
from recon.rendering.rays import PixelBank
from tests.recon.data.data_scenes import POINTS, cameras, centroids, save, write_json, write_nerfstudio


def test_photographs_are_kept_at_a_useful_size(tmp_path):
    write_nerfstudio(tmp_path, cameras())
    scene = load_scene(tmp_path, usual_size=100)
    assert scene.views[0].camera.width == 100
    assert any("kept at 100" in note and "--max-size 160" in note for note in scene.notes)
    assert load_scene(tmp_path, usual_size=100, max_size=160).views[0].camera.width == 160
    assert load_scene(tmp_path, usual_size=100, downscale=1.25).views[0].camera.width == 128


def test_what_does_not_fit_is_kept_in_a_file_and_is_the_same(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    root = tmp_path / "data"
    root.mkdir()
    write_nerfstudio(root, cameras())
    plain, bank = load_scene(root), PixelBank(load_scene(root))
    monkeypatch.setattr(reading, "PICTURES_IN_MEMORY", 1000)
    monkeypatch.setattr(shelf, "TABLE_IN_MEMORY", 1000)
    heard = []
    scene = load_scene(root, progress=lambda share, text: heard.append((share, text)))
    assert any("kept in a file" in note for note in scene.notes)
    assert isinstance(scene.views[0].image.base, np.ndarray)
    for a, b in zip(scene.views, plain.views, strict=True):
        np.testing.assert_array_equal(a.image, b.image)
    other = PixelBank(scene)
    assert torch.equal(other.pixels, bank.pixels)
    assert [share for share, _ in heard] == [pytest.approx((i + 1) / 10) for i in range(10)]


def test_a_large_photograph_takes_the_short_way_to_the_same_pixels(tmp_path, monkeypatch):
    """Reduced before its lens is undone: cameras fit as exactly."""
    truths = cameras(4, fx=150.0, fy=148.0, k1=-0.2, k2=0.05, p1=0.001)
    write_nerfstudio(tmp_path, truths)
    monkeypatch.setattr(images, "WORKING_PIXELS", 9000)
    for view in load_scene(tmp_path, max_size=80, split="all").views:
        uv, _ = view.camera.project(POINTS)
        np.testing.assert_allclose(centroids(view.image), uv, atol=0.06)


def test_resizing_in_strips_is_resizing(monkeypatch):
    image = np.random.default_rng(0).integers(0, 256, (97, 61, 4)).astype(np.uint8)
    whole = resize_area(image, 23, 31)
    monkeypatch.setattr(images, "STRIP_PIXELS", 300)
    np.testing.assert_array_equal(resize_area(image, 23, 31), whole)


def test_memory_of_reading_one_is_bounded(tmp_path, monkeypatch):
    """Of photographs with a lens: less than 13 bytes a source pixel and 60 for each of the reduced ones, times the threads."""
    monkeypatch.setattr(images, "WORKING_PIXELS", 400_000)
    monkeypatch.setattr(reading, "WORKING_PIXELS", 400_000)
    monkeypatch.setattr(images, "STRIP_PIXELS", 100_000)
    (tmp_path / "images").mkdir()
    picture = np.random.default_rng(0).integers(0, 255, (30, 40, 3)).astype(np.uint8)
    large = Image.fromarray(picture).resize((2000, 1500), Image.Resampling.BICUBIC)
    data = {"w": 2000, "h": 1500, "fl_x": 1800.0, "fl_y": 1800.0, "k1": -0.1, "frames": []}
    for i, t in enumerate(cameras(3)):
        large.save(tmp_path / "images" / f"{i}.jpg")
        data["frames"].append({"file_path": f"images/{i}.jpg", "transform_matrix": t.opengl()})
    write_json(tmp_path / "transforms.json", data)
    load_scene(tmp_path, max_size=40)  # imports
    tracemalloc.start()
    scene = load_scene(tmp_path, max_size=500)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert scene.views[0].image.shape == (375, 500, 3)
    threads = reading._threads([(2000, 1500)] * 3)
    assert peak < threads * reading._working((2000, 1500)) + 3 * 4 * 375 * 500


def test_sixteen_bit_tiff_and_openexr(tmp_path):
    import tifffile

    values = np.array([[[0, 32768, 65535], [257, 25700, 51400]]], np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", values)
    for pixels, _ in (decode(tmp_path / "a.tif"), decoding._decode_tiff(tmp_path / "a.tif")):  # Pillow's own way, and that without it
        np.testing.assert_array_equal(pixels[0], [[0, 128, 255], [1, 100, 200]])
    exr = pytest.importorskip("OpenEXR")
    linear = np.array([[[0.0, 0.5, 1.0], [0.0031308, 4.0, 0.2]]], np.float32)
    header = {"compression": exr.ZIP_COMPRESSION, "type": exr.scanlineimage}
    exr.File(header, {"RGB": linear}).write(str(tmp_path / "a.exr"))
    pixels, remarks = decode(tmp_path / "a.exr")
    np.testing.assert_array_equal(pixels[0], [[0, 188, 255], [10, 255, 124]])
    assert "cut" in remarks[0]


def test_heic(tmp_path):
    pytest.importorskip("pillow_heif").register_heif_opener()
    save(tmp_path / "x.png", np.zeros((2, 2, 3), np.uint8))
    smooth = np.stack(np.broadcast_arrays(np.linspace(0, 255, 96)[None], np.linspace(0, 255, 64)[:, None], 128.0), -1).astype(np.uint8)
    Image.fromarray(smooth).save(tmp_path / "a.heic", quality=95)
    pixels, _ = decode(tmp_path / "a.heic")
    assert np.abs(pixels.astype(int) - smooth).mean() < 4
