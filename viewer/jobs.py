"""Long work that a visitor asked for: one job at a time, in a thread of its own, with progress on the page."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from recon.console import Reporter
from recon.errors import Interrupted, ReconError

TELL_SECONDS = 0.2
"""Least time between two progress lines."""

_log = logging.getLogger(__name__)


class PageReporter(Reporter):
    """Progress of a job for the page instead of the terminal.

    Args:
        tell: Called with the share that is done, in [0, 1], and a line.
        cancelled: Asked at every progress.
    """

    def __init__(self, tell: Callable[[float, str], None], cancelled: Callable[[], bool]):
        super().__init__(quiet=True)
        self._tell, self._cancelled, self._share = tell, cancelled, 0.0
        self.warnings: list[str] = []
        self._told_at = -1.0

    def say(self, text: str) -> None:
        self._tell(self._share, text)

    def warn(self, text: str) -> None:
        self.warnings.append(text)
        self._tell(self._share, f"warning: {text}")

    def progress(self, stage: str, share: float, text: str) -> None:
        if self._cancelled():
            raise Interrupted(f"{stage} was cancelled")
        self._share = min(max(share, 0.0), 1.0)
        now = time.monotonic()
        if now - self._told_at >= TELL_SECONDS:
            self._told_at = now
            self._tell(self._share, f"{stage}: {text}")


class Jobs:
    """At most one job at a time; nothing runs, and no thread exists, in between.

    Args:
        notice: Called with a title and a text when a job fails.
    """

    def __init__(self, notice: Callable[[str, str], None]):
        self._notice = notice
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._cancel = threading.Event()

    @property
    def busy(self) -> bool:
        thread = self._thread
        return thread is not None and thread.is_alive()

    def start(self, title: str, work: Callable[[PageReporter], str], tell: Callable[[float, str], None]) -> bool:
        """Begin a job unless another one runs.

        Args:
            title: For messages.
            work: Does it; returns the text that is shown at its end.
            tell: Called with the share that is done and a text; at the job's end with 1.0, or 0.0 if it failed.
        Returns:
            Whether it began.
        """
        with self._lock:
            if self.busy:
                return False
            self._cancel.clear()
            self._thread = threading.Thread(target=self._run, args=(title, work, tell), name="viewer-job", daemon=True)
            self._thread.start()
            return True

    def cancel(self) -> None:
        """Ask the job to end at its next progress."""
        self._cancel.set()

    def close(self) -> None:
        """Cancel, and wait a moment."""
        self.cancel()
        if self._thread is not None:
            self._thread.join(timeout=10.0)

    def _run(self, title: str, work: Callable[[PageReporter], str], tell: Callable[[float, str], None]) -> None:
        reporter = PageReporter(tell, self._cancel.is_set)
        try:
            tell(0.0, f"{title} ...")
            done = work(reporter)
            tell(1.0, "\n\n".join([done, *(f"warning: {w}" for w in reporter.warnings)]))
        except Interrupted as stopped:
            tell(0.0, stopped.message)
        except ReconError as error:
            tell(0.0, f"{title} failed: {error.message}")
            self._notice(f"{title} failed", str(error))
        except Exception as error:
            _log.warning("%s failed", title, exc_info=True)
            tell(0.0, f"{title} failed: {error}")
            self._notice(f"{title} failed", f"{type(error).__name__}: {error}")
