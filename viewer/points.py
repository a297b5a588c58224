"""Sparse points that come with a dataset: the .ply that a transforms.json names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from recon.data.scene import Scene
from recon.system.foreign import load_trimesh, read_json, reading

MOST_POINTS = 200_000
"""More are thinned out evenly."""


def sparse_points(scene: Scene) -> tuple[np.ndarray, np.ndarray] | None:
    """Points of a dataset in world units [N, 3] and their colours [N, 3] uint8; None if it has none.

    Raises:
        DataError: If the file that should hold them is broken.
    """
    if scene.points is not None:
        return _thinned(scene.points, _colors(scene.point_colors, len(scene.points)))
    folder = scene.source if scene.source.is_dir() else scene.source.parent
    named = _named_ply(folder)
    return None if named is None else _thinned(*read_ply(named))


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


def read_ply(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Points and colours of a .ply; grey where it has none."""
    with reading(path, "a point cloud"):
        cloud: Any = load_trimesh(path)
        points = np.asarray(cloud.vertices, np.float64)  # pyright: ignore[reportAttributeAccessIssue]
        colors = np.asarray(cloud.visual.vertex_colors)[:, :3] if hasattr(cloud, "visual") else None  # pyright: ignore[reportAttributeAccessIssue]
    return points, _colors(colors, len(points))


def _colors(given: np.ndarray | None, count: int) -> np.ndarray:
    return np.full((count, 3), 120, np.uint8) if given is None or len(given) != count else given.astype(np.uint8)


def _thinned(points: np.ndarray, colors: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    step = max(1, -(-len(points) // MOST_POINTS))
    return (points[::step], colors[::step]) if len(points) else None
