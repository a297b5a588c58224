"""The loop: it learns, it is deterministic, and an interrupted run goes on as if nothing had happened."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from recon import pipeline
from recon.checkpoint import load_checkpoint
from recon.config.files import with_overrides
from recon.config.presets import preset_config
from recon.console import Reporter
from recon.data.scene import Scene
from recon.errors import DataError, DivergedError, Interrupted, UsageError
from recon.evaluation.truth.known import GroundTruth
from recon.methods.base import Method
from recon.rendering.image import render_view
from recon.runs import Run, open_run
from recon.train import Progress
from tests.tiny import TINY_SETTINGS, tiny_scene

QUIET = Reporter(quiet=True)


def start(
    out: Path, method: str = "volsdf", background="alpha", settings: tuple[str, ...] = (), field: str = "hashgrid"
) -> tuple[Run, Scene]:
    scene = tiny_scene(background)
    config = with_overrides(preset_config(method, field, "fast"), [*TINY_SETTINGS, *settings])  # pyright: ignore[reportArgumentType]
    return pipeline.start(scene, "tiny", config, out), scene


class StopAt(Reporter):
    """Sends Ctrl-C to this process when training reaches a step."""

    def __init__(self, step: int):
        super().__init__(quiet=True)
        self.step = step

    def training(self, progress: Progress) -> None:
        if progress.step == self.step:
            os.kill(os.getpid(), signal.SIGINT)


class StopAtLine(Reporter):
    """Is interrupted where it says its n-th line, between any two stages."""

    def __init__(self, line: int):
        super().__init__(quiet=True)
        self.left = line

    def say(self, text: str) -> None:
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


def final_state(run: Run) -> dict[str, torch.Tensor]:
    checkpoint, problems = load_checkpoint(run.checkpoints)
    assert checkpoint.step == run.config.train.steps
    assert not problems
    return {**checkpoint.model, **checkpoint.optimizer, "generator": checkpoint.generator}


def test_interrupted_between_stages_says_how_to_go_on(tmp_path):
    """Wherever it happens, also after the last step and before the first: the command to go on, and a status that says so."""
    run, scene = start(tmp_path)
    hints, done = [], False
    for line in range(1, 100):
        try:
            pipeline.reconstruct(run, scene, GroundTruth(), StopAtLine(line), pictures=False)
            done = True
            break
        except Interrupted as error:
            hints.append((error.hint, json.loads((run.folder / "status.json").read_text())["state"]))
    assert done
    assert len(hints) > 4
    assert set(hints) == {(f"recon resume {run.folder}", "interrupted")}
    assert json.loads((run.folder / "status.json").read_text())["state"] == "done"


@pytest.mark.parametrize(
    ("method", "background"),
    [("volsdf", "alpha"), ("radiance", "alpha"), ("volsdf", "unknown"), ("radiance", (1.0, 1.0, 1.0)), ("nef", "alpha")],
)
def test_interrupted_and_resumed_equals_uninterrupted(method, background, tmp_path):
    """N + N steps = 2 N steps, bit for bit: parameters, optimiser and random state."""
    often = ("train.occupancy_every=4",)
    whole, scene = start(tmp_path / "whole", method, background, often)
    pipeline.fit(whole, scene, Reporter(quiet=True))

    parts, scene = start(tmp_path / "parts", method, background, often)
    with pytest.raises(Interrupted):
        pipeline.fit(parts, scene, StopAt(6))
    assert json.loads((parts.folder / "status.json").read_text())["state"] == "interrupted"
    assert load_checkpoint(parts.checkpoints)[0].step == 6
    pipeline.fit(parts, scene, Reporter(quiet=True))

    a, b = final_state(whole), final_state(parts)
    assert a.keys() == b.keys()
    assert [k for k in a if not torch.equal(a[k], b[k])] == []


@pytest.mark.parametrize("method", ["volsdf", "radiance"])
def test_it_learns(method, tmp_path):
    """The loss falls by a clear margin within a few steps; tests/recon/fields has every method on every field."""
    run, scene = start(tmp_path, method, settings=("train.steps=120", "train.lr=1e-2"))
    pipeline.fit(run, scene, Reporter(quiet=True))
    rows = [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()]
    assert rows[-1]["step"] == 120
    first, last = (sum(r["psnr"] for r in part) / len(part) for part in (rows[:5], rows[-5:]))
    assert last > first + 1.5


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path):
    run, scene = start(tmp_path, settings=("train.lr=1e30", "train.warmup_steps=1", "train.checkpoint_every=1"))
    with pytest.raises(DivergedError):
        pipeline.fit(run, scene, Reporter(quiet=True))
    assert json.loads((run.folder / "status.json").read_text())["state"] == "failed"


def test_other_data_are_refused(tmp_path):
    run, _ = start(tmp_path)
    changed = tiny_scene()
    object.__setattr__(changed, "views", changed.views[1:])
    with pytest.raises(DataError, match="the data changed"):
        pipeline.fit(run, changed, Reporter(quiet=True))


@contextmanager
def another_writer(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that writes to a run, until the context ends or it is killed."""
    code = (
        "import sys, pathlib, recon.system.locks\n"
        "with recon.system.locks.sole_writer(pathlib.Path(sys.argv[1])): print('mine', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "mine\n"
        yield process
        process.kill()


def test_two_processes_cannot_write_to_one_run(tmp_path):
    """Not while the other one lives, even if it has not said so in its status; and at once when it is gone, however it went."""
    run, scene = start(tmp_path)
    before = (run.folder / "status.json").read_text()
    with another_writer(run.folder) as other:
        for write in (lambda: pipeline.fit(run, scene, QUIET), lambda: pipeline.reconstruct(run, scene, GroundTruth(), QUIET)):
            with pytest.raises(UsageError, match="is writing to this run"):
                write()
        assert (run.folder / "status.json").read_text() == before
        assert not run.checkpoints.exists()
        other.kill()
        other.wait()
        pipeline.fit(run, scene, QUIET)


def test_a_stale_status_locks_nothing(tmp_path):
    """The process number of a run that was killed may be anybody's by now."""
    run, scene = start(tmp_path)
    status = {"state": "running", "step": 1, "pid": os.getppid(), "time": "", "message": ""}
    (run.folder / "status.json").write_text(json.dumps(status))
    pipeline.fit(run, scene, QUIET)


def picture(method: Method) -> torch.Tensor:
    """What a model shows."""
    camera = tiny_scene().views[0].camera
    return torch.from_numpy(render_view(method, camera, tiny_scene().scene_from_world).rgb)


@pytest.mark.parametrize("method", ["volsdf", "radiance", "nef"])
def test_a_run_that_has_all_its_steps_goes_on_with_the_same_model(method, tmp_path):
    """As when it is killed while its mesh is made: what is trained, trained no further and loaded again shows the same picture."""
    run, scene = start(tmp_path, method)
    trained = picture(pipeline.fit(run, scene, QUIET))
    assert trained.std() > 0.01
    assert torch.equal(picture(pipeline.fit(run, scene, QUIET)), trained)
    assert torch.equal(picture(pipeline.load_method(run, QUIET)), trained)


def test_a_checkpoint_that_does_not_fit_its_configuration_is_refused(tmp_path):
    """As after a change of the program: the parameters are named, nothing is loaded by halves."""
    run, scene = start(tmp_path)
    pipeline.fit(run, scene, Reporter(quiet=True))
    config = run.folder / "config.yaml"
    config.write_text(config.read_text().replace("color_levels: 2", "color_levels: 3"))
    with pytest.raises(DataError, match=r"does not fit") as caught:
        pipeline.load_method(open_run(run.folder), Reporter(quiet=True))
    assert any("color" in problem for problem in caught.value.problems)
