"""The process of one job: `recon reconstruct` without film and preview, then the pictures for the report.

Run as ``python -m scenes.child PARENT_PID JOB.json FOLDER``; exit codes are those of the command line.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
from pathlib import Path

from recon.errors import Interrupted

_PR_SET_PDEATHSIG = 1


def die_with(parent: int) -> None:
    """Be killed when the process that started this one ends (Linux): nobody would read the result, and the job may be run again."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it ended before the request
        sys.exit(Interrupted.exit_code)


def reconstruct_job(job_path: Path, folder: Path) -> None:
    """Do what a ``job.json`` says; the run is made inside ``folder``, pictures in ``folder/pictures``."""
    from recon import cli, pipeline
    from recon.config import RunConfig, from_dict
    from recon.console import Reporter
    from recon.data.inspect import describe_briefly
    from scenes.panels import make_panels

    job = json.loads(job_path.read_text())
    source, config = job["source"], from_dict(RunConfig, job["config"], str(job_path))
    truth = cli.open_truth(source, None if job["truth"] is None else Path(job["truth"]))
    with Reporter() as reporter:
        scene = cli.open_data(source, config)
        describe_briefly(scene, reporter)
        run = pipeline.start(scene, source, config, folder)
        pipeline.reconstruct(run, scene, truth, reporter, pictures=False)
        reporter.say("pictures for the report")
        make_panels(run, pipeline.load_method(run, reporter), scene, truth, folder / "pictures")


if __name__ == "__main__":
    from recon.exit_codes import errors_as_exit_codes

    die_with(int(sys.argv[1]))
    with errors_as_exit_codes():
        reconstruct_job(Path(sys.argv[2]), Path(sys.argv[3]))
