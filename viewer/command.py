"""What ``recon view`` and ``--view`` do: open the viewer on something, say its address, wait."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from recon.console import Reporter
from recon.data.scene import Scene
from recon.errors import DataError, ReconError
from recon.runs import Run, open_run
from viewer.app import Viewer
from viewer.loading import curves_file, surface_file
from viewer.subject import Subject, data_subject, is_run, run_subject


def subject_of(
    what: str, open_run_data: Callable[[Run], Scene], open_data: Callable[[], Scene], reporter: Reporter, device: str = "cpu"
) -> Subject:
    """A run folder, or a dataset.

    Args:
        what: The user's argument.
        open_run_data: Opens the data of a run.
        open_data: Opens ``what`` as data.
        reporter: Where it is said that a run's photographs are gone.
        device: Where a run's field is painted.
    Raises:
        DataError: If it is neither, or there is nothing to see in it.
    """
    if not is_run(Path(what)):
        return data_subject(open_data(), what)
    run = open_run(Path(what), device)
    try:
        data = open_run_data(run)
    except ReconError as error:
        reporter.warn(f"without photographs: {error.message}")
        data = None
    subject = run_subject(run, data)
    found = any(run.checkpoints.glob("step_*")) or surface_file(run) is not None or curves_file(run) is not None
    if subject.data is None and not found:
        raise DataError(f"{run.folder}: there is nothing to see in this run yet", hint="let it train, or export something")
    return subject


@contextmanager
def opened(subject: Subject, host: str, port: int | None, token: str | None, reporter: Reporter) -> Iterator[Viewer]:
    """Serve a subject for as long as the context lasts, and say where."""
    viewer = Viewer(subject, host, port, token)
    try:
        reporter.say(f"viewer: {viewer.address}")
        if host in ("127.0.0.1", "localhost", "::1"):
            bound = viewer.server.proxy.port
            reporter.say(f"  from another machine: ssh -L {bound}:127.0.0.1:{bound} THIS-MACHINE, then the same address there")
        yield viewer
    finally:
        viewer.close()


def wait(reporter: Reporter) -> None:
    """Until Ctrl-C."""
    try:
        reporter.say("press Ctrl-C to end the viewer")
        threading.Event().wait()
    except KeyboardInterrupt:
        reporter.say("viewer closed")
