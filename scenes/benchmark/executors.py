"""Where jobs run: as processes of this machine, on a Ray cluster, or under Slurm. All of them call :func:`scenes.benchmark.jobs.run_job`.

Clusters need the folder of results, the data and the program under the same paths on every machine.
"""

from __future__ import annotations

import math
import os
import shutil
import signal
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, Protocol

from recon.errors import CapabilityError, UsageError, require_extra
from scenes.benchmark.jobs import JobStatus, read_status, run_job, write_status

ExecutorName = Literal["local", "ray", "slurm"]
MOST_DEATHS = 3
"""A job whose worker or process was killed this often in one batch is recorded as killed and left."""
_POLL_SECONDS = 0.2
_ROOT = str(Path(__file__).parents[2])
SlurmCluster = Literal["slurm", "local"]


class Executor(Protocol):
    """Starts workers. A worker that ends without a final ``status.json`` died."""

    def submit(self, folder: Path, threads: int, at_once: int) -> Any: ...

    def ended(self, handle: Any) -> bool: ...

    def problem(self, handle: Any) -> str:
        """Why the worker of a handle that ended died; "" if it did not."""
        ...

    def cancel(self, handle: Any) -> None: ...

    def close(self) -> None: ...


def run_jobs(folders: Sequence[Path], executor: Executor, *, at_once: int, threads: int, report: Callable[[Path, JobStatus], None]) -> None:
    """Run jobs until each is done, failed, or was killed :data:`MOST_DEATHS` times.

    Args:
        folders: Of the jobs; how each went is in its ``status.json`` afterwards.
        executor: Where they run; closed at the end, whatever happens. On an interruption, running jobs are stopped.
        at_once: Most jobs at one time.
        threads: For each job.
        report: Told when a job ended, or was killed and will be run again.
    """
    waiting, running, deaths = deque(folders), [], Counter()
    try:
        while waiting or running:
            while waiting and len(running) < at_once:
                folder = waiting.popleft()
                before = read_status(folder)
                # So that a worker that dies before it says anything is not taken for one that finished earlier.
                write_status(folder, JobStatus("queued", attempt=before.attempt if before else 0))
                running.append((executor.submit(folder, threads, at_once), folder))
            for handle, folder in [pair for pair in running if executor.ended(pair[0])]:
                running.remove((handle, folder))
                status = read_status(folder) or JobStatus("queued")
                if status.state in ("queued", "running"):
                    status = replace(status, state="killed", message=f"its worker died: {executor.problem(handle) or 'nothing is known'}")
                    write_status(folder, status)
                if status.state == "killed":
                    deaths[folder] += 1
                    if deaths[folder] < MOST_DEATHS:
                        waiting.append(folder)
                report(folder, status)
            time.sleep(_POLL_SECONDS)
    except BaseException:
        for handle, _ in running:
            executor.cancel(handle)
        raise
    finally:
        executor.close()


class LocalExecutor:
    """Processes of this machine, each watched by a thread."""

    def __init__(self, at_once: int, device: str = "auto"):
        self._device = device
        self._pool = ThreadPoolExecutor(at_once, thread_name_prefix="job")

    def submit(self, folder: Path, threads: int, at_once: int) -> tuple[Future[JobStatus], Path]:
        return self._pool.submit(run_job, folder, threads, at_once, self._device), folder

    def ended(self, handle: tuple[Future[JobStatus], Path]) -> bool:
        return handle[0].done()

    def problem(self, handle: tuple[Future[JobStatus], Path]) -> str:
        error = handle[0].exception()
        return "" if error is None else f"{type(error).__name__}: {error}"

    def cancel(self, handle: tuple[Future[JobStatus], Path]) -> None:
        future, folder = handle
        status = read_status(folder)
        if not future.done() and status is not None and status.state == "running" and status.pid is not None:
            with suppress(ProcessLookupError):
                os.kill(status.pid, signal.SIGTERM)

    def close(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)


def gpu_share(gpus: float, at_once: int, device: str) -> float:
    """What part of a GPU each job asks Ray for: a whole one, or less where more jobs run at once than there are GPUs.

    Args:
        gpus: GPUs of the cluster.
        at_once: Jobs that run at one time.
        device: What jobs are to be computed on.
    Returns:
        0 to 1, in the ten-thousandths that Ray counts in; 0 where there is no GPU, or jobs are to use the CPU.
    """
    return 0.0 if device == "cpu" else math.floor(min(1.0, gpus / at_once) * 10_000) / 10_000


class RayExecutor:
    """Tasks of a Ray cluster: the one that ``RAY_ADDRESS`` names, or a local one with as many workers as jobs run at once. Where it has
    GPUs, each task gets one, or its part of one: Ray shows it no other.

    Raises:
        CapabilityError: Without the extra ``[ray]``; GPUs are asked for, and the cluster has none.
        UsageError: A GPU is asked for by number.
    """

    def __init__(self, at_once: int, threads: int, device: str = "auto"):
        if ":" in device:
            raise UsageError(f"--device {device}: Ray gives each job a GPU of its own", "use --device cuda")
        self._device = device
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is told to anybody
        self._ray = require_extra("ray", "ray", "--executor ray")
        local = {} if os.environ.get("RAY_ADDRESS") else {"num_cpus": at_once * threads, "include_dashboard": False}
        search = os.pathsep.join([_ROOT, *filter(None, [os.environ.get("PYTHONPATH")])])
        self._ray.init(log_to_driver=False, logging_level="ERROR", runtime_env={"env_vars": {"PYTHONPATH": search}}, **local)
        gpus = gpu_share(self._ray.cluster_resources().get("GPU", 0), at_once, device)
        if device == "cuda" and not gpus:
            self._ray.shutdown()
            raise CapabilityError("--device cuda: the Ray cluster has no GPU", "use --device cpu, or another cluster")
        # Ray would repeat a task of a dead worker unseen; here every death is counted and told.
        self._run = self._ray.remote(run_job).options(num_cpus=threads, num_gpus=gpus, max_retries=0)

    def submit(self, folder: Path, threads: int, at_once: int) -> Any:
        return self._run.remote(folder, threads, at_once, self._device)

    def ended(self, handle: Any) -> bool:
        return bool(self._ray.wait([handle], timeout=0)[0])

    def problem(self, handle: Any) -> str:
        try:
            self._ray.get(handle)
        except (self._ray.exceptions.RayError, OSError) as error:
            return f"{type(error).__name__}: {str(error).strip().splitlines()[0]}"
        return ""

    def cancel(self, handle: Any) -> None:
        self._ray.cancel(handle, force=True)

    def close(self) -> None:
        self._ray.shutdown()


class SlurmExecutor:
    """Jobs of a Slurm cluster, through submitit.

    Args:
        folder: Where submitit writes its scripts and logs.
        threads: CPUs of each job.
        options: More settings of submitit, ``name=value`` (``timeout_min=240``, ``slurm_partition=cpu``, ``mem_gb=8``).
        cluster: "local" runs the same without Slurm, for tests.
        device: Name of the device that each job asks for where it runs.
    Raises:
        CapabilityError: Without the extra ``[slurm]``, or where there is no ``sbatch``.
        UsageError: For an option that submitit does not know.
    """

    def __init__(self, folder: Path, threads: int, options: Sequence[str] = (), cluster: SlurmCluster = "slurm", device: str = "auto"):
        self._device = device
        self._submitit = require_extra("submitit", "slurm", "--executor slurm")
        if cluster == "slurm" and shutil.which("sbatch") is None:
            raise CapabilityError("--executor slurm needs 'sbatch', which is not here", "run it on a login node of a Slurm cluster")
        self._executor = self._submitit.AutoExecutor(folder=folder, cluster=cluster)
        settings: dict[str, Any] = {"timeout_min": 24 * 60, "cpus_per_task": threads, "name": "formfield"}
        for option in options:
            name, equals, value = option.partition("=")
            if not equals:
                raise UsageError(f"--slurm {option}: expected name=value", "for example --slurm timeout_min=240 slurm_partition=cpu")
            settings[name] = int(value) if value.isdecimal() else value
        try:
            self._executor.update_parameters(**settings)
        except (NameError, TypeError, ValueError) as error:
            raise UsageError(f"--slurm: {error}", "names are those of submitit's update_parameters") from error

    def submit(self, folder: Path, threads: int, at_once: int) -> Any:
        return self._executor.submit(run_job, folder, threads, at_once, self._device)

    def ended(self, handle: Any) -> bool:
        return handle.done()

    def problem(self, handle: Any) -> str:
        error = handle.exception()
        return "" if error is None else f"{type(error).__name__}: {str(error).strip().splitlines()[0]}"

    def cancel(self, handle: Any) -> None:
        handle.cancel()

    def close(self) -> None:
        """Nothing is held."""
