"""Sparse points of a dataset: the .ply that its transforms.json names, and nothing outside the dataset."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import trimesh

from recon.data.scene import Scene
from recon.errors import DataError
from tests.tiny import tiny_scene
from viewer.points import MOST_POINTS, _thinned, sparse_points


def dataset(folder: Path, named: object) -> Scene:
    folder.mkdir(exist_ok=True)
    (folder / "transforms.json").write_text(json.dumps({"ply_file_path": named} if named is not None else {}))
    return replace(tiny_scene(), source=folder)


def write_ply(path: Path) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    points = rng.normal(size=(50, 3)).astype(np.float32)
    colors = rng.integers(0, 256, (50, 4)).astype(np.uint8)
    trimesh.PointCloud(points, colors).export(path)
    return points, colors[:, :3]


def test_points_and_colours_are_read(tmp_path: Path):
    scene = dataset(tmp_path / "data", "sparse_pc.ply")
    points, colors = write_ply(tmp_path / "data" / "sparse_pc.ply")
    found = sparse_points(scene)
    assert found is not None
    np.testing.assert_allclose(found[0], points, atol=1e-6)
    np.testing.assert_array_equal(found[1], colors)


@pytest.mark.parametrize("named", [None, "missing.ply", 7, "../outside.ply"])
def test_no_points(tmp_path: Path, named: object):
    write_ply(tmp_path / "outside.ply")
    assert sparse_points(dataset(tmp_path / "data", named)) is None


def test_a_broken_file_is_named(tmp_path: Path):
    scene = dataset(tmp_path / "data", "broken.ply")
    (tmp_path / "data" / "broken.ply").write_bytes(b"ply\nformat ascii 1.0\nelement vertex 3\n")
    with pytest.raises(DataError, match=r"broken\.ply"):
        sparse_points(scene)


def test_many_points_are_thinned():
    thinned = _thinned(np.zeros((3 * MOST_POINTS + 1, 3)), np.zeros((3 * MOST_POINTS + 1, 3), np.uint8))
    assert thinned is not None
    assert MOST_POINTS // 2 < len(thinned[0]) <= MOST_POINTS
