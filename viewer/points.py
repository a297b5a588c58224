"""Sparse points that come with a dataset: the .ply that a transforms.json names."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from recon.data.ply import read_points
from recon.data.scene import Scene
from recon.system.foreign import read_json

MOST_POINTS = 200_000
"""More are thinned out evenly."""


def sparse_points(scene: Scene) -> tuple[np.ndarray, np.ndarray] | None:
    """Points of a dataset in world units [N, 3] and their colours [N, 3] uint8; None if it has none.

    Raises:
        DataError: If the file that should hold them is broken.
    """
    if scene.points is not None:
        return _thinned(scene.points, scene.point_colors)
    folder = scene.source if scene.source.is_dir() else scene.source.parent
    named = _named_ply(folder)
    return None if named is None else _thinned(*read_points(named))


def _named_ply(folder: Path) -> Path | None:
    file = folder / "transforms.json"
    if not file.is_file():
        return None
    data = read_json(file, "a transforms.json")
    name = data.get("ply_file_path") if isinstance(data, dict) else None
    if not isinstance(name, str) or "\0" in name:
        return None
    path = (folder / name).resolve()
    return path if path.is_relative_to(folder.resolve()) and path.is_file() else None


def _thinned(points: np.ndarray, given: np.ndarray | None) -> tuple[np.ndarray, np.ndarray] | None:
    colors = np.full((len(points), 3), 120, np.uint8) if given is None else given  # grey
    step = max(1, -(-len(points) // MOST_POINTS))
    return (points[::step], colors[::step]) if len(points) else None
