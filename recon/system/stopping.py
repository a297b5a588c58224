"""Ctrl-C, SIGTERM (a scheduler, ``kill``) and SIGHUP (the terminal was closed): work ends with its state written down."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

STOP_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
"""Windows has no SIGHUP."""

Handler = Callable[[int, FrameType | None], None]


@contextmanager
def stop_requests() -> Iterator[Callable[[], bool]]:
    """Turn the first of the signals into a flag; a second one interrupts at once.

    Elsewhere than in the main thread no signal can be caught: the caller stops the work in its own way.
    """
    asked = False

    def handler(signum: int, frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True

    with _handled(handler):
        yield lambda: asked


@contextmanager
def signals_as_interrupts() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end the work as Ctrl-C does: by KeyboardInterrupt."""

    def handler(signum: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt(signal.Signals(signum).name)

    with _handled(handler):
        yield


@contextmanager
def _handled(handler: Handler) -> Iterator[None]:
    """Install a handler for all of them; what the process was told to ignore (``nohup``) it goes on ignoring."""
    previous = {}
    if threading.current_thread() is threading.main_thread():
        for s in STOP_SIGNALS:
            if signal.getsignal(s) is not signal.SIG_IGN:
                previous[s] = signal.signal(s, handler)
    try:
        yield
    finally:
        for s, old in previous.items():
            signal.signal(s, old)
