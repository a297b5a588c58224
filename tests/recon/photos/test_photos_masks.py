"""Masks of photographs without cameras: found, turned, used for the region, and written where the reader of datasets finds them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from recon.data.listing import Findings
from recon.photos.decode import prepare
from recon.photos.masks import Masks, given_masks, inside_masks
from recon.photos.writing import Dataset, write_dataset
from tests.recon.photos.made_up import SIZE, usual_model
from tests.recon.photos.studio import printed, save

SHEET = printed((0, 0), 1.0, 0.0).pixels[:300, :400]
LEFT = np.zeros((300, 400), np.uint8)
LEFT[:, :200] = 255


def photographs(folder: Path, count: int = 4) -> tuple:
    found = []
    for k in range(count):
        save(SHEET, folder / f"{k}.jpg")
        found.append(prepare(folder / f"{k}.jpg", f"{k}.jpg", folder.parent, 400))
    return tuple(found)


def grey(image: np.ndarray) -> np.ndarray:
    return np.repeat(image[..., None], 3, axis=2)


@pytest.mark.parametrize("place", ["masks/{k}.png", "masks/{k}.jpg.png", "{k}.mask.png"])
def test_masks_beside_the_photographs_are_the_objects(place: str, tmp_path: Path):
    photos = photographs(tmp_path / "in")
    for k in range(4):
        save(grey(LEFT), tmp_path / "in" / place.format(k=k))
    masks, ignored, _ = given_masks(photos, tmp_path / "in", None)
    assert masks.complete
    assert not ignored
    mask = masks.read(photos[1], (40, 30))
    assert mask is not None
    np.testing.assert_array_equal(mask, LEFT[5::10, 5::10] > 0)
    assert not given_masks(photos, tmp_path / "in", "none")[0].complete


def test_masks_of_what_is_left_out_are_known_again_when_the_dataset_is_read(tmp_path: Path):
    from recon.data.formats.table import read_listing
    from recon.data.masks import assign

    photos = photographs(tmp_path / "in")
    for k in range(4):
        save(grey(LEFT), tmp_path / "in" / f"dynamic_mask_{k}.png")
    masks, ignored, _ = given_masks(photos, tmp_path / "in", None)
    assert not masks.complete
    assert set(ignored) == {photo.name for photo in photos}
    model = replace(usual_model(4), names=tuple(photo.work for photo in photos))
    write_dataset(tmp_path / "out", Dataset(model, photos, 1.0, None, masks.files, ignored), lambda done, total: None)
    listing = read_listing(tmp_path / "out", Findings())
    frames = assign(listing.frames, listing.root, None, Findings())
    assert [frame.mask_meaning for frame in frames] == ["ignore"] * 4
    assert all(frame.mask is not None and frame.mask.is_file() for frame in frames)


def test_the_search_sees_masks_as_white_is_kept(tmp_path: Path):
    photos = photographs(tmp_path / "in", 3)
    for k in range(3):
        save(grey(LEFT), tmp_path / "in" / "masks" / f"{k}.png")
    masks, _, _ = given_masks(photos, tmp_path / "in", None)
    (tmp_path / "w" / "400").mkdir(parents=True)
    for photo in photos:
        save(SHEET, tmp_path / "w" / "400" / photo.work)
    folder = masks.folder_for(tmp_path / "w")(400)
    with Image.open(folder / f"{photos[0].work}.png") as written:
        np.testing.assert_array_equal(np.asarray(written), LEFT)


@pytest.mark.parametrize(("inside", "expected"), [(255, "left"), (0, None)])
def test_points_in_masks(inside: int, expected: str | None, tmp_path: Path):
    """White on what lies left in the pictures; and masks that are black everywhere, which say nothing."""
    photos = photographs(tmp_path / "in", 3)
    for k in range(3):
        save(grey(np.where(LEFT > 0, inside, 0).astype(np.uint8)), tmp_path / "in" / "masks" / f"{k}.png")
    masks, _, _ = given_masks(photos, tmp_path / "in", None)
    model = replace(usual_model(3), names=tuple(photo.work for photo in photos))
    found = inside_masks(model, photos, masks)
    if expected is None:
        assert found is None
        return
    left = model.pixels[:, 0] < SIZE[0] / 2
    share = np.bincount(model.seen, left, len(model.points)) / model.tracks
    assert found is not None
    np.testing.assert_array_equal(found, share >= 0.6)


def test_without_masks_for_all_no_point_is_judged(tmp_path: Path):
    photos = photographs(tmp_path / "in", 3)
    assert inside_masks(usual_model(3), photos, Masks(photos, frozenset({photos[0].name}), {})) is None
