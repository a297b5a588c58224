"""Method nef as a user runs it: edges, training, curves and their files on a box; what it refuses."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from recon.checkpoint import load_checkpoint
from recon.curves.files.wireframe import load
from tests.commands import ROOT, recon
from tests.e2e.test_cli import only_run
from tests.tiny_box import corners, edge_ends, write_box

SETTINGS = (
    "train.steps=200",
    "train.samples_per_step=8192",
    "train.max_rays=2048",
    "train.occupancy_resolution=32",
    "train.checkpoint_every=50",
    "hashgrid.levels=6",
    "hashgrid.log2_table_size=14",
    "hashgrid.finest_resolution=128",
    "nef.step=0.02",
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    folder = tmp_path_factory.mktemp("finished")
    write_box(folder / "data", count=16, size=96)
    result = recon("reconstruct", "data", "--method", "nef", "--unit", "cm", "--out", "runs", "--set", *SETTINGS, cwd=folder)
    assert result.returncode == 0, result.stderr
    return only_run(folder / "runs"), result


def test_reconstruct_leaves_everything(finished):
    run, result = finished
    for name in (
        "checkpoints/latest.json", "eval/results.json", "preview.png", "curves.png", "edges/train_r_0.png",
        "exports/curves.json", "exports/parametric_edges.json", "exports/curves.obj", "exports/curves.ply",
    ):  # fmt: skip
        assert (run / name).is_file(), name
    assert list((run / "exports").glob("curves_svg/*.svg"))
    assert "edges (auto)" in result.stderr
    assert json.loads((run / "status.json").read_text())["state"] == "done"
    assert json.loads((run / "eval" / "results.json").read_text())["images"] is None


def test_reconstruct_finds_the_box_in_world_units(finished):
    """Twelve straight edges, give or take; most samples of the true ones have a curve near by, and most corners a shared vertex."""
    wireframe = load(finished[0] / "exports" / "curves.json")
    assert wireframe.unit == "cm"
    assert 10 <= len(wireframe.curves) <= 16
    points = wireframe.samples(0.02)[0]
    t = np.linspace(0.05, 0.95, 30)[:, None]
    truth = np.concatenate([a + t * (b - a) for a, b in edge_ends()])
    to_curves = np.linalg.norm(truth[:, None] - points, axis=-1).min(1)
    assert (to_curves < 0.03).mean() > 0.85
    to_truth = np.linalg.norm(points[:, None] - truth, axis=-1).min(1)
    assert (to_truth < 0.08).mean() > 0.9
    to_vertex = np.linalg.norm(corners()[:, None] - wireframe.vertices, axis=-1).min(1)
    assert (to_vertex < 0.05).sum() >= 6


@pytest.mark.parametrize(
    ("command", "code", "says"),
    [
        (("evaluate", "{run}", "--json"), 0, '"method": "nef"'),
        (("export", "{run}", "cameras"), 0, "transforms.json"),
        (("render", "{run}", "--split", "test"), 0, "test"),
        (("export", "{run}", "mesh"), 2, "no surface"),
        (("export", "{run}", "curves"), 0, "curves"),
    ],
    ids=lambda c: "-".join(c[::2]) if isinstance(c, tuple) else None,
)
def test_later_commands(finished, command, code, says, tmp_path):
    result = recon(*(c.format(run=finished[0]) for c in command), cwd=tmp_path)
    assert result.returncode == code, result.stderr
    assert says in result.stdout + result.stderr
    assert "Traceback" not in result.stderr


def test_an_empty_field_gives_an_empty_wireframe_and_says_so(tmp_path):
    write_box(tmp_path / "data", count=6, size=40)
    settings = [*SETTINGS, "train.steps=1"]
    result = recon("reconstruct", "data", "--method", "nef", "--out", "runs", "--set", *settings, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "no curve was found" in result.stderr
    assert len(load(only_run(tmp_path / "runs") / "exports" / "curves.json").curves) == 0


def test_kill_and_resume(tmp_path):
    """SIGKILL in the middle of training; resume finds the same edges, goes on, and makes the curves."""
    write_box(tmp_path / "data", count=10, size=48)
    settings = [*SETTINGS, "train.checkpoint_every=20", "train.samples_per_step=2048"]
    command = [sys.executable, "-m", "recon", "reconstruct", "data", "--method", "nef", "--edges", "auto", "--out", "runs"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [*command, "--set", *settings], cwd=tmp_path, env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 240
    while not list(tmp_path.glob("runs/**/step_????????/state.json")):
        assert process.poll() is None, "it finished or failed before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    run = only_run(tmp_path / "runs")
    killed_at = load_checkpoint(run / "checkpoints")[0].step
    assert killed_at < 200
    result = recon("resume", run, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert f"going on from step {killed_at}" in result.stderr
    assert (run / "exports" / "curves.json").is_file()


def blank(folder: Path) -> None:
    """Every photograph transparent but for a faint even veil: an object, and nothing in it."""
    for path in folder.glob("*/*.png"):
        Image.fromarray(np.full((40, 40, 4), 255, np.uint8)).save(path)


def truncate(folder: Path) -> None:
    path = folder / "train" / "r_3.png"
    path.write_bytes(path.read_bytes()[:100])


@pytest.mark.parametrize(
    ("spoil", "args", "code", "says"),
    [
        (None, ("--edges", "auto"), 2, "--method nef"),  # without the method
        (None, ("--method", "nef", "--edges", "canny"), 2, "canny"),
        (None, ("--method", "nef", "--edges", "surface:nowhere"), None, "nowhere"),
        (blank, ("--method", "nef", "--bounds", "2", "-1", "0.5", "1.6"), 3, "no edge"),
        (truncate, ("--method", "nef", "--set", "train.steps=2"), 0, "r_3"),
    ],
    ids=["not-nef", "unknown", "no-such-run", "blank", "truncated"],
)
def test_what_it_refuses_and_what_it_leaves_out(spoil, args, code, says, tmp_path):
    write_box(tmp_path / "data", count=8, size=40)
    if spoil is not None:
        spoil(tmp_path / "data")
    result = recon("train", "data", "--out", "runs", *args, cwd=tmp_path)
    assert result.returncode == code if code is not None else result.returncode in (2, 3), result.stderr
    assert says in result.stderr
    assert "Traceback" not in result.stderr
