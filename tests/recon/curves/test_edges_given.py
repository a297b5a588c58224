"""Edge maps that come with a dataset: found, read, mended, and turned into points."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from recon.curves.edges2d.edges import KIND_GIVEN, KIND_SILHOUETTE, Edges, EdgeView, find_edges
from recon.curves.edges2d.maps import common_shift, find_map_folders, map_points, snapped
from recon.curves.edges2d.pictures import edge_counts, edge_sheet
from recon.curves.edges2d.ridges import edge_points, no_points
from recon.data.load import load_scene
from recon.data.scene import Scene, View
from recon.errors import DataError, UsageError
from tests.recon.data.data_scenes import DEVELOPMENT_DATA, cameras, disc, save, write_emap, write_nef
from tests.tiny import cameras as sphere_cameras
from tests.tiny import sphere_image, tiny_scene


def ring(size: tuple[int, int], center: tuple[float, float], radius: float, width: float = 1.2) -> np.ndarray:
    """A soft line about a circle. [H, W] float32 in [0, 1]"""
    x, y = np.meshgrid(np.arange(size[0]) + 0.5, np.arange(size[1]) + 0.5)
    return np.exp(-((np.hypot(x - center[0], y - center[1]) - radius) ** 2) / (2 * width**2)).astype(np.float32)


def grey8(values: np.ndarray) -> np.ndarray:
    return np.rint(255 * values).astype(np.uint8)


@pytest.mark.parametrize("shift", [(0.0, 0.0), (0.4, -0.3)])
def test_ridge_points_of_a_soft_line(shift: tuple[float, float]):
    center = (40.2 + shift[0], 35.7 + shift[1])
    found = map_points(ring((80, 70), center, 22.0))
    error = np.hypot(found.points[:, 0] - center[0], found.points[:, 1] - center[1]) - 22
    # the ridge of a smoothed ring moves inward by about half its variance over the radius
    assert np.abs(error).mean() < 0.08
    assert len(found) > 100
    radial = (found.points - center) / 22
    assert np.abs((found.normals * radial).sum(1)).min() > 0.97
    assert set(found.kinds) == {KIND_GIVEN}
    assert found.weights.max() == 1
    assert found.weights.min() > 0
    assert len(map_points(np.zeros((20, 20), np.float32))) == 0


def scene_with(root: Path, folder: str, maps: dict[int, np.ndarray], photographs: str = "disc") -> Scene:
    """An EMAP dataset of a disc, with edge maps."""
    truths = cameras(6)
    write_emap(root, truths)
    for i, truth in enumerate(truths):
        inside = disc(truth)
        picture = np.where(inside[..., None], 180, 0).astype(np.uint8).repeat(3, 2) if photographs == "disc" else np.full((120, 160, 3), 99)
        save(root / "color" / f"{i}_colors.png", np.concatenate([picture, 255 * inside[..., None].astype(np.uint8)], 2).astype(np.uint8))
    for i, values in maps.items():
        save(root / folder / f"{i}_colors.png", grey8(values))
    return load_scene(root, split="all")


def outline(i: int, offset: tuple[float, float] = (0.0, 0.0)) -> np.ndarray:
    """A line map along the disc's outline of view i, displaced."""
    from scipy import ndimage

    inside = disc(cameras(6)[i])
    edge = np.asarray(inside, float) - ndimage.binary_erosion(inside)
    soft = ndimage.gaussian_filter(edge, 0.8)
    return np.clip(ndimage.shift(soft / soft.max(), offset[::-1], order=1), 0, 1).astype(np.float32)


@pytest.mark.parametrize("inverted", [False, True])
def test_maps_in_a_folder_and_their_polarity(tmp_path: Path, inverted: bool):
    maps = {i: outline(i) for i in range(6)}
    scene = scene_with(tmp_path, "edge_PidiNet", {i: 1 - m if inverted else m for i, m in maps.items()})
    edges = find_edges(scene)
    assert edges.source == "given: edge_PidiNet"
    assert len(edges.views) == 6
    assert not edges.warnings
    for view, values in zip(edges.views, maps.values(), strict=True):
        np.testing.assert_allclose(view.strength, values, atol=0.51 / 255)
        assert len(view.points) > 50


def test_the_better_known_detector_comes_first_and_the_other_can_be_named(tmp_path: Path):
    scene = scene_with(tmp_path, "edge_PidiNet", {i: outline(i) for i in range(6)})
    for i in range(6):
        save(tmp_path / "edge_DexiNed" / f"{i}_colors.png", grey8(0.9 * outline(i)))
    assert [m.label for m in find_map_folders(tmp_path, scene.views)] == ["edge_DexiNed", "edge_PidiNet"]
    assert find_edges(scene).source == "given: edge_DexiNed"
    assert find_edges(scene, "given:edge_PidiNet").source == "given: edge_PidiNet"
    assert find_edges(scene, f"given:{tmp_path / 'edge_PidiNet'}").source == "given: edge_PidiNet"
    assert find_edges(scene, "auto").source == "auto"


def test_missing_truncated_and_misshapen_maps_cost_a_warning(tmp_path: Path):
    scene = scene_with(tmp_path, "edges", {i: outline(i) for i in range(5)})
    whole = (tmp_path / "edges" / "1_colors.png").read_bytes()
    (tmp_path / "edges" / "1_colors.png").write_bytes(whole[: len(whole) // 2])
    save(tmp_path / "edges" / "2_colors.png", np.zeros((50, 50), np.uint8))
    edges = find_edges(scene, "given")
    assert [len(v.points) > 0 for v in edges.views] == [True, False, False, True, True, False]
    text = "\n".join(edges.warnings)
    assert "1 of 6 views have no edge map" in text
    assert "5_colors.png" in text
    assert "2 edge maps are left out" in text
    assert "1_colors.png" in text
    assert "truncated" in text
    assert "50x50" in text
    assert "3 of 6 views have no edges" in text


def test_maps_of_another_size_get_their_own_camera(tmp_path: Path):
    scene = scene_with(tmp_path, "edges", {i: np.kron(outline(i), np.ones((2, 2), np.float32)) for i in range(6)})
    view, photo = find_edges(scene).views[0], scene.views[0].camera
    assert (view.camera.width, view.camera.height, view.strength.shape) == (320, 240, (240, 320))
    assert view.camera.fx == 2 * photo.fx
    assert view.camera.cx == 2 * photo.cx
    small = find_edges(scene, "auto").views[0]
    # the photographs confirm the maps, so both lie on the same outline
    distance = np.linalg.norm(view.points[:, None] / 2 - small.points[None], axis=2).min(1)
    assert np.median(distance) < 0.3


@pytest.mark.parametrize("offset", [(0.0, 0.0), (-0.5, 0.7)])
def test_photographs_decide_where_confirmed_edges_are(tmp_path: Path, offset: tuple[float, float]):
    scene = scene_with(tmp_path, "edges", {i: outline(i, offset) for i in range(6)})
    edges = find_edges(scene, "given")
    assert not edges.offset_free
    for view, seen in zip(edges.views, find_edges(scene, "auto").views, strict=True):
        own = view.kinds == KIND_SILHOUETTE
        assert own.mean() > 0.9
        distance = np.linalg.norm(view.points[own][:, None] - seen.points[None], axis=2).min(1)
        assert distance.max() < 1e-4


def test_maps_that_the_photographs_do_not_show_stay_where_they_are(tmp_path: Path):
    scene = scene_with(tmp_path, "edges", {i: ring((160, 120), (80, 60), 9) for i in range(6)})
    edges = find_edges(scene, "given")
    assert edges.offset_free
    radius = np.hypot(*(edges.views[0].points - (80, 60)).T)
    assert np.abs(radius - 9).mean() < 0.15
    assert set(edges.views[0].kinds) == {KIND_GIVEN}


def test_common_shift_and_snapping():
    angle = 2 * np.pi * np.arange(300) / 300
    radial = np.stack([np.cos(angle), np.sin(angle)], 1)
    true = edge_points(50 + 30 * radial, radial, np.ones(300), 0)
    off = edge_points(50 + 30.4 * radial + (0.8, -0.6), radial, np.ones(300), KIND_GIVEN)  # outwards, and displaced
    shift = common_shift(off, true)
    np.testing.assert_allclose(shift, (-0.8, 0.6), atol=0.05)
    moved, share = snapped(off, true, shift)
    assert share == 1
    assert np.abs(np.hypot(*(moved.points - 50).T) - 30).max() < 1e-4
    moved, share = snapped(off, no_points(), np.array([1.0, 2.0]))
    assert share == 0
    np.testing.assert_allclose(moved.points, off.points + np.array([1, 2]), atol=1e-4)


def test_nef_layout(tmp_path: Path):
    """Edge maps under the names that the file gives, photographs beside them in train_img."""
    truths = cameras(6)
    write_nef(tmp_path, truths)
    for i, truth in enumerate(truths):
        inside = 255 * disc(truth).astype(np.uint8)
        save(tmp_path / "train" / f"{i}_colors.png", grey8(outline(i)))
        save(tmp_path / "train_img" / f"{i}_colors.png", np.stack([inside] * 4, 2))
    scene = load_scene(tmp_path)
    assert scene.views[0].name.startswith("train_img/")
    assert scene.views[0].image.shape[2] == 4
    edges = find_edges(scene)
    assert edges.source == "given: train"
    np.testing.assert_allclose(edges.views[0].strength, outline(int(Path(edges.views[0].name).stem.split("_")[0])), atol=0.51 / 255)


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ("given", "holds no edge maps"),
        ("given:nowhere", "no folder of edge maps nowhere"),
        ("automatic", "no edges 'automatic'"),
        ("auto:x", "no edges 'auto:x'"),
        ("surface", "no edges 'surface'"),
        ("surface:nowhere", "no such run or mesh"),
    ],
)
def test_choices_that_do_not_exist(tmp_path: Path, choice: str, message: str):
    scene = replace(tiny_scene(), source=tmp_path)
    with pytest.raises(UsageError, match=message):
        find_edges(scene, choice)


def test_no_edges_at_all_is_an_error_and_one_view_without_is_a_warning(tmp_path: Path):
    scene = tiny_scene()
    blank = [replace(v, image=np.zeros_like(v.image)) for v in scene.views]
    with pytest.raises(DataError, match="no edge was found in any of the 8 training views"):
        find_edges(replace(scene, views=tuple(blank)), "auto")
    edges = find_edges(replace(scene, views=(blank[0], *scene.views[1:])), "auto")
    assert len(edges.views) == 8
    assert len(edges.views[0].points) == 0
    assert any("1 of 8 views have no edges" in line and scene.views[0].name in line for line in edges.warnings)
    counts = edge_counts(edges)
    assert counts["points"] == edges.count
    assert counts["points_per_view"][0] == 0
    edge_sheet(edges, scene, tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size[0] == 1920


def test_bounds_limit_what_is_found():
    """Outside the sphere that holds the object, nothing counts."""
    scene = tiny_scene(background="unknown")
    views = tuple(View(f"{i}", sphere_image(c)[..., :3], c, "train") for i, c in enumerate(sphere_cameras(3, 120)))
    # beside the object: half of the outlines are out of bounds
    small = replace(scene.world_from_scene, scale=3.0, translation=scene.world_from_scene.translation + np.array([0.0, 0.0, 3.0]))
    whole = find_edges(replace(scene, views=views), "auto")
    part = find_edges(replace(scene, views=views, world_from_scene=small), "auto")
    assert 0 < part.count < 0.7 * whole.count


@pytest.mark.skipif(not (DEVELOPMENT_DATA / "abc_nef").is_dir(), reason="development data are not here")
def test_real_maps_lie_where_they_were_measured_to_lie():
    """DexiNed's maps are displaced by (+0.08, -0.10) px, PiDiNet's by (-0.46, -0.71), measured independently on this object."""
    from recon.curves.edges2d.edges import detect_view
    from recon.curves.edges2d.maps import given_folder, read_maps

    scene = load_scene(DEVELOPMENT_DATA / "abc_nef" / "00004926", split="all", skip_bad_frames=True)
    views = scene.views[::12]
    for name, expected in (("edge_DexiNed", (0.08, -0.10)), ("edge_PidiNet", (-0.46, -0.71))):
        maps = read_maps(given_folder(scene.source, views, name), views).maps
        shifts = [common_shift(map_points(m), detect_view(scene, v, faint=True)) for m, v in zip(maps, views, strict=True) if m is not None]
        np.testing.assert_allclose(-np.median(shifts, axis=0), expected, atol=0.25)


def test_edge_views_are_plain_data():
    view = EdgeView("a", tiny_scene().views[0].camera, np.zeros((2, 2)), *(np.zeros((0, 2)),) * 2, *(np.zeros(0),) * 2)
    assert Edges((view,), "auto", False, ()).count == 0
