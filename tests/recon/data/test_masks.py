"""Masks: where they are found, what they mean, for a part of the views, and made from plain backgrounds."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from recon.data.load import load_scene
from recon.errors import DataError
from recon.rendering.rays import PixelBank
from tests.recon.data.data_scenes import cameras, disc, save, write_json, write_nerfstudio


def truths():
    return cameras(12, cx=80.0, cy=60.0, fy=190.0)


def noisy(t):
    """An object of one colour before noise: only masks tell where it is."""
    rng = np.random.default_rng(int(1e6 * abs(t.center[0])))
    return np.where(disc(t)[..., None], 90, rng.integers(0, 255, (t.height, t.width, 3))).astype(np.uint8)


def silhouettes(value=lambda inside: 255 * inside.astype(np.uint8)):
    return [value(disc(t)) for t in truths()]


NAMINGS = {
    "same name": lambda n: f"masks/{n}.png",
    "COLMAP": lambda n: f"masks/{n}.png.png",
    "jpg": lambda n: f"mask/{n}.jpg",
    "suffix": lambda n: f"masks/{n}_mask.png",
    "beside": lambda n: f"images/{n}.mask.png",
    "number": lambda n: f"masks/{int(n.split('_')[1]):04d}.png",
}


@pytest.mark.parametrize("naming", NAMINGS)
@pytest.mark.parametrize("given", [False, True])
def test_every_naming(tmp_path, naming, given):
    write_nerfstudio(tmp_path, truths(), pixels=noisy)
    for i, mask in enumerate(silhouettes()):
        save(tmp_path / NAMINGS[naming](f"frame_{i}"), mask)
    folder = str((tmp_path / NAMINGS[naming]("frame_0")).parent)
    scene = load_scene(tmp_path, mask_source=folder if given else None)
    assert scene.background == "masks"
    for view in scene.views:
        truth = truths()[int(Path(view.name).stem.split("_")[1])]
        assert view.mask is not None
        assert ((view.mask >= 128) == disc(truth)).mean() > 0.99
    assert any(note.startswith("masks:") for note in scene.notes)
    assert load_scene(tmp_path, mask_source="none").background == "unknown"


def test_a_folder_without_masks_of_these_pictures(tmp_path):
    write_nerfstudio(tmp_path, truths(), pixels=noisy)
    save(tmp_path / "m" / "x.png", np.zeros((4, 4), np.uint8))
    with pytest.raises(DataError, match="no mask of any") as caught:
        load_scene(tmp_path, mask_source=str(tmp_path / "m"))
    assert "frame_0.png.png" in str(caught.value)
    with pytest.raises(DataError, match="no folder"):
        load_scene(tmp_path, mask_source=str(tmp_path / "nowhere"))


def with_masks(root: Path, masks, views=range(12), key="mask_path"):
    data = write_nerfstudio(root, truths(), pixels=noisy)
    for i in views:
        save(root / "m" / f"{i}.png", masks[i])
        data["frames"][i][key] = f"m/{i}.png"
    write_json(root / "transforms.json", data)


def test_inverted_masks_are_turned(tmp_path):
    with_masks(tmp_path, silhouettes(lambda inside: 255 * (~inside).astype(np.uint8)))
    scene = load_scene(tmp_path)
    assert scene.background == "masks"
    assert any("black is taken for the object" in note for note in scene.notes)
    assert all(v.mask is not None and 0.02 < (v.mask >= 128).mean() < 0.5 for v in scene.views)


def walker(i):
    """A person who is somewhere else in each picture: black on white."""
    mask = np.full((120, 160), 255, np.uint8)
    x = (i * 37) % 130
    mask[40:100, x : x + 25] = 0
    return mask


def test_ignored_pixels_reach_no_loss(tmp_path):
    masks = [walker(i) for i in range(12)]
    with_masks(tmp_path, masks)
    scene = load_scene(tmp_path, split="all")
    assert scene.background == "unknown"
    assert any("left out of the loss" in note for note in scene.notes)
    painted = []
    for view in scene.views:
        i = int(Path(view.name).stem.split("_")[1])
        assert view.mask is None
        np.testing.assert_array_equal(view.ignore, masks[i] == 0)
        painted.append(view.ignore)
        view.image[view.ignore] = (255, 0, 255)
        view.image[~view.ignore] = (0, 200, 0)
    bank = PixelBank(scene)
    generator = torch.Generator().manual_seed(0)
    drawn = torch.cat([bank.draw(4096, generator)[1].rgb for _ in range(8)])
    assert (drawn[:, 0] == 0).all()
    # Every other pixel can still be drawn: in one step of as many draws as there are pixels, each stretch holds just one.
    total = int(sum((~p).sum() for p in painted))
    rays, _ = bank.draw(total, generator)
    assert len(torch.unique(torch.cat([rays.origins, rays.directions], 1), dim=0)) == total


def test_the_user_can_say_what_masks_mean(tmp_path):
    with_masks(tmp_path, silhouettes())
    scene = load_scene(tmp_path, mask_meaning="ignore")
    assert scene.background == "unknown"
    assert any("more than half" in w for w in scene.warnings)
    shutil.rmtree(tmp_path / "m")
    with_masks(tmp_path, [walker(i) for i in range(12)])
    scene = load_scene(tmp_path, mask_meaning="object")
    assert all(view.ignore is None for view in scene.views)
    assert any("not used" in w for w in scene.warnings)


def test_instant_ngps_dynamic_masks(tmp_path):
    """White is what is left out, the other way round than nerfstudio has it."""
    write_nerfstudio(tmp_path, truths(), pixels=noisy)
    for i in range(12):
        save(tmp_path / "images" / f"dynamic_mask_frame_{i}.png", 255 - walker(i))
    for view in load_scene(tmp_path).views:
        np.testing.assert_array_equal(view.ignore, walker(int(Path(view.name).stem.split("_")[1])) == 0)


def test_masks_of_most_views_say_what_is_background_in_the_rest(tmp_path):
    with_masks(tmp_path, silhouettes(), views=range(9))
    scene = load_scene(tmp_path, split="all")
    assert scene.background == "masks"
    assert any("only 9 of 12 views" in w for w in scene.warnings)
    assert np.linalg.norm(scene.world_from_scene.translation) + 0.7 <= scene.world_from_scene.scale < 1.4
    unmasked = [v for v in scene.views if v.ignore is not None]
    assert len(unmasked) == 3
    for view in unmasked:
        inside = disc(truths()[int(Path(view.name).stem.split("_")[1])])
        assert view.mask is not None
        assert view.ignore is not None
        assert view.ignore[inside].all()  # nobody says which part of the hull is the object
        assert (view.mask[~view.ignore] == 0).all()
        assert 0.3 < (~view.ignore).mean() < 0.98


def test_masks_of_few_views_bound_the_object_only(tmp_path):
    with_masks(tmp_path, silhouettes(), views=range(0, 10, 2))
    scene = load_scene(tmp_path, split="all")
    assert scene.background == "unknown"
    assert all(v.ignore is None for v in scene.views)
    assert any("visual hull" in note for note in scene.notes)


def gradient(t, shade=200):
    """A studio wall that is lit unevenly, with noise as of JPEG: one colour to the eye, not to the byte."""
    rng = np.random.default_rng(1)
    wall = shade + 6 * np.linspace(-1, 1, t.width)[None, :, None] + rng.normal(0, 1.2, (t.height, t.width, 3))
    return np.where(disc(t)[..., None], (150, 60, 40), wall.clip(0, 255)).astype(np.uint8)


def test_automatic_masks_before_a_plain_wall(tmp_path):
    write_nerfstudio(tmp_path, truths(), pixels=gradient)
    assert load_scene(tmp_path).background == "unknown"
    scene = load_scene(tmp_path, mask_source="auto")
    assert scene.background == "masks"
    for view in scene.views:
        inside = disc(truths()[int(Path(view.name).stem.split("_")[1])])
        assert view.mask is not None
        mask = view.mask >= 128
        assert (mask & inside).sum() / (mask | inside).sum() > 0.97


def test_automatic_masks_say_when_there_is_no_plain_background(tmp_path):
    write_nerfstudio(tmp_path, truths(), pixels=noisy)
    scene = load_scene(tmp_path, mask_source="auto")
    assert all(view.mask is None for view in scene.views)
    assert any("plain background" in w for w in scene.warnings)


def test_exif_turns_pictures_where_the_cameras_prove_it(tmp_path):
    """Stored sideways with EXIF orientation 6, while w and h are those of the upright picture; a mask that is upright already."""
    upright = cameras(8, width=120, height=160, cx=60.0, cy=80.0, fx=190.0, fy=190.0)
    data = write_nerfstudio(tmp_path, upright)
    exif = Image.Exif()
    exif[274] = 6
    for i, frame in enumerate(data["frames"]):
        with Image.open(tmp_path / frame["file_path"]) as picture:
            stored = picture.transpose(Image.Transpose.ROTATE_90)
        stored.save(tmp_path / frame["file_path"], exif=exif)
        save(tmp_path / "m" / f"{i}.png", 255 * disc(upright[i]).astype(np.uint8))
        frame["mask_path"] = f"m/{i}.png"
    write_json(tmp_path / "transforms.json", data)
    from tests.recon.data.test_other_formats import check

    scene = load_scene(tmp_path, split="all")
    check(scene, upright)
    assert any("EXIF" in note for note in scene.notes)
    assert scene.background == "masks"
