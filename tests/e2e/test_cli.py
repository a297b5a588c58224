"""The program as a user runs it: a process, its exit code, what it says, and what it leaves on disk."""

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
import trimesh
from PIL import Image

from recon.checkpoint import load_checkpoint
from recon.surface.reading import read_surface
from tests.commands import ROOT, fresh, recon
from tests.recon.evaluation.dtu_files import write_dtu
from tests.tiny import CENTER, RADIUS, TINY_SETTINGS, write_blender


def only_run(out: Path) -> Path:
    (config,) = out.glob("**/config.yaml")
    return config.parent


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """A whole reconstruction of the tiny sphere, long enough for a surface near the truth."""
    folder = tmp_path_factory.mktemp("finished")
    write_blender(folder / "data", count=18, size=32)
    settings = [*TINY_SETTINGS, "train.steps=300", "train.max_rays=256", "train.samples_per_step=4096", "train.checkpoint_every=50"]
    result = fresh("reconstruct", "data", "--out", "runs", "--set", *settings, cwd=folder)
    assert result.returncode == 0, result.stderr
    return only_run(folder / "runs"), result


def test_reconstruct_leaves_everything(finished):
    run, _ = finished
    for name in (
        "config.yaml", "scene.json", "env.json", "metrics.jsonl", "status.json", "checkpoints/latest.json", "eval/results.json",
        "exports/mesh.glb", "exports/mesh.ply", "exports/mesh.obj", "preview.png",
    ):  # fmt: skip
        assert (run / name).is_file(), name
    assert list((run / "renders").glob("orbit.*"))
    assert json.loads((run / "status.json").read_text())["state"] == "done"
    assert Image.open(run / "preview.png").size[0] > 100


def test_reconstruct_finds_the_sphere_in_world_units(finished):
    """The mesh is closed, outward, and lies where the sphere is in the dataset's own frame; all formats agree."""
    run, _ = finished
    for name in ("mesh.ply", "mesh.glb", "mesh.obj"):
        mesh = read_surface(run / "exports" / name)  # a .glb stands on its own origin, and says how it came there
        distance = np.linalg.norm(mesh.vertices - CENTER, axis=1)
        assert abs(np.median(distance) - RADIUS) < 0.15 * RADIUS, name
    ply = trimesh.load(run / "exports" / "mesh.ply", force="mesh", process=False)
    assert ply.is_watertight  # pyright: ignore[reportAttributeAccessIssue]
    assert ply.volume > 0  # pyright: ignore[reportAttributeAccessIssue]


def test_results_say_how_they_were_measured(finished):
    run, result = finished
    results = json.loads((run / "eval" / "results.json").read_text())
    assert results["images"]["views"] == 2
    assert "sRGB" in results["images"]["protocol"]["psnr"]
    assert results["images"]["psnr"] > 15
    assert results["silhouettes"]["mean"] > 0.85
    assert results["textured_mesh"]["views"] == 2
    assert results["textured_mesh"]["psnr"] > 12
    assert "held-out" in results["textured_mesh"]["protocol"]
    assert f"PSNR {results['images']['psnr']:.2f} dB" in result.stdout
    assert str(run.name) in result.stdout


@pytest.mark.parametrize(
    "command",
    [
        ("evaluate", "{run}", "--json"),
        ("render", "{run}", "--split", "test", "--modes", "color", "depth", "normal", "opacity", "error"),
        ("export", "{run}", "mesh", "--resolution", "24", "--texture", "field", "--up", "+z", "--keep", "all", "--overwrite"),
        ("swap", "{run}", "{run}", "--views", "1", "--size", "32", "--export", "--out", "swapped"),
        ("export", "{run}", "cameras"),
    ],
    ids=lambda c: c[0] + c[2],
)
def test_later_commands_work_on_a_run(finished, command, tmp_path):
    run, _ = finished
    result = recon(*(c.format(run=run) for c in command), cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip()


def test_evaluation_against_a_dtu_scan(finished, tmp_path):
    """The tiny sphere as if DTU had scanned it: the figures are those of its distance from the truth, in world units."""
    run, _ = finished
    truth = write_dtu(tmp_path / "dtu", 24, CENTER, RADIUS)
    result = recon("evaluate", run, "--truth", truth, "--scan", "24", "--cull", "none", "--json", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)["dtu"]
    assert found["scan"] == 24
    assert 0 < found["overall"] < 0.15 * RADIUS
    refused = recon("evaluate", run, "--truth", truth, "--scan", "37", cwd=tmp_path)
    assert refused.returncode == 3
    assert "stl037" in refused.stderr


def test_kill_and_resume(tmp_path):
    """SIGKILL in the middle of training; resume goes on from the last checkpoint and finishes everything."""
    write_blender(tmp_path / "data")
    settings = [*TINY_SETTINGS, "train.steps=200", "train.checkpoint_every=10"]
    command = [sys.executable, "-m", "recon", "reconstruct", "data", "--out", "runs", "--set", *settings]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("runs/**/step_????????/state.json")):
        assert process.poll() is None, "it finished or failed before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    run = only_run(tmp_path / "runs")
    assert json.loads((run / "status.json").read_text())["state"] == "running"
    killed_at = load_checkpoint(run / "checkpoints")[0].step
    assert 10 <= killed_at < 200
    result = recon("resume", run, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert f"going on from step {killed_at}" in result.stderr
    assert load_checkpoint(run / "checkpoints")[0].step == 200
    assert (run / "exports" / "mesh.glb").is_file()


def truncated_image(folder: Path) -> None:
    path = folder / "train" / "r_3.png"
    path.write_bytes(path.read_bytes()[:100])


def bad_pose(folder: Path) -> None:
    path = folder / "transforms_train.json"
    data = json.loads(path.read_text())
    data["frames"][2]["transform_matrix"][0][3] = float("nan")
    path.write_text(json.dumps(data))


def not_json(folder: Path) -> None:
    (folder / "transforms_train.json").write_text("{ this is not json")


def no_images(folder: Path) -> None:
    for path in folder.glob("*/*.png"):
        path.unlink()


@pytest.mark.parametrize(
    ("spoil", "names"),
    [(truncated_image, "r_3"), (bad_pose, "r_2"), (not_json, "transforms_train.json"), (no_images, "r_0")],
    ids=lambda v: getattr(v, "__name__", v),
)
def test_bad_data_is_exit_code_3_and_no_half_written_run(spoil, names, tmp_path):
    write_blender(tmp_path / "data")
    spoil(tmp_path / "data")
    result = recon("reconstruct", "data", "--out", "runs", cwd=tmp_path)
    assert result.returncode == 3, result.stderr
    assert names in result.stderr
    assert "->" in result.stderr, "no remedy is given"
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("args", "code", "says"),
    [
        (("reconstruct", "nowhere"), 3, "nowhere"),
        (("reconstruct", "data", "--set", "train.stepz=3"), 2, "stepz"),
        (("resume", "data"), 3, "not a run folder"),
        (("reconstruct", "scenes:teapot"), 2, "teapot"),
    ],
    ids=lambda v: v[0] if isinstance(v, tuple) else None,
)
def test_usage_errors(args, code, says, tmp_path):
    write_blender(tmp_path / "data")
    result = recon(*args, cwd=tmp_path)
    assert result.returncode == code, result.stderr
    assert says in result.stderr
    assert "Traceback" not in result.stderr


def test_forced_backend_that_is_missing_is_exit_code_4(tmp_path):
    write_blender(tmp_path / "data")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "FORMFIELD_BACKEND": "cuda"}
    command = [sys.executable, "-m", "recon", "train", "data", "--set", *TINY_SETTINGS]
    result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=120)
    assert result.returncode == 4, result.stderr
    assert "cuda" in result.stderr
    assert "Traceback" not in result.stderr


def test_doctor(tmp_path):
    result = fresh("doctor", "--json", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    assert {row["op"] for row in report["kernels"]} >= {"fused_field", "march_rays", "composite"}
    assert set(report["extras"]) == {"viewer", "photos", "cad", "gpu", "hdr", "ray", "slurm", "dropins", "dev"}


def test_inspect(tmp_path):
    write_blender(tmp_path / "data")
    result = recon("inspect", "data", "--json", "--out", "pictures", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    facts = json.loads(result.stdout)
    assert (facts["views"]["train"], facts["views"]["test"]) == (8, 2)
    assert np.linalg.norm(np.array(facts["bounds"]["center"]) - CENTER) < 0.3
    assert facts["bounds"]["radius"] == pytest.approx(RADIUS, rel=0.25)
    assert Image.open(tmp_path / facts["picture"]).size[0] > 300
