"""The dataset that is written is read back by this program, and COLMAP's files say the same cameras and points."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.spatial.transform import Rotation

from recon.data.distortion import to_pixels
from recon.data.listing import Findings, Lens
from recon.data.ply import RGB, XYZ, columns_of, write_ply
from recon.photos.decode import prepare
from recon.photos.picture import draw_cameras
from recon.photos.writing import Dataset, lens_of, write_dataset
from tests.recon.photos.made_up import LENS, SIZE, photo, usual_model
from tests.recon.photos.studio import printed, save

SHEET = printed((0, 0), 1.0, 0.0).pixels[:300, :400]


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    """Four photographs of 400 x 300 whose model knows them as 1000 x 750: upright, lying, with an odd name, below a folder."""
    model = usual_model(4)
    names = ["a.jpg", "sub/b.png", "lying.jpg", "Größe 1.JPG"]
    found = []
    for name in names:
        exif = Image.Exif()
        if name == "lying.jpg":
            exif[0x0112] = 6
            save(np.rot90(SHEET, 1), tmp_path / "in" / name, exif=exif, quality=95)
        else:
            save(SHEET, tmp_path / "in" / name)
        found.append(prepare(tmp_path / "in" / name, name, tmp_path, 400))
    work = tuple(p.work for p in found)
    return Dataset(replace(model, names=work), tuple(found), 1.25, "mm", {})


def test_the_dataset_is_read_back(dataset: Dataset, tmp_path: Path):
    from recon.data.load import read_listing

    places = write_dataset(tmp_path / "out", dataset, lambda done, total: None)
    findings = Findings()
    listing = read_listing(tmp_path / "out", findings)
    assert not findings.fatal
    assert not findings.bad
    assert [frame.name for frame in listing.frames] == [places[p.name] for p in dataset.photos]
    f, cx, cy, k1, k2 = LENS
    scale = 400 / SIZE[0]
    for frame, pose in zip(listing.frames, dataset.model.world_from_camera, strict=True):
        np.testing.assert_allclose(frame.world_from_camera, pose, atol=1e-12)
        i = frame.intrinsics
        np.testing.assert_allclose([i.fx, i.fy, i.cx, i.cy], [f * scale, f * scale, cx * scale, cy * scale], atol=1e-9)
        np.testing.assert_allclose(i.lens.k[:2], [k1, k2], atol=1e-12)
        with Image.open(frame.file) as picture:
            assert picture.size == (400, 300) == (i.width, i.height)
            assert picture.getexif().get(0x0112, 1) == 1
    written = json.loads((tmp_path / "out" / "transforms.json").read_text())
    assert written["sphere_radius"] == 1.25
    assert written["unit"] == "mm"
    names = json.loads((tmp_path / "out" / "names.json").read_text())
    assert names["images/sub/b.png"]["original"] == str(tmp_path / "in" / "sub" / "b.png")


def test_pictures_are_copied_as_they_are_unless_they_lie_on_their_side(dataset: Dataset, tmp_path: Path):
    write_dataset(tmp_path / "out", dataset, lambda done, total: None)
    assert (tmp_path / "out/images/a.jpg").read_bytes() == (tmp_path / "in/a.jpg").read_bytes()
    upright = np.asarray(Image.open(tmp_path / "out/images/lying.jpg").convert("RGB"), float)
    assert np.abs(upright - SHEET).mean() < 12
    before = (tmp_path / "out/images/lying.jpg").read_bytes()
    write_dataset(tmp_path / "out", dataset, lambda done, total: None)
    assert (tmp_path / "out/images/lying.jpg").read_bytes() == before


def test_colmap_files_hold_the_same_cameras_points_and_pixels(dataset: Dataset, tmp_path: Path):
    write_dataset(tmp_path / "out", dataset, lambda done, total: None)

    def rows(name: str) -> list[list[str]]:
        lines = (tmp_path / "out/sparse/0" / name).read_text(encoding="utf-8").splitlines()
        return [line.split() for line in lines if not line.startswith("#")]

    (camera,) = rows("cameras.txt")
    assert camera[1:4] == ["OPENCV", "400", "300"]
    fx, fy, cx, cy, k1, k2, _, _ = map(float, camera[4:])
    points = {int(r[0]): np.array(r[1:4], float) for r in rows("points3D.txt")}
    tracks = {int(r[0]): [(int(a), int(b)) for a, b in zip(r[8::2], r[9::2], strict=True)] for r in rows("points3D.txt")}
    images = rows("images.txt")
    assert len(images) == 8
    for head, body in zip(images[::2], images[1::2], strict=True):
        w, x, y, z, *t = map(float, head[1:8])
        local = Rotation.from_quat([x, y, z, w]).as_matrix() @ np.array([points[int(i)] for i in body[2::3]]).T + np.array(t)[:, None]
        expected = to_pixels(Lens(k=(k1, k2, 0, 0, 0, 0)), fx, fy, cx, cy, 0.0, (local[:2] / local[2]).T)
        seen = np.array([body[0::3], body[1::3]], float).T
        np.testing.assert_allclose(seen, expected, atol=6e-4)
        assert all((int(head[0]), place) in tracks[int(i)] for place, i in enumerate(body[2::3]))
    assert images[6][-1] == "Größe_1.JPG"  # readers end a name at a blank


def test_photographs_of_two_cameras_carry_their_own(dataset: Dataset, tmp_path: Path):
    model = dataset.model
    two = replace(model, params=np.array([LENS, (800.0, 500, 375, 0, 0)]), sizes=np.array([SIZE, SIZE]), camera=np.array([0, 0, 0, 1]))
    write_dataset(tmp_path / "out", replace(dataset, model=two, radius=None, unit=None), lambda done, total: None)
    written = json.loads((tmp_path / "out/transforms.json").read_text())
    assert "fl_x" not in written
    assert "sphere_radius" not in written
    assert [round(frame["fl_x"]) for frame in written["frames"]] == [360, 360, 360, 320]


def test_masks_are_turned_with_their_photographs(dataset: Dataset, tmp_path: Path):
    stored, upright = np.zeros((400, 300), np.uint8), np.zeros((300, 400), np.uint8)
    stored[:100, :50] = upright[:50, :100] = 255
    save(np.stack([upright] * 3, -1), tmp_path / "m" / "a.png")
    save(np.stack([stored] * 3, -1), tmp_path / "m" / "lying.png")
    masks = {"a.jpg": tmp_path / "m" / "a.png", "lying.jpg": tmp_path / "m" / "lying.png"}
    write_dataset(tmp_path / "out", replace(dataset, masks=masks), lambda done, total: None)
    frames = json.loads((tmp_path / "out/transforms.json").read_text())["frames"]
    assert [frame.get("mask_path") for frame in frames] == ["masks/a.jpg.png", None, "masks/lying.jpg.png", None]
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "out/masks/a.jpg.png")), upright)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "out/masks/lying.jpg.png")), np.rot90(stored, -1))


def test_square_pixels_of_a_copy_whose_size_was_rounded():
    model = replace(usual_model(2), sizes=np.array([[1000, 751]]))
    lens = lens_of(model, 0, photo("a.jpg", width=2832, height=2128))
    assert lens["fl_x"] == lens["fl_y"] == pytest.approx(900 * np.sqrt(2.832 * 2128 / 751))


def test_names_that_would_meet_are_kept_apart(dataset: Dataset, tmp_path: Path):
    from recon.photos.writing import _places

    a, b = replace(dataset.photos[0], name="IMG_1.jpg"), replace(dataset.photos[1], name="IMG_1.HEIC", file="IMG_1.HEIC")
    places = _places([b, a])
    assert places == {"IMG_1.jpg": "images/IMG_1.jpg", "IMG_1.HEIC": "images/IMG_1.HEIC.jpg"}
    assert _places([replace(a, name="x 1.jpg"), replace(a, name="x_1.jpg")]) == {"x 1.jpg": "images/x_1.jpg", "x_1.jpg": "images/x_1_2.jpg"}


def test_points_are_a_ply_that_others_read(tmp_path: Path):
    import trimesh

    points, colors = np.random.default_rng(0).normal(size=(50, 3)), np.random.default_rng(1).integers(0, 255, (50, 3)).astype(np.uint8)
    with open(tmp_path / "p.ply", "wb") as file:
        write_ply(file, [*columns_of(XYZ, "<f4", points), *columns_of(RGB, "u1", colors)])
    read = trimesh.load(tmp_path / "p.ply")
    np.testing.assert_allclose(read.vertices, points, atol=1e-6)
    np.testing.assert_array_equal(np.asarray(read.colors)[:, :3], colors)


def test_the_picture_shows_cameras_points_and_the_region(dataset: Dataset, tmp_path: Path):
    copies = [tmp_path / name for name in dataset.model.names]
    draw_cameras(dataset.model, 1.25, copies, ["a line"], tmp_path / "cameras.png")
    pixels = np.asarray(Image.open(tmp_path / "cameras.png"))
    for color in ((40, 90, 200), (20, 140, 60), (90, 90, 90)):
        assert (pixels == color).all(axis=2).sum() > 200, color
