"""Printed markers: found in the full photographs, their corners placed in space, and what their side says about the scale."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recon.data.distortion import undistort
from recon.data.listing import Lens
from recon.errors import DataError, UsageError, require_extra
from recon.photos.corners import refine
from recon.photos.decode import Photo, shrink, upright
from recon.photos.model import SparseModel
from recon.photos.storing import read_json, write_json

LARGEST_SEARCH = 3000
"""Markers are looked for in photographs of at most this many pixels."""
SAME_PLACE_PX = 3.0
"""Corners that miss by more, of photographs 1000 pixels long, are not of this marker."""
MOST_SPREAD = 0.02
LEAST_VIEWS = 3
USUAL_DICTIONARIES = (
    "DICT_4X4_50",
    "DICT_4X4_1000",
    "DICT_5X5_1000",
    "DICT_6X6_1000",
    "DICT_7X7_1000",
    "DICT_ARUCO_ORIGINAL",
    "DICT_APRILTAG_36H11",
)


@dataclass(frozen=True)
class Sighting:
    """A marker in a photograph. ``corners``: of its black square, upright full pixels, centres at +0.5. [4, 2]"""

    photo: str
    marker: int
    corners: np.ndarray


def detector(dictionary: str):
    """OpenCV's detector for one of its dictionaries, corners refined below a pixel.

    Raises:
        UsageError: OpenCV has no such dictionary.
    """
    cv2 = require_extra("cv2", "photos", "--marker")
    if not hasattr(cv2, "aruco"):
        require_extra("cv2.aruco", "photos", "--marker")
    number = getattr(cv2.aruco, dictionary, None)
    if number is None:
        known = sorted(name_of(name) for name in dir(cv2.aruco) if name.startswith("DICT_"))
        raise UsageError(f"--marker: there is no dictionary {name_of(dictionary)}", f"one of {', '.join(known)}")
    parameters = cv2.aruco.DetectorParameters()
    parameters.cornerRefinementMethod = cv2.aruco.CORNER_REFINE_SUBPIX
    return cv2.aruco.ArucoDetector(cv2.aruco.getPredefinedDictionary(number), parameters)


def name_of(dictionary: str) -> str:
    """A dictionary as users write it: DICT_4X4_50 is aruco_4x4_50."""
    plain = dictionary.removeprefix("DICT_").lower()
    return plain if plain.startswith(("aruco", "apriltag")) else f"aruco_{plain}"


def find(photo: Photo, dictionary: str) -> list[Sighting]:
    """Markers of a dictionary in a photograph."""
    picture, _, (width, height) = upright(Path(photo.file))
    small = shrink(picture, LARGEST_SEARCH)
    grey = np.asarray(small.convert("L"))
    corners, ids, _ = detector(dictionary).detectMarkers(grey)
    if ids is None:
        return []
    scale = np.array([width / small.width, height / small.height])
    return [
        Sighting(photo.work, int(marker), (refine(grey, np.asarray(four, np.float64).reshape(4, 2)) + 0.5) * scale)
        for four, marker in zip(corners, np.asarray(ids).ravel(), strict=True)
    ]


def find_all(photos: Sequence[Photo], dictionary: str, work: Path, progress: Callable[[int, int], None]) -> list[Sighting]:
    """In all photographs; what was found is kept in ``work``, and photographs that have not changed are not searched again.

    Raises:
        DataError: In none; the dictionary that is in the pictures is named if it is a usual one.
    """
    detector(dictionary)
    kept = work / f"markers-{dictionary}.json"
    known: dict[str, list] = read_json(kept) or {}

    def one(photo: Photo) -> list[Sighting]:
        rows = known.get(photo.work)
        return find(photo, dictionary) if rows is None else [Sighting(photo.work, marker, np.array(four)) for marker, four in rows]

    found: list[Sighting] = []
    with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
        for done, (photo, sightings) in enumerate(zip(photos, pool.map(one, photos), strict=True), 1):
            found += sightings
            known[photo.work] = [(s.marker, s.corners.tolist()) for s in sightings]
            progress(done, len(photos))
    write_json(kept, known)
    if found:
        return found
    some = list(photos)[:: max(1, len(photos) // 5)][:5]
    others = [name for name in USUAL_DICTIONARIES if name != dictionary and any(len(find(photo, name)) > 0 for photo in some)]
    hint = f"the photographs show {', '.join(name_of(name) for name in others)}: give that one" if others else None
    raise DataError(
        f"no marker of {name_of(dictionary)} is in any of the {len(photos)} photographs",
        hint=hint or "a marker must be flat, sharp, and have its white margin; its side at least 30 pixels long in the photographs",
    )


def marker_side(sightings: Sequence[Sighting], model: SparseModel, photos: Sequence[Photo]) -> tuple[float, float, str]:
    """Mean side of the markers in the model's unit.

    Every corner is placed by all photographs that see it; photographs in which it misses by more than 3 pixels (of 1000) are left out.

    Returns:
        The side, the spread of all sides (largest deviation from it, as a share), and what was used, for the user.
    Raises:
        DataError: No marker is seen by three photographs that have cameras, or sides differ by more than 2 %.
    """
    size = {photo.work: (photo.width, photo.height) for photo in photos}
    row = {name: i for i, name in enumerate(model.names)}
    sides: dict[int, np.ndarray] = {}
    views: set[str] = set()
    twice: list[int] = []
    for marker in sorted({sighting.marker for sighting in sightings}):
        seen = [s for s in sightings if s.marker == marker and s.photo in row]
        if len({s.photo for s in seen}) < len(seen):
            twice.append(marker)
            continue
        if len(seen) < LEAST_VIEWS:
            continue
        corners = [_place([(row[s.photo], s.corners[k], size[s.photo]) for s in seen], model) for k in range(4)]
        if any(corner is None for corner in corners):
            continue
        four = np.stack(corners)  # type: ignore[arg-type]
        sides[marker] = np.linalg.norm(four - np.roll(four, -1, axis=0), axis=1)
        views |= {s.photo for s in seen}
    if not sides:
        if twice:
            raise DataError(
                f"marker {twice[0]} is twice in one photograph, so that nobody can tell which is which", hint="print each marker once"
            )
        raise DataError(
            f"no marker is seen clearly by {LEAST_VIEWS} photographs with cameras",
            hint="place it beside the object, where most photographs see it",
        )
    every = np.concatenate(list(sides.values()))
    side = float(np.median([edges.mean() for edges in sides.values()]))
    spread = float(np.abs(every / side - 1).max())
    used = f"marker{'s' * (len(sides) > 1)} {', '.join(map(str, sides))} in {len(views)} photographs, sides within {spread:.2%}"
    if spread > MOST_SPREAD:
        raise DataError(
            f"the sides of the markers differ by {spread:.1%} ({used})",
            hint="print them flat and at one size, each marker once, and photograph them larger and sharper",
        )
    return side, spread, used


def _place(views: list[tuple[int, np.ndarray, tuple[int, int]]], model: SparseModel) -> np.ndarray | None:
    """A point from its pixels: (photograph, full pixel, full size) each. [3], or None if fewer than three photographs agree on it."""
    rays, centers, matrices, measured, unit = [], [], [], [], []
    for photograph, pixel, full in views:
        camera = model.camera[photograph]
        f, cx, cy, k1, k2 = model.params[camera]
        small = pixel * (model.sizes[camera] / np.array(full))
        xy = undistort(Lens(k=(k1, k2, 0.0, 0.0, 0.0, 0.0)), (small - [cx, cy]) / f)
        pose = model.world_from_camera[photograph]
        rays.append(pose[:, :3] @ np.array([*xy, 1.0]))
        centers.append(pose[:, 3])
        matrices.append(pose[:, :3].T)
        measured.append(xy)
        unit.append(f * 1000 / model.sizes[camera].max())
    direction, center, turn, xy, px = np.array(rays), np.array(centers), np.array(matrices), np.array(measured), np.array(unit)
    used = np.isfinite(xy).all(axis=1)
    for _ in range(10):
        if used.sum() < LEAST_VIEWS:
            return None
        point = triangulate(center[used], direction[used], turn[used], xy[used])
        local = np.einsum("nij,nj->ni", turn, point - center)
        miss = np.linalg.norm(local[:, :2] / local[:, 2:] - xy, axis=1) * px
        good = (miss < SAME_PLACE_PX) & (local[:, 2] > 0)
        if good[used].all():
            return point
        worst = np.flatnonzero(used)[np.argsort(miss[used])]
        used = np.zeros_like(used)
        used[worst[: max(LEAST_VIEWS - 1, int(0.8 * len(worst)))]] = True
    return None


def triangulate(centers: np.ndarray, directions: np.ndarray, camera_from_world: np.ndarray, measured: np.ndarray) -> np.ndarray:
    """The point whose projections are nearest to what was measured: nearest to the rays, then Gauss-Newton.

    Args:
        centers, directions: Of the rays. [N, 3]
        camera_from_world: Rotations. [N, 3, 3]
        measured: Ideal image coordinates. [N, 2]
    Returns:
        [3]
    """
    unit = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    projectors = np.eye(3) - unit[:, :, None] * unit[:, None, :]
    point = np.linalg.lstsq(projectors.sum(axis=0), np.einsum("nij,nj->i", projectors, centers), rcond=None)[0]
    for _ in range(10):
        x, y, z = np.einsum("nij,nj->ni", camera_from_world, point - centers).T
        residual = np.stack([x / z, y / z], 1) - measured
        zero = np.zeros_like(z)
        inner = np.stack([np.stack([1 / z, zero, -x / z**2], 1), np.stack([zero, 1 / z, -y / z**2], 1)], 1)
        jacobian = (inner @ camera_from_world).reshape(-1, 3)
        step = np.linalg.lstsq(jacobian, residual.ravel(), rcond=None)[0]
        point = point - step
        if np.linalg.norm(step) < 1e-12 * max(1.0, float(np.linalg.norm(point))):
            break
    return point
