"""The scripts of examples/ run, on a tiny scene, as a reader would run them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.tiny import CENTER, RADIUS, TINY_SETTINGS, cameras, sphere_image, write_blender

ROOT = Path(__file__).parent.parent


def run(name: str, *args: object, cwd: Path) -> str:
    command = [sys.executable, str(ROOT / "examples" / name), *map(str, args)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("examples")


def test_own_arrays_become_a_mesh_that_can_be_asked(folder: Path):
    every = cameras(10)
    np.savez(
        folder / "capture.npz",
        images=np.stack([sphere_image(c) for c in every]),
        world_from_camera=np.stack([c.world_from_camera for c in every]),
        intrinsics=np.array([[c.fx, c.fy, c.cx, c.cy] for c in every]),
        sphere=np.array([*CENTER, 5.0]),
    )
    mesh = Path(run("own_loader.py", "capture.npz", *TINY_SETTINGS, "train.steps=60", cwd=folder).splitlines()[-1])
    assert (folder / mesh).is_file()

    np.savetxt(folder / "points.txt", [CENTER, CENTER + np.array([RADIUS + 1.0, 0.0, 0.0])])
    lines = run("query_run.py", mesh.parents[1], "points.txt", cwd=folder).splitlines()[1:]
    inside, outside = (float(line.split("|")[1]) for line in lines)
    assert inside < 0.0 < outside


def test_own_field_trains(folder: Path):
    write_blender(folder / "data")
    assert "trained numbers" in run("own_field.py", "data", 20, cwd=folder)
