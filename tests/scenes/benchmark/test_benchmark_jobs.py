"""Jobs as processes: finished ones are not run again, failing ones are recorded, killed ones are run again; on every executor."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from recon.errors import CapabilityError, DataError, UsageError
from scenes.benchmark import executors
from scenes.benchmark.executors import MOST_DEATHS, LocalExecutor, SlurmExecutor, run_jobs
from scenes.benchmark.jobs import JobStatus, read_status, run_job, write_status
from scenes.benchmark.run import BatchOptions, _alone, _prepare, run_suite
from scenes.benchmark.suite import plan, read_suite
from tests.batches import LINUX, alive, make_suite, prepared, spoil, until
from tests.tiny import TINY_SETTINGS, write_blender

ROOT = Path(__file__).parents[3]


def test_a_suite_from_the_command_line(tmp_path):
    """Two jobs at once, one of which fails: exit code, record, report; then again, where only the failed one is run; then compared."""
    write_blender(tmp_path / "data")
    spoil(tmp_path / "broken")
    suite = make_suite(tmp_path, {}, {"scenes": ["broken"]})

    def recon(*args: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-m", "recon", "benchmark", *args]
        return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=120)

    first = recon(suite.name, "--out", "out", "--jobs", "2")
    assert first.returncode == 1, first.stderr
    assert "1 of 2 jobs failed: broken-radiance" in first.stderr
    assert "Traceback" not in first.stderr
    (folder,) = (tmp_path / "out" / "tiny").iterdir()
    summary = json.loads((folder / "summary.json").read_text())
    good, bad = summary["rows"]
    assert (good["state"], bad["state"], bad["exit_code"]) == ("done", "failed", 3)
    assert "r_3.png" in bad["message"]
    assert any("r_3.png" in line for line in bad["log_tail"])
    assert 5 < good["figures"]["psnr"] < 40
    assert 0.1 < good["figures"]["peak_memory_gib"] < 4, "torch alone needs more than 0.1 GiB"
    assert 0.5 < good["figures"]["seconds"] < 100
    assert (tmp_path / "out" / good["run"] / "eval" / "results.json").is_file()
    assert "data:image/jpeg" in (folder / "report.html").read_text()
    assert "broken-radiance" in (folder / "summary.md").read_text()

    log = tmp_path / "out" / good["run"] / "metrics.jsonl"
    before = log.stat().st_mtime_ns
    second = recon(suite.name, "--out", "out", "--json")
    assert second.returncode == 1
    again = json.loads(second.stdout)
    assert [r["reused"] for r in again["rows"]] == [True, False]
    assert [r["attempt"] for r in again["rows"]] == [1, 2]
    assert log.stat().st_mtime_ns == before

    compared = recon("--compare", str(folder), again["folder"])
    assert compared.returncode == 0, compared.stderr
    assert "0 figures better, 0 worse" in compared.stdout


@LINUX
def test_a_killed_process_is_run_again(tmp_path):
    """SIGKILL in the first attempt; the second one finishes, and nothing is left of the first."""
    (folder,) = prepared(tmp_path, {"set": [*TINY_SETTINGS, "train.steps=30"]})
    told: list[JobStatus] = []

    def kill_first() -> None:
        until(lambda: (read_status(folder) or JobStatus("queued")).state == "running")
        status = read_status(folder)
        assert status is not None
        assert status.pid is not None
        os.kill(status.pid, signal.SIGKILL)

    killer = threading.Thread(target=kill_first)
    killer.start()
    run_jobs([folder], LocalExecutor(1), at_once=1, threads=1, report=lambda _, status: told.append(status))
    killer.join()
    assert [(s.state, s.attempt, s.exit_code) for s in told] == [("killed", 1, -9), ("done", 2, 0)]
    assert "SIGKILL" in told[0].message
    assert [p.name for p in folder.glob("attempt_*")] == ["attempt_02"]
    assert told[1].run is not None
    assert json.loads((folder / told[1].run / "status.json").read_text())["state"] == "done"


@LINUX
def test_a_job_dies_with_its_worker(tmp_path):
    """Nothing goes on unseen when the worker is killed: it would collide with the next attempt."""
    (folder,) = prepared(tmp_path, {"set": [*TINY_SETTINGS, "train.steps=1000000"]})
    code = f"from pathlib import Path; from scenes.benchmark.jobs import run_job; run_job(Path({str(folder)!r}), 1)"
    worker = subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(ROOT)})
    until(lambda: bool(list(folder.glob("attempt_01/*/*/*/status.json"))))
    status = read_status(folder)
    assert status is not None
    assert status.pid is not None
    assert alive(status.pid)
    worker.kill()
    worker.wait()
    until(lambda: not alive(status.pid), 10)


class Script:
    """An executor without processes: what each attempt of each job does is written down beforehand."""

    def __init__(self, outcomes: dict[str, list[str]]):
        self.outcomes, self.running, self.most, self.attempts, self.closed = outcomes, 0, 0, Counter(), False

    def submit(self, folder: Path, threads: int, at_once: int) -> Path:
        self.running += 1
        self.most = max(self.most, self.running)
        return folder

    def ended(self, handle: Path) -> bool:
        self.running -= 1
        self.attempts[handle.name] += 1
        outcome = self.outcomes[handle.name].pop(0)
        if outcome != "worker dies":
            write_status(handle, JobStatus(outcome, attempt=self.attempts[handle.name]))  # pyright: ignore[reportArgumentType]
        return True

    def problem(self, handle: Path) -> str:
        return "the machine burnt"

    def cancel(self, handle: Path) -> None:
        raise AssertionError("nothing is to be cancelled")

    def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize(
    ("outcomes", "state", "attempts"),
    [
        (["done"], "done", 1),
        (["failed"], "failed", 1),
        (["killed", "done"], "done", 2),
        (["worker dies", "done"], "done", 2),
        (["worker dies", "killed", "failed"], "failed", 3),
        (["worker dies"] * MOST_DEATHS, "killed", MOST_DEATHS),
    ],
)
def test_which_ends_are_tried_again(outcomes, state, attempts, tmp_path, monkeypatch):
    """Others go on beside it; a stale record of an earlier batch is not taken for the outcome of this one."""
    monkeypatch.setattr(executors, "_POLL_SECONDS", 0.0)
    folders = [tmp_path / name for name in ("a", "b", "c")]
    for folder in folders:
        folder.mkdir()
    write_status(folders[0], JobStatus("failed", attempt=7))
    script = Script({"a": list(outcomes), "b": ["done"], "c": ["failed"]})
    told: list[str] = []
    run_jobs(folders, script, at_once=2, threads=1, report=lambda folder, status: told.append(f"{folder.name} {status.state}"))
    found = read_status(folders[0])
    assert found is not None
    assert (found.state, script.attempts["a"]) == (state, attempts)
    assert {"b done", "c failed"} <= set(told)
    assert script.closed
    assert script.most <= 2
    if outcomes[-1] == "worker dies":
        assert "the machine burnt" in found.message


def test_an_interruption_stops_what_runs(tmp_path):
    """Ctrl-C in the middle: the process ends, the executor is closed, the job is not taken for done."""
    (folder,) = prepared(tmp_path, {"set": [*TINY_SETTINGS, "train.steps=1000000"]})

    class Interrupting(LocalExecutor):
        def ended(self, handle) -> bool:
            if list(folder.glob("attempt_01/*/*/*/status.json")):
                raise KeyboardInterrupt
            return super().ended(handle)

    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run_jobs([folder], Interrupting(1), at_once=1, threads=1, report=lambda *_: None)
    assert time.monotonic() - began < 60
    status = read_status(folder)
    assert status is not None
    assert status.state == "killed"
    assert status.pid is not None
    assert not alive(status.pid)


def test_an_attempt_that_was_given_up_does_not_overwrite_a_newer_one(tmp_path):
    write_blender(tmp_path / "data")
    (folder,) = prepared(tmp_path, {"scenes": ["data"], "set": ["train.steps=1"]})
    (tmp_path / "data" / "transforms_train.json").unlink()  # so that it fails at once

    def newer() -> None:
        until(lambda: (read_status(folder) or JobStatus("queued")).state == "running")
        write_status(folder, JobStatus("done", attempt=2, run="newer"))

    other = threading.Thread(target=newer)
    other.start()
    assert run_job(folder, 1).state == "failed"
    other.join()
    assert read_status(folder) == JobStatus("done", attempt=2, run="newer")


def test_a_done_job_without_its_results_is_run_again(tmp_path):
    (folder,) = prepared(tmp_path, {})
    write_status(folder, JobStatus("done", attempt=1, run="attempt_01/gone"))
    (job,) = plan(read_suite(str(tmp_path / "tiny.yaml")))
    assert _prepare([job], tmp_path / "out") == [job]
    (folder / "attempt_01/gone/eval").mkdir(parents=True)
    (folder / "attempt_01/gone/eval/results.json").write_text("{}")
    assert _prepare([job], tmp_path / "out") == []


@pytest.mark.parametrize("text", ["{", '{"state": "asleep"}', '{"state": "done", "colour": "red"}'])
def test_damaged_status(text, tmp_path):
    (tmp_path / "status.json").write_text(text)
    with pytest.raises(DataError, match=r"status\.json"):
        read_status(tmp_path)


def test_two_batches_do_not_share_a_folder(tmp_path):
    suite = make_suite(tmp_path, {})
    with _alone(tmp_path / "out"), pytest.raises(UsageError, match="another"):
        run_suite(str(suite), [], BatchOptions(tmp_path / "out"), lambda _: None)


@pytest.mark.parametrize(
    ("options", "says"),
    [({"jobs": 0}, "at least 1"), ({"threads": 0}, "at least 1"), ({"slurm": ("mem_gb=8",)}, "--executor slurm")],
)
def test_options_that_do_not_fit(options, says, tmp_path):
    with pytest.raises(UsageError, match=says):
        run_suite("smoke", [], BatchOptions(tmp_path, **options), lambda _: None)


@pytest.mark.parametrize(("executor", "module"), [("ray", "ray"), ("slurm", "submitit")])
def test_a_missing_extra_is_named(executor, module, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(CapabilityError) as error:
        run_suite(str(make_suite(tmp_path, {})), [], BatchOptions(tmp_path / "out", executor=executor), lambda _: None)
    assert f"formfield[{executor}]" in str(error.value)


def test_threads_are_divided(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    assert [BatchOptions(tmp_path, jobs=n).threads_each() for n in (1, 2, 3, 8, 20)] == [8, 4, 2, 1, 1]
    assert BatchOptions(tmp_path, jobs=4, threads=5).threads_each() == 5


def test_slurm_without_slurm(tmp_path, monkeypatch):
    pytest.importorskip("submitit", reason="extra [slurm] is not installed")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CapabilityError, match="sbatch"):
        SlurmExecutor(tmp_path / "slurm", 1)


@pytest.mark.parametrize("option", ["mem_gb", "memory=lots"])
def test_slurm_options_that_do_not_exist(option, tmp_path):
    pytest.importorskip("submitit", reason="extra [slurm] is not installed")
    with pytest.raises(UsageError, match="--slurm"):
        SlurmExecutor(tmp_path / "slurm", 1, [option], cluster="local")
