"""Edge maps as pictures: drawn from points, written, read back from a dataset, and turned into points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage

from recon.curves.edges2d.detector import near_parallel, nearest_parallel
from recon.curves.edges2d.ridges import (
    KIND_GIVEN,
    KIND_SILHOUETTE,
    EdgePoints,
    connected_to_strong,
    edge_points,
    joined,
    no_points,
    ridge_points,
)
from recon.data.images import decode
from recon.data.listing import IMAGE_SUFFIXES, FrameProblem
from recon.data.scene import Scene, View
from recon.errors import DataError, UsageError
from recon.system.files import write_picture

LINE_PX = 1.5
# Of a given map's range: lower is background; a chain must reach the second somewhere.
LOWEST_MAP, SURE_MAP = 0.1, 0.3
# A point of a map stands for an edge of the photograph this near and this parallel.
SNAP_PX, SNAP_DEG = 2.5, 25.0
# Detectors are known by these folder names; the earlier in the list, the more accurate its maps are known to be.
KNOWN_FOLDERS = ("edge_DexiNed", "edge_PidiNet")


def draw_edges(found: EdgePoints, width: int, height: int) -> np.ndarray:
    """A soft edge map: every point is a short piece of a line, as strong as its weight, anti-aliased over a pixel.

    The value at a pixel is ``weight * clip(LINE_PX / 2 + 0.5 - d, 0, 1)`` with d the distance of its centre to the piece.

    Returns:
        [height, width] float32 in [0, 1]
    """
    image = np.zeros((height, width), np.float32)
    base = np.floor(found.points).astype(np.int64)
    reach = int(np.ceil(LINE_PX / 2 + 0.5))
    for dy in range(-reach, reach + 1):
        for dx in range(-reach, reach + 1):
            cell = base + np.array([dx, dy])
            away = cell + 0.5 - found.points
            across = np.abs((away * found.normals).sum(1))
            along = np.abs(away[:, 0] * found.normals[:, 1] - away[:, 1] * found.normals[:, 0])
            # points are about a pixel apart along the edge, up to 1.4 on a diagonal
            distance = np.hypot(across, np.maximum(along - 0.75, 0))
            value = found.weights * np.clip(LINE_PX / 2 + 0.5 - distance, 0, 1)
            keep = (value > 0) & (cell >= 0).all(1) & (cell < (width, height)).all(1)
            np.maximum.at(image, (cell[keep, 1], cell[keep, 0]), value[keep].astype(np.float32))
    return image


def write_map(strength: np.ndarray, path: Path) -> None:
    """White edges on black, 8-bit grey PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_picture(path, Image.fromarray(np.rint(255 * np.clip(strength, 0, 1)).astype(np.uint8)))


@dataclass(frozen=True)
class MapFolder:
    """A folder of edge maps of a dataset.

    Attributes:
        label: For the user: "edge_DexiNed".
        files: The map of each view, None where there is none.
    """

    label: str
    files: tuple[Path | None, ...]

    @property
    def count(self) -> int:
        return sum(f is not None for f in self.files)


def find_map_folders(root: Path, views: Sequence[View]) -> list[MapFolder]:
    """Folders of a dataset that hold edge maps of its views, the best known detector first.

    A map has the stem of its photograph and lies in a folder whose name starts with "edge", or, as NEF keeps them, in ``X`` when the
    photographs are in ``X_img``.
    """
    if not root.is_dir():
        return []
    folders = sorted(p for p in root.iterdir() if p.is_dir() and p.name.lower().startswith("edge"))
    folders.sort(key=lambda p: KNOWN_FOLDERS.index(p.name) if p.name in KNOWN_FOLDERS else len(KNOWN_FOLDERS))
    found = [maps_in(folder, views) for folder in folders]
    beside = tuple(_nef_map(root, view.name) for view in views)
    names = sorted({f.parent.name for f in beside if f is not None})
    return [m for m in [*found, MapFolder("+".join(names), beside)] if m.count]


def given_folder(root: Path, views: Sequence[View], choice: str) -> MapFolder:
    """The folder that the user named, within the dataset or anywhere.

    Raises:
        UsageError: There is no such folder, or no map in it fits a view.
    """
    inside = root / choice
    folder = inside if inside.is_dir() else Path(choice)
    if not folder.is_dir():
        known = [m.label for m in find_map_folders(root, views)]
        raise UsageError(
            f"there is no folder of edge maps {choice} in {root}", f"This dataset has: {', '.join(known) or 'none'}; or use --edges auto."
        )
    found = maps_in(folder, views)
    if not found.count:
        raise UsageError(
            f"no image in {folder} has the name of a training view", f"Maps are found by name: {Path(views[0].name).stem}.png, and so on."
        )
    return found


def maps_in(folder: Path, views: Sequence[View]) -> MapFolder:
    """The maps in a folder, by the stems of the views' names."""
    by_stem = {f.stem: f for f in sorted(folder.iterdir(), reverse=True) if f.suffix.lower() in IMAGE_SUFFIXES}
    return MapFolder(folder.name, tuple(by_stem.get(Path(view.name).stem) for view in views))


def _nef_map(root: Path, name: str) -> Path | None:
    folder, _, rest = name.partition("/")
    if not rest or not folder.endswith("_img"):
        return None
    option = root / folder.removesuffix("_img") / rest
    return option if option.is_file() else None


@dataclass(frozen=True)
class GivenMaps:
    """Maps that were read.

    Attributes:
        label: The folder's name.
        maps: One per view, white edges on black; None where there is none. [H, W] float32 in [0, 1] each
        inverted: The files were black on white.
        warnings: What is missing or cannot be read.
    """

    label: str
    maps: tuple[np.ndarray | None, ...]
    inverted: bool
    warnings: tuple[str, ...]


def read_maps(folder: MapFolder, views: Sequence[View]) -> GivenMaps:
    """Read the maps of all views.

    Raises:
        DataError: None of them can be read.
    """
    maps: list[np.ndarray | None] = []
    missing, broken = [], []
    for view, file in zip(views, folder.files, strict=True):
        if file is None:
            missing.append(view.name)
            maps.append(None)
            continue
        try:
            maps.append(read_map(file, view))
        except FrameProblem as problem:
            broken.append(f"{file.parent.name}/{file.name}: {problem}")
            maps.append(None)
    there = [m for m in maps if m is not None]
    if not there:
        raise DataError(f"none of the edge maps in {folder.label} can be used:", broken, "Mend them, or use --edges auto.")
    warnings = []
    if missing:
        names = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
        warnings.append(f"{len(missing)} of {len(views)} views have no edge map in {folder.label} ({names}); the others are used")
    if broken:
        warnings.append(f"{len(broken)} edge maps are left out: " + "; ".join(broken[:5]) + ("; ..." if len(broken) > 5 else ""))
    # Edges cover little of a picture: where most of it is bright, edges are dark.
    inverted = float(np.median([m.mean() for m in there])) > 0.5
    if inverted:
        maps = [None if m is None else 1 - m for m in maps]
    top = float(np.median([np.quantile(m, 0.999) for m in maps if m is not None]))
    if 0 < top < 0.5:
        warnings.append(f"the edge maps in {folder.label} are faint (their strongest edges are at {top:.2f}); they are scaled up")
        maps = [None if m is None else np.minimum(m / top, 1) for m in maps]
    return GivenMaps(folder.label, tuple(maps), inverted, tuple(warnings))


def read_map(file: Path, view: View) -> np.ndarray:
    """One map, as it is stored. [H, W] float32 in [0, 1]

    Raises:
        FrameProblem: Unreadable, or of another shape than the photograph.
    """
    pixels, _ = decode(file)
    grey = pixels[..., :3].astype(np.float32).mean(2) / 255
    if pixels.shape[2] == 4 and grey.min() == grey.max():
        grey = pixels[..., 3].astype(np.float32) / 255
    h, w = grey.shape
    camera = view.camera
    if abs(w / h - camera.width / camera.height) > 0.51 * (1 / h + 1 / camera.height) * max(1, w / h):
        raise FrameProblem(f"the map is {w}x{h}, its photograph {camera.width}x{camera.height}, another shape")
    return grey


def map_points(strength: np.ndarray, region: np.ndarray | None = None) -> EdgePoints:
    """Ridge points of a soft edge map: maxima across its lines, whose direction is that of the greatest curvature downwards.

    Args:
        strength: White on black. [H, W] float32 in [0, 1]
        region: Where points are wanted. [H, W] bool
    """
    if not strength.any():
        return no_points()
    sigma = 1.0
    smooth = ndimage.gaussian_filter(strength, sigma)
    xx, yy, xy = _derivative(strength, sigma, 0, 2), _derivative(strength, sigma, 2, 0), _derivative(strength, sigma, 1, 1)
    # eigenvector of the Hessian's most negative eigenvalue
    half, difference = (xx + yy) / 2, (xx - yy) / 2
    sharpest = half - np.sqrt(difference**2 + xy**2)
    angle = 0.5 * np.arctan2(xy, difference) + np.pi / 2
    direction = np.stack([np.cos(angle), np.sin(angle)], -1)
    # on the flank of a line, where it bends upwards across, that is the direction of the line, and the map falls steeply beside it
    along = _derivative(strength, sigma, 1, 0) * direction[..., 0] - _derivative(strength, sigma, 0, 1) * direction[..., 1]
    crest = (sharpest < 0) & (sigma * np.abs(along) < 0.3 * smooth)
    lowest = LOWEST_MAP / 2  # smoothing lowers a line of one pixel's width to under a half
    ridge = ridge_points(smooth, direction, lowest, crest if region is None else crest & region)
    chained = connected_to_strong(ridge.cells, ridge.values, strength.shape, SURE_MAP / 2, shortest=4)
    # where the smoothed line is at its highest is how sure the detector was
    full = max(float(np.quantile(ridge.values, 0.9)), 1e-6) if len(ridge.values) else 1.0
    weights = np.clip(ridge.values / full, 0.05, 1)
    return edge_points(ridge.points[chained], ridge.normals[chained], weights[chained], KIND_GIVEN)


def common_shift(points: EdgePoints, others: EdgePoints) -> np.ndarray:
    """The displacement (dx, dy), pixels, that brings points nearest to parallel edges of the others, in the median. [2]

    Only displacements across edges can be seen: they are solved for both axes by least squares, twice, without what lies far off.
    """
    shift = np.zeros(2)
    for reach in (SNAP_PX, 0.6 * SNAP_PX):
        moved = EdgePoints((points.points + shift).astype(np.float32), points.normals, points.weights, points.kinds)
        partner = nearest_parallel(moved, others, reach, SNAP_DEG)
        rows = np.flatnonzero(partner >= 0)
        if len(rows) < 20:
            return shift
        normals = others.normals[partner[rows]].astype(np.float64)
        off = ((others.points[partner[rows]] - moved.points[rows]) * normals).sum(1)
        # outlines may all be displaced outwards, which is no shift: opposite sides cancel
        shift = shift + np.linalg.solve(normals.T @ normals + 1e-3 * len(rows) * np.eye(2), normals.T @ off)
    return shift


def snapped(points: EdgePoints, seen: EdgePoints, shift: np.ndarray) -> tuple[EdgePoints, float]:
    """Points of a map moved onto the photograph's edges that they stand for.

    Detectors draw lines a pixel or so beside the edge (outwards along silhouettes, where they see the dark background), which is more than
    the curves' accuracy. A map says which edges count, the photograph where they are.

    Args:
        points: From :func:`map_points`.
        seen: The detector's, faint edges included.
        shift: Common displacement of the maps, see :func:`common_shift`.
    Returns:
        The points: each at the nearest parallel edge of the photograph, KIND_SILHOUETTE if that is one; where there is none, displaced
        by ``shift``. And the share of points that found an edge.
    """
    if not len(points):
        return points, 0.0
    moved = EdgePoints((points.points + shift).astype(np.float32), points.normals, points.weights, points.kinds)
    partner = nearest_parallel(moved, seen, SNAP_PX, SNAP_DEG)
    found = partner >= 0
    if not found.any():
        return moved, 0.0
    # several points of a map may stand for one of the photograph
    kept, first = np.unique(partner[found], return_index=True)
    kinds = np.where(seen.kinds[kept] == KIND_SILHOUETTE, KIND_SILHOUETTE, points.kinds[found][first]).astype(np.uint8)
    at_edge = EdgePoints(seen.points[kept], seen.normals[kept], points.weights[found][first], kinds)
    # wiggles of a line that has been placed already are no edges of their own
    alone = moved[~found]
    alone = alone[~near_parallel(alone, at_edge, SNAP_PX + 1.0, 90.0)]
    return joined([at_edge, alone]), float(found.mean())


def _derivative(image: np.ndarray, sigma: float, rows: int, columns: int) -> np.ndarray:
    """Derivative of the smoothed image, of the given orders along each axis."""
    along = ndimage.gaussian_filter1d(image, sigma, axis=0, order=rows)
    return ndimage.gaussian_filter1d(along, sigma, axis=1, order=columns)


def undistorted(scene: Scene) -> bool:
    """Whether the scene's photographs were undistorted when they were read, so that maps drawn on the files do not fit them."""
    return any(note.startswith("lens distortion") for note in scene.notes)
