"""What the system refuses, and how processes are ended: one line each, an exit code, and a way on."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from recon.checkpoint import load_checkpoint
from tests.commands import ROOT, fresh, recon
from tests.e2e.test_cli import only_run
from tests.tiny import TINY_SETTINGS, write_blender


def lines(stderr: str) -> list[str]:
    assert "Traceback" not in stderr
    return [line for line in stderr.splitlines() if line.startswith(("error:", "  ->"))]


@pytest.mark.parametrize(
    ("out", "says"),
    [("file/runs", "file"), ("n" * 300, "File name too long"), ("bad\x1b[2Jname" + "x" * 300, "bad\\x1b[2Jname")],
    ids=["a file in the way", "a name too long", "a name that steers the terminal"],
)
def test_an_out_that_cannot_be_written(out, says, tmp_path):
    write_blender(tmp_path / "data")
    (tmp_path / "file").write_text("")
    result = recon("train", "data", "--out", out, "--set", *TINY_SETTINGS, cwd=tmp_path)
    assert result.returncode == 7, result.stderr
    assert says in lines(result.stderr)[0]
    assert lines(result.stderr)[1].startswith("  -> ")
    assert "\x1b[2J" not in result.stderr


@pytest.mark.parametrize(("largest", "state"), [(2_000, None), (30_000, "failed")], ids=["at the start", "at a checkpoint"])
def test_a_disk_that_takes_no_more(largest, state, tmp_path):
    """Here: files of at most so many bytes. What was there stays, nothing half-written is left, and the run goes on when there is room."""
    write_blender(tmp_path / "data")

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))

    result = fresh("reconstruct", "data", "--out", "runs", "--set", *TINY_SETTINGS, cwd=tmp_path, preexec_fn=limited)
    assert result.returncode == 7, result.stderr
    assert "File too large" in lines(result.stderr)[0]
    assert not list((tmp_path / "runs").rglob(".part-*"))
    if state is None:
        assert not list((tmp_path / "runs").rglob("config.yaml"))
        return
    run = only_run(tmp_path / "runs")
    assert json.loads((run / "status.json").read_text())["state"] == state
    assert not list(run.glob("checkpoints/step_*"))
    again = recon("resume", run, cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert load_checkpoint(run / "checkpoints")[0].step == 12


def started(cwd: Path, *words: str, wait_for: str) -> subprocess.Popen[str]:
    """A `recon` process that has got so far as to say something."""
    process = subprocess.Popen(
        [sys.executable, "-m", "recon", *words], cwd=cwd, env={**os.environ, "PYTHONPATH": str(ROOT)}, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    deadline = time.monotonic() + 120
    while wait_for not in (line := process.stderr.readline()):
        assert line, "it ended before it came so far"
        assert time.monotonic() < deadline
    return process


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT], ids=lambda n: n.name)
def test_ended_while_results_are_made(number, tmp_path):
    """Training is over: the status says interrupted, the last line says how to go on, and that works."""
    write_blender(tmp_path / "data")
    settings = [*TINY_SETTINGS, "export.resolution=1024"]
    process = started(tmp_path, "reconstruct", "data", "--out", "runs", "--set", *settings, wait_for="trained 12 steps")
    process.send_signal(number)
    _, said = process.communicate(timeout=120)
    run = only_run(tmp_path / "runs")
    assert process.returncode == 130, said
    assert f"recon resume {run.relative_to(tmp_path)}" in lines(said)[-1]
    assert json.loads((run / "status.json").read_text())["state"] == "interrupted"


def test_whoever_reads_the_output_may_stop(tmp_path):
    """`recon inspect DATA | head -1` is not an error, and complains about nothing."""
    write_blender(tmp_path / "data")
    process = subprocess.Popen(
        [sys.executable, "-m", "recon", "inspect", "data"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    said = process.stderr.read()
    process.wait(timeout=120)
    assert process.returncode == 141
    assert "Broken" not in said
    assert "Traceback" not in said
