"""What every loop of steps does beside its steps: it hears stop requests, keeps checkpoints and the state, and knows the time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NoReturn, Protocol

from recon.checkpoint import Checkpoint, save_checkpoint
from recon.errors import DivergedError, Interrupted, recon_command
from recon.runs import RunFolder
from recon.system.stopping import stop_requests


class Rhythm(Protocol):
    """What a configuration says about a loop: steps in all, between two lines of the log, and between two checkpoints (also in seconds)."""

    @property
    def steps(self) -> int: ...
    @property
    def log_every(self) -> int: ...
    @property
    def checkpoint_every(self) -> int: ...
    @property
    def checkpoint_seconds(self) -> float: ...


@dataclass
class Stepping:
    """A loop that runs; made by :func:`stepping`.

    Attributes:
        stop: Whether the process was asked to stop.
    """

    stop: Callable[[], bool]
    _run: RunFolder[Any]
    _rhythm: Rhythm
    _keep: int
    _state: Callable[[int, float], Checkpoint]
    _first: int
    _seconds_before: float
    _counted_from: float
    _began: float
    _saved_at: float

    def seconds(self) -> float:
        """Time spent on the run, over all its sessions."""
        return self._seconds_before + time.perf_counter() - self._counted_from

    def left(self, step: int) -> float:
        """Seconds until the last step, at this session's pace."""
        return (time.perf_counter() - self._began) / max(step - self._first, 1) * (self._rhythm.steps - step)

    def skip(self, seconds: float) -> None:
        """Time that was not spent on steps."""
        self._counted_from += seconds
        self._began += seconds

    def reports(self, step: int) -> bool:
        """Whether a line of the log is due."""
        return step % self._rhythm.log_every == 0 or step == self._rhythm.steps

    def diverged(self, step: int, rate: str) -> NoReturn:
        """End the run, because its loss is not finite.

        Args:
            rate: The setting that may help.
        """
        self._run.set_status("failed", step, "the loss is not finite")
        raise DivergedError(f"step {step}: the loss is not finite", f"the last checkpoint is kept; try a lower --set {rate}")

    def end(self, step: int, stopping: bool | None = None) -> None:
        """A step is done: save a checkpoint if one is due, and end the loop if that was asked for.

        Args:
            step: Steps that are done.
            stopping: Whether to end; None: if the process was asked to.
        Raises:
            Interrupted: After saving a checkpoint.
        """
        rhythm, stopping = self._rhythm, self.stop() if stopping is None else stopping
        due = step % rhythm.checkpoint_every == 0 or time.perf_counter() - self._saved_at >= rhythm.checkpoint_seconds
        if stopping or due or step == rhythm.steps:
            save_checkpoint(self._run.checkpoints, self._state(step, self.seconds()), self._keep)
            self._saved_at = time.perf_counter()
            self._run.set_status("running", step)
        if stopping and step < rhythm.steps:
            self._run.set_status("interrupted", step)
            raise Interrupted(f"stopped at step {step}; a checkpoint is saved", recon_command("resume", self._run.folder))


@contextmanager
def stepping(
    run: RunFolder[Any],
    rhythm: Rhythm,
    keep: int,
    state: Callable[[int, float], Checkpoint],
    first: int,
    seconds_before: float,
    counted_from: float | None = None,
) -> Iterator[Stepping]:
    """While this lasts, Ctrl-C and SIGTERM are heard at the end of a step.

    Args:
        run: Where checkpoints go.
        rhythm: When.
        keep: How many checkpoints are kept.
        state: What is saved, for a number of steps and the seconds that they took.
        first: Steps that were done before.
        seconds_before: Time that they took.
        counted_from: ``time.perf_counter()`` from which this session's time counts; None: from now on.
    """
    now = time.perf_counter()
    with stop_requests() as stop:
        yield Stepping(stop, run, rhythm, keep, state, first, seconds_before, now if counted_from is None else counted_from, now, now)
