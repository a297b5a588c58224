"""One job in a process of its own: start, wait, and write down how it went. Workers of every executor call :func:`run_job`."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from recon.config.files import from_dict
from recon.errors import DataError, UsageError

JobState = Literal["queued", "running", "done", "failed", "killed"]
LOG_LINES = 20
"""Last lines of a failed job's log that are kept in its status."""
MESSAGE_LENGTH = 400
_STOPPED = (130, 128 + signal.SIGTERM)
_ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class JobStatus:
    """How a job stands; ``status.json`` in its folder.

    Attributes:
        state: "queued", "running"; "done"; "failed" by its own doing; "killed" from outside (a signal, its machine), to be run again.
        attempt: Counts from 1; the folder ``attempt_NN``.
        pid: Of the job's process.
        host: Name of the machine.
        started: UTC.
        threads: Given to the process.
        at_once: Jobs that shared the machines when it was started.
        exit_code: Of the process; negative for a signal.
        seconds: Wall time of the process.
        peak_memory: Largest resident memory of the process, bytes. The kernel counts the moment of starting too, so it is at least what
            the worker itself held (some 50 to 150 MB).
        run: Path of the run folder, relative to the job's.
        message: What went wrong.
        log_tail: Last lines of its log, if it failed.
    """

    state: JobState
    attempt: int = 0
    pid: int | None = None
    host: str = ""
    started: str = ""
    threads: int = 0
    at_once: int = 0
    exit_code: int | None = None
    seconds: float | None = None
    peak_memory: int | None = None
    run: str | None = None
    message: str = ""
    log_tail: tuple[str, ...] = ()


def read_status(folder: Path) -> JobStatus | None:
    """Status of the job in a folder; None if it was never started.

    Raises:
        DataError: If ``status.json`` is damaged.
    """
    path = folder / "status.json"
    if not path.is_file():
        return None
    try:
        return from_dict(JobStatus, json.loads(path.read_text()), str(path))
    except (OSError, ValueError, UsageError) as error:
        raise DataError(f"{path}: cannot be read ({error})", hint=f"delete {folder} to run the job again") from error


def write_status(folder: Path, status: JobStatus) -> None:
    """Replace ``status.json``."""
    write_json(folder / "status.json", asdict(status))


def write_json(path: Path, data: Any) -> None:
    """Write under a temporary name, then rename. (The program's own helper would bring torch into every worker.)"""
    temporary = path.with_name(f"{path.name}.{socket.gethostname()}-{os.getpid()}.tmp")
    temporary.write_text(json.dumps(data, indent=1, allow_nan=False))
    os.replace(temporary, path)


def log_path(folder: Path, status: JobStatus) -> Path:
    """Everything that an attempt said."""
    return attempt_folder(folder, status.attempt) / "log.txt"


def attempt_folder(folder: Path, attempt: int) -> Path:
    """Where an attempt's run and log are."""
    return folder / f"attempt_{attempt:02d}"


def run_job(folder: Path, threads: int, at_once: int = 1, device: str = "auto") -> JobStatus:
    """Run the job of a folder (``job.json``) in a new process, and wait for it.

    Each attempt has a folder of its own, so a forgotten process of an earlier one cannot spoil it; when it is done, the others are removed.

    Args:
        folder: The job's folder, on a disk that the worker shares with whoever asked.
        threads: For the process.
        at_once: Jobs that share the machines, for the record.
        device: Name of the device that the job asks for.
    """
    earlier = [int(p.name.removeprefix("attempt_")) for p in folder.glob("attempt_??")]
    number = max(earlier, default=0) + 1
    attempt = attempt_folder(folder, number)
    attempt.mkdir()
    log = attempt / "log.txt"
    command = [sys.executable, "-m", "scenes.benchmark.child", str(os.getpid()), str(folder / "job.json"), str(attempt), device]
    # Workers of a cluster start elsewhere, and must find the same program. Unbuffered, so that a killed process leaves its last words.
    search = os.pathsep.join([str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": search, "PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": str(threads)}
    started = datetime.now(UTC).isoformat(timespec="seconds")
    began = time.monotonic()
    with log.open("wb") as file:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT, env=environment)
    facts: dict[str, Any] = {
        "attempt": number,
        "pid": process.pid,
        "host": socket.gethostname(),
        "started": started,
        "threads": threads,
        "at_once": at_once,
    }
    write_status(folder, JobStatus("running", **facts))
    _, code, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(code)  # the process is gone: it must not be waited for again
    facts |= {
        "exit_code": process.returncode,
        "seconds": round(time.monotonic() - began, 2),
        "peak_memory": usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024),
    }
    status = _outcome(folder, attempt, log, facts)
    current = read_status(folder)
    if current is not None and current.attempt > number:
        return status  # this attempt was given up for dead and another has begun: its word counts
    write_status(folder, status)
    if status.state == "done":
        for other in earlier:
            shutil.rmtree(attempt_folder(folder, other), ignore_errors=True)
    return status


def _outcome(folder: Path, attempt: Path, log: Path, facts: dict[str, Any]) -> JobStatus:
    code = facts["exit_code"]
    runs = sorted([*attempt.glob("*/*/*/config.yaml"), *attempt.glob("*/*/*/fit.yaml")])
    if runs:
        facts["run"] = str(runs[-1].parent.relative_to(folder))
    if code == 0:
        return JobStatus("done", **facts)
    tail = tuple(log.read_text(errors="replace").splitlines()[-LOG_LINES:])
    if code < 0 or code in _STOPPED:
        message = f"killed by {signal.Signals(-code).name}" if code < 0 else "interrupted"
        return JobStatus("killed", **facts, message=message, log_tail=tail)
    first = next((i for i, line in enumerate(tail) if line.startswith("error: ")), len(tail) - 1)
    said = " ".join(line.strip() for line in tail[first:]).removeprefix("error: ") if tail else ""
    return JobStatus("failed", **facts, message=f"exit code {code}: {said[:MESSAGE_LENGTH]}", log_tail=tail)
