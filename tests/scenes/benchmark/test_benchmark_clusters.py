"""The executors for clusters, on this machine: Ray with two local workers, and submitit's own stand-in for Slurm."""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path

import pytest

from recon.errors import CapabilityError, UsageError
from scenes.benchmark import executors
from scenes.benchmark.executors import RayExecutor, SlurmExecutor, gpu_share, run_jobs
from scenes.benchmark.jobs import JobStatus, read_status
from tests.batches import LINUX, prepared, spoil, until
from tests.tiny import TINY_SETTINGS


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


@LINUX
def test_ray_with_two_workers_one_of_which_is_killed(tmp_path):
    """Two jobs run at the same time in two workers; one worker is killed; its job is run again, and all are done."""
    pytest.importorskip("ray", reason="extra [ray] is not installed")
    spoil(tmp_path / "broken")
    *good, bad = prepared(tmp_path, {"seeds": [0, 1], "set": [*TINY_SETTINGS, "train.steps=40"]}, {"scenes": ["broken"]})
    told: list[tuple[str, str]] = []
    workers: list[int] = []

    def kill_one() -> None:
        until(lambda: all((read_status(f) or JobStatus("queued")).state == "running" for f in good))
        for folder in good:
            status = read_status(folder)
            assert status is not None
            assert status.pid is not None
            workers.append(parent(status.pid))
        os.kill(workers[0], signal.SIGKILL)

    killer = threading.Thread(target=kill_one)
    killer.start()
    executor = RayExecutor(at_once=2, threads=1)
    run_jobs([*good, bad], executor, at_once=2, threads=1, report=lambda folder, status: told.append((folder.name, status.state)))
    killer.join()
    assert len(set(workers)) == 2
    assert os.getpid() not in workers
    assert sorted(told) == sorted([(good[0].name, "killed"), (good[0].name, "done"), (good[1].name, "done"), (bad.name, "failed")])
    first = read_status(good[0])
    assert first is not None
    assert (first.state, first.attempt) == ("done", 2)


@pytest.mark.skipif(sys.platform == "win32", reason="submitit needs a Unix system")
def test_slurm_through_submitits_local_cluster(tmp_path):
    """The same calls as under Slurm, with processes instead of nodes: one job done, one failed and recorded."""
    pytest.importorskip("submitit", reason="extra [slurm] is not installed")
    spoil(tmp_path / "broken")
    folders = prepared(tmp_path, {}, {"scenes": ["broken"]})
    executor = SlurmExecutor(tmp_path / "slurm", 1, ["timeout_min=5"], cluster="local")
    run_jobs(folders, executor, at_once=2, threads=1, report=lambda *_: None)
    found = [read_status(f) for f in folders]
    assert [s.state for s in found if s is not None] == ["done", "failed"]
    assert list((tmp_path / "slurm").iterdir())


class FakeRay:
    """A cluster with so many GPUs, which keeps what tasks ask for."""

    def __init__(self, gpus: int):
        self.gpus, self.asked, self.up = gpus, {}, False

    def init(self, **settings: object) -> None:
        self.up = True

    def shutdown(self) -> None:
        self.up = False

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": 8.0} | ({"GPU": float(self.gpus)} if self.gpus else {})

    def remote(self, function: object) -> FakeRay:
        return self

    def options(self, **asked: object) -> FakeRay:
        self.asked = asked
        return self


@pytest.mark.parametrize(
    ("gpus", "jobs", "device", "share"),
    [(0, 2, "auto", 0.0), (2, 2, "auto", 1.0), (8, 2, "cuda", 1.0), (1, 3, "cuda", 0.3333), (4, 2, "cpu", 0.0)],
)
def test_ray_is_asked_for_gpus_where_there_are_some(monkeypatch, gpus, jobs, device, share):
    ray = FakeRay(gpus)
    monkeypatch.setattr(executors, "require_extra", lambda *_: ray)
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    RayExecutor(jobs, 2, device)
    assert (ray.asked["num_cpus"], ray.asked["num_gpus"]) == (2, share)
    assert jobs * gpu_share(gpus, jobs, device) <= max(gpus, 0)


def test_ray_refuses_gpus_that_are_not_there(monkeypatch):
    ray = FakeRay(0)
    monkeypatch.setattr(executors, "require_extra", lambda *_: ray)
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    with pytest.raises(CapabilityError, match="has no GPU"):
        RayExecutor(1, 1, "cuda")
    assert not ray.up
    with pytest.raises(UsageError, match="a GPU of its own"):
        RayExecutor(1, 1, "cuda:1")
