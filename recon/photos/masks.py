"""Masks of the object, as far as the search for cameras needs them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from recon.files import write_picture
from recon.photos.decode import Photo, upright
from recon.photos.model import SparseModel

INSIDE_SHARE = 0.6


@dataclass(frozen=True)
class Masks:
    """Where the object is in photographs.

    Attributes:
        photos: All.
        alpha: Names of those whose transparency says it.
        files: Mask files by the photograph's name.
    """

    photos: tuple[Photo, ...]
    alpha: frozenset[str]
    files: dict[str, Path]

    @property
    def complete(self) -> bool:
        """Whether every photograph has one."""
        return bool(self.photos) and all(photo.name in self.alpha or photo.name in self.files for photo in self.photos)

    def read(self, photo: Photo, size: tuple[int, int]) -> np.ndarray | None:
        """A photograph's mask at width x height, upright. [H, W] bool, or None"""
        if photo.name in self.alpha:
            picture = upright(Path(photo.file))[0].getchannel("A")
        elif photo.name in self.files:
            with Image.open(self.files[photo.name]) as stored:
                picture = stored.convert("L")
        else:
            return None
        return np.asarray(picture.resize(size, Image.Resampling.BOX)) > 127

    def folder_for(self, work: Path) -> Callable[[int], Path]:
        """Makes, for a size of copies, the folder of masks as the search wants them: NAME.jpg.png, black is left out."""

        def made(size: int) -> Path:
            folder = work / f"masks-{size}"
            folder.mkdir(exist_ok=True)
            for photo in self.photos:
                target = folder / f"{photo.work}.png"
                if target.is_file():
                    continue
                with Image.open(work / str(size) / photo.work) as copy:
                    inside = self.read(photo, copy.size)
                assert inside is not None
                write_picture(target, Image.fromarray(inside.astype(np.uint8) * 255))
            return folder

        return made


def alpha_masks(photos: Sequence[Photo]) -> Masks:
    """The masks that photographs carry as transparency."""
    return Masks(tuple(photos), frozenset(photo.name for photo in photos if photo.alpha), {})


def inside_masks(model: SparseModel, photos: Sequence[Photo], masks: Masks) -> np.ndarray | None:
    """Points that lie in at least 60 % of the masks of the photographs that see them. [M] bool, or None without masks for all.

    Args:
        photos: Of the model, in its order.
    """
    if not masks.complete:
        return None
    hits, views = np.zeros(len(model.points)), np.zeros(len(model.points))
    for row, photo in enumerate(photos):
        width, height = (int(x) for x in model.sizes[model.camera[row]])
        mask = masks.read(photo, (width, height))
        assert mask is not None
        mine = model.seen_by == row
        x, y = np.clip(model.pixels[mine].astype(int), 0, [width - 1, height - 1]).T
        np.add.at(hits, model.seen[mine], mask[y, x])
        np.add.at(views, model.seen[mine], 1)
    return hits >= INSIDE_SHARE * np.maximum(views, 1)
