"""`recon benchmark SUITE`: run what is not done yet, collect everything, write the report."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from recon import __version__
from recon.errors import DataError, Interrupted, UsageError
from recon.evaluation.report import to_plain
from recon.system.locks import locked
from scenes.benchmark.executors import Executor, ExecutorName, LocalExecutor, RayExecutor, SlurmExecutor, run_jobs
from scenes.benchmark.figures import FIGURES, job_figures, over_scenes, over_seeds, threshold_words
from scenes.benchmark.jobs import JobStatus, attempt_folder, read_status, write_json
from scenes.benchmark.report import write_report
from scenes.benchmark.suite import Job, Suite, code_fingerprint, plan, read_suite

Say = Callable[[str], None]


@dataclass(frozen=True)
class BatchOptions:
    """How a suite is run.

    Attributes:
        out: Folder of jobs and reports.
        jobs: Jobs at one time.
        threads: Of each job; None: this machine's cores divided by ``jobs``.
        executor: Where jobs run.
        slurm: More settings of submitit, ``name=value``.
        device: Name of the device that each job asks for where it runs.
    """

    out: Path
    jobs: int = 1
    threads: int | None = None
    executor: ExecutorName = "local"
    slurm: tuple[str, ...] = ()
    device: str = "auto"

    def threads_each(self) -> int:
        return self.threads or max(1, (os.cpu_count() or 1) // self.jobs)


def run_suite(name: str, folders: Sequence[Path], options: BatchOptions, say: Say) -> tuple[Path, dict[str, Any]]:
    """Run a suite and report on it.

    Args:
        name: Of a suite that comes with the program, or the path of a .yaml file.
        folders: Datasets for suites that name none.
        options: How.
        say: Told one line for each job.
    Returns:
        The report's folder, and what its ``summary.json`` holds. Failed jobs are in it; they raise nothing.
    Raises:
        UsageError: The suite is wrong, or another batch writes to the same folder.
        DataError: Data that the suite names do not exist.
        CapabilityError: The executor's extra is missing.
        Interrupted: Running jobs were stopped; finished ones are kept.
    """
    if options.jobs < 1 or (options.threads is not None and options.threads < 1):
        raise UsageError("--jobs and --threads are at least 1")
    if options.slurm and options.executor != "slurm":
        raise UsageError("--slurm belongs to --executor slurm")
    suite = read_suite(name)
    jobs = plan(suite, folders)
    out = options.out.resolve()
    with _alone(out):
        pending = _prepare(jobs, out)
        say(f"{suite.name}: {len(jobs)} jobs, {len(jobs) - len(pending)} done before")
        if pending:
            try:
                run_jobs(
                    [job_folder(out, job) for job in pending],
                    _executor(options, out),
                    at_once=options.jobs,
                    threads=options.threads_each(),
                    report=_teller(len(pending), say),
                )
            except KeyboardInterrupt as error:
                raise Interrupted("the batch was interrupted; finished jobs are kept", f"go on: recon benchmark {name}") from error
        summary = summarize(suite, jobs, out, options, reused={j.name for j in jobs} - {j.name for j in pending})
        folder = out / suite.name / datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
        summary["folder"] = str(folder)
        folder.mkdir(parents=True)
        write_report(folder, summary, out)
    return folder, summary


def job_folder(out: Path, job: Job) -> Path:
    """Where a job's attempts, log and results are."""
    return out / "jobs" / job.name


def _prepare(jobs: Sequence[Job], out: Path) -> list[Job]:
    """Make the folders of jobs; returns those that are not done."""
    pending = []
    for job in jobs:
        folder = job_folder(out, job)
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / "job.json", job.to_json())
        status = read_status(folder)
        if status is None or status.state != "done" or not (folder / str(status.run) / "eval" / "results.json").is_file():
            pending.append(job)
    return pending


def _executor(options: BatchOptions, out: Path) -> Executor:
    if options.executor == "ray":
        return RayExecutor(options.jobs, options.threads_each(), options.device)
    if options.executor == "slurm":
        return SlurmExecutor(out / "slurm", options.threads_each(), options.slurm, device=options.device)
    return LocalExecutor(options.jobs, options.device)


def _teller(count: int, say: Say) -> Callable[[Path, JobStatus], None]:
    ended = 0

    def tell(folder: Path, status: JobStatus) -> None:
        nonlocal ended
        ended += status.state != "killed"
        time = "" if status.seconds is None else f" in {status.seconds:.0f} s"
        memory = "" if status.peak_memory is None else f", {status.peak_memory / 2**30:.2f} GiB"
        message = f": {status.message}" if status.message else ""
        say(f"[{ended}/{count}] {status.state}{time}{memory}  {folder.name}{message}")

    return tell


def summarize(suite: Suite, jobs: Sequence[Job], out: Path, options: BatchOptions, reused: set[str]) -> dict[str, Any]:
    """Everything that the report shows, as plain values."""
    rows = [_row(job, out, job.name in reused) for job in jobs]
    groups = over_seeds(rows)
    machines = {row["machine"]: row["environment"] for row in rows if row["machine"]}
    for row in rows:
        del row["environment"]
    summary = {
        "suite": suite.name,
        "about": suite.content.about,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "version": __version__,
        "code_fingerprint": code_fingerprint(),
        "executor": options.executor,
        "jobs_at_once": options.jobs,
        "out": str(out),
        "machines": machines,
        "figures": [{**vars(f), "threshold": threshold_words(f)} for f in FIGURES],
        "rows": rows,
        "groups": groups,
        "means": over_scenes(groups),
        "protocols": _protocols(rows, out),
    }
    return to_plain(summary)


def _row(job: Job, out: Path, reused: bool) -> dict[str, Any]:
    """One job: what it was, how it went, what it measured."""
    folder = job_folder(out, job)
    status = read_status(folder) or JobStatus("queued")
    c = job.config
    row: dict[str, Any] = {
        "name": job.name,
        "scene": job.scene,
        "method": job.method,
        "field": c.field,
        "preset": job.preset,
        "seed": c.seed,
        "label": job.label,
        "settings": list(job.settings),
        "source": job.source,
        "data_fingerprint": job.data,
        "state": status.state,
        "reused": reused,
        "attempt": status.attempt,
        "exit_code": status.exit_code,
        "message": status.message,
        "log_tail": list(status.log_tail),
        "started": status.started,
        "host": status.host,
        "threads": status.threads,
        "at_once": status.at_once,
        "run": None if status.run is None else f"jobs/{job.name}/{status.run}",
        "pictures": f"jobs/{job.name}/{attempt_folder(folder, status.attempt).name}/pictures",
        "figures": {},
        "machine": None,
        "environment": None,
    }
    if status.state == "done" and status.run is not None:
        run = folder / status.run
        results, environment = (_read_json(run / name) for name in ("eval/results.json", "env.json"))
        size = attempt_folder(folder, status.attempt) / "size.json"  # of reconstructions; fits count in their results
        counts = _read_json(size) if size.is_file() else {}
        row["figures"] = job_figures({**results, **counts}, status.seconds, status.peak_memory)
        row["unit"] = results.get("unit")
        backends = sorted({k["backend"] for k in environment.get("kernels", []) if "backend" in k})
        machine = f"{environment['processor']}, {environment['cores']} cores, kernels: {' '.join(backends)}"
        row["machine"] = f"{machine}; threads of each job: {status.threads}; jobs at once: {status.at_once}"
        row["environment"] = {k: environment.get(k) for k in ("processor", "cores", "platform", "python", "packages")}
    return row


def _protocols(rows: Sequence[dict[str, Any]], out: Path) -> dict[str, Any]:
    """How figures were measured, as the results say it; the first job that has a kind of figure speaks for all (they share the code)."""
    found: dict[str, Any] = {}
    for row in rows:
        if row["state"] == "done":
            results = _read_json(out / row["run"] / "eval" / "results.json")
            for kind in ("images", "silhouettes", "surface", "curves"):
                if results.get(kind) is not None:
                    found.setdefault(kind, results[kind]["protocol"])
            if "signal" in results:
                found.setdefault({"image": "fitted pictures", "sdf": "fitted shapes"}[results["signal"]], results["protocol"])
    found["size"] = "trained: numbers that training changes, of the whole model; stored: also centres and shapes that are placed and kept"
    found["time and memory"] = "wall time and largest resident memory of the job's whole process; training: time in the training loop"
    return found


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({error})", hint="delete the job's folder to run it again") from error


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Be the only batch that writes to a folder; the lock goes with the process, however it ends."""
    (out / "jobs").mkdir(parents=True, exist_ok=True)
    refusal = UsageError(f"another `recon benchmark` is writing to {out}", "wait for it, or give another --out")
    with locked(out / "jobs" / ".lock", refusal):
        yield
