"""The process of one job: `recon reconstruct` without film and preview, or `recon fit`; then the pictures for the report.

Run as ``python -m scenes.benchmark.child PARENT_PID JOB.json FOLDER DEVICE``; exit codes are those of the command line.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from recon.errors import Interrupted

_PR_SET_PDEATHSIG = 1


def die_with(parent: int) -> None:
    """Be killed when the process that started this one ends (Linux): nobody would read the result, and the job may be run again."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it ended before the request
        sys.exit(Interrupted.exit_code)


def do_job(job_path: Path, folder: Path, device: str) -> None:
    """Do what a ``job.json`` says; the run is made inside ``folder``, pictures in ``folder/pictures``, counts in ``folder/size.json``."""
    job = json.loads(job_path.read_text())
    (fit_job if job["kind"] == "fit" else reconstruct_job)(job, str(job_path), folder, device)


def fit_job(job: dict[str, Any], where: str, folder: Path, device: str) -> None:
    """Fit a field to a picture or a shape; its size is among its results."""
    from recon.config.files import from_dict
    from recon.console import Reporter
    from recon.device import choose
    from recon.fit import fit
    from recon.fit.config import FitConfig
    from scenes import signals
    from scenes.benchmark.fit_panels import make_fit_panels

    name, config = job["source"], from_dict(FitConfig, job["config"], where)
    source = signals.write_signal(name, folder / "signal") if name.startswith(signals.PREFIX) else Path(name)
    with Reporter() as reporter:
        choice = choose(device)
        reporter.say(f"device: {choice.line}")
        run = fit.start(source, config, folder, str(choice.device))
        fit.fit(run, reporter)
        reporter.say("pictures for the report")
        make_fit_panels(run, folder / "pictures")


def reconstruct_job(job: dict[str, Any], where: str, folder: Path, device: str) -> None:
    """Reconstruct a dataset."""
    from recon import pipeline
    from recon.config.files import from_dict
    from recon.config.values import RunConfig
    from recon.console import Reporter
    from recon.data.inspect import describe_briefly
    from recon.device import choose
    from recon.fit.build import stored_numbers, trained_numbers
    from recon.opening import open_data, open_truth
    from scenes.benchmark.jobs import write_json
    from scenes.benchmark.panels import make_panels

    source, config = job["source"], from_dict(RunConfig, job["config"], where)
    truth = open_truth(source, None if job["truth"] is None else Path(job["truth"]))
    with Reporter() as reporter:
        choice = choose(device)
        reporter.say(f"device: {choice.line}")
        scene = open_data(source, config)
        describe_briefly(scene, reporter)
        run = pipeline.start(scene, source, config, folder, str(choice.device))
        pipeline.reconstruct(run, scene, truth, reporter, pictures=False, most_views=0)
        reporter.say("pictures for the report")
        method = pipeline.load_method(run, reporter)
        write_json(folder / "size.json", {"trained_numbers": trained_numbers(method), "stored_numbers": stored_numbers(method)})
        make_panels(run, method, scene, truth, folder / "pictures")


if __name__ == "__main__":
    from recon.cli.exit_codes import errors_as_exit_codes

    die_with(int(sys.argv[1]))
    with errors_as_exit_codes():
        do_job(Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4])
