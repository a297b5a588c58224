"""The dataset that comes out: pictures, transforms.json, sparse points, COLMAP's text files, names."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from recon.data.ply import RGB, XYZ, columns_of, write_ply
from recon.photos.decode import Photo, upright
from recon.photos.model import SparseModel
from recon.photos.storing import write_json
from recon.system.files import whole, write_picture, write_text_atomically

COPIED = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp")
"""Kinds that are copied as they are; others (HEIC) are written as JPEG, which every program reads."""
QUALITY = 97
"""Of pictures that have to be written anew, because they lie on their side or are of a kind that other programs do not read."""


@dataclass(frozen=True)
class Dataset:
    """What is written.

    Attributes:
        model: In world coordinates, cameras of the small copies; only photographs that are used.
        photos: Of the model, in its order.
        radius: Of the region around the origin, world units; None where masks bound the object.
        unit: Name of the world's unit, or None.
        masks: File of the object's mask of each photograph that has one, by name.
        ignored: File of the mask of what is to be left out, by name.
    """

    model: SparseModel
    photos: tuple[Photo, ...]
    radius: float | None
    unit: str | None
    masks: dict[str, Path]
    ignored: dict[str, Path] = field(default_factory=dict)


def write_dataset(out: Path, dataset: Dataset, progress: Callable[[int, int], None]) -> dict[str, str]:
    """Write everything into ``out``; ``transforms.json`` comes last, so that a folder with it is whole.

    Returns:
        For each photograph's name its picture, relative to ``out``.
    """
    places = _places(dataset.photos)
    masks: dict[str, str] = {}
    for done, photo in enumerate(dataset.photos, 1):
        _put_picture(photo, out / places[photo.name])
        mask = dataset.masks.get(photo.name)
        if mask is not None:
            masks[photo.name] = f"masks/{PurePosixPath(places[photo.name]).relative_to('images')}.png"
            _put_mask(mask, photo, out / masks[photo.name])
        if photo.name in dataset.ignored:
            # By this name, beside the picture, it is known to be one (instant-ngp's convention).
            place = out / places[photo.name]
            _put_mask(dataset.ignored[photo.name], photo, place.with_name(f"dynamic_mask_{place.stem}.png"))
        progress(done, len(dataset.photos))
    with whole(out / "points.ply") as part, open(part, "wb") as file:
        write_ply(file, [*columns_of(XYZ, "<f4", dataset.model.points), *columns_of(RGB, "u1", dataset.model.colors)])
    write_colmap(out / "sparse" / "0", dataset, places)
    write_json(out / "names.json", _names(dataset.photos, places))
    write_json(out / "transforms.json", transforms(dataset, places, masks))
    return places


def transforms(dataset: Dataset, places: dict[str, str], masks: dict[str, str]) -> dict[str, Any]:
    """The content of transforms.json: nerfstudio's keys; the region as Neuralangelo names it; OpenGL axes, full pixels."""
    lenses = [lens_of(dataset.model, row, photo) for row, photo in enumerate(dataset.photos)]
    shared = lenses[0] if all(lens == lenses[0] for lens in lenses) else {}
    frames = []
    for row, photo in enumerate(dataset.photos):
        matrix = np.eye(4)
        matrix[:3] = dataset.model.world_from_camera[row]
        matrix[:3, 1:3] *= -1.0
        frame: dict[str, Any] = {"file_path": places[photo.name], "transform_matrix": matrix.tolist()}
        if photo.name in masks:
            frame["mask_path"] = masks[photo.name]
        frames.append(frame if shared else {**frame, **lenses[row]})
    bounds = {} if dataset.radius is None else {"sphere_center": [0.0, 0.0, 0.0], "sphere_radius": dataset.radius}
    unit = {} if dataset.unit is None else {"unit": dataset.unit}
    return {"camera_model": "OPENCV", **shared, **unit, **bounds, "ply_file_path": "points.ply", "frames": frames}


def lens_of(model: SparseModel, row: int, photo: Photo) -> dict[str, float]:
    """Intrinsics of a photograph in its full upright pixels, by the names of transforms.json."""
    f, cx, cy, k1, k2 = (float(p) for p in model.params[model.camera[row]])
    sx, sy = (np.array([photo.width, photo.height]) / model.sizes[model.camera[row]]).tolist()
    # The copy's pixels may be narrower than they are high by what rounding its size cost; the photograph's are square.
    focal = f * float(np.sqrt(sx * sy))
    return {
        "w": photo.width,
        "h": photo.height,
        "fl_x": focal,
        "fl_y": focal,
        "cx": cx * sx,
        "cy": cy * sy,
        "k1": k1,
        "k2": k2,
        "p1": 0.0,
        "p2": 0.0,
    }


def _places(photos: Sequence[Photo]) -> dict[str, str]:
    """Where each photograph's picture goes: its own name below images/, .jpg where it has to be written anew.

    Blanks become "_": COLMAP's text format ends a name at a blank. Names that would meet get the other suffix, or a number.
    """
    places: dict[str, str] = {}
    taken: set[str] = set()
    for photo in sorted(photos, key=_must_convert):
        path = PurePosixPath("_".join(photo.name.split()))
        options = [path]
        if _must_convert(photo) and path.suffix.lower() not in (".jpg", ".jpeg", ".png"):
            options = [path.with_suffix(".jpg"), PurePosixPath(f"{path}.jpg")]
        options += [options[0].with_stem(f"{options[0].stem}_{number}") for number in range(2, len(photos) + 2)]
        free = next(option for option in options if str(option).lower() not in taken)
        taken.add(str(free).lower())
        places[photo.name] = f"images/{free}"
    return places


def _must_convert(photo: Photo) -> bool:
    return photo.orientation != 1 or not photo.file.lower().endswith(COPIED)


def _put_picture(photo: Photo, target: Path) -> None:
    """Copy a photograph as it is, or write it upright; what is there already is kept."""
    source = Path(photo.file)
    mark = source.stat().st_mtime_ns
    if target.is_file() and target.stat().st_mtime_ns == mark:
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with whole(target) as part:
        if not _must_convert(photo):
            shutil.copyfile(source, part)
        elif target.suffix.lower() == ".png":
            upright(source)[0].save(part, format="PNG")
        else:
            upright(source)[0].convert("RGB").save(part, format="JPEG", quality=QUALITY, subsampling=0)
        os.utime(part, ns=(mark, mark))


def _put_mask(mask: Path, photo: Photo, target: Path) -> None:
    """Masks are of the stored pixels, as the photographs are: one that lies on its side is turned with its photograph."""
    from PIL import Image, ImageOps

    target.parent.mkdir(parents=True, exist_ok=True)
    with Image.open(mask) as picture:
        picture.load()
        pixels = picture.convert("L")
    same_way = (pixels.width >= pixels.height) == (photo.width >= photo.height)
    if photo.orientation != 1 and not (photo.orientation >= 5 and same_way):
        pixels.getexif()[0x0112] = photo.orientation
        pixels = ImageOps.exif_transpose(pixels)
    write_picture(target, pixels)


def _names(photos: Sequence[Photo], places: dict[str, str]) -> dict[str, Any]:
    """The name map: picture of the dataset to the user's file, and of a frame its time in the video."""
    out = {}
    for photo in photos:
        row: dict[str, Any] = {"original": photo.file, "name": photo.name}
        if photo.time_s is not None:
            row["time_s"] = photo.time_s
        out[places[photo.name]] = row
    return out


def write_colmap(folder: Path, dataset: Dataset, places: dict[str, str]) -> None:
    """COLMAP's text model of the same cameras and points, which programs for Gaussian splatting start from. Full pixels."""
    model, photos = dataset.model, dataset.photos
    folder.mkdir(parents=True, exist_ok=True)
    first = {int(camera): row for row, camera in reversed(list(enumerate(model.camera)))}
    cameras = ["# Camera list: CAMERA_ID, MODEL, WIDTH, HEIGHT, PARAMS[]"]
    for camera, row in sorted(first.items()):
        lens = lens_of(model, row, photos[row])
        values = [lens[key] for key in ("fl_x", "fl_y", "cx", "cy", "k1", "k2", "p1", "p2")]
        cameras.append(" ".join([str(camera + 1), "OPENCV", str(lens["w"]), str(lens["h"]), *(repr(v) for v in values)]))
    order = np.argsort(model.seen_by, kind="stable")
    bounds = np.searchsorted(model.seen_by[order], np.arange(len(photos) + 1))
    place_in_image = np.empty(len(order), np.int64)
    images = ["# Image list, two lines each: IMAGE_ID, QW, QX, QY, QZ, TX, TY, TZ, CAMERA_ID, NAME; POINTS2D[] as (X, Y, POINT3D_ID)"]
    for row, photo in enumerate(photos):
        pose = model.world_from_camera[row]
        rotation = pose[:, :3].T
        numbers = [*quaternion(rotation), *(-rotation @ pose[:, 3])]
        name = places[photo.name].removeprefix("images/")
        images.append(" ".join([str(row + 1), *(repr(float(v)) for v in numbers), str(int(model.camera[row]) + 1), name]))
        mine = order[bounds[row] : bounds[row + 1]]
        place_in_image[mine] = np.arange(len(mine))
        full = model.pixels[mine] * (np.array([photo.width, photo.height]) / model.sizes[model.camera[row]])
        images.append(" ".join(f"{x:.3f} {y:.3f} {point + 1}" for (x, y), point in zip(full, model.seen[mine], strict=True)))
    by_point = np.argsort(model.seen, kind="stable")
    ends = np.searchsorted(model.seen[by_point], np.arange(len(model.points) + 1))
    points = ["# 3D point list: POINT3D_ID, X, Y, Z, R, G, B, ERROR, TRACK[] as (IMAGE_ID, POINT2D_IDX)"]
    for index in range(len(model.points)):
        track = by_point[ends[index] : ends[index + 1]]
        seen = " ".join(f"{model.seen_by[k] + 1} {place_in_image[k]}" for k in track)
        xyz, rgb = (" ".join(map(repr, row[index].tolist())) for row in (model.points, model.colors))
        points.append(f"{index + 1} {xyz} {rgb} {model.errors[index]:.4f} {seen}")
    for name, lines in (("cameras", cameras), ("images", images), ("points3D", points)):
        write_text_atomically(folder / f"{name}.txt", "\n".join(lines) + "\n")


def quaternion(rotation: np.ndarray) -> np.ndarray:
    """Unit quaternion w, x, y, z, w >= 0, of a rotation [3, 3]."""
    from scipy.spatial.transform import Rotation

    x, y, z, w = Rotation.from_matrix(rotation).as_quat()
    return np.array([w, x, y, z]) * (1.0 if w >= 0 else -1.0)
