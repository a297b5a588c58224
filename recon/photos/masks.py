"""Masks of the object, as far as the search for cameras needs them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from recon.data.listing import Findings, Frame, Intrinsics
from recon.data.masks import assign
from recon.photos.decode import Photo, upright
from recon.photos.model import SparseModel
from recon.system.files import write_picture

INSIDE_SHARE = 0.6
LEAST_INSIDE = 0.2


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


def given_masks(photos: Sequence[Photo], root: Path, wanted: str | None) -> tuple[Masks, dict[str, Path], tuple[str, ...]]:
    """Masks that the user gives or that lie beside the photographs, and those that photographs carry as transparency.

    Args:
        photos: All.
        root: The user's folder.
        wanted: A folder; "none" or "auto" (made from the pictures when they are read, not here); None: where they usually lie.
    Returns:
        The object's masks; files of masks that say what is to be left out, by name; notes for the user.
    Raises:
        DataError: The folder does not exist, or holds no mask of any photograph.
    """
    findings = Findings()
    frames = [Frame(photo.name, photo.name, Path(photo.file), np.eye(4)[:3], Intrinsics()) for photo in photos]
    assigned = [frame for frame in assign(frames, root, wanted, findings) if frame.mask is not None]
    files = {frame.name: frame.mask for frame in assigned if frame.mask is not None and frame.mask_meaning != "ignore"}
    ignored = {frame.name: frame.mask for frame in assigned if frame.mask is not None and frame.mask_meaning == "ignore"}
    alpha = frozenset(photo.name for photo in photos if photo.alpha)
    return Masks(tuple(photos), alpha, files), ignored, tuple(findings.notes)


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
    inside = hits >= INSIDE_SHARE * np.maximum(views, 1)
    # Masks that are black on the object leave next to nothing: what they mean is found when the dataset is read.
    return inside if inside.mean() > LEAST_INSIDE else None
