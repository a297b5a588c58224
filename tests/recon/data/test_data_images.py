"""Pixels: kinds of files, exact resizing, distortion and its inverse."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from recon.data.distortion import distort, is_negligible, jacobian, pinhole_for, to_pixels, undistort
from recon.data.images import decode, decode_mask, resize_area, same_shape
from recon.data.listing import FrameProblem, Lens, natural_key
from recon.data.load import shrunk

RGB = np.random.default_rng(0).integers(0, 256, (6, 8, 3)).astype(np.uint8)


def test_eight_bit_kinds(tmp_path):
    gray = RGB[..., 0]
    palette = Image.fromarray(RGB).quantize(16)
    cases = {
        "rgb.png": (Image.fromarray(RGB), RGB),
        "gray.png": (Image.fromarray(gray), np.repeat(gray[..., None], 3, 2)),
        "palette.png": (palette, np.array(palette.convert("RGB"))),
        "rgba.png": (Image.fromarray(np.dstack([RGB, gray])), np.dstack([RGB, gray])),
        "grayalpha.png": (Image.merge("LA", [Image.fromarray(gray)] * 2), np.dstack([gray] * 4)),
        "bits.png": (Image.fromarray(gray > 127), np.repeat(255 * (gray > 127).astype(np.uint8)[..., None], 3, 2)),
    }
    for name, (picture, expected) in cases.items():
        picture.save(tmp_path / name)
        pixels, remarks = decode(tmp_path / name)
        np.testing.assert_array_equal(pixels, expected, err_msg=name)
        assert remarks == ()


def test_sixteen_bit_grey_keeps_its_range(tmp_path):
    values = np.array([[0, 128, 257, 32896, 65535]], np.uint16)
    Image.fromarray(values).save(tmp_path / "a.png")
    pixels, remarks = decode(tmp_path / "a.png")
    np.testing.assert_array_equal(pixels[..., 0], [[0, 0, 1, 128, 255]])
    assert "16-bit" in remarks[0]


def test_sixteen_bit_colour_keeps_its_range(tmp_path):
    """Pillow cannot write such a file, so its chunks are put together here."""

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    values = np.array([[[0, 32768, 65535], [257, 25700, 51400]]], ">u2")
    header = struct.pack(">IIBBBBB", 2, 1, 16, 2, 0, 0, 0)
    data = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" + values.tobytes())) + chunk(b"IEND", b"")
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + data)
    pixels, _ = decode(tmp_path / "a.png")
    np.testing.assert_array_equal(pixels[0], [[0, 128, 255], [1, 100, 200]])


def test_cmyk_is_converted(tmp_path):
    flat = np.full((16, 16, 3), (200, 60, 30), np.uint8)
    Image.fromarray(flat).convert("CMYK").save(tmp_path / "a.jpg", quality=100)
    pixels, remarks = decode(tmp_path / "a.jpg")
    assert np.abs(pixels.astype(int) - flat).max() <= 4
    assert "CMYK" in remarks[0]


def test_transparent_palette_gives_alpha(tmp_path):
    picture = Image.fromarray(RGB).quantize(8)
    picture.save(tmp_path / "a.png", transparency=0)
    pixels, _ = decode(tmp_path / "a.png")
    np.testing.assert_array_equal(pixels[..., 3] == 0, np.array(picture) == 0)


def test_exif_orientation_is_kept_as_stored_and_said(tmp_path):
    exif = Image.Exif()
    exif[274] = 6
    Image.fromarray(RGB).save(tmp_path / "a.png", exif=exif)
    pixels, remarks = decode(tmp_path / "a.png")
    np.testing.assert_array_equal(pixels, RGB)
    assert "EXIF" in remarks[0]


@pytest.mark.parametrize("kind", ["empty", "half", "text", "float", "huge int"])
def test_unreadable_files(tmp_path, kind):
    file = tmp_path / ("a.tif" if kind in ("float", "huge int") else "a.png")
    if kind == "empty":
        file.write_bytes(b"")
    elif kind == "text":
        file.write_text("not an image")
    elif kind == "float":
        Image.fromarray(np.ones((4, 4), np.float32)).save(file)
    elif kind == "huge int":
        Image.fromarray(np.full((4, 4), 1 << 20, np.int32)).save(file)
    else:
        Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)).save(file)
        file.write_bytes(file.read_bytes()[:3000])
    with pytest.raises(FrameProblem):
        decode(file)


@pytest.mark.parametrize("scale", [1, 255])
def test_masks_of_another_size_are_resampled(tmp_path, scale):
    half = np.zeros((10, 20), np.uint8)
    half[:, 10:] = scale
    Image.fromarray(half).save(tmp_path / "m.png")
    for width, height in ((20, 10), (10, 5), (40, 20)):
        mask, _ = decode_mask(tmp_path / "m.png", width, height)
        assert mask.shape == (height, width)
        assert (mask[:, : width // 2] == 0).all()
        assert (mask[:, width // 2 :] == 255).all()
    with pytest.raises(FrameProblem, match="20x10"):
        decode_mask(tmp_path / "m.png", 30, 10)


def brute_force_area(image, width, height):
    """Mean over each footprint by repeating every pixel so often that the footprints are whole."""
    h, w = image.shape[:2]
    fine = np.repeat(np.repeat(image.astype(np.float64), height, axis=0), width, axis=1)
    return fine.reshape(height, h, width, w, -1).mean(axis=(1, 3))


@settings(max_examples=40, deadline=None, derandomize=True)
@given(h=st.integers(1, 13), w=st.integers(1, 13), data=st.data())
def test_area_resize_is_the_exact_mean(h, w, data):
    height, width = data.draw(st.integers(1, h)), data.draw(st.integers(1, w))
    image = np.random.default_rng(h * 100 + w).integers(0, 256, (h, w, 3)).astype(np.uint8)
    difference = np.abs(resize_area(image, width, height) - brute_force_area(image, width, height)).max()
    assert difference <= 0.5 + 1e-3  # rounding to uint8


def test_transparent_pixels_do_not_bleed_into_colours():
    image = np.zeros((4, 4, 4), np.uint8)
    image[..., :3] = (9, 200, 9)  # garbage below transparency
    image[:, :3] = (100, 50, 25, 255)
    image[0, 0] = (1, 2, 3, 0)
    small = resize_area(image, 2, 2)
    np.testing.assert_array_equal(small[..., 3], [[191, 128], [255, 128]])
    assert (np.abs(small[..., :3].astype(int) - (100, 50, 25)) <= 1).all()


def test_sizes():
    assert shrunk(1080, 1920, 4, None) == (270, 480)
    assert shrunk(1080, 1920, 7, None) == (154, 274)
    assert shrunk(1080, 1920, 1, 960) == (540, 960)
    assert shrunk(100, 50, 1, 960) == (100, 50)
    assert shrunk(3, 500, 100, None) == (1, 5)
    assert same_shape(5187, 3361, 1297, 840)
    assert not same_shape(640, 480, 480, 640)
    assert sorted(["b10", "b2", "B1", "a"], key=natural_key) == ["a", "B1", "b2", "b10"]


LENSES = [
    Lens("polynomial", (0.0578, -0.0805, 0, 0, 0, 0), (-0.00098, 0.000156)),
    Lens("polynomial", (-0.3, 0.09, 0, 0, 0, 0), (0.002, -0.003)),
    Lens("polynomial", (0.1, 0.05, 0.02, 0.01, 0, 0), (0.0, 0.0)),
    Lens("rational", (0.5, 0.2, 0.05, 0.7, 0.3, 0.01), (0.001, -0.001)),
    Lens("fisheye", (0.05, -0.01, 0.003, -0.001, 0, 0)),
]


@pytest.mark.parametrize("lens", LENSES)
def test_undistort_inverts_distort(lens):
    """To far less than 1e-6 px for any focal length below 100000 px."""
    xy = np.random.default_rng(1).uniform(-0.7, 0.7, (5000, 2))
    np.testing.assert_allclose(undistort(lens, distort(lens, xy)), xy, atol=1e-11)
    np.testing.assert_allclose(undistort(lens, np.zeros((1, 2))), 0, atol=1e-12)


@pytest.mark.parametrize("lens", LENSES[:4])
def test_jacobian(lens):
    xy = np.random.default_rng(2).uniform(-0.7, 0.7, (50, 2))
    eps = 1e-6
    numeric = np.stack([(distort(lens, xy + eps * e) - distort(lens, xy - eps * e)) / (2 * eps) for e in np.eye(2)], axis=-1)
    np.testing.assert_allclose(jacobian(lens, xy), numeric, atol=1e-8)


def test_points_beyond_the_fold_are_not_invented():
    lens = Lens("polynomial", (-0.5, 0, 0, 0, 0, 0))
    # r (1 - r^2 / 2) peaks at r = sqrt(2/3) with 0.544: nothing is seen beyond.
    out = undistort(lens, np.array([[0.5, 0.0], [0.6, 0.0], [0.0, 0.9]]))
    assert np.isfinite(out[0]).all()
    assert np.isnan(out[1:]).all()
    with pytest.raises(FrameProblem, match="folds"):
        pinhole_for(lens, 100, 100, 80, 60, 0, 160, 120)


@pytest.mark.parametrize("lens", LENSES)
def test_undistorted_image_has_no_empty_border_and_wastes_little(lens):
    camera = (500.0, 490.0, 330.0, 235.0, 0.3)
    fx, fy, cx, cy = pinhole_for(lens, *camera, 640, 480)
    u, v = np.meshgrid(np.linspace(0, 640, 65), np.linspace(0, 480, 49))
    px = to_pixels(lens, *camera, np.stack([(u - cx) / fx, (v - cy) / fy], -1))
    assert px.min() >= -1e-6
    assert px[..., 0].max() <= 640 + 1e-6
    assert px[..., 1].max() <= 480 + 1e-6
    gaps = px[..., 0].min(), 640 - px[..., 0].max(), px[..., 1].min(), 480 - px[..., 1].max()
    assert min(gaps) < 1.0  # it touches the photograph's border somewhere


def test_negligible_distortion_is_not_resampled():
    assert is_negligible(Lens(), 1000, 1000, 500, 500, 0.0, 1000, 1000)
    assert is_negligible(Lens(), 1156.9, 1153.3, 329, 247, -1e-4, 640, 480)
    assert is_negligible(Lens(k=(1e-6, 0, 0, 0, 0, 0)), 1000, 1000, 500, 500, 0.0, 1000, 1000)
    assert not is_negligible(Lens(k=(1e-3, 0, 0, 0, 0, 0)), 1000, 1000, 500, 500, 0.0, 1000, 1000)
    assert not is_negligible(Lens(), 1000, 1000, 500, 500, 2.0, 1000, 1000)
