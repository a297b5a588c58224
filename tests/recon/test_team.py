"""Several processes that train one run: the same losses as one process that has all their rays; who writes; what is refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from recon import pipeline
from recon.cli.main import main
from recon.config.values import RunConfig
from recon.data.scene import Scene
from recon.device import CPU, generator_of, step_seed
from recon.model import build_method
from recon.opening import open_data
from recon.optimizer import Adam, learning_rate
from recon.runs import open_run
from recon.team import Team, here
from recon.train import START_RAYS, _adapted
from tests import tiny
from tests.recon.team_program import LONGER, METHODS, QUIET, SETTINGS, STEPS, configured

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two processes left behind."""
    folder = tmp_path_factory.mktemp("team")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", ROOT / "tests/recon/team_program.py"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run([*command, folder], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    return folder


def run_folder(folder: Path, method: str) -> Path:
    (run,) = (folder / method).glob("*/*/*")  # one, although two processes trained
    return run


def records(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def with_both_batches(scene: Scene, config: RunConfig, folder: Path) -> list[dict[str, Any]]:
    """Losses of a process that draws the rays of both and takes the mean of both losses."""
    run = pipeline.start(scene, "tiny", config, folder)
    method = build_method(config, scene.background, len(scene.split("train")))
    pixels = method.prepare(run, scene, QUIET, fresh=True)
    optimizer, generator = Adam(method.parameter_groups(), config.train.beta2, config.train.eps), generator_of(CPU, 0)
    rays, found = START_RAYS, []
    method.set_progress(0.0)
    for step in range(STEPS):
        generator.manual_seed(step_seed(config.seed, step))
        if step % config.train.occupancy_every == 0:
            method.refresh_occupancy(step, generator)
        both = []
        for rank in range(2):
            if rank:
                generator.manual_seed(step_seed(step_seed(config.seed, step), rank))
            both.append(method.losses(*pixels.draw(Team(rank, 2).share(rays), generator), generator))
        torch.stack([losses.total for losses in both]).mean().backward()
        optimizer.step(learning_rate(config.train, step))
        method.set_progress((step + 1) / config.train.steps)
        rays = _adapted(rays, sum(losses.samples for losses in both), config.train.samples_per_step, config.train.max_rays)
        found.append({f"loss/{name}": sum(losses.terms[name] for losses in both) / 2 for name in both[0].terms} | {"rays_per_step": rays})
    return found


@pytest.mark.parametrize("method", METHODS)
def test_two_processes_have_the_losses_of_one_with_both_batches(trained: Path, tmp_path: Path, method: str) -> None:
    expected = with_both_batches(tiny.tiny_scene("alpha"), configured(method), tmp_path)
    actual = records(run_folder(trained, method))[:STEPS]
    same(expected, actual)


def same(expected: list[dict[str, Any]], actual: list[dict[str, Any]]) -> None:
    assert len(actual) == STEPS
    for a, b in zip(expected, actual, strict=True):
        assert {name: b[name] for name in a} == pytest.approx(a, rel=1e-6, abs=1e-9)
    assert len({record["loss/color"] for record in actual}) == STEPS  # it trains


def test_the_command_as_users_give_it(tmp_path: Path) -> None:
    """``torchrun --nproc-per-node 2 -m recon train DATA``: one run, and the losses of one process with both batches."""
    data, out = tiny.write_blender(tmp_path / "data"), tmp_path / "runs"
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "recon"]
    words = ["train", data, "--method", "radiance", "--preset", "fast", "--device", "cpu", "--out", out, "--set", *SETTINGS]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run([*torchrun, *words], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    folder = Path(done.stdout.split()[-1])
    assert folder == run_folder(tmp_path, "runs")  # the only one: said once, by the lead
    run = open_run(folder)
    same(with_both_batches(open_data(str(data), run.config), run.config, tmp_path / "alone"), records(folder))


def test_the_lead_alone_writes(trained: Path) -> None:
    lead, other = (Path((trained / f"rank{i}.txt").read_text()) for i in range(2))
    assert lead == run_folder(trained, METHODS[0])
    assert not other.exists()
    assert not other.is_relative_to(trained)


def test_a_run_goes_on_with_all_of_them(trained: Path) -> None:
    assert [record["step"] for record in records(run_folder(trained, METHODS[0]))] == list(range(1, LONGER + 1))


@pytest.mark.parametrize(("rays", "size"), [(1024, 1), (129, 2), (7, 4), (1, 3)])
def test_shares_of_the_rays(rays: int, size: int) -> None:
    shares = [Team(rank, size).share(rays) for rank in range(size)]
    assert sum(shares) == max(rays, size)
    assert max(shares) - min(shares) <= 1


@pytest.fixture
def under_torchrun(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"MASTER_ADDR": "localhost", "MASTER_PORT": "1", "WORLD_SIZE": "2", "RANK": "1", "LOCAL_RANK": "1"}.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["doctor"], "doctor is done by one process, and this is one of 2"),
        (["reconstruct", "scenes:bracket", "--view"], "--view needs a process that trains alone"),
        (["train", "scenes:bracket", "--device", "cuda:0"], "2 processes cannot share one GPU"),
    ],
)
def test_what_a_team_cannot_do(under_torchrun: None, capsys: pytest.CaptureFixture[str], words: list[str], message: str) -> None:
    assert here() == Team(1, 2)
    with pytest.raises(SystemExit) as end:
        main(words)
    assert end.value.code == 2
    assert message in capsys.readouterr().err
