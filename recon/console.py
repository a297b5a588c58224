"""What the program says while it works: a live line on a terminal, a plain line every few seconds elsewhere."""

from __future__ import annotations

import errno
import io
import sys
import time
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from recon.system.text import printable

if TYPE_CHECKING:
    from recon.train import Progress as TrainProgress

PLAIN_SECONDS = 10.0
"""Least time between two plain progress lines."""


def duration(seconds: float) -> str:
    """ "43 s", "5 min 12 s", "2 h 05 min"."""
    s = round(max(seconds, 0.0))
    if s < 60:
        return f"{s} s"
    if s < 3600:
        return f"{s // 60} min {s % 60:02d} s"
    return f"{s // 3600} h {s % 3600 // 60:02d} min"


def describe_training(p: TrainProgress, after_share: float = 0.0) -> str:
    """One line of figures: step, loss terms, PSNR, speeds, time left.

    Args:
        p: What was measured.
        after_share: Time of what follows training as a share of training's (:func:`recon.config.timing.after_share`).
    """
    terms = " ".join(f"{name} {value:.4g}" for name, value in p.terms.items())
    return (
        f"step {p.step}/{p.steps}  {terms}  PSNR {p.psnr:.2f} dB  {p.rays_per_second / 1e3:.1f} k rays/s  "
        f"{p.samples_per_second / 1e3:.0f} k samples/s  ETA {_left(p, after_share)}"
    )


def _left(p: TrainProgress, after_share: float) -> str:
    if after_share <= 0.0 or p.step == p.steps:  # then nothing is left to tell the pace by
        return f"{duration(p.seconds_left)}{' of training' if after_share > 0.0 else ''}"
    after = after_share * p.seconds_left * p.steps / (p.steps - p.step)
    return f"{duration(p.seconds_left)} of training, {duration(p.seconds_left + after)} in all"


class Terminal(Console):
    """rich's console, without its habit of ending the process when nobody reads any more."""

    def on_broken_pipe(self) -> None:
        raise OSError(errno.EPIPE, "nobody reads what is said")


class Reporter:
    """Use as a context manager; writes to stderr so that stdout stays for results.

    Args:
        quiet: Say nothing but warnings.
    """

    def __init__(self, quiet: bool = False):
        self.quiet = quiet
        self.console = Terminal(stderr=True, highlight=False, soft_wrap=True)
        self.live = sys.stderr.isatty() and not quiet
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[text]}"),
            console=self.console,
            transient=True,
        )
        self._task: TaskID | None = None
        self._last = 0.0
        self.after_share = 0.0
        """What follows training, as a share of training's time; whoever makes more than a model says so."""

    def __enter__(self) -> Reporter:
        if self.live:
            self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.live:
            with suppress(OSError):  # the terminal is gone
                self._bar.stop()

    def say(self, text: str) -> None:
        """A line that stays."""
        if not self.quiet:
            self._print(text)

    def warn(self, text: str) -> None:
        self._print(f"warning: {text}", "yellow")

    def _print(self, text: str, style: str | None = None) -> None:
        """Print what may hold foreign names. Where the terminal is gone, or nobody reads any more, the work goes on without a word."""
        try:
            self.console.print(printable(text), markup=False, style=style)
        except OSError:
            self.quiet, self.live = True, False
            self.console = self._bar.live.console = Console(file=io.StringIO())

    def training(self, progress: TrainProgress) -> None:
        self.progress("train", progress.step / progress.steps, describe_training(progress, self.after_share))

    def progress(self, stage: str, share: float, text: str) -> None:
        """Progress of a stage, share in [0, 1]."""
        if self.live:
            if self._task is None:
                self._task = self._bar.add_task(stage, total=1.0, text="")
            self._bar.update(self._task, description=stage, completed=share, text=printable(text))
            if share >= 1.0:
                self._bar.remove_task(self._task)
                self._task = None
        now = time.monotonic()
        if not self.live and not self.quiet and (share >= 1.0 or now - self._last >= PLAIN_SECONDS):
            self._last = now
            self._print(f"{stage}: {text}")
